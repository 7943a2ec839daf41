"""What the explorer's pages compute, without a browser."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import InputError
from data.images import ImageDataset, Split
from tasks.modes import MODES, load_run
from training.runs import open_run

gr = pytest.importorskip("gradio", reason="gradio is not installed")

from reporting import controls, image_page, text_page  # noqa: E402  # they import gradio

PRETRAINED = Path(__file__).parents[2] / "pretrained"
FOLDER = PRETRAINED / "infobigbigan-mnist"


@pytest.fixture(scope="module")
def page():
    def load():
        raise InputError("mnist is not here")

    return image_page.ImagePage(open_run(FOLDER, "", MODES), load_run(FOLDER), load)


def stroke(ground, ink, top=20, left=60):
    """A picture [200, 300, 3] of one upright stroke of 100x10 pixels."""
    picture = np.full((200, 300, 3), ground, np.uint8)
    picture[top : top + 100, left : left + 10] = ink
    return picture


@pytest.mark.parametrize(("ground", "ink"), [(255, 0), (0, 255), (200, 90)])
def test_a_drawing_is_put_into_the_middle_as_mnist_digits_were(page, ground, ink):
    seen = page.as_model_sees(stroke(ground, ink))
    assert seen.shape == (28, 28, 1) and seen.dtype == np.uint8
    rows, columns = np.nonzero(seen[..., 0])
    assert (rows.min(), rows.max()) == (4, 23) and set(columns) <= {13, 14}  # 20 of 28 pixels
    assert seen.max() == 255 and seen[0, 0] == 0


def test_the_centre_of_mass_stands_in_the_centre(page):
    picture = stroke(255, 0)
    picture[110:120, 70:110] = 0  # an L: most of it is below and to the right of its corner
    seen = page.as_model_sees(picture)[..., 0].astype(float)
    centre = [np.average(np.arange(28) + 0.5, weights=seen.sum(1 - axis)) for axis in (0, 1)]
    assert np.abs(np.array(centre) - 14).max() <= 0.75


def test_a_picture_of_one_shade_is_refused(page):
    with pytest.raises(InputError, match="one shade"):
        page.as_model_sees(stroke(255, 250))


@pytest.mark.parametrize("drawing", [None, {"composite": None}, {"composite": np.full((9, 9, 4), 255, np.uint8)}])
def test_an_empty_drawing_changes_nothing_on_the_page(page, drawing):
    assert page.read_drawing(drawing) == (gr.skip(),) * 5


def test_pictures_that_are_not_on_a_dark_ground_are_cut_and_resized(page):
    own = image_page.ImagePage(page.run, page.model, page.load)
    own.on_dark_ground = False
    seen = own.as_model_sees(stroke(255, 0, top=50, left=145))
    assert seen[0, 0] == 255 and seen[14, 14] < 128 and seen.shape == (28, 28, 1)


def test_the_directions_are_those_that_change_the_picture_most(page):
    directions = page.directions(0)
    assert directions.shape == (image_page.DIRECTIONS, page.model.latent_dim)
    np.testing.assert_allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-4)
    z = np.zeros((1, page.model.latent_dim), np.float32)
    code = page.code_of(0, 3)

    def change(direction):
        x = page.model.decode(np.concatenate([z - direction, z, z + direction]), *code)
        return np.square(x[2] - x[0]).sum()

    random = np.random.default_rng(0).normal(size=(8, page.model.latent_dim)).astype(np.float32)
    others = [change(own / np.linalg.norm(own)) for own in random]
    assert change(directions[0]) > np.mean(others)


def test_a_slider_moves_the_large_picture_alone_to_its_place_in_the_strip(page):
    still, strip = page.moved(0, 0, 0.0, 0.0, 0.0, 0.0)
    moved, _ = page.moved(0, 0, image_page.FARTHEST, 0.0, 0.0, 0.0)
    assert np.any(np.asarray(still) != np.asarray(moved))
    factor = strip.width // (image_page.STRIP * 29 - 1)
    last = np.asarray(strip)[: 28 * factor : factor, (image_page.STRIP - 1) * 29 * factor :: factor]
    assert np.abs(last.astype(int) - np.asarray(moved)[:: image_page.SIDE // 28, :: image_page.SIDE // 28]).max() <= 2


def test_without_its_data_the_page_says_so_and_goes_on(page):
    x = page.model.generate(1, seed=0)
    near, note = page.near(x)
    assert near is None and "mnist" in note
    assert page.near(None) == (None, "")
    picture, note = page.paths(0, 1)
    assert isinstance(picture, Image.Image) and "its data are not here" in note
    with pytest.raises(InputError, match="give numbers from 0 to 99"):
        page.paths(0, 100)


def test_the_nearest_training_images_have_the_nearest_features(page):
    x = page.model.generate(20, c=np.arange(20) % 10, seed=0)
    images = np.uint8(127.5 * (x + 1))
    split = Split(images, None)
    own = image_page.ImagePage(page.run, page.model, lambda: ImageDataset("own", split, split, split))
    picture, note = own.near(x[3:4])
    first = np.asarray(picture)[:: picture.height // 28, :: picture.height // 28][:28, :28]
    assert np.array_equal(first, images[3, ..., 0]) and "20 training images of own" in note


def test_class_names_stand_for_codes(page):
    assert page.class_names()[0] == "9" and page.code_names()[0] == ("0: stands for 9", 0)
    _, _, probabilities, code, _ = page.described(stroke(255, 0))
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4) and code.endswith(tuple("0123456789"))


def test_an_error_in_input_is_one_line():
    def wrong():
        raise ValueError("two\nlines")

    with pytest.raises(gr.Error, match="two lines"):
        controls.told(wrong)()


def test_an_empty_field_is_named(page):
    for ask, name in (
        (lambda: page.samples(1.0, None), "seed"),
        (lambda: page.moved(0, None), "seed of z"),
        (lambda: page.paths(0, None), "number of the right image"),
    ):
        with pytest.raises(InputError, match=f"^{name} is empty: give a whole number$"):
            ask()


def test_a_document_has_its_chart_without_the_corpus():
    def missing():
        raise InputError("docstrings are not here")

    own = text_page.DocumentPage(load_run(PRETRAINED / "nvdm-docstrings"), missing)
    z, chart = own.charted("Return the gradient of a tensor.")
    assert isinstance(chart, Image.Image)
    assert own.near(z) == "No documents beside it: docstrings are not here"


def test_texts_cannot_become_markup():
    assert image_page.verbatim("a<b> *c* `d`") == "a&#60;b&#62; &#42;c&#42; &#96;d&#96;"
    assert text_page.shaded([("<b>", 0.5)]) == '<span style="background: rgba(30, 100, 200, 0.50)">&lt;b&gt;</span>'
