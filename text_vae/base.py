"""The base class of all text models: the step, the weight of the regularizer, and the numbers that training reports."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

import keras
import tensorflow as tf

from data.seeds import seeded
from data.wording import Wording
from losses.optimizers import Adam
from losses.replicas import SharedModel, batch_mean, reported
from text_vae.written import Words, Written

Own = TypeVar("Own", bound="TextVAE")  # the class that `with_adam` is called on


class ElboTerms(NamedTuple):
    """The two sides of the ELBO of a batch of texts, in nats, each [B] float32."""

    nll: tf.Tensor  # -log p(x | z) of one z drawn from the posterior, plus -log p(T) if the prior of z depends on T
    kl: tf.Tensor  # KL of the posterior of that z from its prior; E[nll + kl] over z is at least -log p(x)
    regularizer: tf.Tensor  # what training adds to nll, times a weight: the KL, or the term of a paper in its place
    auxiliary: tf.Tensor | float = 0.0  # what training adds besides


def full_weight(step: tf.Tensor) -> tf.Tensor:
    """Return the weight 1 of the regularizer for every step; float32 scalar."""
    return tf.ones([])


class TextVAE(SharedModel):
    """A text model. All of them share one training step, which minimises nll + weight * regularizer + auxiliary.

    A subclass defines `elbo_terms`. A model whose paper trains its parts in turns overrides `update` too. The
    randomness of a step is a function of (seed, step).

    Args:
        kl_weight: function of the step (int32 scalar, from 0) that returns the weight of the regularizer (float32
            scalar).
        seed: the seed of all sampling in training.
    """

    defaults: ClassVar[dict[str, Any]]  # of `create`
    wording: Wording | None = None  # the words, and how texts are split into them; a model without it has ids alone
    tracked_names = ("loss/total", "loss/nll", "loss/regularizer", "loss/kl", "schedule/kl_weight")

    def __init__(self, *, kl_weight: Callable[[tf.Tensor], tf.Tensor] = full_weight, seed: int = 0):
        super().__init__()
        self.kl_weight, self.seed = kl_weight, seed
        self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="step")

    @classmethod
    def create(cls: type[Own], **options: Any) -> Own:
        """Return a compiled model, which `fit` trains on batches of the model's reader.

        Its first weights depend on the seed alone. The global random generators stay as they are.

        Args:
            options: the arguments of `assemble` that differ from `defaults`.
        """
        options = cls.defaults | options
        with seeded(options["seed"]):
            return cls.assemble(**options)

    @classmethod
    def assemble(cls: type[Own], **options: Any) -> Own:
        """Return a compiled model. The global random generator of Keras draws its first weights."""
        raise NotImplementedError

    @classmethod
    def with_adam(cls: type[Own], *, rate: float, final_rate: float, updates: int, **parts: Any) -> Own:
        """Return a model, compiled with Adam.

        Args:
            rate, final_rate: Adam's learning rate, which falls linearly from `rate` to `final_rate`.
            updates: number of steps in which the learning rate falls.
            parts: the constructor's arguments.
        """
        model = cls(**parts)
        model.compile(adam(rate, final_rate, updates))
        return model

    @property
    def in_use(self) -> list[keras.Variable]:
        """The variables that a trained model computes with: all but the step."""
        return [weight for weight in self.weights if weight is not self.step]

    def signatures(self) -> dict[str, Any]:
        """Return the functions of an exported model by name. Their inputs are typed, and their outputs have names.

        Texts go in as tokens, string [B, T], filled up with "", and come out as strings. The functions use `table`.
        """
        raise NotImplementedError

    @functools.cached_property
    def table(self) -> Words:
        """The words as a table in graphs. Raise ValueError if the model knows no words."""
        return Written(self.worded().words)

    def worded(self) -> Wording:
        """Return the wording. Raise ValueError if the model has none."""
        if self.wording is None:
            raise ValueError("this model knows no words: load a run that holds them, or set its `wording`")
        return self.wording

    def elbo_terms(self, batch: Any, seed: tf.Tensor, training: bool = False) -> ElboTerms:
        """Return the terms of a batch.

        Args:
            batch: a batch of the model's reader.
            seed: int32 [2], of z and of dropout.
            training: whether dropout is applied.
        """
        raise NotImplementedError

    def shares(self, batch: Any) -> tf.Tensor:
        """Return the weight of each text of a batch in the loss, [B] or a scalar; the mean over the batch is 1.

        Here all texts have the same weight.
        """
        return tf.ones([])

    # Keras's own signature has more arguments
    def compile(self, optimizer: keras.Optimizer) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Set the optimizer of all weights."""
        super().compile(optimizer=optimizer, jit_compile=False)
        self.optimizer.build(self.trainable_variables)
        self.track()

    def track(self) -> None:
        """Create the trackers of the means that training reports."""
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.tracked_names}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers.values())

    def train_step(self, batch: Any) -> dict[str, Any]:
        """Update the weights once, with one z for each text of a batch.

        The loss is the mean over the batch of shares * (nll + weight * regularizer + auxiliary).

        Returns:
            The means of the reported numbers, by the names in `tracked_names`.
        """
        weight = self.kl_weight(self.step)
        seed: Any = tf.random.fold_in([self.seed, 0], self.step)  # the stubs declare the result an int
        with tf.GradientTape() as tape:
            terms = self.elbo_terms(batch, seed, training=True)
            loss = tf.reduce_mean(self.shares(batch) * (terms.nll + weight * terms.regularizer + terms.auxiliary))
        self.update(tape.gradient(loss, self.trainable_variables))
        self.step.assign_add(1)
        values = (loss, *map(tf.reduce_mean, (terms.nll, terms.regularizer, terms.kl)), weight)
        for name, value in zip(self.tracked_names, tf.unstack(batch_mean(tf.stack(values))), strict=True):
            self.trackers[name].update_state(value)
        return {name: reported(tracker.result()) for name, tracker in self.trackers.items()}

    def update(self, gradients: list[tf.Tensor | tf.IndexedSlices]) -> None:
        """Apply the gradients of `trainable_variables`, in their order."""
        self.optimizer.apply(gradients, self.trainable_variables)

    def refresh_statistics(self) -> None:
        """Do nothing: a text model has no moving average, so it has no statistics to update."""


def adam(rate: float, final_rate: float, updates: int) -> keras.Optimizer:
    """Return Adam with a learning rate that falls linearly from `rate` to `final_rate` in `updates` steps."""
    schedule = keras.optimizers.schedules.PolynomialDecay(rate, updates, final_rate)
    return Adam(schedule)  # pyright: ignore[reportArgumentType]  # Keras accepts a schedule
