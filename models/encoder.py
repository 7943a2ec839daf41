"""The stochastic encoder E of BigBiGAN (Donahue & Simonyan 2019, section 2)."""

from typing import NamedTuple

import keras
import tensorflow as tf

from models.layers import Composed, Conv2D, Dense, EncoderBlock, GroupNorm, flatten


class Encoding(NamedTuple):
    """E's output for a batch of images; float32."""

    mu: tf.Tensor  # [B, latent_dim], mean of q(z | x)
    sigma: tf.Tensor | None  # [B, latent_dim], standard deviation of q(z | x), positive; None if z_hat is mu
    features: tf.Tensor  # [B, feature_dim], E's last hidden layer, non-negative
    code: tf.Tensor | None  # [B, code_parameters], parameters of q(c | x); None if E does not estimate the code


class Encoder(Composed, keras.Model):
    """E(x) -> Encoding: a residual network, then one hidden layer, then mu and sigma = softplus(.).

    The hidden layer may be normalised (Ba et al. 2016) before its ReLU. It has thousands of inputs, which are never
    negative, so Adam's steps, which are equal in size, add up. In models in which J's score alone trains E, most units
    were dead after fifty updates.

    Args:
        image_shape: (H, W, C) of the images.
        widths: channels of the stem and of the blocks; the stem and every block halve the resolution.
        latent_dim: size of z.
        code_parameters: number of outputs that describe q(c | x); 0: E does not estimate c.
        stochastic: whether E computes a sigma; if not, E is deterministic.
        feature_dim: width of the last hidden layer.
        hidden_norm: whether the last hidden layer is normalised, over its units.
        input_size: height and width to which images are resized first; 0: they are not resized. BigBiGAN gives E larger
            images than F.
        compute_dtype: "float32" or "bfloat16", the dtype of the convolutions and of the operations between them.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        widths: tuple[int, ...],
        latent_dim: int,
        code_parameters: int = 0,
        *,
        stochastic: bool = True,
        feature_dim: int = 256,
        hidden_norm: bool = False,
        input_size: int = 0,
        compute_dtype: str = "float32",
    ):
        super().__init__()
        self.input_size = input_size
        self.stem = Conv2D(widths[0], resample="down", spectral_norm=False, compute_dtype=compute_dtype)
        self.blocks = [EncoderBlock(channels, compute_dtype) for channels in widths[1:]]
        self.norm = GroupNorm()
        self.hidden = Dense(feature_dim, spectral_norm=False, compute_dtype=compute_dtype)
        self.hidden_norm = keras.layers.LayerNormalization() if hidden_norm else None
        self.mu = Dense(latent_dim, spectral_norm=False)
        self.sigma = Dense(latent_dim, spectral_norm=False) if stochastic else None
        self.code = Dense(code_parameters, spectral_norm=False) if code_parameters else None
        self(tf.zeros([1, *image_shape]))

    def call(self, x: tf.Tensor) -> Encoding:
        if self.input_size:
            x = tf.image.resize(x, [self.input_size, self.input_size])
        h = self.stem(x)
        for block in self.blocks:
            h = block(h)
        h = tf.nn.relu(self.norm(h))
        hidden = tf.cast(self.hidden(flatten(h)), tf.float32)
        features = tf.nn.relu(self.hidden_norm(hidden) if self.hidden_norm else hidden)
        return Encoding(
            self.mu(features),
            tf.nn.softplus(self.sigma(features)) if self.sigma else None,
            features,
            self.code(features) if self.code else None,
        )
