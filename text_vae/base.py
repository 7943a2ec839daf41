"""What every text model shares: the step, the weight of the KL, and what training reports."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf


class ElboTerms(NamedTuple):
    """The two sides of the ELBO of a batch of texts, in nats, each [B] float32."""

    nll: tf.Tensor  # -log p(x | z) of one z drawn from the posterior, and -log p(T) where its prior asks for T
    kl: tf.Tensor  # KL of the posterior of that z to its prior: nll + kl bounds -log p(x)
    regularizer: tf.Tensor  # what training adds to nll, times a weight: the KL, or what a paper puts in its place


class TextVAE(keras.Model):
    """Minimises nll + weight * regularizer, in one step for all models; its randomness is a function of (seed, step).

    A subclass gives `elbo_terms`; where a paper trains its parts in turns it overrides `update` too.

    Args:
        kl_weight: step (int32 scalar, from 0) -> weight of the regularizer (float32 scalar).
        seed: of all sampling in training.
    """

    tracked_names = ("loss/total", "loss/nll", "loss/regularizer", "loss/kl", "schedule/kl_weight")

    def __init__(self, *, kl_weight: Callable[[tf.Tensor], tf.Tensor], seed: int = 0):
        super().__init__()
        self.kl_weight, self.seed = kl_weight, seed
        self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="step")
        self.built = True

    def elbo_terms(self, batch, seed: tf.Tensor, training: bool = False) -> ElboTerms:
        """The terms of a batch, which is as its reader gives it; `seed`: int32 [2]."""
        raise NotImplementedError

    def shares(self, batch) -> tf.Tensor:
        """What each text counts in the loss, of mean 1 over the batch, [B] or []: all the same."""
        return tf.ones([])

    def compile(self, optimizer: keras.Optimizer):
        """Takes the optimizer of all weights."""
        super().compile(optimizer=optimizer, jit_compile=False)
        self.optimizer.build(self.trainable_variables)
        self.track()

    def track(self):
        """Makes the means that training reports."""
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.tracked_names}

    @property
    def metrics(self):
        return list(self.trackers.values())

    def train_step(self, batch):
        """One z for each text; the mean of nll + weight * regularizer over the batch, by `shares`; one update."""
        weight = self.kl_weight(self.step)
        seed = tf.random.fold_in([self.seed, 0], self.step)
        with tf.GradientTape() as tape:
            terms = self.elbo_terms(batch, seed, training=True)
            loss = tf.reduce_mean(self.shares(batch) * (terms.nll + weight * terms.regularizer))
        self.update(tape.gradient(loss, self.trainable_variables))
        self.step.assign_add(1)
        values = (loss, terms.nll, terms.regularizer, terms.kl, weight)
        for name, value in zip(self.tracked_names, values, strict=True):
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def update(self, gradients: list[tf.Tensor]):
        """Applies the gradients of `trainable_variables`."""
        self.optimizer.apply(gradients, self.trainable_variables)

    def refresh_statistics(self):
        """A text model is up to date after every step: it has no moving average."""
