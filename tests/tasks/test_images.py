import dataclasses
import functools
import json
import os
import time

import keras
import numpy as np
import pytest
from PIL import Image

import evaluate
import train
from data import images as readers
from data.errors import InputError
from data.images import Split
from data.order import places
from data.shapes import write_shapes
from data.streaming import StreamedImages
from tasks import image_scores, images
from tasks.configs import BigBiGANConfig, BigGANConfig, InfoBigBiGANConfig
from tasks.modes import MODES
from training.callbacks import EpochEnd, Keeper
from training.config import left_open, make_config
from training.runs import create_run, open_run

TASK = MODES["biggan"].make_task()
TINY = {"dataset": "digits", "batch_size": 512, "generator_widths": (8,), "discriminator_widths": (8,)}
TINY_ENCODER = {"encoder_widths": (8,), "feature_dim": 8, "latent_width": 8, "latent_blocks": 0}


def write_npz(file, labels):
    random = np.random.default_rng(0)
    np.savez(file, images=random.integers(0, 256, (40, 8, 8), np.uint8), labels=labels)
    return str(file)


@pytest.mark.slow
def test_labels_change_no_bit_of_a_training(tmp_path, eager, short_features):
    """Even if the validation part is scored with them during training."""
    labels = np.arange(40) % 4
    shuffled = np.random.default_rng(1).permutation(labels)
    assert (labels != shuffled).any()
    checkpoints, points, row = [], [], MODES["infobigbigan"]
    task = row.make_task()
    for name, its_labels in (("own", labels), ("shuffled", shuffled)):
        keras.utils.clear_session(free_memory=False)  # layers are numbered by process, and checkpoints hold their names
        options = TINY | TINY_ENCODER | {"dataset": write_npz(tmp_path / f"{name}.npz", its_labels)}
        config, data = task.resolve(InfoBigBiGANConfig(**options | {"batch_size": 14, "epochs": 1, "curves": True}))
        model = task.build(config, task.facts(data))
        run = create_run(str(tmp_path / "runs"), name, row, config, task.facts(data))
        end = EpochEnd(run, functools.partial(task.curve_point, run, data), [Keeper(run)])
        batches, steps = task.batches(config, data, 0), task.steps_per_epoch(config, data)
        model.fit(batches, epochs=1, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=[end])
        assert int(model.step) == 2
        points.append(run.history[0]["validation/hungarian_accuracy"])
        checkpoints.append(run.checkpoints()[0][1].name)  # the name carries the digest
    assert checkpoints[0] == checkpoints[1]
    assert all(0 <= point <= 1 for point in points)


def test_epochs_come_from_updates():
    config, data = TASK.resolve(BigGANConfig(**TINY | {"batch_size": 128}, updates=20))
    assert TASK.steps_per_epoch(config, data) == 9  # 1,259 // 128
    assert config.epochs == 3


def test_epochs_that_are_given_go_before_updates():
    config, _ = TASK.resolve(BigGANConfig(**TINY, updates=20, epochs=5))
    assert config.epochs == 5


@pytest.mark.parametrize("chosen", ["bfloat16", "float32"])
def test_the_precision_that_auto_chose_is_recorded(tmp_path, monkeypatch, chosen):
    monkeypatch.setattr(images, "fastest_dtype", lambda: chosen)
    config, data = TASK.resolve(BigGANConfig(**TINY))
    create_run(str(tmp_path), "a", MODES["biggan"], config, TASK.facts(data))
    assert open_run(tmp_path / "a", "", MODES).config.precision == chosen


def test_a_precision_that_is_given_stays(monkeypatch):
    monkeypatch.setattr(images, "fastest_dtype", lambda: "bfloat16")
    assert TASK.resolve(BigGANConfig(**TINY, precision="float32"))[0].precision == "float32"


@pytest.mark.parametrize("chosen", ["bfloat16", "float32"])
def test_a_trained_model_computes_in_what_this_processor_is_fast_at(monkeypatch, capsys, chosen):
    monkeypatch.setattr(images, "fastest_dtype", lambda: chosen)
    config, _ = TASK.resolve(BigGANConfig(**TINY, precision="bfloat16"))
    assert (config.precision, TASK.in_use(config).precision) == ("bfloat16", chosen)
    assert ("no instructions for bfloat16" in capsys.readouterr().err) == (chosen == "float32")
    exact = BigGANConfig(**TINY, precision="float32")
    assert TASK.in_use(exact) == exact


