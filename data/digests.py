"""What recognises a content again: names of cached files, and what a run records of its data and of its own files."""

import hashlib
from collections.abc import Iterable
from typing import Any


def short_sha256(parts: Iterable[Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a content.

    Args:
        parts: the content in pieces, one after the other: bytes, or contiguous arrays.
    """
    content = hashlib.sha256()
    for part in parts:
        content.update(part)
    return content.hexdigest()[:16]
