"""What the command lines share: parsers built from configs, and errors as one line. Nothing here imports TensorFlow."""

import argparse
import dataclasses
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, get_type_hints

from data.errors import DataError, Diverged, InputError, nearest, one_line
from training.config import GROUPS, Config, element_type, flag
from training.signals import listening, unmasked

DIVERGED = 3  # exit code of a training whose loss or weights became non-finite
ADVICE = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room")  # by the error of the file system
ADVICE |= {errno.EFBIG: "raise the limit", errno.ENOENT: "put it back", errno.EIO: "check the disk"}
ADVICE |= dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "allow access")
ADVICE |= dict.fromkeys(
    (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTEMPTY), "name another place"
)


def count(text: str) -> int:
    """Return a number of at least 1; the `type` of an argument."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: give at least 1")
    return number


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with a suggestion: the modes that have a wrong flag, or the nearest right flag.

    Args:
        modes_with: flag -> the modes that have it, for a program whose flags depend on the mode.
    """

    def __init__(self, modes_with: Callable[[str], list[str]] = lambda flag: [], **options: Any):
        self.modes_with = modes_with
        super().__init__(allow_abbrev=False, **options)

    @property
    def flags(self) -> list[str]:
        """Every flag that the parser knows."""
        return [text for action in self._actions for text in action.option_strings]

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            wrong = unknown[0].split("=")[0]
            modes = ", ".join(self.modes_with(wrong))
            self.error(
                f"unknown option {wrong}" + (f"; modes that have it: {modes}" if modes else nearest(wrong, self.flags))
            )
        return parsed

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def training_parser(modes: Iterable[str]) -> Parser:
    """Return a parser of the options that train.py has for every mode; it knows no --help."""
    parser = Parser(add_help=False)
    parser.add_argument("--mode", metavar="{" + ",".join(modes) + "}", help="what to train")
    parser.add_argument("--runs-dir", default="runs", help="folder of runs (default: runs)")
    parser.add_argument("--name", help="name of the run's directory; default: mode, data set and time")
    parser.add_argument("--resume", metavar="RUN", help="continue this run")
    parser.add_argument("--list", action="store_true", help="print the modes, the data sets on disk and the runs")
    parser.add_argument(
        "--devices", type=count, help="GPUs, or equal parts of the processor, that share each batch (default: all GPUs)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the resolved options and stop")
    return parser


def add_config_options(parser: argparse.ArgumentParser, config_class: type[Config]) -> None:
    """Add one flag for each field, in the groups that the fields belong to.

    A flag that is not given is absent from the result, so that a preset can decide its value.
    """
    hints = get_type_hints(config_class)
    fields = dataclasses.fields(config_class)
    for group in GROUPS:
        section = parser.add_argument_group(group)
        for field in (field for field in fields if field.metadata["group"] == group):
            kind, help_text = element_type(hints[field.name]), field.metadata["help"]
            shown = " ".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
            if field.default is not None:
                help_text += f" (default: {shown})"
            options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": help_text}
            if kind is bool:
                section.add_argument(flag(field.name), action=argparse.BooleanOptionalAction, **options)
            elif isinstance(field.default, tuple):
                section.add_argument(flag(field.name), type=kind, nargs="+", metavar="N", **options)
            else:
                choices = field.metadata["choices"]
                metavar = "{" + ",".join(choices) + "}" if choices else kind.__name__.upper()
                section.add_argument(flag(field.name), type=kind, metavar=metavar, **options)


def run_program(
    main: Callable[[list[str]], None], argv: list[str] | None = None, go_on: str = "give the same command again"
) -> int:
    """Call `main` with the arguments of the command line; return the exit code.

    An error is one line on standard error. The exit codes:

    - 2: bad input, a full disk, or a place that must not be written.
    - DIVERGED: the training became non-finite.
    - 130 or 143: SIGINT (Ctrl-C) or SIGTERM ended the program. The first of them raises KeyboardInterrupt in `main`, and
      further ones are ignored, so that `main` can keep what would be lost.
    - 141: the reader of the output, such as `head`, closed it early; nothing is printed.

    Args:
        go_on: how to continue after the cause is mended.
    """
    program = main.__module__ if main.__module__ != "__main__" else sys.argv[0]
    with listening():
        try:
            with unmasked():
                try:
                    main(sys.argv[1:] if argv is None else argv)
                finally:
                    sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what the exit still flushes
            return 141
        except InputError as error:
            message = one_line(error.message(flag)) if isinstance(error, DataError) else str(error)
            print(f"{program}: {message}", file=sys.stderr)
            return DIVERGED if isinstance(error, Diverged) else 2
        except Exception as error:
            code = error_number(error)
            if code not in ADVICE:
                raise
            place, advice = getattr(error, "filename", None) or "the run", ADVICE[code]
            print(f"{program}: {place}: {os.strerror(code)}: {advice}, then {go_on}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as error:
            print(f"{program}: interrupted; to go on, {go_on}", file=sys.stderr)
            return 128 + (error.args[0] if error.args else signal.SIGINT)
        return 0


def error_number(error: Exception) -> int | None:
    """Return the number of an error of the file system; None for another error.

    TensorFlow's errors have the words of the operating system, and no number. It writes the events of TensorBoard.
    """
    if type(error).__module__.startswith("tensorflow"):
        return next((number for number in ADVICE if os.strerror(number) in str(error)), None)
    return error.errno if isinstance(error, OSError) else None
