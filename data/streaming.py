"""Data larger than the memory they may take: images decoded once, or ids of words, in a file that is read as needed.

Such a file lies in the cache folder, beside an index. The index is written last, so a file without one is not used. A
change of the data set gives both another name.
"""

import contextlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from data.archives import opened_arrays
from data.digests import short_sha256
from data.errors import DataError

GB = 2**30
SLICE = 2**22  # bytes of images that are read at a time where a whole set is passed over

Item = TypeVar("Item")


def memory_limit(cache_gb: float | None) -> float:
    """Return the bytes that a data set may take in memory; None: half of the memory that is free now."""
    import psutil

    return psutil.virtual_memory().available / 2 if cache_gb is None else cache_gb * GB


def cache_dir() -> Path:
    """Return the folder of what is kept from run to run: $INFOBIGBIGAN_CACHE or ~/.cache/infobigbigan."""
    return Path(os.environ.get("INFOBIGBIGAN_CACHE") or "~/.cache/infobigbigan").expanduser()


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a file to write, and rename it to `path` at the end; after an error nothing of it remains."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")  # another process may write the same file
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


class OpenContent:
    """The content of a store, open. Threads may read at once, also if another process removes the file as outdated."""

    def __init__(self, file: Path):
        self.file, self.opened = file, file.open("rb", buffering=0)

    def read(self, place: int, size: int) -> bytes:
        """Return `size` bytes from a place on. Raise DataError if the file was cut while it is in use."""
        content = os.pread(self.opened.fileno(), size, place)
        if len(content) < size:
            raise DataError(f"{self.file} is cut short: delete it; the next run makes it anew")
        return content


class StreamedImages:
    """Images in a file, which stand where an array uint8 [N, H, W, C] in [0, 255] stands.

    Indexing by a slice or by an array of indices reads these images, and returns an array. Threads may do so at once.

    Args:
        file: the bytes of all images, one image after the other.
        image_shape: (H, W, C).
        rows: the places of the N images in the file, int64 [N].
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, file: Path, image_shape: tuple[int, int, int], rows: np.ndarray):
        self.file, self.image_shape, self.rows = file, image_shape, rows
        self._content = OpenContent(file)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)."""
        return (len(self), *self.image_shape)

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        rows = self.rows[chosen]
        images, size = np.empty((len(rows), *self.image_shape), np.uint8), math.prod(self.image_shape)
        for image, row in zip(images, rows.tolist(), strict=True):
            image[...] = np.frombuffer(self._content.read(row * size, size), np.uint8).reshape(image.shape)
        return images

    def select(self, chosen: np.ndarray) -> "StreamedImages":
        """Return the images at these indices, int64 [M], without reading them."""
        return StreamedImages(self.file, self.image_shape, self.rows[chosen])


Images = np.ndarray | StreamedImages  # uint8 [N, H, W, C] in [0, 255]


