"""Adam in one pass: the updates of Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from losses.optimizers import Adam

FIRST = np.linspace(-1.0, 1.0, 12, dtype="float32").reshape(4, 3)


def dense(step):
    return tf.constant(np.random.default_rng(step).normal(size=FIRST.shape), tf.float32)


def slices(step):
    """A gradient of rows 2 and 0, where row 2 counts twice."""
    return tf.IndexedSlices(dense(step)[:3], tf.constant([2, 0, 2]), tf.constant(FIRST.shape))


def states(adam, gradient, compiled):
    """Return the weight and everything that the optimizer keeps, after five updates."""
    weight = keras.Variable(FIRST)
    adam.build([weight])

    def update(own):
        adam.apply([own], [weight])

    for step in range(5):
        (tf.function(update) if compiled else update)(gradient(step))
    return [variable.numpy() for variable in (weight, *adam.variables)]


@pytest.mark.parametrize("gradient", [dense, slices])
@pytest.mark.parametrize("compiled", [True, False])
def test_five_updates_are_those_of_keras(gradient, compiled):
    rate = keras.optimizers.schedules.PolynomialDecay(0.1, 4, 0.01)
    own, other = (states(adam(rate, beta_1=0.5), gradient, compiled) for adam in (Adam, keras.optimizers.Adam))
    assert len(own) == len(other) == 4  # the weight, the number of updates, and two moments
    for value, expected in zip(own, other, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)  # a step has the size .1
    assert np.abs(own[0] - FIRST).max() > 0.1


def test_the_first_update_has_the_size_of_the_rate():
    """Kingma & Ba 2015, section 2.1: m / sqrt(v) is the sign of the first gradient."""
    weight, adam = keras.Variable(FIRST), Adam(0.25)
    adam.apply([dense(0)], [weight])
    np.testing.assert_allclose(weight.numpy(), FIRST - 0.25 * np.sign(dense(0)), atol=1e-4)
