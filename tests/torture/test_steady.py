"""A long training keeps its memory and its open files, and the page its memory."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MINUTES = float(os.environ.get("TORTURE_MINUTES", 10))  # an hour: TORTURE_MINUTES=60 make torture
WARM_UP = 0.3  # of that time, in which all kinds of events have happened
GROWTH = 1.02  # of the memory after it
FLAGS = "--mode infobigbigan --dataset digits --batch-size 16 --generator-widths 8 --discriminator-widths 8".split()
ENCODER = "--encoder-widths 8 --feature-dim 8 --latent-width 8 --latent-blocks 0".split()


def held_by(pid: int) -> tuple[int, int]:
    """Return the resident memory of a process in kilobytes, and its open files."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (memory,) = [line.split()[1] for line in status if line.startswith("VmRSS")]
    return int(memory), len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.torture
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system shows no process in /proc")
def test_memory_and_open_files_stay(tmp_path):
    """An epoch takes half a second or more, so checkpoints, scores and pictures come often.

    Each epoch leaves a few kilobytes: its line of the history, and what TensorFlow keeps of an iterator and a summary.
    """
    epochs = str(int(100 * MINUTES))
    command = [sys.executable, "train.py", *FLAGS, *ENCODER, "--epochs", epochs]
    with (tmp_path / "out").open("w") as out:
        training = subprocess.Popen([*command, "--runs-dir", str(tmp_path), "--name", "a"], cwd=ROOT, stdout=out)
    found, end = [], time.monotonic() + 60 * MINUTES
    try:
        while time.monotonic() < end and training.poll() is None:
            found.append(held_by(training.pid))
            time.sleep(1)
    finally:
        training.send_signal(signal.SIGTERM)
        assert training.wait(60) in (143, 0)
    assert len(list((tmp_path / "a/checkpoints").iterdir())) >= 2
    steady = found[int(WARM_UP * len(found)) :]
    fifth = len(steady) // 5
    (first, first_files), (last, last_files) = (  # medians: a checkpoint that is being written is open for a moment
        (sorted(values)[fifth // 2] for values in zip(*part, strict=True)) for part in (steady[:fifth], steady[-fifth:])
    )
    print(f"{len(found)} s: {first} to {last} kB, {first_files} to {last_files} open files")
    assert last <= GROWTH * first and last_files <= first_files


HUNDRED = """
import gc
import sys
from pathlib import Path
from gradio_client import Client
from reporting.explorer import Opened, page, served
from tasks.modes import MODES
from training.runs import open_run
import explore

def held_after(requests):
    for request in range(requests):
        client.predict(1.0, request, api_name="/samples")
        if request % 10 == 9:
            gc.collect()  # requests leave cycles, which Python frees at times of its own
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20  # megabytes

run = open_run(sys.argv[1], "", MODES)
mode = MODES[run.mode]
with served(page([Opened(run, mode.load(run), mode.summary, explore.loader(run))]), "127.0.0.1", None) as address:
    # over http no certificates need be read for each request
    client = Client(address, verbose=False, ssl_verify=False, download_files=False)
    print("held", held_after(20), held_after(100))
"""


@pytest.mark.torture
def test_a_hundred_requests_leave_the_memory_flat():
    """In a process of its own: what other tests opened is freed at any time."""
    pytest.importorskip("gradio_client")
    done = subprocess.run(
        [sys.executable, "-c", HUNDRED, "pretrained/infobigbigan-mnist"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (held,) = (line.split()[1:] for line in done.stdout.splitlines() if line.startswith("held"))
    before, after = map(float, held)
    assert after - before < 20