def test_mnist_5k_in_place_of_mnist_is_announced_loudly(monkeypatch, capsys):
    monkeypatch.setattr(readers, "_prepared", lambda name, data_dir: None)
    monkeypatch.setattr(readers, "_downloadable", lambda name: False)
    config, data = TASK.resolve(BigGANConfig())
    assert config.dataset == data.name == "mnist_5k"
    assert "MNIST" in (announced := capsys.readouterr().err) and "THIS RUN USES mnist_5k" in announced


@pytest.mark.parametrize(("dataset", "updates", "epochs"), [("mnist_5k", 5500, 102), ("digits", 11_400, 600)])
def test_small_data_sets_have_batches_and_a_length_of_their_own(dataset, updates, epochs):
    every = left_open(BigGANConfig, {})
    config, _ = TASK.resolve(BigGANConfig(dataset=dataset), every)
    assert (config.batch_size, config.updates, config.epochs) == (64, updates, epochs)
    every = left_open(InfoBigBiGANConfig, {})
    assert MODES["infobigbigan"].make_task().resolve(InfoBigBiGANConfig(dataset=dataset), every)[0].views == 2


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ({"batch_size": 128}, {"batch_size": 128, "updates": 11_400, "epochs": 600}),
        ({"updates": 20}, {"batch_size": 64, "updates": 20, "epochs": 2}),
        ({"epochs": 700}, {"batch_size": 64, "epochs": 700}),
        ({"preset": "quick"}, {"batch_size": 64, "updates": 1170, "epochs": 62}),
        ({"preset": "reference"}, {"batch_size": 256, "updates": 11_400}),
    ],
)
def test_what_was_chosen_stays_on_small_data_sets(given, used):
    given = {"dataset": "digits"} | given
    config, _ = TASK.resolve(make_config(BigGANConfig, given), left_open(BigGANConfig, given))
    assert {name: getattr(config, name) for name in used} == used
    assert TASK.resolve(config)[0] == config  # as a training that is resumed asks again


def test_second_views_are_of_neighbours_only_where_this_is_the_default_or_asked_for():
    task = MODES["infobigbigan"].make_task()
    digits, rest = {"dataset": "digits"}, {"batch_size": 8, "epochs": 1}
    asked = [digits, digits | {"neighbours": 0}, digits | {"neighbours": 3}, {"dataset": "mnist_5k"}]
    resolved = [
        task.resolve(InfoBigBiGANConfig(**given | rest), left_open(InfoBigBiGANConfig, given | rest)) for given in asked
    ]
    assert [config.neighbours for config, _ in resolved] == [5, 0, 3, 5]
    kinds = [next(iter(task.batches(*own, first_epoch=0))) for own in resolved]
    assert [isinstance(kind, tuple) for kind in kinds] == [True, False, True, True]
    # a run that is resumed, and that was begun before the option existed
    assert task.resolve(InfoBigBiGANConfig(**digits | rest))[0].neighbours == 0
    with pytest.raises(InputError, match="--neighbours 1259: there are 1259 training images: use at most 1258"):
        task.resolve(InfoBigBiGANConfig(dataset="digits", neighbours=1259))


def test_a_data_set_smaller_than_a_batch_is_one_batch(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8))
    given = {"dataset": str(tmp_path / "x.npz")}
    config, data = TASK.resolve(make_config(BigGANConfig, given), left_open(BigGANConfig, given))
    assert config.batch_size == len(data.train.images) == 14 and config.epochs == 600


def test_digits_that_were_asked_for_are_not_announced(capsys):
    TASK.resolve(BigGANConfig(**TINY))
    assert capsys.readouterr().err == ""


def test_facts():
    _, data = TASK.resolve(BigGANConfig(**TINY))
    facts = TASK.facts(data)
    assert facts.pop("sha256") != TASK.facts(data._replace(train=data.validation))["sha256"]
    assert facts == {
        "image_shape": [8, 8, 1],
        "images": {"train": 1259, "validation": 179, "test": 359},
        "labels": True,
    }


def test_less_than_one_batch_is_refused():
    with pytest.raises(InputError, match="batch size 1260 .* 1259 training images.* 1 to 1259"):
        TASK.resolve(BigGANConfig(**TINY | {"batch_size": 1260}))


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
        TASK.build(config, {"image_shape": shape})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_dim": 2}, "--latent-dim 2: .* 3 parts: use at least 3"),
        ({"attention": 7}, "--attention 7: .*: use 14"),
        ({"attention": 14, "generator_widths": (8,), "discriminator_widths": (8,)}, "give G and F more widths"),
    ],
)
def test_a_generator_that_cannot_be_built_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        TASK.build(BigGANConfig(dataset="mnist", **options), {"image_shape": [28, 28, 1]})


