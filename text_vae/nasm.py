"""NASM (Miao, Yu & Blunsom 2016, section 4): a latent h, drawn for the question, controls the attention to the answer.

    p(h | q) = N(mu(z_q), diag sigma^2(z_q))        alpha_i ~ exp(w_a' tanh(W_h h + W_s s_a(i)))
    z_a = tanh(W_1 sum_i alpha_i s_a(i) + W_2 s_a(last))        p(y = 1 | q, a, h) = sigmoid(z_q' M z_a + b)
    q(h | q, a, y) = N(mu(z_q, s_a(last), y), diag sigma^2(z_q, s_a(last), y))

s_a are the states of an LSTM over the answer, and z_q is the last state of an LSTM over the question. The inference
network receives the last states of both LSTMs, and the label y.
"""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from data.answers import AnswerBatch
from losses.variational import bag_nll, gaussian_kl_between
from text_vae import defaults
from text_vae.base import ElboTerms, Own
from text_vae.layers import GaussianNetwork, gaussian
from text_vae.ranker import Ranker, Read, Reader, shared_words

# Log variance of h in a new model, in p and q: low, so that h is not mostly noise to the attention. Not in the paper.
FIRST_LOG_VARIANCE = -2.0


class NASM(Ranker):
    """NASM, or one of two controls without a latent.

    Args:
        attention: "latent", as in the paper; "deterministic", with z_q in place of h; or "none", with s_a(last) in
            place of z_a.
        units, layers: width and number of the LSTMs, over questions and over answers.
        latent: size of h.
        dropout: dropout rate of the word vectors, in training.
        match: whether the LSTM over answers has one more input: whether the stem of the word occurs in the question.
            Not in the paper. The paper's word vectors are trained on all of Wikipedia, so they represent rare words
            better than vectors that are trained on a small text.
        samples: number of samples of h from which `scores` predicts.
        bag_weight: weight of what h explains besides the label: the words of the question, and of the candidate if it is
            right, drawn independently from one softmax of h, as in NVDM. One label is explained best by an h that
            ignores it; words give h something to say. Not in the paper. 0: h explains the label alone.
        words, embedding, options: as for `Ranker`.
    """

    defaults: ClassVar = defaults.NASM

    def __init__(
        self,
        *,
        attention: str,
        units: int,
        layers: int,
        latent: int,
        dropout: float,
        match: bool,
        samples: int,
        words: int,
        embedding: int,
        bag_weight: float = 0.0,
        **options: Any,
    ):
        super().__init__(words=words, embedding=embedding, **options)
        self.attention, self.match, self.samples, self.bag_weight = attention, match, samples, bag_weight
        self.question_reader = Reader(inputs=embedding, units=units, layers=layers, dropout=dropout)
        self.answer_reader = Reader(inputs=embedding + match, units=units, layers=layers, dropout=dropout)
        self.similarity = keras.layers.Dense(units, use_bias=False)  # z_q' M
        self.similarity.build([None, units])
        self.bias = self.add_weight(shape=(), initializer="zeros", name="bias")
        if attention != "none":
            width = latent if attention == "latent" else units
            self.steer = keras.layers.Dense(units)  # W_h, with the one bias of the tanh
            self.key = keras.layers.Dense(units, use_bias=False)  # W_s
            self.energy = keras.layers.Dense(1, use_bias=False)  # w_a
            self.context = keras.layers.Dense(units)  # W_1
            self.ending = keras.layers.Dense(units, use_bias=False)  # W_2
            self.steer.build([None, width])
            for layer in (self.key, self.energy, self.context, self.ending):
                layer.build([None, units])
        if attention == "latent":
            first = {"mu_kernel": "zeros", "log_variance": FIRST_LOG_VARIANCE}  # p(h | q) is the same for all q
            self.prior = GaussianNetwork(units, latent, latent, **first)
            self.inference = GaussianNetwork(2 * units + 1, latent, latent, **first)
        if bag_weight:
            self.bag = keras.layers.Dense(words)
            self.bag.build([None, latent])

    @classmethod
    def assemble(cls: type[Own], *, kl_weight: float, **options: Any) -> Own:
        """Return a compiled model.

        Args:
            kl_weight: the constant weight of the KL.
            options: the arguments of `Ranker.assemble`.
        """
        return super().assemble(kl_weight=lambda step: tf.constant(kl_weight), **options)

    def read(self, batch: AnswerBatch, seed: tf.Tensor | None = None) -> tuple[tf.Tensor, Read]:
        """Return z_q [Q, units] and the states of the candidates; `seed` is int32 [2], of dropout; None: no dropout."""
        seeds = [None, None] if seed is None else tf.unstack(tf.random.split(seed, 2))
        x = self.embedding(batch["candidates"])
        if self.match:
            shared = tf.reduce_any(shared_words(batch), 1)
            x = tf.concat([x, tf.cast(shared, x.dtype)[:, :, None]], -1)
        question = self.question_reader.read(self.embedding(batch["questions"]), batch["question_lengths"], seeds[0])
        return question.last, self.answer_reader.read(x, batch["candidate_lengths"], seeds[1])

    def weights_of_words(self, answer: Read, h: tf.Tensor) -> tf.Tensor:
        """Return the attention alpha [N, U] to the words of each answer, for h [N, latent]; 0 for padding."""
        energy = self.energy(tf.tanh(self.steer(h)[:, None] + self.key(answer.states)))[..., 0]
        return tf.nn.softmax(tf.where(answer.mask, energy, -1e9))

    def logits(self, z_q: tf.Tensor, answer: Read, h: tf.Tensor) -> tf.Tensor:
        """Return log p(y = 1 | q, a, h) - log p(y = 0 | q, a, h) of each candidate, [N].

        Args:
            z_q: [N, units], of the question of each candidate.
            answer: the states of the candidates.
            h: [N, latent].
        """
        z_a = answer.last
        if self.attention != "none":
            c = tf.linalg.matvec(answer.states, self.weights_of_words(answer, h), transpose_a=True)
            z_a = tf.tanh(self.context(c) + self.ending(answer.last))
        return tf.reduce_sum(self.similarity(z_q) * z_a, -1) + self.bias

    def elbo_terms(self, batch: AnswerBatch, seed: tf.Tensor, training: bool = False) -> ElboTerms:
        """Return the terms of each candidate, [N]; nll is -log p(y | q, a, h) for one h from q(h | q, a, y)."""
        dropout_seed, h_seed = tf.unstack(tf.random.split(seed, 2))
        questions, answer = self.read(batch, dropout_seed if training else None)
        z_q, y = tf.gather(questions, batch["groups"]), batch["labels"]
        h, kl = z_q, tf.zeros_like(y)
        if self.attention == "latent":
            mu, log_variance = self.inference(tf.concat([z_q, answer.last, y[:, None]], -1))
            h = gaussian(mu, log_variance).sample(seed=h_seed)
            kl = gaussian_kl_between(mu, log_variance, *self.prior(z_q))
        nll = tf.nn.sigmoid_cross_entropy_with_logits(y, self.logits(z_q, answer, h))
        return ElboTerms(nll, kl, kl, self.bag_weight * self.bag_nll(batch, h) if self.bag_weight else 0.0)

    def bag_nll(self, batch: AnswerBatch, h: tf.Tensor) -> tf.Tensor:
        """Return -log p(words | h), [N], of the words of the question and of right candidates; h is [N, latent].

        Words that occur twice count twice.
        """
        log_p = tf.nn.log_softmax(self.bag(h))
        asked, length = (tf.gather(batch[name], batch["groups"]) for name in ("questions", "question_lengths"))
        answered = bag_nll(log_p, batch["candidates"], batch["candidate_lengths"])
        return bag_nll(log_p, asked, length) + batch["labels"] * answered

    def draws(self, z_q: tf.Tensor, samples: int, seed: tf.Tensor) -> tf.Tensor:
        """Return the input of the attention for each question: samples of h from p(h | q), [S, Q, latent], or z_q.

        Without a latent it is z_q [1, Q, units], whatever `samples` is.

        Args:
            z_q: [Q, units].
            samples: S.
            seed: int32 [2].
        """
        return gaussian(*self.prior(z_q)).sample(samples, seed=seed) if self.attention == "latent" else z_q[None]

    def scores(self, batch: AnswerBatch, seed: tf.Tensor) -> tf.Tensor:
        """Return the log odds of p(y = 1 | q, a) of each candidate, [N, 1].

        p(y = 1 | q, a) is the mean over `samples` samples of h from p(h | q), which all candidates of a question share.
        """
        (questions, answer), groups = self.read(batch), batch["groups"]
        z_q = tf.gather(questions, groups)
        logits = tf.map_fn(
            lambda h: self.logits(z_q, answer, tf.gather(h, groups)), self.draws(questions, self.samples, seed)
        )
        right, wrong = (tf.reduce_logsumexp(tf.math.log_sigmoid(side), 0) for side in (logits, -logits))
        return (right - wrong)[:, None]

    def encode(self, batch: AnswerBatch) -> tf.Tensor:
        """Return the mean of p(h | q) of each question, [Q, latent]; without a latent, z_q [Q, units]."""
        z_q = self.question_reader.read(self.embedding(batch["questions"]), batch["question_lengths"]).last
        return self.prior(z_q)[0] if self.attention == "latent" else z_q
