"""Rankings of candidate answers without a trained network: word counts, BM25, query likelihood. Baselines, and features.

A text is a list of terms (words, or their stems). Of N candidates, question i is the one that candidate i is to answer; the
functions that take both return one value or row for each, higher for likelier.
"""

from collections import Counter

import bm25s
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize


def inverse_document_frequency(documents):
    """A function term -> log((1 + D) / (1 + documents that have it)) + 1: scikit-learn's smoothed idf, unseen terms too."""
    frequency = Counter(term for document in documents for term in set(document))
    return lambda term: np.log((1 + len(documents)) / (1 + frequency[term])) + 1


def overlap_counts(questions, candidates, idf):
    """How many terms both have, and the sum of their `idf`; each term once; float64 [N, 2].

    Yu et al. 2014's two counts. No list of stop words: the second count weighs them down.
    """
    shared = [set(question) & set(candidate) for question, candidate in zip(questions, candidates, strict=True)]
    return np.array([[len(terms), sum(map(idf, sorted(terms)))] for terms in shared], np.float64)


def logistic_scores(train_features, train_labels, features):
    """Log-odds [N] of features [N, D] by logistic regression on standardised ones, both fitted on the training set."""
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(train_features, train_labels)
    return fitted.decision_function(features)


def nearest(vectors, known, count):
    """The rows of `known` [M, D] that are nearest each of `vectors` [N, D], best first, int [N, count].

    Near is of a high cosine, seen from the mean of `known`.
    """
    middle = known.mean(0)
    return np.argsort(-cosine_similarity(vectors - middle, known - middle), axis=1, kind="stable")[:, :count]


def paired_cosines(first, second):
    """The cosine of each row of `first` [N, D] and its row of `second`, [N]; 0 where a row is all zeros."""
    return np.sum(normalize(first) * normalize(second), 1)


def bm25_scores(questions, candidates):
    """BM25 (Lucene's variant, k1 1.5 and b 0.75) [N]; document frequencies are those of these candidates.

    A search engine's view: the collection that is searched is known, no label is.
    """
    index = bm25s.BM25()
    index.index([list(candidate) for candidate in candidates], show_progress=False)
    every = {tuple(question): None for question in questions}
    every = {question: index.get_scores(list(question)) for question in every}
    return np.array([every[tuple(question)][i] for i, question in enumerate(questions)])


def query_likelihood(questions, candidates, training_texts, weight):
    """log p(question | candidate), its terms drawn one by one from the candidate's own and all training terms, [N].

    p(t | candidate) = (1 - weight) count_t / length + weight p(t | training texts), 0 < weight <= 1 (Jelinek-Mercer;
    Zhai & Lafferty 2001). A term that the training texts lack counts as seen once.
    """
    background = Counter(term for text in training_texts for term in text)
    total = sum(background.values())
    scores = []
    for question, candidate in zip(questions, candidates, strict=True):
        own = Counter(candidate)
        p = [(1 - weight) * own[t] / len(candidate) + weight * max(background[t], 1) / total for t in question]
        scores.append(np.sum(np.log(p)))
    return np.array(scores)
