"""Make a study's tables and figures: python reproduce.py STUDY. It can be stopped, and continued, at any time.

It carries out the missing trainings of the study first. `python reproduce.py report` writes docs/report.md from the
results so far.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from data.errors import InputError
from studies.plan import Study, Training, read_entries, read_study
from tasks.modes import MODES
from training.cli import DIVERGED, Parser, count, run_program
from training.files import held, write_bytes, write_text
from training.runs import CANDIDATES, open_run

ROOT = Path(__file__).resolve().parent
RESULTS = ROOT / "docs/results"
REPORT = "report"  # stands in the place of a study's name


def parse(argv: list[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = Parser(
        prog="reproduce.py",
        description="Carry out the missing trainings of a study, then write its tables and figures.",
    )
    parser.add_argument(
        "study", help=f"a study of studies/studies.yaml; or {REPORT}, which takes no options and writes docs/report.md"
    )
    parser.add_argument("--seeds", type=count, metavar="N", help="train only the first N seeds of every row")
    parser.add_argument(
        "--preset", choices=("quick", "default"), help="train with this preset in place of the study's length"
    )
    parser.add_argument("--runs-dir", default="runs", help="folder of runs (default: runs)")
    parser.add_argument("--results-dir", default=RESULTS, type=Path, help="folder of results (default: docs/results)")
    parser.add_argument("--dry-run", action="store_true", help="print the missing commands and their expected time")
    parser.add_argument(
        "--tables", action="store_true", help="train nothing; write tables and figures from the results so far"
    )
    options = parser.parse_args(argv)
    if options.study == REPORT and len(argv) > 1:
        parser.error(f"{REPORT} takes no options: leave them out")
    return options


def carry_out(training: Training, runs_dir: str) -> dict:
    """Train and evaluate, or continue an interrupted training; return its entry.

    A training that diverged gets an entry with its error.

    Raises:
        InputError: the training could not begin, or broke off.
    """
    path = Path(runs_dir) / training.run_name
    place = ["--resume", str(path)] if path.exists() else ["--name", training.run_name]
    command = [sys.executable, str(ROOT / "train.py"), *training.arguments, *place, "--runs-dir", runs_dir]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        try:
            _, errors = child.communicate()
        except KeyboardInterrupt:
            child.terminate()  # a Ctrl-C in a terminal has reached it already, other signals have not
            child.communicate()  # it writes a checkpoint
            raise
    last = (errors.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
    last = last.removeprefix(f"{command[1]}: ")
    if child.returncode not in (2, DIVERGED):
        sys.stderr.write(errors)  # warnings, or a traceback
    if child.returncode not in (0, DIVERGED):
        raise InputError(f"{training.name}: {last}")
    run = open_run(path, runs_dir, MODES)
    entry = {
        "name": training.name,
        "row": training.row,
        "mode": training.mode,
        "dataset": training.given["dataset"],
        "seed": training.seed,
        "config_hash": training.config_hash,
        "command": training.command,
        "config": training.config,
        "precision": run.config.computed_in,
        "metrics": {},
        "curves": [
            {name: value for name, value in point.items() if name == "step" or name.startswith("validation/")}
            for point in run.history
            if any(name.startswith("validation/") for name in point)
        ],
    }
    if child.returncode == DIVERGED:
        print(f"{training.name}: {last}", file=sys.stderr)
        return entry | {"error": last}
    return entry | {"metrics": run.scores}


def keep_files(study: Study, training: Training, runs_dir: str, folder: Path) -> None:
    """Copy a run's scores of candidates and, for a row's first seed, the pictures that the study keeps."""
    run = Path(runs_dir) / training.run_name
    is_first = training.seed == study.seeds_of(training.row)[0]
    for file in [run / CANDIDATES] + [run / "figures" / f"{figure}.png" for figure in study.keep if is_first]:
        if file.exists():
            write_bytes(folder / f"{training.name}-{file.name}", file.read_bytes())


def reproduce(argv: list[str]) -> None:
    """Write the report, or carry out a study's missing trainings and write its page."""
    options = parse(argv)
    if options.study == REPORT:
        from studies.report import build_report

        return build_report()
    study = read_study(options.study, options.seeds, options.preset)
    file, folder = options.results_dir / f"{study.name}.json", options.results_dir / study.name
    if options.dry_run:
        entries = read_entries(file)
        missing = study.missing(entries)
        for training in missing:
            print(f"{training.minutes(entries):6.1f} min  {training.command}")
        later = study.size - len(study.trainings(entries))
        total = sum(training.minutes(entries) for training in missing)
        print(
            f"{len(missing)} trainings are missing, about {total / 60:.1f} hours; {later} more depend on their scores"
        )
        return

    from studies.tables import check_figures, write_report

    check_figures(study)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        entries = read_entries(file)
        while not options.tables and (missing := study.missing(entries)):
            training, number = missing[0], len(study.trainings(entries)) - len(missing) + 1
            mean = sum(other.minutes(entries) for other in missing) / len(missing)
            unknown = study.size - len(study.trainings(entries))  # the finalists' trainings
            left = mean * (len(missing) + unknown)
            print(f"{time.strftime('%H:%M')} {study.name}: run {number} of {study.size}, {training.name}; "
                  f"about {left:.0f} minutes left", flush=True)  # fmt: skip
            entries[training.name] = carry_out(training, options.runs_dir)
            keep_files(study, training, options.runs_dir, folder)  # first: an entry marks the training as finished
            write_text(file, json.dumps(list(entries.values()), indent=1) + "\n")
            write_report(study, entries, options.results_dir)
        write_report(study, entries, options.results_dir)
    print(f"{study.name}: {folder}.md")


def main(argv: list[str] | None = None) -> int:
    """Reproduce; return the exit code."""
    return run_program(reproduce, argv)


if __name__ == "__main__":
    sys.exit(main())