def slices(images: Images) -> Iterator[np.ndarray]:
    """Yield all images in order, a few at a time: uint8 [n, H, W, C]."""
    step = max(1, SLICE // math.prod(images.shape[1:]))
    for start in range(0, len(images), step):
        yield images[start : start + step]


def state_of(file: Path) -> tuple[str, str, int, int]:
    """Return what changes with the content of a file: the names of its folder and itself, its size, and its time."""
    found = file.stat()
    return file.parent.name, file.name, found.st_size, found.st_mtime_ns


def make_room(folder: Path, size: int, what: str, **arguments: str) -> None:
    """Make a folder of the cache.

    Args:
        what: the content of `size` bytes that is to be written, in words.
        arguments: ways to do without the file, as `DataError` takes them.

    Raises:
        DataError: the disk has no room for so many bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder).free) < size:
        raise DataError(
            f"{size / GB:.2f} GB of {what} do not fit into {folder}, where {free / GB:.2f} GB are free",
            "make room",
            "let INFOBIGBIGAN_CACHE name a folder of another disk",
            **arguments,
            cache_gb="read them into memory",
        )


def mapped(pieces: Iterable[Sequence[np.ndarray]], folder: Path, what: str) -> list[np.ndarray]:
    """Return arrays that are given in pieces, each array in a file that is mapped into memory.

    The files have no names. So the system removes them with the last array that uses them, however the program ends.

    Args:
        pieces: the next piece of every array, [n] each; at least one piece.
        folder: a folder of the cache.
        what: the content of the arrays, in words.

    Raises:
        DataError: the disk has no room for them.
    """
    with contextlib.ExitStack() as stack:
        files, last = [], []
        for last in pieces:
            make_room(folder, sum(piece.nbytes for piece in last), what)
            files = files or [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in last]
            for file, piece in zip(files, last, strict=True):
                file.write(piece)
        # an empty file cannot be mapped; the last piece is empty then, as all are
        return [np.memmap(f, piece.dtype, "r") if f.tell() else piece for f, piece in zip(files, last, strict=True)]


class Store:
    """The place in the cache folder of what was read of a data set: a file of content, and an index.

    Args:
        source: the data set, and how it is read: anything that JSON can hold.
        state: what changes whenever the content of the data set does.
    """

    kind: ClassVar[str]  # of content: the name of its folder
    suffix: ClassVar[str]  # of the file of content

    def __init__(self, source: Any, state: Any):
        own, content = (short_sha256([json.dumps(what).encode()]) for what in (source, state))
        self.folder, self.own = cache_dir() / self.kind, own
        self.content, self.index = (self.folder / f"{own}-{content}.{suffix}" for suffix in (self.suffix, "npz"))

    def read_index(self) -> dict[str, np.ndarray]:
        """Return the arrays of the index. Raise OSError or ValueError if no whole one is there."""
        with opened_arrays(self.index) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def write_arrays(self, **arrays: Any) -> None:
        """Write the arrays of the index, and remove what earlier states of the data set left."""
        with whole_file(self.index) as beside, beside.open("wb") as file:
            np.savez(file, **arrays)
        for old in self.folder.glob(f"{self.own}-*"):
            if old not in (self.content, self.index) and old.suffix != ".partial":
                old.unlink(missing_ok=True)


class ImageStore(Store):
    """The place of the decoded images of a data set."""

    kind, suffix = "images", "pixels"

    def read(self) -> tuple[StreamedImages, dict[str, np.ndarray]] | None:
        """Return the images, and the other arrays of the index; None if no whole ones are there."""
        try:
            index = self.read_index()
            height, width, channels = index.pop("image_shape").tolist()
            rows = index.pop("rows")
            whole = self.content.stat().st_size == len(rows) * height * width * channels
        except (OSError, ValueError, KeyError):
            return None
        return (StreamedImages(self.content, (height, width, channels), rows), index) if whole else None

    def write_pixels(self, pictures: Iterable[np.ndarray], size: int) -> None:
        """Write the images, uint8 [H, W, C] each, of so many bytes together.

        Raises:
            DataError: the disk has no room for them.
        """
        make_room(self.folder, size, "decoded images", image_size="make them smaller")
        with whole_file(self.content) as beside, beside.open("wb") as file:
            for picture in pictures:
                file.write(picture.tobytes())

    def write_index(self, image_shape: tuple[int, ...], rows: np.ndarray, **arrays: Any) -> None:
        """Write the index, and remove what earlier states of the data set left.

        Args:
            image_shape: (H, W, C).
            rows: the place of each image in the file, int64 [N].
            arrays: what else is to be kept.
        """
        self.write_arrays(image_shape=np.array(image_shape), rows=rows, **arrays)


def progressed(items: Iterable[Item], count: int, what: str) -> Iterator[Item]:
    """Yield the items, and show on standard error how many of `count` have passed."""
    from rich.console import Console
    from rich.progress import track

    return iter(track(items, what, count, console=Console(stderr=True)))
