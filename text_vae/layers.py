"""What text models share: recurrent layers, the last state of a sentence, Gaussians, and the decoder of words.

A batch is as `data.sentences` gives it: "tokens" int32 [B, T], words then EOS then PAD, and "lengths" int32 [B], words + 1.
Padding stands behind a sentence, so it changes no state before it and recurrent layers need no mask.
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from data.vocabulary import BOS, EOS, UNPREDICTED
from losses.variational import token_nll

tfd = tfp.distributions


@tf.custom_gradient
def lstm_steps(x, h, c, kernel):
    """(h, c) of an LSTM after every step, [T, B, H] each, from the inputs' part of the gates x [T, B, 4 H] on.

    The gates are i, f, g, o, as in Keras. The gradient walks back through the states alone; the kernel's, and with x's those
    of what made x, are then single products over all steps, where automatic differentiation adds up one for each.

    Args:
        h, c: the state before the first step, [B, H] each.
        kernel: [H, 4 H], from h to the gates.
    """

    def step(state, now):
        h, c, _ = state
        i, f, g, o = tf.split(now + tf.matmul(h, kernel), 4, axis=1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        return o * tf.tanh(c), c, tf.concat([i, f, g, o], 1)

    hs, cs, gates = tf.scan(step, x, (h, c, tf.zeros_like(x[0])))

    def gradient(to_hs, to_cs):
        i, f, g, o = tf.split(gates, 4, axis=2)
        squashed, before = tf.tanh(cs), tf.concat([c[None], cs[:-1]], 0)
        c_of_gates = tf.concat([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)], 2)  # c's gradient for them
        h_of_o, h_of_c = squashed * o * (1 - o), o * (1 - squashed * squashed)

        def back(state, now):
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
    """keras.layers.LSTM as `recurrent` makes it, with one product for the inputs of all steps (`lstm_steps`)."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        h, c = initial_state or self.get_initial_state(tf.shape(sequences)[0])
        x = tf.tensordot(tf.transpose(sequences, [1, 0, 2]), self.cell.kernel, 1) + self.cell.bias
        hs, cs = lstm_steps(x, h, c, tf.convert_to_tensor(self.cell.recurrent_kernel))
        return tf.transpose(hs, [1, 0, 2]), hs[-1], cs[-1]


