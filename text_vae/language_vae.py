"""The recurrent language model, and the VAE over sentences (Bowman et al. 2016). TWR-VAE is compared with both.

p(x) = prod_t p(x_t | x_<t)
p(x, z) = N(z; 0, I) prod_t p(x_t | x_<t, z),  q(z | x) from an encoder's last state
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from data.sentences import SentenceBatch, evaluation_batches
from losses.replicas import sampled
from losses.variational import cyclical_weight, free_bits, gaussian_kl, gaussian_kl_between, linear_weight
from text_vae import defaults
from text_vae.base import ElboTerms, Own, TextVAE
from text_vae.layers import WordDecoder, gaussian, last, recurrent

if TYPE_CHECKING:
    from tensorflow_probability.python.distributions import Distribution

ENCODED = 64  # sentences that `encode` takes at a time
CYCLE_GROWTH = 0.5  # share of a cycle in which the weight of the KL grows: R of Fu et al. 2019


class LanguageModel(TextVAE):
    """The decoder without a latent. Its nll is exact, and its KL is 0.

    Args:
        decoder: a `WordDecoder`, whose z has size 0 in this class. `MLVAE` also takes a `PlannedDecoder`.
        options: the arguments of `TextVAE`.
    """

    defaults: ClassVar = defaults.LANGUAGE_MODEL

    def __init__(self, *, decoder: Any, **options: Any):
        super().__init__(**options)
        self.decoder = decoder

    @classmethod
    def assemble(
        cls: type[Own],
        *,
        words: int,
        embedding: int,
        cell: str,
        units: int,
        dropout: float,
        tied: bool,
        locked: bool,
        longest: int,
        **options: Any,
    ) -> Own:
        """Return a compiled model.

        Args:
            words, embedding, cell, units, dropout, tied, locked, longest: see `WordDecoder`.
            options: the other arguments of `TextVAE.with_adam`.
        """
        decoder = WordDecoder(
            words=words,
            latent=0,
            embedding=embedding,
            cell=cell,
            units=units,
            dropout=dropout,
            tied=tied,
            locked=locked,
            longest=longest,
        )
        return cls.with_adam(decoder=decoder, **options)

    def elbo_terms(self, batch: SentenceBatch, seed: tf.Tensor, training: bool = False) -> ElboTerms:
        nothing = tf.zeros([tf.shape(batch["lengths"])[0], 0])
        kl = tf.reduce_sum(nothing, -1)
        return ElboTerms(self.decoder.nll(batch, nothing, seed if training else None), kl, kl)

    def log_weights(self, batch: SentenceBatch, samples: int, seed: tf.Tensor) -> tf.Tensor:
        """Return the log weights log w_s of `metrics.likelihood`, [S, B].

        Here S is 1, whatever `samples` is, because all log weights of a model without a latent are equal.

        Args:
            samples: number of samples of z for each sentence, S.
            seed: int32 [2].
        """
        return -self.elbo_terms(batch, seed).nll[None]

    def prior_samples(self, n: Any, seed: tf.Tensor) -> tf.Tensor:
        """Return n samples of z from the prior, [n, latent]; here [n, 0]. n is an int or a tensor, `seed` int32 [2]."""
        return tf.zeros([n, 0])

    def ids_of(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of texts, int32 [T] each. Raise ValueError as `Wording.split` does."""
        wording = self.worded()
        return [wording.vocabulary.encode(words) for words in wording.split(texts)]

    def texts_of(self, ids: Iterable[np.ndarray]) -> list[str]:
        """Return texts, given the ids of each."""
        vocabulary = self.worded().vocabulary
        return [" ".join(vocabulary.decode(own)) for own in ids]

    def generate(self, n: int, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0) -> list[str]:
        """Return n texts that are decoded from samples of the prior; arguments and errors as for `generate_ids`."""
        return self.texts_of(self.generate_ids(n, temperature, top_p, seed))

    def generate_ids(self, n: int, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0) -> list[np.ndarray]:
        """Return n sentences, int32 ids each, that are decoded from samples of the prior.

        Args:
            temperature, top_p: see `choose`.
            seed: the seed of z and of the words.

        Raises:
            ValueError: n is below 1, or as `decode` raises it.
        """
        if n < 1:
            raise ValueError(f"n is {n}: ask for at least 1")
        z_seed, word_seed = tf.unstack(tf.random.split([seed, 2], 2))
        return self.decode(self.prior_samples(n, z_seed), word_seed, temperature, top_p)

    def signatures(self) -> dict[str, Any]:
        number, real = (tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.float32))
        written: Any = self.table

        @tf.function(input_signature=[number, number, real, real], autograph=False)
        def generate(n: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, top_p: tf.Tensor) -> dict[str, tf.Tensor]:
            z_seed, word_seed = tf.unstack(tf.random.split(tf.stack([seed, 2]), 2))
            ids = self.decoder.sample(self.prior_samples(n, z_seed), word_seed, temperature, top_p)
            return {"texts": written.texts(ids)}

        return {"generate": generate}

    def decode(
        self, z: np.ndarray | tf.Tensor, seed: tf.Tensor, temperature: float = 1.0, top_p: float = 1.0
    ) -> list[np.ndarray]:
        """Return a text for each z [B, latent], int32 ids without the last EOS; `seed` is int32 [2].

        Raises:
            ValueError: the temperature is negative, or top_p is not in (0, 1].
        """
        if not temperature >= 0 or not 0 < top_p <= 1:
            raise ValueError(
                f"temperature is {temperature} and top_p is {top_p}: give a temperature of at least 0, and top_p above 0 "
                "and at most 1"
            )
        ids = self._sample(
            tf.constant(z), tf.constant(seed), tf.constant(float(temperature)), tf.constant(float(top_p))
        )
        return [np.asarray(own, np.int32) for own in ids]

    @tf.function(reduce_retracing=True, autograph=False)
    def _sample(self, z: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, top_p: tf.Tensor) -> Any:
        return self.decoder.sample(z, seed, temperature, top_p)


