"""The layers that the image networks are made of: spectrally normalised maps, batch normalisation, residual blocks.

Notation: B batch, H and W height and width, C channels. Images and feature maps are NHWC. Only convolutions and what lies
between them run in `compute_dtype` (float32 or bfloat16); statistics, singular vectors and variables are float32.
"""

import math

import keras
import numpy as np
import tensorflow as tf


class Linear(keras.layers.Layer):
    """What `Dense` and `Conv2D` share: a kernel W of orthogonal initialisation, its bias, and its spectral norm.

    With `spectral_norm` the kernel in use is W / sigma(W) (Miyato et al. 2018, eq. 8; their algorithm 1), with
    sigma = v' W u and W seen as a matrix [inputs, outputs]. u and v are kept; gradients flow through sigma but not through
    u and v. A call with `training=True` first takes one step of power iteration, so a network that is called once in
    `training` mode per update iterates once per update, and its other calls of that update meet the same sigma.
    """

    def __init__(
        self, outputs: int, *, spectral_norm: bool = True, use_bias: bool = True, compute_dtype: str = "float32"
    ):
        super().__init__(autocast=False)
        self.outputs, self.spectral_norm, self.use_bias = outputs, spectral_norm, use_bias
        self.linear_dtype = tf.as_dtype(compute_dtype)

    def add_kernel(self, *inputs_shape: int):
        """Adds W [*inputs_shape, outputs], the bias [outputs] and, for the spectral norm, u [outputs] and v [inputs]."""
        self.kernel = self.add_weight(shape=(*inputs_shape, self.outputs), initializer="orthogonal", name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.outputs,), initializer="zeros", name="bias")
        if self.spectral_norm:
            normal = keras.initializers.RandomNormal(stddev=1.0)
            self.u = self.add_weight(shape=(self.outputs,), initializer=normal, trainable=False, name="u")
            self.v = self.add_weight(shape=(int(np.prod(inputs_shape)),), initializer=normal, trainable=False, name="v")

    def sigma(self, iterate: bool = False) -> tf.Tensor:
        """The estimate v' W u of the largest singular value of W (scalar float32), after a power iteration on request."""
        matrix = tf.reshape(self.kernel, [-1, self.outputs])
        if iterate:
            fixed = tf.stop_gradient(matrix)
            self.v.assign(tf.math.l2_normalize(tf.linalg.matvec(fixed, self.u)))
            self.u.assign(tf.math.l2_normalize(tf.linalg.matvec(fixed, self.v, transpose_a=True)))
        return tf.tensordot(self.v, tf.linalg.matvec(matrix, self.u), 1)

    def normalized_kernel(self, training: bool) -> tf.Tensor:
        """The kernel in use, float32, of W's shape: W / sigma(W), or W itself without `spectral_norm`."""
        kernel = tf.convert_to_tensor(self.kernel)
        return kernel / self.sigma(iterate=training) if self.spectral_norm else kernel

    def add_bias(self, y: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(y, tf.cast(self.bias, y.dtype)) if self.use_bias else y


class Dense(Linear):
    """x [B, inputs] -> x W + b [B, outputs], in `compute_dtype`."""

    def build(self, shape):
        self.add_kernel(shape[-1])

    def call(self, x, training=False):
        kernel = tf.cast(self.normalized_kernel(training), self.linear_dtype)
        return self.add_bias(tf.matmul(tf.cast(x, self.linear_dtype), kernel))


class Conv2D(Linear):
    """A convolution of zero padding "same", alone or fused with the resampling beside it.

    `resample="up"` is nearest upsampling by two followed by the 3x3 convolution, and `resample="down"` the 3x3 convolution
    followed by 2x2 average pooling. Both are one map with the 4x4 kernel W * 1 (the 3x3 kernel convolved with a 2x2
    block of ones) and stride 2, transposed for "up": 16 products where the plain layers take 36 (Zhang et al. 2019 and
    Karras et al. 2018 use the same identity). Sigma stays that of the 3x3 kernel, so the function is that of the plain
    layers. "down" needs even heights and widths.
    """

    def __init__(self, outputs: int, kernel_size: int = 3, *, resample: str | None = None, **options):
        super().__init__(outputs, **options)
        self.kernel_size, self.resample = kernel_size, resample

    def build(self, shape):
        self.add_kernel(self.kernel_size, self.kernel_size, shape[-1])

    def call(self, x, training=False):
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
                shape = [tf.shape(x)[0], 2 * x.shape[1], 2 * x.shape[2], self.outputs]
                y = tf.nn.conv2d_transpose(x, tf.cast(mirrored, x.dtype), shape, 2, "SAME")
        return self.add_bias(y)


def flatten(x: tf.Tensor) -> tf.Tensor:
    """A feature map as one vector for each example: [B, H, W, C] -> [B, H W C]."""
    return tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]])


