import io
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager
from PIL import Image

from data.answers import Pairs
from data.images import to_float
from data.vocabulary import build_vocabulary
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


def test_the_title_of_a_confusion_of_two_classes_lies_inside_its_figure():
    figure = figures.confusion_figure(np.full([2, 2], 5000), np.arange(2), ["a", "b"], "mnist_unequal")
    figure.draw_without_rendering()
    (title,) = figure.texts
    box, whole = title.get_window_extent(), figure.bbox
    assert whole.x0 < box.x0 and box.x1 < whole.x1 and box.y1 < whole.y1


def test_a_heat_map_of_few_rows_marks_whole_rows():
    figure = figures.heat_map_figure({"step": np.ones([4, 9])}, "KL", "epoch")
    figure.draw_without_rendering()
    marks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert marks and all(mark.isdigit() for mark in marks)


def test_labels_stand_at_the_middle_of_their_rows():
    tiled = figures.tile(np.zeros([6, 8, 8, 1], np.uint8), columns=2)  # rows at pixels 0-7, 9-16, 18-25
    axes = figures.picture(tiled, "digits: nothing", ["a", "b", "c"]).axes[0]
    np.testing.assert_allclose(axes.get_yticks(), [3.5, 12.5, 21.5])
    assert axes.get_title() == "digits: nothing"


def test_confusion_rows_are_ordered_by_class():
    table = np.array([[0, 7], [5, 1], [0, 3]])
    figure = figures.confusion_figure(table, np.array([1, 0, 1]), ["cat", "$5$ dog with a very long name"], "digits")
    axes = figure.axes[0]
    assert figure.get_suptitle().startswith("digits: ") and figure.get_suptitle().endswith("16 test images")
    assert [label.get_text()[:5] for label in axes.get_yticklabels()] == ["c = 1", "c = 0", "c = 2"]
    assert [text.get_text() for text in axes.texts] == ["5", "1", "0", "7", "0", "3"]
    long = r"\$5\$ dog with a very…"  # no formula
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", long]
    stand_for = [label.get_text().split("stands for ")[1] for label in axes.get_yticklabels()]
    assert stand_for == ["cat", long, long]


def test_saved_pictures_are_whole_and_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, [100, 32, 32, 3], np.uint8)  # nothing compresses worse
    figures.save_figure(figures.picture(figures.tile(noise, 10), "noise"), tmp_path / "noise.png")
    content = (tmp_path / "noise.png").read_bytes()
    assert len(content) <= figures.MAX_BYTES
    assert Image.open(io.BytesIO(content)).width == 600
    assert [file.name for file in tmp_path.iterdir()] == ["noise.png"]


@pytest.fixture
def own_fonts(monkeypatch):
    """As on a machine that has only the fonts that matplotlib brings along."""
    own = [font for font in fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(fontManager, "ttflist", own)
    for cached in (figures.font_of, figures.announce_escapes):
        cached.cache_clear()
    yield
    for cached in (figures.font_of, figures.announce_escapes):
        cached.cache_clear()


def drawn(text, **options):
    """The pixels of a text alone; a warning, such as that of a missing glyph, is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = Figure(figsize=(6, 0.5), dpi=100)
        figure.text(0, 0.3, text, **options)
        return figures.pixels(figure)


@pytest.mark.parametrize("text", ["$x^2$", "$", "$$", r"\$5 and $6", r"\frac{1}{2}", "a$b$c$d$e", "_a_", r"\\$x$\\"])
def test_dollars_and_backslashes_are_drawn_as_written(text):
    np.testing.assert_array_equal(drawn(figures.as_written(text)), drawn(text, parse_math=False))


def test_characters_that_no_font_has_are_drawn_as_escapes_and_announced_once(own_fonts, capsys):
    assert figures.as_written("a 中é\nb") == r"a \u4e2dé" + "\nb"
    assert figures.as_written("हिन्दी") == "हिन्दी".encode("unicode_escape").decode()
    drawn(figures.as_written("中文 हिन्दी"))
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "font" in said
    assert figures.as_written("Ünïcode, Ελλάδα, Россия, שלום, سلام") == "Ünïcode, Ελλάδα, Россия, שלום, سلام"
    assert not capsys.readouterr().err


def test_characters_that_only_another_font_has_are_drawn_in_it(own_fonts, capsys):
    usual = figures.characters_of(findfont(FontProperties()))
    (file,) = (
        f.fname for f in fontManager.ttflist if f.name == "STIXGeneral" and f.style == "normal" and f.weight == 400
    )
    lacking = [chr(i) for i in sorted(figures.characters_of(file) - usual) if chr(i).isalpha()]
    assert figures.as_written(lacking[0]) == lacking[0]
    np.testing.assert_array_equal(drawn(lacking[0]), drawn(lacking[0], fontfamily="STIXGeneral"))
    assert not capsys.readouterr().err


def test_titles_and_words_of_every_figure_are_drawn_as_written(own_fonts):
    title = figures.picture(np.zeros([8, 8, 1], np.uint8), "中$x$: samples").axes[0].get_title()
    assert title == r"\u4e2d\$x\$: samples"
    figure = figures.confusion_figure(np.eye(2, dtype=int), np.arange(2), ("a", "$b"), "$x$")
    assert figure.get_suptitle().startswith(r"\$x\$: ")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", r"\$b"]
    assert figures.heat_map_figure({"step": np.ones([2, 2])}, "$x$", "epoch").get_suptitle() == r"\$x\$"


def test_words_under_the_attention_are_drawn_as_written(own_fonts):
    pairs = Pairs([["中", "$", "?"]], [["$a$", "中文" * 20]], np.zeros(1, np.int32), np.ones(1, np.int32))
    corpus = SimpleNamespace(validation=pairs, vocabulary=build_vocabulary([["a"]], 5))
    model = SimpleNamespace(
        attention="deterministic",
        read=lambda batch: (tf.zeros([1, 2]), batch["candidates"]),
        draws=lambda questions, count, seed: tf.zeros([count, 1, 2]),
        weights_of_words=lambda answer, steered: np.ones([1, 2]),
    )
    figure = figures.attention_figure(model, corpus, 0, "$x$")
    axes = figure.axes[0]
    assert axes.get_title() == r"\u4e2d \$ ?"
    assert [label.get_text() for label in axes.get_xticklabels()] == [r"\$a\$", r"\u4e2d\u6587\u4e2d\u658…"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.pixels(figure)
    assert figure.get_suptitle().startswith(r"\$x\$: ")
