"""Files that are packed: how far they may unpack, and the arrays of .npz files.

A file may come from a stranger. So nothing in it is run, no member is written to disk, and a small file does not fill the
memory.
"""

import contextlib
import gzip
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from data.errors import DataError, InputError, reason

if TYPE_CHECKING:
    from numpy.lib.npyio import NpzFile

MOST_UNPACKED = 100  # times its size that a file may unpack to: text takes 3 to 20, masks 10 to 50, a bomb 1,000
ALWAYS_UNPACKED = 10_000_000  # bytes that any file may unpack to: blank images and repeated lines pack well


def unpacked(file: Path) -> Iterator[bytes]:
    """Return the content of a file that gzip packed, in pieces.

    Raises:
        DataError: the file unpacks too far.
        OSError, EOFError, zlib.error: it is damaged.
    """
    left = _most_unpacked(file)
    with gzip.open(file) as content:
        while piece := content.read(2**16):
            left -= len(piece)
            if left < 0:
                raise DataError(
                    f"{file} unpacks to more than {MOST_UNPACKED} times its size: unpack it yourself, if you trust it"
                )
            yield piece


def _most_unpacked(file: Path) -> int:
    """Return the number of bytes that a packed file may unpack to."""
    return max(ALWAYS_UNPACKED, MOST_UNPACKED * file.stat().st_size)


@contextlib.contextmanager
def opened_arrays(file: Path) -> "Iterator[NpzFile]":
    """Open an .npz file; its arrays are read in the context. Pickles are refused.

    Raises:
        ValueError: the file cannot be opened, or an array cannot be read. The message is the reason.
    """
    try:
        if not zipfile.is_zipfile(file):
            raise ValueError("not an .npz archive, or cut short")
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > _most_unpacked(file):
                raise ValueError(f"it unpacks to more than {MOST_UNPACKED} times its size")
            for member in archive.infolist():
                with archive.open(member) as content:
                    if _declared(content) > member.file_size:  # NumPy would reserve the memory first
                        raise ValueError(f"{member.filename} declares more than it holds")
        with np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except InputError:
        raise
    except Exception as error:  # damaged headers raise nearly every exception that Python has
        raise ValueError(reason(error)) from error


def _declared(content: IO[bytes]) -> int:
    """Return the bytes that the header of an array declares; 0 for a member that is no array, or holds objects."""
    if content.read(6) != np.lib.format.MAGIC_PREFIX:
        return 0
    header = np.lib.format.read_array_header_1_0 if content.read(2) == b"\1\0" else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(content)
    return 0 if dtype.hasobject else math.prod(shape) * dtype.itemsize
