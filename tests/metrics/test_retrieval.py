import numpy as np
import pytest

from metrics.retrieval import (
    answer_types,
    bm25_scores,
    inverse_document_frequency,
    logistic_scores,
    nearest,
    overlap_counts,
    paired_cosines,
    places,
    query_likelihood,
)


def test_overlap_counts_by_hand():
    idf = inverse_document_frequency([["a", "b"], ["a", "a"], ["c"]])
    assert idf("a") == pytest.approx(np.log(4 / 3) + 1) and idf("new") == pytest.approx(np.log(4) + 1)
    counts = overlap_counts([["a", "a", "b"], ["c"]], [["a", "b", "b"], ["a"]], idf)
    np.testing.assert_allclose(counts, [[2, idf("a") + idf("b")], [0, 0]])


def test_answer_types_by_hand():
    asked = {
        "when was it built": [("it was built in 1889", 0), ("it is a tower", None), ("it has 18890 parts", None)],
        "what year did it end": [("in 2008 it ended", 0)],
        "how many people live there": [("about 3,200 do", 1), ("two million", 1), ("many people", None)],
        "how did it end": [("at 3 it ended", None)],
        "what is a prime": [("a prime is a number", 2), ("a prime has no divisor", None)],
        "who was she": [("she was the queen", 2)],
        "where is it": [("it lies in france", 3), ("it is a town", None)],
    }
    for question, candidates in asked.items():
        texts = [candidate.split() for candidate, _ in candidates]
        found = answer_types([question.split()] * len(texts), texts)
        expected = [[float(column == form) for column in range(4)] for _, form in candidates]
        np.testing.assert_array_equal(found[:, :4], expected)
        np.testing.assert_allclose(found[:, 4], np.log([len(text) for text in texts]))


def test_places_start_anew_with_each_question():
    np.testing.assert_array_equal(places([0, 0, 0, 1, 3, 3]), [0, 1, 2, 0, 0, 1])


def test_query_likelihood_by_hand():
    score = query_likelihood([["a", "new"]], [["a", "b"]], [["a", "a", "b", "c"]], 0.5)
    np.testing.assert_allclose(score, np.log(0.5 / 2 + 0.5 * 2 / 4) + np.log(0.5 * 1 / 4))


def test_bm25_ranks_rare_shared_terms_first_and_follows_its_formula():
    candidates = [["a", "b", "c"], ["a", "d", "e"], ["a", "a", "f"], ["g", "h", "i"]]
    scores = bm25_scores([["a", "d", "nowhere"]] * 4, candidates)
    assert scores[1] > scores[2] > scores[0] > scores[3] == 0

    def term(count, documents):  # every candidate has the average length
        return np.log(1 + (4 - documents + 0.5) / (documents + 0.5)) * count / (count + 1.5)

    np.testing.assert_allclose(scores, [term(1, 3), term(1, 3) + term(1, 1), term(2, 3), 0], rtol=1e-5)


def test_logistic_scores_order_the_training_set():
    features = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    scores = logistic_scores(features, [0, 0, 1, 1], features)
    assert (np.diff(scores) > 0).all() and scores[1] < 0 < scores[2]


def test_cosines_of_pairs_and_of_a_zero_row():
    first, second = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]]), np.array([[4.0, 3.0], [0.0, 2.0], [1.0, 1.0]])
    np.testing.assert_allclose(paired_cosines(first, second), [0.96, 0, 0])


def test_nearness_is_measured_from_the_mean():
    known = np.array([[11.0, 10.0], [9.0, 10.0], [10.0, 11.0], [10.0, 9.0]])
    np.testing.assert_array_equal(nearest(np.array([[12.0, 9.5], [10.1, 12.0]]), known, 2), [[0, 3], [2, 0]])
