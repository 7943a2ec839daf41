"""NVDM (Miao, Yu & Blunsom 2016): a document is a bag of words, which are drawn from a softmax of a Gaussian latent.

z ~ p(z)           p(w | z) = softmax(z R + b)        q(z | x) = N(mu(x), diag sigma^2(x))
"""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from losses.replicas import batch_mean, sampled
from losses.variational import linear_weight, multinomial_nll
from text_vae import defaults
from text_vae.base import ElboTerms, TextVAE, adam
from text_vae.layers import MixturePrior, StandardPrior, dropped, gaussian
from text_vae.written import Words

MODE_STEPS = 4  # of Newton's method towards a mode that the inference network reads
SHARES = (0.1, 0.3, 0.6, 1.0, 1.5)  # of a step of Newton's method; the best is taken
# Of a posterior that is refined: Newton's steps, and samples of z for the expectations in each.
REFINEMENTS, REFINEMENT_DRAWS = 8, 8


class NVDM(TextVAE):
    """A topic model: an inference network computes q(z | x), and a matrix R and a bias b are the decoder.

    The inference network is a multilayer perceptron over the counts of a document. The rows of R [topics, V] are the
    topics, and its columns are the word vectors. A batch is a tensor of counts, float32 [B, V].

    Our default network reads something else, which is not in the paper. It takes a few of Newton's steps towards the mode
    of p(z | x), whose logarithm is concave. The perceptron reads the mode, the width of a Gaussian there and the number of
    words, and corrects both. So it sees the counts only through R x, which is all of a document that its posterior depends
    on, and cannot learn documents by heart.

    Args:
        words: V, size of the vocabulary.
        topics: size of z.
        widths: widths of the hidden layers of the inference network.
        dropout: dropout rate after the last hidden layer, in training. Not in the paper.
        reads: what the perceptron reads: "counts", as in the paper; "log_counts", log(1 + count), so that long documents
            do not saturate it; or "mode".
        length_power: a document of N words has a weight proportional to N^-length_power in the loss. With 0, as in the
            paper, a document of 500 words has fifty times the gradient of a document of 10 words. The perplexity per
            document, which the paper reports, gives both the same weight.
        decay: weight of |R|^2 in the loss of each document: R has a Gaussian prior. Not in the paper, whose inference
            network is too weak to fit the training documents as closely.
        prior: p(z), N(0, I) as in the paper, or a mixture of Gaussians, which the decoder's optimizer trains.
        turns: number of steps in a turn. In alternation, only the decoder or only the inference network is trained; the
            decoder is the first. The paper alternates likewise by epochs (wake and sleep). 0: both are trained in every
            step.
        options: the arguments of `TextVAE`.
    """

    defaults: ClassVar = defaults.NVDM

    def __init__(
        self,
        *,
        words: int,
        topics: int,
        widths: tuple[int, ...],
        dropout: float = 0.0,
        reads: str = "counts",
        length_power: float = 0.0,
        decay: float = 0.0,
        prior: StandardPrior | MixturePrior | None = None,
        turns: int = 0,
        **options: Any,
    ):
        super().__init__(**options)
        self.rate, self.reads, self.length_power, self.turns = dropout, reads, length_power, turns
        self.decay = decay
        self.hidden = [keras.layers.Dense(width, "relu") for width in widths]
        self.mu = keras.layers.Dense(topics, kernel_initializer="zeros" if reads == "mode" else "glorot_uniform")
        # sigma is at first the prior's, or that of the Gaussian at the mode
        self.log_variance = keras.layers.Dense(topics, kernel_initializer="zeros")
        self.decoder = keras.layers.Dense(words)
        if reads == "mode":  # which needs R
            self.decoder.build([None, topics])
        self.prior = prior or StandardPrior()
        self.decoder(self.infer(tf.zeros([1, words]))[0])

    @classmethod
    def assemble(
        cls,
        *,
        words: int,
        topics: int,
        encoder_widths: tuple[int, ...],
        alternate: int,
        kl_warm_up: int,
        prior_components: int,
        rate: float,
        final_rate: float,
        epochs: int,
        steps_per_epoch: int,
        **options: Any,
    ) -> "NVDM":
        """Return a compiled model.

        Args:
            words, topics: as for the constructor.
            encoder_widths: `widths` of the constructor.
            alternate: number of epochs in each turn of the decoder or the inference network; 0: both are trained in
                every step.
            kl_warm_up: number of steps in which the weight of the KL rises linearly from 0 to 1.
            prior_components: number of Gaussians of the prior; 0: it is N(0, I).
            rate, final_rate: the learning rate of both optimizers falls linearly from `rate` to `final_rate`.
            epochs, steps_per_epoch: length of the training.
            options: the other arguments of the constructor.
        """
        model = cls(
            words=words,
            topics=topics,
            widths=encoder_widths,
            prior=MixturePrior(prior_components, topics) if prior_components else StandardPrior(),
            turns=alternate * steps_per_epoch,
            kl_weight=lambda step: linear_weight(step, kl_warm_up),
            **options,
        )
        updates = epochs * steps_per_epoch // (2 if alternate else 1)  # of each optimizer
        model.compile(adam(rate, final_rate, updates), adam(rate, final_rate, updates))
        return model

    def infer(self, x: tf.Tensor, dropout_seed: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (mu, log sigma^2) of q(z | x), each [B, topics].

        Args:
            x: counts, float32 [B, V].
            dropout_seed: int32 [2]; None: no dropout.
        """
        if self.reads == "mode":
            start = self.mode(x)
            h = tf.concat([*start, tf.math.log1p(tf.reduce_sum(x, 1, keepdims=True))], 1)
        else:
            start = 0.0, 0.0
            h = tf.math.log1p(x) if self.reads == "log_counts" else x
        for layer in self.hidden:
            h = layer(h)
        h = dropped(h, self.rate, dropout_seed)
        return start[0] + self.mu(h), start[1] + self.log_variance(h)

    def mode(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return about the mode of p(z | x), and log sigma^2 of the Gaussian there without correlations; [B, topics] each.

        The gradient of log p(x, z) is R (x - N p(z)) - z for a document of N words, and minus its Hessian is
        I + N Cov(R), the covariance of the word vectors under p(z). The steps are those of Newton's method along the axes
        of the covariance at z = 0, which all documents share. So only variances along them are computed for a document.
        No gradient passes.

        Args:
            x: counts, float32 [B, V].
        """
        topics, bias = (tf.convert_to_tensor(v) for v in (self.decoder.kernel, self.decoder.bias))
        common = tf.nn.softmax(bias)
        centred = topics - tf.linalg.matvec(topics, common)[:, None]
        covariance = tf.matmul(centred * common, centred, transpose_b=True)
        # of weights that are not finite the axes do not exist; z then is not finite either, which training notices
        axes = tf.linalg.eigh(tf.where(tf.math.is_finite(covariance), covariance, 0.0))[1]
        along = tf.matmul(axes, topics, transpose_a=True)
        words, seen = tf.reduce_sum(x, 1, keepdims=True), tf.matmul(x, along, transpose_b=True)
        z, logits = tf.zeros_like(seen), bias[None]
        for _ in range(MODE_STEPS):
            (mean, variance), (pull, curvature) = moments(logits, along), self.prior.pull(z)
            slope = seen - words * mean + tf.matmul(pull, axes)
            step = slope / (curvature + words * variance)
            move, change = tf.matmul(step, axes, transpose_b=True), tf.matmul(step, along)
            share = self.best_share(z, move, tf.reduce_sum(step * seen, 1), words, logits, change)
            z, logits = z + share * move, logits + share * change
        precision = self.prior.pull(z)[1] + words * moments(logits, topics)[1]
        return tf.stop_gradient(z), tf.stop_gradient(-tf.math.log(precision))

    def best_share(
        self, z: tf.Tensor, move: tf.Tensor, gain: tf.Tensor, words: tf.Tensor, logits: tf.Tensor, change: tf.Tensor
    ) -> tf.Tensor:
        """Return the share of SHARES of a step that raises log p(x, z) most, [B, 1].

        Args:
            z: [B, K], or [S, B, K] of S samples whose mean counts.
            move: the whole step from there, [B, K].
            gain: what the step adds to the product of the counts and the logits, [B].
            words: N, [B, 1].
            logits: of p(w | z), [B, V] or [S, B, V].
            change: of the logits by the step, [B, V].
        """
        densities = []
        for share in SHARES:
            normalizer = words[:, 0] * tf.reduce_logsumexp(logits + share * change, -1)
            own = self.prior.log_density(z + share * move) - normalizer
            densities.append(share * gain + (tf.reduce_mean(own, 0) if own.shape.rank == 2 else own))
        return tf.gather(tf.constant(SHARES), tf.argmax(tf.stack(densities, 1), 1))[:, None]

    def topics(self, count: int = 10) -> list[list[str]]:
        """Return the `count` heaviest words of each topic, heaviest first: of each row of R."""
        weights: Any = self.decoder.kernel  # of a built layer
        words, heaviest = self.worded().words, np.argsort(-weights.numpy(), 1, "stable")[:, :count]
        return [[words[column] for column in row] for row in heaviest]

    def transform(self, documents: Sequence[str]) -> np.ndarray:
        """Return the mean of q(z | x) of documents, float32 [N, topics]. Words that the model does not know are skipped.

        Raises:
            ValueError: as `Wording.split` raises it, or a document has no word that the model knows.
        """
        counts = self.worded().counts(documents)
        if (empty := np.flatnonzero(counts.sum(1) == 0)).size:
            raise ValueError(f"{documents[empty[0]]!r} has no word that the model knows: give a longer text")
        return self.infer(tf.constant(counts))[0].numpy()

    def signatures(self) -> dict[str, Any]:
        table, width, topics = self.table, len(self.worded().words), self.topics()

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string)], autograph=False)
        def transform(tokens: tf.Tensor) -> dict[str, tf.Tensor]:
            counts = tf.reduce_sum(tf.one_hot(table.numbers(tokens), width), 1)
            return {"mu": self.infer(counts)[0]}

        @tf.function(input_signature=[], autograph=False)
        def list_topics() -> dict[str, tf.Tensor]:
            return {"words": tf.constant(topics)}

        return {"transform": transform, "topics": list_topics}

    @functools.cached_property
    def table(self) -> Words:
        words = self.worded().words
        return Words(words, range(len(words)), -1)

    def elbo_terms(self, batch: tf.Tensor, seed: tf.Tensor, training: bool = False) -> ElboTerms:
        dropout_seed, z_seed = tf.unstack(tf.random.split(seed, 2))

        def q() -> tuple[tf.Tensor, tf.Tensor]:
            return self.infer(batch, dropout_seed if training else None)

        if training and self.turns:  # without gradients of the inference network in the turns of the decoder
            mu, log_variance = tf.cond(self.decoder_learns, lambda: tuple(map(tf.stop_gradient, q())), q)
        else:
            mu, log_variance = q()
        z = sampled(gaussian(mu, log_variance), z_seed)
        kl = self.prior.kl(z, mu, log_variance)
        penalty = self.decay * tf.reduce_sum(tf.square(tf.convert_to_tensor(self.decoder.kernel)))
        return ElboTerms(multinomial_nll(self.decoder(z), batch), kl, kl + penalty)

    @tf.function(reduce_retracing=True, autograph=False)
    def refine(self, x: tf.Tensor, seed: tf.Tensor, full: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the Gaussian q of the best bound for each document: mu [B, topics] and A [B, topics, topics].

        The covariance of q is A A'. q starts as the prior, where no word has all the probability. Each of REFINEMENTS
        steps is Newton's, on the expected log p(x, z) under q. Its gradient moves mu. Minus its Hessian, I + N E[Cov(R)],
        becomes the inverse covariance (Opper & Archambeau 2009, eq. 7 and 8). The expectations are means
        over REFINEMENT_DRAWS samples, which stay the same from step to step. The inference network takes no part.

        Refining is not in the paper. The inference of LDA is a loop of this kind, too.

        Args:
            x: counts, float32 [B, V].
            seed: int32 [2].
            full: whether z's dimensions may correlate under q; if not, A is diagonal, as in the paper.
        """
        topics, bias = (tf.convert_to_tensor(v) for v in (self.decoder.kernel, self.decoder.bias))
        count = self.mu.units
        row, column = np.triu_indices(count)  # a covariance is symmetric: half of it is computed
        place = np.zeros([count, count], np.int32)
        place[row, column] = place[column, row] = np.arange(len(row))
        products = tf.gather(topics, row) * tf.gather(topics, column)
        words, seen = tf.reduce_sum(x, 1, keepdims=True), tf.matmul(x, topics, transpose_b=True)
        mu, identity = tf.zeros_like(seen), tf.eye(count) + tf.zeros_like(seen)[:, None]
        factor = identity  # of the inverse covariance of q
        half: Any = [tf.shape(x)[0], count, REFINEMENT_DRAWS // 2]
        draws = tf.random.stateless_normal(half, seed)
        draws = tf.concat([draws, -draws], 2)
        for _ in range(REFINEMENTS):
            z = mu + tf.transpose(tf.linalg.triangular_solve(factor, draws, adjoint=True), [2, 0, 1])
            logits = tf.einsum("sbk,kv->sbv", z, topics) + bias
            p = tf.nn.softmax(logits)
            mean = tf.einsum("sbv,kv->sbk", p, topics)
            square = tf.gather(tf.matmul(tf.reduce_mean(p, 0), products, transpose_b=True), place, axis=1)
            covariance = square - tf.einsum("sbi,sbj->bij", mean, mean) / REFINEMENT_DRAWS
            pull, curvature = (tf.reduce_mean(part, 0) for part in self.prior.pull(z))
            precision = curvature[:, :, None] * identity + words[:, :, None] * covariance
            slope = seen - words * tf.reduce_mean(mean, 0) + pull
            factor = tf.linalg.cholesky(precision)
            move = tf.linalg.cholesky_solve(factor, slope[:, :, None])[:, :, 0]
            gain = tf.reduce_sum(move * seen, 1)
            mu += self.best_share(z, move, gain, words, logits, tf.matmul(move, topics)) * move
            if not full:
                factor = tf.sqrt(identity * precision)
        return mu, tf.linalg.triangular_solve(factor, identity, adjoint=True)

    @tf.function(reduce_retracing=True, autograph=False)
    def bound(self, x: tf.Tensor, mu: tf.Tensor, scale: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return nll and KL, [B] each, of counts x [B, V] for q(z | x) = N(mu, A A').

        Args:
            mu: [B, topics].
            scale: A, triangular, [B, topics, topics].
            seed: int32 [2], of the one z of each document.
        """
        z = mu + tf.linalg.matvec(scale, tf.random.stateless_normal(tf.shape(mu), seed))
        return multinomial_nll(self.decoder(z), x), self.prior.full_kl(z, mu, scale)

    def shares(self, batch: tf.Tensor) -> tf.Tensor:
        """Return the weight of each document in the loss, [B], by its number of words; the mean over the batch is 1.

        A document without words counts as a document of one word.
        """
        shares = tf.maximum(tf.reduce_sum(batch, 1), 1.0) ** -self.length_power
        return shares / batch_mean(tf.reduce_mean(shares))

    def compile(  # pyright: ignore[reportIncompatibleMethodOverride]  # the base class has one optimizer
        self, optimizer: keras.Optimizer, encoder_optimizer: keras.Optimizer
    ) -> None:
        """Set the optimizers of the decoder (R and b) and of the inference network, which may be trained in turns."""
        # Keras also accepts a bool
        keras.Model.compile(self, optimizer=optimizer, jit_compile=False)  # pyright: ignore[reportArgumentType]
        self.encoder_optimizer = encoder_optimizer
        self.optimizer.build(self.generative_variables)
        self.encoder_optimizer.build(self.encoder_variables)
        self.track()

    @property
    def generative_variables(self) -> list[keras.Variable]:
        """The variables of p(x, z), the last of `trainable_variables`: the decoder's, and those of a mixture."""
        prior = self.prior.trainable_variables if isinstance(self.prior, MixturePrior) else []
        return self.decoder.trainable_variables + prior

    @property
    def encoder_variables(self) -> list[keras.Variable]:
        """The variables of the inference network: the other `trainable_variables`."""
        return self.trainable_variables[: -len(self.generative_variables)]

    @property
    def decoder_learns(self) -> tf.Tensor:
        """Whether the decoder is trained in this step, bool scalar; defined if `turns` is not 0."""
        return (self.step // self.turns) % 2 == 0

    def update(self, gradients: list[tf.Tensor | tf.IndexedSlices]) -> None:
        def learn_decoder() -> None:
            self.optimizer.apply(gradients[len(self.encoder_variables) :], self.generative_variables)

        def learn_encoder() -> None:
            self.encoder_optimizer.apply(gradients[: len(self.encoder_variables)], self.encoder_variables)

        if self.turns:
            tf.cond(self.decoder_learns, learn_decoder, learn_encoder)
        else:
            learn_decoder()
            learn_encoder()


def moments(logits: tf.Tensor, vectors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and variance of the coordinates of the words' vectors [K, V] under softmax(logits) [B, V], [B, K] each."""
    p = tf.nn.softmax(logits)
    mean, square = (tf.matmul(p, v, transpose_b=True) for v in (vectors, tf.square(vectors)))
    return mean, tf.maximum(square - tf.square(mean), 0.0)
