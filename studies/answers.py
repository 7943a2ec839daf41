"""Tables that only a study of answer selection has: the controls, tests between rows, and sums of two runs' scores.

Everything is computed anew from the candidates' scores that the runs kept. Weights are chosen on the validation part.
"""

import itertools
import statistics
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import permutation_test

from metrics.catalogue import MODELS, RANKERS
from metrics.ranking import RankingScores, average_precision, map_mrr

CONTROLS = {ending: label for ending, (label, _) in RANKERS.items() if ending not in MODELS}
WAYS = {f"scores{ending}": RANKERS[ending][0] for ending in MODELS}  # a model's kept scores, and their labels
RESAMPLES = 9999  # random swaps of a permutation test
WEIGHTS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # of the second score; both scores are divided by their deviation first
H_ALONE = ("attention", "latent", "samples", "kl_weight")  # the options in which NASM and its control without h differ
ASKED, NEAREST = 5, 3  # how many questions are shown, and how many neighbours of each


def candidates_of(entry: dict, part: str) -> dict[str, np.ndarray]:
    """Return groups, labels and the scores of WAYS of a run's candidates in a part, [N] each."""
    with np.load(entry["candidates"]) as kept:
        return {name: kept[f"{part}_{name}"] for name in ("groups", "labels", *WAYS)}


def average_precisions(entry: dict, scores: str, part: str) -> np.ndarray:
    """Return the average precision of every question of a part that has a right answer."""
    found = candidates_of(entry, part)
    questions = [found["groups"] == group for group in np.unique(found["groups"][found["labels"] == 1])]
    return np.array([average_precision(found[scores][q], found["labels"][q]) for q in questions])


def control_lines(rows: dict[str, list[dict]]) -> list[list[str]]:
    """Return a line for each data set and control. All runs on a data set have the same controls."""
    lines: dict[tuple[str, str], list[str]] = {}
    for entry in (entry for members in rows.values() for entry in members):
        for ending, name in CONTROLS.items():
            if f"map{ending}" in entry["metrics"]:
                keys = ("map{}", "mrr{}", "map{}_clean", "mrr{}_clean", "validation_map{}")
                values = [f"{entry['metrics'][key.format(ending)]:.4f}" for key in keys]
                lines.setdefault((entry["dataset"], name), [entry["dataset"], name, *values])
    return list(lines.values())


def comparison_lines(rows: dict[str, list[dict]]) -> list[list[str]]:
    """Compare NASM with each of its controls: the MAP of both rows, and the paired randomisation test over questions.

    The value of a question is its average precision, averaged over the row's seeds. The test swaps the two rows of a
    question at random.
    """

    @cache
    def precisions(row: str, scores: str, part: str) -> np.ndarray:
        return np.mean([average_precisions(entry, scores, part) for entry in rows[row]], 0)

    lines = []
    for row, other in pairs_of(rows, is_control):
        for part, scores in itertools.product(("validation", "test"), WAYS):
            both = [precisions(name, scores, part) for name in (row, other)]
            test = permutation_test(
                both, lambda x, y, axis: np.mean(x - y, axis), permutation_type="samples", vectorized=True,
                n_resamples=RESAMPLES, rng=np.random.default_rng(0),
            )  # fmt: skip
            seeds = " / ".join(str(len(rows[name])) for name in (row, other))
            found = [f"{both[0].mean():.4f}", f"{both[1].mean():.4f}", f"{test.statistic:+.4f}", f"{test.pvalue:.3f}"]
            lines.append([row, other, part, WAYS[scores], seeds, *found])
    return lines


def is_latent(entry: dict) -> bool:
    """Whether h steers a run's attention, so that the run is NASM itself."""
    return entry["config"].get("attention") == "latent"


def is_control(nasm: dict, other: dict) -> bool:
    """Whether `other` is NASM without h and has the same other options, so that h explains the difference."""
    own, theirs = (
        {name: value for name, value in entry["config"].items() if name not in (*H_ALONE, "seed")}
        for entry in (nasm, other)
    )
    return other["mode"] == nasm["mode"] and not is_latent(other) and own == theirs


def pairs_of(rows: dict[str, list[dict]], fits: Callable[[dict, dict], bool]) -> list[tuple[str, str]]:
    """Return pairs of rows on the same data set: (a row of NASM, another row).

    Args:
        fits: whether a run of NASM and a run of the other row make a pair.
    """
    firsts = {row: entries[0] for row, entries in rows.items()}
    return [
        (row, other)
        for (row, nasm), (other, entry) in itertools.product(firsts.items(), repeat=2)
        if is_latent(nasm) and nasm["dataset"] == entry["dataset"] and fits(nasm, entry)
    ]


def combined_lines(rows: dict[str, list[dict]]) -> list[list[str]]:
    """Return a line for each two rows whose scores are added: NASM and the generative ranker, and each row with itself.

    Runs of two rows are added if they have the same seed. Every two runs of one row are added as a control, which shows
    the gain of adding two models that differ by chance alone.
    """
    added = {
        f"{row} + {other}": [(a, b) for a in rows[row] for b in rows[other] if a["seed"] == b["seed"]]
        for row, other in pairs_of(rows, lambda nasm, other: other["mode"] == "gqa")
    }
    added |= {f"{row} + {row}": list(itertools.combinations(members, 2)) for row, members in rows.items()}
    lines = []
    for both, pairs in added.items():
        for scores, way in WAYS.items():
            found = [combined(*pair, scores) for pair in pairs]
            if found:
                name = both + (f", {way}" if way else "")
                spread = [[result[key] for result in found] for key in ("map", "mrr", "validation_map")]
                weights = " ".join(f"{result['weight']:g}" for result in found)
                lines.append([name, str(len(found)), weights, *(f"{statistics.mean(values):.4f}" for values in spread)])
    return lines


def combined(first: dict, second: dict, scores: str) -> dict[str, Any]:
    """Return MAP and MRR of the sum of two runs' scores, with the weight that ranks the validation part best."""
    parts = {part: [candidates_of(e, part) for e in (first, second)] for part in ("validation", "test")}
    scales = [candidates[scores].std() for candidates in parts["validation"]]

    def ranked(part: str, weight: float) -> RankingScores:
        a, b = parts[part]
        return map_mrr(a["groups"], a[scores] / scales[0] + weight * b[scores] / scales[1], a["labels"])

    weight = max(WEIGHTS, key=lambda w: ranked("validation", w)["map"])
    return {**ranked("test", weight), "weight": weight, "validation_map": ranked("validation", weight)["map"]}


def nearest_lines(rows: dict[str, list[dict]]) -> list[list[str]]:
    """Return validation questions, each with the training questions of the nearest mean of h, of NASM's first run."""
    latent = [entry for members in rows.values() for entry in members if is_latent(entry)]
    found = latent[0]["metrics"].get("nearest_questions", {}) if latent else {}
    return [[question, "; ".join(near[:NEAREST])] for question, near in itertools.islice(found.items(), ASKED)]
