"""The three discriminators of BigBiGAN (Donahue & Simonyan 2019, section 2): F for images, H for latents, J for both.

They have no batch statistics, so the score of a pair does not depend on the other pairs of the batch. Real and
generated pairs may share a pass or not. A call with `training=True` takes the power iteration of the spectral norms.
This happens once per discriminator update, and once when a network is built, so that its first sigma is 1.
"""

import keras
import tensorflow as tf

from models.layers import Composed, Dense, DiscriminatorBlock, ResidualDense, SelfAttention, flatten


class ImageDiscriminator(Composed, keras.Model):
    """F(x) -> (features [B, feature_dim], s_x [B], map [B, map_dim]), float32: BigGAN's down-blocks and one plain block.

    The map is the output of the last block, as a vector. The features are its sums over all positions, widths[-1]
    numbers, as in BigGAN. With a `layout_dim`, the features also contain the outputs of a dense layer over the whole
    map. J needs them to match z with an image, because the few sums of a narrow F do not show where anything is.

    Without `scored`, F computes features for J alone, and returns None in place of s_x. The same holds for H.

    Args:
        image_shape: (H, W, C); H and W are multiples of 2 ** len(widths).
        widths: channels of the down-blocks, highest resolution first; a plain block of widths[-1] channels follows.
        scored: whether F computes the unary score s_x.
        layout_dim: width of the dense layer over the whole map; 0: F has no such layer.
        attention: the height of the maps to which self-attention is applied, before their block; 0: no attention.
        compute_dtype: "float32" or "bfloat16", the dtype of the convolutions and of the operations between them.
    """

    normalizes_batches = False

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        widths: tuple[int, ...],
        *,
        scored: bool = True,
        layout_dim: int = 0,
        attention: int = 0,
        compute_dtype: str = "float32",
    ):
        super().__init__()
        height, width, _ = image_shape
        self.feature_dim = widths[-1] + layout_dim
        self.map_dim = (height >> len(widths)) * (width >> len(widths)) * widths[-1]
        self.blocks = [
            DiscriminatorBlock(channels, compute_dtype, down=True, first=i == 0) for i, channels in enumerate(widths)
        ]
        self.blocks.append(DiscriminatorBlock(widths[-1], compute_dtype, down=False))
        self.attend = [
            SelfAttention(compute_dtype) if i > 0 and image_shape[0] >> i == attention else None
            for i in range(len(self.blocks))
        ]
        self.layout = Dense(layout_dim) if layout_dim else None
        self.score = Dense(1) if scored else None
        self(tf.zeros([1, *image_shape]), training=True)

    def call(self, x: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor]:
        for block, attend in zip(self.blocks, self.attend, strict=True):
            x = attend(x, training=training) if attend else x
            x = block(x, training=training)
        x = tf.cast(tf.nn.relu(x), tf.float32)
        features, whole = tf.reduce_sum(x, [1, 2]), flatten(x)
        if self.layout:
            features = tf.concat([features, tf.nn.relu(self.layout(whole, training=training))], 1)
        return features, self.score(features, training=training)[:, 0] if self.score else None, whole


class VectorDiscriminator(Composed, keras.Model):
    """H or J: a residual MLP in float32, v [B, inputs] -> (features [B, width], score [B]).

    H receives the latent, and in some models the code, and computes s_z. J receives the features of F and H, and
    computes s_xz.

    Args:
        inputs: size of v.
        width, blocks: width and number of the residual blocks.
        scored: whether the network computes a score; if not, it returns None in place of the score.
    """

    def __init__(self, inputs: int, width: int, blocks: int, *, scored: bool = True):
        super().__init__()
        self.feature_dim = width
        self.first = Dense(width)
        self.blocks = [ResidualDense(width) for _ in range(blocks)]
        self.score = Dense(1) if scored else None
        self(tf.zeros([1, inputs]), training=True)

    def call(self, v: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        h = self.first(v, training=training)
        for block in self.blocks:
            h = block(h, training=training)
        features = tf.nn.relu(h)
        return features, self.score(features, training=training)[:, 0] if self.score else None
