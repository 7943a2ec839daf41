"""The image modes: their data, their models and their scores, from a config."""

import dataclasses
import hashlib
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from data import images
from data.errors import InputError
from data.images import ImageDataset
from data.order import full_batches
from models.bigan import BiGAN
from models.bigbigan import BigBiGAN
from models.code import Code, CodeHead
from models.discriminators import ImageDiscriminator, VectorDiscriminator
from models.encoder import Encoder
from models.gan import GAN
from models.generator import Generator
from models.infobigbigan import InfoBigBiGAN
from models.infogan import InfoGAN
from training.config import with_epochs
from training.image_scores import Scores
from training.runs import Run
from training.tensorboard import image_callbacks as callbacks  # noqa: F401

MODELS = {"biggan": GAN, "bigan": BiGAN, "bigbigan": BigBiGAN, "infogan": InfoGAN, "infobigbigan": InfoBigBiGAN}

MOST_PASSES = 150  # over a small data set, where --epochs is not given: --updates would take thousands


def load(config) -> ImageDataset:
    """The data of a resolved config. Raises InputError where they cannot be had."""
    return images.load(config.dataset, config.data_dir, config.image_size)


def prepare(config) -> tuple[object, ImageDataset]:
    """Loads the data; returns the config with everything decided that was left open (data set, epochs, precision).

    Raises InputError for a data set that cannot be had or is too small for one batch.
    """
    name = images.choose_dataset(config.dataset, config.data_dir)
    if config.dataset is None and name != "mnist":
        print(f"{'!' * 100}\nMNIST is neither on disk nor can it be downloaded: THIS RUN USES {name}, a much smaller set.\n"
              f"Give --data-dir DIR or --dataset to choose another.\n{'!' * 100}", file=sys.stderr)  # fmt: skip
    config = dataclasses.replace(config, dataset=name)
    data = load(config)
    precision = ("bfloat16" if has_bfloat16() else "float32") if config.precision == "auto" else config.precision
    config = dataclasses.replace(config, precision=precision)
    return with_epochs(config, steps_per_epoch(config, data), MOST_PASSES), data


