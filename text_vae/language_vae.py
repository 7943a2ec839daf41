"""The recurrent language model and the VAE over sentences (Bowman et al. 2016): the rivals of TWR-VAE.

p(x) = prod_t p(x_t | x_<t)        p(x, z) = N(z; 0, I) prod_t p(x_t | x_<t, z),  q(z | x) from an encoder's last state
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from data.sentences import evaluation_batches
from losses.variational import free_bits, gaussian_kl, gaussian_kl_between
from text_vae.base import ElboTerms, TextVAE
from text_vae.layers import WordDecoder, dropped, gaussian, last, recurrent

tfd = tfp.distributions

ENCODED = 64  # sentences that `encode` reads at a time


class LanguageModel(TextVAE):
    """The decoder without latent: its nll is exact, its KL 0.

    Args:
        decoder: a `WordDecoder`; here its z has no dimension.
        options: those of `TextVAE`.
    """

    def __init__(self, *, decoder: WordDecoder, **options):
        super().__init__(**options)
        self.decoder = decoder

    def elbo_terms(self, batch, seed, training=False):
        nothing = tf.zeros([tf.shape(batch["lengths"])[0], 0])
        kl = tf.reduce_sum(nothing, -1)
        return ElboTerms(self.decoder.nll(batch, nothing, seed if training else None), kl, kl)

    def log_weights(self, batch, samples: int, seed: tf.Tensor) -> tf.Tensor:
        """log w_s of `metrics.likelihood`, [S, B]; of a model without latent one is as good as many, so S is 1."""
        return -self.elbo_terms(batch, seed).nll[None]

    def prior_samples(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """z [n, latent] from the prior."""
        return tf.zeros([n, 0])

    def generate(self, n: int, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0) -> list[np.ndarray]:
        """n >= 1 sentences from the prior, int32 ids each; temperature, top_p and errors as of `WordDecoder.generate`."""
        z_seed, word_seed = tf.unstack(tf.random.split([seed, 2], 2))
        return self.decoder.generate(self.prior_samples(n, z_seed), word_seed, temperature, top_p)


class Latent(NamedTuple):
    """What is known of the z that is decoded: q(z | x) = N(mu, exp(log_variance)), and N(0, exp(prior_log_variance))."""

    mu: tf.Tensor  # [B, latent]
    log_variance: tf.Tensor  # [B, latent]
    regularizer: tf.Tensor  # [B], what training adds to nll
    prior_log_variance: tf.Tensor | float = 0.0  # [B, 1]
    length_nats: tf.Tensor | float = 0.0  # [B], -log p(T) where the prior is another for every number of steps T

    @property
    def kl(self) -> tf.Tensor:
        """KL(q(z | x) || p(z)), [B]."""
        return gaussian_kl_between(self.mu, self.log_variance, 0.0, self.prior_log_variance)

    @property
    def posterior(self) -> tfd.Distribution:
        """q(z | x), batch [B], event [latent]."""
        return gaussian(self.mu, self.log_variance)

    @property
    def prior(self) -> tfd.Distribution:
        """p(z), batch [B], event [latent]."""
        zeros = tf.zeros_like(self.mu)
        return gaussian(zeros, zeros + self.prior_log_variance)


class LanguageVAE(LanguageModel):
    """The decoder is told z. A subclass gives the encoder: `infer`, and the layer `mu` that infers z's mean."""

    def infer(self, batch, seed: tf.Tensor | None = None) -> Latent:
        """What the encoder says of a batch; without a seed nothing is dropped."""
        raise NotImplementedError

    def elbo_terms(self, batch, seed, training=False):
        z_seed, *dropout_seeds = tf.unstack(tf.random.split(seed, 3))
        encoder_seed, decoder_seed = dropout_seeds if training else (None, None)
        latent = self.infer(batch, encoder_seed)
        nll = self.decoder.nll(batch, latent.posterior.sample(seed=z_seed), decoder_seed)
        return ElboTerms(nll + latent.length_nats, latent.kl, latent.regularizer)

    def log_weights(self, batch, samples, seed):
        """log p(x | z_s) + log p(z_s) - log q(z_s | x), z_s from q(z | x), [S, B]; a prior of T costs log p(T) too."""
        latent = self.infer(batch)

        def log_weight(sample):
            return self.log_weight(batch, latent, tf.random.fold_in(seed, sample))

        return tf.map_fn(log_weight, tf.range(samples), fn_output_signature=tf.float32, parallel_iterations=1)

    def log_weight(self, batch, latent: Latent, seed: tf.Tensor) -> tf.Tensor:
        """That of one z, [B]."""
        z = latent.posterior.sample(seed=seed)
        log_ratio = latent.prior.log_prob(z) - latent.posterior.log_prob(z)
        return log_ratio - latent.length_nats - self.decoder.nll(batch, z)

    def prior_samples(self, n, seed):
        return tf.random.stateless_normal([n, self.mu.units], seed)

    def encode(self, sentences: list[np.ndarray]) -> np.ndarray:
        """Posterior means of sentences, int32 [T] ids each without EOS, float32 [N, latent]."""
        mu = np.empty([len(sentences), self.mu.units], np.float32)
        for batch in evaluation_batches(sentences, ENCODED):
            mu[batch["indices"]] = self.infer(batch).mu
        return mu

    def reconstruct(
        self, sentences: list[np.ndarray], temperature: float = 0.0, top_p: float = 1.0, seed: int = 0
    ) -> list[np.ndarray]:
        """What the decoder makes of each sentence's posterior mean."""
        return self.decoder.generate(tf.constant(self.encode(sentences)), [seed, 2], temperature, top_p)

    def interpolate(self, first: np.ndarray, second: np.ndarray, steps: int = 7) -> list[np.ndarray]:
        """Greedy sentences along the straight line between two sentences' posterior means, both ends included."""
        path = np.linspace(*self.encode([first, second]), steps, dtype=np.float32)
        return self.decoder.generate(tf.constant(path), [0, 0], temperature=0.0)


