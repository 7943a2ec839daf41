"""Adam, in one operation for each weight."""

from typing import Any

import keras
import tensorflow as tf

from losses.replicas import replicas


class Adam(keras.optimizers.Adam):
    """keras.optimizers.Adam (Kingma & Ba 2015), whose update of a weight is one operation.

    Keras updates the moments and the weight by a dozen operations, each of which reads and writes the whole array. That
    took a seventh of a step of TWR-VAE. The results differ by rounding alone.

    Gradients of single rows, as those of word vectors, are left to Keras. Of a row that a batch reads several times, it
    adds up the squares of the gradients for the second moment, where dense gradients would be squared after their sum.
    """

    def apply(self, grads: list[Any], trainable_variables: list[Any] | None = None) -> None:
        """Update the weights; arguments as for Keras's own. Several replicas update by the mean of their gradients."""
        grads = [tf.math.scalar_mul(1 / replicas(), own) for own in grads] if replicas() > 1 else grads  # Keras adds up
        done: Any = self.iterations  # Keras types it for all of its backends
        step = tf.cast(done + 1, tf.float32)
        beta1, beta2, epsilon = (tf.constant(number) for number in (self.beta_1, self.beta_2, self.epsilon))
        self.scalars = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon}  # the same for all weights
        self.scalars |= {"beta1_power": beta1**step, "beta2_power": beta2**step}
        super().apply(grads, trainable_variables)

    def update_step(
        self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update a weight, and its moments in place.

        Args:
            gradient: of the weight.
            variable: the weight.
            learning_rate: of this update, a scalar.
        """
        if isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, learning_rate)
        place = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            lr=learning_rate,
            grad=gradient,
            **self.scalars,
        )