CELLS = {"lstm": LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


def recurrent(cell: str, units: int) -> keras.layers.RNN:
    """A layer of CELLS over [B, T, D]: (h [B, T, units], then its one last state, two of an LSTM, each [B, units])."""
    return CELLS[cell](units, return_sequences=True, return_state=True)


def last(h: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """What stands at each sentence's last real step, [B, T, D] -> [B, D]."""
    return tf.gather(h, lengths - 1, batch_dims=1)


def gaussian(mu: tf.Tensor, log_variance: tf.Tensor) -> tfd.Distribution:
    """N(mu, diag exp(log_variance)), batch [B], event [D]."""
    return tfd.MultivariateNormalDiag(mu, tf.exp(0.5 * log_variance))


class GaussianNetwork(keras.layers.Layer):
    """x [B, inputs] -> (mu, log sigma^2), each [B, size], after one tanh layer; at first log sigma^2 is the same for all x.

    Args:
        hidden: width of the tanh layer.
        mu_kernel: its initializer; "zeros": at first mu is 0 for all x.
        log_variance: what log sigma^2 is at first.
    """

    def __init__(
        self, inputs: int, hidden: int, size: int, *, mu_kernel: str = "glorot_uniform", log_variance: float = 0.0
    ):
        super().__init__()
        self.hidden = keras.layers.Dense(hidden, "tanh")
        self.mu = keras.layers.Dense(size, kernel_initializer=mu_kernel)
        first = keras.initializers.Constant(log_variance)
        self.log_variance = keras.layers.Dense(size, kernel_initializer="zeros", bias_initializer=first)
        self(tf.zeros([1, inputs]))

    def call(self, x):
        h = self.hidden(x)
        return self.mu(h), self.log_variance(h)


def dropped(h: tf.Tensor, rate: float, seed: tf.Tensor | None) -> tf.Tensor:
    """Dropout that is a function of its seed, int32 [2]; None: nothing is dropped."""
    return h if seed is None or not rate else tf.nn.experimental.stateless_dropout(h, rate, seed)


class WordDecoder(keras.layers.Layer):
    """p(x | z) = prod_t p(x_t | x_<t, z), a recurrent network over words; z joins every input and starts the state.

    z may have no dimension: then it is a language model, whose first state is learned. PAD and BOS are never predicted.

    Args:
        words: size of the vocabulary, reserved ids included.
        latent: size of z, or of whatever stands in its place.
        embedding: width of the words' vectors.
        cell, units: of the recurrent layer, as for `recurrent`.
        dropout: rate on the words' vectors and before the vocabulary, in training.
        ends: EOS in a row that end a generated text; the start counts as one of several.
        longest: most ids of a generated text.
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
        ends: int = 1,
        longest: int = 100,
    ):
        super().__init__()
        self.rate, self.ends, self.longest = dropout, ends, longest
        self.embedding = keras.layers.Embedding(words, embedding)
        self.recurrent = recurrent(cell, units)
        # The bias is a row of the kernel: oneDNN aborts on a product over no dimension that a bias is added to.
        self.starts = [keras.layers.Dense(units, "tanh", use_bias=False) for _ in range(2 if cell == "lstm" else 1)]
        self.vocabulary = keras.layers.Dense(words - len(UNPREDICTED))
        self.vocabulary(self.states(tf.zeros([1, 1], tf.int32), tf.zeros([1, latent]))[0])
        self.built = True

    def states(self, tokens: tf.Tensor, z: tf.Tensor, start=None, seed: tf.Tensor | None = None) -> list[tf.Tensor]:
        """h [B, T, units] after reading each of the tokens int32 [B, T] under z [B, latent], then the last state.

        Args:
            start: the state before the first token; None: z's.
            seed: int32 [2] of dropout; None: nothing is dropped.
        """
        seeds = [None, None] if seed is None else tf.unstack(tf.random.split(seed, 2))
        x = dropped(self.embedding(tokens), self.rate, seeds[0])
        every_step = tf.repeat(z[:, None], tf.shape(tokens)[1], axis=1)
        if start is None:
            z_and_1 = tf.concat([z, tf.ones([tf.shape(z)[0], 1])], 1)
            start = [layer(z_and_1) for layer in self.starts]
        h, *end = self.recurrent(tf.concat([x, every_step], -1), initial_state=start)
        return [dropped(h, self.rate, seeds[1]), *end]

    def nll(self, batch: dict[str, tf.Tensor], z: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """-log p(x | z) of sentences that end with EOS, [B], in nats; arguments as for `states`."""
        tokens, lengths = batch["tokens"], batch["lengths"]
        read = tf.pad(tokens[:, :-1], [[0, 0], [1, 0]], constant_values=BOS)
        h, *_ = self.states(read, z, seed=seed)
        return token_nll(h, self.vocabulary.kernel, self.vocabulary.bias, tokens - len(UNPREDICTED), lengths)

    def generate(self, z: tf.Tensor, seed: tf.Tensor, temperature: float = 1.0, top_p: float = 1.0) -> list[np.ndarray]:
        """A text for each z [B, latent], int32 ids without the last EOS, at most `longest` of them.

        Args:
            seed: int32 [2].
            temperature: what logits are divided by; 0: the most probable word each time (greedy).
            top_p: words are drawn from the smallest set that has this probability (Holtzman et al. 2020).

        Raises:
            ValueError: no z, a negative temperature, or top_p outside (0, 1].
        """
        if not len(z) or temperature < 0 or not 0 < top_p <= 1:
            raise ValueError(f"generate needs z, temperature >= 0, top_p in (0, 1]: {len(z)}, {temperature}, {top_p}")
        token, state, ids = tf.fill([len(z), 1], BOS), None, []
        ends, lengths = np.full(len(z), self.ends - 1), np.zeros(len(z), int)
        running = np.ones(len(z), bool)
        while len(ids) < self.longest and running.any():
            h, *state = self.states(token, z, state)
            chosen = choose(self.vocabulary(h[:, 0]), tf.random.fold_in(seed, len(ids)), temperature, top_p)
            token = chosen[:, None] + len(UNPREDICTED)
            ids.append(token[:, 0].numpy())
            ends = np.where(ids[-1] == EOS, ends + 1, 0)
            running &= ends < self.ends
            lengths += running
        return [row[:length] for row, length in zip(np.stack(ids, 1), lengths, strict=True)]


def choose(logits: tf.Tensor, seed: tf.Tensor, temperature: float, top_p: float) -> tf.Tensor:
    """One index for each row of logits [B, V], int32 [B]; arguments as for `WordDecoder.generate`."""
    if not temperature:
        return tf.argmax(logits, -1, tf.int32)
    logits /= temperature
    if top_p == 1:
        return tf.random.stateless_categorical(logits, 1, seed, tf.int32)[:, 0]
    likeliest = tf.sort(logits, -1, "DESCENDING")
    before = tf.cumsum(tf.nn.softmax(likeliest), -1, exclusive=True)
    least = tf.reduce_min(tf.where(before < top_p, likeliest, np.inf), -1, keepdims=True)
    return tf.random.stateless_categorical(tf.where(logits >= least, logits, -np.inf), 1, seed, tf.int32)[:, 0]
