"""Scores runs: python evaluate.py [RUN ...]. Without a score's flag, all that the run's mode has."""

import contextlib
import dataclasses
import json
import os
import statistics
import sys

from data.errors import InputError
from training.cli import Parser, run_program
from training.modes import MODES
from training.runs import Run, latest_run, open_run, write_text

SCORES = tuple(dict.fromkeys(score for mode in MODES.values() for score in mode.metrics))
LOWER_IS_BETTER = ("fid", "kid", "reconstruction_mse", "reconstruction_features", "train_minutes")


def parse(argv: list[str]):
    parser = Parser(prog="evaluate.py", description="Scores runs and writes metrics.json and figures into each.")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="directories or names; default: the latest")
    parser.add_argument("--runs-dir", default="runs", help="where runs are kept")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON and nothing else")
    for score in SCORES:
        parser.add_argument(f"--{score}", action="store_true", help=f"compute {score}; default: all the mode has")
    return parser.parse_args(argv)


def wanted_scores(run: Run, asked: list[str]) -> tuple[str, ...]:
    """The scores to compute for a run. Raises InputError for one that its mode or its data does not have."""
    for score in asked:
        if score not in run.kind.metrics:
            has = ", ".join(f"--{name}" for name in run.kind.metrics)
            raise InputError(f"--{score}: {run.path} is a run of mode {run.mode}, which has {has}")
    needs_labels = ("linear", "hungarian", "kmeans")
    return tuple(asked) or tuple(s for s in run.kind.metrics if run.data.get("labels", True) or s not in needs_labels)


def score(run: Run, asked: list[str]) -> dict:
    """Computes a run's scores and merges them into its metrics.json."""
    wanted = wanted_scores(run, asked)
    found = {"mode": run.mode, "seed": run.config.seed, **run.kind.program().evaluate(run, wanted)}
    found["train_minutes"] = round(run.train_minutes, 2)
    file = run.path / "metrics.json"
    stored = json.loads(file.read_text()) if file.exists() else {}
    if stored.get("epoch") != found["epoch"]:
        stored = {}  # of an earlier checkpoint
    write_text(file, json.dumps(stored | found, indent=2) + "\n")
    return found


def numbers(scores: dict) -> dict[str, float]:
    """The scores that a table shows: single numbers."""
    return {k: v for k, v in scores.items() if isinstance(v, (int, float)) and k not in ("seed", "epoch")}


def print_table(run: Run, scores: dict):
    """One aligned table of a run's scores, and the map from codes to classes."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{run.path} ({run.mode} on {scores['dataset']}, epoch {scores['epoch']})")
    table.add_column("score")
    table.add_column("value", justify="right")
    for name, value in numbers(scores).items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
    Console().print(table)
    for name in ("code_to_class", "feature_network", "samples"):
        if name in scores:
            print(f"{name}: {scores[name]}")


def comparison(runs: list[Run], scored: list[dict]) -> str:
    """A Markdown table: runs that differ by their seed alone share a row of mean, median, spread and worst."""
    groups: dict[str, list[tuple[Run, dict]]] = {}
    for run, scores in zip(runs, scored, strict=True):
        alike = {**dataclasses.asdict(run.config), "seed": None, "mode": run.mode}
        groups.setdefault(json.dumps(alike, sort_keys=True), []).append((run, scores))
    lines = ["| runs | score | mean | median | spread | worst | by seed |", "|---|---|---|---|---|---|---|"]
    for members in groups.values():
        names = ", ".join(run.path.name for run, _ in members)
        for name in dict.fromkeys(name for _, scores in members for name in numbers(scores)):
            values = [scores[name] for _, scores in members if name in scores]
            worst = max(values) if name in LOWER_IS_BETTER else min(values)
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            figures = [statistics.mean(values), statistics.median(values), spread, worst]
            seeds = " ".join(f"{value:.4g}" for value in values)
            lines.append(f"| {names} | {name} | {' | '.join(f'{figure:.4g}' for figure in figures)} | {seeds} |")
    return "\n".join(lines)


def evaluate(argv: list[str]):
    options = parse(argv)
    runs = [open_run(path, options.runs_dir) for path in options.runs] or [latest_run(options.runs_dir)]
    asked = [name for name in SCORES if getattr(options, name)]
    for run in runs:
        wanted_scores(run, asked)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        scored = [score(run, asked) for run in runs]
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
