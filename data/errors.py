"""The one error that readers and entry points raise for input that the user can put right."""

import difflib
from collections.abc import Iterable


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
