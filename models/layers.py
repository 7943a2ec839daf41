"""The layers of the image networks: linear maps with spectral norms, batch and group normalisation, residual blocks.

Notation: B batch, H and W height and width, C channels. Images and feature maps are [B, H, W, C]. Only convolutions and
the operations between them run in `compute_dtype` (float32 or bfloat16). Statistics, singular vectors and variables are
float32.
"""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from losses.replicas import batch_mean, replicas

Shape = tuple[Any, ...]  # of a layer's input, as Keras passes it to `build`; the size of the batch may be unknown


class Linear(keras.layers.Layer):
    """The base class of `Dense` and `Conv2D`: an orthogonally initialised kernel W, its bias, and its spectral norm.

    With `spectral_norm`, the kernel in use is W / sigma(W) (Miyato et al. 2018, eq. 8; their algorithm 1). W is
    reshaped to a matrix [inputs, outputs], and sigma = v' W u. u and v are stored. Gradients flow through sigma, but
    not through u and v.

    A call with `training=True` first takes one step of the power iteration. So a network that is called once in
    training mode per update iterates once per update. Its other calls of that update use the same sigma.

    Args:
        outputs: number of outputs or output channels.
        spectral_norm: whether the kernel is divided by its spectral norm.
        use_bias: whether there is a bias.
        compute_dtype: "float32" or "bfloat16", the dtype of the map and of its result.
    """

    def __init__(
        self, outputs: int, *, spectral_norm: bool = True, use_bias: bool = True, compute_dtype: str = "float32"
    ):
        super().__init__(autocast=False)
        self.outputs, self.spectral_norm, self.use_bias = outputs, spectral_norm, use_bias
        self.linear_dtype = tf.as_dtype(compute_dtype)

    def add_kernel(self, *inputs_shape: int) -> None:
        """Add the variables W [*inputs_shape, outputs] and bias [outputs]; with the spectral norm, u [outputs] and v.

        v [inputs] has one number for each row of the matrix W, so inputs is the product of `inputs_shape`.
        """
        self.kernel = self.add_weight(shape=(*inputs_shape, self.outputs), initializer="orthogonal", name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.outputs,), initializer="zeros", name="bias")
        if self.spectral_norm:
            normal = keras.initializers.RandomNormal(stddev=1.0)
            self.u = self.add_weight(shape=(self.outputs,), initializer=normal, trainable=False, name="u")
            self.v = self.add_weight(shape=(int(np.prod(inputs_shape)),), initializer=normal, trainable=False, name="v")

    def sigma(self, iterate: bool = False) -> tf.Tensor:
        """Return v' W u, the estimate of the largest singular value of W; float32 scalar.

        Args:
            iterate: whether u and v first take one step of the power iteration.
        """
        matrix = tf.reshape(self.kernel, [-1, self.outputs])
        if iterate:
            fixed = tf.stop_gradient(matrix)
            self.v.assign(tf.math.l2_normalize(tf.linalg.matvec(fixed, self.u)))
            self.u.assign(tf.math.l2_normalize(tf.linalg.matvec(fixed, self.v, transpose_a=True)))
        return tf.reduce_sum(tf.matmul(tf.expand_dims(self.v, 0), matrix) * tf.expand_dims(self.u, 0))

    def normalized_kernel(self, training: bool) -> tf.Tensor:
        """Return the kernel in use, float32, with W's shape: W / sigma(W), or W itself without `spectral_norm`.

        Args:
            training: whether to take one step of the power iteration first.
        """
        kernel = tf.convert_to_tensor(self.kernel)
        return kernel * tf.math.reciprocal(self.sigma(iterate=training)) if self.spectral_norm else kernel

    def add_bias(self, y: tf.Tensor) -> tf.Tensor:
        """Return y with the bias, if there is one, in y's dtype."""
        return tf.nn.bias_add(y, tf.cast(self.bias, y.dtype)) if self.use_bias else y


class Dense(Linear):
    """A dense layer: x [B, inputs] -> x W + b [B, outputs], in `compute_dtype`."""

    def build(self, input_shape: Shape) -> None:
        self.add_kernel(input_shape[-1])

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel = tf.cast(self.normalized_kernel(training), self.linear_dtype)
        return self.add_bias(tf.matmul(tf.cast(x, self.linear_dtype), kernel))


