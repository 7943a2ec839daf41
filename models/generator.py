"""BigGAN's generator G (Brock et al. 2019) without class labels. It receives z and, in the info modes, the code c."""

import keras
import numpy as np
import tensorflow as tf

from models.layers import BatchNorm, Composed, Conv2D, Dense, GeneratorBlock, SelfAttention


class Generator(Composed, keras.Model):
    """G(z, c) -> x_hat [B, *image_shape], float32 in [-1, 1].

    z [B, latent_dim] is cut into chunks: one for the first layer, and one for each block's conditional normalisation
    (BigGAN's hierarchical latent). The code c [B, code_dim] is appended to the first chunk or to every chunk.

    Args:
        image_shape: (H, W, C); H and W are multiples of 2 ** len(widths).
        widths: channels of the up-blocks, lowest resolution first.
        latent_dim, code_dim: sizes of z and of c; G has no code if code_dim is 0.
        code_to: the chunks that c is appended to, "first" or "all".
        attention: the height of the maps to which self-attention is applied, after their block; 0: no attention.
        compute_dtype: "float32" or "bfloat16", the dtype of the convolutions and of the operations between them.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        widths: tuple[int, ...],
        latent_dim: int,
        code_dim: int = 0,
        code_to: str = "first",
        attention: int = 0,
        compute_dtype: str = "float32",
    ):
        super().__init__()
        self.image_shape = height, width, channels = image_shape
        self.base_shape = (height >> len(widths), width >> len(widths), widths[0])
        self.chunks = [len(chunk) for chunk in np.array_split(np.arange(latent_dim), len(widths) + 1)]
        self.code_to_all, self.compute = code_to == "all", compute_dtype
        self.first = Dense(int(np.prod(self.base_shape)))
        self.blocks = [GeneratorBlock(channels, compute_dtype) for channels in widths]
        self.attend = [
            SelfAttention(compute_dtype) if self.base_shape[0] << (i + 1) == attention else None
            for i in range(len(widths))
        ]
        self.norm = BatchNorm(conditional=False)
        self.to_image = Conv2D(channels, compute_dtype=compute_dtype)
        self(tf.zeros([1, latent_dim]), tf.zeros([1, code_dim]), training=True)

    def call(self, z: tf.Tensor, c: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        chunks = tf.split(z, self.chunks, axis=1)
        if c is not None:
            chunks = [
                tf.concat([chunk, c], 1) if i == 0 or self.code_to_all else chunk for i, chunk in enumerate(chunks)
            ]
        x = tf.cast(self.first(chunks[0], training=training), self.compute)
        x = tf.reshape(x, [-1, *self.base_shape])
        for block, attend, chunk in zip(self.blocks, self.attend, chunks[1:], strict=True):
            x = block(x, chunk, training=training)
            x = attend(x, training=training) if attend else x
        x = self.to_image(tf.nn.relu(self.norm(x, training=training)), training=training)
        return tf.tanh(tf.cast(x, tf.float32))
