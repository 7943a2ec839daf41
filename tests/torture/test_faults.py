"""Faults of the disk and of other processes: one clear line, exit code 2, and no earlier file is harmed.

Full and read-only disks are real: small file systems that the test mounts. Without the right to mount they are skipped.
"""

import contextlib
import errno
import hashlib
import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import evaluate
import train
from data.errors import InputError
from data.streaming import cache_dir
from reporting.tensorboard import Scalars
from tasks.base import Task
from tasks.modes import MODES
from text_vae import nvdm
from training.cli import error_number, run_program
from training.files import digest
from training.runs import latest_run, open_run

ROOT = Path(__file__).resolve().parents[2]
NETWORK = "--vocabulary-size 12 --topics 2 --encoder-widths 8 --samples 2".split()
FLAGS = ["--mode", "nvdm", *NETWORK, *"--batch-size 36 --epochs 4 --no-curves".split()]
LOGGED = re.compile(r"[IWE]\d{4} ")  # a line of TensorFlow's own, which a program drops before it imports TensorFlow
torture = pytest.mark.torture


def content(folder):
    """The digest of everything in a folder, by path."""
    return {file.relative_to(folder): digest(file) for file in folder.rglob("*") if file.is_file()}


def flipped(file, position, bit=0):
    """Flip a bit of a file."""
    damaged = bytearray(file.read_bytes())
    damaged[position] ^= 1 << bit
    file.write_bytes(damaged)


@pytest.fixture(autouse=True)
def cheap(eager, monkeypatch):
    """Nothing is traced, and test documents are hardly refined."""
    monkeypatch.setattr(nvdm, "REFINEMENTS", 1)


