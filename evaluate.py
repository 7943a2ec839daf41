"""Score runs: python evaluate.py [RUN ...]. Without the flag of an evaluation, all evaluations of the run's mode."""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from data.errors import InputError
from metrics.catalogue import EVALUATIONS
from reporting.tables import comparison, print_table
from tasks.configs import BigGANConfig
from tasks.modes import MODES
from training.cli import Parser, run_program
from training.runs import Run, export_run, latest_run, open_run

DESCRIPTION = "Score runs: write metrics.json and figures into each. Without the flag of an evaluation, compute all."


def parse(argv: list[str]) -> argparse.Namespace:
    """Return the options; there is one for each evaluation."""
    parser = Parser(prog="evaluate.py", description=DESCRIPTION)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="directories or names; default: the latest run")
    parser.add_argument("--runs-dir", default="runs", help="folder of runs (default: runs)")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON and nothing else")
    parser.add_argument(
        "--export", metavar="DIR", type=Path, help="also write the weights of one image run, in float16, to give away"
    )
    evaluations = parser.add_argument_group("evaluations")
    for name, doc in {evaluation.name: evaluation.doc for evaluation in EVALUATIONS}.items():
        modes = ", ".join(mode.name for mode in MODES.values() if name in [own.name for own in mode.scores])
        evaluations.add_argument(f"--{name}", action="store_true", help=f"{doc} ({modes})")
    return parser.parse_args(argv)


def score(run: Run, asked: list[str]) -> tuple[Any, int, dict[str, Any]]:
    """Compute the evaluations of the flags `asked`; return the run's model, its epoch and the scores."""
    wanted, task = MODES[run.mode].wanted(run, asked), MODES[run.mode].make_task()
    _ = run.scores  # a damaged metrics.json is an error before the work, not after it
    data, model, epoch = task.open(run)
    return model, epoch, task.evaluate(run, data, model, epoch, wanted)


def evaluate(argv: list[str]) -> None:
    """Score the runs; print one table, a comparison, or JSON."""
    options = parse(argv)
    paths = options.runs or [latest_run(options.runs_dir)]
    runs = [open_run(path, options.runs_dir, MODES) for path in paths]
    asked = [name for name in dict.fromkeys(own.name for own in EVALUATIONS) if getattr(options, name)]
    if options.export and len(runs) > 1:
        raise InputError("--export: give one run")
    if options.export and not isinstance(runs[0].config, BigGANConfig):
        raise InputError(f"--export: {runs[0].path} is a run of mode {runs[0].mode}: only image modes are exported")
    if options.export and options.export.exists():
        raise InputError(f"--export: {options.export} exists: give another folder")
    for run in runs:
        MODES[run.mode].wanted(run, asked)  # an error of any run comes before the work
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        scored = []
        for run in runs:
            model, epoch, scores = score(run, asked)
            scored.append(scores)
            if options.export:
                export_run(run, model, epoch, options.export)
                print(f"exported to {options.export}", file=sys.stderr)
    if options.json:
        named = {str(run.path): scores for run, scores in zip(runs, scored, strict=True)}
        print(json.dumps(scored[0] if len(runs) == 1 else named, indent=2))
    elif len(runs) == 1:
        print_table(runs[0], scored[0])
    else:
        print(comparison(runs, scored))


def main(argv: list[str] | None = None) -> int:
    """Evaluate; return the exit code."""
    return run_program(evaluate, argv)


if __name__ == "__main__":
    sys.exit(main())
