"""What all parts of the explorer share: a place for a picture, and errors in one line on the page."""

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr
from PIL import Image

from data.errors import InputError, one_line


def shown_image(value: Image.Image | None = None, label: str | None = None, **options: Any) -> gr.Image:
    """Return a place for a picture. It has no button to share, which would send the picture to another server."""
    return gr.Image(
        value,
        label=label,
        show_label=label is not None,
        format="png",
        interactive=False,
        buttons=["download", "fullscreen"],
        **options,
    )


def whole(number: float | None, name: str) -> int:
    """Return the number of a field. Raise InputError if the field is empty."""
    if number is None:
        raise InputError(f"{name} is empty: give a whole number")
    return int(number)


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the page whose errors in input are one line on the page."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except ValueError as error:  # InputError among them
            raise gr.Error(one_line(str(error)), duration=None, print_exception=False) from error

    return call
