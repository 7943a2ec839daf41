"""Pictures of what a model does, drawn the same way for TensorBoard and for reports.

TensorFlow is imported where a model is asked, so that a report can be written without it.
"""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from data.answers import AnswerCorpus, evaluation_batches
from data.images import to_uint8
from training.runs import write_bytes

COLUMNS = 10  # images in a row
ROWS = 10  # rows of a picture, where nothing else decides
ANSWERED = 4  # validation questions whose answers are shown with the attention to them
DRAWN = 5  # samples of h for each
LINE = 128  # gray value of the separating lines
DPI = 100
MAX_BYTES = 300_000  # of a saved picture


class Rows(NamedTuple):
    """Rows of images and what they show."""

    images: np.ndarray  # [rows, columns, H, W, C] float in [-1, 1]
    labels: list[str]  # one per row, or none
    caption: str

    def figure(self, dataset: str) -> Figure:
        """The rows as one picture; `dataset` is the name for its title."""
        rows, columns, *image_shape = self.images.shape
        tiled = tile(self.images.reshape(rows * columns, *image_shape), columns)
        return picture(tiled, f"{dataset}: {self.caption}", self.labels)


def model_rows(model, images: np.ndarray, seed: int) -> dict[str, Rows]:
    """All that a model can show: samples, interpolations, and reconstructions of images [N, H, W, C] in [-1, 1]."""
    shown = {"samples": sample_rows(model, seed), "interpolations": interpolation_rows(model, images, seed)}
    return shown | ({"reconstructions": reconstruction_rows(model, images)} if hasattr(model, "reconstruct") else {})


def sample_rows(model, seed: int) -> Rows:
    """Samples of the averaged G. With a code: one row per category, and the same z in each column."""
    if not hasattr(model, "code"):
        return Rows(in_rows(model.generate(ROWS * COLUMNS, seed=seed), ROWS), [], "samples G(z)")
    categories = model.code.num_categories
    z = prior_z(model, COLUMNS, seed)
    c = model.code.encode(np.repeat(np.arange(categories), COLUMNS))
    samples = model.decode(np.tile(z, [categories, 1]), c)
    rest = ", continuous codes at 0" if model.code.num_continuous else ""
    labels = [f"c = {category}" for category in range(categories)]
    return Rows(in_rows(samples, categories), labels, f"samples G(z, c)\none code c per row, one z per column{rest}")


def reconstruction_rows(model, images: np.ndarray) -> Rows:
    """Rows of images [N, H, W, C] float in [-1, 1] and, below each, of their reconstructions."""
    columns = min(COLUMNS, len(images))
    rows = len(images) // columns
    images = images[: rows * columns]
    pairs = np.stack([in_rows(images, rows), in_rows(model.reconstruct(images), rows)], 1)
    caption = "images x and their reconstructions G(E(x))"
    return Rows(pairs.reshape(2 * rows, *pairs.shape[2:]), ["x", "G(E(x))"] * rows, caption)


