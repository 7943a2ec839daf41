"""Trainings that are killed again and again, and resumed each time, end with the same weights and scores.

Each kill ends a real `python train.py`. The plan of kills is a function of the mode and their number.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import keras
import pytest

import train
from tasks.base import Task
from tasks.modes import MODES
from tests.conftest import NVDM
from training.files import digest
from training.runs import Run, create_run, open_run

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 60  # every third leaves a checkpoint, and every sixth has scores
PATIENCE = 300  # seconds without the awaited moment, after which a test fails
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
COSTS = {"seconds", "memory_gb", "train_minutes", "peak_memory_gb"}  # what two equal trainings differ in

DIGITS = "--dataset digits --batch-size 512 --generator-widths 8 --discriminator-widths 8".split()
ENCODER = "--encoder-widths 8 --feature-dim 8 --latent-width 8 --latent-blocks 0".split()
SMALL = "--embedding 4 --units 4 --samples 2".split()


@pytest.fixture
def flags_of(request):
    """Mode -> the flags of its smallest training."""

    def flags(mode):
        def corpus(fixture):
            return ["--dataset", str(request.getfixturevalue(fixture))]

        own = {
            "infobigbigan": lambda: [*DIGITS, *ENCODER],
            "nvdm": lambda: [*corpus("documents_folder"), *NVDM],
            "twrvae": lambda: [*corpus("sentences_file"), *SMALL, *"--batch-size 32 --latent-dim 2".split()],
            "nasm": lambda: [*corpus("answers_folder"), *SMALL, *"--batch-size 20 --latent 2".split()],
        }
        epochs = 12 * EPOCHS if mode == "nvdm" else EPOCHS  # its epochs take 5 ms, and all kills come before its end
        return ["--mode", mode, *own[mode](), "--epochs", str(epochs)]

    return flags


class Kill(NamedTuple):
    """A moment of a process and the signal that it then receives.

    when: "start", "training", "checkpoint" or "evaluation". lines: lines of progress that come before the moment.
    seconds: the wait after them.
    """

    when: str
    signal: signal.Signals
    lines: int
    seconds: float


def plan(count: int, seed: str) -> list[Kill]:
    """Return `count` kills of one run. Those in an evaluation come last, since they need a finished training."""
    draw = random.Random(seed)
    shares = {"checkpoint": -(-count // 4), "evaluation": count // 5, "start": count // 7}
    kinds = [when for when, share in shares.items() for _ in range(share)]
    kinds += ["training"] * (count - len(kinds))
    after = {"start": (0, 10.0), "training": (2, 0.1), "checkpoint": (1, 0.0), "evaluation": (1, 0.5)}
    turn = draw.randrange(len(SIGNALS))
    kills = [
        Kill(when, SIGNALS[(turn + i) % len(SIGNALS)], draw.randint(0, after[when][0]), draw.uniform(0, after[when][1]))
        for i, when in enumerate(kinds)
    ]
    draw.shuffle(kills)
    return sorted(kills, key=lambda kill: kill.when == "evaluation")


class Training:
    """A process `python train.py --resume`, its output so far, and how to kill it."""

    def __init__(self, run: Run, log: Path):
        command = [sys.executable, "train.py", "--resume", str(run.path)]
        self.epochs, self.out, self.err = run.epochs, log.with_suffix(".out"), log.with_suffix(".err")
        self.partial = run.path / "checkpoints/partial.weights.h5"
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err)

    def lines(self, start: str) -> list[str]:
        """Return the whole lines of the output that begin with `start`."""
        return [line for line in self.out.read_text().split("\n")[:-1] if line.startswith(start)]

    @property
    def epoch(self) -> int:
        """The epoch of the newest line of progress; 0: there is none."""
        return int(self.lines("epoch ")[-1].split()[1].split("/")[0]) if self.lines("epoch ") else 0

    def wait(self, reached) -> None:
        """Wait until `reached()` is true, or the process has ended. Fail if that takes too long."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and not reached():
            assert time.monotonic() < end, f"waited too long: {self.out.read_text()} {self.err.read_text()}"
            time.sleep(0.001)

    def stopped_in_checkpoint(self) -> bool:
        """Whether the process writes a checkpoint: stop it where a part of the file is there, and look again."""
        if not self.partial.exists():
            return False
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if self.partial.exists():
            return True
        self.process.send_signal(signal.SIGCONT)
        return False

    def kill(self, kill: Kill) -> bool:
        """Send the signal of `kill` at its moment, and wait for the end; return False if all was done before."""
        if kill.when == "evaluation":
            last = f"{self.epochs}/{self.epochs}", f"{self.epochs} of {self.epochs}"
            self.wait(lambda: self.lines("scored ") if kill.lines else any(x in self.out.read_text() for x in last))
        elif kill.when != "start":
            self.wait(lambda: len(self.lines("epoch ")) > kill.lines)
        if kill.when == "checkpoint":
            self.partial.unlink(missing_ok=True)  # of an earlier kill
            self.wait(self.stopped_in_checkpoint)
        time.sleep(kill.seconds)
        if self.process.poll() is not None:
            assert kill.when == "evaluation" and self.process.returncode == 0, self.err.read_text()
            return False
        self.process.send_signal(kill.signal)
        self.process.send_signal(signal.SIGCONT)
        self.process.wait(PATIENCE)
        return "watch it: " not in self.out.read_text()  # the last line