def test_attention_stands_in_both_networks():
    widths = {"generator_widths": (8, 8), "discriminator_widths": (8, 8)}
    config = BigGANConfig(dataset="mnist", attention=14, precision="float32", **widths)
    model = TASK.build(config, {"image_shape": [28, 28, 1]})
    assert [attend is not None for attend in model.generator.attend] == [True, False]
    assert [attend is not None for attend in model.image_discriminator.attend] == [False, True, False]


def test_without_the_unary_scores_the_joint_score_alone_is_trained():
    options = TINY | TINY_ENCODER | {"s_x": False, "s_z": False, "precision": "float32"}
    model = MODES["bigbigan"].make_task().build(BigBiGANConfig(**options), {"image_shape": [8, 8, 1]})
    assert {name for name in model.tracked_names if name.startswith("loss/d_")} == {"loss/d_xz"}


# Larger images


@pytest.mark.parametrize(
    ("size", "generator", "discriminator"),
    [
        (8, (32, 16), (16, 32)),
        (32, (32, 16), (16, 32)),
        (48, (32, 16), (16, 32)),
        (64, (64, 32, 16), (16, 32, 64)),
        (100, (32, 16), (16, 32)),  # which cannot be halved three times
        (128, (128, 64, 32, 16), (16, 32, 64, 128)),
        (256, (256, 128, 64, 32, 16), (16, 32, 64, 128, 256)),
    ],
)
def test_widths_that_nobody_chose_follow_the_size_of_the_images(size, generator, discriminator):
    every = left_open(BigBiGANConfig, {})
    found = {"generator_widths": generator} | dict.fromkeys(("discriminator_widths", "encoder_widths"), discriminator)
    config = dataclasses.replace(BigBiGANConfig(), **images.widths_for(BigBiGANConfig(), size, every))
    assert {name: getattr(config, name) for name in found} == found
    images.check_halvings(config, [size, size, 3])
    images.check_generator(config, [size, size, 3])


def test_widths_that_were_chosen_stay_and_those_of_e_follow_its_own_size():
    given = {"generator_widths": (8, 8), "encoder_size": 64}
    config, every = BigBiGANConfig(**given), left_open(BigBiGANConfig, given)
    found = images.widths_for(config, 128, every)
    assert found == {"discriminator_widths": (16, 32, 64, 128), "encoder_widths": (16, 32, 64)}
    assert images.widths_for(config, 128, frozenset()) == {}  # as a training that is resumed asks


@pytest.mark.parametrize("size", [64, 128])
def test_colour_images_of_64_and_128_train(tmp_path, eager, size):
    """With tiny widths, whose number follows the size."""
    write_shapes(tmp_path / "x", 20, 32)
    tiny = {"generator_widths": (4, 4), "discriminator_widths": (4, 4), "encoder_widths": (4, 4)}
    given = {"dataset": str(tmp_path / "x"), "image_size": size, "epochs": 1, "batch_size": 4, "precision": "float32"}
    given |= {"feature_dim": 8, "latent_width": 8, "latent_blocks": 0}
    config = InfoBigBiGANConfig(**given | tiny)
    task = MODES["infobigbigan"].make_task()
    config, data = task.resolve(config, left_open(InfoBigBiGANConfig, given))
    assert config.generator_widths == {64: (8, 4, 4), 128: (16, 8, 4, 4)}[size]
    assert config.encoder_widths == config.discriminator_widths == config.generator_widths[::-1]
    model = task.build(config, task.facts(data))
    before = [weight.numpy() for weight in model.ge_variables]
    x = next(iter(task.batches(config, data, 0)))
    assert x.shape == (4, size, size, 3)
    logs = model.train_step(x)
    assert all(np.isfinite(value) for value in logs.values())
    assert all((own != weight.numpy()).any() for own, weight in zip(before, model.ge_variables, strict=True))
    assert model.generate(2).shape == model.reconstruct(x[:2]).shape == (2, size, size, 3)


# Data larger than memory


