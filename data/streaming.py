"""Images that are larger than the memory that data may take: decoded once into a file, and read from it as needed.

Such a file lies in the cache folder, beside an index. The index is written last, so a file without one is not used. A
change of the data set gives both another name.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from data.archives import opened_arrays
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
        self._opened = file.open("rb", buffering=0)  # stays readable if another process removes an outdated file

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
            content = os.pread(self._opened.fileno(), size, row * size)
            if len(content) < size:
                raise DataError(f"{self.file} is cut short: delete it; the next run makes it anew")
            image[...] = np.frombuffer(content, np.uint8).reshape(image.shape)
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


class Store:
    """The place in the cache folder of the decoded images of a data set.

    Args:
        source: the data set, and how it is read: anything that JSON can hold.
        state: what changes whenever the content of the data set does.
    """

    def __init__(self, source: Any, state: Any):
        own, content = (hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16] for what in (source, state))
        self.folder, self.own = cache_dir() / "images", own
        self.pixels, self.index = (self.folder / f"{own}-{content}.{suffix}" for suffix in ("pixels", "npz"))

    def read(self) -> tuple[StreamedImages, dict[str, np.ndarray]] | None:
        """Return the images, and the other arrays of the index; None if no whole ones are there."""
        try:
            with opened_arrays(self.index) as arrays:
                index = {name: arrays[name] for name in arrays.files}
            height, width, channels = index.pop("image_shape").tolist()
            rows = index.pop("rows")
            whole = self.pixels.stat().st_size == len(rows) * height * width * channels
        except (OSError, ValueError, KeyError):
            return None
        return (StreamedImages(self.pixels, (height, width, channels), rows), index) if whole else None

    def write_pixels(self, pictures: Iterable[np.ndarray], size: int) -> None:
        """Write the images, uint8 [H, W, C] each, of so many bytes together.

        Raises:
            DataError: the disk has no room for them.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(self.folder).free) < size:
            raise DataError(
                f"{size / GB:.2f} GB of decoded images do not fit into {self.folder}, where {free / GB:.2f} GB are free",
                "make room",
                "let INFOBIGBIGAN_CACHE name a folder of another disk",
                image_size="make them smaller",
                cache_gb="read them into memory",
            )
        with whole_file(self.pixels) as beside, beside.open("wb") as file:
            for picture in pictures:
                file.write(picture.tobytes())

    def write_index(self, image_shape: tuple[int, ...], rows: np.ndarray, **arrays: Any) -> None:
        """Write the index, and remove what earlier states of the data set left.

        Args:
            image_shape: (H, W, C).
            rows: the place of each image in the file, int64 [N].
            arrays: what else is to be kept.
        """
        with whole_file(self.index) as beside, beside.open("wb") as file:
            np.savez(file, image_shape=np.array(image_shape), rows=rows, **arrays)
        for old in self.folder.glob(f"{self.own}-*"):
            if old not in (self.pixels, self.index) and old.suffix != ".partial":
                old.unlink(missing_ok=True)


def progressed(items: Iterable[Item], count: int, what: str) -> Iterator[Item]:
    """Yield the items, and show on standard error how many of `count` have passed."""
    from rich.console import Console
    from rich.progress import track

    return iter(track(items, what, count, console=Console(stderr=True)))
