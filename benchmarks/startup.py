"""Measure what a user waits for: python -m benchmarks.startup [--score RUN]

It prints a JSON object of seconds, each from a command on:

- `first_epoch`: until the default InfoBigBiGAN has made its first epoch on `digits`, of 19 updates. TensorFlow is
  imported, the model is built, and its step is compiled before.
- `resumed`: until a training that is resumed says what it does.
- `scores`: until RUN has all of its scores, if it is given.
"""

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

from benchmarks.processes import ROOT
from data.errors import InputError
from tasks.modes import MODES
from training.cli import Parser, run_program
from training.runs import open_run

TRAINING = ["--mode", "infobigbigan", "--dataset", "digits", "--epochs", "1", "--name", "run"]


def seconds(program: str, *arguments: str, until: str | None = None) -> float:
    """Return the seconds from a command until it prints a line that begins with `until`; None: until its end.

    Raises:
        InputError: the command failed, or printed no such line.
    """
    command, lines, start = [sys.executable, program, *arguments], [""], time.perf_counter()
    found = None
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **options) as process:
        assert process.stdout
        for line in process.stdout:
            lines.append(line.rstrip())
            if found is None and until is not None and line.startswith(until):
                found = time.perf_counter() - start
    if process.returncode:
        raise InputError(f"{shlex.join(command[1:])} failed: {lines[-1]}")
    if until is None:
        return time.perf_counter() - start
    if found is None:
        raise InputError(f"{shlex.join(command[1:])} printed no line that begins with {until!r}")
    return found


def measure(argv: list[str]) -> None:
    """Print the seconds as JSON."""
    parser = Parser(prog="python -m benchmarks.startup", description="Measure what a user waits for.")
    parser.add_argument("--score", metavar="RUN", help="a run whose scores are computed again")
    score = parser.parse_args(argv).score
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "first_epoch": seconds("train.py", *TRAINING, "--runs-dir", folder, until="epoch 1/1"),
            "resumed": seconds("train.py", "--resume", f"{folder}/run", until="infobigbigan on digits"),
        }
        if score:
            run = open_run(score, "runs", MODES).path
            shutil.copytree(run, copy := f"{folder}/scored")  # evaluations write into a run
            found["scores"] = seconds("evaluate.py", copy)
    print(json.dumps({name: round(value, 1) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    sys.exit(run_program(measure))