class Conv2D(Linear):
    """A convolution with zero padding "same", alone or fused with the resampling next to it.

    `resample="up"` is nearest upsampling by two, followed by the 3x3 convolution. `resample="down"` is the 3x3
    convolution, followed by 2x2 average pooling; height and width must be even.

    Each of the two is computed as one map of stride 2 with a 4x4 kernel, transposed for "up". The 4x4 kernel is the 3x3
    kernel convolved with a 2x2 block of ones. This takes 16 products instead of the 36 of separate layers (Zhang et al.
    2019 and Karras et al. 2018 use the same identity). Sigma is that of the 3x3 kernel, so the result is that of
    separate layers.

    Args:
        outputs: number of output channels.
        kernel_size: height and width of the kernel; 3 if there is a `resample`.
        resample: "up", "down" or None.
        options: the other arguments of `Linear`.
    """

    def __init__(self, outputs: int, kernel_size: int = 3, *, resample: str | None = None, **options: Any):
        super().__init__(outputs, **options)
        self.kernel_size, self.resample = kernel_size, resample

    def build(self, input_shape: Shape) -> None:
        self.add_kernel(self.kernel_size, self.kernel_size, input_shape[-1])

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel, x = self.normalized_kernel(training), tf.cast(x, self.linear_dtype)
        if self.resample is None:
            y = tf.nn.conv2d(x, tf.cast(kernel, x.dtype), 1, "SAME")
        else:
            kernel = tf.add_n(
                [tf.pad(kernel, [[a, 1 - a], [b, 1 - b], [0, 0], [0, 0]]) for a in (0, 1) for b in (0, 1)]
            )
            if self.resample == "down":
                y = tf.nn.conv2d(x, tf.cast(kernel / 4, x.dtype), 2, "SAME")
            else:
                mirrored = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])  # [4, 4, outputs, inputs]
                shape: Any = [
                    tf.shape(x)[0],
                    2 * x.shape[1],  # pyright: ignore[reportOperatorIssue]  # height and width are static
                    2 * x.shape[2],  # pyright: ignore[reportOperatorIssue]
                    self.outputs,
                ]
                y = tf.nn.conv2d_transpose(x, tf.cast(mirrored, x.dtype), shape, 2, "SAME")
        return self.add_bias(y)


def map_shape(x: tf.Tensor) -> tuple[int, int, int]:
    """Return (H, W, C) of images or feature maps [B, H, W, C]; all three are static."""
    _, height, width, channels = x.shape
    assert height is not None and width is not None and channels is not None
    return height, width, channels


def flatten(x: tf.Tensor) -> tf.Tensor:
    """Return each feature map as a vector: [B, H, W, C] -> [B, H W C]."""
    height, width, channels = map_shape(x)
    return tf.reshape(x, [-1, height * width * channels])


@tf.custom_gradient
def upsample(x: tf.Tensor) -> Any:  # a tensor: the decorator keeps the gradient
    """Return x after nearest upsampling by two: [B, H, W, C] -> [B, 2H, 2W, C].

    The gradient sums 2x2 blocks. It is computed as four times their average, which is faster than the gradient that
    TensorFlow derives.
    """
    height, width, channels = map_shape(x)
    y = tf.tile(x[:, :, None, :, None, :], [1, 1, 2, 1, 2, 1])
    return tf.reshape(y, [-1, 2 * height, 2 * width, channels]), lambda dy: 4 * average_pool(dy)


def average_pool(x: tf.Tensor) -> tf.Tensor:
    """Return x after 2x2 average pooling: [B, H, W, C] -> [B, H/2, W/2, C], where H and W are even."""
    return tf.nn.avg_pool2d(x, 2, 2, "SAME")