class Latent(NamedTuple):
    """The posterior and prior of the z that is decoded: N(mu, exp(log_variance)) and N(0, exp(prior_log_variance))."""

    mu: tf.Tensor  # [B, latent]
    log_variance: tf.Tensor  # [B, latent]
    regularizer: tf.Tensor  # [B], the term that training adds to nll
    prior_log_variance: tf.Tensor | float = 0.0  # [B, 1]
    length_nats: tf.Tensor | float = 0.0  # [B], -log p(T) if the prior depends on the number of steps T

    @property
    def kl(self) -> tf.Tensor:
        """KL(q(z | x) || p(z)), [B], in nats."""
        return gaussian_kl_between(self.mu, self.log_variance, 0.0, self.prior_log_variance)

    @property
    def posterior(self) -> "Distribution":
        """q(z | x), batch [B], event [latent]."""
        return gaussian(self.mu, self.log_variance)

    @property
    def prior(self) -> "Distribution":
        """p(z), batch [B], event [latent]."""
        zeros = tf.zeros_like(self.mu)
        return gaussian(zeros, zeros + self.prior_log_variance)


class LanguageVAE(LanguageModel):
    """A language model whose decoder receives z. A subclass defines the encoder: `infer`, and the layer `mu`.

    Args:
        text_bits: nats of a text's KL below which lowering it has no reward: free bits, judged by text (as in Li et al.
            2019).
        reset_at: step before which the decoder's weights are drawn anew, all but the words' vectors, which the encoder
            reads too (Li et al. 2019); 0: never. The schedule of the KL's weight has to begin there.
        options: the arguments of `LanguageModel`.
    """

    mu: keras.layers.Dense  # computes the mean of q(z | x)

    def __init__(self, *, text_bits: float = 0.0, reset_at: int = 0, **options: Any):
        super().__init__(**options)
        self.text_bits, self.reset_at = text_bits, reset_at
        self.decoder_at_first = [weight.numpy() for weight in self.reset_weights] if reset_at else []

    @property
    def latent(self) -> int:
        """The size of the z that is decoded."""
        return self.mu.units

    @property
    def reset_weights(self) -> list[keras.Variable]:
        """The weights that `reset_at` draws anew."""
        vectors = self.decoder.embedding.embeddings
        return [weight for weight in self.decoder.trainable_variables if weight is not vectors]

    def train_step(self, batch: SentenceBatch) -> dict[str, Any]:
        if self.reset_at:
            tf.cond(self.step == self.reset_at, self.reset_decoder, lambda: None)
        return super().train_step(batch)

    def reset_decoder(self) -> None:
        """Return the decoder to its first weights, all but the words' vectors."""
        for weight, first in zip(self.reset_weights, self.decoder_at_first, strict=True):
            weight.assign(first)

    def infer(self, batch: SentenceBatch, seed: tf.Tensor | None = None) -> Latent:
        """Return the encoder's output for a batch; `seed` is int32 [2], of dropout; None: no dropout."""
        raise NotImplementedError

    def elbo_terms(self, batch: SentenceBatch, seed: tf.Tensor, training: bool = False) -> ElboTerms:
        z_seed, *dropout_seeds = tf.unstack(tf.random.split(seed, 3))
        encoder_seed, decoder_seed = dropout_seeds if training else (None, None)
        latent = self.infer(batch, encoder_seed)
        z, kl, regularizer = self.drawn(latent, z_seed)
        nll = self.decoder.nll(batch, z, decoder_seed) + latent.length_nats
        return ElboTerms(nll, kl, regularizer, self.auxiliary(batch, z) if training else 0.0)

    def drawn(self, latent: Latent, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return (z [B, latent], its KL [B], the regularizer [B]) of one z for each text.

        Args:
            latent: the output of `infer`.
            seed: int32 [2].
        """
        return sampled(latent.posterior, seed), latent.kl, latent.regularizer

    def auxiliary(self, batch: SentenceBatch, z: tf.Tensor) -> tf.Tensor | float:
        """Return what training adds to the loss besides, [B]: here nothing. z is [B, latent]."""
        return 0.0

    def log_weights(self, batch: SentenceBatch, samples: int, seed: tf.Tensor) -> tf.Tensor:
        """Return log p(x | z_s) + log p(z_s) - log q(z_s | x) for S samples z_s from q(z | x), [S, B].

        log p(T) is added if the prior depends on the number of steps T.

        Args:
            samples: S.
            seed: int32 [2].
        """
        latent = self.infer(batch)

        def log_weight(sample: tf.Tensor) -> tf.Tensor:
            fold_in: Any = tf.random.fold_in  # the stubs declare its number and its result an int
            return self.log_weight(batch, latent, fold_in(seed, sample))

        return tf.map_fn(log_weight, tf.range(samples), fn_output_signature=tf.float32, parallel_iterations=1)

    def log_weight(self, batch: SentenceBatch, latent: Latent, seed: tf.Tensor) -> tf.Tensor:
        """Return the log weight of one sample of z for each sentence, [B]; `latent` is the output of `infer`."""
        z = latent.posterior.sample(seed=seed)
        log_ratio = latent.prior.log_prob(z) - latent.posterior.log_prob(z)
        return log_ratio - latent.length_nats - self.decoder.nll(batch, z)

    def prior_samples(self, n: Any, seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal([n, self.latent], seed)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return the posterior means of texts, float32 [N, latent]."""
        return self.encode_ids(self.ids_of(texts))

    def encode_ids(self, sentences: Sequence[np.ndarray]) -> np.ndarray:
        """Return the posterior means of sentences, float32 [N, latent].

        Args:
            sentences: int32 ids each, without EOS.
        """
        mu = np.empty([len(sentences), self.latent], np.float32)
        for batch in evaluation_batches(sentences, ENCODED):
            mu[batch["indices"]] = self.z_of(self.infer(batch).mu)
        return mu

    def z_of(self, mu: tf.Tensor) -> tf.Tensor:
        """Return the z that is decoded, given the mean of what the encoder infers, [B, latent]: here that mean."""
        return mu

    def signatures(self) -> dict[str, Any]:
        written: Any = self.table
        tokens = tf.TensorSpec([None, None], tf.string)

        @tf.function(input_signature=[tokens], autograph=False)
        def encode(tokens: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"mu": self.z_of(self.infer(written.batch(tokens)).mu)}

        @tf.function(input_signature=[tokens], autograph=False)
        def reconstruct(tokens: tf.Tensor) -> dict[str, tf.Tensor]:
            mu = self.z_of(self.infer(written.batch(tokens)).mu)
            return {"texts": written.texts(self.decoder.sample(mu, tf.constant([0, 2]), 0.0, 1.0))}

        return super().signatures() | {"encode": encode, "reconstruct": reconstruct}

    def reconstruct(
        self, texts: Sequence[str], temperature: float = 0.0, top_p: float = 1.0, seed: int = 0
    ) -> list[str]:
        """Return a text that is decoded from the posterior mean of each text; arguments as for `reconstruct_ids`."""
        return self.texts_of(self.reconstruct_ids(self.ids_of(texts), temperature, top_p, seed))

    def reconstruct_ids(
        self, sentences: Sequence[np.ndarray], temperature: float = 0.0, top_p: float = 1.0, seed: int = 0
    ) -> list[np.ndarray]:
        """Return a sentence that is decoded from the posterior mean of each sentence.

        Args:
            sentences: int32 ids each, without EOS.
            temperature, top_p: see `choose`; by default decoding is greedy.
            seed: the seed of the words.
        """
        return self.decode(self.encode_ids(sentences), tf.constant([seed, 2]), temperature, top_p)

    def interpolate(self, first: str, second: str, steps: int = 7) -> list[str]:
        """Return greedily decoded texts along the line between the posterior means of two texts, both ends included."""
        return self.texts_of(self.interpolate_ids(*self.ids_of([first, second]), steps=steps))

    def interpolate_ids(self, first: np.ndarray, second: np.ndarray, steps: int = 7) -> list[np.ndarray]:
        """Return greedily decoded sentences along the line between the posterior means of two sentences.

        Args:
            first, second: int32 ids, without EOS.
            steps: number of points on the line, including both ends.
        """
        start, end = self.encode_ids([first, second])
        path = np.linspace(start, end, steps, dtype=np.float32)
        return self.decode(path, tf.constant([0, 0]), temperature=0.0)


class RecurrentVAE(LanguageVAE):
    """A VAE with a recurrent encoder: q(z | x) is computed from the encoder's last state.

    Args:
        cell, units: of the encoder; see `recurrent`. The encoder shares the decoder's word vectors and their dropout
            rate.
        latent: size of z.
        free_bits: nats below which lowering the KL of a dimension has no reward (Kingma et al. 2016).
        mu_deviation: standard deviation over a batch to which batch normalisation scales each dimension of mu (BN-VAE,
            Zhu et al. 2020). It is not trained, so the mean KL over a batch is at least latent * mu_deviation^2 / 2.
            0: mu is not normalised.
        kl_per_step: whether the regularizer is divided by the number of steps of the sentence, including EOS. This is a
            control for TWR-VAE with `read_end`: the KL of z has the weight that the KL of the last posterior has there.
            The KLs of the other posteriors are absent. The trained objective is then not a bound.
        options: the arguments of `LanguageModel`.
    """

    defaults: ClassVar = defaults.RECURRENT_VAE

    def __init__(
        self,
        *,
        cell: str,
        units: int,
        latent: int,
        free_bits: float = 0.0,
        mu_deviation: float = 0.0,
        kl_per_step: bool = False,
        **options: Any,
    ):
        super().__init__(**options)
        self.free_bits, self.mu_deviation, self.kl_per_step = free_bits, mu_deviation, kl_per_step
        self.encoder = recurrent(cell, units)
        # by Keras's own epsilon, 1e-3, a small mu would get a smaller deviation, and its KL no bound
        self.mu_norm = keras.layers.BatchNormalization(scale=False, epsilon=1e-6) if mu_deviation else None
        self.mu = keras.layers.Dense(latent)
        self.log_variance = keras.layers.Dense(latent, kernel_initializer="zeros")  # sigma is the prior's at first
        h = self.read(tf.zeros([1, 1], tf.int32))[:, 0]
        self.means(h)
        self.log_variance(h)

    @classmethod
    def assemble(
        cls: type[Own],
        *,
        words: int,
        latent_dim: int,
        embedding: int,
        cell: str,
        units: int,
        dropout: float,
        tied: bool,
        locked: bool,
        longest: int,
        updates: int,
        word_dropout: float = 0.0,
        beta: float = 1.0,
        kl_warm_up: int = 0,
        kl_cycles: int = 0,
        reset_at: int = 0,
        **options: Any,
    ) -> Own:
        """Return a compiled model.

        Args:
            words, embedding, tied, word_dropout, longest: see `WordDecoder`.
            cell, units, dropout, locked: as for `WordDecoder`, for both the encoder and the decoder.
            latent_dim: size of z.
            updates: number of steps of the training.
            beta, kl_warm_up, kl_cycles: see `kl_schedule`, which begins at `reset_at`.
            reset_at: see `LanguageVAE`.
            options: the other arguments of `TextVAE.with_adam` and of the constructor.
        """
        decoder = WordDecoder(
            words=words,
            latent=latent_dim,
            embedding=embedding,
            cell=cell,
            units=units,
            dropout=dropout,
            tied=tied,
            locked=locked,
            word_dropout=word_dropout,
            longest=longest,
        )
        return cls.with_adam(
            decoder=decoder,
            cell=cell,
            units=units,
            latent=latent_dim,
            updates=updates,
            kl_weight=kl_schedule(beta, kl_warm_up, kl_cycles, updates, start=reset_at),
            reset_at=reset_at,
            **options,
        )

    def means(self, h: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return mu for the encoder's states h [..., units]; the statistics of a batch normalise it in training."""
        mu = self.mu(h)
        return self.mu_deviation * self.mu_norm(mu, training=training) if self.mu_norm else mu

    def read(self, tokens: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Return the encoder's h after each of the tokens int32 [B, T], [B, T, units].

        `seed` is int32 [2], of dropout; None: no dropout.
        """
        return self.encoder(self.decoder.vectors(tokens, seed))[0]

    def infer(self, batch: SentenceBatch, seed: tf.Tensor | None = None) -> Latent:
        h = last(self.read(batch["tokens"], seed), batch["lengths"])
        mu, log_variance = self.means(h, training=seed is not None), self.log_variance(h)
        kl = free_bits(gaussian_kl(tf.expand_dims(mu, -1), tf.expand_dims(log_variance, -1)), self.free_bits)
        steps = tf.cast(batch["lengths"], tf.float32) if self.kl_per_step else 1.0
        return Latent(mu, log_variance, tf.maximum(kl, self.text_bits) / steps)


def kl_schedule(
    beta: float, warm_up: int, cycles: int, updates: int, start: int = 0
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the weight of the KL as a function of the step: with a warm-up, with cycles, or constant.

    Args:
        beta: the highest weight, and the constant one.
        warm_up: number of steps in which the weight rises linearly from 0 to `beta`; 0: constant. Ignored with cycles.
        cycles: number of cycles in `updates` steps; 0: no cycles. In each cycle the weight rises linearly from 0 to
            `beta` in the first CYCLE_GROWTH of the cycle, and then stays.
        updates: number of steps of the training.
        start: step from which all of this counts. Before it the weight is 0.
    """

    def weight(step: tf.Tensor) -> tf.Tensor:
        since = step - start
        grown = (
            cyclical_weight(since, (updates - start) / cycles, CYCLE_GROWTH)
            if cycles
            else linear_weight(since, warm_up)
        )
        return tf.where(since < 0, 0.0, beta * grown)

    return weight
