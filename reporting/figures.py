"""Pictures of what a model does, drawn the same way for TensorBoard and for reports.

Only the functions that use a model import TensorFlow, so that a report can be written without it.
"""

import io
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from PIL import Image

from data.answers import AnswerCorpus, evaluation_batches
from data.images import to_uint8
from models.capabilities import Encodes, HasCode
from training.files import write_bytes

if TYPE_CHECKING:
    from models.gan import GAN
    from text_vae.nasm import NASM

SHOWN = 50  # test images that are reconstructed
COLUMNS = 10  # images in a row
ROWS = 10  # rows of a picture, if nothing else decides their number
ANSWERED = 4  # validation questions whose right answers are shown with the attention
LONGEST = 24  # characters of a word under the attention; longer ones leave no room for the maps
DRAWN = 5  # samples of h for each question
LINE = 128  # gray value of the separating lines
DPI = 100
MAX_BYTES = 300_000  # the largest saved picture
LONGEST_NAME = 20  # characters of a class's name beside a table


class Rows(NamedTuple):
    """Rows of images, with labels and a caption."""

    images: np.ndarray  # [rows, columns, H, W, C] float in [-1, 1]
    labels: list[str]  # one for each row, or an empty list
    caption: str

    def figure(self, dataset: str) -> Figure:
        """Return the rows as one picture. `dataset` is the name in its title."""
        rows, columns, *image_shape = self.images.shape
        tiled = tile(self.images.reshape(rows * columns, *image_shape), columns)
        return picture(tiled, f"{dataset}: {self.caption}", self.labels)


def model_rows(model: "GAN", images: np.ndarray, seed: int) -> dict[str, Rows]:
    """Return all rows that a model can show, by name: samples, interpolations and, with an encoder, reconstructions.

    Args:
        images: [N, H, W, C] float in [-1, 1], N >= 2.
        seed: of the samples.
    """
    shown = {"samples": sample_rows(model, seed), "interpolations": interpolation_rows(model, images, seed)}
    return shown | ({"reconstructions": reconstruction_rows(model, images)} if isinstance(model, Encodes) else {})


def sample_rows(model: "GAN", seed: int, truncation: float | None = None) -> Rows:
    """Return samples of the averaged G. With a code, a row has one category, and a column one z."""
    if not isinstance(model, HasCode):
        samples = model.generate(ROWS * COLUMNS, truncation=truncation, seed=seed)
        return Rows(in_rows(samples, ROWS), [], "samples G(z)")
    categories = model.code.num_categories
    z = prior_z(model, COLUMNS, seed, truncation)
    c = model.code.encode(np.repeat(np.arange(categories), COLUMNS))
    samples = model.decode(np.tile(z, [categories, 1]), c)
    rest = ", continuous codes at 0" if model.code.num_continuous else ""
    labels = [f"c = {category}" for category in range(categories)]
    return Rows(in_rows(samples, categories), labels, f"samples G(z, c)\none code c per row, one z per column{rest}")


def reconstruction_rows(model: Encodes, images: np.ndarray) -> Rows:
    """Return rows of images [N, H, W, C] float in [-1, 1], each above the row of their reconstructions."""
    columns = min(COLUMNS, len(images))
    rows = len(images) // columns
    images = images[: rows * columns]
    pairs = np.stack([in_rows(images, rows), in_rows(model.reconstruct(images), rows)], 1)
    caption = "images x and their reconstructions G(E(x))"
    return Rows(pairs.reshape(2 * rows, *pairs.shape[2:]), ["x", "G(E(x))"] * rows, caption)


