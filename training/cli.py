"""What the command lines share: parsers built from configs, and errors as one line. Nothing here imports TensorFlow."""

import argparse
import dataclasses
import errno
import os
import sys
from collections.abc import Callable
from typing import get_type_hints

from data.errors import Diverged, InputError, nearest
from training.config import Config, element_type, flag

DIVERGED = 3  # exit code of a training whose loss is no longer a number
ADVICE = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room")  # where the disk refuses
ADVICE |= dict.fromkeys((errno.EROFS, errno.EACCES), "allow access")
ADVICE |= dict.fromkeys(
    (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTEMPTY), "name another place"
)


def count(text: str) -> int:
    """How many, at least one; the `type` of an argument."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: give at least 1")
    return number


class Parser(argparse.ArgumentParser):
    """A parser that answers a wrong flag in one line, with exit code 2: who else has it, or the nearest right one.

    Args:
        modes_with: flag -> the modes that have it, for a program whose flags are a mode's.
    """

    def __init__(self, modes_with: Callable[[str], list[str]] = lambda flag: [], **options):
        self.modes_with = modes_with
        super().__init__(allow_abbrev=False, **options)

    @property
    def flags(self) -> list[str]:
        return [text for action in self._actions for text in action.option_strings]

    def parse_args(self, args=None, namespace=None):
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            wrong = unknown[0].split("=")[0]
            modes = ", ".join(self.modes_with(wrong))
            self.error(
                f"unknown option {wrong}" + (f"; modes that have it: {modes}" if modes else nearest(wrong, self.flags))
            )
        return parsed

    def error(self, message):
        raise InputError(message)


def add_config_options(parser: argparse.ArgumentParser, config_class: type[Config]):
    """One flag per field; a flag that is not given is absent from the result, so that presets can tell."""
    hints = get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        kind, help_text = element_type(hints[field.name]), field.metadata["help"]
        shown = " ".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        if field.default is not None:
            help_text += f" (default: {shown})"
        options = {"dest": field.name, "default": argparse.SUPPRESS, "help": help_text}
        if kind is bool:
            parser.add_argument(flag(field.name), action=argparse.BooleanOptionalAction, **options)
        elif isinstance(field.default, tuple):
            parser.add_argument(flag(field.name), type=kind, nargs="+", metavar="N", **options)
        else:
            choices = field.metadata["choices"]
            metavar = "{" + ",".join(choices) + "}" if choices else kind.__name__.upper()
            parser.add_argument(flag(field.name), type=kind, metavar=metavar, **options)


def run_program(
    main: Callable[[list[str]], None], argv: list[str] | None = None, go_on: str = "give the same command again"
) -> int:
    """Calls `main` with the arguments of the command line; returns the exit code. go_on: what to do once it may.

    Bad input, a full disk and a place that may not be written are one line on standard error and 2, a loss that is no
    number DIVERGED; an interruption by the user is 130, and a reader of the output that closes it early, such as `head`,
    141, without a word.
    """
    program = main.__module__ if main.__module__ != "__main__" else sys.argv[0]
    try:
        try:
            main(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed at exit
        return 141
    except InputError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return DIVERGED if isinstance(error, Diverged) else 2
    except OSError as error:
        if error.errno not in ADVICE:
            raise
        place, advice = error.filename or "the run", ADVICE[error.errno]
        print(f"{program}: {place}: {error.strerror}: {advice}, then {go_on}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted; to go on, {go_on}", file=sys.stderr)
        return 130
    return 0
