"""The one error that readers and entry points raise for input that the user can put right."""

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong, where, and what to do about it.

    Entry points print the message alone and exit with status 2. Line breaks, which quoted library messages and odd
    file names can bring in, become spaces.
    """

    def __init__(self, message: str):
        super().__init__(" ".join(message.splitlines()))


class Diverged(InputError):
    """A loss that is no longer a number: these options do not train with this seed."""


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean X?' for the known word most like `word`; '' where none is like it. To end a message with."""
    close = difflib.get_close_matches(str(word), list(known), 1, 0.4)
    return f"; did you mean {close[0]}?" if close else ""


def own_path(dataset: str, datasets: Collection[str]) -> Path:
    """The user's own file or folder. Raises InputError where there is none; `datasets`: names that may have been meant."""
    path = Path(dataset)
    if not path.exists():
        raise InputError(
            f"{dataset!r} is neither a data set ({', '.join(datasets)}) nor an existing path, seen from {Path.cwd()}: "
            f"give one of these{nearest(dataset.lower(), datasets)}"
        )
    return path
