"""Second views of images: random distortions that do not change what a picture shows."""

import math

import tensorflow as tf

from losses.replicas import own_rows, replicas
from models.layers import map_shape

ROTATION = math.radians(20)  # largest angle, in both directions
SCALE = 0.2  # largest logarithm of the factor, in both directions
SHIFT = 0.1  # largest shift in each direction, as a share of the side
SHEAR = 0.2  # largest tangent, in both directions
NOISE = 0.1  # standard deviation of the noise that is added to every pixel


def random_view(x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return a view of every image: turned, scaled, sheared and shifted at random, with noise.

    The constants above are the bounds. Angle, scale, shear and shift are uniform within them, and the noise is normal.
    Pixels beyond the border repeat the border.

    Args:
        x: images [B, H, W, C] float32 in [-1, 1].
        seed: int32 [2].

    Returns:
        [B, H, W, C] float32, clipped to [-1, 1].
    """
    shape = tf.shape(x)
    batch, (height, width, _) = replicas() * shape[0], map_shape(x)
    place, noise = tf.unstack(tf.random.split(seed, 2))
    # the stubs declare a shape a list of int
    numbers = tf.random.stateless_uniform([5, batch], place, -1.0, 1.0)  # pyright: ignore[reportArgumentType]
    angle, size, shear, right, down = tf.unstack(own_rows(tf.transpose(numbers)), axis=1)
    angle, factor, shear = ROTATION * angle, tf.exp(SCALE * size), SHEAR * shear
    # a matrix and a shift give the position in x of the pixel (column, row) of a view, counted from the centre
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
    eps = own_rows(tf.random.stateless_normal(tf.concat([[batch], shape[1:]], 0), noise))
    return tf.clip_by_value(view + NOISE * eps, -1.0, 1.0)


def covered(x: tf.Tensor, side: int, seed: tf.Tensor) -> tf.Tensor:
    """Return images of which a random half have a black square at a random place (cutout, DeVries & Taylor 2017).

    The centre of the square is any pixel, so a part of the square may lie beyond the border.

    Args:
        x: images [B, H, W, C] float32 in [-1, 1].
        side: height and width of the square, in pixels.
        seed: int32 [2].
    """
    height, width, _ = map_shape(x)
    count: list = [replicas() * tf.shape(x)[0], 3]
    down, right, chosen = tf.unstack(own_rows(tf.random.stateless_uniform(count, seed)), axis=1)

    def inside(size: int, centre: tf.Tensor) -> tf.Tensor:
        distance = tf.range(size, dtype=tf.float32) - tf.floor(centre * size)[:, None]
        return (distance >= -(side // 2)) & (distance < side - side // 2)

    square = inside(height, down)[:, :, None] & inside(width, right)[:, None] & (chosen < 0.5)[:, None, None]
    return tf.where(square[..., None], -1.0, x)