def interpolation_rows(model, images: np.ndarray, seed: int) -> Rows:
    """Paths through the latent space, a row each.

    With an encoder: straight lines between the z inferred from two images, which stand at the ends of the row; a code
    stays the one inferred from the left image, as G never saw a mixture of codes. Without: great circles between two
    samples of the prior, along which z keeps the length that G knows; a code is the same along a row.

    Args:
        images: [N, H, W, C] float in [-1, 1], N >= 2, taken two by two.
    """
    if not hasattr(model, "infer_latents"):
        return prior_interpolation_rows(model, seed)
    import tensorflow as tf

    count = min(ROWS, len(images) // 2)
    left, right = images[0 : 2 * count : 2], images[1 : 2 * count : 2]
    (start, *code), (end, *_) = (model.infer_latents(tf.constant(side)) for side in (left, right))
    steps = COLUMNS - 2
    path = decode_paths(model, straight_paths(start.numpy(), end.numpy(), steps), [c.numpy() for c in code])
    where = "z goes straight from the left one's to the right one's" + (", c stays the left one's" if code else "")
    caption = f"interpolations between two images (outer columns)\n{where}"
    return Rows(np.concatenate([left[:, None], path, right[:, None]], 1), [], caption)


def prior_interpolation_rows(model, seed: int) -> Rows:
    """`interpolation_rows` of a model without encoder."""
    path = great_circles(*np.split(prior_z(model, 2 * ROWS, seed), 2), COLUMNS)
    caption = "interpolations\nz goes along a great circle between two samples of the prior"
    if not hasattr(model, "code"):
        return Rows(decode_paths(model, path, []), [], caption)
    categories = np.arange(ROWS) % model.code.num_categories
    labels = [f"c = {category}" for category in categories]
    return Rows(decode_paths(model, path, [model.code.encode(categories)]), labels, caption)


def decode_paths(model, path: np.ndarray, code: list[np.ndarray]) -> np.ndarray:
    """Images [rows, steps, H, W, C] of z [rows, steps, latent_dim], each row with its own code where there is one."""
    rows, steps, latent_dim = path.shape
    return in_rows(model.decode(path.reshape(-1, latent_dim), *(np.repeat(c, steps, 0) for c in code)), rows)


def straight_paths(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """[N, steps, D] from start to end [N, D], both included, in equal steps."""
    return np.linspace(start, end, steps, axis=1)


def great_circles(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """As `straight_paths`, in equal angles around the origin (slerp, White 2016)."""
    cosine = np.sum(start * end, 1) / (np.linalg.norm(start, axis=1) * np.linalg.norm(end, axis=1))
    angle = np.arccos(cosine)[:, None, None]
    t = np.linspace(0, 1, steps, dtype=start.dtype)[:, None]
    return (np.sin((1 - t) * angle) * start[:, None] + np.sin(t * angle) * end[:, None]) / np.sin(angle)


def prior_z(model, n: int, seed: int) -> np.ndarray:
    """z [n, latent_dim] as `model.generate` draws it."""
    import tensorflow as tf

    return model.sample_latents(n, tf.constant([seed, 2]))[0].numpy()


def in_rows(images: np.ndarray, rows: int) -> np.ndarray:
    """[rows * columns, ...] -> [rows, columns, ...]."""
    return images.reshape(rows, -1, *images.shape[1:])


def tile(images: np.ndarray, columns: int, line: int = 1) -> np.ndarray:
    """Images [N, H, W, C], float in [-1, 1] or uint8 -> one uint8 [H', W', C], row by row, `line` pixels between them.

    Places left over in the last row have the colour of the lines.
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


def picture(tiled: np.ndarray, title: str, labels: list[str] | tuple[str, ...] = ()) -> Figure:
    """A tiled picture uint8 [H, W, C] under its title; `labels` stand beside its rows, which are of equal height."""
    height, width, channels = tiled.shape
    beside, above = 0.1 * max(map(len, labels), default=0), 0.1 + 0.18 * len(title.splitlines())  # inches for text
    figure = Figure(figsize=(6 + beside, 6 * height / width + above), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(tiled[..., 0] if channels == 1 else tiled, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks((np.arange(len(labels)) + 0.5) * (height + 1) / max(1, len(labels)) - 1, labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def confusion_figure(table: np.ndarray, code_to_class: np.ndarray, dataset: str) -> Figure:
    """Counts int [codes, classes] of test images, rows ordered by the class that each code stands for (int [codes])."""
    codes, classes = table.shape
    order = np.argsort(code_to_class, kind="stable")
    figure = Figure(figsize=(0.45 * classes + 2, 0.4 * codes + 1.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(table[order], cmap="Blues", aspect="auto")
    for (row, column), count in np.ndenumerate(table[order]):
        shade = "white" if count > table.max() / 2 else "black" if count else "lightgray"
        axes.text(column, row, str(count), ha="center", va="center", color=shade, fontsize=9)
    axes.set_title(f"{dataset}: the head's code against the class\nof {table.sum():,} test images", fontsize=10)
    axes.set_xticks(range(classes))
    axes.set_xlabel("class of the image")
    axes.set_yticks(range(codes), [f"c = {code}, stands for {code_to_class[code]}" for code in order])
    axes.tick_params(length=0)
    return figure


def heat_map_figure(maps: dict[str, np.ndarray], title: str, down: str) -> Figure:
    """Maps side by side, each named by what runs across it, as colours of one scale.

    Args:
        maps: float [rows, columns] each, both counted from 1; NaN stays white.
        down: what the rows are.
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
    grid[0].set_ylabel(down)
    figure.colorbar(grid[-1].images[0], ax=grid)
    figure.suptitle(title, fontsize=10)
    return figure


def attention_figure(model, corpus: AnswerCorpus, seed: int, dataset: str) -> Figure:
    """The attention to the words of right answers, a row for what steers it: h's mean and samples of h, or the question."""
    import tensorflow as tf

    batch = next(iter(evaluation_batches(corpus.validation, corpus.vocabulary, ANSWERED)))
    questions, answer = model.read(batch)
    steered = {f"h {i + 1}": h for i, h in enumerate(model.draws(questions, DRAWN, tf.constant([seed, 3])))}
    steered = {"mean of h": model.encode(batch)} | steered if model.attention == "latent" else {"question": questions}
    alpha = np.stack([model.weights_of_words(answer, tf.gather(h, batch["groups"])) for h in steered.values()], 1)
    figure = Figure(figsize=(9, ANSWERED * (0.8 + 0.22 * len(steered))), dpi=DPI, layout="constrained")
    grid = figure.subplots(ANSWERED, squeeze=False)[:, 0]
    right = np.flatnonzero(batch["labels"])
    first = right[np.unique(batch["groups"].numpy()[right], return_index=True)[1]]
    for axes, candidate in zip(grid, first, strict=False):
        words = corpus.validation.candidates[candidate]
        axes.imshow(alpha[candidate, :, : len(words)], cmap="Blues", aspect="auto", vmin=0)
        axes.set_title(" ".join(corpus.validation.questions[batch["groups"][candidate]]), fontsize=9)
        axes.set_xticks(range(len(words)), words, rotation=60, ha="right", fontsize=7)
        axes.set_yticks(range(len(steered)), steered, fontsize=7)
        axes.tick_params(length=0)
    for axes in grid[len(first) :]:
        axes.set_axis_off()
    figure.suptitle(f"{dataset}: attention to the words of a right answer of validation questions", fontsize=10)
    return figure


def pixels(figure: Figure) -> np.ndarray:
    """A figure as uint8 [H, W, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def save_figure(figure: Figure, path: Path):
    """Writes a whole PNG or none; one that would be larger than MAX_BYTES is kept to 256 colours, then made smaller."""
    image = Image.fromarray(pixels(figure))
    encoded = encode_png(image)
    while len(encoded) > MAX_BYTES:
        encoded = encode_png(image.quantize(256, dither=Image.Dither.NONE))
        image = image.resize((image.width * 9 // 10, image.height * 9 // 10))
    write_bytes(path, encoded)


def encode_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()
