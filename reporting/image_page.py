"""The explorer's part for image models: samples, directions of z, a picture of one's own, and paths."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from data.errors import InputError
from data.images import ImageDataset, read_picture, to_float
from data.order import places
from metrics.retrieval import nearest
from models.capabilities import Encodes, HasCode
from models.gan import GAN
from reporting.controls import shown_image, told, whole
from reporting.figures import pixels, prior_z, sample_rows, straight_paths, tile
from reporting.tensorboard import verbatim
from training.runs import Run

DIRECTIONS, FARTHEST = 4, 3.0  # principal directions of z that are offered, and how far they go
STRIP = 7  # images in the strip of a direction
PROBES = 400  # samples from which the directions are found
STEPS = 9  # images of a path
NEAREST = 8  # training images beside a picture
MOST_KNOWN = 10_000  # training images that are searched
DARK = 64  # a ground below this gray value is dark
INK = 0.25  # share of the range between ground and brightest ink above which a pixel belongs to the drawing
BOX = 20 / 28  # share of the side that MNIST gives the larger side of a digit
SIDE = 280  # pixels of a single image on the page


class ImagePage:
    """The tabs of an image model.

    Args:
        run: its run, whose scores have the map from codes to classes.
        model: the trained model.
        load: returns the data set; raises InputError if it is not there.
    """

    def __init__(self, run: Run, model: GAN, load: Callable[[], ImageDataset]):
        self.run, self.model, self.load = run, model, load
        height, _, channels = model.generator.image_shape
        self.height, self.channels = height, channels
        self.directions = functools.cache(self.find_directions)

    def build(self) -> None:
        """Add the tabs to the page that is being built."""
        with gr.Tabs():
            with gr.Tab("Samples"):
                self.build_samples()
            with gr.Tab("Directions of z"):
                self.build_directions()
            if isinstance(self.model, Encodes):
                with gr.Tab("A picture of yours"):
                    self.build_picture()
                with gr.Tab("Paths"):
                    self.build_paths()

    # Samples

    def build_samples(self) -> None:
        gr.Markdown(
            "Each row has one code c, and each column one z." if isinstance(self.model, HasCode) else "Samples of G."
        )
        with gr.Row():
            truncation = gr.Slider(0.1, 3.0, 3.0, step=0.1, label="truncation of z (3: hardly any)")
            seed = gr.Number(0, label="seed", precision=0, minimum=0, maximum=2**31 - 1)
        shown = shown_image(self.samples(3.0, 0), label="samples", elem_id="samples")
        for control in (truncation, seed):
            control.change(told(self.samples), [truncation, seed], shown, trigger_mode="always_last")

    def samples(self, truncation: float, seed: float) -> Image.Image:
        """Return a picture of samples."""
        rows = sample_rows(self.model, whole(seed, "seed"), truncation)
        return Image.fromarray(pixels(rows.figure(self.run.dataset)))

    # Directions

    def build_directions(self) -> None:
        gr.Markdown(
            "The directions in z that change the picture most, the strongest first. A row of the strip goes along one "
            "direction, and the sliders move the large picture."
        )
        with gr.Row():
            code = gr.Dropdown(self.code_names(), value=0, label="code c", visible=isinstance(self.model, HasCode))
            seed = gr.Number(0, label="seed of z", precision=0, minimum=0, maximum=2**31 - 1)
        with gr.Row():
            sliders = [
                gr.Slider(-FARTHEST, FARTHEST, 0.0, step=0.1, label=f"direction {i + 1}", elem_id=f"direction-{i + 1}")
                for i in range(self.directions(0).shape[0])
            ]
        first = self.moved(0, 0, *[0.0] * len(sliders))
        with gr.Row():
            large = shown_image(first[0], label="G(z, c)", elem_id="moved", height=SIDE)
            strip = shown_image(first[1])
        for control in (code, seed, *sliders):
            control.change(told(self.moved), [code, seed, *sliders], [large, strip], trigger_mode="always_last")

    def code_names(self) -> list[tuple[str, int]]:
        """Return the names of the codes in a list to choose from, with the class that each stands for if it is known."""
        if not isinstance(self.model, HasCode):
            return [("none", 0)]
        names = self.class_names()
        count = self.model.code.num_categories
        return [(f"{c}: stands for {names[c]}" if names else str(c), c) for c in range(count)]

    def class_names(self) -> list[str] | None:
        """Return the name of the class that each code stands for, as an evaluation found it; None before one."""
        scores = self.run.scores
        if "code_to_class" not in scores:
            return None
        classes = scores["code_to_class"]
        names = scores.get("class_names") or [str(number) for number in range(max(classes) + 1)]
        return [names[number] for number in classes]

    def code_of(self, c: int, count: int) -> list[np.ndarray]:
        """Return the code c of `count` images as further latents of G; nothing for a model without code."""
        return [self.model.code.encode(np.full(count, c))] if isinstance(self.model, HasCode) else []

    def find_directions(self, c: int) -> np.ndarray:
        """Return the directions in z that change the images of a code most, float32 [DIRECTIONS, latent_dim].

        They are the right singular vectors of the linear map that best predicts the pixels from z.
        """
        z = prior_z(self.model, PROBES, 0)
        x = self.model.decode(z, *self.code_of(c, PROBES)).reshape(PROBES, -1)
        linear, *_ = np.linalg.lstsq(z - z.mean(0), x - x.mean(0), rcond=None)
        directions, *_ = np.linalg.svd(linear, full_matrices=False)
        return directions.T[:DIRECTIONS].astype(np.float32)

    def moved(self, c: int, seed: float, *amounts: float) -> tuple[Image.Image, Image.Image]:
        """Return the image of a z that was moved along the directions, and a strip along each direction."""
        directions = self.directions(int(c))
        z = prior_z(self.model, 1, whole(seed, "seed of z"))[0] + np.array(amounts, np.float32) @ directions
        places = np.linspace(-FARTHEST, FARTHEST, STRIP, dtype=np.float32)
        steps = (
            places - np.array(amounts, np.float32)[:, None]
        )  # from where z stands to each place, [directions, STRIP]
        every = np.concatenate([z[None], (z + steps[..., None] * directions[:, None]).reshape(-1, len(z))])
        images = self.model.decode(every, *self.code_of(int(c), len(every)))
        return enlarged(images[:1]), enlarged(images[1:], STRIP)

    # A picture of one's own

    def build_picture(self) -> None:
        gr.Markdown("Draw, or upload a picture file. The model reads what the small picture shows.")
        with gr.Row():
            ground = Image.new("RGB", (SIDE, SIDE), "white")
            paper: Any = {"background": ground, "layers": [], "composite": ground}  # the annotation lacks dict
            drawing = gr.Sketchpad(
                paper,
                label="draw here", type="numpy", canvas_size=(SIDE, SIDE), layers=False, transforms=(), elem_id="drawing",
                brush=gr.Brush(default_size=18, colors=["#000000"], color_mode="fixed"), height=SIDE + 120,
            )  # fmt: skip
            with gr.Column():
                file = gr.File(label="or upload a picture", elem_id="upload", height=120)
                seen = shown_image(label="what the model reads", elem_id="seen", height=SIDE)
            with gr.Column():
                classes = gr.Label(label="class and its probability", num_top_classes=4, elem_id="classes")
                code = gr.Textbox(label="code c", elem_id="code")
                rebuilt = shown_image(label="reconstruction G(E(x))", elem_id="rebuilt", height=SIDE)
        gr.Markdown("The nearest training images, by E's last hidden layer:")
        near = shown_image(elem_id="near")
        note, x = gr.Markdown(), gr.State(None)
        outputs = [x, seen, classes, code, rebuilt]
        drawing.clear(lambda: (None, None, None, "", None), outputs=outputs)
        for event in (
            drawing.input(told(self.read_drawing), drawing, outputs, trigger_mode="always_last"),
            file.upload(told(self.read_file), file, outputs),
        ):
            event.success(told(self.near), x, [near, note])  # later, since it may read the data first

    def read_drawing(self, drawing: dict[str, Any] | None) -> tuple[Any, ...]:
        """Return what the page shows of a drawing. An empty one changes nothing.

        The sketchpad reports an empty drawing by itself, seconds after it was opened, when an upload may be on show.
        """
        picture = None if drawing is None or drawing["composite"] is None else drawing["composite"][..., :3]
        if picture is None or picture.min() > 255 - DARK:
            return (gr.skip(),) * 5
        return self.described(picture)

    def read_file(self, file: str) -> tuple[Any, ...]:
        """Return what the page shows of an uploaded picture. Raise InputError if it cannot be read."""
        return self.described(read_picture(Path(file)))

    def described(self, picture: np.ndarray) -> tuple[Any, ...]:
        """Return what the page shows of a picture uint8 [H, W, 3]: see `build_picture`."""
        x = to_float(self.as_model_sees(picture)[None])
        probabilities, code = None, "this model has no code"
        if isinstance(self.model, HasCode):
            q = self.model.classify(x)[0]
            code = f"{q.argmax()}, with probability {q.max():.3f}"
            names = self.class_names() or [f"code {c}" for c in range(len(q))]
            probabilities = {name: float(sum(q[c] for c in range(len(q)) if names[c] == name)) for name in names}
        return x, enlarged(x), probabilities, code, enlarged(self.model.reconstruct(x))

    def as_model_sees(self, picture: np.ndarray) -> np.ndarray:
        """Return a picture uint8 [H, W, 3] in the model's shape, uint8 [H, W, C].

        Most pictures are cut to a square and resized. If the model's images are gray on a dark ground, as digits are, the
        drawing is cut out and put into the middle, as MNIST's digits were. Its larger side takes 20 of 28 pixels, and its
        centre of mass stands in the centre. A dark drawing on a light ground is inverted.

        Raises:
            InputError: such a drawing has one shade alone.
        """
        image = Image.fromarray(picture).convert("L" if self.channels == 1 else "RGB")
        if not self.on_dark_ground:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.crop((left, top, left + side, top + side)).resize(
                (self.height,) * 2, Image.Resampling.LANCZOS
            )
            return np.asarray(square).reshape(self.height, self.height, self.channels)
        gray = np.asarray(image, np.float32)
        edge = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
        ink = np.abs(gray - np.median(edge))
        if ink.max() < DARK:
            raise InputError("the picture has one shade alone: draw something, or give a picture with more contrast")
        ink *= 255 / ink.max()
        rows, columns = (np.flatnonzero((ink > 255 * INK).any(axis)) for axis in (1, 0))
        cut = Image.fromarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8))
        factor = BOX * self.height / max(cut.size)
        small = np.asarray(cut.resize([max(1, round(side * factor)) for side in cut.size], Image.Resampling.BOX), float)
        shown = np.zeros([self.height, self.height], np.uint8)
        starts = []
        for axis in (0, 1):
            middle = np.average(np.arange(small.shape[axis]) + 0.5, weights=small.sum(1 - axis))
            starts.append(int(np.clip(round(self.height / 2 - middle), 0, self.height - small.shape[axis])))
        shown[starts[0] : starts[0] + small.shape[0], starts[1] : starts[1] + small.shape[1]] = small
        return shown[..., None]

    @functools.cached_property
    def on_dark_ground(self) -> bool:
        """Whether the model's images are gray, with a dark edge."""
        x = self.model.generate(100, seed=0)
        edge = np.concatenate([x[:, 0], x[:, -1]])
        return self.channels == 1 and float(edge.mean()) < DARK / 127.5 - 1

    def near(self, x: np.ndarray | None) -> tuple[Image.Image | None, str]:
        """Return the nearest training images of one image x, by E's last hidden layer; or why they cannot be shown."""
        if x is None:
            return None, ""
        try:
            images, features, name = self.known
        except InputError as error:
            return None, f"No training images beside it: {verbatim(str(error))}"
        rows = nearest(self.features(x), features, NEAREST)[0]
        return enlarged(to_float(images[rows]), NEAREST), f"From {len(images):,} training images of {name}."

    @functools.cached_property
    def known(self) -> tuple[np.ndarray, np.ndarray, str]:
        """At most MOST_KNOWN training images uint8 [N, H, W, C], their features float32 [N, D], and the data set's name."""
        data = self.load()
        images = data.train.images[places(len(data.train.images), MOST_KNOWN)]
        return images, self.features(to_float(images)), Path(data.name).name

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return E's last hidden layer, [N, D], for images [N, H, W, C]."""
        assert isinstance(self.model, Encodes)
        return np.asarray(self.model.encode(x).features)

    # Paths

    def build_paths(self) -> None:
        gr.Markdown(
            "Between two images, both encoded first. Along one row only z goes from the left image to the right one, along "
            "another only c, along the last both."
        )
        with gr.Row():
            left = gr.Number(0, label="number of the left image", precision=0, minimum=0)
            right = gr.Number(1, label="number of the right image", precision=0, minimum=0)
        button = gr.Button("Show the path", elem_id="show-path")
        shown = shown_image(elem_id="path")
        note = gr.Markdown()
        button.click(told(self.paths), [left, right], [shown, note])

    def paths(self, left: float, right: float) -> tuple[Image.Image, str]:
        """Return the paths between two images of the test part, or of samples if the data cannot be read."""
        import tensorflow as tf

        try:
            data = self.load()
            images, source = data.test.images, f"the test part of {Path(data.name).name}"
        except InputError:
            images, source = self.model.generate(100, seed=0), "samples of the model, since its data are not here"
        numbers = [whole(number, f"number of the {side} image") for number, side in ((left, "left"), (right, "right"))]
        if not all(0 <= number < len(images) for number in numbers):
            raise InputError(f"there are {len(images)} images: give numbers from 0 to {len(images) - 1}")
        ends = images[np.array(numbers)]
        ends = to_float(ends) if ends.dtype == np.uint8 else ends
        assert isinstance(self.model, Encodes)
        z, *code = (latent.numpy() for latent in self.model.infer_latents(tf.constant(ends)))
        z_path = straight_paths(z[:1], z[1:], STEPS)[0]
        rows = [self.model.decode(z_path, *(np.repeat(c[:1], STEPS, 0) for c in code))]
        for c in code:
            c_path = straight_paths(c[:1], c[1:], STEPS)[0]
            rows += [self.model.decode(np.repeat(z[:1], STEPS, 0), c_path), self.model.decode(z_path, c_path)]
        every = np.stack([np.concatenate([ends[:1], row, ends[1:]]) for row in rows])
        what = "z alone, c alone, both" if code else "z"
        note = f"Rows: {what}. Images {numbers[0]} and {numbers[1]} of {source} stand at the ends."
        return enlarged(every.reshape(-1, *ends.shape[1:]), STEPS + 2), note


def enlarged(images: np.ndarray, columns: int = 1) -> Image.Image:
    """Return images [N, H, W, C], float in [-1, 1], as one large picture: a single image has about SIDE pixels a side."""
    tiled = tile(images, columns)
    factor = max(1, SIDE // (images.shape[1] * (1 if columns == 1 else 2)))
    picture = Image.fromarray(tiled[..., 0] if tiled.shape[-1] == 1 else tiled)
    return picture.resize([factor * side for side in picture.size], Image.Resampling.NEAREST)
