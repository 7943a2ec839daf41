import numpy as np
import pytest
import tensorflow as tf

from models.capabilities import fastest_dtype
from models.layers import BatchNorm, Conv2D, Dense, GroupNorm, ResidualDense, SelfAttention, average_pool, upsample

OUTPUTS = 5
SPECTRAL = {  # a layer and the shape of its input
    "dense": (Dense, {}, (2, 7)),
    "conv": (Conv2D, {}, (2, 4, 4, 3)),
    "conv up": (Conv2D, {"resample": "up"}, (2, 4, 4, 3)),
    "conv down": (Conv2D, {"resample": "down"}, (2, 4, 4, 3)),
}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize(layer):
    """Assign normal values to every trainable weight; kernels are orthogonal at first, gains and offsets constant."""
    for seed, weight in enumerate(layer.trainable_variables):
        weight.assign(normal(*weight.shape, seed=seed + 1))


def assert_near(actual, expected, tolerance=1e-5):
    """Assert equality within `tolerance` of the largest expected value; 1e-5 is some tens of float32 roundings."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def as_matrix(kernel):
    return np.reshape(kernel, (-1, kernel.shape[-1])).astype("float64")


# Spectral normalisation


@pytest.fixture(params=SPECTRAL)
def spectral(request):
    """A spectrally normalised layer with a random kernel, and an input of it."""
    layer_class, options, shape = SPECTRAL[request.param]
    layer, x = layer_class(OUTPUTS, **options), normal(*shape)
    layer.build(shape)
    randomize(layer)
    return layer, x


def test_sigma_becomes_the_largest_singular_value(spectral):
    layer, x = spectral
    for _ in range(100):
        layer(x, training=True)
    largest = np.linalg.norm(as_matrix(layer.kernel.numpy()), 2)
    assert float(layer.sigma()) == pytest.approx(largest, rel=1e-5)
    used = layer.normalized_kernel(training=False)
    assert used.shape == layer.kernel.shape
    assert np.linalg.norm(as_matrix(used.numpy()), 2) == pytest.approx(1.0, rel=1e-5)


def test_a_training_call_takes_one_power_iteration(spectral):
    layer, x = spectral
    matrix = as_matrix(layer.kernel.numpy())
    v = matrix @ layer.u.numpy()
    v /= np.linalg.norm(v)
    u = matrix.T @ v
    u /= np.linalg.norm(u)
    layer(x, training=True)
    assert_near(layer.u, u)
    assert_near(layer.v, v)


def test_other_calls_take_none_and_meet_the_same_sigma(spectral):
    layer, x = spectral
    y = layer(x, training=True)
    u, v = layer.u.numpy(), layer.v.numpy()
    np.testing.assert_array_equal(layer(x), y)
    np.testing.assert_array_equal(layer.u, u)
    np.testing.assert_array_equal(layer.v, v)


def test_gradient_of_the_used_kernel_against_finite_differences(spectral):
    """u and v are constants for the gradient, sigma is not.

    The finite differences are float64. Their error, about 1e-9, is far below the tolerance, which is for the layer's
    float32.
    """
    layer, _ = spectral
    weights = normal(*layer.kernel.shape, seed=9)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weights * tf.tanh(layer.normalized_kernel(training=True)))
    gradient = tape.gradient(loss, layer.kernel).numpy()
    kernel, u, v = (value.numpy().astype("float64") for value in (layer.kernel, layer.u, layer.v))

    def value(kernel):
        return np.sum(weights * np.tanh(kernel / (v @ as_matrix(kernel) @ u)))

    step = 1e-5
    expected = np.zeros(kernel.shape)
    for i in np.ndindex(*kernel.shape):
        shift = np.zeros(kernel.shape)
        shift[i] = step
        expected[i] = (value(kernel + shift) - value(kernel - shift)) / (2 * step)
    assert_near(gradient, expected)


def test_without_spectral_norm_the_kernel_is_used_as_it_is():
    layer, x = Dense(OUTPUTS, spectral_norm=False), normal(2, 7)
    layer.build(x.shape)
    randomize(layer)
    assert_near(layer(x, training=True), x @ layer.kernel.numpy() + layer.bias.numpy())
    assert layer.non_trainable_variables == []


# Resampling


def numpy_upsample(x):
    return np.repeat(np.repeat(x, 2, 1), 2, 2)


def numpy_average_pool(x):
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def test_upsample():
    x = normal(2, 3, 4, 5)
    np.testing.assert_array_equal(upsample(tf.constant(x)), numpy_upsample(x))


def test_the_gradient_of_upsample_sums_2x2_blocks():
    x, weights = tf.constant(normal(2, 3, 4, 5)), normal(2, 6, 8, 5)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(upsample(x) * weights)
    assert_near(tape.gradient(y, x), 4 * numpy_average_pool(weights), 1e-5)


def test_average_pool():
    x = normal(2, 4, 6, 5)
    assert_near(average_pool(tf.constant(x)), numpy_average_pool(x), 1e-6)


def fused_and_plain(resample, shape, outputs, compute_dtype="float32"):
    """Return (function, kernel) of the fused convolution, and of its two layers with the same variables."""
    fused, plain = Conv2D(outputs, resample=resample, compute_dtype=compute_dtype), Conv2D(outputs)
    for layer in (fused, plain):
        layer.build(shape)
        randomize(layer)
    fused.sigma(iterate=True)
    for own, other in zip(plain.weights, fused.weights, strict=True):
        own.assign(other)
    two_layers = (lambda x: plain(upsample(x))) if resample == "up" else (lambda x: average_pool(plain(x)))
    return (fused, fused.kernel), (two_layers, plain.kernel)


def value_and_gradients(function, kernel, x):
    """Return y = function(x), and the gradients of a weighted sum of y with respect to x and to the kernel."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) * normal(*y.shape, seed=7))
    return y, *tape.gradient(loss, [x, kernel])


