"""Processes that train one model each, and the data that they train on."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from data.errors import InputError
from data.text import at_hand

ROOT = Path(__file__).resolve().parents[1]
WORKER = Path(__file__).with_name("worker.py")
SECONDS = 3  # that a model trains before the next one has its turn
IMAGES = 4096  # that are made for a model


def noise(folder: Path, side: int) -> Path:
    """Write gray images of noise, uint8 [IMAGES, side, side], to a file, and return it: no time depends on the pixels."""
    file = folder / f"noise-{side}.npz"
    np.savez(file, images=np.random.default_rng(0).integers(0, 256, (IMAGES, side, side), np.uint8))
    return file


def corpus(reader: ModuleType) -> str:
    """Return the first published corpus of a reader that is on disk, else `docstrings`."""
    return (at_hand(reader.PREPARED) or ["docstrings"])[0]


class Process:
    """A process that trains one model of one checkout (benchmarks/worker.py).

    Args:
        root: the checkout.
        mode, options: what to train.
        counted: whether to count operations, which today's code can do for its own models alone.

    Raises:
        InputError: the model cannot be trained there.
    """

    def __init__(self, root: Path, mode: str, options: dict[str, Any], counted: bool):
        asked = json.dumps({"mode": mode, "options": options, "count": counted})
        command = [sys.executable, "-c", WORKER.read_text(), asked]
        # Whether TensorFlow uses oneDNN is the commit's own choice.
        own = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
        self.process = subprocess.Popen(
            command, cwd=root, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.root, self.mode = root, mode
        self.memory_gb = float(self.answer())

    def answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        while line and line[0] not in "{0123456789":  # what readers say of their data
            line = self.process.stdout.readline()
        if not line:
            raise InputError(f"{self.mode} cannot be trained by the code in {self.root}: see its message above")
        return json.loads(line)

    def ask(self, command: str) -> Any:
        assert self.process.stdin
        print(command, file=self.process.stdin, flush=True)
        return self.answer()

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait()
