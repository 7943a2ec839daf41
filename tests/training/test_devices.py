"""One batch on several devices or machines gives the weights that one device gives; if a machine ends, so do the others.

Devices are parts of the processor here, and machines are processes. TensorFlow takes its devices when it starts, so a
test runs this file as a program: FOLDER, the number of devices or "", and the flags of a training.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import train
from benchmarks.workers import free_addresses, machine
from data.errors import InputError
from tasks.modes import MODES, find_mode
from tests.conftest import ENCODER, NVDM, SMALLEST
from tests.tasks.conftest import documents_folder, sentences_file  # noqa: F401
from training.config import make_config
from training.devices import CLUSTER, check_shares, machines, shared, strategy_of
from training.runs import open_run

ROOT = Path(__file__).resolve().parents[2]
STEPS = 10
PATIENCE = 240  # seconds, on a busy machine
MINUTE = 60  # in which the others end
# Small steps: a rounding that turns the sign of a gradient near 0, or passes a hinge, then changes little.
IMAGES = [*SMALLEST, *"--precision float32 --d-rate 3e-5 --ge-rate 3e-5".split()]
TWRVAE = "--batch-size 32 --embedding 4 --units 4 --latent-dim 2 --samples 2 --dropout .3".split()
FLAGS = {  # InfoBigBiGAN's step has all that the steps of BiGAN, BigBiGAN and InfoGAN have
    "infobigbigan": [*IMAGES, *ENCODER, *"--code-prior learned --views 2 --balance-weight .5 --neighbours 5".split()],
    "nvdm": NVDM,
    "twrvae": TWRVAE,
}


def write_weights(folder: str, devices: int | None, flags: list[str]) -> None:
    """Train a new model by a few steps, as train.py does, and write its variables before and after them."""
    own, _, given = train.parse(flags)
    task = (row := find_mode(own.mode)).make_task()
    strategy = strategy_of(devices, row)
    config, data = task.resolve(make_config(row.config, given))
    with strategy.scope():
        model = task.build(config, task.facts(data))
    arrays = {f"first_{i}": variable.numpy() for i, variable in enumerate(model.variables)}
    batches = shared(task.batches(config, data, first_epoch=0), strategy)
    model.fit(batches, steps_per_epoch=STEPS, verbose=0, shuffle=False)
    arrays |= {f"last_{i}": variable.numpy() for i, variable in enumerate(model.variables)}
    np.savez(Path(folder, f"{devices}.npz"), **arrays)


def weights(file: Path, when: str = "last") -> np.ndarray:
    """Return all variables that a file holds of one time, "first" or "last", in one row."""
    with np.load(file) as arrays:
        return np.concatenate([arrays[name].ravel() for name in arrays if name.startswith(when)])


def check_equal(one: Path, two: Path) -> None:
    """Check that two trainings began alike, and ended alike within 1e-4 and within 2 % of the way from the beginning."""
    first, end, other = weights(one, "first"), weights(one), weights(two)
    assert np.array_equal(first, weights(two, "first"))
    assert np.abs(other - end).max() < 1e-4
    assert np.linalg.norm(other - end) < 0.02 * np.linalg.norm(end - first)


@pytest.fixture
def flags_of(request):
    """Mode -> the flags of its smallest training, with a data set."""
    corpora = {"nvdm": "documents_folder", "twrvae": "sentences_file"}

    def flags(mode):
        corpus = ["--dataset", str(request.getfixturevalue(corpora[mode]))] if mode in corpora else []
        return ["--mode", mode, *FLAGS[mode], *corpus]

    return flags


@pytest.fixture
def start(tmp_path):
    """A function that starts a command, on machine `index` of those at `addresses` if they are given."""
    processes = []

    def run(command, addresses=(), index=0):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        if addresses:
            environment |= machine(addresses, index)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
        process = subprocess.Popen([sys.executable, *map(str, command)], env=environment, **options)
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()  # does nothing if it has ended
        process.communicate()


@pytest.fixture
def addresses():
    """Addresses of two machines on loopback."""
    return free_addresses(2)


def ended(process) -> str:
    """Wait for the end of a process that must succeed, and return its output."""
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out + err
    return out


@pytest.fixture(scope="module")
def alone_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("alone")


@pytest.fixture
def alone(alone_folder, start, flags_of):
    """A function that returns the file of the weights that one device gives a mode, which it trains once."""

    def file_of(mode):
        if not (folder := alone_folder / mode).exists():
            folder.mkdir()
            ended(start([__file__, folder, "1", *flags_of(mode)]))
        return folder / "1.npz"

    return file_of


@pytest.mark.slow
@pytest.mark.parametrize("mode", FLAGS)
def test_two_devices_give_the_weights_of_one(mode, flags_of, start, alone, tmp_path):
    ended(start([__file__, tmp_path, "2", *flags_of(mode)]))
    check_equal(alone(mode), tmp_path / "2.npz")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["infobigbigan", "twrvae"])  # whose batches are pairs, and dicts
def test_two_machines_have_the_weights_of_one(mode, flags_of, start, addresses, alone, tmp_path):
    folders = [tmp_path / name for name in ("chief", "other")]
    for folder in folders:
        folder.mkdir()
    pair = [start([__file__, folders[i], "", *flags_of(mode)], addresses, i) for i in (0, 1)]
    for process in pair:
        ended(process)
    chief, other = (folder / "None.npz" for folder in folders)
    assert np.array_equal(weights(chief), weights(other))
    check_equal(alone(mode), chief)


@pytest.mark.slow
def test_a_pair_that_was_killed_and_resumed_ends_with_the_same_bytes(flags_of, start, addresses, tmp_path):
    def trained(*flags):
        return [start([ROOT / "train.py", *flags], addresses, index) for index in (0, 1)]

    def last_checkpoint(name):
        return open_run(tmp_path / "runs" / name, "", MODES).checkpoints()[0]

    flags = [*flags_of("nvdm"), "--epochs", "40", "--no-curves"]
    chief, other = trained(*flags, "--name", "whole")
    assert "perplexity" in ended(chief) and "perplexity" not in ended(other)

    chief, other = trained(*flags, "--name", "killed")
    while not list(tmp_path.glob("runs/killed/checkpoints/epoch-*.h5")):
        assert chief.poll() is other.poll() is None, chief.communicate()
        time.sleep(0.1)
    other.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    _, err = chief.communicate(timeout=PATIENCE)
    assert time.monotonic() - killed < MINUTE
    assert chief.returncode == 2
    assert err.splitlines()[-1].split(": ")[1] == f"{addresses[1]} has ended, so the training stops"

    for process in trained("--resume", "runs/killed"):
        ended(process)
    epoch, file = last_checkpoint("whole")
    assert epoch == 40 and last_checkpoint("killed")[1].name == file.name  # which carries the digest


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
    ],
)
def test_a_damaged_description_of_machines_is_named(text, monkeypatch):
    monkeypatch.setenv(CLUSTER, text)
    with pytest.raises(InputError, match="TF_CONFIG is damaged .*: give JSON such as"):
        machines()


def test_machines_are_read_in_their_order(monkeypatch):
    monkeypatch.setenv(CLUSTER, '{"cluster": {"worker": ["b:1", "a:1"]}, "task": {"type": "worker", "index": 1}}')
    assert machines() == ["b:1", "a:1"]


def test_a_mode_of_one_device_says_so(capsys):
    assert train.main(["--mode", "nasm", "--devices", "2"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "train: --mode nasm trains on one device: leave --devices and TF_CONFIG out"
    ]


def test_machines_use_all_of_their_devices(monkeypatch):
    monkeypatch.setenv(CLUSTER, '{"cluster": {"worker": ["b:1", "a:1"]}, "task": {"type": "worker", "index": 1}}')
    with pytest.raises(InputError, match="--devices 2: leave it out, since each machine of TF_CONFIG uses all"):
        strategy_of(2, MODES["nvdm"])


def test_a_batch_must_be_shared_equally():
    check_shares(SimpleNamespace(num_replicas_in_sync=4), 512)
    with pytest.raises(InputError, match="--batch-size 512 cannot be shared by 3 devices: give a multiple of 3"):
        check_shares(SimpleNamespace(num_replicas_in_sync=3), 512)


if __name__ == "__main__":
    place, number, *arguments = sys.argv[1:]
    write_weights(place, int(number) if number else None, arguments)
