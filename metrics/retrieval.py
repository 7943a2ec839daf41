"""Rankings of candidates without a trained network: word counts, BM25, query likelihood. Baselines, and features.

A text is a list of terms (words, or their stems). Functions of `questions` and `candidates` take N of each: question i
is the one that candidate i may answer. They return one value or row per candidate, higher for likelier.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import bm25s
import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

Text = Sequence[str]


def inverse_document_frequency(documents: Sequence[Text]) -> Callable[[str], float]:
    """Return a function of a term: log((1 + D) / (1 + documents with the term)) + 1, for D documents.

    This is scikit-learn's smoothed idf. Unseen terms have a value too.
    """
    frequency = Counter(term for document in documents for term in set(document))
    return lambda term: np.log((1 + len(documents)) / (1 + frequency[term])) + 1


def overlap_counts(questions: Sequence[Text], candidates: Sequence[Text], idf: Callable[[str], float]) -> np.ndarray:
    """Return the number of terms that question and candidate share, and the sum of their `idf`, float64 [N, 2].

    These are the two counts of Yu et al. 2014; each term counts once. There is no list of stop words, since the second
    count gives them little weight.
    """
    shared = [set(question) & set(candidate) for question, candidate in zip(questions, candidates, strict=True)]
    return np.array([[len(terms), sum(map(idf, sorted(terms)))] for terms in shared], np.float64)


def answer_types(questions: Sequence[Text], candidates: Sequence[Text]) -> np.ndarray:
    """Return four numbers 0 or 1, whether a candidate has the form that its question asks for, and the log of its length.

    - The question asks when (or what year), and the candidate has a year.
    - The question asks how many, how much or how old, and the candidate has a number.
    - The question asks who or what, and the candidate says that something is or was a thing ("is a", "was the").
    - The question asks where, and the candidate says in, at or near.

    The texts are words, not stems, and none is empty. The forms are English; in other languages they are 0. They and the
    length were chosen by the MAP of logistic regression on WikiQA's development part.

    Returns:
        float64 [N, 5].
    """
    asked = [frozenset(name for name, words in ASKED.items() if _holds(question, words)) for question in questions]
    offered = [frozenset(name for name, given in GIVEN.items() if given(candidate)) for candidate in candidates]
    both = zip(asked, offered, strict=True)
    forms = [[name in asks and name in has for name in ASKED] for asks, has in both]
    return np.column_stack([np.array(forms, np.float64), np.log([len(candidate) for candidate in candidates])])


def _holds(text: Text, phrases: frozenset[Text]) -> bool:
    """Return whether a text has one of the words or of the pairs of words."""
    return not phrases.isdisjoint([*((word,) for word in text), *pairwise(text)])


def _phrases(*phrases: str) -> frozenset[Text]:
    return frozenset(tuple(phrase.split()) for phrase in phrases)


ASKED = {
    "year": _phrases("when", "what year", "which year", "what date"),
    "number": _phrases("how many", "how much", "how old", "how long", "how far", "how big", "how tall", "how large"),
    "definition": _phrases("who", "what"),
    "place": _phrases("where"),
}
_DEFINES = _phrases(*(f"{verb} {article}" for verb in ("is", "was", "are", "were") for article in ("a", "an", "the")))
_PLACES = _phrases("in", "at", "near", "located")
GIVEN: dict[str, Callable[[Text], bool]] = {
    "year": lambda text: any(re.fullmatch("1[0-9]{3}|20[0-9]{2}", word) for word in text),
    "number": lambda text: any(re.fullmatch("[0-9][0-9.,]*", word) or word in NUMBERS for word in text),
    "definition": lambda text: _holds(text, _DEFINES),
    "place": lambda text: _holds(text, _PLACES),
}
NUMBERS = frozenset(
    "two three four five six seven eight nine ten eleven twelve twenty hundred thousand million".split()
)


def places(groups: ArrayLike) -> np.ndarray:
    """Return the place of each candidate among those of its question, int [N] from 0; groups [N] ascend."""
    groups = np.asarray(groups)
    return np.arange(len(groups)) - np.searchsorted(groups, groups)


def logistic_scores(train_features: ArrayLike, train_labels: ArrayLike, features: ArrayLike) -> np.ndarray:
    """Return the log-odds [N] of features [N, D], by logistic regression on standardised features.

    Scaling and regression are fitted on the training set.
    """
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(train_features, train_labels)
    return fitted.decision_function(features)


def nearest(vectors: np.ndarray, known: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` rows of `known` [M, D] nearest to each of `vectors` [N, D], nearest first, int [N, count].

    Nearness is the cosine after the mean of `known` is subtracted from both.
    """
    middle = known.mean(0)
    return np.argsort(-cosine_similarity(vectors - middle, known - middle), axis=1, kind="stable")[:, :count]


def paired_cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine of each row of `first` [N, D] with the same row of `second`, [N]; 0 if a row is all zeros."""
    return np.sum(np.asarray(normalize(first)) * np.asarray(normalize(second)), 1)


def bm25_scores(questions: Sequence[Text], candidates: Sequence[Text]) -> np.ndarray:
    """Return BM25 (Lucene's variant, k1 = 1.5 and b = 0.75), [N], with document frequencies of these candidates.

    The collection is therefore known, as it is to a search engine, but no label is used.
    """
    index = bm25s.BM25()
    index.index([list(candidate) for candidate in candidates], show_progress=False)
    distinct = dict.fromkeys(tuple(question) for question in questions)
    every = {question: index.get_scores(list(question)) for question in distinct}
    return np.array([every[tuple(question)][i] for i, question in enumerate(questions)])


def query_likelihood(
    questions: Sequence[Text], candidates: Sequence[Text], training_texts: Sequence[Text], weight: float
) -> np.ndarray:
    """Return log p(question | candidate), [N], with a question's terms drawn independently.

    p(t | candidate) = (1 - weight) count_t / length + weight p(t | training texts), with 0 < weight <= 1
    (Jelinek-Mercer; Zhai & Lafferty 2001). A term that is not in the training texts counts as seen once there.
    """
    background = Counter(term for text in training_texts for term in text)
    total = sum(background.values())
    scores = []
    for question, candidate in zip(questions, candidates, strict=True):
        own = Counter(candidate)
        p = [(1 - weight) * own[t] / len(candidate) + weight * max(background[t], 1) / total for t in question]
        scores.append(np.sum(np.log(p)))
    return np.array(scores)
