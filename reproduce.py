"""Makes a study's tables and figures: python reproduce.py STUDY. Trains what is missing; stops and goes on at any time.

`python reproduce.py report` writes docs/report.md from what the studies have found so far.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from data.errors import InputError
from studies.plan import Study, Training, read_entries, read_study
from training.cli import DIVERGED, Parser, count, run_program

ROOT = Path(__file__).resolve().parent
RESULTS = ROOT / "docs/results"
REPORT = "report"  # in a study's place
SECONDS_PER_UPDATE = 0.12  # until a training of the study has been timed: two cores at 200 GFLOP/s


def parse(argv: list[str]):
    parser = Parser(
        prog="reproduce.py", description="Runs what is missing of a study, then writes its table and figures."
    )
    parser.add_argument("study", help=f"a name in studies/studies.yaml, or {REPORT}: docs/report.md, without options")
    parser.add_argument("--seeds", type=count, metavar="N", help="only the first N seeds of every row")
    parser.add_argument("--preset", choices=("quick", "default"), help="a length of training in place of the study's")
    parser.add_argument("--runs-dir", default="runs", help="where runs are kept (default: runs)")
    parser.add_argument("--results-dir", default=RESULTS, type=Path, help="where results go (default: docs/results)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and the time they would take")
    parser.add_argument("--tables", action="store_true", help="train nothing; write table and figures of what is there")
    options = parser.parse_args(argv)
    if options.study == REPORT and len(argv) > 1:
        parser.error(f"{REPORT} takes no options")
    return options


def minutes_of(training: Training, entries: dict[str, dict]) -> float:
    """Expected minutes: as others of its mode took per update, else a guess."""
    config = training.config
    per_update = [
        entry["metrics"]["train_minutes"] / entry["config"]["updates"]
        for entry in entries.values()
        if entry["mode"] == training.mode and "train_minutes" in entry["metrics"]
    ]
    return config["updates"] * (statistics.median(per_update) if per_update else SECONDS_PER_UPDATE / 60)


def carry_out(training: Training, runs_dir: str) -> dict:
    """Trains (or resumes) and evaluates; returns the entry. A training that diverges gives an entry that says so.

    Raises InputError where the training could not begin or was broken off.
    """
    from training.runs import open_run

    path = Path(runs_dir) / training.run_name
    place = ["--resume", str(path)] if path.exists() else ["--name", training.run_name]
    command = [sys.executable, str(ROOT / "train.py"), *training.arguments, *place, "--runs-dir", runs_dir]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    last = last.removeprefix(f"{command[1]}: ")
    if done.returncode not in (2, DIVERGED):
        sys.stderr.write(done.stderr)  # warnings, or where it broke
    if done.returncode not in (0, DIVERGED):
        raise InputError(f"{training.name}: {last}")
    run = open_run(path)
    entry = {
        "name": training.name,
        "row": training.row,
        "mode": training.mode,
        "dataset": training.given["dataset"],
        "seed": training.seed,
        "config_hash": training.config_hash,
        "command": " ".join(["python train.py", *training.arguments]),
        "config": training.config,
        "precision": getattr(run.config, "precision", "float32"),
        "metrics": {},
        "curves": [
            {name: value for name, value in point.items() if name == "step" or name.startswith("validation/")}
            for point in run.history
            if any(name.startswith("validation/") for name in point)
        ],
    }
    if done.returncode == DIVERGED:
        print(f"{training.name}: {last}", file=sys.stderr)
        return entry | {"error": last}
    return entry | {"metrics": json.loads((run.path / "metrics.json").read_text())}


def keep_files(study: Study, training: Training, runs_dir: str, folder: Path):
    """Copies the figures that the study keeps of a row's first seed, and of every seed the scores of candidates."""
    from training.runs import CANDIDATES, write_bytes

    run = Path(runs_dir) / training.run_name
    is_first = training.seed == study.seeds_of(training.row)[0]
    for file in [run / CANDIDATES] + [run / "figures" / f"{figure}.png" for figure in study.keep if is_first]:
        if file.exists():
            write_bytes(folder / f"{training.name}-{file.name}", file.read_bytes())


def reproduce(argv: list[str]):
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
            print(f"{minutes_of(training, entries):6.1f} min  python train.py {' '.join(training.arguments)}")
        later = study.size - len(study.trainings(entries))
        total = sum(minutes_of(training, entries) for training in missing)
        print(f"{len(missing)} trainings are missing, about {total / 60:.1f} hours; {later} more are chosen by them")
        return

    from studies.tables import check_figures, write_report
    from training.runs import held, write_text

    check_figures(study)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        entries = read_entries(file)
        while not options.tables and (missing := study.missing(entries)):
            training, number = missing[0], len(study.trainings(entries)) - len(missing) + 1
            mean = sum(minutes_of(other, entries) for other in missing) / len(missing)
            left = mean * (len(missing) + study.size - len(study.trainings(entries)))  # those that will be chosen, too
            print(f"{time.strftime('%H:%M')} {study.name}: run {number} of {study.size}, {training.name}; "
                  f"about {left:.0f} minutes left", flush=True)  # fmt: skip
            entries[training.name] = carry_out(training, options.runs_dir)
            keep_files(study, training, options.runs_dir, folder)  # first: an entry says finished
            write_text(file, json.dumps(list(entries.values()), indent=1) + "\n")
            write_report(study, entries, options.results_dir)
        write_report(study, entries, options.results_dir)
    print(f"{study.name}: {folder}.md")


def main(argv: list[str] | None = None) -> int:
    """Reproduces; returns the exit code."""
    return run_program(reproduce, argv)


if __name__ == "__main__":
    sys.exit(main())