def test_facts_are_the_same_where_images_stream(tmp_path):
    write_shapes(tmp_path / "x", 40, 16)
    config = BigGANConfig(dataset=str(tmp_path / "x"), batch_size=14, epochs=1)
    own, other = (TASK.load(dataclasses.replace(config, cache_gb=limit)) for limit in (0.0, 1.0))
    assert isinstance(own.train.images, StreamedImages) and TASK.facts(own) == TASK.facts(other)


def test_neighbours_need_images_in_memory(tmp_path):
    write_shapes(tmp_path / "x", 40, 16)
    config = InfoBigBiGANConfig(dataset=str(tmp_path / "x"), neighbours=2, cache_gb=0.0, batch_size=14, epochs=1)
    with pytest.raises(InputError, match="--neighbours 2: .*streams: use --neighbours 0, or a higher --cache-gb"):
        MODES["infobigbigan"].make_task().resolve(config)


def test_a_training_from_disk_equals_one_from_memory_and_may_go_on_either_way(tmp_path, eager, short_features):
    write_shapes(tmp_path / "x", 40, 16)
    flags = ["--mode", "biggan", "--dataset", str(tmp_path / "x"), "--batch-size", "14", "--epochs", "2"]
    flags += [*"--generator-widths 8 --discriminator-widths 8 --runs-dir".split(), str(tmp_path)]
    runs = {}
    for name, limit in (("memory", "1"), ("disk", "0")):
        keras.utils.clear_session(free_memory=False)  # layers are numbered by process, and checkpoints hold their names
        assert train.main([*flags, "--name", name, "--cache-gb", limit]) == 0
        runs[name] = open_run(name, str(tmp_path), MODES)
    names = [file.name for _, file in runs["memory"].checkpoints()]
    assert names == [file.name for _, file in runs["disk"].checkpoints()] and len(names) == 2

    def scores(run):
        timed = ("train_minutes", "peak_memory_gb")
        return {name: value for name, value in run.scores.items() if name not in timed}

    assert scores(runs["memory"]) == scores(runs["disk"])
    (runs["disk"].path / "checkpoints" / names[0]).unlink()  # as if it had been stopped after its first epoch
    keras.utils.clear_session(free_memory=False)
    assert train.main(["--resume", "disk", "--runs-dir", str(tmp_path), "--cache-gb", "1"]) == 0
    assert [file.name for _, file in runs["disk"].checkpoints()] == names
    assert "cache" not in runs["disk"].command
    assert json.loads((runs["disk"].path / "config.json").read_text())["config"]["cache_gb"] == 0.0
    assert evaluate.main(["disk", "--runs-dir", str(tmp_path), "--kid"]) == 0


def test_scores_of_large_images_are_of_a_fixed_choice(monkeypatch):
    numbered = np.arange(50, dtype=np.uint8)
    part = Split(np.broadcast_to(numbered[:, None, None, None], (50, 4, 4, 1)), numbered.astype(np.int64))
    assert image_scores.scored(part) is part
    monkeypatch.setattr(image_scores, "SCORED_VALUES", 12 * 16)
    images, labels = image_scores.scored(part)
    assert images[:, 0, 0, 0].tolist() == labels.tolist() == places(50, 12).tolist()


@pytest.mark.parametrize(
    "count", [pytest.param(20_000, marks=pytest.mark.slow), pytest.param(200_000, marks=pytest.mark.torture)]
)
def test_a_large_folder_starts_soon(count, tmp_path, compiled, monkeypatch):
    monkeypatch.setenv("INFOBIGBIGAN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "x").mkdir()
    for value in range(250):
        Image.new("RGB", (16, 16), (value, 250 - value, 7)).save(tmp_path / f"{value}.png")
    for i in range(count):
        os.link(tmp_path / f"{i % 250}.png", tmp_path / f"x/{i:06d}.png")  # takes a fifth of the time of a copy
    config = BigGANConfig(
        dataset=str(tmp_path / "x"), generator_widths=(8,), discriminator_widths=(8,), epochs=1, cache_gb=5e-7 * count
    )
    for most in (240, 60):  # seconds on a busy machine; the second time the images are decoded already
        start = time.perf_counter()
        config, data = TASK.resolve(config)
        facts = TASK.facts(data)
        model = TASK.build(config, facts)
        model.fit(TASK.batches(config, data, 0), epochs=1, steps_per_epoch=1, verbose=0)
        assert time.perf_counter() - start < most
        assert isinstance(data.train.images, StreamedImages) and facts["images"]["train"] == 0.7 * count
