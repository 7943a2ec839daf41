"""Scores runs: python evaluate.py [RUN ...]. Without a score's flag, all that the run's mode has."""

import contextlib
import json
import sys
from pathlib import Path

from data.errors import InputError
from training.cli import Parser, run_program
from training.modes import IMAGES, MODES
from training.runs import export_run, latest_run, open_run
from training.scores import comparison, print_table, score, wanted_scores

DESCRIPTION = "Scores runs and writes metrics.json and figures into each; without a score's flag, all that a mode has."
SCORES = tuple(dict.fromkeys(name for mode in MODES.values() for name in mode.metrics))


def parse(argv: list[str]):
    parser = Parser(prog="evaluate.py", description=DESCRIPTION)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="directories or names; default: the latest")
    parser.add_argument("--runs-dir", default="runs", help="where runs are kept (default: runs)")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON and nothing else")
    parser.add_argument(
        "--export", metavar="DIR", type=Path, help="also write one run's weights, float16, to give away"
    )
    for name in SCORES:
        modes = ", ".join(mode for mode, row in MODES.items() if name in row.metrics)
        parser.add_argument(f"--{name}", action="store_true", help=f"of {modes}")
    return parser.parse_args(argv)


def evaluate(argv: list[str]):
    options = parse(argv)
    runs = [open_run(path, options.runs_dir) for path in options.runs] or [latest_run(options.runs_dir)]
    asked = [name for name in SCORES if getattr(options, name)]
    if options.export and len(runs) > 1:
        raise InputError("--export: give one run")
    if options.export and runs[0].kind.module != IMAGES:
        raise InputError(f"--export: {runs[0].path} is a run of mode {runs[0].mode}: only image modes are exported")
    if options.export and options.export.exists():
        raise InputError(f"--export: {options.export} exists: give another folder")
    for run in runs:
        wanted_scores(run, asked)
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        scored = [score(run, asked) for run in runs]
    if options.export:
        export_run(runs[0], options.export)
        print(f"exported to {options.export}", file=sys.stderr)
    if options.json:
        named = {str(run.path): scores for run, scores in zip(runs, scored, strict=True)}
        print(json.dumps(scored[0] if len(runs) == 1 else named, indent=2))
    elif len(runs) == 1:
        print_table(runs[0], scored[0])
    else:
        print(comparison(runs, scored))


def main(argv: list[str] | None = None) -> int:
    """Evaluates; returns the exit code."""
    return run_program(evaluate, argv)


if __name__ == "__main__":
    sys.exit(main())
