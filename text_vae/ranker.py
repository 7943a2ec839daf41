"""The parts that models of answer selection share: word vectors, LSTMs over texts, and the matching of words by stem.

Batches are those of `data.answers.batches`: Q questions, and all their N candidates.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from data.answers import AnswerBatch, Pairs, evaluation_batches
from losses.optimizers import Adam
from text_vae import defaults
from text_vae.base import Own, TextVAE
from text_vae.layers import dropped, last, recurrent


class Read(NamedTuple):
    """The states of an LSTM over a batch of texts."""

    states: tf.Tensor  # [B, T, units]
    last: tf.Tensor  # [B, units], the state after the last word
    mask: tf.Tensor  # bool [B, T], true for words and false for padding


class Reader(keras.layers.Layer):
    """A stack of LSTMs over texts, with dropout on the word vectors.

    Args:
        inputs: width of the word vectors.
        units, layers: width and number of the LSTMs.
        dropout: dropout rate, in training.
    """

    def __init__(self, *, inputs: int, units: int, layers: int, dropout: float):
        super().__init__()
        self.rate = dropout
        self.stack = [recurrent("lstm", units) for _ in range(layers)]
        self.read(tf.zeros([1, 1, inputs]), tf.ones([1], tf.int32))
        self.built = True

    def read(self, x: tf.Tensor, lengths: tf.Tensor, seed: tf.Tensor | None = None) -> Read:
        """Return the states of the last LSTM.

        Args:
            x: word vectors, [B, T, inputs].
            lengths: int32 [B], the numbers of words.
            seed: int32 [2], of dropout; None: no dropout.
        """
        h = dropped(x, self.rate, seed)
        for layer in self.stack:
            h = layer(h)[0]
        return Read(h, last(h, lengths), tf.sequence_mask(lengths, tf.shape(x)[1]))


class Ranked(NamedTuple):
    """A candidate with its score. Scores of one question can be compared; higher is better."""

    candidate: str
    score: float


class Ranker(TextVAE):
    """A model that scores the candidates of a question.

    Args:
        words: V, size of the vocabulary.
        embedding: width of the word vectors.
        fine_tune: whether the word vectors are trained.
        options: the arguments of `TextVAE`.
    """

    defaults: ClassVar = defaults.RANKER

    def __init__(self, *, words: int, embedding: int, fine_tune: bool, **options: Any):
        super().__init__(**options)
        self.embedding = keras.layers.Embedding(words, embedding, trainable=fine_tune)
        self.embedding.build()

    @classmethod
    def assemble(cls: type[Own], *, rate: float, **options: Any) -> Own:
        """Return a compiled model.

        Args:
            rate: Adam's learning rate.
            options: the constructor's arguments.
        """
        model = cls(**options)
        model.compile(Adam(rate))
        return model

    def scores(self, batch: AnswerBatch, seed: tf.Tensor) -> tf.Tensor:
        """Return K scores of each candidate, [N, K], without use of the labels.

        Candidates are ranked by the weighted sum of their scores; the first weight is 1. `seed` is int32 [2].
        """
        raise NotImplementedError

    def signatures(self) -> dict[str, Any]:
        tokens, stems = (tf.TensorSpec([None], dtype) for dtype in (tf.string, tf.int32))
        every, every_stem = (tf.TensorSpec([None, None], dtype) for dtype in (tf.string, tf.int32))
        table = self.table

        @tf.function(input_signature=[tokens, stems, every, every_stem, tf.TensorSpec([], tf.float32)], autograph=False)
        def rank(
            question: tf.Tensor,
            question_stems: tf.Tensor,
            candidates: tf.Tensor,
            candidate_stems: tf.Tensor,
            prior_weight: tf.Tensor,
        ) -> dict[str, tf.Tensor]:
            count = tf.shape(candidates)[0]
            batch: AnswerBatch = {
                "questions": table.numbers(question)[None],
                "question_lengths": tf.shape(question),
                "candidates": table.numbers(candidates),
                "candidate_lengths": tf.reduce_sum(tf.cast(candidates != "", tf.int32), 1),
                "question_stems": question_stems[None],
                "candidate_stems": candidate_stems,
                "groups": tf.zeros([count], tf.int32),
                "labels": tf.zeros([count]),
            }
            first, *second = tf.unstack(self.scores(batch, tf.constant([0, 2])), axis=1)
            scores = first + prior_weight * (second[0] if second else 0.0)
            order = tf.argsort(-scores, stable=True)
            lines = tf.strings.strip(tf.strings.reduce_join(candidates, axis=1, separator=" "))
            return {"ranked": tf.gather(lines, order), "scores": tf.gather(scores, order), "order": order}

        return {"rank": rank}

    def rank(self, question: str, candidates: Sequence[str], prior_weight: float = 0.0, seed: int = 0) -> list[Ranked]:
        """Return the candidates of a question, the best first, with their scores.

        Args:
            prior_weight: the weight of the second score of a ranker that has two (`scores`); the first has weight 1.
            seed: the seed of `scores`.

        Raises:
            ValueError: as `Wording.split` raises it.
        """
        batch = self.batch_of(question, candidates)
        first, *second = tf.unstack(self.scores(batch, tf.constant([seed, 2])), axis=1)
        total = (first + prior_weight * sum(second)).numpy()
        best_first: list[int] = np.argsort(-total, kind="stable").tolist()
        return [Ranked(candidates[i], float(total[i])) for i in best_first]

    def batch_of(self, question: str, candidates: Sequence[str]) -> AnswerBatch:
        """Return a question and its candidates as a batch, whose labels are 0. Raise ValueError as `Wording.split` does."""
        wording = self.worded()
        asked, offered = wording.split([question]), wording.split(candidates)
        zeros = np.zeros(len(offered), np.int32)
        (batch,) = evaluation_batches(Pairs(asked, offered, groups=zeros, labels=zeros), wording.vocabulary, 1)
        return batch


def shared_words(batch: AnswerBatch) -> tf.Tensor:
    """Return whether word t of each candidate's question and word u of the candidate share a stem, bool [N, T, U]."""
    asked = tf.gather(batch["question_stems"], batch["groups"])
    return asked[:, :, None] == batch["candidate_stems"][:, None, :]
