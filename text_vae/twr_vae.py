"""TWR-VAE (Li et al. 2020): a posterior at every time step. The KLs of all steps are trained, and one z is decoded.

    q(z_t | x_1..t) = N(mu_t, diag sigma_t^2) for t = 1..T        loss: nll + mean_t KL(q(z_t | x_1..t) || N(0, I))

x is the words of a sentence. The encoder of the public code also reads the end mark, which distinguishes the decoded
step from all others. Here this is an option.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import tensorflow as tf

from data.sentences import SentenceBatch, evaluation_batches
from data.sequences import Sequences
from losses.variational import gaussian_kl, timestep_kl
from text_vae import defaults
from text_vae.language_vae import ENCODED, Latent, RecurrentVAE
from text_vae.layers import last

DECODED = ("normal", "mean", "sum")
FEW = 0.01  # share of the sentences; the mean KL of a step that fewer sentences reach would be noise

Lengths = TypeVar("Lengths", tf.Tensor, np.ndarray)


class TWRVAE(RecurrentVAE):
    """A `RecurrentVAE` whose regularizer is the mean KL of the posteriors of all steps, not the KL of the decoded z.

    `decoded` selects the z that is decoded:

    - "normal": z_T, with the prior N(0, I).
    - "mean": the mean of z_1..z_T. Its posterior is N(mean of mu_t, sum of sigma_t^2 / T^2), and its prior N(0, I / T).
    - "sum": the sum of z_1..z_T. Its posterior is N(sum of mu_t, sum of sigma_t^2), and its prior N(0, T I).

    The priors of "mean" and "sum" are those of T independent samples of N(0, I). They depend on T, so a bound on
    -log p(x) includes -log p(T).

    Args:
        decoded: one of DECODED.
        kl_part: share of the last steps whose KL is averaged, in (0, 1].
        read_end: whether the encoder reads EOS, as one more step, as in the public code. Without EOS, the encoder
            cannot determine at any step whether it is the last. So the posteriors of other steps contain information
            too, and their KLs stay above 0. With EOS, these posteriors can collapse to the prior. They can also
            collapse if all sentences end with a mark of their own, such as a full stop.
        length_counts: int, the numbers of training sentences of 0, 1, 2, ... words, up to the longest possible
            sentence. The prior p(T) is the share of the sentences of T steps, after 1 is added to each count.
        options: the arguments of `RecurrentVAE`.

    Raises:
        ValueError: `decoded` is not one of DECODED.
    """

    defaults: ClassVar = defaults.TWR_VAE

    def __init__(self, *, decoded: str, kl_part: float, read_end: bool, length_counts: np.ndarray, **options: Any):
        if decoded not in DECODED:
            raise ValueError(f"decoded must be one of {', '.join(DECODED)}, got {decoded!r}")
        super().__init__(**options)
        self.decoded, self.kl_part, self.read_end = decoded, kl_part, read_end
        smoothed = np.asarray(length_counts if read_end else length_counts[1:]) + 1  # T is at least 1
        self.log_length_p = np.log(smoothed / smoothed.sum()).astype(np.float32)

    def infer_steps(self, batch: SentenceBatch, seed: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (mu_t, log sigma_t^2) of the posterior of every step, each [B, T, latent].

        `seed` is int32 [2], of dropout; None: no dropout.
        """
        h = self.read(batch["tokens"], seed)
        return self.mu(h), self.log_variance(h)

    def steps(self, lengths: Lengths) -> Lengths:
        """Return the numbers of steps T of sentences, int [B]; `lengths` are numbers of tokens, including EOS."""
        return lengths if self.read_end else lengths - 1

    def infer(self, batch: SentenceBatch, seed: tf.Tensor | None = None) -> Latent:
        mu, log_variance = self.infer_steps(batch, seed)
        lengths = self.steps(batch["lengths"])
        regularizer = timestep_kl(gaussian_kl(mu, log_variance), lengths, self.kl_part)
        if self.decoded == "normal":
            return Latent(last(mu, lengths), last(log_variance, lengths), regularizer)
        real = tf.sequence_mask(lengths, tf.shape(mu)[1], tf.float32)[..., None]
        mu, variance = tf.reduce_sum(real * mu, 1), tf.reduce_sum(real * tf.exp(log_variance), 1)
        steps = tf.cast(lengths, tf.float32)[:, None]
        length_nats = -tf.gather(self.log_length_p, lengths - 1)
        if self.decoded == "sum":
            return Latent(mu, tf.math.log(variance), regularizer, tf.math.log(steps), length_nats)
        return Latent(mu / steps, tf.math.log(variance / steps**2), regularizer, -tf.math.log(steps), length_nats)

    def kl_by_step(self, sentences: Sequence[np.ndarray]) -> np.ndarray:
        """Return the mean KL(q(z_t | x_1..t) || N(0, I)) of each step over sentences.

        Args:
            sentences: int32 ids each, without EOS.

        Returns:
            float64 [2, steps], in nats. The steps are counted from the start of a sentence, then from its end. A step
            is left out if less than the share FEW of the sentences have it.
        """
        steps = self.steps(1 + Sequences.of(sentences).lengths)
        count = len(steps) - np.cumsum(np.bincount(steps))[:-1]  # of the sentences that have a step
        total = np.zeros([2, steps.max()])
        for batch in evaluation_batches(sentences, ENCODED):
            kl = gaussian_kl(*inferred_steps(self, batch)).numpy()
            before = np.broadcast_to(np.arange(kl.shape[1]), kl.shape)
            after = self.steps(batch["lengths"].numpy())[:, None] - 1 - before
            total += [np.bincount(step[after >= 0], kl[after >= 0], steps.max()) for step in (before, after)]
        return (total / count)[:, count >= FEW * len(sentences)]

    def prior_samples(self, n: Any, seed: tf.Tensor) -> tf.Tensor:
        z_seed, length_seed = tf.unstack(tf.random.split(seed, 2))
        z = super().prior_samples(n, z_seed)
        if self.decoded == "normal":
            return z
        steps = 1 + tf.random.stateless_categorical(self.log_length_p[None], n, length_seed, tf.int32)[0]
        deviation = tf.sqrt(tf.cast(steps, tf.float32))[:, None]
        return z * deviation if self.decoded == "sum" else z / deviation


# Compiled once for each model, although training calls it after every epoch.
@tf.function(reduce_retracing=True, autograph=False)
def inferred_steps(model: TWRVAE, batch: SentenceBatch) -> tuple[tf.Tensor, tf.Tensor]:
    """Return `TWRVAE.infer_steps` of a batch."""
    return model.infer_steps(batch)
