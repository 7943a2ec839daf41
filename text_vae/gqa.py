"""A fully generative ranker after GQA (Lewis & Fan 2019): an answer is drawn from the candidates, then asks the question.

p(a) = softmax over the question's candidates of w' tanh(W s_a(last))        p(q | a) = prod_t p(q_t | q_<t, a)
p(q_t | q_<t, a) = (1 - g_t) softmax(V [d_t; c_t])_{q_t} + g_t sum_{i: a_i = q_t} alpha_ti

d_t is the decoder's state, alpha_t its attention over the answer's states s_a, c_t what it attends to, g_t sigmoid of both.
Candidates are ranked by log p(q | a) + w log p(a). The paper answers from paragraphs and pictures, with a deeper decoder
and its own way to copy; here the prior is over given candidates, and words are copied by their stems: what answer and
question share is most of what 1,000 questions can teach.
"""

import keras
import tensorflow as tf

from data.vocabulary import BOS
from text_vae.base import ElboTerms
from text_vae.layers import dropped, recurrent
from text_vae.ranker import Ranker, Reader, shared_words


class GQA(Ranker):
    """It has no latent variable: the KL is 0. Nothing that reads an answer sees the question it is to explain.

    The number of words of a question is taken as given: no end is predicted. A copied stem counts as the word.

    Args:
        units, layers: of the LSTM over answers; the decoder is one LSTM of as many units.
        dropout: rate on the words' vectors, and before the vocabulary.
        words, embedding, options: as for `Ranker`.
    """

    def __init__(self, *, units: int, layers: int, dropout: float, words: int, embedding: int, **options):
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

    def log_prior(self, batch, last: tf.Tensor) -> tf.Tensor:
        """log p(a) of each candidate among those of its question, [N], from the readers' last states [N, units]."""
        logits = self.prior(self.hidden(last))[:, 0]
        groups = batch["groups"]
        logits -= tf.gather(tf.math.segment_max(logits, groups), groups)
        return logits - tf.gather(tf.math.log(tf.math.segment_sum(tf.exp(logits), groups)), groups)

    def log_likelihood(self, batch, answer, seed: tf.Tensor | None = None) -> tf.Tensor:
        """log p(q | a) of the question of each candidate, [N]; `seed`: of dropout."""
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

    def elbo_terms(self, batch, seed, training=False):
        """nll [Q] is -log p(a) - log p(q | a), the mean over the right answers; 0 for a question that has none."""
        reader_seed, decoder_seed = tf.unstack(tf.random.split(seed, 2)) if training else (None, None)
        answer = self.read(batch, reader_seed)
        right = tf.cast(batch["labels"], tf.bool)
        groups = tf.boolean_mask(batch["groups"], right)
        chosen = batch | {name: tf.boolean_mask(batch[name], right) for name in ("groups", "candidate_stems")}
        log_p = tf.boolean_mask(self.log_prior(batch, answer.last), right)
        log_p += self.log_likelihood(
            chosen, answer._make(tf.boolean_mask(part, right) for part in answer), decoder_seed
        )
        nll = tf.math.unsorted_segment_mean(-log_p, groups, tf.shape(batch["questions"])[0])
        return ElboTerms(nll, tf.zeros_like(nll), tf.zeros_like(nll))

    def read(self, batch, seed: tf.Tensor | None = None):
        """The candidates as an LSTM reads them; `seed`: of dropout."""
        return self.answer_reader.read(self.embedding(batch["candidates"]), batch["candidate_lengths"], seed)

    def scores(self, batch, seed):
        """log p(q | a) and log p(a), [N, 2]; nothing is drawn, whatever the seed."""
        answer = self.read(batch)
        return tf.stack([self.log_likelihood(batch, answer), self.log_prior(batch, answer.last)], 1)
