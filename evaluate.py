"""Score runs: python evaluate.py [RUN ...]. Without the flag of an evaluation, all evaluations of the run's mode."""

import argparse
import contextlib
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from data.errors import InputError
from metrics.catalogue import EVALUATIONS
from reporting.cards import FORMATS
from reporting.tables import comparison, print_table
from tasks.configs import BigGANConfig
from tasks.modes import MODES
from training.cli import Parser, run_program
from training.runs import Run, latest_run, open_run

PERHAPS_SEEN = "images that the run may have been trained on"
DESCRIPTION = "Score runs: write metrics.json and figures into each. Without the flag of an evaluation, compute all."


def parse(argv: list[str]) -> argparse.Namespace:
    """Return the options; there is one for each evaluation."""
    parser = Parser(prog="evaluate.py", description=DESCRIPTION)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="directories or names; default: the latest run")
    parser.add_argument("--runs-dir", default="runs", help="folder of runs (default: runs)")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON and nothing else")
    parser.add_argument(
        "--export",
        metavar="DIR",
        type=Path,
        help="also write one run into a new folder, to give away, with a model card",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="of --export; weights (default): float16, for this project; saved-model: for TensorFlow alone",
    )
    parser.add_argument(
        "--dataset", help="score image runs on another data set of their shape, and write nothing into them"
    )
    parser.add_argument("--data-dir", help="the folder of that data set, as for train.py")
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


def give_away(run: Run, model: Any, epoch: int, folder: Path, form: str) -> None:
    """Write the model of a run into a new folder; `form` is "weights" or "saved-model"."""
    from reporting.export import export_run

    mode = MODES[run.mode]
    export_run(run, model, epoch, folder, form, mode.summary, mode.make_task().limits)


def score_elsewhere(run: Run, dataset: str, data_dir: str | None, asked: list[str]) -> dict[str, Any]:
    """Compute the evaluations of the flags `asked` on another data set than the run's, and write nothing into the run.

    Raises:
        InputError: the data set cannot be read, or its images have another shape than those of the run.
    """
    task = MODES[run.mode].make_task()
    config = dataclasses.replace(run.config, dataset=dataset, data_dir=data_dir)
    data = task.load(config)
    other = dataclasses.replace(run, config=config, facts=task.facts(data))
    wanted = MODES[run.mode].wanted(other, asked)
    own_shape, shape = (list(known.facts["image_shape"]) for known in (run, other))
    if shape != own_shape:
        raise InputError(
            f"--dataset {dataset}: its images are {shape}, but {run.path} has {own_shape}: give such images"
        )
    model, epoch = task.restored(run)
    with tempfile.TemporaryDirectory() as folder:
        scores = task.evaluate(dataclasses.replace(other, path=Path(folder)), data, model, epoch, wanted)
    return scores | {"dataset": f"{dataset} ({PERHAPS_SEEN})"}


def evaluate(argv: list[str]) -> None:
    """Score the runs; print one table, a comparison, or JSON."""
    options = parse(argv)
    paths = options.runs or [latest_run(options.runs_dir)]
    runs = [open_run(path, options.runs_dir, MODES) for path in paths]
    asked = [name for name in dict.fromkeys(own.name for own in EVALUATIONS) if getattr(options, name)]
    if options.export and len(runs) > 1:
        raise InputError("--export: give one run")
    if options.format and not options.export:
        raise InputError("--format is the form of --export: give that too")
    if options.export:
        runs[0].check_wording("--export: ")
    if options.export and options.export.exists():
        raise InputError(f"--export: {options.export} exists: give another folder")
    if options.data_dir and not options.dataset:
        raise InputError("--data-dir is the folder of --dataset: give that too")
    if options.dataset and options.export:
        raise InputError("--dataset and --export: give one of them")
    # a run that was given away brings its scores, so that its data, which may not be at hand, are not read
    kept = options.export is not None and runs[0].exported and not asked
    for run in runs:  # an error of any run comes before the work
        if not options.dataset:
            MODES[run.mode].wanted(run, asked)
        elif not isinstance(run.config, BigGANConfig):
            raise InputError(f"--dataset: {run.path} is a run of mode {run.mode}: only image modes have it")
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        scored = []
        for run in runs:
            # now: importing TensorFlow takes seconds
            work = "given away with its scores" if kept else "scored"
            print(f"{run.mode} on {run.config.dataset} in {run.path} is being {work}", flush=True)
            if options.dataset:
                scored.append(score_elsewhere(run, options.dataset, options.data_dir, asked))
                continue
            if kept:
                (model, epoch), scores = MODES[run.mode].make_task().restored(run), run.scores
            else:
                model, epoch, scores = score(run, asked)
            scored.append(scores)
            if options.export:
                give_away(run, model, epoch, options.export, options.format or FORMATS[0])
                print(f"exported to {options.export}", file=sys.stderr)
    if options.dataset:
        print(f"scores on {options.dataset}, {PERHAPS_SEEN}; nothing is written into the runs", file=sys.stderr)
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