def has_bfloat16() -> bool:
    """Whether the processor has bfloat16 instructions (Linux tells; elsewhere: no)."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and any(word in cpuinfo.read_text() for word in ("avx512_bf16", "amx_bf16", " bf16"))


def steps_per_epoch(config, data: ImageDataset) -> int:
    """Training steps of one pass over the training images; the remainder of a pass is dropped."""
    return full_batches(len(data.train.images), config.batch_size, "images")


def batches(config, data: ImageDataset, first_epoch: int) -> tf.data.Dataset:
    """The training images alone, [batch_size, H, W, C] float32 in [-1, 1], from the start of an epoch on."""
    return images.batches(data.train.images, config.batch_size, config.seed, first_epoch)


def curve_point(run: Run, data: ImageDataset, model: GAN) -> dict[str, float]:
    """Scores of a model in training on the validation part, by their names in the history; {} without `--curves`."""
    if not run.config.curves:
        return {}
    scores = Scores(run, data, model).curve()
    return {f"validation/{name}": value for name, value in scores.items()}


def facts(data: ImageDataset) -> dict:
    """What a run records of its data, and a model must know of it."""
    counts = {name: len(getattr(data, name).images) for name in ("train", "validation", "test")}
    return {
        "image_shape": list(data.image_shape),
        "images": counts,
        "labels": data.train.labels is not None,
        "sha256": hashlib.sha256(np.ascontiguousarray(data.train.images)).hexdigest()[:16],  # of the training images
    }


def build(mode: str, config, data_facts: dict) -> GAN:
    """The compiled model of an image mode with seeded initial weights; networks are given numbers, never the config.

    Raises InputError where the networks cannot be built for the images.
    """
    image_shape = tuple(data_facts["image_shape"])
    check_halvings(config, image_shape)
    check_generator(config, image_shape)
    keras.utils.set_random_seed(config.seed)
    model_class = MODELS[mode]
    code = Code(config.num_categories, config.num_continuous) if hasattr(config, "num_categories") else None
    s_x = getattr(config, "s_x", mode != "bigan")  # BiGAN has no unary score, and a GAN without J no other
    parts = adversaries(config, image_shape, code, scored=s_x)
    if issubclass(model_class, BiGAN):
        parts |= encoder_and_its_discriminators(config, image_shape, code, parts["image_discriminator"].feature_dim)
    if code:
        head_on = getattr(config, "head_on", "image")  # InfoGAN has no J
        features = config.latent_width if head_on == "joint" else parts["image_discriminator"].feature_dim
        parts |= {"code": code, "head": CodeHead(features, code.parameters), "head_on": head_on}
        parts["info_weight"] = config.info_weight
    if mode == "infobigbigan":
        own = ("joint_code", "real_info_weight", "consistency_on", "consistency_weight", "balance_weight")
        parts |= {name: getattr(config, name) for name in own}
    model = model_class(**parts, d_updates=config.d_updates, ema_decay=config.ema_decay, seed=config.seed)
    model.compile(
        d_optimizer=keras.optimizers.Adam(config.d_rate, beta_1=config.beta_1),
        ge_optimizer=keras.optimizers.Adam(config.ge_rate, beta_1=config.beta_1),
    )
    return model


def adversaries(config, image_shape, code: Code | None, scored: bool) -> dict:
    """G, the network of its moving average, and F."""
    generator, ema_generator = (
        Generator(
            image_shape,
            config.generator_widths,
            config.latent_dim,
            code.dim if code else 0,
            code_to=getattr(config, "code_to", "first"),
            attention=config.attention,
            compute_dtype=config.precision,
        )
        for _ in range(2)
    )
    image_discriminator = ImageDiscriminator(
        image_shape,
        config.discriminator_widths,
        scored=scored,
        layout_dim=config.layout_dim,
        attention=config.attention,
        compute_dtype=config.precision,
    )
    return {"generator": generator, "ema_generator": ema_generator, "image_discriminator": image_discriminator}


def encoder_and_its_discriminators(config, image_shape, code: Code | None, image_features: int) -> dict:
    """E, the network of its moving average, H, and J, which reads F's features beside H's."""
    encoder, ema_encoder = (
        Encoder(
            image_shape,
            config.encoder_widths,
            config.latent_dim,
            code.parameters if code and config.joint_code == "encoder" else 0,
            stochastic=not config.deterministic_encoder,
            feature_dim=config.feature_dim,
            hidden_norm=config.hidden_norm,
            input_size=config.encoder_size,
            compute_dtype=config.precision,
        )
        for _ in range(2)
    )
    width, blocks = config.latent_width, config.latent_blocks
    seen = config.latent_dim + (code.dim if code and config.joint_code != "none" else 0)
    return {
        "encoder": encoder,
        "ema_encoder": ema_encoder,
        "latent_discriminator": VectorDiscriminator(seen, width, blocks, scored=getattr(config, "s_z", False)),
        "joint_discriminator": VectorDiscriminator(image_features + width, width, blocks),
    }


def check_halvings(config, image_shape):
    """Raises InputError where an image's sides are no multiples of what G, F and E need."""
    needed = [("G", config.generator_widths, 0), ("F", config.discriminator_widths, 0)]
    if hasattr(config, "encoder_widths"):
        needed.append(("E", config.encoder_widths, config.encoder_size))
    for network, widths, own_size in needed:
        height, width = (own_size, own_size) if own_size else image_shape[:2]
        factor = 2 ** len(widths)
        if any(side % factor or side < 2 * factor for side in (height, width)):
            size, near = "--encoder-size" if own_size else "--image-size", max(2, round(height / factor)) * factor
            raise InputError(
                f"images of {height}x{width} cannot be halved {len(widths)} times by {network} and stay larger than one "
                f"pixel: use {size} {near}, or fewer widths of {network}"
            )


def check_generator(config, image_shape):
    """Raises InputError where z has no part for each of G's layers, or G or F no layer of the resolution to attend at."""
    up, down = len(config.generator_widths), len(config.discriminator_widths)
    if config.latent_dim <= up:
        raise InputError(f"--latent-dim {config.latent_dim}: G of {up} blocks takes z in {up + 1} parts: use {up + 1}")
    shared = {image_shape[0] >> i for i in range(up)} & {image_shape[0] >> i for i in range(1, down + 1)}
    if config.attention and config.attention not in shared:
        use = f"use {' or '.join(map(str, sorted(shared)))}" if shared else "give G and F more widths"
        raise InputError(f"--attention {config.attention}: G and F do not both have layers of that resolution: {use}")
