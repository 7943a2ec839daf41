import io

import numpy as np
import pytest
from PIL import Image

from data.images import to_float
from reporting import figures
from tasks.configs import BiGANConfig, BigGANConfig, InfoBigBiGANConfig, InfoGANConfig
from tasks.modes import MODES

TINY = {"dataset": "digits", "precision": "float32", "latent_dim": 4}
TINY |= {"generator_widths": (8,), "discriminator_widths": (8,)}
TINY_ENCODER = {"encoder_widths": (8,), "feature_dim": 8, "latent_width": 8, "latent_blocks": 0}
CONFIGS = {
    "biggan": BigGANConfig(**TINY),
    "bigan": BiGANConfig(**TINY, **TINY_ENCODER),
    "infogan": InfoGANConfig(**TINY, num_categories=3, num_continuous=1),
    "infobigbigan": InfoBigBiGANConfig(**TINY, **TINY_ENCODER),
}


@pytest.fixture(scope="module")
def models(data):
    tasks = {mode: MODES[mode].make_task() for mode in CONFIGS}
    built = {mode: task.build(CONFIGS[mode], task.facts(data)) for mode, task in tasks.items()}
    for model in built.values():
        model.refresh_statistics()
    return built


@pytest.fixture(scope="module")
def shown(data):
    return to_float(data.test.images[:25])


def test_tile_places_images_row_by_row_between_thin_lines():
    x = np.stack([np.full([2, 3, 1], value, np.float32) for value in (-1, 1, 0)])
    line = figures.LINE
    np.testing.assert_array_equal(
        figures.tile(x, columns=2)[..., 0],
        [
            [0, 0, 0, line, 255, 255, 255],
            [0, 0, 0, line, 255, 255, 255],
            [line] * 7,
            [128, 128, 128, line, line, line, line],
            [128, 128, 128, line, line, line, line],
        ],
    )


def test_tile_takes_bytes_as_they_are_and_clips_floats():
    x = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    np.testing.assert_array_equal(figures.tile(x, columns=2, line=0), np.concatenate([x[0], x[1]], 1))
    beyond = np.array([-1.5, 1.5], np.float32).reshape(2, 1, 1, 1)
    np.testing.assert_array_equal(figures.tile(beyond, columns=2, line=0)[0, :, 0], [0, 255])


def test_sample_rows_of_a_code_share_z(models):
    model = models["infogan"]
    rows = figures.sample_rows(model, seed=5)
    z = figures.prior_z(model, figures.COLUMNS, seed=5)
    assert rows.labels == ["c = 0", "c = 1", "c = 2"]
    assert rows.images.shape == (3, figures.COLUMNS, 8, 8, 1)
    for category in range(3):
        c = model.code.encode(np.full(figures.COLUMNS, category))
        np.testing.assert_allclose(rows.images[category], model.decode(z, c), atol=1e-5)
    assert not np.allclose(rows.images[0], rows.images[1], atol=1e-3)


def test_samples_without_a_code_come_from_generate(models):
    rows = figures.sample_rows(models["biggan"], seed=5)
    expected = models["biggan"].generate(figures.ROWS * figures.COLUMNS, seed=5)
    np.testing.assert_array_equal(rows.images.reshape(expected.shape), expected)


@pytest.mark.parametrize("mode", ["bigan", "infobigbigan"])
def test_reconstructions_stand_below_their_images(models, shown, mode):
    rows = figures.reconstruction_rows(models[mode], shown)  # 25 images: two rows of ten
    assert rows.labels == ["x", "G(E(x))"] * 2
    np.testing.assert_array_equal(rows.images[2], shown[10:20])
    np.testing.assert_allclose(rows.images[3], models[mode].reconstruct(shown)[10:20], atol=1e-5)


def test_fewer_images_than_columns_make_a_short_row(models, shown):
    assert figures.reconstruction_rows(models["bigan"], shown[:2]).images.shape == (2, 2, 8, 8, 1)
    assert figures.interpolation_rows(models["bigan"], shown[:2], seed=0).images.shape == (1, 10, 8, 8, 1)


@pytest.mark.parametrize("mode", ["bigan", "infobigbigan"])
def test_interpolations_go_from_image_to_image(models, shown, mode):
    model = models[mode]
    rows = figures.interpolation_rows(model, shown, seed=0).images
    reconstructed = model.reconstruct(shown)
    np.testing.assert_array_equal(rows[3, 0], shown[6])
    np.testing.assert_array_equal(rows[3, -1], shown[7])
    np.testing.assert_allclose(rows[3, 1], reconstructed[6], atol=1e-5)
    if mode == "bigan":
        np.testing.assert_allclose(rows[3, -2], reconstructed[7], atol=1e-5)
    else:  # the code stays that of the left image
        z, c = model.encode(shown[7:8]).mu, model.infer_latents(shown[6:7])[1]
        np.testing.assert_allclose(rows[3, -2], model.decode(z, c)[0], atol=1e-5)


def test_interpolations_without_encoder_keep_a_code_along_a_row(models, shown):
    assert figures.interpolation_rows(models["biggan"], shown, seed=0).labels == []
    rows = figures.interpolation_rows(models["infogan"], shown, seed=0)
    assert rows.labels[:4] == ["c = 0", "c = 1", "c = 2", "c = 0"]
    z = figures.prior_z(models["infogan"], 2 * figures.ROWS, seed=0)
    ends = models["infogan"].decode(z[[1, 11]], models["infogan"].code.encode([1, 1]))
    np.testing.assert_allclose(rows.images[1, [0, -1]], ends, atol=1e-5)


def test_great_circle_keeps_length_and_turns_evenly():
    path = figures.great_circles(np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]]), steps=3)
    np.testing.assert_allclose(path, [[[2, 0], [2**0.5, 2**0.5], [0, 2]]], atol=1e-12)


def test_labels_stand_at_the_middle_of_their_rows():
    tiled = figures.tile(np.zeros([6, 8, 8, 1], np.uint8), columns=2)  # rows at pixels 0-7, 9-16, 18-25
    axes = figures.picture(tiled, "digits: nothing", ["a", "b", "c"]).axes[0]
    np.testing.assert_allclose(axes.get_yticks(), [3.5, 12.5, 21.5])
    assert axes.get_title() == "digits: nothing"


def test_confusion_rows_are_ordered_by_class():
    table = np.array([[0, 7], [5, 1], [0, 3]])
    figure = figures.confusion_figure(table, np.array([1, 0, 1]), ["cat", "$5$ dog with a very long name"], "digits")
    axes = figure.axes[0]
    assert axes.get_title().startswith("digits: ") and axes.get_title().endswith("16 test images")
    assert [label.get_text()[:5] for label in axes.get_yticklabels()] == ["c = 1", "c = 0", "c = 2"]
    assert [text.get_text() for text in axes.texts] == ["5", "1", "0", "7", "0", "3"]
    long = "$5$ dog with a very…"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", long]
    stand_for = [label.get_text().split("stands for ")[1] for label in axes.get_yticklabels()]
    assert stand_for == ["cat", long, long]
    figures.pixels(figure)  # dollar signs are no formula


def test_saved_pictures_are_whole_and_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, [100, 32, 32, 3], np.uint8)  # nothing compresses worse
    figures.save_figure(figures.picture(figures.tile(noise, 10), "noise"), tmp_path / "noise.png")
    content = (tmp_path / "noise.png").read_bytes()
    assert len(content) <= figures.MAX_BYTES
    assert Image.open(io.BytesIO(content)).width == 600
    assert [file.name for file in tmp_path.iterdir()] == ["noise.png"]
