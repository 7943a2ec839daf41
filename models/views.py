"""Second views of images: what a picture may lose without becoming another one."""

import math

import tensorflow as tf

ROTATION = math.radians(20)  # largest angle, either way
SCALE = 0.2  # largest logarithm of the factor, either way
SHIFT = 0.1  # largest part of a side, in each direction
SHEAR = 0.2  # largest tangent, either way
NOISE = 0.1  # standard deviation of what is added to every pixel


def random_view(x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Images [B, H, W, C] float32 in [-1, 1], each turned, scaled, sheared and shifted at random, with noise.

    All bounds are the constants above, every number is uniform within them and the noise normal; pixels from beyond the
    border repeat it. `seed`: int32 [2]. The values stay in [-1, 1].
    """
    shape = tf.shape(x)
    batch, (height, width) = shape[0], x.shape[1:3]
    place, noise = tf.unstack(tf.random.split(seed, 2))
    angle, size, shear, right, down = tf.unstack(tf.random.stateless_uniform([5, batch], place, -1.0, 1.0))
    angle, factor, shear = ROTATION * angle, tf.exp(SCALE * size), SHEAR * shear
    # where in x the pixel (column, row) of a view, counted from the centre, comes from: a matrix and a shift
    a, b = factor * tf.cos(angle), factor * (shear * tf.cos(angle) - tf.sin(angle))
    c, d = factor * tf.sin(angle), factor * (shear * tf.sin(angle) + tf.cos(angle))
    column, row = (width - 1) / 2, (height - 1) / 2
    from_column = column - a * column - b * row + SHIFT * width * right
    from_row = row - c * column - d * row + SHIFT * height * down
    zero = tf.zeros_like(angle)
    view = tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=tf.stack([a, b, from_column, c, d, from_row, zero, zero], 1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    return tf.clip_by_value(view + NOISE * tf.random.stateless_normal(shape, noise), -1.0, 1.0)
