"""NASM (Miao, Yu & Blunsom 2016, section 4): what a question is about is a latent h that steers the attention to the answer.

p(h | q) = N(mu(z_q), diag sigma^2(z_q))        alpha_i ~ exp(w_a' tanh(W_h h + W_s s_a(i)))
z_a = tanh(W_1 sum_i alpha_i s_a(i) + W_2 s_a(last))        p(y = 1 | q, a, h) = sigmoid(z_q' M z_a + b)
q(h | q, a, y) = N(mu(z_q, s_a(last), y), diag sigma^2(z_q, s_a(last), y))

s_a are the states of an LSTM over the answer, z_q is the last state of one over the question. The inference network
reads both LSTMs' last states.
"""

import keras
import tensorflow as tf

from losses.variational import gaussian_kl_between
from text_vae.base import ElboTerms
from text_vae.layers import GaussianNetwork, gaussian
from text_vae.ranker import Ranker, Read, Reader, shared_words

FIRST_LOG_VARIANCE = -2.0  # of h, for p and q: at first the attention shall hear more than noise. Not in the paper


class NASM(Ranker):
    """`attention` "latent" is the paper's; "deterministic" puts z_q in the place of h, "none" s_a(last) in that of z_a.

    Args:
        units, layers: of both LSTMs.
        latent: size of h.
        dropout: rate on the words' vectors.
        match: each word of an answer also brings whether its stem is in the question. Not in the paper, whose vectors,
            of all of Wikipedia, know more of rare words than those of a small training text.
        samples: of h, to predict.
        options: those of `Ranker`.
    """

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
        **options,
    ):
        super().__init__(words=words, embedding=embedding, **options)
        self.attention, self.match, self.samples = attention, match, samples
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
            first = {"mu_kernel": "zeros", "log_variance": FIRST_LOG_VARIANCE}  # the same h for all questions
            self.prior = GaussianNetwork(units, latent, latent, **first)
            self.inference = GaussianNetwork(2 * units + 1, latent, latent, **first)

    def read(self, batch, seed: tf.Tensor | None = None) -> tuple[tf.Tensor, Read]:
        """(z_q [Q, units], the candidates as read); `seed`: of dropout."""
        seeds = [None, None] if seed is None else tf.unstack(tf.random.split(seed, 2))
        x = self.embedding(batch["candidates"])
        if self.match:
            shared = tf.reduce_any(shared_words(batch), 1)
            x = tf.concat([x, tf.cast(shared, x.dtype)[:, :, None]], -1)
        question = self.question_reader.read(self.embedding(batch["questions"]), batch["question_lengths"], seeds[0])
        return question.last, self.answer_reader.read(x, batch["candidate_lengths"], seeds[1])

    def weights_of_words(self, answer: Read, h: tf.Tensor) -> tf.Tensor:
        """alpha [N, U] under h [N, latent]; 0 behind an answer's end."""
        energy = self.energy(tf.tanh(self.steer(h)[:, None] + self.key(answer.states)))[..., 0]
        return tf.nn.softmax(tf.where(answer.mask, energy, -1e9))

    def logits(self, z_q: tf.Tensor, answer: Read, h: tf.Tensor) -> tf.Tensor:
        """log p(y = 1 | q, a, h) - log p(y = 0 | q, a, h), [N]; z_q [N, units] and h [N, latent] for each candidate."""
        z_a = answer.last
        if self.attention != "none":
            c = tf.linalg.matvec(answer.states, self.weights_of_words(answer, h), transpose_a=True)
            z_a = tf.tanh(self.context(c) + self.ending(answer.last))
        return tf.reduce_sum(self.similarity(z_q) * z_a, -1) + self.bias

    def elbo_terms(self, batch, seed, training=False):
        """nll is -log p(y | q, a, h) of one h from q(h | q, a, y) for each candidate."""
        dropout_seed, h_seed = tf.unstack(tf.random.split(seed, 2))
        questions, answer = self.read(batch, dropout_seed if training else None)
        z_q, y = tf.gather(questions, batch["groups"]), batch["labels"]
        h, kl = z_q, tf.zeros_like(y)
        if self.attention == "latent":
            mu, log_variance = self.inference(tf.concat([z_q, answer.last, y[:, None]], -1))
            h = gaussian(mu, log_variance).sample(seed=h_seed)
            kl = gaussian_kl_between(mu, log_variance, *self.prior(z_q))
        nll = tf.nn.sigmoid_cross_entropy_with_logits(y, self.logits(z_q, answer, h))
        return ElboTerms(nll, kl, kl)

    def draws(self, z_q: tf.Tensor, samples: int, seed: tf.Tensor) -> tf.Tensor:
        """What steers the attention, [S, Q, latent]: samples of h from p(h | q), or the one z_q itself."""
        return gaussian(*self.prior(z_q)).sample(samples, seed=seed) if self.attention == "latent" else z_q[None]

    def scores(self, batch, seed):
        """Log-odds of p(y = 1 | q, a), the mean over `samples` of h from p(h | q), the same for a question's candidates."""
        (questions, answer), groups = self.read(batch), batch["groups"]
        z_q = tf.gather(questions, groups)
        logits = tf.map_fn(
            lambda h: self.logits(z_q, answer, tf.gather(h, groups)), self.draws(questions, self.samples, seed)
        )
        right, wrong = (tf.reduce_logsumexp(tf.math.log_sigmoid(side), 0) for side in (logits, -logits))
        return (right - wrong)[:, None]

    def encode(self, batch) -> tf.Tensor:
        """The mean of p(h | q) of each question, [Q, latent]; z_q [Q, units] where there is no h."""
        z_q = self.question_reader.read(self.embedding(batch["questions"]), batch["question_lengths"]).last
        return self.prior(z_q)[0] if self.attention == "latent" else z_q
