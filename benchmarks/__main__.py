"""Measure the training steps of five models: python -m benchmarks [--only NAME ...] [--against COMMIT]

One table shows examples per second, and the share of the machine's own rate of matrix products. With --against, every
model is also trained as another commit has it. The two take turns within one run, so that a change of the machine's
speed meets both, and docs/results/speed.json gets the ratios.
"""

import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.processes import ROOT, SECONDS, Process, corpus, noise
from data import answers, documents, sentences
from data.errors import InputError
from models.capabilities import fastest_dtype
from training.cli import Parser, count, run_program
from training.files import write_text

RESULT = ROOT / "docs" / "results" / "speed.json"


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
    return [
        Case("infobigbigan", "default", str(images), "images/s", precisions),
        Case("bigbigan", "reference", str(images), "images/s", precisions),
        Case("twrvae", "default", corpus(sentences), "target tokens/s"),
        Case("nvdm", "default", corpus(documents), "documents/s"),
        Case("nasm", "default", corpus(answers), "candidates/s"),
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
        images = noise(folder, 28)
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
                print(", ".join(row), file=sys.stderr, flush=True)  # the whole takes minutes
    Console(width=140).print(table)
    if ratios and set(options.only) == set(names):
        write_text(RESULT, json.dumps(ratios, indent=1) + "\n")
        print(f"written: {RESULT.relative_to(ROOT)}")
    elif ratios:
        print(f"{RESULT.relative_to(ROOT)} stays as it is, because --only left models out")


if __name__ == "__main__":
    sys.exit(run_program(benchmark))
