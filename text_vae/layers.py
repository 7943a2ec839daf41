"""The layers that text models share: recurrent layers, Gaussians, dropout, and the decoder of words.

Batches are those of `data.sentences`: "tokens" int32 [B, T], words then EOS then PAD, and "lengths" int32 [B], the
numbers of words + 1. Padding follows a sentence, so it changes no state of the sentence, and recurrent layers need no
mask.
"""

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from data.sentences import SentenceBatch
from data.vocabulary import BOS, EOS, UNK, UNPREDICTED
from losses.replicas import own_rows, replicas
from losses.variational import full_gaussian_kl, gaussian_kl, token_nll

if TYPE_CHECKING:
    from tensorflow_probability.python.distributions import Distribution

tfd = tfp.distributions


@tf.custom_gradient
def lstm_steps(
    x: tf.Tensor, h: tf.Tensor, c: tf.Tensor, kernel: tf.Tensor
) -> Any:  # a pair: the decorator keeps the gradient
    """Return (h, c) of an LSTM after every step, [T, B, H] each.

    The gradient goes back step by step through the states alone. After that, the gradient of the kernel is a single
    product over all steps, and so are the gradients of the weights that computed x. Automatic differentiation would add
    up one product for each step.

    Args:
        x: [T, B, 4 H], the part of the gates that the inputs contribute; the gates are i, f, g, o, as in Keras.
        h, c: the state before the first step, [B, H] each.
        kernel: [H, 4 H], the map from h to the gates.
    """

    def step(state: tuple[tf.Tensor, ...], now: tf.Tensor) -> tuple[tf.Tensor, ...]:
        h, c, _ = state
        i, f, g, o = tf.split(now + tf.matmul(h, kernel), 4, axis=1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        return o * tf.tanh(c), c, tf.concat([i, f, g, o], 1)

    hs, cs, gates = tf.scan(step, x, (h, c, tf.zeros_like(x[0])))

    def gradient(to_hs: tf.Tensor, to_cs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        i, f, g, o = tf.split(gates, 4, axis=2)
        squashed, before = tf.tanh(cs), tf.concat([c[None], cs[:-1]], 0)
        c_of_gates = tf.concat([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)], 2)  # derivatives of c
        h_of_o, h_of_c = squashed * o * (1 - o), o * (1 - squashed * squashed)

        def back(state: tuple[tf.Tensor, ...], now: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            to_h, to_c, _ = state
            own_h, own_c, f, c_of_gates, h_of_o, h_of_c = now
            to_h += own_h
            to_c += own_c + to_h * h_of_c
            to_x = tf.concat([tf.tile(to_c, [1, 3]) * c_of_gates, to_h * h_of_o], 1)
            return tf.matmul(to_x, kernel, transpose_b=True), to_c * f, to_x

        start = tf.zeros_like(h), tf.zeros_like(c), tf.zeros_like(x[0])
        to_h, to_c, to_x = tf.scan(back, (to_hs, to_cs, f, c_of_gates, h_of_o, h_of_c), start, reverse=True)
        read = tf.reshape(tf.concat([h[None], hs[:-1]], 0), [-1, tf.shape(h)[1]])
        to_kernel = tf.matmul(read, tf.reshape(to_x, [-1, tf.shape(x)[2]]), transpose_a=True)
        return to_x, to_h[0], to_c[0], to_kernel

    return (hs, cs), gradient


class LSTM(keras.layers.LSTM):
    """keras.layers.LSTM with the options of `recurrent`, computed by `lstm_steps`.

    The inputs of all steps are multiplied by the kernel in one product.
    """

    def call(
        self,
        sequences: tf.Tensor,
        initial_state: list[tf.Tensor] | None = None,
        mask: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        h, c = initial_state or self.get_initial_state(tf.shape(sequences)[0])
        x = tf.tensordot(tf.transpose(sequences, [1, 0, 2]), self.cell.kernel, 1) + self.cell.bias
        hs, cs = lstm_steps(
            x,
            h,  # pyright: ignore[reportArgumentType]  # Keras types its states for all of its backends
            c,  # pyright: ignore[reportArgumentType]
            tf.convert_to_tensor(self.cell.recurrent_kernel),
        )
        return tf.transpose(hs, [1, 0, 2]), hs[-1], cs[-1]


CELLS = {"lstm": LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


def recurrent(cell: str, units: int) -> keras.layers.RNN:
    """Return a recurrent layer over inputs [B, T, D].

    Its outputs are h [B, T, units] and the last state, each part [B, units]: h and c of an LSTM, h of other cells.

    Args:
        cell: a name of CELLS.
    """
    return CELLS[cell](units, return_sequences=True, return_state=True)


def last(h: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Return h at the last real step of each sentence: [B, T, D] -> [B, D]; `lengths` is int [B]."""
    return tf.gather(h, lengths - 1, batch_dims=1)


def gaussian(mu: tf.Tensor, log_variance: tf.Tensor) -> "Distribution":
    """Return N(mu, diag exp(log_variance)), batch [B], event [D]."""
    return tfd.MultivariateNormalDiag(mu, tf.exp(0.5 * log_variance))


class StandardPrior:
    """p(z) = N(0, I). `MixturePrior` has the same methods."""

    def kl(self, z: tf.Tensor, mu: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
        """Return KL(q || p), [B], for q = N(mu, exp(log_variance)); z [B, D], a sample of q, is not needed."""
        return gaussian_kl(mu, log_variance)

    def full_kl(self, z: tf.Tensor, mu: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Return KL(q || p), [B], for q = N(mu, A A'), where A [B, D, D] is triangular."""
        return full_gaussian_kl(mu, scale)

    def log_density(self, z: tf.Tensor) -> tf.Tensor:
        """Return log p(z), [...], up to a constant, for z [..., D]."""
        return -0.5 * tf.reduce_sum(tf.square(z), -1)

    def pull(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the gradient of log p(z), [..., D], and how curved log p(z) is: 1 in every direction, [..., 1]."""
        return -z, tf.ones_like(tf.reduce_sum(z, -1, keepdims=True))


class MixturePrior(keras.layers.Layer):
    """p(z) = sum_k pi_k N(m_k, s_k^2 I), trained with the model (as in Dilokthanakul et al. 2016, without classes).

    Args:
        components: number of Gaussians.
        size: D, the size of z.
    """

    def __init__(self, components: int, size: int):
        super().__init__()
        apart = keras.initializers.RandomNormal(stddev=0.5)  # Gaussians that begin alike stay alike
        self.means = self.add_weight(shape=(components, size), initializer=apart, name="means")
        self.log_variances = self.add_weight(shape=(components,), initializer="zeros", name="log_variances")
        self.logits = self.add_weight(shape=(components,), initializer="zeros", name="logits")
        self.built = True

    def joint(self, z: tf.Tensor) -> tf.Tensor:
        """Return log pi_k + log N(z; m_k, s_k^2 I), [..., components], for z [..., D]."""
        size = self.means.shape[-1]
        means, log_variances = (tf.convert_to_tensor(v) for v in (self.means, self.log_variances))
        products = tf.tensordot(z, means, [[-1], [1]])
        distances = tf.reduce_sum(tf.square(z), -1, keepdims=True) - 2 * products + tf.reduce_sum(tf.square(means), 1)
        each = size * (log_variances + math.log(2 * math.pi)) + distances * tf.exp(-log_variances)
        return tf.nn.log_softmax(tf.convert_to_tensor(self.logits)) - 0.5 * each

    def log_density(self, z: tf.Tensor) -> tf.Tensor:
        """Return log p(z), [...], for z [..., D]."""
        return tf.reduce_logsumexp(self.joint(z), -1)

    def kl(self, z: tf.Tensor, mu: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
        """Return an unbiased estimate of KL(q || p), [B], from the sample z; arguments as for `StandardPrior`."""
        entropy = 0.5 * tf.reduce_sum(log_variance + math.log(2 * math.pi * math.e), -1)
        return -entropy - self.log_density(z)

    def full_kl(self, z: tf.Tensor, mu: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Return the same for a Gaussian with covariance A A'."""
        return self.kl(z, mu, 2 * tf.math.log(tf.linalg.diag_part(scale)))

    def pull(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the gradient of log p(z), [..., D], and the mean 1 / s_k^2 of the Gaussians that z may be from, [..., 1].

        It is at least minus the Hessian, which the spread of those Gaussians lowers.
        """
        weights = tf.nn.softmax(self.joint(z)) * tf.exp(-tf.convert_to_tensor(self.log_variances))
        curvature = tf.reduce_sum(weights, -1, keepdims=True)
        return tf.tensordot(weights, tf.convert_to_tensor(self.means), 1) - curvature * z, curvature


class GaussianNetwork(keras.layers.Layer):
    """A Gaussian that depends on x: x [B, inputs] -> (mu, log sigma^2), each [B, size], after one tanh layer.

    A new network computes the same log sigma^2 for all x.

    Args:
        inputs, hidden, size: width of x, of the tanh layer, and of mu.
        mu_kernel: initializer of the kernel of mu; "zeros": a new network computes mu = 0 for all x.
        log_variance: log sigma^2 of a new network.
    """

    def __init__(
        self, inputs: int, hidden: int, size: int, *, mu_kernel: str = "glorot_uniform", log_variance: float = 0.0
    ):
        super().__init__()
        self.hidden = keras.layers.Dense(hidden, "tanh")
        self.mu = keras.layers.Dense(size, kernel_initializer=mu_kernel)
        first = keras.initializers.Constant(log_variance)
        options: dict[str, Any] = {"kernel_initializer": "zeros", "bias_initializer": first}
        self.log_variance = keras.layers.Dense(size, **options)
        self(tf.zeros([1, inputs]))

    def call(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        h = self.hidden(x)
        return self.mu(h), self.log_variance(h)


def dropped(h: tf.Tensor, rate: float, seed: tf.Tensor | None, locked: bool = False) -> tf.Tensor:
    """Return h after dropout, which is a function of `seed`, int32 [2]; None: h itself.

    With `locked`, all steps of h [B, T, D] lose the same units of a sentence (Gal & Ghahramani 2016).
    """
    if seed is None or not rate:
        return h
    if replicas() == 1 and not locked:
        return tf.nn.experimental.stateless_dropout(h, rate, seed)
    steps = [tf.constant([1])] if locked else [tf.shape(h)[1:-1]]
    whole = tf.concat([replicas() * tf.shape(h)[:1], *steps, tf.shape(h)[-1:]], 0)
    kept = tf.nn.experimental.stateless_dropout(tf.ones(whole), rate, seed)
    return h * own_rows(tf.ensure_shape(kept, [None, *([1] if locked else h.shape[1:-1]), h.shape[-1]]))


def unread(tokens: tf.Tensor, rate: float, seed: tf.Tensor | None) -> tf.Tensor:
    """Return tokens int32 [B, T] of which a random share `rate` is UNK (word dropout, Bowman et al. 2016); BOS stays.

    They are a function of `seed`, int32 [2]; None: the tokens themselves.
    """
    if seed is None or not rate:
        return tokens
    count, steps = tf.unstack(tf.shape(tokens))
    lost = own_rows(tf.random.stateless_uniform([replicas() * count, steps], seed)) < rate
    return tf.where(lost & (tokens != BOS), UNK, tokens)


class Vocabulary(keras.layers.Layer):
    """The logits of a word, [..., words - 2], computed from states h [..., units]. PAD and BOS have no logit.

    Args:
        embedding: the layer of the words' vectors.
        units: width of h.
        tied: whether the words' vectors are the weights of the logits too (Press & Wolf 2017). A linear map first takes
            h to the width of the vectors.
    """

    def __init__(self, embedding: keras.layers.Embedding, units: int, *, tied: bool):
        super().__init__()
        self.embedding = embedding if tied else None
        predicted = embedding.input_dim - len(UNPREDICTED)
        shape = (units, embedding.output_dim if tied else predicted)
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(predicted,), initializer="zeros", name="bias")
        self.built = True

    def factors(self, h: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return (h, kernel, bias), where h kernel + bias are the logits; the returned h may have another width."""
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        if self.embedding is None:
            return h, kernel, bias
        vectors = tf.convert_to_tensor(self.embedding.embeddings)
        return tf.tensordot(h, kernel, 1), tf.transpose(vectors[len(UNPREDICTED) :]), bias

    def call(self, h: tf.Tensor) -> tf.Tensor:
        h, kernel, bias = self.factors(h)
        return tf.tensordot(h, kernel, 1) + bias


class WordDecoder(keras.layers.Layer):
    """The decoder p(x | z) = prod_t p(x_t | x_<t, z), a recurrent network over words.

    z is a part of every input, and the initial state is computed from z. If z has size 0, the decoder is a language
    model with a learned initial state. PAD and BOS are never predicted.

    Args:
        words: size of the vocabulary, including reserved ids.
        latent: size of z, or of the vector in its place.
        embedding: width of the word vectors.
        cell, units: see `recurrent`.
        dropout: dropout rate in training, for the word vectors and for the states before the vocabulary.
        tied: see `Vocabulary`.
        locked: see `dropped`.
        word_dropout: share of the words that the decoder reads as UNK, in training.
        ends: number of EOS in a row that end a generated text; if it is above 1, the start counts as one EOS.
        longest: highest number of ids in a generated text.
    """

    def __init__(
        self,
        *,
        words: int,
        latent: int,
        embedding: int,
        cell: str,
        units: int,
        dropout: float,
        tied: bool,
        locked: bool,
        word_dropout: float = 0.0,
        ends: int = 1,
        longest: int = 100,
    ):
        super().__init__()
        self.rate, self.locked, self.word_dropout = dropout, locked, word_dropout
        self.ends, self.longest = ends, longest
        self.embedding = keras.layers.Embedding(words, embedding)
        self.recurrent = recurrent(cell, units)
        # The bias is a row of the kernel: oneDNN aborts on a product over no dimension that a bias is added to.
        self.starts = [keras.layers.Dense(units, "tanh", use_bias=False) for _ in range(2 if cell == "lstm" else 1)]
        self.states(tf.zeros([1, 1], tf.int32), tf.zeros([1, latent]))  # builds the layers
        self.vocabulary = Vocabulary(self.embedding, units, tied=tied)
        self.built = True

    def states(
        self, tokens: tf.Tensor, z: tf.Tensor, start: list[tf.Tensor] | None = None, seed: tf.Tensor | None = None
    ) -> list[tf.Tensor]:
        """Return the states of the recurrent layer: h [B, T, units] after each token, then the parts of the last state.

        Args:
            tokens: int32 [B, T].
            z: [B, latent].
            start: the state before the first token; None: it is computed from z.
            seed: int32 [2], of dropout; None: no dropout.
        """
        seeds = [None, None] if seed is None else tf.unstack(tf.random.split(seed, 2))
        x = self.vectors(tokens, seeds[0])
        every_step = tf.repeat(z[:, None], tf.shape(tokens)[1], axis=1)
        h, *end = self.recurrent(tf.concat([x, every_step], -1), initial_state=start or self.first_state(z))
        return [dropped(h, self.rate, seeds[1], self.locked), *end]

    def vectors(self, tokens: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Return the words' vectors of tokens int32 [B, T], [B, T, embedding], after dropout; arguments as for `states`."""
        return dropped(self.embedding(tokens), self.rate, seed, self.locked)

    def first_state(self, z: tf.Tensor) -> list[tf.Tensor]:
        """Return the state before the first token, computed from z [B, latent]."""
        z_and_1 = tf.concat([z, tf.ones([tf.shape(z)[0], 1])], 1)
        return [layer(z_and_1) for layer in self.starts]

    def nll(self, batch: SentenceBatch, z: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Return -log p(x | z) of sentences that end with EOS, [B], in nats; z and `seed` as for `states`."""
        tokens, lengths = batch["tokens"], batch["lengths"]
        read = tf.pad(tokens[:, :-1], [[0, 0], [1, 0]], constant_values=BOS)
        fold_in: Any = tf.random.fold_in  # the stubs declare its result an int
        read = unread(read, self.word_dropout, None if seed is None else fold_in(seed, 0))
        h, *_ = self.states(read, z, seed=seed)
        return token_nll(*self.vocabulary.factors(h), tokens - len(UNPREDICTED), lengths)

    def sample(self, z: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor | float, top_p: tf.Tensor | float) -> Any:
        """Return a generated text for each z, ragged int32 [B, (T)]: ids without the last EOS, at most `longest` of them.

        Args:
            z: [B, latent].
            seed: int32 [2].
            temperature, top_p: see `choose`.
        """
        count = tf.shape(z)[0]

        def step(
            i: Any, token: tf.Tensor, ends: tf.Tensor, running: tf.Tensor, lengths: tf.Tensor, ids: Any, *state: Any
        ) -> tuple[Any, ...]:
            h, *state_after = self.states(token[:, None], z, list(state))
            word_seed: Any = tf.random.fold_in(seed, i)  # the stubs declare i and the result ints
            token = choose(self.vocabulary(h[:, 0]), word_seed, temperature, top_p) + len(UNPREDICTED)
            ends = tf.where(token == EOS, ends + 1, 0)
            running &= ends < self.ends
            return i + 1, token, ends, running, lengths + tf.cast(running, tf.int32), ids.write(i, token), *state_after

        def goes_on(i: tf.Tensor, token: tf.Tensor, ends: tf.Tensor, running: tf.Tensor, *_: Any) -> tf.Tensor:
            return (i < self.longest) & tf.reduce_any(running)

        words, none = tf.TensorArray(tf.int32, 0, dynamic_size=True, element_shape=[None]), tf.zeros([count], tf.int32)
        first = (tf.constant(0), none + BOS, none + self.ends - 1, tf.fill([count], True), none, words)
        _, _, _, _, lengths, words, *_ = tf.while_loop(goes_on, step, (*first, *self.first_state(z)))
        ragged: Any = tf.RaggedTensor  # the stubs lack its constructors
        return ragged.from_tensor(tf.transpose(words.stack()), lengths)


def choose(
    logits: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor | float = 1.0, top_p: tf.Tensor | float = 1.0
) -> tf.Tensor:
    """Return an index for each row of logits [B, V], int32 [B].

    Args:
        seed: int32 [2].
        temperature: divisor of the logits; 0: the most probable index.
        top_p: indices are drawn from the smallest set that has this probability (Holtzman et al. 2020).
    """

    def drawn() -> tf.Tensor:
        scaled = logits / temperature

        def nucleus() -> tf.Tensor:
            likeliest = tf.sort(scaled, -1, "DESCENDING")
            before = tf.cumsum(tf.nn.softmax(likeliest), -1, exclusive=True)
            least = tf.reduce_min(tf.where(before < top_p, likeliest, np.inf), -1, keepdims=True)
            return tf.where(scaled >= least, scaled, -np.inf)

        kept = tf.cond(tf.less(top_p, 1.0), nucleus, lambda: scaled)
        return tf.random.stateless_categorical(kept, 1, seed, tf.int32)[:, 0]

    return tf.cond(tf.equal(temperature, 0.0), lambda: tf.argmax(logits, -1, tf.int32), drawn)
