"""Measure the training steps of five models: python -m benchmarks [--only NAME ...] [--against COMMIT]

One table shows examples per second, and the share of the machine's own rate of matrix products. With --against, every
model is also trained as another commit has it. The two take turns within one run, so that a change of the machine's
speed meets both, and docs/results/speed.json gets the ratios.
"""

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from data import answers, documents, sentences
from data.errors import InputError
from data.text import at_hand
from models.capabilities import fastest_dtype
from training.cli import Parser, count, run_program
from training.files import write_text

ROOT = Path(__file__).resolve().parents[1]
WORKER = Path(__file__).with_name("worker.py")
RESULT = ROOT / "docs" / "results" / "speed.json"
SIDE = 28  # height and width of the images that are made for a model
SECONDS = 3  # that a model trains before the next one has its turn


@dataclasses.dataclass(frozen=True)
class Case:
    """A model to measure.

    name: a mode, and the name in tables. preset: of its options. dataset: what it trains on. unit: of its speed.
    precisions: the options `--precision` to measure; none for text, which is float32.
    """

    name: str
    preset: str
    dataset: str
    unit: str
    precisions: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Speed:
    """What was measured of a model: medians over rounds.

    rate: examples per second. flops, matmul: operations per second of the step and of the matmul. waited: the share of
    the time that waited for input. memory_gb: the peak memory of the process.
    """

    rate: float
    flops: float
    matmul: float
    waited: float
    memory_gb: float


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
        own = {
            name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"
        }  # a commit's choice
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


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Give a folder with the files of a commit. Raise InputError if there is no such commit."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, commit.replace("/", "-"))
        git = ["git", "-C", str(ROOT), "worktree"]
        made = subprocess.run([*git, "add", "--detach", str(place), commit], capture_output=True, text=True)
        if made.returncode:
            raise InputError(f"--against {commit}: {made.stderr.strip().splitlines()[-1]}")
        try:
            yield place
        finally:
            subprocess.run([*git, "remove", "--force", str(place)], check=True)


def cases(images: Path) -> list[Case]:
    """Return the models to measure. Text models train on published corpora where those are on disk."""
    precisions = ("float32",) if fastest_dtype() == "float32" else ("float32", "bfloat16")
    corpora = {
        reader: (at_hand(reader.PREPARED)[:1] or ["docstrings"])[0] for reader in (sentences, documents, answers)
    }
    return [
        Case("infobigbigan", "default", str(images), "images/s", precisions),
        Case("bigbigan", "reference", str(images), "images/s", precisions),
        Case("twrvae", "default", corpora[sentences], "target tokens/s"),
        Case("nvdm", "default", corpora[documents], "documents/s"),
        Case("nasm", "default", corpora[answers], "candidates/s"),
    ]


def measure(case: Case, precision: str, roots: list[Path], rounds: int) -> list[Speed]:
    """Return the speed of a model as each checkout has it, this one first."""
    options = {"preset": case.preset, "dataset": case.dataset} | ({"precision": precision} if case.precisions else {})
    with contextlib.ExitStack() as stack:
        processes = []
        for root in roots:
            processes.append(Process(root, case.name, options, counted=root == ROOT))
            stack.callback(processes[-1].close)
        found = [[] for _ in processes]
        for _ in range(rounds):
            for process, own in zip(processes, found, strict=True):
                own.append(process.ask(f"train {SECONDS}") | {"matmul": process.ask("multiply")})
    medians = [
        {key: statistics.median(round[key] for round in own) for key in ("rate", "flops", "matmul", "waited")}
        for own in found
    ]
    return [Speed(**own, memory_gb=process.memory_gb) for own, process in zip(medians, processes, strict=True)]


def benchmark(argv: list[str]) -> None:
    """Print the table; with --against, write the ratios."""
    names = [case.name for case in cases(Path())]
    parser = Parser(prog="python -m benchmarks", description="Measure the training steps of five models.")
    parser.add_argument("--only", nargs="+", default=names, choices=names, help="the models to measure (default: all)")
    parser.add_argument("--against", metavar="COMMIT", help="let another commit take turns, and write the ratios")
    parser.add_argument("--rounds", type=count, default=5, help="turns of each model (default: 5)")
    options = parser.parse_args(argv)

    titles = ["model", "preset", "precision", "speed", "unit", "share of matmul", "waits", "memory, GB"]
    table = Table(*titles, *([options.against, "ratio"] if options.against else []))
    ratios = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images = folder / "noise.npz"
        np.savez(images, images=np.random.default_rng(0).integers(0, 256, (4096, SIDE, SIDE), np.uint8))
        roots = [ROOT] + ([stack.enter_context(checkout(options.against))] if options.against else [])
        for case in (case for case in cases(images) if case.name in options.only):
            for precision in case.precisions or ("float32",):
                this, *others = measure(case, precision, roots, options.rounds)
                shown = [f"{this.rate:,.0f}", case.unit, f"{this.flops / this.matmul:.2f}", f"{this.waited:.1%}"]
                row = [case.name, case.preset, precision, *shown, f"{this.memory_gb:.2f}"]
                for other in others:
                    ratio = this.rate / other.rate
                    row += [f"{other.rate:,.0f}", f"{ratio:.2f}"]
                    ratios.append(
                        {
                            "name": case.name,
                            "preset": case.preset,
                            "precision": precision,
                            "this": round(this.rate, 1),
                            "other": round(other.rate, 1),
                            "ratio": round(ratio, 3),
                            "unit": case.unit,
                        }
                    )
                table.add_row(*row)
    Console(width=140).print(table)
    if ratios and set(options.only) == set(names):
        write_text(RESULT, json.dumps(ratios, indent=1) + "\n")
        print(f"written: {RESULT.relative_to(ROOT)}")
    elif ratios:
        print(f"{RESULT.relative_to(ROOT)} stays as it is, because --only left models out")


if __name__ == "__main__":
    sys.exit(run_program(benchmark))
