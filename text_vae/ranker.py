"""The parts that models of answer selection share: word vectors, LSTMs over texts, and the matching of words by stem.

Batches are those of `data.answers.batches`: Q questions, and all their N candidates.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from data.answers import AnswerBatch
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


class Ranker(TextVAE):
    """A model that scores the candidates of a question.

    Args:
        words: V, size of the vocabulary.
        embedding: width of the word vectors.
        fine_tune: whether the word vectors are trained.
        options: the arguments of `TextVAE`.
    """

    def __init__(self, *, words: int, embedding: int, fine_tune: bool, **options: Any):
        super().__init__(**options)
        self.embedding = keras.layers.Embedding(words, embedding, trainable=fine_tune)
        self.embedding.build()

    @classmethod
    def create(cls: type[Own], *, rate: float, **options: Any) -> Own:
        """Return a compiled model.

        Args:
            rate: Adam's learning rate.
            options: the constructor's arguments.
        """
        model = cls(**options)
        model.compile(keras.optimizers.Adam(rate))
        return model

    def scores(self, batch: AnswerBatch, seed: tf.Tensor) -> tf.Tensor:
        """Return K scores of each candidate, [N, K], without use of the labels.

        Candidates are ranked by the weighted sum of their scores; the first weight is 1. `seed` is int32 [2].
        """
        raise NotImplementedError


def shared_words(batch: AnswerBatch) -> tf.Tensor:
    """Return whether word t of each candidate's question and word u of the candidate share a stem, bool [N, T, U]."""
    asked = tf.gather(batch["question_stems"], batch["groups"])
    return asked[:, :, None] == batch["candidate_stems"][:, None, :]
