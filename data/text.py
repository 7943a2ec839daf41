"""The base of every reader of text: find a corpus, read its lines, split it into tokens, and cut it into parts."""

import os
import re
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import InputError, own_path

PARTS = ("train", "validation", "test")
SPLIT_SEED = 0  # of the permutation that cuts a corpus; defines the parts, so not a flag
MIN_EXAMPLES = 10  # fewest examples to cut: 8 to train, 1 to validate, 1 to test
MAX_LINE = 1_000_000  # bytes; a longer line is not a sentence or a document but a file without line ends

_TOKEN = re.compile(r"<unk>|[^\W\d]\w*(?:['’]\w+)*|\d+(?:[.,]\d+)*|[^\w\s]")
# A full stop before a capital ends a sentence, except after these abbreviations.
_SENTENCE_END = re.compile(
    r"(?:(?<=[.!?])|(?<=[.!?][\"')]))(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bal\.)(?<!\bcf\.)(?<!\bvs\.)\s+(?=[\"'(]?[A-Z])"
)


def locate(dataset: str, datasets: Collection[str], prepared: Collection[str], data_dir: str | None) -> Path:
    """Return the folder of a prepared corpus, or the user's own file or folder.

    Args:
        dataset: one of `prepared`, or a path. A built-in name wins over a file of the same name; write `./ptb` to mean
            the file.
        datasets: all names that the caller knows; the error lists them.
        prepared: the names that are folders of `data_dir`.
        data_dir: folder that holds the prepared corpora. None: $INFOBIGBIGAN_DATA.

    Raises:
        InputError: the name is unknown, or the folder or file does not exist.
    """
    if dataset not in prepared:
        return own_path(dataset, datasets)
    parent = data_dir or os.environ.get("INFOBIGBIGAN_DATA")
    if not parent:
        raise InputError(
            f"{dataset} is not built in: name the folder that holds {dataset}/ with --data-dir or "
            "INFOBIGBIGAN_DATA, or use --dataset docstrings"
        )
    for folder in (Path(parent), Path(parent, dataset)):
        if not folder.is_dir():
            raise InputError(
                f"folder {folder} does not exist: name the folder that holds {dataset}/ with --data-dir, "
                "or use --dataset docstrings"
            )
    return Path(parent, dataset)


def read_lines(file: Path) -> list[str]:
    """Return the lines of a UTF-8 text file, without line ends and byte order mark. Item i is line i + 1.

    Raises:
        InputError: the file is missing, has no text, is not UTF-8, or has a line of MAX_LINE bytes or more.
    """
    if not file.exists():
        raise InputError(f"{file.parent} has no {file.name}: give a folder that has it")
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}): give a text file") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise InputError(f"{file}, line {line}: byte 0x{byte:02x} is not UTF-8: save the file as UTF-8") from error
    if not text.strip():
        raise InputError(f"{file} is empty: give a file with text in it")
    for number, line in enumerate(content.split(b"\n"), 1):
        if len(line) >= MAX_LINE:
            raise InputError(
                f"{file}, line {number} is {len(line):,} bytes long: break it into lines below {MAX_LINE:,} bytes"
            )
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def tokenise(text: str) -> list[str]:
    """Return the tokens of a text, in lower case: words, numbers and single punctuation marks.

    A word is made of letters, digits, underscores and inner apostrophes. "<unk>" stays one token, so that a prepared
    text keeps its unknown words.
    """
    return _TOKEN.findall(unicodedata.normalize("NFC", text).lower())


def split_sentences(text: str) -> list[str]:
    """Return the sentences of English prose. A full stop, question or exclamation mark before a capital ends one."""
    return _SENTENCE_END.split(text)


def cut(examples: Sequence[Any], *sizes: int) -> list[list[Any]]:
    """Return parts of the given sizes, and a last part with the rest.

    The order is random but fixed: it depends only on the number of examples.
    """
    order = np.random.default_rng(SPLIT_SEED).permutation(len(examples))
    return [[examples[i] for i in part] for part in np.split(order, np.cumsum(sizes))]


def cut_three(examples: Sequence[Any], source: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the train, validation and test parts: 80, 10 and 10 % of the examples.

    Args:
        source: the name of the corpus, for the error.

    Raises:
        InputError: there are fewer than MIN_EXAMPLES examples.
    """
    tenth = len(examples) // 10
    if len(examples) < MIN_EXAMPLES:
        raise InputError(f"{source} holds {len(examples)} examples, too few to cut: give at least {MIN_EXAMPLES}")
    test, validation, train = cut(examples, tenth, tenth)
    return train, validation, test
