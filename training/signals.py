"""Ctrl-C and SIGTERM: KeyboardInterrupt, wherever they come, and once. Nothing here imports TensorFlow."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []  # of ENDING, since `listening` began


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Raise KeyboardInterrupt(number) for the first signal of ENDING, and ignore further ones.

    It is raised again if Python drops it.
    """
    _received.clear()
    before = {number: signal.signal(number, _interrupt) for number in ENDING}
    hook, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def unmasked() -> Iterator[None]:
    """Raise KeyboardInterrupt in place of the RuntimeError that a library made of it.

    TensorFlow's C++ does so if the signal comes while another error is on its way to Python.
    """
    try:
        yield
    except RuntimeError as error:
        if not _received:
            raise
        raise KeyboardInterrupt(*_received) from error


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt for a signal, and ignore further ones."""
    for ending in ENDING:
        signal.signal(ending, signal.SIG_IGN)
    _received[:] = [number]
    raise KeyboardInterrupt(number)


def _interrupt_again(dropped: Any) -> None:
    """Raise KeyboardInterrupt a moment later if a destructor was interrupted, whose exceptions Python drops."""
    if not isinstance(dropped.exc_value, KeyboardInterrupt):
        return sys.__unraisablehook__(dropped)
    number = (*dropped.exc_value.args, signal.SIGINT)[0]
    signal.signal(signal.SIGALRM, lambda *_: _interrupt(number, None))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
