"""Tables of scores: of one run on the terminal, and of several runs in Markdown."""

import dataclasses
import json
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metrics.catalogue import score_of, worst
from training.runs import Run

if TYPE_CHECKING:
    from rich.table import Table


def numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores that a table shows: those that are single numbers."""
    return {k: v for k, v in scores.items() if isinstance(v, (int, float)) and k not in ("seed", "epoch")}


def print_table(run: Run, scores: Mapping[str, Any]) -> None:
    """Print one aligned table of a run's scores, and the map from codes to classes."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    print(f"{run.path}: {run.mode} on {scores['dataset']}, epoch {scores['epoch']}, seed {scores['seed']}")
    table = Table("score", "value", "key")
    table.columns[1].justify = "right"
    for key, value in numbers(scores).items():
        table.add_row(escape(score_of(key).heading), f"{value:,}" if isinstance(value, int) else f"{value:.4f}", key)
    Console().print(table)
    if "class_shares" in scores:  # scores of older versions have the map without what stands beside it
        Console().print(code_table(scores))
        if scores["classes_without_code"]:
            print(f"{score_of('classes_without_code').label}: {', '.join(scores['classes_without_code'])}")
    for key in ("feature_network", "samples"):
        if key in scores:
            print(f"{score_of(key).label}: {scores[key]}")


def code_table(scores: Mapping[str, Any]) -> "Table":
    """Return the table of the categories of the code, with the class that each stands for and its share of the images."""
    from rich.markup import escape
    from rich.table import Table

    shown = [score_of(key).label for key in ("code_prior", "code_to_class", "class_shares")]
    table = Table("code", *shown)
    for column in (0, 1, 3):
        table.columns[column].justify = "right"
    for code, number in enumerate(scores["code_to_class"]):
        share = scores["class_shares"][number]
        name = escape(scores["class_names"][number])
        table.add_row(str(code), f"{scores['code_prior'][code]:.3f}", name, f"{share:.3f}")
    return table


def comparison(runs: list[Run], scored: list[dict[str, Any]]) -> str:
    """Return a Markdown table; runs that differ by their seed alone share a row of mean, median, spread and worst."""
    groups: dict[str, list[tuple[Run, dict[str, Any]]]] = {}
    for run, scores in zip(runs, scored, strict=True):
        alike = {**dataclasses.asdict(run.config), "seed": None, "mode": run.mode}
        groups.setdefault(json.dumps(alike, sort_keys=True), []).append((run, scores))
    lines = ["| runs | score | mean | median | spread | worst | by seed |", "|---|---|---|---|---|---|---|"]
    for members in groups.values():
        names = ", ".join(run.path.name.replace("|", r"\|") for run, _ in members)
        for key in dict.fromkeys(key for _, scores in members for key in numbers(scores)):
            values = [scores[key] for _, scores in members if key in scores]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            figures = [statistics.mean(values), statistics.median(values), spread, worst(key, values)]
            cells = ("" if figure is None else f"{figure:.4g}" for figure in figures)
            seeds = " ".join(f"{value:.4g}" for value in values)
            lines.append(f"| {names} | {score_of(key).heading} | {' | '.join(cells)} | {seeds} |")
    return "\n".join(lines)
