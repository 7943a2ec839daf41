import functools

import keras
import numpy as np
import pytest

from data import images as readers
from data.errors import InputError
from training import images
from training.callbacks import Keeper
from training.config import BigGANConfig, InfoBigBiGANConfig
from training.runs import create_run, open_run

TINY = {"dataset": "digits", "batch_size": 512, "generator_widths": (8,), "discriminator_widths": (8,)}
TINY_ENCODER = {"encoder_widths": (8,), "feature_dim": 8, "latent_width": 8, "latent_blocks": 0}


def write_npz(file, labels):
    random = np.random.default_rng(0)
    np.savez(file, images=random.integers(0, 256, (40, 8, 8), np.uint8), labels=labels)
    return str(file)


def test_labels_change_no_bit_of_a_training(tmp_path, eager, short_features):
    """Not even where the training is scored with them on the way."""
    labels = np.arange(40) % 4
    shuffled = np.random.default_rng(1).permutation(labels)
    assert (labels != shuffled).any()
    checkpoints, points = [], []
    for name, its_labels in (("own", labels), ("shuffled", shuffled)):
        keras.utils.clear_session(free_memory=False)  # layers are numbered by process, and checkpoints hold their names
        options = TINY | TINY_ENCODER | {"dataset": write_npz(tmp_path / f"{name}.npz", its_labels)}
        config, data = images.prepare(InfoBigBiGANConfig(**options | {"batch_size": 14, "epochs": 1, "curves": True}))
        model = images.build("infobigbigan", config, images.facts(data))
        run = create_run(str(tmp_path / "runs"), name, "infobigbigan", config, images.facts(data))
        keeper = Keeper(run, functools.partial(images.curve_point, run, data))
        batches, steps = images.batches(config, data, 0), images.steps_per_epoch(config, data)
        model.fit(batches, epochs=1, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=[keeper])
        assert int(model.step) == 2
        points.append(run.history[0]["validation/hungarian_accuracy"])
        checkpoints.append(run.checkpoints()[0][1].name)  # the name carries the digest
    assert checkpoints[0] == checkpoints[1]
    assert all(0 <= point <= 1 for point in points)


def test_epochs_come_from_updates():
    config, data = images.prepare(BigGANConfig(**TINY | {"batch_size": 128}, updates=20))
    assert images.steps_per_epoch(config, data) == 9  # 1,259 // 128
    assert config.epochs == 3


def test_epochs_that_are_given_go_before_updates():
    config, _ = images.prepare(BigGANConfig(**TINY, updates=20, epochs=5))
    assert config.epochs == 5


@pytest.mark.parametrize(("available", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_the_precision_that_auto_chose_is_recorded(tmp_path, monkeypatch, available, chosen):
    monkeypatch.setattr(images, "has_bfloat16", lambda: available)
    config, data = images.prepare(BigGANConfig(**TINY))
    create_run(str(tmp_path), "a", "biggan", config, images.facts(data))
    assert open_run(tmp_path / "a").config.precision == chosen


def test_a_precision_that_is_given_stays(monkeypatch):
    monkeypatch.setattr(images, "has_bfloat16", lambda: True)
    assert images.prepare(BigGANConfig(**TINY, precision="float32"))[0].precision == "float32"


def test_digits_in_the_place_of_mnist_are_shouted_about(monkeypatch, capsys):
    monkeypatch.setattr(readers, "_prepared", lambda name, data_dir: None)
    monkeypatch.setattr(readers, "_downloadable", lambda name: False)
    config, data = images.prepare(BigGANConfig())
    assert config.dataset == data.name == "digits"
    assert "THIS RUN USES digits" in capsys.readouterr().err


def test_digits_that_were_asked_for_are_not(capsys):
    images.prepare(BigGANConfig(**TINY))
    assert capsys.readouterr().err == ""


def test_facts():
    _, data = images.prepare(BigGANConfig(**TINY))
    facts = images.facts(data)
    assert facts.pop("sha256") != images.facts(data._replace(train=data.validation))["sha256"]
    assert facts == {
        "image_shape": [8, 8, 1],
        "images": {"train": 1259, "validation": 179, "test": 359},
        "labels": True,
    }


def test_less_than_one_batch_is_refused():
    with pytest.raises(InputError, match="batch size 1260 does not fit 1259 training images: choose 1 to 1259"):
        images.prepare(BigGANConfig(**TINY | {"batch_size": 1260}))


@pytest.mark.parametrize(
    ("shape", "widths", "message"),
    [
        (
            [8, 8, 1],
            (8, 8, 8, 8),
            "images of 8x8 cannot be halved 4 times by G .*: use --image-size 32",
        ),
        ([30, 30, 1], (8, 8), "images of 30x30 cannot be halved 2 times by G .*: use --image-size 32"),
    ],
)
def test_images_that_cannot_be_halved_are_refused(shape, widths, message):
    config = BigGANConfig(**TINY | {"generator_widths": widths})
    with pytest.raises(InputError, match=message):
        images.build("biggan", config, {"image_shape": shape})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_dim": 2}, "--latent-dim 2: G of 2 blocks takes z in 3 parts: use 3"),
        ({"attention": 7}, "--attention 7: G and F do not both have layers of that resolution: use 14"),
        ({"attention": 14, "generator_widths": (8,), "discriminator_widths": (8,)}, "give G and F more widths"),
    ],
)
def test_a_generator_that_cannot_be_built_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        images.build("biggan", BigGANConfig(dataset="mnist", **options), {"image_shape": [28, 28, 1]})


def test_attention_stands_in_both_networks():
    config = BigGANConfig(dataset="mnist", attention=14, precision="float32")
    model = images.build("biggan", config, {"image_shape": [28, 28, 1]})
    assert [attend is not None for attend in model.generator.attend] == [True, False]
    assert [attend is not None for attend in model.image_discriminator.attend] == [False, True, False]
