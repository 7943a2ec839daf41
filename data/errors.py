"""The errors of readers and entry points, for input that the user can correct."""

import difflib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

MESSAGE = 2000  # most characters of a message


class InputError(ValueError):
    """Bad input. The message is one line: the problem, its place, and the way to correct it.

    Entry points print only the message and exit with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class DataError(InputError):
    """Bad data, or a data set that is not there. Readers raise it.

    Args:
        problem: what is wrong, and where. It ends with the way to correct it if nothing else is given.
        ways: ways to correct it.
        arguments: ways to correct it by an argument of the reader, by its name. The message names the argument, or on
            the command line its flag.
    """

    def __init__(self, problem: str, *ways: str, **arguments: str) -> None:
        self.problem, self.ways, self.arguments = problem, ways, arguments
        super().__init__(self.message(str))

    def message(self, named: Callable[[str], str]) -> str:
        """Return the message; `named` returns how an argument is written, such as its flag."""
        ways = [*self.ways, *(f"{way} ({named(name)})" for name, way in self.arguments.items())]
        return f"{self.problem}: {', or '.join(ways)}" if ways else self.problem


class Diverged(InputError):
    """A loss or weight became non-finite: training with these options and this seed cannot continue."""


def one_line(message: str) -> str:
    """Return a message without line breaks, and without its middle if it is longer than MESSAGE.

    Quoted values, messages of libraries and odd file names may contain both.
    """
    text = " ".join(message.splitlines())
    return text if len(text) <= MESSAGE else f"{text[: MESSAGE // 2]} ... {text[-MESSAGE // 2 :]}"


def reason(error: Exception) -> str:
    """Return why a library could not read a file, in one line of at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of a message, "; did you mean X?". X is the most similar known word; "" if no word is similar."""
    close = difflib.get_close_matches(str(word), list(known), 1, 0.4)
    return f"; did you mean {close[0]}?" if close else ""


def refuse_endless(path: Path) -> None:
    """Raise DataError if a path is a pipe or a device: its content may never come, or never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is a pipe or a device: save its content in a file, and give that file")


def own_path(dataset: str, datasets: Collection[str]) -> Path:
    """Return the path of the user's own file or folder.

    Args:
        dataset: the path, absolute or relative to the working directory.
        datasets: names of the built-in data sets; the message suggests the nearest one.

    Raises:
        DataError: the path does not exist, or is a pipe or a device.
    """
    path = Path(dataset)
    refuse_endless(path)
    if not path.exists():
        raise DataError(
            f"{dataset!r} is neither a data set ({', '.join(datasets)}) nor an existing path, seen from {Path.cwd()}: "
            f"give one of these{nearest(dataset.lower(), datasets)}"
        )
    return path