def check_killed(run: Run, training: Training, kill: Kill) -> None:
    """Check what a killed training left: whole checkpoints, and the newest whole epoch if the signal could be answered."""
    assert all(digest(file) in file.name for _, file in run.checkpoints())
    if training.process.returncode == -kill.signal:  # not answered
        assert (
            kill.signal == signal.SIGKILL or not training.out.read_text()
        )  # all modules are read before the first line
        return
    assert training.process.returncode == 128 + kill.signal
    (line,) = training.err.read_text().splitlines()
    assert "interrupted; to go on, use --resume RUN" in line
    ended = training.epoch - (kill.when != "checkpoint")  # the newest line may come just before the epoch is kept
    assert run.checkpoints()[0][0] >= ended if ended > 0 else True


def outcome(run: Run) -> dict:
    """Return what must not depend on kills: weights, history, scores, pictures and arrays."""

    def without_costs(values: dict) -> dict:
        return {name: value for name, value in values.items() if name not in COSTS}

    files = [*run.path.glob("figures/*"), *run.path.glob("*.npz")]
    return {
        "newest": run.checkpoints()[0][1].name,  # the name carries the digest of the content
        "best": run.best_first()[0][1].name,
        "history": [without_costs(entry) for entry in run.history],
        "scores": without_costs(run.scores),
        "files": {file.name: digest(file) for file in files},
    }


def survives(mode: str, flags: list[str], kills: list[Kill], folder: Path) -> None:
    """Train once without and once with kills; check each kill, and that both trainings end in the same outcome."""

    def trained(*arguments: str) -> Run:
        keras.utils.clear_session(free_memory=False)  # numbers layers as a new process would
        assert train.main(list(arguments)) == 0
        return open_run(path, "", MODES)

    path = folder / "whole/a"
    whole = trained(*flags, "--name", "a", "--runs-dir", str(path.parent))
    path = folder / "killed/a"
    create_run(str(path.parent), "a", whole.row, whole.config, whole.facts, whole.wording)
    for number, kill in enumerate(kills):
        run = open_run(path, "", MODES)
        while True:
            training = Training(run, folder / f"{number}")
            try:
                if training.kill(kill):
                    break
            finally:
                training.process.kill()  # does nothing if it has ended
            kill = kill._replace(seconds=kill.seconds / 4)
        check_killed(run, training, kill)
    assert outcome(trained("--resume", str(path))) == outcome(whole)


def test_a_plan_has_every_kind_of_kill_with_every_signal():
    kills = plan(20, "a")
    assert len(kills) == 20 and kills == plan(20, "a") != plan(20, "b")
    seen = {(kill.when, kill.signal) for kill in kills}
    assert seen >= {(when, number) for when in ("training", "checkpoint", "evaluation") for number in SIGNALS}
    assert [kill.when for kill in kills[-4:]] == ["evaluation"] * 4


def test_a_training_survives_a_kill(flags_of, tmp_path, monkeypatch):
    monkeypatch.setattr(Task, "evaluate", lambda *_: {"mode": "nvdm", "seed": 0, "dataset": "", "epoch": 5})
    flags = [*flags_of("nvdm"), "--epochs", "5", "--no-curves"]
    survives("nvdm", flags, [Kill("checkpoint", signal.SIGTERM, 1, 0.0)], tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("mode", ["nvdm", "nasm", "twrvae", "infobigbigan"])
def test_a_training_survives_twenty_kills(mode, flags_of, tmp_path):
    survives(mode, flags_of(mode), plan(20, mode), tmp_path)
