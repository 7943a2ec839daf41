"""What models of answer selection share: the words' vectors, the LSTMs that read, and which words are shared.

A batch is as `data.answers.batches` gives it: Q questions, N candidates of theirs.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from text_vae.base import TextVAE
from text_vae.layers import dropped, last, recurrent


class Read(NamedTuple):
    """A text as an LSTM reads it."""

    states: tf.Tensor  # [B, T, units]
    last: tf.Tensor  # [B, units], after the last word
    mask: tf.Tensor  # bool [B, T], true for words


class Reader(keras.layers.Layer):
    """A stack of LSTMs over texts, after dropout on the words' vectors.

    Args:
        inputs: width of a word's vector.
        units, layers: of the LSTMs.
        dropout: rate, in training.
    """

    def __init__(self, *, inputs: int, units: int, layers: int, dropout: float):
        super().__init__()
        self.rate = dropout
        self.stack = [recurrent("lstm", units) for _ in range(layers)]
        self.read(tf.zeros([1, 1, inputs]), tf.ones([1], tf.int32))
        self.built = True

    def read(self, x: tf.Tensor, lengths: tf.Tensor, seed: tf.Tensor | None = None) -> Read:
        """Reads vectors x [B, T, inputs] of texts of `lengths` int32 [B]; without a seed nothing is dropped."""
        h = dropped(x, self.rate, seed)
        for layer in self.stack:
            h = layer(h)[0]
        return Read(h, last(h, lengths), tf.sequence_mask(lengths, tf.shape(x)[1]))


class Ranker(TextVAE):
    """A model that scores candidates.

    Args:
        words: V, size of the vocabulary.
        embedding: width of the words' vectors.
        fine_tune: whether they are trained.
        options: those of `TextVAE`.
    """

    def __init__(self, *, words: int, embedding: int, fine_tune: bool, **options):
        super().__init__(**options)
        self.embedding = keras.layers.Embedding(words, embedding, trainable=fine_tune)
        self.embedding.build()

    def scores(self, batch, seed: tf.Tensor) -> tf.Tensor:
        """What speaks for each candidate, [N, K], to be added up with weights of which the first is 1; reads no label."""
        raise NotImplementedError


def shared_words(batch) -> tf.Tensor:
    """bool [N, T, U]: whether word t of a candidate's question and word u of the candidate have one stem."""
    asked = tf.gather(batch["question_stems"], batch["groups"])
    return asked[:, :, None] == batch["candidate_stems"][:, None, :]