@tf.custom_gradient
def upsample(x: tf.Tensor) -> tf.Tensor:
    """Nearest upsampling by two: [B, H, W, C] -> [B, 2H, 2W, C].

    Its gradient sums 2x2 blocks; four times their average is the same and faster than what TensorFlow derives.
    """
    _, height, width, channels = x.shape
    y = tf.tile(x[:, :, None, :, None, :], [1, 1, 2, 1, 2, 1])
    return tf.reshape(y, [-1, 2 * height, 2 * width, channels]), lambda dy: 4 * average_pool(dy)


def average_pool(x: tf.Tensor) -> tf.Tensor:
    """2x2 average pooling: [B, H, W, C] -> [B, H/2, W/2, C], H and W even."""
    return tf.nn.avg_pool2d(x, 2, 2, "SAME")


class BatchNorm(keras.layers.Layer):
    """Batch normalisation with a gain and an offset per channel, or conditional ones (BigGAN, Brock et al. 2019, app. B).

    With a `condition` [B, D] gain and offset are 1 + and spectrally normalised linear maps of it (one per example).
    In training mode the batch's own statistics are used (float32, whatever x is) and become the stored ones, N - 1 below
    the variance. Nothing is averaged over steps, because the stored statistics are read by the moving average of the
    network alone, which sees one large batch before it is used (BigGAN's "standing statistics" in one pass).
    """

    def __init__(self, conditional: bool):
        super().__init__(autocast=False)
        self.conditional, self.epsilon = conditional, 1e-5

    def build(self, x_shape, condition_shape=None):
        channels = x_shape[-1]
        self.mean = self.add_weight(shape=(channels,), initializer="zeros", trainable=False, name="mean")
        self.variance = self.add_weight(shape=(channels,), initializer="ones", trainable=False, name="variance")
        if self.conditional:
            self.gain, self.offset = (Dense(channels, use_bias=False) for _ in range(2))
            self.gain.build(condition_shape)
            self.offset.build(condition_shape)
        else:
            self.gain = self.add_weight(shape=(channels,), initializer="zeros", name="gain")
            self.offset = self.add_weight(shape=(channels,), initializer="zeros", name="offset")

    def call(self, x, condition=None, training=False):
        gain, offset = tf.ones_like(self.mean), tf.zeros_like(self.mean)
        if not self.conditional:
            gain, offset = gain + self.gain, offset + self.offset
        if training:
            x, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, gain, offset, epsilon=self.epsilon)[:3]
            self.mean.assign(mean)
            self.variance.assign(variance)
        else:
            scale = gain * tf.math.rsqrt(self.variance + self.epsilon)
            x = x * tf.cast(scale, x.dtype) + tf.cast(offset - self.mean * scale, x.dtype)
        if not self.conditional:
            return x
        gain, offset = (layer(condition, training=training)[:, None, None, :] for layer in (self.gain, self.offset))
        return x * tf.cast(1.0 + gain, x.dtype) + tf.cast(offset, x.dtype)


class GeneratorBlock(keras.layers.Layer):
    """BigGAN's residual up-block: [B, H, W, C] and its chunk of the latent [B, D] -> [B, 2H, 2W, channels].

    Its convolutions have no biases: the batch normalisation that follows every one of them would remove them.
    """

    def __init__(self, channels: int, compute_dtype: str):
        super().__init__(autocast=False)
        self.norm_1, self.norm_2 = BatchNorm(conditional=True), BatchNorm(conditional=True)
        options = {"use_bias": False, "compute_dtype": compute_dtype}
        self.conv_1 = Conv2D(channels, resample="up", **options)
        self.conv_2 = Conv2D(channels, **options)
        self.skip = Conv2D(channels, 1, **options)

    def call(self, x, condition, training=False):
        h = self.conv_1(tf.nn.relu(self.norm_1(x, condition, training=training)), training=training)
        h = self.conv_2(tf.nn.relu(self.norm_2(h, condition, training=training)), training=training)
        return h + upsample(self.skip(x, training=training))  # the 1x1 convolution commutes with upsampling


class DiscriminatorBlock(keras.layers.Layer):
    """BigGAN's residual block without batch statistics: [B, H, W, C] -> [B, H/2, W/2, channels], or [B, H, W, channels].

    `down` halves the resolution. `first` leaves out the ReLU before the first convolution, which would see raw pixels.
    """

    def __init__(self, channels: int, compute_dtype: str, *, down: bool, first: bool = False):
        super().__init__(autocast=False)
        self.channels, self.conv_dtype, self.down, self.first = channels, compute_dtype, down, first
        self.conv_1 = Conv2D(channels, compute_dtype=compute_dtype)
        self.conv_2 = Conv2D(channels, resample="down" if down else None, compute_dtype=compute_dtype)

    def build(self, shape):
        reshapes = self.down or shape[-1] != self.channels
        self.skip = Conv2D(self.channels, 1, use_bias=False, compute_dtype=self.conv_dtype) if reshapes else None

    def call(self, x, training=False):
        h = self.conv_1(x if self.first else tf.nn.relu(x), training=training)
        h = self.conv_2(tf.nn.relu(h), training=training)
        if self.skip is None:
            return h + x
        return h + self.skip(average_pool(x) if self.down else x, training=training)


