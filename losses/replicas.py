"""One batch on several replicas: each computes its slice, and shares with the others what belongs to the whole batch.

Every replica draws the randomness of the whole batch from the same seed, and takes its slice. So a batch is the same on
one replica and on several. Losses are means over slices of equal size, whose mean is that of the batch. Outside a
`tf.distribute` strategy there is one replica, and the functions return what they are given.
"""

from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

if TYPE_CHECKING:
    from tensorflow_probability.python.distributions import Distribution

tfd = tfp.distributions


class SharedModel(keras.Model):
    """A model whose batches several replicas may share. It has all its weights as soon as it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.built = True

    def _maybe_symbolic_build(self, **_: Any) -> None:
        """Do nothing. Keras would average a first batch over the replicas, to build the model from it.

        On several machines that fails for a batch of several tensors (Keras 3.15).
        """


def replicas() -> int:
    """Return the number of replicas that share a batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync if tf.distribute.get_replica_context() else 1


def own_rows(whole: tf.Tensor) -> tf.Tensor:
    """Return this replica's slice of what all replicas drew alike, [R B, ...] -> [B, ...]."""
    context, count = tf.distribute.get_replica_context(), replicas()
    if count == 1:
        return whole
    rows = tf.shape(whole)[0] // count
    return whole[context.replica_id_in_sync_group * rows :][:rows]


def batch_mean(own: tf.Tensor) -> tf.Tensor:
    """Return the mean over the whole batch, given that over this replica's slice; with its gradient."""
    if replicas() == 1:
        return own
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, own)


def sampled(q: "Distribution", seed: tf.Tensor) -> tf.Tensor:
    """Return a sample mu + sigma * eps of a diagonal Gaussian, batch [B] and event [D]; [B, D].

    Args:
        q: the Gaussian of this replica's slice, or a point.
        seed: int32 [2]. The eps of the whole batch is drawn from it.
    """
    if replicas() == 1:
        return q.sample(seed=seed)
    shape = tf.shape(q.mean()) * [replicas(), 1]
    eps = tfd.MultivariateNormalDiag(tf.zeros(shape), tf.ones(shape)).sample(seed=seed)
    return q.mean() + q.stddev() * own_rows(eps)


def reported(number: Any) -> tf.Tensor:
    """Return a scalar as a step reports it to Keras, which on several machines averages it over a first axis."""
    return number if tf.distribute.get_strategy().cluster_resolver is None else number[None]
