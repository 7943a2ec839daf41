import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from data import images as reader
from data.errors import InputError

downloadable = reader._downloadable  # the original; the fixture below replaces it
EVERY_VALUE = np.arange(256, dtype=np.uint8)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Hide the network, and any data set that is prepared in the home folder, from every test."""
    monkeypatch.setattr(reader, "_downloadable", lambda name: False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "no_tfds"))


def raises(match):
    """Expect an InputError whose message is one line and matches."""
    return pytest.raises(InputError, match=rf"^.*(?:{match}).*\Z")


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save_npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return str(path)


def save_pictures(folder, pictures, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"{i:03d}{suffix}")
    return str(folder)


def rows(images):
    return sorted(image.tobytes() for image in images)


def all_images(dataset):
    return np.concatenate([dataset.train.images, dataset.validation.images, dataset.test.images])


# Value range


def test_uint8_round_trip_is_exact():
    x = reader.to_float(EVERY_VALUE)
    assert x.dtype == np.float32 and x[0] == -1.0 and x[255] == 1.0
    u = reader.to_uint8(x)
    assert u.dtype == np.uint8
    np.testing.assert_array_equal(u, EVERY_VALUE)


def test_to_uint8_clips_and_does_not_wrap():
    x = np.array([-np.inf, -7.0, -1.0, 0.0, 1.0, 1.001, 300.0])
    np.testing.assert_array_equal(reader.to_uint8(x), [0, 0, 0, 128, 255, 255, 255])


# Splits


def test_digits():
    digits = reader.load("digits")
    assert digits.name == "digits" and digits.image_shape == (8, 8, 1)
    assert [len(s.images) for s in digits[1:4]] == [1259, 179, 359]
    assert digits.train.images.dtype == np.uint8 and digits.train.labels.dtype == np.int64
    assert digits.train.images.min() == 0 and digits.train.images.max() == 255
    assert set(digits.test.labels) == set(range(10))
    assert digits.class_names == tuple("0123456789")


def test_mnist_5k():
    mnist = reader.load("mnist_5k")
    assert mnist.name == "mnist_5k" and mnist.image_shape == (28, 28, 1)
    assert [len(s.images) for s in mnist[1:4]] == [3500, 500, 1000]
    assert mnist.train.images.dtype == np.uint8 and mnist.train.images.max() == 255
    np.testing.assert_array_equal(np.bincount(np.concatenate([s.labels for s in mnist[1:4]])), [500] * 10)
    assert np.bincount(mnist.test.labels).min() > 80  # the cut is random, not by label


@pytest.mark.slow
def test_mnist_5k_is_a_part_of_mnists_training_set(tfds_dir):
    small, whole = reader.load("mnist_5k"), reader.load("mnist", str(tfds_dir))

    def as_bytes(*splits):
        return {image.tobytes() for split in splits for image in split.images}

    mine = as_bytes(*small[1:4])
    assert [len(mine & as_bytes(part)) for part in whole[1:4]] == [4150, 850, 0]


@pytest.mark.slow
def test_mnist_unequal_is_mnist_with_fewer_and_fewer_images_of_a_digit(tfds_dir):
    unequal, whole = reader.load("mnist_unequal", str(tfds_dir)), reader.load("mnist", str(tfds_dir))
    assert unequal.name == "mnist_unequal" and unequal.class_names == whole.class_names
    for part, own, most in zip(unequal[1:4], whole[1:4], (5000, 1000, 1000), strict=True):
        counts = np.bincount(part.labels)[[1, 0, 7, 2, 9, 8, 6, 4, 3, 5]]
        np.testing.assert_array_equal(counts, np.linspace(most, most / 10, 10))
        every = {image.tobytes(): label for image, label in zip(own.images, own.labels, strict=True)}
        assert [every[image.tobytes()] for image in part.images] == part.labels.tolist()
        assert len({image.tobytes() for image in part.images}) == len(part.images)


def test_splits_are_disjoint_and_keep_image_with_label(tmp_path):
    images = np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None, None], (100, 4, 4))
    dataset = reader.load(save_npz(tmp_path / "x.npz", images=images, labels=np.arange(100) // 10))
    assert [len(s.images) for s in dataset[1:4]] == [70, 10, 20]
    np.testing.assert_array_equal(np.sort(all_images(dataset)[:, 0, 0, 0]), np.arange(100))
    for split in dataset[1:4]:
        np.testing.assert_array_equal(split.images[:, 0, 0, 0] // 10, split.labels)


NAMINGS = {  # labels of the classes 0 to 3 -> the names, in their order
    "numbers": ([2, 10, -3, 7], ("-3", "2", "7", "10")),
    "large numbers": (np.array([2**63, 5, 2**64 - 1, 0], np.uint64), ("0", "5", str(2**63), str(2**64 - 1))),
    "words": (["emu", "cat", "", "Ziege"], ("", "Ziege", "cat", "emu")),
    "numbers as text": (["10", "2", "1.5", "-1"], ("-1", "1.5", "2", "10")),
    "numbers and words": (["10", "2", "x", "b"], ("2", "10", "b", "x")),
    "bytes": ([b"b", "ä".encode(), b"c", b"a"], ("a", "b", "c", "ä")),
}


@pytest.mark.parametrize(("values", "names"), NAMINGS.values(), ids=NAMINGS)
def test_classes_of_any_names_are_numbered_without_gaps_and_keep_their_names(tmp_path, values, names):
    images = np.repeat(np.arange(40, dtype=np.uint8) % 4 * 60, 16).reshape(40, 4, 4)
    labels = np.array(values)[np.arange(40) % 4]
    dataset = reader.load(save_npz(tmp_path / "x.npz", images=images, labels=labels))
    assert dataset.class_names == names
    expected = [names.index(v.decode() if isinstance(v, bytes) else str(v)) for v in values]
    for split in dataset[1:4]:
        assert split.labels.dtype == np.int64
        np.testing.assert_array_equal(split.labels, np.array(expected)[split.images[:, 0, 0, 0] // 60])


def test_folders_with_numbers_for_names_are_classes_in_numeric_order(tmp_path):
    for name in ("10", "2", "1"):
        save_pictures(tmp_path / name, np.full((10, 8, 8), int(name), np.uint8))
    dataset = reader.load(str(tmp_path))
    assert dataset.class_names == ("1", "2", "10")
    for split in dataset[1:4]:
        np.testing.assert_array_equal(split.images[:, 0, 0, 0], np.array([1, 2, 10])[split.labels])


def test_other_names_of_folders_leave_every_image_in_place(tmp_path):
    """Also of files: the order of the images comes from their pixels."""
    images = random_images(60, 8, 8)
    for place, names in {"one": ["a", "b", "c"], "other": ["z", "10", "b"]}.items():
        for i, name in enumerate(names):
            save_pictures(tmp_path / place / name, images[20 * i : 20 * i + 20][:: 1 if place == "one" else -1])
    one, other = (reader.load(str(tmp_path / place)) for place in ("one", "other"))
    renamed = dict(zip(["a", "b", "c"], ["z", "10", "b"], strict=True))
    for part, again in zip(one[1:4], other[1:4], strict=True):
        np.testing.assert_array_equal(part.images, again.images)
        own = [renamed[one.class_names[label]] for label in part.labels]
        assert own == [other.class_names[label] for label in again.labels]


def test_other_names_leave_every_image_and_batch_in_place(tmp_path):
    """Also the order in which classes are scored."""
    images, labels = random_images(60, 4, 4), np.arange(60) % 3
    one, other = (
        reader.load(save_npz(tmp_path / f"{i}.npz", images=images, labels=np.array(names)[labels]))
        for i, names in enumerate([["b", "c", "a"], ["30", "4", "5"]])
    )
    np.testing.assert_array_equal(one.train.images, other.train.images)
    order = [np.array(dataset.class_names)[dataset.class_order] for dataset in (one, other)]
    renamed = dict(zip(["b", "c", "a"], ["30", "4", "5"], strict=True))
    assert [renamed[name] for name in order[0]] == order[1].tolist()


def test_built_in_classes_are_scored_in_their_own_order():
    assert reader.load("digits").class_order.tolist() == list(range(10))


def test_shuffled_labels_leave_every_image_and_batch_in_place(tmp_path):
    images, labels = random_images(60, 4, 4), np.arange(60) % 10
    shuffled = np.random.default_rng(1).permutation(labels)
    a = reader.load(save_npz(tmp_path / "a.npz", images=images, labels=labels))
    b = reader.load(save_npz(tmp_path / "b.npz", images=images, labels=shuffled))
    assert not np.array_equal(a.train.labels, b.train.labels)
    for split_a, split_b in zip(a[1:4], b[1:4], strict=True):
        np.testing.assert_array_equal(split_a.images, split_b.images)
    np.testing.assert_array_equal(take(a.train.images, 12), take(b.train.images, 12))


def test_mnist(tfds_dir):
    mnist = reader.load("mnist", str(tfds_dir))
    assert mnist.image_shape == (28, 28, 1) and mnist.class_names == tuple("0123456789")
    assert [s.images.shape[0] for s in mnist[1:4]] == [50_000, 10_000, 10_000]
    assert mnist.train.images.dtype == np.uint8 and mnist.train.labels.dtype == np.int64
    digits = np.bincount(np.concatenate([mnist.train.labels, mnist.validation.labels]))
    np.testing.assert_array_equal(digits, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])  # as published
    assert np.bincount(mnist.validation.labels, minlength=10).min() > 800  # the cut is random, not by label


def copy_of_mnist(tfds_dir, target):
    version = target / "mnist" / "3.0.1"
    version.mkdir(parents=True)
    for file in (tfds_dir / "mnist" / "3.0.1").iterdir():
        (version / file.name).write_bytes(file.read_bytes())
    return version


@pytest.mark.parametrize("name", ["mnist-test.tfrecord-00000-of-00001", "dataset_info.json", "features.json"])
def test_damaged_mnist(tfds_dir, tmp_path, name):
    os.truncate(copy_of_mnist(tfds_dir, tmp_path) / name, 100)
    with raises("prepared mnist in .*3.0.1 is damaged .*delete that folder"):
        reader.load("mnist", str(tmp_path))


# Choosing


def prepare(parent, version="3.0.1"):
    (parent / "mnist" / version).mkdir(parents=True)
    (parent / "mnist" / version / "dataset_info.json").write_text(json.dumps({}))


def test_default_is_mnist_if_it_is_prepared(tmp_path, monkeypatch):
    monkeypatch.delenv("INFOBIGBIGAN_DATA", raising=False)
    assert reader.choose_dataset(None, None) == "mnist_5k"
    prepare(tmp_path / "given")
    assert reader.choose_dataset(None, str(tmp_path / "given")) == "mnist"
    assert reader.choose_dataset(None, None) == "mnist_5k"
    monkeypatch.setenv("INFOBIGBIGAN_DATA", str(tmp_path / "shared"))
    prepare(tmp_path / "shared" / "tfds")
    assert reader.choose_dataset(None, None) == "mnist"
    assert reader.choose_dataset(None, str(tmp_path / "elsewhere")) == "mnist_5k"


def test_default_is_mnist_if_it_can_be_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_downloadable", lambda name: name == "mnist")
    assert reader.choose_dataset(None, str(tmp_path)) == "mnist"


def test_newest_complete_version_is_read(tmp_path):
    for version in ("3.0.1", "3.0.10", "3.0.11.incompleteABC"):
        prepare(tmp_path, version)
    assert reader._prepared("mnist", str(tmp_path)).name == "3.0.10"


def test_explicit_names_and_paths(tmp_path):
    assert reader.choose_dataset("digits", None) == "digits"
    assert reader.choose_dataset(str(tmp_path), None) == str(tmp_path)


@pytest.mark.parametrize(
    "wrong, right", [("mnits", "mnist"), ("fashion-mnist", "fashion_mnist"), ("CIFAR", "cifar10"), ("digit", "digits")]
)
def test_unknown_name(wrong, right):
    with raises(f"did you mean {right}"):
        reader.choose_dataset(wrong, None)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_neither_prepared_nor_downloadable(name, tmp_path):
    with raises(f"{tmp_path}/{name} and cannot be downloaded .*.data_dir., or use mnist_5k .dataset."):
        reader.choose_dataset(name, str(tmp_path))


def test_a_server_that_hangs_is_given_up_in_seconds(monkeypatch):
    monkeypatch.setattr(reader, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(reader.socket, "create_connection", lambda *_: contextlib.nullcontext(time.sleep(5)))
    start = time.monotonic()
    assert not downloadable("mnist")
    assert time.monotonic() - start < 2


def test_downloadable_if_the_server_answers(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setitem(reader.DOWNLOAD_SERVERS, "mnist", server.getsockname())
        assert downloadable("mnist")
    assert not downloadable("mnist")


def test_failed_download(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def refuse(*_, **__):
        raise ConnectionError("two\nlines")

    monkeypatch.setattr(reader, "_downloadable", lambda name: True)
    monkeypatch.setattr(tfds, "builder", refuse)
    with raises("cifar10 could not be downloaded to .*ConnectionError: two lines"):
        reader.load("cifar10", str(tmp_path))


def test_import_is_light():
    heavy = ["tensorflow", "tensorflow_datasets", "sklearn", "PIL"]
    code = f"import sys, data.images; sys.exit(str([m for m in {heavy} if m in sys.modules] or ''))"
    result = subprocess.run([sys.executable, "-c", code], cwd=Path(reader.__file__).parents[1], capture_output=True)
    assert result.stderr.strip() == b""


# The user's own .npz


@pytest.mark.parametrize("shape", [(20, 8, 8), (20, 8, 8, 1), (20, 8, 8, 3)])
def test_npz_uint8(tmp_path, shape):
    images = random_images(*shape)
    dataset = reader.load(save_npz(tmp_path / "x.npz", images=images))
    assert dataset.image_shape == (8, 8, shape[3] if len(shape) == 4 else 1)
    assert dataset.train.labels is None
    assert rows(all_images(dataset)) == rows(images)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [lambda u: u / 255, lambda u: u / 127.5 - 1])
def test_npz_float_ranges(tmp_path, dtype, scale):
    images = np.resize(EVERY_VALUE, (20, 16, 16))
    dataset = reader.load(save_npz(tmp_path / "x.npz", images=scale(images.astype(np.float64)).astype(dtype)))
    assert rows(all_images(dataset)) == rows(images)


def resized(images, kernel, size):
    """Return images float [N, H, W] resized by a kernel that overshoots."""
    return np.stack([np.asarray(Image.fromarray(image).resize((size, size), kernel)) for image in images])


@pytest.mark.parametrize("kernel", [Image.Resampling.BICUBIC, Image.Resampling.LANCZOS])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255)])
def test_overshoot_of_resizing_is_clipped_and_leaves_the_range(tmp_path, kernel, low, high, capsys):
    shares = load_digits().images[:60].astype(np.float32) / 16
    x = resized(shares * (high - low) + low, kernel, 20)
    assert x.min() < low - 0.05 * (high - low) and x.max() > high + 0.05 * (high - low)
    images = all_images(reader.load(save_npz(tmp_path / "x.npz", images=x)))
    expected = np.round(255 * np.clip((x.astype(float) - low) / (high - low), 0, 1))
    actual = np.sort(images.reshape(60, -1).astype(int), axis=0)
    np.testing.assert_allclose(actual, np.sort(expected.reshape(60, -1), axis=0), atol=1)
    assert f"read as [{low}, {high}]; " in capsys.readouterr().err


@pytest.mark.parametrize("stray", [-1e-7, -0.01, 1.001, -0.2])
def test_one_value_beyond_0_and_1_changes_no_other_value(tmp_path, stray):
    x = np.linspace(0, 1, 1280).reshape(20, 8, 8)
    plain = all_images(reader.load(save_npz(tmp_path / "x.npz", images=x)))
    x[3, 3, 3] = stray
    images = all_images(reader.load(save_npz(tmp_path / "x.npz", images=x)))
    assert np.sum(images != plain) == 1 and images[images != plain] == (0 if stray < 0 else 255)


@pytest.mark.parametrize("share", [0.005, 0.5, 0.995])
def test_values_that_are_really_negative_mean_a_signed_range(tmp_path, share):
    """Such as white paper with a few black strokes."""
    x = np.where(np.random.default_rng(0).random((20, 32, 32)) < share, -1.0, 1.0)
    images = all_images(reader.load(save_npz(tmp_path / "x.npz", images=x)))
    assert np.sum(images == 0) == np.sum(x == -1) and np.sum(images == 255) == np.sum(x == 1)


def test_a_signed_range_of_little_contrast(tmp_path):
    x = np.random.default_rng(0).uniform(-0.2, 0.2, (20, 8, 8))
    images = all_images(reader.load(save_npz(tmp_path / "x.npz", images=x)))
    assert (images.min(), images.max()) == (102, 153)


def test_floats_of_bytes_are_read_as_bytes(tmp_path, capsys):
    images = random_images(20, 8, 8)
    assert rows(all_images(reader.load(save_npz(tmp_path / "x.npz", images=images.astype(np.float32))))) == rows(images)
    assert "x.npz: images are float32 from 0 to 255, read as [0, 255]\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("images", "warned"),
    [
        (random_images(20, 8, 8) % 2, "span only 0 to 1 of"),
        (random_images(20, 8, 8) / 255.0**2, "span only 0 to 1 of"),
        (random_images(20, 8, 8) % 17, "span only 0 to 16 of"),
        (np.full((20, 8, 8), 7, np.uint8), "all 20 images are equal"),
        (np.repeat(random_images(1, 8, 8), 20, 0), "all 20 images are equal"),
        (random_images(20, 8, 8) % 2 * 255, None),
        (random_images(20, 8, 8) // 2 + 60, None),
    ],
)
def test_a_warning_if_the_values_are_hardly_meant_so(tmp_path, images, warned, capsys):
    reader.load(save_npz(tmp_path / "x.npz", images=images))
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert [warned in line for line in warnings] == ([True] if warned else [])


def test_a_warning_if_the_pictures_of_a_folder_are_equal(tmp_path, capsys):
    reader.load(save_pictures(tmp_path, np.zeros((20, 8, 8), np.uint8)))
    assert f"warning: {tmp_path}: all 20 images are equal" in capsys.readouterr().err


def test_the_range_of_bytes_is_printed(tmp_path, capsys):
    reader.load(save_npz(tmp_path / "x.npz", images=np.linspace(3, 250, 1280).astype(np.uint8).reshape(20, 8, 8)))
    assert capsys.readouterr().err == f"{tmp_path}/x.npz: images are uint8 from 3 to 250\n"


def test_a_suffix_in_upper_case(tmp_path):
    images = random_images(20, 8, 8)
    Path(save_npz(tmp_path / "x.npz", images=images)).rename(tmp_path / "X.NPZ")
    assert rows(all_images(reader.load(str(tmp_path / "X.NPZ")))) == rows(images)


def test_npz_resized_to_a_square(tmp_path):
    images = np.repeat(EVERY_VALUE[:20], 12 * 8 * 3).reshape(20, 12, 8, 3)
    dataset = reader.load(save_npz(tmp_path / "x.npz", images=images), image_size=6)
    assert dataset.image_shape == (6, 6, 3)
    # Resizing keeps a constant image.
    np.testing.assert_array_equal(np.sort(all_images(dataset)[:, 2, 3, 1]), EVERY_VALUE[:20])


@pytest.mark.parametrize(
    "arrays, match",
    [
        ({"pictures": random_images(20, 8, 8)}, r"no array 'images', only \['pictures'\]"),
        ({"images": random_images(20, 8)}, r"shape \[20, 8\]"),
        ({"images": random_images(20, 3, 8, 8)}, r"shape \[20, 3, 8, 8\].*C 1 or 3, or 2 or 4 with alpha"),
        ({"images": random_images(20, 8, 8, 5)}, r"shape \[20, 8, 8, 5\]"),
        ({"images": random_images(0, 8, 8)}, "are empty"),
        ({"images": random_images(9, 8, 8)}, "holds 9 images, too few"),
        ({"images": random_images(20, 8, 8).astype(np.int64)}, "are int64: save uint8"),
        ({"images": np.full((20, 8, 8), "a")}, "are <U1: save uint8"),
        ({"images": np.array([object()] * 20)}, "Python objects, .*numpy.stack"),
        ({"images": random_images(20, 8, 8), "labels": np.array(["a", None] * 10)}, "Python objects, .*astype.str"),
        ({"images": np.linspace(0, 2, 1280).reshape(20, 8, 8)}, "float64 from 0 to 2, .*: scale"),
        ({"images": np.linspace(0, 100, 1280).reshape(20, 8, 8)}, "from 0 to 100"),
        ({"images": np.linspace(-1.5, 1, 1280).reshape(20, 8, 8)}, "from -1.5 to 1"),
        ({"images": np.linspace(-128, 127, 1280).reshape(20, 8, 8)}, "from -128 to 127"),
        ({"images": np.r_[np.linspace(0, 1, 1279), 255].reshape(20, 8, 8)}, "from 0 to 255"),
        ({"images": np.r_[np.linspace(0, 1, 1279), -1].reshape(20, 8, 8)}, "from -1 to 1"),
        ({"images": np.full((20, 8, 8), np.nan)}, "not finite"),
        ({"images": np.full((20, 8, 8), -np.inf)}, "not finite"),
        ({"images": random_images(20, 8, 6)}, "images of 8x6: .*image_size"),
        ({"images": random_images(20, 8, 8), "labels": np.arange(19)}, r"shape \[19\] for 20 images"),
        ({"images": random_images(20, 8, 8), "labels": np.zeros((20, 1), int)}, r"shape \[20, 1\] for 20 images"),
        ({"images": random_images(20, 8, 8), "labels": np.arange(20.0)}, "are float64: save integers"),
        ({"images": random_images(20, 8, 8), "labels": np.arange(20) - 1}, "20 different values for as many images"),
        ({"images": random_images(20, 8, 8), "labels": np.arange(20).astype(str)}, "20 different values"),
        ({"images": random_images(20, 8, 8), "labels": np.arange(20) // 19 * 5}, "no image of '5' .1 of 2 classes"),
        ({"images": random_images(20, 8, 8), "labels": np.full(20, 3)}, "all of one class: leave the labels out"),
    ],
)
def test_bad_npz(tmp_path, arrays, match):
    path = save_npz(tmp_path / "x.npz", **arrays)
    with raises(f"x.npz.*{match}|{match}.*x.npz"):
        reader.load(path)


def test_damaged_npz(tmp_path):
    good = Path(save_npz(tmp_path / "good.npz", images=random_images(20, 8, 8))).read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 0xFF
    np.save(tmp_path / "array.npy", random_images(20, 8, 8))
    npy = (tmp_path / "array.npy").read_bytes()
    for i, damaged in enumerate([b"", good[:10], good[: len(good) // 2], bytes(flipped), npy]):
        path = tmp_path / f"bad{i}.npz"
        path.write_bytes(damaged)
        with raises(f"bad{i}.npz cannot be read"):
            reader.load(str(path))


@pytest.mark.parametrize(
    ("offset", "value"),
    [(6, 200), (8, 1), (10, 99), (10, 14), (10, 12)],
    ids=["version", "locked", "99", "lzma", "bz2"],
)
def test_a_member_of_an_unknown_version_or_compression(tmp_path, offset, value):
    """The offsets are those of an entry of the central directory, which has two bytes more before the flags."""
    path = Path(save_npz(tmp_path / "x.npz", images=random_images(20, 8, 8)))
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + offset] = value
    content[4 + offset - 6] = value
    path.write_bytes(content)
    with raises("x.npz cannot be read .*write it again"):
        reader.load(str(path))


@pytest.mark.parametrize("kept", [50, 200])
def test_a_truncated_member(tmp_path, kept):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        np.save(tmp_path / "images.npy", random_images(20, 8, 8))
        archive.writestr("images.npy", (tmp_path / "images.npy").read_bytes()[:kept])
    with raises("x.npz cannot be read .*write it again"):
        reader.load(str(tmp_path / "x.npz"))


@pytest.mark.parametrize(
    "member", [b"no array", b"\x93NUMPY\1\0\x10\0{'shape': (20, 8,\n"], ids=["bytes", "open header"]
)
def test_a_member_that_is_no_array(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", member)
    with raises("x.npz cannot be read .*write it again"):
        reader.load(str(tmp_path / "x.npz"))


def test_labels_of_characters_that_do_not_exist(tmp_path):
    labels = np.frombuffer(b"\xff" * 80, "<U1")
    with raises("x.npz cannot be read"):
        reader.load(save_npz(tmp_path / "x.npz", images=random_images(20, 8, 8), labels=labels))


def test_a_pipe_among_pictures_is_refused(tmp_path):
    os.mkfifo(tmp_path / "0.png")
    Image.new("L", (8, 8)).save(tmp_path / "1.png")
    with raises("0.png is a pipe or a device"):
        reader.load(str(tmp_path))


def test_a_gif_that_ends_within_a_block(tmp_path):
    Image.new("P", (8, 8)).save(tmp_path / "x.gif")
    content = (tmp_path / "x.gif").read_bytes()
    (tmp_path / "x.gif").write_bytes(content[:-1] + b"!\xf9\1\0\0")
    with raises("x.gif cannot be read as an image"):
        reader.read_picture(tmp_path / "x.gif")


def test_a_file_of_several_pictures_is_one_error(tmp_path):
    first, second = map(Image.fromarray, random_images(2, 8, 8))
    first.save(tmp_path / "x.gif", save_all=True, append_images=[second])
    with pytest.raises(InputError, match="^x.gif holds several pictures: give a file with one$"):
        reader.read_picture(tmp_path / "x.gif")


def test_missing_path_and_wrong_file(tmp_path):
    with raises("gone.npz.* nor an existing path"):
        reader.load(str(tmp_path / "gone.npz"))
    (tmp_path / "x.txt").write_text("images")
    with raises("x.txt is not an .npz file or a folder"):
        reader.load(str(tmp_path / "x.txt"))


@pytest.mark.parametrize("size", [0, -4])
def test_bad_image_size(size):
    with raises(f"image size {size}"):
        reader.load("digits", image_size=size)


# The user's own folder


def test_folder_of_gray_images(tmp_path):
    images = random_images(20, 8, 8)
    dataset = reader.load(save_pictures(tmp_path, images))
    assert dataset.image_shape == (8, 8, 1) and dataset.train.labels is None
    assert rows(all_images(dataset)) == rows(images)


def test_folder_of_classes(tmp_path):
    for name, value in [("dog", 200), ("cat", 100), ("emu", 50)]:
        save_pictures(tmp_path / name, np.full((10, 8, 8, 3), value, np.uint8), ".bmp")
    (tmp_path / ".cache").mkdir()
    dataset = reader.load(str(tmp_path))
    assert dataset.image_shape == (8, 8, 3) and dataset.class_names == ("cat", "dog", "emu")
    for split in dataset[1:4]:
        assert split.labels.dtype == np.int64
        np.testing.assert_array_equal(split.images[:, 0, 0, 0], np.array([100, 200, 50])[split.labels])


def test_one_colour_image_makes_all_rgb(tmp_path):
    save_pictures(tmp_path, random_images(20, 8, 8))
    Image.fromarray(random_images(8, 8, 3)).save(tmp_path / "colour.jpeg")
    assert reader.load(str(tmp_path)).image_shape == (8, 8, 3)


def test_folder_of_mixed_sizes(tmp_path):
    save_pictures(tmp_path, random_images(19, 8, 8))
    Image.fromarray(random_images(10, 12)).save(tmp_path / "odd.png")
    with raises("odd.png is 12x10 but 000.png is 8x8 .*image_size"):
        reader.load(str(tmp_path))
    assert reader.load(str(tmp_path), image_size=8).image_shape == (8, 8, 1)


def test_folder_of_oblong_images(tmp_path):
    path = save_pictures(tmp_path, random_images(20, 8, 6))
    with raises("images of 8x6: .*image_size"):
        reader.load(path)
    assert reader.load(path, image_size=5).image_shape == (5, 5, 1)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6])
def test_damaged_image_is_named(tmp_path, suffix, kept):
    path = save_pictures(tmp_path, random_images(20, 32, 32), suffix)
    bad = tmp_path / f"007{suffix}"
    os.truncate(bad, int(kept * bad.stat().st_size))
    with raises(f"007{suffix} cannot be read as an image"):
        reader.load(path)


def test_sixteen_bit_image(tmp_path):
    path = save_pictures(tmp_path, random_images(20, 8, 8).astype(np.uint16) * 256)
    with raises("000.png has pixels of mode 'I;16': convert"):
        reader.load(path)


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".tif", ".TIFF"])
def test_other_suffixes_are_read(tmp_path, suffix):
    values = np.arange(20, dtype=np.uint8) * 12
    for value in values:
        file = tmp_path / f"{value}{suffix}"
        Image.new("L", (8, 8), int(value)).save(file, **({"lossless": True} if suffix == ".webp" else {}))
    images = all_images(reader.load(str(tmp_path)))
    assert images.shape[-1] == (3 if suffix in (".webp", ".gif") else 1)
    np.testing.assert_array_equal(np.sort(images[:, 3, 3, 0]), values)


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".tif"])
def test_the_first_picture_of_a_file_is_read_and_the_others_are_announced(tmp_path, suffix, capsys):
    for i in range(20):
        first, second = (Image.new("RGB", (8, 8), (value, 0, 0)) for value in (10, 200))
        first.save(tmp_path / f"{i}{suffix}", **{"save_all": True, "append_images": [second]} if i < 7 else {})
    assert all_images(reader.load(str(tmp_path)))[..., 0].max() < 20
    assert f"{tmp_path}: 7 files hold several pictures" in capsys.readouterr().err


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", np.uint16), ("F", np.float32)])
def test_tiff_of_other_pixels_is_refused(tmp_path, mode, dtype):
    path = save_pictures(tmp_path, random_images(20, 8, 8).astype(dtype), ".tif")
    with raises(f"000.tif has pixels of mode '{mode}': convert"):
        reader.load(path)


def test_what_is_left_out_of_a_folder_is_named_with_its_number(tmp_path, capsys):
    save_pictures(tmp_path / "cat", random_images(20, 8, 8))
    save_pictures(tmp_path / "dog", random_images(20, 8, 8))
    save_pictures(tmp_path / "dog" / "poodle", random_images(3, 8, 8))
    for name in ("cat/a.heic", "cat/b.HEIC", "dog/c.heic", "notes.txt", "dog/.hidden", "LICENSE"):
        (tmp_path / name).touch()
    dataset = reader.load(str(tmp_path))
    assert len(all_images(dataset)) == 40 and dataset.class_names == ("cat", "dog")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path}: ") and "webp" in line
    assert all(fact in line for fact in ("3 files of .heic", "1 files of .txt", "1 files of no suffix", "3 images one"))
    assert str(tmp_path / "dog/poodle") in line and "hidden" not in line


def test_a_folder_that_is_read_whole_is_not_announced(tmp_path, capsys):
    reader.load(save_pictures(tmp_path, random_images(20, 8, 8)))
    assert "left out" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "fact"),
    [("emu/1.heic", "1 files of .heic"), ("emu/young/000.png", "1 images one level"), ("emu/.x", "nothing")],
)
def test_a_class_without_an_image_that_is_read_is_an_error(tmp_path, name, fact):
    for kind in ("cat", "dog"):
        save_pictures(tmp_path / kind, random_images(20, 8, 8))
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    with raises(f"{tmp_path}/emu stands beside folders of classes, .*{fact}"):
        reader.load(str(tmp_path))


def test_images_that_lie_too_deep_are_found_in_the_error(tmp_path):
    save_pictures(tmp_path / "train" / "cat", random_images(20, 8, 8))
    with raises(f"has no images .*, only 20 images one level deeper .such as {tmp_path}/train/cat/000.png"):
        reader.load(str(tmp_path))


def test_a_class_with_no_training_image_is_an_error(tmp_path):
    save_pictures(tmp_path / "cat", random_images(36, 8, 8))
    save_pictures(tmp_path / "emu", random_images(1, 8, 8))  # which the cut gives to another part
    with raises("the training part has no image of 'emu' .1 of 2 classes"):
        reader.load(str(tmp_path))


# The picture that a person sees

SEEN = np.zeros((8, 12, 3), np.uint8)
SEEN[:4], SEEN[4:, :6] = (200, 40, 40), (40, 40, 200)  # a red half above, a blue quarter below, the rest black
STORED = {  # EXIF orientation -> the pixels that a person then sees as SEEN
    1: SEEN, 2: SEEN[:, ::-1], 3: SEEN[::-1, ::-1], 4: SEEN[::-1],
    5: SEEN.swapaxes(0, 1), 6: np.rot90(SEEN), 7: SEEN[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(SEEN, -1),
}  # fmt: skip


def save_turned(file, orientation, pixels=None):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation] if pixels is None else pixels)).save(file, exif=exif)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_images_are_turned_as_their_orientation_says(tmp_path, suffix, capsys):
    for i in range(24):
        save_turned(tmp_path / f"{i:02d}{suffix}", i % 8 + 1)
    images = all_images(reader.load(str(tmp_path), image_size=12)).astype(int)
    expected = reader._resize(SEEN[None], 12).astype(int)
    assert np.abs(images[:, 2:4] - expected[:, 2:4]).max() < (60 if suffix in (".jpg", ".webp") else 1)
    assert np.abs(images - expected).mean() < 12
    assert f"{tmp_path}: 21 images are turned" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_sizes_are_those_that_a_person_sees_and_no_pixel_is_decoded_for_them(tmp_path, suffix, monkeypatch):
    for i in range(20):
        save_turned(tmp_path / f"{i:02d}{suffix}", [1, 6][i % 2])  # stored as 12x8 and 8x12, seen as 12x8
    monkeypatch.setattr(reader, "_read_pixels", None)
    with raises("holds images of 8x12: .*image_size"):
        reader.load(str(tmp_path))
    save_turned(tmp_path / f"99{suffix}", 6, SEEN)
    with raises(f"99{suffix} is 8x12 but 00{suffix} is 12x8"):
        reader.load(str(tmp_path))


def test_a_damaged_orientation_leaves_the_image_as_it_is(tmp_path):
    for i in range(20):
        Image.fromarray(SEEN[:, :8]).save(tmp_path / f"{i}.png", exif=b"Exif\0\0no tags")
    np.testing.assert_array_equal(all_images(reader.load(str(tmp_path))), np.repeat(SEEN[None, :, :8], 20, 0))


def drawing(mode):
    """Return a picture whose left half is drawn, and whose right half is clear and hides noise."""
    noise = random_images(8, 8, seed=np.random.default_rng().integers(2**31)) // 2
    gray, alpha = np.full((8, 8), 200, np.uint8), np.full((8, 8), 255, np.uint8)
    gray[:, 4:], alpha[:, 4:] = noise[:, 4:], 0
    if mode in ("LA", "RGBA"):
        return Image.merge(mode, [Image.fromarray(band) for band in [gray] * (len(mode) - 1) + [alpha]])
    image = Image.fromarray(np.where(alpha, gray, 7)).convert("L" if mode == "PA" else mode)
    image.info["transparency"] = {"P": 0, "L": 7, "RGB": (7, 7, 7)}.get(mode)
    if mode == "P":
        image.putpalette([250, 0, 0] + [200, 200, 200] * 255)
        image.putdata(np.where(alpha, 1, 0).ravel().tolist())
    return image


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "RGB"])
@pytest.mark.parametrize(("background", "colour"), [("white", (255, 255, 255)), ("#0a141e", (10, 20, 30))])
def test_transparent_images_stand_on_one_colour_and_hide_nothing(tmp_path, mode, background, colour, capsys):
    for i in range(20):
        drawing(mode).save(tmp_path / f"{i}.png")
    Image.new("L", (8, 8), 9).save(tmp_path / "opaque.png")
    dataset = reader.load(str(tmp_path), background=background)
    gray = mode in ("LA", "L") and background == "white"
    assert dataset.image_shape == (8, 8, 1 if gray else 3)
    images = all_images(dataset)
    drawn = images[images[:, 0, 0, 0] != 9]
    assert len(drawn) == 20
    np.testing.assert_array_equal(drawn[:, :, :4], 200)
    np.testing.assert_array_equal(
        drawn[:, :, 4:], np.broadcast_to(colour[: images.shape[-1]], (20, 8, 4, images.shape[-1]))
    )
    assert f"{tmp_path}: 20 images are transparent: they stand on {background}" in capsys.readouterr().err


def test_half_transparent_pixels_are_mixed_with_the_background(tmp_path, capsys):
    for i in range(20):
        Image.new("RGBA", (8, 8), (100, 0, 200, 128)).save(tmp_path / f"{i}.png")
    images = all_images(reader.load(str(tmp_path), background="blue"))
    np.testing.assert_allclose(images, np.broadcast_to([50, 0, 227], images.shape), atol=1)


def test_an_alpha_channel_without_a_clear_pixel_is_not_announced(tmp_path, capsys):
    for i in range(20):
        Image.new("LA", (8, 8), (i, 255)).save(tmp_path / f"{i}.png")
    assert sorted(all_images(reader.load(str(tmp_path)))[:, 0, 0, 0]) == list(range(20))
    assert "transparent" not in capsys.readouterr().err


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize(
    ("pixel", "background", "seen"),
    [
        ((100, 0, 200, 128), "blue", (50, 0, 227)),
        ((100, 0, 200, 0), "white", (255, 255, 255)),
        ((100, 255), "white", (100,)),
        ((100, 0), "white", (255,)),
        ((100, 0), "blue", (0, 0, 255)),
    ],
)
def test_arrays_with_alpha_stand_on_the_background(tmp_path, capsys, pixel, background, seen, floats):
    images = np.tile(np.array(pixel, np.uint8), (20, 8, 8, 1))
    images[:, 0, 0] = [255] * len(pixel)  # so that floats are seen to lie in [0, 1]
    path = save_npz(tmp_path / "x.npz", images=images / 255 if floats else images)
    found = all_images(reader.load(path, background=background))
    np.testing.assert_allclose(found[:, 1:], np.broadcast_to(seen, (20, 7, 8, len(seen))), atol=1)
    said = "20 images are transparent: they stand on" in capsys.readouterr().err
    assert said == (pixel[-1] < 255)


@pytest.mark.parametrize("name", ["whit", "#12", "", "#11223344"])
def test_a_background_that_is_no_colour(tmp_path, name):
    with raises(f"background '{name}' is not a colour"):
        reader.load(save_pictures(tmp_path, random_images(20, 8, 8)), background=name)


def test_a_single_sub_folder_gives_no_labels(tmp_path):
    save_pictures(tmp_path / "all", random_images(20, 8, 8))
    assert reader.load(str(tmp_path)).train.labels is None


def test_empty_small_and_ambiguous_folders(tmp_path):
    with raises("has no images .*only empty folders"):
        reader.load(str(tmp_path))
    save_pictures(tmp_path, random_images(9, 8, 8))
    with raises("holds 9 images, too few"):
        reader.load(str(tmp_path))
    save_pictures(tmp_path / "class", random_images(9, 8, 8))
    with raises("beside and inside its sub-folders"):
        reader.load(str(tmp_path))


# Neighbours


def test_neighbours_are_mutual_and_never_the_image_itself_unless_it_has_none():
    values = [0, 1, 2, 30, 31, 32, 90]  # the last is nobody's neighbour, though 31 and 32 are nearest to it
    images = np.array(values, np.uint8)[:, None, None, None]
    found = [sorted({values[j] for j in row}) for row in reader.neighbours(images, 2)]
    assert found == [[1, 2], [0, 2], [0, 1], [31, 32], [30, 32], [30, 31], [90]]
    assert reader.neighbours(images, 2).shape == (7, 2)


def test_neighbours_of_digits_are_nearly_always_of_one_class():
    train = reader.load("digits").train
    found = reader.neighbours(train.images, 5)
    assert np.mean(train.labels[found] == train.labels[:, None]) > 0.98
    assert np.mean(found == np.arange(len(found))[:, None]) < 0.1


def test_batches_with_neighbours():
    images = random_images(30, 4, 4)[..., np.newaxis]
    found, alone = reader.neighbours(images, 3), reader.batches(images, 8, seed=5)
    x, other = (np.concatenate(part) for part in zip(*reader.batches(images, 8, 5, 0, 3).take(60), strict=True))
    np.testing.assert_array_equal(x[:16], np.concatenate(list(alone.take(2))))
    place = {image.tobytes(): i for i, image in enumerate(reader.to_float(images))}
    drawn = {(place[a.tobytes()], place[b.tobytes()]) for a, b in zip(x, other, strict=True)}
    assert drawn == {(i, j) for i, row in enumerate(found) for j in row}  # each neighbour is drawn, and no other image
    resumed = next(iter(reader.batches(images, 8, 5, 2, 3)))  # an epoch has three steps
    for whole, again in zip((x, other), resumed, strict=True):
        np.testing.assert_array_equal(whole[48:56], again)


# Batches


def numbered(count):
    """Return images whose pixels all equal the number of the image."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 2, 2, 1)).copy()


