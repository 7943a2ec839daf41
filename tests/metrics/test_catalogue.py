import re
from pathlib import Path

import pytest

from metrics import catalogue
from metrics.catalogue import EVALUATIONS, RUN, SCORES, Score, score_of, variants, worst

ROOT = Path(__file__).resolve().parents[2]


def test_every_key_is_defined_once():
    """SCORES is made of lists, and a later score of the same key would replace an earlier one."""
    lists = [
        own for own in vars(catalogue).values() if isinstance(own, list) and all(isinstance(s, Score) for s in own)
    ]
    lists.append(catalogue.rankings(catalogue.RANKERS))
    defined = [score for own in lists for score in own]
    for score in defined:
        assert SCORES[score.key] == score
    assert {score.key for score in defined} == SCORES.keys()
    assert all(key == score.key for key, score in SCORES.items())


def test_labels_are_unique():
    """Two columns of a table cannot have the same heading."""
    labels = [score.label for score in SCORES.values()]
    assert {label for label in labels if labels.count(label) > 1} == set()


def test_every_score_is_described():
    for score in SCORES.values():
        assert score.direction in ("min", "max", None), score
        assert score.unit in ("", "nats", "minutes", "GB"), score
        assert score.label and score.doc.endswith(".") and ".." not in score.doc, score
        assert score.key == score.key.lower() and score.key.isidentifier(), score


def test_every_evaluation_reports_scores_of_the_catalogue():
    for evaluation in EVALUATIONS:
        assert evaluation.keys and len(set(evaluation.keys)) == len(evaluation.keys), evaluation
        assert set(evaluation.keys) <= SCORES.keys(), evaluation
        assert evaluation.name.isidentifier() and evaluation.doc, evaluation


def test_every_score_is_of_every_run_or_of_an_evaluation():
    reported = {key for evaluation in EVALUATIONS for key in evaluation.keys}
    assert reported == SCORES.keys() - {score.key for score in RUN}


def test_evaluations_of_one_name_have_one_help():
    by_name = {evaluation.name: evaluation.doc for evaluation in EVALUATIONS}
    assert all(evaluation.doc == by_name[evaluation.name] for evaluation in EVALUATIONS)


def test_which_evaluations_need_labels():
    """The others can report some of their keys without labels: precision, topics of documents, the KL of answers."""
    needing = {evaluation for evaluation in EVALUATIONS if evaluation.needs_labels}
    assert needing == {
        catalogue.LINEAR,
        catalogue.DOCUMENT_LINEAR,
        catalogue.KMEANS,
        catalogue.HUNGARIAN,
        catalogue.RANKING_CONTROLS,
    }
    labelled = {own for own in EVALUATIONS if any(SCORES[key].needs_labels for key in own.keys)}
    assert labelled - needing == {catalogue.COVERAGE, catalogue.DOCUMENT_CONTROLS, catalogue.RANKING}


@pytest.mark.parametrize(
    ("key", "expected"),
    [("fid", 3.0), ("train_minutes", 3.0), ("validation_elbo_nll", 3.0), ("repeated_2_top_p", 3.0), ("nmi", 1.0)]
    + [("map_bm25_clean", 1.0), ("active_units", 1.0), ("fid_floor", None), ("kl", None), ("self_bleu_test", None)]
    + [("n_parameters", None), ("feature_network_accuracy", None)],
)
def test_the_worst_value_depends_on_the_direction(key, expected):
    assert worst(key, [2.0, 3.0, 1.0]) == expected


def test_an_unknown_key_is_an_error():
    for ask in (score_of, lambda key: worst(key, [1.0])):
        with pytest.raises(KeyError, match="'beauty' is not a score"):
            ask("beauty")


def test_headings_have_unit_and_arrow():
    assert score_of("elbo_nll").heading == f"{score_of('elbo_nll').label} [nats] ↓"
    assert score_of("nmi").heading == "NMI ↑" and score_of("nmi").axis == "NMI"
    assert score_of("kl").heading == score_of("kl").axis == "KL [nats]"


def test_variants_describe_the_other_way():
    (lda,) = variants([score_of("nmi")], "_lda", "LDA", "By LDA.", prefix="validation_")
    assert (lda.key, lda.label, lda.direction) == ("validation_nmi_lda", "NMI, LDA", "max")
    assert lda.doc == f"{score_of('nmi').doc} By LDA."
    (real,) = variants([score_of("nmi")], "_test", "real text", "Of real text.", directed=False)
    assert real.direction is None


def test_the_page_is_up_to_date():
    """`make docs` writes it anew."""
    page = catalogue.page()
    assert (ROOT / "docs/scores.md").read_text() == page + "\n"
    assert all(f"| `{key}` |" in page for key in SCORES)


def test_every_row_of_the_page_has_as_many_cells():
    _, *rows = [line for line in catalogue.page().splitlines() if line.startswith("|")]
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 8, row
