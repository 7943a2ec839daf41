"""The one error that readers and entry points raise for input that the user can correct."""

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path


class InputError(ValueError):
    """Bad input. The message is one line: the problem, its place, and the way to correct it.

    Entry points print only the message and exit with status 2. Line breaks become spaces, since quoted messages of
    libraries and odd file names may contain them.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


class Diverged(InputError):
    """A loss or weight became non-finite: training with these options and this seed cannot continue."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of a message, "; did you mean X?". X is the most similar known word; "" if no word is similar."""
    close = difflib.get_close_matches(str(word), list(known), 1, 0.4)
    return f"; did you mean {close[0]}?" if close else ""


def own_path(dataset: str, datasets: Collection[str]) -> Path:
    """Return the path of the user's own file or folder.

    Args:
        dataset: the path, absolute or relative to the working directory.
        datasets: names of the built-in data sets; the message suggests the nearest one.

    Raises:
        InputError: the path does not exist.
    """
    path = Path(dataset)
    if not path.exists():
        raise InputError(
            f"{dataset!r} is neither a data set ({', '.join(datasets)}) nor an existing path, seen from {Path.cwd()}: "
            f"give one of these{nearest(dataset.lower(), datasets)}"
        )
    return path