def interpolation_rows(model: "GAN", images: np.ndarray, seed: int) -> Rows:
    """Return paths through the latent space, one in each row.

    With an encoder, z goes along a straight line between the z of two images, which stand at the ends of the row. The
    code is the code of the left image in the whole row, because G was never trained on mixtures of codes. Without an
    encoder, z goes along a great circle between two samples of the prior, so that it keeps a length that G was
    trained on. The code is the same in the whole row.

    Args:
        images: [N, H, W, C] float in [-1, 1], N >= 2, taken two by two.
    """
    if not isinstance(model, Encodes):
        return prior_interpolation_rows(model, seed)
    import tensorflow as tf

    count = min(ROWS, len(images) // 2)
    left, right = images[0 : 2 * count : 2], images[1 : 2 * count : 2]
    (start, *code), (end, *_) = (model.infer_latents(tf.constant(side)) for side in (left, right))
    steps = COLUMNS - 2
    path = decode_paths(model, straight_paths(start.numpy(), end.numpy(), steps), [c.numpy() for c in code])
    where = "z goes straight from left to right" + (", c is the left image's" if code else "")
    caption = f"interpolations between two images (outer columns)\n{where}"
    return Rows(np.concatenate([left[:, None], path, right[:, None]], 1), [], caption)


def prior_interpolation_rows(model: "GAN", seed: int) -> Rows:
    """Return the paths of `interpolation_rows` for a model without encoder."""
    start, end = np.split(prior_z(model, 2 * ROWS, seed), 2)
    path = great_circles(start, end, COLUMNS)
    caption = "interpolations\nz goes along a great circle between two samples of the prior"
    if not isinstance(model, HasCode):
        return Rows(decode_paths(model, path, []), [], caption)
    categories = np.arange(ROWS) % model.code.num_categories
    labels = [f"c = {category}" for category in categories]
    return Rows(decode_paths(model, path, [model.code.encode(categories)]), labels, caption)


def decode_paths(model: "GAN", path: np.ndarray, code: list[np.ndarray]) -> np.ndarray:
    """Return images [rows, steps, H, W, C] of paths.

    Args:
        path: z, [rows, steps, latent_dim].
        code: c [rows, code_dim], the code of each row; an empty list for a model without code.
    """
    rows, steps, latent_dim = path.shape
    return in_rows(model.decode(path.reshape(-1, latent_dim), *(np.repeat(c, steps, 0) for c in code)), rows)


def straight_paths(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Return paths [N, steps, D] from start to end [N, D], both included, in equal steps."""
    return np.linspace(start, end, steps, axis=1)


def great_circles(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Return paths as `straight_paths` does, in equal angles around the origin (slerp, White 2016)."""
    cosine = np.sum(start * end, 1) / (np.linalg.norm(start, axis=1) * np.linalg.norm(end, axis=1))
    angle = np.arccos(cosine)[:, None, None]
    t = np.linspace(0, 1, steps, dtype=start.dtype)[:, None]
    return (np.sin((1 - t) * angle) * start[:, None] + np.sin(t * angle) * end[:, None]) / np.sin(angle)


def prior_z(model: "GAN", n: int, seed: int, truncation: float | None = None) -> np.ndarray:
    """Return z [n, latent_dim] as `model.generate` draws it."""
    import tensorflow as tf

    return model.sample_latents(n, tf.constant([seed, 2]), truncation)[0].numpy()


def in_rows(images: np.ndarray, rows: int) -> np.ndarray:
    """Reshape [rows * columns, ...] to [rows, columns, ...]."""
    return images.reshape(rows, -1, *images.shape[1:])


def tile(images: np.ndarray, columns: int, line: int = 1) -> np.ndarray:
    """Return images as one picture uint8 [H', W', C], row by row. Free places in the last row have the lines' colour.

    Args:
        images: [N, H, W, C], float in [-1, 1] or uint8.
        columns: images in a row.
        line: width in pixels of the lines between images.
    """
    pixels = images if images.dtype == np.uint8 else to_uint8(images)
    count, height, width, channels = pixels.shape
    rows = -(-count // columns)
    grid = np.full([rows * columns, height + line, width + line, channels], LINE, np.uint8)
    grid[:count, :height, :width] = pixels
    grid = grid.reshape(rows, columns, height + line, width + line, channels).swapaxes(1, 2)
    return grid.reshape(rows * (height + line), columns * (width + line), channels)[
        : rows * (height + line) - line, : columns * (width + line) - line
    ]


def as_written(text: str, longest: int = sys.maxsize) -> str:
    r"""Return a text of the user so that matplotlib draws it letter by letter.

    A `$` starts no formula. `pixels` draws a character that the usual font lacks in another font of this machine. If no
    font has it, its escape stands in its place, such as \u4e2d; this is announced once. Above `longest` characters the
    text is cut and ends in "…".
    """
    shown = "".join(c if c == "\n" or font_of(c) else c.encode("unicode_escape").decode() for c in text)
    if shown != text:
        announce_escapes()
    shown = shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
    return shown.replace("$", r"\$")


@cache
def announce_escapes() -> None:
    """Print to standard error, once, that figures show escapes in place of characters."""
    print(
        r"figures: no font of this machine has some characters of the text: they are drawn as escapes, such as \u4e2d; "
        "install a font that has them, for example one of Noto",
        file=sys.stderr,
    )


@cache
def font_of(character: str) -> str | None:
    """Return the family of the first font that has a character, the usual font first; None if no font has it."""
    usual = findfont(FontProperties())
    regular = (font for font in fontManager.ttflist if (font.style, font.weight) == ("normal", 400))
    others = {font.fname: font.name for font in sorted(regular, key=lambda font: (font.name, font.fname))}
    families = {usual: FT2Font(usual).family_name} | others
    return next((name for file, name in families.items() if ord(character) in characters_of(file)), None)


@cache
def characters_of(file: str) -> frozenset[int]:
    """Return the code points that a font has glyphs for; none if the file has gone, or only has boxes to show."""
    try:
        font = FT2Font(file)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset() if font.family_name.startswith("Last Resort") else frozenset(font.get_charmap())


def picture(tiled: np.ndarray, title: str, labels: list[str] | tuple[str, ...] = ()) -> Figure:
    """Return a tiled picture under its title.

    Args:
        tiled: uint8 [H, W, C].
        labels: stand beside the picture's rows, which have equal heights.
    """
    height, width, channels = tiled.shape
    beside, above = 0.1 * max(map(len, labels), default=0), 0.1 + 0.18 * len(title.splitlines())  # inches for text
    figure = Figure(figsize=(6 + beside, 6 * height / width + above), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(tiled[..., 0] if channels == 1 else tiled, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(as_written(title), fontsize=10)
    axes.set_xticks([])
    axes.set_yticks((np.arange(len(labels)) + 0.5) * (height + 1) / max(1, len(labels)) - 1, labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def confusion_figure(table: np.ndarray, code_to_class: np.ndarray, class_names: Sequence[str], dataset: str) -> Figure:
    """Return a table of codes against classes, its rows in the order of the class that each code stands for.

    Args:
        table: int [codes, classes], counts of test images.
        code_to_class: int [codes], numbers of classes.
        class_names: of the classes, in the order of their numbers.
        dataset: the name in the title.
    """
    codes, classes = table.shape
    order = np.argsort(code_to_class, kind="stable")
    names = [as_written(" ".join(name.split()), LONGEST_NAME) for name in class_names]
    longest = max(map(len, names))
    upright = longest > 3
    size = max(0.45 * classes + 2 + 0.08 * longest, 4), 0.4 * codes + 1.2 + 0.08 * longest * upright  # 4: the title
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(table[order], cmap="Blues", aspect="auto")
    for (row, column), count in np.ndenumerate(table[order]):
        shade = "white" if count > table.max() / 2 else "black" if count else "lightgray"
        axes.text(column, row, str(count), ha="center", va="center", color=shade, fontsize=9)
    title = f"{dataset}: the head's code against the class\nof {table.sum():,} test images"
    figure.suptitle(as_written(title), fontsize=10)  # wider than a map of few classes
    axes.set_xticks(range(classes), names, rotation=90 if upright else 0)
    axes.set_xlabel("class of the image")
    axes.set_yticks(range(codes), [f"c = {code}, stands for {names[code_to_class[code]]}" for code in order])
    axes.tick_params(length=0)
    return figure


def heat_map_figure(maps: dict[str, np.ndarray], title: str, down: str) -> Figure:
    """Return maps side by side, as colours of one scale.

    Args:
        maps: label of the horizontal axis -> float [rows, columns]. Rows and columns are counted from 1; NaN stays
            white.
        down: label of the vertical axis.
    """
    figure = Figure(figsize=(4 * len(maps) + 0.8, 3.5), dpi=DPI, layout="constrained")
    grid = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
    for axes, (across, values) in zip(grid, maps.items(), strict=True):
        rows, columns = values.shape
        axes.imshow(
            values,
            aspect="auto",
            interpolation="nearest",
            extent=(0.5, columns + 0.5, rows + 0.5, 0.5),
            vmin=0,
            vmax=np.nanmax(list(maps.values())),
        )
        axes.set_xlabel(across)
        for axis in (axes.xaxis, axes.yaxis):  # of a few epochs, no half is marked
            axis.set_major_locator(MaxNLocator("auto", integer=True))
    grid[0].set_ylabel(down)
    figure.colorbar(grid[-1].images[0], ax=grid)
    figure.suptitle(as_written(title), fontsize=10)
    return figure


def attention_figure(model: "NASM", corpus: AnswerCorpus, seed: int, dataset: str) -> Figure:
    """Return the attention to the words of right answers to validation questions.

    A row belongs to one vector that steers the attention: the mean of h or a sample of h or, in the model without h,
    the question.
    """
    import tensorflow as tf

    batch = next(iter(evaluation_batches(corpus.validation, corpus.vocabulary, ANSWERED)))
    questions, answer = model.read(batch)
    draws = tf.unstack(model.draws(questions, DRAWN, tf.constant([seed, 3])))
    steered = {f"h {i + 1}": h for i, h in enumerate(draws)}
    steered = {"mean of h": model.encode(batch)} | steered if model.attention == "latent" else {"question": questions}
    alpha = np.stack([model.weights_of_words(answer, tf.gather(h, batch["groups"])) for h in steered.values()], 1)
    figure = Figure(figsize=(9, ANSWERED * (0.8 + 0.22 * len(steered))), dpi=DPI, layout="constrained")
    grid = figure.subplots(ANSWERED, squeeze=False)[:, 0]
    right = np.flatnonzero(batch["labels"])
    first = right[np.unique(batch["groups"].numpy()[right], return_index=True)[1]]
    for axes, candidate in zip(grid, first, strict=False):
        words = corpus.validation.candidates[candidate]
        axes.imshow(alpha[candidate, :, : len(words)], cmap="Blues", aspect="auto", vmin=0)
        axes.set_title(as_written(" ".join(corpus.validation.questions[batch["groups"][candidate]])), fontsize=9)
        axes.set_xticks(
            range(len(words)), [as_written(word, LONGEST) for word in words], rotation=60, ha="right", fontsize=7
        )
        axes.set_yticks(range(len(steered)), steered, fontsize=7)
        axes.tick_params(length=0)
    for axes in grid[len(first) :]:
        axes.set_axis_off()
    title = f"{dataset}: attention to the words of a right answer of validation questions"
    figure.suptitle(as_written(title), fontsize=10)
    return figure


def pixels(figure: Figure) -> np.ndarray:
    """Return a figure as uint8 [H, W, 3]. Characters that the usual font lacks are drawn in other fonts."""
    canvas = FigureCanvasAgg(figure)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        families = [family for family in map(font_of, text.get_text()) if family]
        text.set_fontfamily([*text.get_fontfamily(), *dict.fromkeys(families)])
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all. Above MAX_BYTES it is reduced to 256 colours, then made smaller."""
    image = Image.fromarray(pixels(figure))
    encoded = encode_png(image)
    while len(encoded) > MAX_BYTES:
        encoded = encode_png(image.quantize(256, dither=Image.Dither.NONE))
        image = image.resize((image.width * 9 // 10, image.height * 9 // 10))
    write_bytes(path, encoded)


def encode_png(image: Image.Image) -> bytes:
    """Return the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()