def take(images, steps, batch_size=4, seed=0, **kwargs):
    return np.stack([x.numpy() for x in islice(reader.batches(images, batch_size, seed, **kwargs), steps)])


def test_batches_hold_the_images_as_to_float_gives_them():
    images = np.resize(EVERY_VALUE, (1, 16, 16, 1))
    (x,) = islice(reader.batches(images, 1, seed=0), 1)
    assert x.dtype == np.float32 and x.shape == (1, 16, 16, 1)
    np.testing.assert_array_equal(x, reader.to_float(images))


def test_each_epoch_is_another_permutation():
    epochs = reader.to_uint8(take(numbered(20), 15))[..., 0, 0, 0].reshape(3, 20)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(20))
    assert not np.array_equal(epochs[0], epochs[1]) and not np.array_equal(epochs[1], epochs[2])


def test_remainder_is_dropped():
    epochs = reader.to_uint8(take(numbered(11), 4))[..., 0, 0, 0].reshape(2, 8)
    assert all(len(set(epoch)) == 8 for epoch in epochs)


def test_order_is_a_function_of_the_seed():
    images = numbered(20)
    np.testing.assert_array_equal(take(images, 12), take(images, 12))
    assert not np.array_equal(take(images, 12), take(images, 12, seed=1))


def test_first_epoch_equals_skipping_epochs():
    images = numbered(22)
    np.testing.assert_array_equal(take(images, 25)[15:], take(images, 10, first_epoch=3))


@pytest.mark.parametrize("batch_size", [0, 11])
def test_batch_size_must_fit(batch_size):
    with raises(f"batch size {batch_size} does not fit 10 training images"):
        reader.batches(numbered(10), batch_size, seed=0)
