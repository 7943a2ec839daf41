import numpy as np
import pytest
import tensorflow as tf

from models import views
from models.views import covered, random_view

SEED = tf.constant([3, 4])
STRENGTHS = {"ROTATION": 0.0, "SCALE": 0.0, "SHIFT": 0.0, "SHEAR": 0.0, "NOISE": 0.0}


@pytest.fixture
def only(monkeypatch):
    """Return a function that keeps the named distortions, at the given strengths, and switches all others off."""

    def choose(**strengths):
        for name, value in (STRENGTHS | strengths).items():
            monkeypatch.setattr(views, name, value)

    return choose


def images(count=4, size=12):
    return tf.constant(np.random.default_rng(0).uniform(-1, 1, (count, size, size + 2, 1)).astype("float32"))


def bump(size=21):
    """Return a blurred dot at the centre; it is blurred so that interpolation keeps its mass."""
    row, column = np.mgrid[:size, :size] - size // 2
    return tf.constant(np.exp(-(row**2 + column**2) / 8)[None, :, :, None].astype("float32"))


def centre(x):
    """Return (row, column) of the centre of mass of images [B, H, W, 1], counted from the middle."""
    mass = x.numpy()[..., 0]
    row, column = np.mgrid[: mass.shape[1], : mass.shape[2]] - np.array(mass.shape[1:])[:, None, None] // 2
    return np.array([np.sum(mass * row, (1, 2)), np.sum(mass * column, (1, 2))]) / mass.sum((1, 2))


def test_without_distortion_a_view_is_the_image(only):
    only()
    np.testing.assert_allclose(random_view(images(), SEED), images(), atol=1e-5)


def test_a_view_is_a_function_of_its_seed_and_each_image_has_its_own():
    same = tf.repeat(images(1), 3, 0)
    view = random_view(same, SEED).numpy()
    np.testing.assert_array_equal(view, random_view(same, SEED))
    assert not np.allclose(view, random_view(same, SEED + 1))
    assert not np.allclose(view[0], view[1])


def test_range_and_shape():
    view = random_view(images(50), SEED)
    assert view.shape == images(50).shape
    assert float(tf.reduce_max(tf.abs(view))) <= 1.0


def test_turning_scaling_and_shearing_keep_the_centre(only):
    only(ROTATION=0.5, SCALE=0.3, SHEAR=0.3)
    x = tf.repeat(bump(), 8, 0)
    view = random_view(x, SEED)
    np.testing.assert_allclose(centre(view), 0.0, atol=0.05)
    assert not np.allclose(view, x, atol=0.05)


def second_moments(x):
    """Return the (row, row), (row, column) and (column, column) moments of images [B, H, W, 1] about the middle."""
    mass = x.numpy()[..., 0]
    row, column = np.mgrid[: mass.shape[1], : mass.shape[2]] - np.array(mass.shape[1:])[:, None, None] // 2
    return np.array([np.sum(mass * pair, (1, 2)) for pair in (row**2, row * column, column**2)]) / mass.sum((1, 2))


def bar(size=41):
    """Return a horizontal bar at the centre; it is blurred so that interpolation keeps its moments to a tenth."""
    row, column = np.mgrid[:size, :size] - size // 2
    return tf.constant(np.exp(-(row**2) / 8 - column**2 / 50)[None, :, :, None].astype("float32"))


def test_a_bar_is_turned_by_up_to_the_angle_either_way(only):
    only(ROTATION=0.35)
    rows, mixed, columns = second_moments(random_view(tf.repeat(bar(), 200, 0), SEED))
    angle = np.arctan2(2 * mixed, columns - rows) / 2
    assert 0.33 < angle.max() < 0.36 and -0.36 < angle.min() < -0.33


def test_a_bar_is_scaled_by_up_to_the_factor_either_way(only):
    only(SCALE=0.2)
    rows, _, columns = second_moments(random_view(tf.repeat(bar(), 200, 0), SEED))
    own_rows, _, own_columns = second_moments(bar())
    for scaled, own in ((rows, own_rows), (columns, own_columns)):
        factor = np.log(scaled / own) / 2
        assert 0.17 < factor.max() < 0.22 and -0.22 < factor.min() < -0.16


def test_a_bar_is_sheared_by_up_to_the_tangent_either_way(only):
    only(SHEAR=0.2)
    rows, mixed, _ = second_moments(random_view(tf.repeat(bar(), 200, 0), SEED))
    tangent = mixed / rows  # a pixel moves in proportion to its row's distance from the centre
    assert 0.18 < tangent.max() < 0.21 and -0.21 < tangent.min() < -0.18


def test_shifts_are_at_most_their_part_of_a_side(only):
    only(SHIFT=0.1)
    moved = np.abs(centre(random_view(tf.repeat(bump(), 200, 0), SEED)))
    assert 1.5 < moved[0].max() <= 2.15
    assert 1.5 < moved[1].max() <= 2.15


def test_noise_has_its_deviation(only):
    only(NOISE=0.1)
    view = random_view(tf.zeros([4, 40, 40, 1]), SEED)
    assert abs(float(tf.math.reduce_std(view)) - 0.1) < 0.01


def test_beyond_the_border_the_border_is_repeated(only):
    only(SHIFT=0.2)
    np.testing.assert_allclose(random_view(tf.fill([5, 10, 10, 3], -1.0), SEED), -1.0, atol=1e-6)


@pytest.mark.parametrize("side", [1, 3, 4])
def test_half_of_the_images_have_a_black_square_at_any_place(side):
    x = tf.ones([4000, 6, 8, 2]) * 0.5
    black = (covered(x, side, SEED).numpy() == -1).all(-1)
    assert np.array_equal(covered(x, side, SEED).numpy() == 0.5, np.repeat(~black[..., None], 2, 3))  # all else stays
    covers = black.any((1, 2))
    assert np.mean(covers) == pytest.approx(0.5, abs=0.03)
    rows, columns = black.any(2).sum(1)[covers], black.any(1).sum(1)[covers]
    assert max(rows) == max(columns) == side  # less at the border
    np.testing.assert_array_equal(black.sum((1, 2))[covers], rows * columns)
    centres = black[covers].mean(0)
    assert centres.min() > 0.2 * centres.max() > 0
    np.testing.assert_array_equal(black, (covered(x, side, SEED).numpy() == -1).all(-1))


def test_a_square_that_covers_everything_leaves_nothing():
    x = covered(images(50), 60, SEED).numpy()
    gone = (x == -1).all((1, 2, 3))
    assert 10 < gone.sum() < 40
    np.testing.assert_array_equal(x[~gone], images(50).numpy()[~gone])
