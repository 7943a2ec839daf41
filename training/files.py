"""Whole files or none: every write goes to a file beside its place, which is then renamed.

A run that is killed at any moment therefore leaves only whole files.
"""

import contextlib
import fcntl
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data.digests import short_sha256
from data.errors import InputError
from data.streaming import whole_file


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or none. Raise OSError, for example for a full disk, and leave no partial file."""
    with whole_file(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file or none, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_arrays(path: Path, *arrays: Any, **named: Any) -> None:
    """Write a whole compressed .npz file or none; arguments as for `np.savez_compressed`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, *arrays, **named)
    write_bytes(path, buffer.getvalue())


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a new folder to fill, and rename it to `path` at the end; after an error nothing of it remains."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        beside.mkdir(parents=True)
        yield beside
        beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder. Raise InputError if another process writes there already."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder} is being written by another process: wait for it, or stop it") from error
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)


def digest(file: Path) -> str:
    """Return the `short_sha256` of a file."""
    return short_sha256([file.read_bytes()])
