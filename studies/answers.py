"""What a study of answer selection adds to its page: the controls, who beats whom, and scores put together.

Everything is computed again from the scores of candidates that the runs kept; weights are chosen on the validation part.
"""

import itertools
import statistics
from functools import cache

import numpy as np
from scipy.stats import permutation_test

from metrics.ranking import average_precision, map_mrr

CONTROLS = {
    "bm25": "BM25",
    "only_counts": "overlap counts alone",
    "query_likelihood": "unigram query likelihood",
    "lsa": "cosine of LSA's topics",
    "nvdm": "cosine of NVDM's topics",
}
RESAMPLES = 9999
WEIGHTS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # of the second score, both being divided by their deviation
H_ALONE = ("attention", "latent", "samples", "kl_weight")  # options in which NASM and the same network without h differ
ASKED, NEAREST = 5, 3  # questions that are shown, and what is shown beside each


def candidates_of(entry: dict, part: str) -> dict[str, np.ndarray]:
    """groups, labels, scores and scores_counts of a run's candidates of a part, [N] each."""
    with np.load(entry["candidates"]) as kept:
        return {name: kept[f"{part}_{name}"] for name in ("groups", "labels", "scores", "scores_counts")}


def average_precisions(entry: dict, scores: str, part: str) -> np.ndarray:
    """Of every question of a part that has a right answer."""
    found = candidates_of(entry, part)
    questions = [found["groups"] == group for group in np.unique(found["groups"][found["labels"] == 1])]
    return np.array([average_precision(found[scores][q], found["labels"][q]) for q in questions])


def control_lines(rows: dict[str, list[dict]]) -> list[list[str]]:
    """One for each data set and control; every run of a data set has the same ones."""
    lines = {}
    for entry in (entry for members in rows.values() for entry in members):
        for control, name in CONTROLS.items():
            if f"map_{control}" in entry["metrics"]:
                keys = ("map_{}", "mrr_{}", "map_{}_clean", "mrr_{}_clean", "validation_map_{}")
                values = [f"{entry['metrics'][key.format(control)]:.4f}" for key in keys]
                lines.setdefault((entry["dataset"], name), [entry["dataset"], name, *values])
    return list(lines.values())


def comparison_lines(rows: dict[str, list[dict]]) -> list[list[str]]:
    """NASM against each control that reads the same: MAP of both, and the paired randomisation test over questions.

    A question's value is its average precision, the mean over the row's seeds; the test flips the two rows of a question.
    """

    @cache
    def precisions(row: str, scores: str, part: str) -> np.ndarray:
        return np.mean([average_precisions(entry, scores, part) for entry in rows[row]], 0)

    lines = []
    for row, other in pairs_of(rows, is_control):
        for part, scores in itertools.product(("validation", "test"), ("scores", "scores_counts")):
            both = [precisions(name, scores, part) for name in (row, other)]
            test = permutation_test(
                both, lambda x, y, axis: np.mean(x - y, axis), permutation_type="samples", vectorized=True,
                n_resamples=RESAMPLES, rng=np.random.default_rng(0),
            )  # fmt: skip
            seeds = " / ".join(str(len(rows[name])) for name in (row, other))
            counts = "with counts" if scores == "scores_counts" else ""
            found = [f"{both[0].mean():.4f}", f"{both[1].mean():.4f}", f"{test.statistic:+.4f}", f"{test.pvalue:.3f}"]
            lines.append([row, other, part, counts, seeds, *found])
    return lines


def is_latent(entry: dict) -> bool:
    """Whether a run's attention is steered by h: NASM itself."""
    return entry["config"].get("attention") == "latent"


def is_control(nasm: dict, other: dict) -> bool:
    """Whether `other` is NASM without h and like it in every other option, so that the difference is h's."""
    own, theirs = (
        {name: value for name, value in entry["config"].items() if name not in (*H_ALONE, "seed")}
        for entry in (nasm, other)
    )
    return other["mode"] == nasm["mode"] and not is_latent(other) and own == theirs


def pairs_of(rows: dict[str, list[dict]], fits) -> list[tuple[str, str]]:
    """(row of NASM, row on the same data set whose runs `fits`(NASM's, theirs) lets stand beside it)."""
    firsts = {row: entries[0] for row, entries in rows.items()}
    return [
        (row, other)
        for (row, nasm), (other, entry) in itertools.product(firsts.items(), repeat=2)
        if is_latent(nasm) and nasm["dataset"] == entry["dataset"] and fits(nasm, entry)
    ]


def combined_lines(rows: dict[str, list[dict]]) -> list[list[str]]:
    """The scores of NASM and of the generative ranker added up, seed by seed; then those of every two seeds of a row.

    The latter are the control: what is gained by adding up two models that differ in nothing but chance.
    """
    added = {
        f"{row} + {other}": [(a, b) for a in rows[row] for b in rows[other] if a["seed"] == b["seed"]]
        for row, other in pairs_of(rows, lambda nasm, other: other["mode"] == "gqa")
    }
    added |= {f"{row} + {row}": list(itertools.combinations(members, 2)) for row, members in rows.items()}
    lines = []
    for both, pairs in added.items():
        for scores in ("scores", "scores_counts"):
            found = [combined(*pair, scores) for pair in pairs]
            if found:
                name = both + (", with counts" if scores == "scores_counts" else "")
                spread = [[result[key] for result in found] for key in ("map", "mrr", "validation_map")]
                weights = " ".join(f"{result['weight']:g}" for result in found)
                lines.append([name, str(len(found)), weights, *(f"{statistics.mean(values):.4f}" for values in spread)])
    return lines


def combined(first: dict, second: dict, scores: str) -> dict[str, float]:
    """MAP and MRR of two runs' scores together, under the weight that ranks the validation part best."""
    parts = {part: [candidates_of(e, part) for e in (first, second)] for part in ("validation", "test")}
    scales = [candidates[scores].std() for candidates in parts["validation"]]

    def ranked(part, weight):
        a, b = parts[part]
        return map_mrr(a["groups"], a[scores] / scales[0] + weight * b[scores] / scales[1], a["labels"])

    weight = max(WEIGHTS, key=lambda w: ranked("validation", w)["map"])
    return ranked("test", weight) | {"weight": weight, "validation_map": ranked("validation", weight)["map"]}


def nearest_lines(rows: dict[str, list[dict]]) -> list[list[str]]:
    """Questions of the validation part and the training questions whose h has the nearest mean, of NASM's first run."""
    latent = [entry for members in rows.values() for entry in members if is_latent(entry)]
    found = latent[0]["metrics"].get("nearest_questions", {}) if latent else {}
    return [[question, "; ".join(near[:NEAREST])] for question, near in itertools.islice(found.items(), ASKED)]
