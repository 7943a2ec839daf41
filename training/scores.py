"""From runs to scores, tables and comparisons: what `train.py` prints at its end and `evaluate.py` on request."""

import dataclasses
import json
import statistics
from pathlib import Path

from data.errors import InputError
from training.runs import Run, write_text

NEEDS_LABELS = ("linear", "hungarian", "kmeans")
LOWER_IS_BETTER = ("fid", "kid", "reconstruction_mse", "reconstruction_features", "elbo_nll")
LOWER_IS_BETTER += ("train_minutes", "peak_memory_gb", "perplexity_document_lda", "perplexity_corpus_lda")
LOWER_IS_BETTER += ("perplexity_document", "perplexity_corpus", "validation_perplexity_document")
LOWER_IS_BETTER += ("perplexity_document_refined", "perplexity_corpus_refined", "elbo_nll_refined")
LOWER_IS_BETTER += ("iw_nll", "length_nats", "reference_nll", "perplexity", "validation_elbo_nll")
LOWER_IS_BETTER += ("self_bleu", "self_bleu_top_p", "repeated_2", "repeated_3", "repeated_2_top_p", "repeated_3_top_p")
DISTINCT = ("epoch", "feature_network", "feature_network_accuracy")  # where one differs, scores do not stand together


class ModelScores:
    """The scores of one model, a method for each of its mode's metrics; what several of them need is computed once.

    Args:
        run: whose options count (samples, seed), whose cache keeps the controls, and where figures go.
        data: as the `load` of its mode gives it.
        model: a trained one.
    """

    def __init__(self, run: Run, data, model):
        self.run, self.data, self.model = run, data, model

    def compute(self, wanted: tuple[str, ...]) -> dict:
        """The keys of the wanted scores."""
        scores = {}
        for name in wanted:
            scores |= getattr(self, name)()
        return scores


def wanted_scores(run: Run, asked: list[str]) -> tuple[str, ...]:
    """The scores to compute for a run. Raises InputError for one that its mode or its data does not have."""
    for score in asked:
        if score not in run.kind.metrics:
            has = ", ".join(f"--{name}" for name in run.kind.metrics)
            raise InputError(f"--{score}: {run.path} is a run of mode {run.mode}, which has {has}")
        if score in NEEDS_LABELS and not run.data["labels"]:
            raise InputError(f"--{score} needs labels and {run.config.dataset} has none: leave it out, or add labels")
    return tuple(asked) or tuple(s for s in run.kind.metrics if run.data["labels"] or s not in NEEDS_LABELS)


def score(run: Run, asked: list[str]) -> dict:
    """Computes a run's scores and merges them into its metrics.json; an exported run's stays as it was given away."""
    wanted, program = wanted_scores(run, asked), run.kind.program()
    file = run.path / "metrics.json"
    stored_scores(file)  # damaged: better known before the work than after
    data = program.load(run.config)
    run.check_data(program.facts(data))
    model = run.build()
    found = {"mode": run.mode, "seed": run.config.seed, "dataset": run.config.dataset, "epoch": run.restore(model)}
    found |= program.Scores(run, data, model).compute(wanted)
    found |= {"n_parameters": model.count_params()}
    if run.history:  # an exported run comes without, and keeps what its training took
        found |= {"train_minutes": round(run.train_minutes, 2)}
        found |= {"peak_memory_gb": run.peak_memory_gb} if run.peak_memory_gb else {}
    stored = stored_scores(file)  # of an evaluation that ended meanwhile, too
    if any(stored.get(name, found[name]) != found[name] for name in DISTINCT if name in found):
        stored = {}  # of another checkpoint, or beside another feature network
    if not run.exported:
        write_text(file, json.dumps(stored | found, indent=2) + "\n")
    return found


def stored_scores(file: Path) -> dict:
    """What an evaluation left in metrics.json. Raises InputError where the file is damaged."""
    try:
        return dict(json.loads(file.read_text())) if file.exists() else {}
    except (ValueError, TypeError) as error:
        raise InputError(f"{file} is damaged: delete it, evaluation writes it anew") from error


def numbers(scores: dict) -> dict[str, float]:
    """The scores that a table shows: single numbers."""
    return {k: v for k, v in scores.items() if isinstance(v, (int, float)) and k not in ("seed", "epoch")}


def print_table(run: Run, scores: dict):
    """One aligned table of a run's scores, and the map from codes to classes."""
    from rich.console import Console
    from rich.table import Table

    print(f"{run.path}: {run.mode} on {scores['dataset']}, epoch {scores['epoch']}, seed {scores['seed']}")
    table = Table()
    table.add_column("score")
    table.add_column("value", justify="right")
    for name, value in numbers(scores).items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
    Console().print(table)
    for name in ("code_to_class", "feature_network", "samples"):
        if name in scores:
            print(f"{name}: {scores[name]}")


def worst(name: str, values: list[float]) -> float:
    """The worst of some values of a score."""
    return max(values) if name in LOWER_IS_BETTER else min(values)


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
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            figures = [statistics.mean(values), statistics.median(values), spread, worst(name, values)]
            seeds = " ".join(f"{value:.4g}" for value in values)
            lines.append(f"| {names} | {name} | {' | '.join(f'{figure:.4g}' for figure in figures)} | {seeds} |")
    return "\n".join(lines)