SIZES = [("up", (2, 2, 2, 1), 3), ("up", (2, 4, 6, 3), 5), ("up", (1, 3, 5, 2), 1), ("up", (2, 8, 8, 4), 2),
         ("down", (2, 2, 2, 1), 3), ("down", (2, 4, 6, 3), 5), ("down", (2, 8, 8, 4), 2)]  # fmt: skip


@pytest.mark.parametrize("resample, shape, outputs", SIZES)
def test_the_fused_convolution_is_its_two_layers(resample, shape, outputs):
    fused, plain = (value_and_gradients(*pair, normal(*shape)) for pair in fused_and_plain(resample, shape, outputs))
    for actual, expected in zip(fused, plain, strict=True):
        assert_near(actual, expected)


@pytest.mark.skipif(
    fastest_dtype() != "bfloat16",
    reason="without bfloat16 instructions TensorFlow rounds every partial sum; auto is float32 there",
)
@pytest.mark.parametrize("resample, shape, outputs", SIZES)
def test_the_fused_convolution_in_bfloat16(resample, shape, outputs):
    """The norm of the error is at most about 4 * 2**-9 of the norm of the result.

    The error of a bfloat16 rounding is at most 2**-9 of the number. The two inputs of a product, its result and the sum
    with the bias are rounded once each.
    """
    pairs = fused_and_plain(resample, shape, outputs, "bfloat16")
    fused, plain = (value_and_gradients(*pair, normal(*shape)) for pair in pairs)
    assert [t.dtype for t in fused] == [tf.bfloat16, tf.float32, tf.float32]
    for actual, expected in zip(fused, plain, strict=True):
        error = np.linalg.norm(tf.cast(actual, tf.float32) - expected) / np.linalg.norm(expected)
        assert error < 2**-7


# Normalisation


def standardize(x, axes):
    """Return x with zero mean and unit variance over `axes`, in float64."""
    x = np.asarray(x, "float64")
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


@pytest.fixture
def batch_norm():
    """An unconditional norm of three channels, and two batches with different means and scales."""
    norm = BatchNorm(conditional=False)
    norm.build((None, 4, 6, 3))
    randomize(norm)
    centres = np.float32([[5, 0, -2], [0, -1, 2]])
    return norm, 3 * normal(2, 4, 6, 3) + centres[0], normal(2, 4, 6, 3, seed=1) + centres[1]


def test_batch_norm_in_training_against_numpy(batch_norm):
    norm, x, _ = batch_norm
    expected = (1 + norm.gain.numpy()) * standardize(x, (0, 1, 2)) + norm.offset.numpy()
    assert_near(norm(tf.constant(x), training=True), expected)


def test_batch_norm_keeps_the_statistics_of_its_last_training_batch(batch_norm):
    norm, first, last = batch_norm
    norm(tf.constant(first), training=True)
    norm(tf.constant(last), training=True)
    norm(tf.constant(first))
    assert_near(norm.mean, np.mean(last, (0, 1, 2)))
    assert_near(norm.variance, np.var(last, (0, 1, 2), ddof=1))  # TensorFlow returns the unbiased variance


def test_batch_norm_reads_the_stored_statistics_otherwise(batch_norm):
    norm, x, _ = batch_norm
    norm.mean.assign([1.0, 2.0, -3.0])
    norm.variance.assign([4.0, 0.25, 1.0])
    expected = (1 + norm.gain.numpy()) * (x - [1, 2, -3]) / np.sqrt([4, 0.25, 1]) + norm.offset.numpy()
    assert_near(norm(tf.constant(x)), expected, 1e-4)  # epsilon is 4e-5 of the variance 0.25


