"""Measure what it costs to share batches on a processor: python -m benchmarks.workers [--epochs N]

Four models are trained by one worker, by two devices that are halves of the processor, and by two processes on this
machine, as two machines would train. All of them have the same cores, so sharing can only cost. It takes an hour and a
half on two slow cores, nearly all of it for twrvae.
"""

import contextlib
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.processes import ROOT
from data.errors import InputError
from tasks.modes import MODES
from training.cli import Parser, count, run_program
from training.devices import CLUSTER
from training.runs import open_run

MODELS = {  # mode: the options of its training
    "biggan": ["--dataset", "digits"],
    "infobigbigan": ["--dataset", "digits"],
    "nvdm": ["--dataset", "docstrings", "--no-curves"],
    "twrvae": ["--dataset", "docstrings", "--no-curves"],
}
WAYS = {"one worker": [[]], "two devices": [["--devices", "2"]], "two processes": [[], []]}  # its processes' flags


def seconds(mode: str, way: str, epochs: int) -> float:
    """Train a model; return the median seconds of an epoch behind the first one, which compiles the step.

    Raises:
        InputError: a process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--mode", mode, *MODELS[mode], "--epochs", str(epochs), "--runs-dir", folder, "--name", "run"]
        own = WAYS[way]
        command = [sys.executable, ROOT / "train.py", *flags]
        addresses = free_addresses(len(own))
        processes = []
        for index, extra in enumerate(own):
            environment = os.environ | (machine(addresses, index) if len(own) > 1 else {})
            output = subprocess.PIPE if index == 0 else subprocess.DEVNULL
            processes.append(
                subprocess.Popen(
                    [*command, *extra], env=environment, stdout=output, stderr=subprocess.STDOUT, text=True
                )
            )
        said, _ = processes[0].communicate()
        codes = [process.wait() for process in processes]
        if any(codes):
            raise InputError(f"{mode}, {way}: the training failed: {said.strip().splitlines()[-1]}")
        history = open_run(Path(folder, "run"), folder, MODES).history
    return statistics.median(entry["seconds"] for entry in history[1:])


def free_addresses(number: int) -> list[str]:
    """Return addresses of this machine that nobody listens on, as TF_CONFIG names them."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [f"127.0.0.1:{own.getsockname()[1]}" for own in sockets]


def machine(addresses: list[str], index: int) -> dict[str, str]:
    """Return TF_CONFIG, by its name, for machine `index` of those at `addresses`."""
    described = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    return {CLUSTER: json.dumps(described)}


def measure(argv: list[str]) -> None:
    """Print one table: seconds of an epoch, and how many times those of one worker."""
    parser = Parser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--epochs", type=count, default=5, help="of each training (default: 5)")
    epochs = parser.parse_args(argv).epochs
    if epochs < 2:
        raise InputError(f"--epochs {epochs}: the first epoch is not counted, so give at least 2")
    found = {}
    for mode, way in itertools.product(MODELS, WAYS):
        print(f"{mode}, {way}", file=sys.stderr)
        found[mode, way] = seconds(mode, way, epochs)
    table = Table("seconds of an epoch", *WAYS)
    for mode in MODELS:
        alone = found[mode, "one worker"]
        table.add_row(mode, *(f"{found[mode, way]:.2f} ({found[mode, way] / alone:.2f} x)" for way in WAYS))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run_program(measure))
