"""The three discriminators of BigBiGAN (Donahue & Simonyan 2019, section 2): F sees images, H latents, J both.

None of them has batch statistics, so examples do not see each other, and whether real and fake share a pass makes no
difference. A call with `training=True` takes the power iteration of the spectral norms: it is made once per
discriminator update, and once when a network is built, so that its first sigma is one.
"""

import keras
import tensorflow as tf

from models.layers import Dense, DiscriminatorBlock, ResidualDense, SelfAttention, flatten


class ImageDiscriminator(keras.Model):
    """F(x) -> (features [B, F], s_x [B]), both float32: BigGAN's residual down-blocks and one plain block.

    The features are the sums over all positions, F = widths[-1], as in BigGAN, and beside them, where there is a
    `layout_dim`, a dense layer over the whole map, F = widths[-1] + layout_dim: the few sums of a narrow F do not say
    where anything is, and J must know that to tell whose z this is.

    Without `scored` there is no score (None in its place), and F gives features for J alone; the same holds for H.

    Args:
        image_shape: (H, W, C); H and W are multiples of 2 ** len(widths).
        widths: channels of the down-blocks, highest resolution first; a plain block of widths[-1] follows.
        scored: whether the unary score s_x exists.
        layout_dim: width of the dense layer over the whole map; 0 for none.
        attention: the resolution before whose block self-attention stands; 0 for none.
        compute_dtype: "float32" or "bfloat16", the dtype of convolutions and of what lies between them.
    """

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
        self.feature_dim = widths[-1] + layout_dim
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

    def call(self, x, training=False):
        for block, attend in zip(self.blocks, self.attend, strict=True):
            x = attend(x, training=training) if attend else x
            x = block(x, training=training)
        x = tf.cast(tf.nn.relu(x), tf.float32)
        features = tf.reduce_sum(x, [1, 2])
        if self.layout:
            features = tf.concat([features, tf.nn.relu(self.layout(flatten(x), training=training))], 1)
        return features, self.score(features, training=training)[:, 0] if self.score else None


class VectorDiscriminator(keras.Model):
    """H and J: a residual MLP in float32, v [B, inputs] -> (features [B, width], score [B]).

    H is given the latent (with the code, where H sees it) and scores s_z; J is given F's and H's features and scores s_xz.
    """

    def __init__(self, inputs: int, width: int, blocks: int, *, scored: bool = True):
        super().__init__()
        self.first = Dense(width)
        self.blocks = [ResidualDense(width) for _ in range(blocks)]
        self.score = Dense(1) if scored else None
        self(tf.zeros([1, inputs]), training=True)

    def call(self, v, training=False):
        h = self.first(v, training=training)
        for block in self.blocks:
            h = block(h, training=training)
        features = tf.nn.relu(h)
        return features, self.score(features, training=training)[:, 0] if self.score else None