@pytest.fixture(scope="module")
def whole(documents_folder, eagerly, tmp_path_factory):
    """A run of NVDM of four epochs that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    with eagerly(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(nvdm, "REFINEMENTS", 1)
        keras.utils.clear_session(free_memory=False)
        flags = [*FLAGS, "--dataset", str(documents_folder), "--runs-dir", str(folder), "--name", "a"]
        assert train.main(flags) == 0
    return open_run("a", str(folder), MODES)


def copied(whole, folder, epochs=4):
    """A copy of `whole` in a folder, as it was after some epochs."""
    run = open_run(shutil.copytree(whole.path, folder / "a"), "", MODES)
    for epoch, file in run.checkpoints():
        if epoch > epochs:
            file.unlink()
    if epochs < 4:
        (run.path / "metrics.json").unlink()
    return run


@pytest.fixture
def answer(capfd):
    """Call a program; return its one line on standard error."""

    def call(program, *argv):
        keras.utils.clear_session(free_memory=False)  # numbers layers as a new process would
        capfd.readouterr()
        assert program.main(list(map(str, argv))) == 2
        written = capfd.readouterr().err.splitlines()
        (line,) = [line for line in written if not LOGGED.match(line)]
        assert line.startswith(f"{program.__name__}: ")
        return line

    return call


@pytest.fixture
def unscored(monkeypatch):
    """Score no training at its end."""
    monkeypatch.setattr(Task, "evaluate", lambda *_: {"mode": "nvdm", "seed": 0, "dataset": "", "epoch": 4})


@pytest.fixture
def at_epoch(monkeypatch):
    """Do something during a training, when an epoch was kept and TensorBoard has not been written."""

    def arrange(epoch, happens):
        write = Scalars.on_epoch_end

        def hook(scalars, done, logs=None):
            if done + 1 == epoch:
                happens()
            write(scalars, done, logs)

        monkeypatch.setattr(Scalars, "on_epoch_end", hook)

    return arrange


@contextlib.contextmanager
def mounted(place, *options):
    """Mount a file system on a folder for a while. Skip the test if that is not allowed."""
    place.mkdir(exist_ok=True)
    made = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of six megabytes, and how it is filled to the last byte."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=6m", "tmpfs") as place:
        yield place


def fill(place):
    with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    for i in range(9):  # the room that is left in the pages of small files
        with contextlib.suppress(OSError):
            (place / f"filler{i}").write_bytes(bytes(4096))


# A full disk


@pytest.mark.parametrize("epoch", [0, pytest.param(3, marks=torture)])
def test_a_disk_that_is_full_during_a_training(whole, small_disk, unscored, answer, at_epoch, epoch):
    """The training ends with one line, and goes on to the same end when there is room."""
    run = copied(whole, small_disk, epochs=1)
    if epoch:
        at_epoch(epoch, lambda: fill(small_disk))
    else:
        fill(small_disk)
    kept = {file: digest(file) for file in (run.path / "config.json", *(file for _, file in run.checkpoints()))}
    assert "No space left on device: make room, then use --resume" in answer(train, "--resume", run.path)
    assert all(digest(file) == before for file, before in kept.items())
    assert all(digest(file) in file.name for _, file in run.checkpoints())
    assert not list(run.path.rglob("*partial*"))
    for file in small_disk.glob("filler*"):
        file.unlink()
    keras.utils.clear_session(free_memory=False)
    assert train.main(["--resume", str(run.path)]) == 0
    assert [file.name for _, file in run.checkpoints()] == [file.name for _, file in whole.checkpoints()]


def test_a_disk_that_is_full_during_an_evaluation(whole, small_disk, answer):
    run = copied(whole, small_disk)
    fill(small_disk)
    before = content(small_disk)
    assert "No space left on device: make room" in answer(evaluate, run.path, "--topics")
    assert content(small_disk) == before


def test_a_limit_of_the_size_of_files_stops_a_checkpoint_before_it_begins(whole, tmp_path, unscored, answer):
    """As a quota does; the free room of the disk tells nothing of either."""
    run, old = copied(whole, tmp_path, epochs=3), resource.getrlimit(resource.RLIMIT_FSIZE)
    before = content(run.path / "checkpoints")
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, old[1]))
    try:
        assert "File too large: raise the limit" in answer(train, "--resume", run.path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert content(run.path / "checkpoints") == before


def test_an_error_of_tensorflow_has_the_number_of_its_words():
    import tensorflow as tf

    full = tf.errors.ResourceExhaustedError(None, None, f"/a/b; {os.strerror(errno.ENOSPC)}")
    assert error_number(full) == errno.ENOSPC
    assert error_number(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")) is None
    assert error_number(ValueError(os.strerror(errno.ENOSPC))) is None

    def main(argv):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    with pytest.raises(tf.errors.ResourceExhaustedError):
        run_program(main, [])


# A place that must not be written


@pytest.mark.parametrize("program", [train, evaluate], ids=lambda program: program.__name__)
def test_a_read_only_disk(whole, tmp_path, answer, program):
    run = copied(whole, tmp_path / "runs", epochs=3 if program is train else 4)
    before = content(tmp_path)
    with mounted(run.path.parent, "--bind", str(run.path.parent)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(run.path.parent)], check=True)
        line = answer(program, *(["--resume"] if program is train else []), run.path)
    assert "Read-only file system: allow access" in line
    assert content(tmp_path) == before


# A run that vanishes


def test_a_run_that_is_deleted_under_the_process(whole, tmp_path, answer, at_epoch):
    run = copied(whole, tmp_path, epochs=1)
    at_epoch(3, lambda: shutil.rmtree(run.path))
    assert f"{run.path}" in (line := answer(train, "--resume", run.path))
    assert "No such file or directory: put it back" in line
    assert not run.path.exists()


# Two processes


@torture
def test_two_processes_on_one_run(whole, tmp_path):
    """The one that comes second ends with one line, and the other as if it were alone."""
    run = copied(whole, tmp_path, epochs=1)
    command = [sys.executable, "train.py", "--resume", str(run.path)]
    pair = [subprocess.Popen(command, cwd=ROOT, stdout=-3, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in pair]
    codes = [process.returncode for process in pair]
    assert sorted(codes) == [0, 2]
    assert "is being written by another process: wait for it" in errors[codes.index(2)]
    assert [entry["epoch"] for entry in run.history] == [1, 2, 3, 4]
    assert all(digest(file) in file.name for _, file in run.checkpoints())


# A clock that is set back


@torture
def test_a_clock_that_runs_backwards_changes_no_training(whole, tmp_path, unscored, monkeypatch):
    run, now = copied(whole, tmp_path, epochs=1), iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    keras.utils.clear_session(free_memory=False)
    assert train.main(["--resume", str(run.path)]) == 0
    assert [file.name for _, file in run.checkpoints()] == [file.name for _, file in whole.checkpoints()]
    assert all(0 <= entry["seconds"] < 100 for entry in run.history)


def test_the_latest_run_is_named_because_a_clock_may_be_wrong(whole, tmp_path, capsys):
    earlier = copied(whole, tmp_path).path
    later = shutil.copytree(earlier, tmp_path / "later")
    for path, stamp in ((earlier, 2**30), (later, 2**29)):
        os.utime(path / "config.json", (stamp, stamp))
    assert latest_run(str(tmp_path)) == earlier
    assert evaluate.main(["--runs-dir", str(tmp_path), "--topics"]) == 0
    assert capsys.readouterr().out.startswith(f"nvdm on {whole.config.dataset} in {earlier} is being scored\n")


# Damaged files


@pytest.mark.parametrize(("bits", "apart"), [([0], 3), pytest.param(range(8), 1, marks=torture)])
def test_a_flipped_bit_anywhere_in_config_json_is_seen(whole, tmp_path, bits, apart):
    """Or it changes nothing: a bit of the name of the digest itself."""
    run = copied(whole, tmp_path)
    file, silent = run.path / "config.json", 0
    good = file.read_bytes()
    for position in range(0, len(good), apart):
        for bit in bits:
            flipped(file, position, bit)
            try:
                assert open_run(run.path, "", MODES) == run
                silent += 1
            except InputError as error:
                assert str(file) in str(error) and "\n" not in str(error)
            file.write_bytes(good)
    assert silent <= 16 * len(bits)


def test_a_damaged_config_json_is_one_line_of_both_programs(whole, tmp_path, answer):
    run = copied(whole, tmp_path, epochs=3)
    file = run.path / "config.json"
    flipped(file, file.read_bytes().index(b'"seed": 0') + 8)
    before = content(tmp_path)
    for line in (answer(train, "--resume", run.path), answer(evaluate, run.path)):
        assert f"{file} is damaged: restore it" in line
    assert content(tmp_path) == before


@pytest.mark.parametrize("places", [3, pytest.param(60, marks=torture)])
def test_a_flipped_bit_in_a_checkpoint(whole, tmp_path, unscored, answer, capfd, places):
    """The training goes on from the checkpoint before it, and ends with the same weights."""
    run, draw = copied(whole, tmp_path), np.random.default_rng(0)
    model = MODES["nvdm"].make_task().build(run.config, run.facts)
    (_, newest), (_, other) = run.checkpoints()
    good = newest.read_bytes()
    for position in [0, len(good) - 1, *draw.integers(len(good), size=places)]:
        flipped(newest, position, draw.integers(8))
        assert run.restore(model) == 3
        assert f"{newest} is damaged: {other.name} is used in its place" in capfd.readouterr().err
        newest.write_bytes(good)
    flipped(newest, 100)
    keras.utils.clear_session(free_memory=False)
    assert train.main(["--resume", str(run.path)]) == 0
    assert content(run.path / "checkpoints") == content(whole.path / "checkpoints")
    for _, file in run.checkpoints():
        flipped(file, 100)
    before = content(tmp_path)
    assert "is whole: start the run anew" in answer(train, "--resume", run.path)
    assert content(tmp_path) == before


def doubled(values):
    """What a cache keeps in this test."""
    return values * 2.0


@pytest.mark.parametrize("places", [9, pytest.param(900, marks=torture)])
def test_a_damaged_cache_is_made_anew(whole, tmp_path, capsys, monkeypatch, places):
    monkeypatch.setenv("INFOBIGBIGAN_CACHE", str(tmp_path / "cache"))
    run, values, draw = copied(whole, tmp_path), np.arange(100.0), np.random.default_rng(0)
    expected = run.cached(doubled)(values)
    (file,) = cache_dir().iterdir()
    good = file.read_bytes()
    for position in [*range(36), *draw.integers(len(good), size=places)]:
        flipped(file, position, draw.integers(8))
        np.testing.assert_array_equal(run.cached(doubled)(values), expected)
        assert capsys.readouterr().err == f"{file} is damaged: it is made anew\n"
        assert file.read_bytes() == good
    file.write_bytes(b"")
    np.testing.assert_array_equal(run.cached(doubled)(values), doubled(values))
    file.write_bytes(hashlib.sha256(other := pickle.dumps(7)).digest() + other)
    assert run.cached(doubled)(values) == 7  # it is read, and not computed
    assert run.cached(doubled)(values + 1).tolist() == doubled(values + 1).tolist()
