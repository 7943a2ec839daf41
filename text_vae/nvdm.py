"""NVDM (Miao, Yu & Blunsom 2016): a document is a bag of words, each drawn from the softmax of a Gaussian topic vector.

z ~ N(0, I)        p(w | z) = softmax(z R + b)        q(z | x) = N(mu(x), diag sigma^2(x))
"""

import keras
import tensorflow as tf

from losses.variational import gaussian_kl, multinomial_nll
from text_vae.base import ElboTerms, TextVAE
from text_vae.layers import dropped, gaussian


class NVDM(TextVAE):
    """A multilayer perceptron over a document's counts infers z; one matrix R [topics, V] and a bias draw the words.

    The rows of R are the topics, its columns the words' vectors.

    Args:
        words: V, size of the vocabulary.
        topics: dimensions of z.
        widths: hidden layers of the inference network.
        dropout: rate after the last of them, in training. Not in the paper.
        log_counts: infer from log(1 + count) in place of the count, so that long documents do not saturate the network.
            Not in the paper.
        length_power: a document of N words counts N^-length_power in the loss. With 0, as in the paper, a document of 500
            words has fifty times the gradient of one of ten; the perplexity per document, which the paper reports, knows
            no length.
        turns: steps for which R and b, then the inference network, learn alone, in alternation (the paper's wake and
            sleep by turns of epochs); 0: both learn in every step.
        options: those of `TextVAE`.
    """

    def __init__(
        self,
        *,
        words: int,
        topics: int,
        widths: tuple[int, ...],
        dropout: float = 0.0,
        log_counts: bool = False,
        length_power: float = 0.0,
        turns: int = 0,
        **options,
    ):
        super().__init__(**options)
        self.rate, self.log_counts, self.length_power, self.turns = dropout, log_counts, length_power, turns
        self.hidden = [keras.layers.Dense(width, "relu") for width in widths]
        self.mu = keras.layers.Dense(topics)
        self.log_variance = keras.layers.Dense(topics, kernel_initializer="zeros")  # sigma starts as the prior's
        self.decoder = keras.layers.Dense(words)
        self.decoder(self.infer(tf.zeros([1, words]))[0])

    def infer(self, x: tf.Tensor, dropout_seed: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """(mu, log sigma^2) of q(z | x), each [B, topics], from counts x [B, V]; without a seed nothing is dropped."""
        h = tf.math.log1p(x) if self.log_counts else x
        for layer in self.hidden:
            h = layer(h)
        h = dropped(h, self.rate, dropout_seed)
        return self.mu(h), self.log_variance(h)

    def elbo_terms(self, batch, seed, training=False):
        dropout_seed, z_seed = tf.unstack(tf.random.split(seed, 2))

        def q():
            return self.infer(batch, dropout_seed if training else None)

        if training and self.turns:  # no gradient is formed for an inference network that rests
            posterior = tf.cond(self.decoder_learns, lambda: tuple(map(tf.stop_gradient, q())), q)
        else:
            posterior = q()
        return self.terms_under(batch, *posterior, z_seed)

    def terms_under(self, x: tf.Tensor, mu: tf.Tensor, log_variance: tf.Tensor, seed: tf.Tensor) -> ElboTerms:
        """The terms of counts x [B, V] with q(z | x) = N(mu, exp(log_variance)), each [B, topics], from wherever it came."""
        z = gaussian(mu, log_variance).sample(seed=seed)
        kl = gaussian_kl(mu, log_variance)
        return ElboTerms(multinomial_nll(self.decoder(z), x), kl, kl)

    def refine(self, x: tf.Tensor, steps: int, rate: float, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(mu, log sigma^2) of x [B, V], where `steps` of Adam on each document's own bound lead from `infer`.

        What bounds log p(x) for every q is tighter for this one; the network, which has one pass, is not touched. Not in
        the paper: after Krishnan, Liang & Hoffman 2018, who refine in training too. LDA's inference is such a loop as well.

        Args:
            rate: at the first step, in the units of mu and log sigma^2; it falls to 0 on a straight line.
            seed: int32 [2].
        """
        q = [keras.Variable(start) for start in self.infer(x)]
        adam = keras.optimizers.Adam(keras.optimizers.schedules.PolynomialDecay(rate, steps, 0.0))
        adam.build(q)

        @tf.function
        def step(seed):
            with tf.GradientTape() as tape:
                terms = self.terms_under(x, *q, seed)
                loss = tf.reduce_sum(terms.nll + terms.kl)
            adam.apply(tape.gradient(loss, [v.value for v in q]), q)

        for i in range(steps):
            step(tf.random.fold_in(seed, i))
        return tuple(v.value for v in q)

    def shares(self, batch):
        shares = tf.maximum(tf.reduce_sum(batch, 1), 1.0) ** -self.length_power
        return shares / tf.reduce_mean(shares)

    def compile(self, optimizer: keras.Optimizer, encoder_optimizer: keras.Optimizer):
        """Takes the optimizer of R and b and that of the inference network; apart, so that each may rest in turn."""
        keras.Model.compile(self, optimizer=optimizer, jit_compile=False)
        self.encoder_optimizer = encoder_optimizer
        self.optimizer.build(self.decoder.trainable_variables)
        self.encoder_optimizer.build(self.encoder_variables)
        self.track()

    @property
    def encoder_variables(self) -> list[keras.Variable]:
        """Those of the inference network; `trainable_variables` has the two of the decoder last."""
        return self.trainable_variables[:-2]

    @property
    def decoder_learns(self) -> tf.Tensor:
        """Whether it is the decoder's turn, bool scalar."""
        return (self.step // self.turns) % 2 == 0

    def update(self, gradients):
        def learn_decoder():
            self.optimizer.apply(gradients[-2:], self.decoder.trainable_variables)

        def learn_encoder():
            self.encoder_optimizer.apply(gradients[:-2], self.encoder_variables)

        if self.turns:
            tf.cond(self.decoder_learns, learn_decoder, learn_encoder)
        else:
            learn_decoder()
            learn_encoder()
