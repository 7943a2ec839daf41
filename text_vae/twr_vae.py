"""TWR-VAE (Li et al. 2020): a posterior at every time step, all of them pulled to the prior, one of them decoded.

q(z_t | x_1..t) = N(mu_t, diag sigma_t^2) for t = 1..T        loss: nll + mean_t KL(q(z_t | x_1..t) || N(0, I))

x is the words of a sentence. The public code's encoder reads the end mark too, which tells the step that is decoded from
all others; here that is an option.
"""

import numpy as np
import tensorflow as tf

from data.sentences import evaluation_batches
from losses.variational import gaussian_kl, timestep_kl
from text_vae.language_vae import ENCODED, Latent, RecurrentVAE
from text_vae.layers import last

DECODED = ("normal", "mean", "sum")
FEW = 0.01  # of the sentences: the mean KL of a step that fewer have would be noise


class TWRVAE(RecurrentVAE):
    """A `RecurrentVAE` whose regularizer is the mean KL of all steps' posteriors. That mean is not a KL of what is decoded.

    What is decoded: "normal": z_T, with the prior N(0, I); "mean" or "sum": that of z_1..z_T, which is Gaussian again,
    N(mean of mu_t, sum of sigma_t^2 / T^2) or N(sum of mu_t, sum of sigma_t^2). The prior that T independent N(0, I)
    give it is N(0, I / T) or N(0, T I); it depends on T, so a bound on -log p(x) includes -log p(T).

    Args:
        decoded: one of DECODED.
        kl_part: share of the last steps whose KL is averaged, in (0, 1].
        read_end: whether EOS is a step as well, as in the public code. Without it no step knows for certain whether it is
            the last, so that others pay for what that one says; with it they can go to the prior, as they can where
            sentences end in a mark of their own, such as a full stop.
        length_counts: int, training sentences of 0, 1, 2, .. words, up to the longest that there may be; p(T) is the
            share of those of T steps, with 1 added to each count.
        options: those of `RecurrentVAE`.

    Raises ValueError for another `decoded`.
    """

    def __init__(self, *, decoded: str, kl_part: float, read_end: bool, length_counts: np.ndarray, **options):
        if decoded not in DECODED:
            raise ValueError(f"decoded is {decoded!r}, not one of {DECODED}")
        super().__init__(**options)
        self.decoded, self.kl_part, self.read_end = decoded, kl_part, read_end
        smoothed = np.asarray(length_counts if read_end else length_counts[1:]) + 1  # T is at least 1
        self.log_length_p = np.log(smoothed / smoothed.sum()).astype(np.float32)

    def infer_steps(self, batch, seed: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """(mu_t, log sigma_t^2) of every step's posterior, each [B, T, latent]; without a seed nothing is dropped."""
        h = self.read(batch["tokens"], seed)
        return self.mu(h), self.log_variance(h)

    def steps(self, lengths):
        """T of sentences of `lengths` tokens, EOS among them; int [B], a tensor or an array, and so is T."""
        return lengths if self.read_end else lengths - 1

    def infer(self, batch, seed=None):
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

    def kl_by_step(self, sentences: list[np.ndarray]) -> np.ndarray:
        """Mean KL(q(z_t | x_1..t) || N(0, I)), its steps counted from the start of a sentence and from its end.

        Args:
            sentences: int32 ids each, without EOS.

        Returns:
            float64 [2, steps], in nats: the steps that at least the share FEW of the sentences have.
        """
        steps = self.steps(1 + np.array([len(ids) for ids in sentences]))
        count = np.sum(np.arange(steps.max()) < steps[:, None], 0)
        total = np.zeros([2, steps.max()])
        for batch in evaluation_batches(sentences, ENCODED):
            kl = gaussian_kl(*inferred_steps(self, {"tokens": batch["tokens"]})).numpy()
            before = np.broadcast_to(np.arange(kl.shape[1]), kl.shape)
            after = self.steps(batch["lengths"].numpy())[:, None] - 1 - before
            total += [np.bincount(step[after >= 0], kl[after >= 0], steps.max()) for step in (before, after)]
        return (total / count)[:, count >= FEW * len(sentences)]

    def prior_samples(self, n, seed):
        z_seed, length_seed = tf.unstack(tf.random.split(seed, 2))
        z = super().prior_samples(n, z_seed)
        if self.decoded == "normal":
            return z
        steps = 1 + tf.random.stateless_categorical(self.log_length_p[None], n, length_seed, tf.int32)[0]
        deviation = tf.sqrt(tf.cast(steps, tf.float32))[:, None]
        return z * deviation if self.decoded == "sum" else z / deviation


@tf.function(reduce_retracing=True)  # compiled once for each model, though a training asks after every epoch
def inferred_steps(model: TWRVAE, batch) -> tuple[tf.Tensor, tf.Tensor]:
    """`TWRVAE.infer_steps` of a batch of which the tokens are enough."""
    return model.infer_steps(batch)
