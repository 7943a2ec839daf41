"""Images: how their data are read, which models fit them, and what a training shows. The scores are in `image_scores`."""

import dataclasses
import sys
from typing import Any

import keras
import tensorflow as tf

from data import images
from data.errors import InputError
from data.images import ImageDataset
from data.order import full_batches
from data.streaming import StreamedImages
from models.capabilities import fastest_dtype
from reporting.tensorboard import FinalSummary, Pictures, Scalars, open_writer
from tasks.base import Task
from tasks.configs import BigGANConfig, InfoBigBiGANConfig
from tasks.image_scores import ImageScorer
from training.config import with_epochs
from training.runs import Run

MOST_PASSES = 600  # epochs that --updates may ask for; a data set of a few hundred images would need thousands

# A small training part is seen often. Smaller batches make more updates in the same time, and with two random views E
# cannot learn the codes of the images by heart.
SMALL = 10_000  # training images below which these options are used, where nobody chose them
SMALL_BATCH = 64  # at most the whole training part
SMALL_RECIPE = {"updates": 5500, "views": 2}
WIDTHS_SIDE = 32  # height and width that the default widths of G, F and E are meant for
# Options of single data sets. Near images of digits show the same digit; those of photographs need not. The images of
# `digits` are so small that twice the updates take less time.
OWN_RECIPES = {"digits": {"neighbours": 5, "updates": 11_400}, "mnist_5k": {"neighbours": 5}}


class ImageTask(Task[ImageDataset]):
    """The image modes."""

    scorer = ImageScorer
    limits = (
        "It knows images of its own data set, size and range alone, and finds one of its codes in any picture, also in one "
        "of something else. A code was never told which class it stands for: the map from codes to classes comes from "
        "labels, in evaluation. Generated images can resemble training images."
    )

    def load(self, config: BigGANConfig) -> ImageDataset:
        assert config.dataset is not None
        return images.load(config.dataset, config.data_dir, config.image_size, config.background, config.cache_gb)

    def resolve(
        self, config: BigGANConfig, left_open: frozenset[str] = frozenset()
    ) -> tuple[BigGANConfig, ImageDataset]:
        name = images.choose_dataset(config.dataset, config.data_dir)
        if config.dataset is None and name != "mnist":
            print(
                f"{'!' * 100}\nMNIST is neither on disk nor can it be downloaded: THIS RUN USES {name}, "
                f"5,000 of its images.\nGive --data-dir DIR or --dataset to choose another.\n{'!' * 100}",
                file=sys.stderr,
            )
        config = dataclasses.replace(config, dataset=name)
        data = self.load(config)
        precision = fastest_dtype() if config.precision == "auto" else config.precision
        config = dataclasses.replace(config, precision=precision)
        if self.in_use(config) != config:
            print(
                "This machine has no instructions for bfloat16: a step in --precision float32 takes much less time.",
                file=sys.stderr,
            )
        count = len(data.train.images)
        if count < SMALL:
            recipe = SMALL_RECIPE | {"batch_size": min(SMALL_BATCH, count)} | OWN_RECIPES.get(name, {})
            config = dataclasses.replace(config, **{option: recipe[option] for option in recipe.keys() & left_open})
        config = dataclasses.replace(config, **widths_for(config, data.image_shape[0], left_open))
        if (most := most_neighbours(config)) >= count:
            raise InputError(f"--neighbours {most}: there are {count} training images: use at most {count - 1}")
        if most and isinstance(data.train.images, StreamedImages):
            raise InputError(
                f"--neighbours {most}: neighbours are found in memory, but {name} streams: use --neighbours 0, or a higher "
                "--cache-gb"
            )
        return with_epochs(config, self.steps_per_epoch(config, data), MOST_PASSES), data

    def in_use(self, config: BigGANConfig) -> BigGANConfig:
        """Return the config, in float32 if the processor lacks bfloat16, which would take ten times as long or more."""
        slow = config.precision == "bfloat16" and fastest_dtype() == "float32"
        return dataclasses.replace(config, precision="float32") if slow else config

    def facts(self, data: ImageDataset) -> dict[str, Any]:
        counts = {name: len(getattr(data, name).images) for name in ("train", "validation", "test")}
        return {
            "image_shape": list(data.image_shape),
            "images": counts,
            "labels": data.train.labels is not None,
            "sha256": images.digest(data.train.images),  # of the training part
        }

    def steps_per_epoch(self, config: BigGANConfig, data: ImageDataset) -> int:
        return full_batches(len(data.train.images), config.batch_size, "images")

    def batches(self, config: BigGANConfig, data: ImageDataset, first_epoch: int) -> tf.data.Dataset:
        """Images without labels, [batch_size, H, W, C] float32 in [-1, 1]; with `--neighbours`, pairs of such tensors."""
        most = most_neighbours(config)
        return images.batches(data.train.images, config.batch_size, config.seed, first_epoch, most)

    def data_arguments(self, config: BigGANConfig, facts: dict[str, Any]) -> dict[str, Any]:
        return {"image_shape": tuple(facts["image_shape"])}

    def check(self, config: BigGANConfig, facts: dict[str, Any]) -> None:
        check_halvings(config, facts["image_shape"])
        check_generator(config, facts["image_shape"])

    def callbacks(self, run: Run, data: ImageDataset) -> list[keras.callbacks.Callback]:
        writer = open_writer(run)
        return [Scalars(run, writer), Pictures(run, writer, data), FinalSummary(run, writer, data)]