def test_batch_norm_of_bfloat16_has_float32_statistics(batch_norm):
    norm, x, _ = batch_norm
    x = tf.cast(x + 10, tf.bfloat16)
    rounded = tf.cast(x, tf.float32).numpy()
    y = norm(x, training=True)
    assert y.dtype == tf.bfloat16
    assert_near(norm.mean, rounded.mean((0, 1, 2)))  # a bfloat16 mean would be off by 2e-3
    assert_near(norm.variance, rounded.var((0, 1, 2), ddof=1))
    expected = (1 + norm.gain.numpy()) * standardize(rounded, (0, 1, 2)) + norm.offset.numpy()
    assert_near(tf.cast(y, tf.float32), expected, 4 * 2**-9)


def test_conditional_batch_norm_gives_every_example_its_gain_and_offset():
    norm, x, condition = BatchNorm(conditional=True), normal(3, 4, 4, 5) + 2, normal(3, 2, seed=1)
    norm.build(x.shape, condition.shape)
    randomize(norm)
    y = norm(tf.constant(x), tf.constant(condition), training=True)
    gain, offset = (condition @ layer.normalized_kernel(training=False).numpy() for layer in (norm.gain, norm.offset))
    expected = (1 + gain)[:, None, None] * standardize(x, (0, 1, 2)) + offset[:, None, None]
    assert_near(y, expected)


@pytest.fixture
def group_norm():
    norm = GroupNorm(groups=4)
    norm.build((None, 4, 6, 8))
    randomize(norm)
    return norm, normal(3, 4, 6, 8) * np.arange(1, 9, dtype="float32") + 2


def test_group_norm_against_numpy(group_norm):
    norm, x = group_norm
    standard = standardize(x.reshape(3, 4, 6, 4, 2), (1, 2, 4)).reshape(x.shape)
    assert_near(norm(tf.constant(x)), norm.gain.numpy() * standard + norm.offset.numpy())


def test_group_norm_does_not_see_the_other_examples(group_norm):
    norm, x = group_norm
    alone = norm(tf.constant(x[:1]))
    assert_near(norm(tf.constant(np.concatenate([x[:1], 100 * x[1:]])))[:1], alone, 1e-6)


# Self-attention


@pytest.fixture
def attention():
    x = tf.constant(normal(2, 4, 4, 8))
    layer = SelfAttention("float32")
    layer.build(x.shape)
    return layer, x


def test_self_attention_starts_as_the_identity_and_learns_through_its_gain(attention):
    layer, x = attention
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
        loss = tf.reduce_sum(y * normal(*y.shape, seed=7))
    np.testing.assert_array_equal(y, x)
    assert tape.gradient(loss, layer.gain) != 0


def test_self_attention_against_numpy(attention):
    layer, x = attention
    layer.gain.assign(0.5)
    y = layer(x, training=True)

    def mapped(name, t):
        return t @ as_matrix(getattr(layer, name).normalized_kernel(training=False).numpy())

    def pooled(t):  # [B, 4, 4, C] -> [B, 4, C], the maximum of 2x2
        return t.reshape(2, 2, 2, 2, 2, -1).max((2, 4)).reshape(2, 4, -1)

    values = x.numpy().astype("float64")
    query, key, value = mapped("query", values).reshape(2, 16, -1), mapped("key", values), mapped("value", values)
    weights = np.exp(query @ pooled(key).transpose(0, 2, 1))
    weights /= weights.sum(2, keepdims=True)
    assert_near(y, values + 0.5 * mapped("out", (weights @ pooled(value)).reshape(2, 4, 4, -1)))


def test_every_weight_of_self_attention_gets_a_gradient_once_the_gain_has_moved(attention):
    layer, x = attention
    layer.gain.assign(0.5)
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
        loss = tf.reduce_sum(y * normal(*y.shape, seed=7))
    gradients = tape.gradient(loss, layer.trainable_variables)
    assert len(gradients) == 5
    assert all(np.any(gradient) for gradient in gradients)


def test_a_residual_dense_block_against_numpy():
    block, x = ResidualDense(6), normal(3, 6)
    block(x)
    randomize(block)
    y, h = block(x, training=True), np.asarray(x)
    for layer in (block.dense_1, block.dense_2):
        h = np.maximum(h, 0) @ layer.normalized_kernel(training=False).numpy() + layer.bias.numpy()
    assert_near(y, x + h)
