"""NVDM (Miao, Yu & Blunsom 2016): a document is a bag of words, which are drawn from a softmax of a Gaussian latent.

z ~ N(0, I)        p(w | z) = softmax(z R + b)        q(z | x) = N(mu(x), diag sigma^2(x))
"""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from losses.replicas import batch_mean, sampled
from losses.variational import gaussian_kl, linear_weight, multinomial_nll
from text_vae import defaults
from text_vae.base import ElboTerms, TextVAE, adam
from text_vae.layers import dropped, gaussian
from text_vae.written import Words


class NVDM(TextVAE):
    """A topic model: an inference network computes q(z | x), and a matrix R and a bias b are the decoder.

    The inference network is a multilayer perceptron over the counts of a document. The rows of R [topics, V] are the
    topics, and its columns are the word vectors. A batch is a tensor of counts, float32 [B, V].

    Args:
        words: V, size of the vocabulary.
        topics: size of z.
        widths: widths of the hidden layers of the inference network.
        dropout: dropout rate after the last hidden layer, in training. Not in the paper.
        log_counts: whether the inference network receives log(1 + count) instead of the count, so that long documents
            do not saturate it. Not in the paper.
        length_power: a document of N words has a weight proportional to N^-length_power in the loss. With 0, as in the
            paper, a document of 500 words has fifty times the gradient of a document of 10 words. The perplexity per
            document, which the paper reports, gives both the same weight.
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
        log_counts: bool = False,
        length_power: float = 0.0,
        turns: int = 0,
        **options: Any,
    ):
        super().__init__(**options)
        self.rate, self.log_counts, self.length_power, self.turns = dropout, log_counts, length_power, turns
        self.hidden = [keras.layers.Dense(width, "relu") for width in widths]
        self.mu = keras.layers.Dense(topics)
        self.log_variance = keras.layers.Dense(topics, kernel_initializer="zeros")  # sigma is the prior's at first
        self.decoder = keras.layers.Dense(words)
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
            rate, final_rate: the learning rate of both optimizers falls linearly from `rate` to `final_rate`.
            epochs, steps_per_epoch: length of the training.
            options: the other arguments of the constructor.
        """
        model = cls(
            words=words,
            topics=topics,
            widths=encoder_widths,
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
        h = tf.math.log1p(x) if self.log_counts else x
        for layer in self.hidden:
            h = layer(h)
        h = dropped(h, self.rate, dropout_seed)
        return self.mu(h), self.log_variance(h)

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
        return self.terms_under(batch, mu, log_variance, z_seed)

    def terms_under(self, x: tf.Tensor, mu: tf.Tensor, log_variance: tf.Tensor, seed: tf.Tensor) -> ElboTerms:
        """Return the terms of counts x [B, V] for q(z | x) = N(mu, exp(log_variance)).

        Args:
            mu, log_variance: [B, topics] each, computed by `infer` or in another way.
            seed: int32 [2].
        """
        z = sampled(gaussian(mu, log_variance), seed)
        kl = gaussian_kl(mu, log_variance)
        return ElboTerms(multinomial_nll(self.decoder(z), x), kl, kl)

    def refine(self, x: tf.Tensor, steps: int, rate: float, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return refined (mu, log sigma^2) of x [B, V], each [B, topics].

        They start as the result of `infer`. Then `steps` steps of Adam improve the bound of each document. The bound
        holds for every q, and is tighter for a refined one. The inference network, which computes q in one pass, stays
        as it is.

        Refining is not in the paper. It follows Krishnan, Liang & Hoffman 2018, who also refine in training. The
        inference of LDA is a loop of this kind, too.

        Args:
            steps: number of steps.
            rate: Adam's learning rate at the first step, in the units of mu and log sigma^2; it falls linearly to 0.
            seed: int32 [2].
        """
        mu, log_variance = q = [keras.Variable(start) for start in self.infer(x)]
        optimizer = adam(rate, 0.0, steps)
        optimizer.build(q)

        @tf.function(autograph=False)
        def step(seed: Any) -> None:  # int32 [2]; the stubs declare the result of fold_in an int
            with tf.GradientTape() as tape:
                # TensorFlow computes with the Keras variables as with tensors
                terms = self.terms_under(x, mu, log_variance, seed)  # pyright: ignore[reportArgumentType]
                loss = tf.reduce_sum(terms.nll + terms.kl)
            optimizer.apply(tape.gradient(loss, [v.value for v in q]), q)

        for i in range(steps):
            step(tf.random.fold_in(seed, i))
        return mu.value, log_variance.value

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
        self.optimizer.build(self.decoder.trainable_variables)
        self.encoder_optimizer.build(self.encoder_variables)
        self.track()

    @property
    def encoder_variables(self) -> list[keras.Variable]:
        """The variables of the inference network: all of `trainable_variables` but the last two, the decoder's."""
        return self.trainable_variables[:-2]

    @property
    def decoder_learns(self) -> tf.Tensor:
        """Whether the decoder is trained in this step, bool scalar; defined if `turns` is not 0."""
        return (self.step // self.turns) % 2 == 0

    def update(self, gradients: list[tf.Tensor | tf.IndexedSlices]) -> None:
        def learn_decoder() -> None:
            self.optimizer.apply(gradients[-2:], self.decoder.trainable_variables)

        def learn_encoder() -> None:
            self.encoder_optimizer.apply(gradients[:-2], self.encoder_variables)

        if self.turns:
            tf.cond(self.decoder_learns, learn_decoder, learn_encoder)
        else:
            learn_decoder()
            learn_encoder()
