"""A tiny batch of questions and candidates for the tests of rankers."""

import numpy as np
import pytest
import tensorflow as tf

from data.answers import NO_MATCH


@pytest.fixture
def asked():
    """Two questions, with two and three candidates; the number of a stem is the id of its word."""
    questions = np.array([[4, 5, 6], [7, 8, 0]], np.int32)
    candidates = np.array([[4, 9, 0, 0], [10, 0, 0, 0], [7, 8, 11, 4], [5, 6, 0, 0], [9, 10, 11, 0]], np.int32)
    return {name: tf.constant(value) for name, value in {
        "questions": questions, "question_stems": questions, "question_lengths": np.array([3, 2], np.int32),
        "candidates": candidates, "candidate_stems": np.where(candidates, candidates, NO_MATCH),
        "candidate_lengths": np.array([2, 1, 4, 2, 3], np.int32), "groups": np.array([0, 0, 1, 1, 1], np.int32),
        "labels": np.array([1, 0, 1, 0, 0], np.float32)}.items()}  # fmt: skip


@pytest.fixture
def alone(asked):
    """A function that returns a batch of one candidate alone, without padding."""

    def one(candidate):
        whole = {name: value.numpy() for name, value in asked.items()}
        question, end = whole["groups"][candidate], whole["candidate_lengths"][candidate]
        alone = {name: value[[question]] for name, value in whole.items() if name.startswith("question")}
        alone |= {name: value[[candidate]] for name, value in whole.items() if name.startswith("candidate")}
        for name in ("questions", "question_stems"):
            alone[name] = alone[name][:, : alone["question_lengths"][0]]
        for name in ("candidates", "candidate_stems"):
            alone[name] = alone[name][:, :end]
        alone |= {"groups": np.zeros(1, np.int32), "labels": whole["labels"][[candidate]]}
        return {name: tf.constant(value) for name, value in alone.items()}

    return one