class BatchNorm(keras.layers.Layer):
    """Batch normalisation with a gain and an offset per channel (as in BigGAN, Brock et al. 2019, app. B).

    If `conditional`, each example has its own gain and offset: two spectrally normalised linear maps of its
    `condition`, plus 1 for the gain.

    In training mode, the layer normalises by the statistics of the batch and stores them. They are float32, whatever
    the dtype of x; the stored variance is the unbiased one, with N - 1 in the denominator. Otherwise it normalises by
    the stored statistics. Statistics are not averaged over steps, because only the moving average of the network uses
    the stored ones. It computes them from one large batch before it is used (BigGAN's "standing statistics" in one
    pass).
    """

    def __init__(self, conditional: bool):
        super().__init__(autocast=False)
        self.conditional, self.epsilon = conditional, 1e-5

    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # Keras matches the names with those of `call`
        self, x_shape: Shape, condition_shape: Shape | None = None
    ) -> None:
        channels = x_shape[-1]
        self.mean = self.add_weight(shape=(channels,), initializer="zeros", trainable=False, name="mean")
        self.variance = self.add_weight(shape=(channels,), initializer="ones", trainable=False, name="variance")
        if self.conditional:
            self.gain, self.offset = (Dense(channels, use_bias=False) for _ in range(2))
            assert condition_shape is not None
            self.gain.build(condition_shape)
            self.offset.build(condition_shape)
        else:
            self.gain = self.add_weight(shape=(channels,), initializer="zeros", name="gain")
            self.offset = self.add_weight(shape=(channels,), initializer="zeros", name="offset")

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        gain, offset = tf.ones_like(self.mean), tf.zeros_like(self.mean)
        if not self.conditional:
            gain, offset = gain + self.gain, offset + self.offset
        if training and replicas() == 1:
            x, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, gain, offset, epsilon=self.epsilon)[:3]
        elif training:
            wide = tf.cast(x, tf.float32)
            mean = batch_mean(tf.reduce_mean(wide, [0, 1, 2]))
            variance = batch_mean(tf.reduce_mean(tf.square(wide - mean), [0, 1, 2]))
            x = self.normalized(x, gain, offset, mean, variance)
            count = tf.cast(replicas() * tf.size(x) // x.shape[-1], tf.float32)
            variance *= count / (count - 1)
        else:
            x = self.normalized(x, gain, offset, self.mean, self.variance)
        if training:
            self.mean.assign(mean)
            self.variance.assign(variance)
        if not self.conditional:
            return x
        gain, offset = (layer(condition, training=training)[:, None, None, :] for layer in (self.gain, self.offset))
        return x * tf.cast(1.0 + gain, x.dtype) + tf.cast(offset, x.dtype)

    def normalized(
        self, x: tf.Tensor, gain: tf.Tensor, offset: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor
    ) -> tf.Tensor:
        """Return gain * (x - mean) / sqrt(variance + epsilon) + offset, in x's dtype; the four are [C] float32."""
        scale = gain * tf.math.rsqrt(variance + self.epsilon)
        return x * tf.cast(scale, x.dtype) + tf.cast(offset - mean * scale, x.dtype)


class Composed(keras.layers.Layer):
    """A layer or network made of layers, each of which adds its own variables when it is first called.

    Without this `build`, Keras would trace `call` at every level of layers to find the variables, before it calls it.
    """

    def build(self, input_shape: Shape) -> None:
        pass


class GeneratorBlock(Composed):
    """BigGAN's residual up-block: x [B, H, W, C] and its chunk of the latent [B, D] -> [B, 2H, 2W, channels].

    The convolutions have no biases, because a batch normalisation follows each of them and would remove a bias.
    """

    def __init__(self, channels: int, compute_dtype: str):
        super().__init__(autocast=False)
        self.norm_1, self.norm_2 = BatchNorm(conditional=True), BatchNorm(conditional=True)
        options = {"use_bias": False, "compute_dtype": compute_dtype}
        self.conv_1 = Conv2D(channels, resample="up", **options)
        self.conv_2 = Conv2D(channels, **options)
        self.skip = Conv2D(channels, 1, **options)

    def call(self, x: tf.Tensor, condition: tf.Tensor, training: bool = False) -> tf.Tensor:
        h = self.conv_1(tf.nn.relu(self.norm_1(x, condition, training=training)), training=training)
        h = self.conv_2(tf.nn.relu(self.norm_2(h, condition, training=training)), training=training)
        return h + upsample(self.skip(x, training=training))  # the 1x1 convolution commutes with upsampling


class DiscriminatorBlock(keras.layers.Layer):
    """BigGAN's residual block of F, without batch statistics: [B, H, W, C] -> [B, H/2, W/2, channels].

    Args:
        channels: number of output channels.
        compute_dtype: the dtype of the block.
        down: whether the block halves the resolution; if not, it keeps H and W.
        first: whether x is the image itself, to which the block applies no ReLU.
    """

    def __init__(self, channels: int, compute_dtype: str, *, down: bool, first: bool = False):
        super().__init__(autocast=False)
        self.channels, self.conv_dtype, self.down, self.first = channels, compute_dtype, down, first
        self.conv_1 = Conv2D(channels, compute_dtype=compute_dtype)
        self.conv_2 = Conv2D(channels, resample="down" if down else None, compute_dtype=compute_dtype)

    def build(self, input_shape: Shape) -> None:
        reshapes = self.down or input_shape[-1] != self.channels
        self.skip = Conv2D(self.channels, 1, use_bias=False, compute_dtype=self.conv_dtype) if reshapes else None

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        h = self.conv_1(x if self.first else tf.nn.relu(x), training=training)
        h = self.conv_2(tf.nn.relu(h), training=training)
        if self.skip is None:
            return h + x
        return h + self.skip(average_pool(x) if self.down else x, training=training)


class EncoderBlock(Composed):
    """A pre-activation residual block (He et al. 2016): [B, H, W, C] -> [B, H/2, W/2, channels].

    Group normalisation (Wu & He 2018) replaces the batch normalisation of the paper. So E's output for an image does
    not depend on the other images of the batch, and the block stores no statistics.
    """

    def __init__(self, channels: int, compute_dtype: str):
        super().__init__(autocast=False)
        options = {"spectral_norm": False, "compute_dtype": compute_dtype}
        self.norm_1, self.norm_2 = GroupNorm(), GroupNorm()
        self.conv_1 = Conv2D(channels, **options)
        self.conv_2 = Conv2D(channels, resample="down", **options)
        self.skip = Conv2D(channels, 1, use_bias=False, **options)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        h = self.conv_1(tf.nn.relu(self.norm_1(x)))
        h = self.conv_2(tf.nn.relu(self.norm_2(h)))
        return h + self.skip(average_pool(x))


class GroupNorm(keras.layers.Layer):
    """Group normalisation (Wu & He 2018): over all positions, and over the channels of each group; float32 statistics.

    Args:
        groups: number of groups; if it does not divide the number of channels, their greatest common divisor.
    """

    def __init__(self, groups: int = 4):
        super().__init__(autocast=False)
        self.groups, self.epsilon = groups, 1e-5

    def build(self, input_shape: Shape) -> None:
        channels = input_shape[-1]
        self.groups = math.gcd(self.groups, channels)
        members = channels // self.groups
        self.averaging = np.kron(np.eye(self.groups), np.full([members, members], 1 / members)).astype(np.float32)
        self.gain = self.add_weight(shape=(channels,), initializer="ones", name="gain")
        self.offset = self.add_weight(shape=(channels,), initializer="zeros", name="offset")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        channels = map_shape(x)[-1]
        wide = tf.cast(x, tf.float32)
        # A product with a constant matrix averages over groups: reshaping and repeating would take thirty operations.
        mean, variance = (tf.matmul(tf.reduce_mean(t, [1, 2]), self.averaging) for t in (wide, tf.square(wide)))
        variance = tf.maximum(variance - tf.square(mean), 0.0)  # rounding may leave less than nothing
        scale = self.gain * tf.math.rsqrt(variance + self.epsilon)
        scale, shift = (tf.reshape(t, [-1, 1, 1, channels]) for t in (scale, self.offset - mean * scale))
        return x * tf.cast(scale, x.dtype) + tf.cast(shift, x.dtype)


class SelfAttention(keras.layers.Layer):
    """Self-attention over positions (Zhang et al. 2019, as in BigGAN): [B, H, W, C] -> [B, H, W, C].

    Queries and keys have C/8 channels, values have C/2. Keys and values are max-pooled 2x2. The result is multiplied by
    a gain, which starts at 0, and added to x.
    """

    def __init__(self, compute_dtype: str):
        super().__init__(autocast=False)
        self.conv_dtype = compute_dtype

    def build(self, input_shape: Shape) -> None:
        channels = input_shape[-1]
        options = {"kernel_size": 1, "use_bias": False, "compute_dtype": self.conv_dtype}
        self.query, self.key = (Conv2D(max(1, channels // 8), **options) for _ in range(2))
        self.value, self.out = Conv2D(channels // 2, **options), Conv2D(channels, **options)
        for layer in (self.query, self.key, self.value):
            layer.build(input_shape)
        self.out.build((*input_shape[:-1], channels // 2))
        self.gain = self.add_weight(shape=(), initializer="zeros", name="gain")

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        height, width, _ = map_shape(x)
        query = self.query(x, training=training)
        key, value = (tf.nn.max_pool2d(f(x, training=training), 2, 2, "SAME") for f in (self.key, self.value))
        query, key, value = (tf.reshape(t, [-1, t.shape[1] * t.shape[2], t.shape[3]]) for t in (query, key, value))
        weights = tf.nn.softmax(tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32))  # [B, HW, HW/4]
        attended = tf.cast(self.gain, value.dtype) * tf.matmul(tf.cast(weights, value.dtype), value)
        return x + self.out(tf.reshape(attended, [-1, height, width, attended.shape[-1]]), training=training)


class ResidualDense(Composed):
    """A residual block of H and J, with two spectrally normalised dense layers: [B, width] -> [B, width]."""

    def __init__(self, width: int):
        super().__init__(autocast=False)
        self.dense_1, self.dense_2 = Dense(width), Dense(width)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        h = self.dense_1(tf.nn.relu(x), training=training)
        return x + self.dense_2(tf.nn.relu(h), training=training)