def most_neighbours(config: BigGANConfig) -> int:
    """Return `--neighbours`; 0 in the modes that do not have this option."""
    return config.neighbours if isinstance(config, InfoBigBiGANConfig) else 0


def widths_for(config: BigGANConfig, side: int, left_open: frozenset[str]) -> dict[str, tuple[int, ...]]:
    """Return the widths of G, F and E for images of this height and width, where they are larger than the defaults.

    As in BigGAN, each doubling of the side adds a block at the lowest resolution, here with twice the channels of the
    block beside it. A network has at most as many blocks as its side can be halved.

    Args:
        left_open: the options that nobody chose; only they change.
    """
    found: dict[str, tuple[int, ...]] = {}
    names = {"G": "generator_widths", "F": "discriminator_widths", "E": "encoder_widths"}
    for network, depth, own_side in config.halvings:
        name, size = names[network], own_side or side
        more = max(size // WIDTHS_SIDE, 1).bit_length() - 1
        while more and size % 2 ** (depth + more):
            more -= 1
        if name in left_open and more:
            widths: tuple[int, ...] = getattr(config, name)
            if network == "G":  # the lowest resolution comes first
                found[name] = (*(widths[0] << i for i in range(more, 0, -1)), *widths)
            else:
                found[name] = (*widths, *(widths[-1] << i for i in range(1, more + 1)))
    return found


def check_halvings(config: BigGANConfig, image_shape: list[int]) -> None:
    """Raise InputError if an image's sides are not multiples of what G, F and E need."""
    for network, times, own_size in config.halvings:
        height, width = (own_size, own_size) if own_size else image_shape[:2]
        factor = 2**times
        if any(side % factor or side < 2 * factor for side in (height, width)):
            size, near = "--encoder-size" if own_size else "--image-size", max(2, round(height / factor)) * factor
            raise InputError(
                f"images of {height}x{width} cannot be halved {times} times by {network} and stay larger than one "
                f"pixel: use {size} {near}, or fewer widths of {network}"
            )


def check_generator(config: BigGANConfig, image_shape: list[int]) -> None:
    """Raise InputError if z is too small for G's layers, or if G or F lacks a layer of the attention's resolution."""
    up, down = len(config.generator_widths), len(config.discriminator_widths)
    if config.latent_dim <= up:
        raise InputError(
            f"--latent-dim {config.latent_dim}: G of {up} blocks cuts z into {up + 1} parts: use at least {up + 1}"
        )
    shared = {image_shape[0] >> i for i in range(up)} & {image_shape[0] >> i for i in range(1, down + 1)}
    if config.attention and config.attention not in shared:
        use = f"use {' or '.join(map(str, sorted(shared)))}" if shared else "give G and F more widths"
        raise InputError(f"--attention {config.attention}: G and F do not both have layers of that resolution: {use}")
