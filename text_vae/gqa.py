"""A generative ranker after GQA (Lewis & Fan 2019): an answer is drawn from the candidates, and generates the question.

    p(a) = softmax over the question's candidates of w' tanh(W s_a(last))        p(q | a) = prod_t p(q_t | q_<t, a)
    p(q_t | q_<t, a) = (1 - g_t) softmax(V [d_t; c_t])_{q_t} + g_t sum_{i: a_i = q_t} alpha_ti

d_t is the state of the decoder, alpha_t its attention over the states s_a of the answer, and c_t the sum of these
states weighted by alpha_t. The gate g_t is the sigmoid of a linear map of [d_t; c_t]. The score that ranks candidates
is log p(q | a) + w log p(a).

The paper answers questions about paragraphs and pictures, with a deeper decoder and another copy mechanism. Here the
prior is over given candidates, and words are copied by their stems. A model that is trained on 1,000 questions can
learn little more than the use of the words that a question and its answer share.
"""

from typing import Any

import keras
import tensorflow as tf

from data.answers import AnswerBatch
from data.vocabulary import BOS
from text_vae.base import ElboTerms
from text_vae.layers import dropped, recurrent
from text_vae.ranker import Ranker, Read, Reader, shared_words


class GQA(Ranker):
    """A ranker by p(q | a) and p(a). It has no latent variable, so its KL is 0.

    The layers that read an answer do not receive the question, which the answer has to explain. The number of words of
    a question is given, and its end is not predicted. A copied word with the same stem counts as the word itself.

    Args:
        units, layers: width and number of the LSTMs over answers; the decoder is one LSTM of the same width.
        dropout: dropout rate in training, for the word vectors and for the input of the vocabulary.
        words, embedding, options: as for `Ranker`.
    """

    def __init__(self, *, units: int, layers: int, dropout: float, words: int, embedding: int, **options: Any):
        super().__init__(words=words, embedding=embedding, **options)
        self.rate = dropout
        self.answer_reader = Reader(inputs=embedding, units=units, layers=layers, dropout=dropout)
        self.hidden = keras.layers.Dense(units, "tanh")
        self.prior = keras.layers.Dense(1, use_bias=False)
        self.starts = [keras.layers.Dense(units, "tanh") for _ in range(2)]
        self.decoder = recurrent("lstm", units)
        self.query = keras.layers.Dense(units, use_bias=False)
        self.vocabulary = keras.layers.Dense(words)
        self.gate = keras.layers.Dense(1)
        for layer in (self.hidden, self.prior, self.query, *self.starts):
            layer.build([None, units])
        for layer in (self.vocabulary, self.gate):
            layer.build([None, 2 * units])
        self.decoder(tf.zeros([1, 1, embedding]))

    def log_prior(self, batch: AnswerBatch, last: tf.Tensor) -> tf.Tensor:
        """Return log p(a) of each candidate among the candidates of its question, [N].

        Args:
            last: [N, units], the state after the last word of each candidate.
        """
        logits = self.prior(self.hidden(last))[:, 0]
        groups = batch["groups"]
        logits -= tf.gather(tf.math.segment_max(logits, groups), groups)
        return logits - tf.gather(tf.math.log(tf.math.segment_sum(tf.exp(logits), groups)), groups)

    def log_likelihood(self, batch: AnswerBatch, answer: Read, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Return log p(q | a) of the question of each candidate, [N].

        Args:
            answer: the states of the candidates.
            seed: int32 [2], of dropout; None: no dropout.
        """
        seeds = [None, None] if seed is None else tf.unstack(tf.random.split(seed, 2))
        q, lengths = (tf.gather(batch[name], batch["groups"]) for name in ("questions", "question_lengths"))
        read = tf.pad(q[:, :-1], [[0, 0], [1, 0]], constant_values=BOS)
        x = dropped(self.embedding(read), self.rate, seeds[0])
        d = self.decoder(x, initial_state=[start(answer.last) for start in self.starts])[0]
        energy = tf.matmul(self.query(d), answer.states, transpose_b=True)  # [N, T, U]
        alpha = tf.nn.softmax(tf.where(answer.mask[:, None], energy, -1e9))
        both = dropped(tf.concat([d, tf.matmul(alpha, answer.states)], -1), self.rate, seeds[1])
        gate = self.gate(both)[..., 0]
        copied = tf.reduce_sum(tf.where(shared_words(batch), alpha, 0.0), -1)
        copies = tf.math.log_sigmoid(gate) + tf.math.log(copied + 1e-12)
        draws = tf.math.log_sigmoid(-gate) - tf.nn.sparse_softmax_cross_entropy_with_logits(q, self.vocabulary(both))
        each = tf.reduce_logsumexp([copies, draws], 0)
        return tf.reduce_sum(tf.where(tf.sequence_mask(lengths, tf.shape(q)[1]), each, 0.0), -1)

    def elbo_terms(self, batch: AnswerBatch, seed: tf.Tensor, training: bool = False) -> ElboTerms:
        """Return the terms of each question, [Q]; the KL and the regularizer are 0.

        The nll is the mean of -log p(a) - log p(q | a) over the right answers, or 0 for a question without a right
        answer.
        """
        reader_seed, decoder_seed = tf.unstack(tf.random.split(seed, 2)) if training else (None, None)
        answer = self.read(batch, reader_seed)
        right = tf.cast(batch["labels"], tf.bool)
        groups = tf.boolean_mask(batch["groups"], right)
        stems = tf.boolean_mask(batch["candidate_stems"], right)
        chosen: AnswerBatch = {**batch, "groups": groups, "candidate_stems": stems}
        log_p = tf.boolean_mask(self.log_prior(batch, answer.last), right)
        log_p += self.log_likelihood(
            chosen, answer._make(tf.boolean_mask(part, right) for part in answer), decoder_seed
        )
        nll = tf.math.unsorted_segment_mean(-log_p, groups, tf.shape(batch["questions"])[0])
        return ElboTerms(nll, tf.zeros_like(nll), tf.zeros_like(nll))

    def read(self, batch: AnswerBatch, seed: tf.Tensor | None = None) -> Read:
        """Return the states of the candidates; `seed` is int32 [2], of dropout; None: no dropout."""
        return self.answer_reader.read(self.embedding(batch["candidates"]), batch["candidate_lengths"], seed)

    def scores(self, batch: AnswerBatch, seed: tf.Tensor) -> tf.Tensor:
        """Return (log p(q | a), log p(a)) of each candidate, [N, 2], which do not depend on the seed."""
        answer = self.read(batch)
        return tf.stack([self.log_likelihood(batch, answer), self.log_prior(batch, answer.last)], 1)