class RecurrentVAE(LanguageVAE):
    """A recurrent encoder reads the sentence, and its last state gives q(z | x).

    Args:
        cell, units: of the encoder, as for `recurrent`; the words' vectors and their dropout are the decoder's.
        latent: size of z.
        free_bits: nats below which a dimension's KL is not rewarded for falling (Kingma et al. 2016).
        kl_per_step: divide the regularizer by the sentence's steps, EOS among them: a control that gives z the weight
            which TWR-VAE's last posterior has where it reads EOS as this encoder does, without the others. What is trained
            is then no bound.
        options: those of `LanguageModel`.
    """

    def __init__(
        self, *, cell: str, units: int, latent: int, free_bits: float = 0.0, kl_per_step: bool = False, **options
    ):
        super().__init__(**options)
        self.free_bits, self.kl_per_step = free_bits, kl_per_step
        self.encoder = recurrent(cell, units)
        self.mu = keras.layers.Dense(latent)
        self.log_variance = keras.layers.Dense(latent, kernel_initializer="zeros")  # sigma starts as the prior's
        h = self.read(tf.zeros([1, 1], tf.int32))
        self.mu(h), self.log_variance(h)

    def read(self, tokens: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """The encoder's h after each of the tokens, [B, T, units]; without a seed nothing is dropped."""
        x = self.decoder.embedding(tokens)
        return self.encoder(dropped(x, self.decoder.rate, seed))[0]

    def infer(self, batch, seed=None):
        h = last(self.read(batch["tokens"], seed), batch["lengths"])
        mu, log_variance = self.mu(h), self.log_variance(h)
        kl = free_bits(gaussian_kl(mu[..., None], log_variance[..., None]), self.free_bits)
        steps = tf.cast(batch["lengths"], tf.float32) if self.kl_per_step else 1.0
        return Latent(mu, log_variance, kl / steps)
