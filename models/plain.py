"""The networks of InfoGAN as published (Chen et al. 2016, app. C.1): plain convolutions with batch normalisation.

They have neither residual blocks nor spectral norms. For images of 28x28 the paper has G of 1,024 units and maps of 128
and 64 channels, and F of 64 and 128 channels and 1,024 units.
"""

import keras
import numpy as np
import tensorflow as tf

from models.layers import BatchNorm, Composed, flatten

GENERATOR_UNITS = 1024  # of G's first dense layer


def policy(compute_dtype: str) -> keras.DTypePolicy:
    """Return the dtype of a Keras layer with float32 weights that computes in "float32" or "bfloat16"."""
    return keras.DTypePolicy("mixed_bfloat16" if compute_dtype == "bfloat16" else "float32")


class PlainGenerator(Composed, keras.Model):
    """G(z, c) -> x_hat [B, *image_shape], float32 in [-1, 1], where z [B, latent_dim] and c [B, code_dim] are joined.

    Args:
        image_shape: (H, W, C); H and W are multiples of 2 ** len(widths).
        widths: channels of the map that the dense layers give, and of each transposed convolution but the last.
        latent_dim, code_dim: sizes of z and of c; G has no code if code_dim is 0.
        compute_dtype: "float32" or "bfloat16".
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        widths: tuple[int, ...],
        latent_dim: int,
        code_dim: int = 0,
        *,
        compute_dtype: str = "float32",
    ):
        super().__init__()
        self.image_shape = height, width, channels = image_shape
        self.base_shape = (height >> len(widths), width >> len(widths), widths[0])
        self.chunks, self.compute = [latent_dim], compute_dtype
        dtype = policy(compute_dtype)
        self.dense = [
            keras.layers.Dense(units, use_bias=False, dtype=dtype)
            for units in (GENERATOR_UNITS, int(np.prod(self.base_shape)))
        ]
        self.up = [
            keras.layers.Conv2DTranspose(outputs, 4, strides=2, padding="same", use_bias=last, dtype=dtype)
            for outputs, last in [*((width, False) for width in widths[1:]), (channels, True)]
        ]
        self.norms = [BatchNorm(conditional=False) for _ in [*self.dense, *widths[1:]]]
        self(tf.zeros([1, latent_dim]), tf.zeros([1, code_dim]))

    def call(self, z: tf.Tensor, c: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        x = tf.cast(z if c is None else tf.concat([z, c], 1), self.compute)
        norms = iter(self.norms)
        for layer in self.dense:
            x = flatten(tf.nn.relu(next(norms)(layer(x)[:, None, None, :], training=training)))
        x = tf.reshape(x, [-1, *self.base_shape])
        for layer in self.up[:-1]:
            x = tf.nn.relu(next(norms)(layer(x), training=training))
        return tf.tanh(tf.cast(self.up[-1](x), tf.float32))


class PlainDiscriminator(Composed, keras.Model):
    """F(x) -> (features [B, units], s_x [B], None), float32. In the third place `ImageDiscriminator` returns its map.

    Batch normalisation follows all layers but the first. In training, real and generated images have statistics of
    their own. Of both, moving averages are stored for use.

    Args:
        image_shape: (H, W, C); H and W are multiples of 2 ** len(widths).
        widths: channels of the convolutions, each of which halves the resolution.
        units: width of the dense layer that gives the features.
        compute_dtype: "float32" or "bfloat16".
    """

    normalizes_batches = True

    def __init__(
        self, image_shape: tuple[int, int, int], widths: tuple[int, ...], *, units: int, compute_dtype: str = "float32"
    ):
        super().__init__()
        self.feature_dim, self.compute, dtype = units, compute_dtype, policy(compute_dtype)
        self.down = [
            keras.layers.Conv2D(width, 4, strides=2, padding="same", use_bias=i == 0, dtype=dtype)
            for i, width in enumerate(widths)
        ]
        self.dense = keras.layers.Dense(units, use_bias=False, dtype=dtype)
        self.norms = [
            keras.layers.BatchNormalization(epsilon=1e-5, synchronized=True, dtype=dtype) for _ in [*widths[1:], units]
        ]
        self.score = keras.layers.Dense(1, dtype="float32")
        self(tf.zeros([1, *image_shape]))

    def call(self, x: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor, None]:
        x = tf.nn.leaky_relu(self.down[0](tf.cast(x, self.compute)), 0.1)
        for layer, norm in zip([*self.down[1:], self.dense], self.norms, strict=True):
            x = flatten(x) if layer is self.dense else x
            x = tf.nn.leaky_relu(norm(layer(x), training=training), 0.1)
        features = tf.cast(x, tf.float32)
        return features, self.score(features)[:, 0], None
