"""The page in a real browser, on the models of pretrained/. Without Chromium or gradio these tests are skipped."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import explore
from reporting.figures import encode_png
from tasks.modes import MODES, load_run
from training.runs import open_run

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "pretrained/infobigbigan-mnist"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CLASSES = "#classes h2, #classes .output-class"  # the likeliest class on the page

pytestmark = pytest.mark.slow
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
explorer = pytest.importorskip("reporting.explorer", reason="gradio is not installed")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def address():
    """Where the page of all models of pretrained/ is served; images are beside mnist_5k, which needs no data on disk."""
    opened = []
    for folder in sorted(path for path in (ROOT / "pretrained").iterdir() if path.is_dir()):
        run = open_run(folder, "", MODES)
        mode = MODES[run.mode]
        opened.append(explorer.Opened(run, mode.load(run), mode.summary, explore.loader(run)))
    with explorer.served(explorer.page(opened), "127.0.0.1", None) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def view(browser, address):
    """A function that opens the page and shows the tabs of these names, one inside the other."""
    views = []

    def open_page(*tabs):
        view = browser.new_page(viewport={"width": 1300, "height": 1000})
        view.set_default_timeout(120_000)  # a busy machine takes seconds for what a reader sees at once
        view.asked = []
        view.on("request", lambda request: view.asked.append(request.url))
        view.goto(address)
        for tab in tabs:
            view.get_by_role("tab", name=tab).first.click()
        views.append(view)
        return view

    yield open_page
    for view in views:
        view.close()


def picture_of(view, place):
    """The address of the picture in a place; a new picture has a new address."""
    view.wait_for_selector(f"{place} img")
    return view.locator(f"{place} img").first.get_attribute("src")


def changed(view, place, before):
    for _ in range(100):
        if picture_of(view, place) != before:
            return True
        time.sleep(0.2)
    return False


def class_of(view):
    """The likeliest class on the page, once there is one."""
    return view.locator(CLASSES).first.inner_text().strip()


@needs_browser
def test_a_digit_that_is_drawn_is_read(view):
    page = view("infobigbigan on mnist", "A picture of yours")
    page.wait_for_selector("#drawing canvas")
    time.sleep(1)
    box = page.locator("#drawing canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 0.25 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(8):
        page.mouse.move(x, y + 0.5 * box["height"] * step / 7)
    page.mouse.up()
    assert class_of(page) == "1"
    assert picture_of(page, "#seen") and picture_of(page, "#rebuilt") and picture_of(page, "#near")
    page.get_by_label("Clear canvas").first.click()
    page.wait_for_selector(CLASSES, state="detached")


@needs_browser
def test_a_picture_that_is_uploaded_is_read(view, tmp_path):
    model, codes = load_run(IMAGES), open_run(IMAGES, "", MODES).scores["code_to_class"]
    seven = np.uint8(255 - 127.5 * (model.generate(1, c=[codes.index(7)], seed=1)[0, ..., 0] + 1))  # black on white
    large = Image.fromarray(seven).resize((280, 280))
    (tmp_path / "seven.png").write_bytes(encode_png(large))
    page = view("infobigbigan on mnist", "A picture of yours")
    page.set_input_files("#upload input[type=file]", tmp_path / "seven.png")
    assert class_of(page) == "7"


@needs_browser
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("text.png", "cannot be read as an image"),
        ("large.png", "50 megapixels"),
        ("moving.gif", "holds several pictures"),
    ],
)
def test_a_bad_upload_gets_one_line(view, tmp_path, name, said):
    frames = [Image.new("L", (9, 9), shade) for shade in (0, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "text.png").write_text("no picture")
    Image.new("1", (10_000, 5000)).save(tmp_path / "large.png")
    page = view("infobigbigan on mnist", "A picture of yours")
    page.set_input_files("#upload input[type=file]", tmp_path / name)
    page.wait_for_selector(f"text={said}")


@needs_browser
def test_a_slider_changes_the_picture(view):
    page = view("infobigbigan on mnist", "Directions of z")
    before = picture_of(page, "#moved")
    page.locator("#direction-1 input[type=range]").fill("2")
    assert changed(page, "#moved", before)


def wait_for_lines(view, place, count):
    """Wait until a text field has this number of lines that are not empty."""
    lines = f"document.querySelector('{place} textarea')?.value.split('\\n').filter(line => line).length"
    view.wait_for_function(f"{lines} == {count}")


@needs_browser
def test_a_language_model_shows_texts_before_anything_is_pressed(view):
    page = view("twrvae on docstrings", "Samples")
    wait_for_lines(page, "#texts", 10)
    page.get_by_role("tab", name="Interpolate").click()
    page.locator("#interpolate").click()
    wait_for_lines(page, "#line", 7)
    page.get_by_role("tab", name="Reconstruct").click()
    page.locator("#reconstruct").click()
    wait_for_lines(page, "#again", 1)
    assert picture_of(page, "#kl")


@needs_browser
def test_a_document_and_answers_that_are_typed_are_read(view):
    page = view("nvdm on docstrings", "A document of yours")
    page.locator("#document textarea").fill("Return the gradient of a tensor with respect to the weights.")
    page.locator("#find-topics").click()
    assert picture_of(page, "#topics")
    page.wait_for_selector("#near-documents li")
    page.get_by_role("tab", name="nasm on docstrings").click()
    page.locator("#question textarea").fill("What does the function return?")
    page.locator("#candidates textarea").fill("A list of words.\nIt was raining.")
    page.locator("#rank").click()
    page.wait_for_selector("#ranking li:nth-child(2)")


@needs_browser
def test_nothing_is_asked_of_other_servers_and_a_second_browser_is_answered(view, browser, address):
    first = view("infobigbigan on mnist", "Samples")
    picture_of(first, "#samples")
    other = browser.new_context().new_page()
    other.goto(address)
    other.wait_for_selector("#samples img")
    other.close()
    time.sleep(2)
    assert [url for url in first.asked if not url.startswith((address, "data:", "blob:"))] == []


def test_without_gradio_one_line_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['gradio'] = None; import explore; sys.exit(explore.main([]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "pip install -r requirements-explore.txt" in done.stderr