class EncoderBlock(keras.layers.Layer):
    """A pre-activation residual block (He et al. 2016) with group normalisation: [B, H, W, C] -> [B, H/2, W/2, channels].

    Group normalisation (Wu & He 2018) in place of the paper's batch normalisation: what E says of an image then does not
    depend on the images beside it, and there are no statistics to keep.
    """

    def __init__(self, channels: int, compute_dtype: str):
        super().__init__(autocast=False)
        options = {"spectral_norm": False, "compute_dtype": compute_dtype}
        self.norm_1, self.norm_2 = GroupNorm(), GroupNorm()
        self.conv_1 = Conv2D(channels, **options)
        self.conv_2 = Conv2D(channels, resample="down", **options)
        self.skip = Conv2D(channels, 1, use_bias=False, **options)

    def call(self, x):
        h = self.conv_1(tf.nn.relu(self.norm_1(x)))
        h = self.conv_2(tf.nn.relu(self.norm_2(h)))
        return h + self.skip(average_pool(x))


class GroupNorm(keras.layers.Layer):
    """Group normalisation over all positions and the channels of each of `groups` groups; float32 statistics."""

    def __init__(self, groups: int = 4):
        super().__init__(autocast=False)
        self.groups, self.epsilon = groups, 1e-5

    def build(self, shape):
        self.groups = math.gcd(self.groups, shape[-1])
        self.gain = self.add_weight(shape=(shape[-1],), initializer="ones", name="gain")
        self.offset = self.add_weight(shape=(shape[-1],), initializer="zeros", name="offset")

    def call(self, x):
        _, height, width, channels = x.shape
        grouped = tf.reshape(tf.cast(x, tf.float32), [-1, height * width, self.groups, channels // self.groups])
        mean, variance = tf.nn.moments(grouped, [1, 3], keepdims=True)  # [B, 1, groups, 1]
        scale = tf.repeat(tf.math.rsqrt(variance + self.epsilon), channels // self.groups, 3)
        mean = tf.reshape(tf.repeat(mean, channels // self.groups, 3), [-1, 1, 1, channels])
        scale = tf.reshape(scale, [-1, 1, 1, channels]) * self.gain
        return x * tf.cast(scale, x.dtype) + tf.cast(self.offset - mean * scale, x.dtype)


class SelfAttention(keras.layers.Layer):
    """Self-attention over positions (Zhang et al. 2019, as in BigGAN): [B, H, W, C] -> the same shape.

    Queries are C/8 wide; keys (C/8) and values (C/2) are max-pooled 2x2. The result is added with a gain that starts at 0.
    """

    def __init__(self, compute_dtype: str):
        super().__init__(autocast=False)
        self.conv_dtype = compute_dtype

    def build(self, shape):
        channels = shape[-1]
        options = {"kernel_size": 1, "use_bias": False, "compute_dtype": self.conv_dtype}
        self.query, self.key = (Conv2D(max(1, channels // 8), **options) for _ in range(2))
        self.value, self.out = Conv2D(channels // 2, **options), Conv2D(channels, **options)
        for layer in (self.query, self.key, self.value):
            layer.build(shape)
        self.out.build((*shape[:-1], channels // 2))
        self.gain = self.add_weight(shape=(), initializer="zeros", name="gain")

    def call(self, x, training=False):
        _, height, width, _ = x.shape
        query = self.query(x, training=training)
        key, value = (tf.nn.max_pool2d(f(x, training=training), 2, 2, "SAME") for f in (self.key, self.value))
        query, key, value = (tf.reshape(t, [-1, t.shape[1] * t.shape[2], t.shape[3]]) for t in (query, key, value))
        weights = tf.nn.softmax(tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32))  # [B, HW, HW/4]
        attended = tf.cast(self.gain, value.dtype) * tf.matmul(tf.cast(weights, value.dtype), value)
        return x + self.out(tf.reshape(attended, [-1, height, width, attended.shape[-1]]), training=training)


class ResidualDense(keras.layers.Layer):
    """A residual block of two spectrally normalised dense layers, for H and J: [B, width] -> [B, width]."""

    def __init__(self, width: int):
        super().__init__(autocast=False)
        self.dense_1, self.dense_2 = Dense(width), Dense(width)

    def call(self, x, training=False):
        h = self.dense_1(tf.nn.relu(x), training=training)
        return x + self.dense_2(tf.nn.relu(h), training=training)
