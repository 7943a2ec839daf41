"""The base of every reader of text: find a corpus, read its lines, split it into tokens, and cut it into parts."""

import codecs
import io
import os
import sys
import unicodedata
import zlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import regex  # unlike re, it knows marks, scripts and graphemes

from data.archives import unpacked
from data.errors import DataError, own_path, refuse_endless

PARTS = ("train", "validation", "test")
SPLIT_SEED = 0  # of the permutation that cuts a corpus; defines the parts, so not a flag
MIN_EXAMPLES = 10  # fewest examples to cut: 8 to train, 1 to validate, 1 to test
MAX_LINE = 1_000_000  # bytes; a longer line is not a sentence or a document but a file without line ends

# The first bytes of files that people take for text.
BINARY = {
    b"PK\3\4": "a zip archive or an office document",
    b"\xd0\xcf\x11\xe0": "an office document",
    b"%PDF-": "a PDF",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
}
START = max(map(len, BINARY))  # bytes that tell what a file is

ENGLISH = {"the", "and", "of"}  # words of nearly every English text, and of hardly any other
ENGLISH_SHARE = 0.02  # lowest share of ENGLISH among the words of an English text; Brown has .12
RARE = 0.75  # highest share of words that occur once; Brown has .46, and 200 of its sentences .64
UNSEEN = 0.25  # highest share of words in the validation part that the training part lacks; Brown has .04

# Signs that nobody sees and that would cut a word in two: soft hyphen, marks of direction, byte order mark.
INVISIBLE: dict[int, str | None] = dict.fromkeys(
    [0xAD, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF]
)
INVISIBLE[0x200B] = " "  # the space of zero width
# Letters of Chinese, Japanese, Thai, Lao, Khmer and Burmese, which are written without spaces between words.
_SCRIPTS = "".join(rf"\p{{scx={script}}}" for script in "Han Hiragana Katakana Thai Lao Khmer Myanmar".split())
_UNSPACED = rf"[[\pL\pN--\d]&&[{_SCRIPTS}]]"
_CHARACTER = rf"(?={_UNSPACED})\X\pM*"  # such a letter with its marks; \X alone leaves out two Burmese marks
# A letter or numeral of a script with spaces. \pN adds numerals other than digits, such as the Roman ones. a-z stands
# first because it is the quickest to look up.
_LETTER = rf"[a-z[[\pL\pN--\d]--{_UNSPACED}]]"
_INNER = rf"[a-z\pM{_LETTER}]"  # a letter behind the first, or a mark on one
_JOINER = rf"[\u200c\u200d](?={_INNER})"  # a joiner inside a word; one at the end of a word is dropped
_WORD = rf"(?:[_\d{_INNER}]+|{_JOINER})"  # what may follow the first letter of a word
# In this order: the unknown word of a prepared text; a word, as in "l'été" or "x_1"; a character of an unspaced script; a
# number, as in "1,000.5"; any other sign but a space.
TOKEN = regex.compile(
    rf"(?V1)<unk>|[_{_LETTER}]{_WORD}*+(?:['’׳״]{_WORD}++)*+|{_CHARACTER}"
    r"|\d+(?:[.,٫٬]\d+)*|[^\s\x1c-\x1f\pL\pN\pM_\u200c\u200d]\pM*"
)
# Two letters or more without apostrophes, digits and underscores; or a character of an unspaced script.
CONTENT_WORD = regex.compile(rf"(?V1){_LETTER}(?:{_INNER}+|{_JOINER})+|{_CHARACTER}")
_WORD_OF_LETTERS = regex.compile(r"\pL[\pL\pM\u200c\u200d]*")
_MARKS = regex.compile(r"(\pM{30})\pM+")  # the limit of Unicode's stream-safe text: sorting marks takes quadratic time
_ANY_UNSPACED = regex.compile(rf"(?V1){_UNSPACED}")
# A full stop ends a sentence before a capital, or a letter of a script without capitals; not after these abbreviations.
_SENTENCE_END = regex.compile(
    r"(?V1)(?:(?<=[.!?])|(?<=[.!?][\"')\p{Pf}]))(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bal\.)(?<!\bcf\.)(?<!\bvs\.)"
    r"\s+(?=[\"'(¿¡„\p{Pi}]?[\p{Lu}\p{Lt}\p{Lo}])"
    # The full stops of other scripts mean nothing else, and some stand without a space.
    r"|(?<=[。！？｡।॥؟۔።፧։။។]|[。！？｡।॥؟۔።፧։။។][\"')\p{Pf}\p{Pe}])(?![\"')\p{Pf}\p{Pe}。！？]|\s*$)\s*"
)
# What decides how a text is split. A text that was split and stored by other rules is split anew.
RULES = (
    *(pattern.pattern for pattern in (TOKEN, CONTENT_WORD, _SENTENCE_END)),
    sorted(INVISIBLE),
    regex.__version__,
    unicodedata.unidata_version,
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
        DataError: the name is unknown, or the folder or file does not exist.
    """
    if dataset not in prepared:
        return own_path(dataset, datasets)
    parent = data_dir or os.environ.get("INFOBIGBIGAN_DATA")
    if not parent:
        raise DataError(
            f"{dataset} is not built in",
            f"let INFOBIGBIGAN_DATA name the folder that holds {dataset}/",
            data_dir="name that folder",
            dataset="use docstrings",
        )
    for folder in (Path(parent), Path(parent, dataset)):
        if not folder.is_dir():
            raise DataError(
                f"folder {folder} does not exist",
                data_dir=f"name the folder that holds {dataset}/",
                dataset="use docstrings",
            )
    return Path(parent, dataset)


def at_hand(prepared: Sequence[str]) -> list[str]:
    """Return the prepared corpora that have a folder in $INFOBIGBIGAN_DATA."""
    parent = os.environ.get("INFOBIGBIGAN_DATA")
    return [name for name in prepared if parent and Path(parent, name).is_dir()]


def text_file(folder: Path, name: str) -> Path:
    """Return the file of this name in a folder, or the compressed file (name.gz) if only that exists."""
    packed = folder / f"{name}.gz"
    return packed if packed.exists() and not (folder / name).exists() else folder / name


def read_lines(file: Path) -> list[str]:
    """Return the lines of a text file, without line ends. Item i is line i + 1.

    Raises:
        DataError: as for `read_text`, or the file has no text.
    """
    return list(lines(file))


def lines(file: Path) -> Iterator[str]:
    """Yield the lines that `read_lines` returns, in the memory of a few of them.

    Raises:
        DataError: as for `read_lines`, at the line that is at fault, or at the end of a file without text.
    """
    empty = True
    for line in _ended_lines(file):
        empty = empty and not line.strip()
        yield line.removesuffix("\n")
    if empty:
        raise DataError(f"{file} is empty: give a file with text in it")


def read_text(file: Path) -> str:
    """Return the content of a text file, without byte order mark and with LF for the end of each line.

    The file is in UTF-8, or in UTF-16 with its byte order mark; gzip may have compressed it. LF, CR LF or CR end its
    lines.

    Raises:
        DataError: the file is missing, damaged or not such text, or has a line of MAX_LINE bytes or more.
    """
    text = io.StringIO()
    text.writelines(_ended_lines(file))
    return text.getvalue()


def has_empty_lines(file: Path) -> bool:
    """Return whether an empty line stands between others."""
    text = gap = False
    for line in lines(file):
        if not line.strip():
            gap = text
        elif gap:
            return True
        else:
            text = True
    return False


def _ended_lines(file: Path) -> Iterator[str]:
    """Yield the lines of a text file, each with LF; the last may lack it. Raise DataError as `read_text` does."""
    if not file.exists():
        raise DataError(f"{file.parent} has no {file.name}: give a folder that has it")
    found = _lines_of_bytes(file)
    for number, line in enumerate(found, 1):
        own = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        try:
            text = own.decode()
        except UnicodeDecodeError as error:
            deque(found, 0)  # a NUL byte further down says more
            raise DataError(
                f"{file}, line {number}: byte 0x{own[error.start]:02x} is not UTF-8: save the file as UTF-8"
            ) from error
        yield text


def _lines_of_bytes(file: Path) -> Iterator[bytes]:
    """Yield the lines of a file as UTF-8, each with LF. Raise DataError for a NUL byte or a line of MAX_LINE bytes."""
    number, rest, pieces = 0, b"", _ended_by_lf(_content(file))
    for piece in pieces:
        found = (rest + piece).splitlines(keepends=True)
        rest = b"" if not found or found[-1].endswith(b"\n") else found.pop()
        for line in found:
            number += 1
            if b"\0" in line or len(line) > MAX_LINE:
                raise _no_line(file, number, line, pieces)
            yield line
        if len(rest) >= MAX_LINE:
            raise _no_line(file, number + 1, rest, pieces)
    if b"\0" in rest:
        raise _no_line(file, number + 1, rest, pieces)
    if rest:
        yield rest


def _no_line(file: Path, number: int, line: bytes, pieces: Iterator[bytes]) -> DataError:
    """Return the error of a line that holds a NUL byte or is too long.

    Args:
        line: the line, or what has been read of it if it has no LF.
        pieces: the rest of the file, with LF for the end of each line.
    """
    nul, length, ended = b"\0" in line, len(line.removesuffix(b"\n")), line.endswith(b"\n")
    while not ended and (piece := next(pieces, None)) is not None:
        more, end, _ = piece.partition(b"\n")
        nul, length, ended = nul or b"\0" in more, length + len(more), bool(end)
    if nul:
        return DataError(
            f"{file}, line {number} holds a NUL byte: this is no text, or UTF-16 without its byte order mark; "
            "save the file as UTF-8"
        )
    return DataError(f"{file}, line {number} is {length:,} bytes long: break it into lines below {MAX_LINE:,} bytes")


def _ended_by_lf(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes with LF in place of CR LF and CR."""
    held = b""
    for piece in pieces:
        piece = held + piece
        held = piece[-1:] if piece.endswith(b"\r") else b""  # LF may follow in the next piece
        yield piece.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if held:
        yield b"\n"


def read_bytes(file: Path) -> bytes:
    """Return the bytes of a file, decompressed, and in UTF-8 if a mark says that they are UTF-16.

    Raises:
        DataError: the file is missing, damaged or in a binary format, or it unpacks too far.
    """
    return b"".join(_content(file))


def _content(file: Path) -> Iterator[bytes]:
    """Yield the bytes that `read_bytes` returns, in pieces. Raise DataError as it does."""
    refuse_endless(file)
    try:
        with file.open("rb") as opened:
            packed = opened.read(2) == b"\x1f\x8b"
        if packed:
            deque(unpacked(file), 0)  # so that no line is read of a file that is damaged or unpacks too far
        pieces, start = unpacked(file) if packed else _pieces(file), b""
        while len(start) < START and (piece := next(pieces, b"")):
            start += piece
        for sign, kind in BINARY.items():
            if start.startswith(sign):
                raise DataError(f"{file} is {kind}: save its text as UTF-8 and give that file")
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            decoder = codecs.getincrementaldecoder("utf-16")()
            for piece in chain([start], pieces):
                yield decoder.decode(piece).encode()
            yield decoder.decode(b"", True).encode()
        else:
            yield start
            yield from pieces
    except OSError as error:  # of the disk, or of gzip, whose errors have no strerror
        raise DataError(f"{file} cannot be read ({error.strerror or error}): give a text file") from error
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{file} is damaged ({error}): fetch or save it again") from error


def _pieces(file: Path) -> Iterator[bytes]:
    """Yield the bytes of a file as they are, in pieces."""
    with file.open("rb") as content:
        while piece := content.read(2**16):
            yield piece


def tokenise(text: str) -> list[str]:
    """Return the tokens of a text, in lower case and NFC: words, numbers and other signs.

    A word is made of letters with their combining marks, digits, underscores, and inner apostrophes and joiners. A
    letter of a script without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) is a token with its marks.
    Invisible signs, such as soft hyphens, are removed. "<unk>" stays one token, so that a prepared text keeps its
    unknown words. The language is not known, so the Turkish capitals I and İ both become i.
    """
    return TOKEN.findall(_normalised(text))


def content_words(text: str) -> list[str]:
    """Return the words of a text that word counts use.

    In a script with spaces, a word is a run of at least two letters: an apostrophe, a digit or an underscore ends it. In
    a script without spaces, each letter is a word.
    """
    return CONTENT_WORD.findall(_normalised(text))


def is_word(token: str) -> bool:
    """Return whether a token holds nothing but letters, their marks, and joiners."""
    return _WORD_OF_LETTERS.fullmatch(token) is not None


def _normalised(text: str) -> str:
    """Return a text in lower case and NFC, without invisible signs."""
    if text.isascii():  # several times faster
        return text.lower()
    text = unicodedata.normalize("NFC", _MARKS.sub(r"\1", text.translate(INVISIBLE)))
    return text.lower().replace("i\u0307", "i")  # İ in lower case is an i with a stray dot


def split_sentences(text: str) -> list[str]:
    """Return the sentences of prose.

    A full stop, question or exclamation mark ends a sentence before a capital, or a letter of a script without
    capitals, except after abbreviations such as "e.g.". The full stops of other scripts, such as the danda and the
    ideographic full stop, end one wherever they stand; closing quotes behind them belong to it.
    """
    return _SENTENCE_END.split(text)


def is_english(counts: Mapping[str, int]) -> bool:
    """Return whether a text is English: enough of its words are "the", "and" and "of".

    Args:
        counts: how often each lower-case word occurs.
    """
    return sum(counts.get(word, 0) for word in ENGLISH) >= ENGLISH_SHARE * sum(counts.values()) > 0


def report_unread(folder: Path, read: Collection[Path], why: str) -> None:
    """Print to standard error how many files below a folder are not read, with the first of them and the reason.

    Hidden files and folders are not counted.
    """
    found = (file for file in sorted(folder.rglob("*")) if file.is_file() and file not in read)
    unread = [file for file in found if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    if unread:
        first = unread[0].relative_to(folder)
        print(f"{folder}: {len(unread):,} files are not read, such as {first}: {why}", file=sys.stderr)


class Tally:
    """Counts of the texts (lines or files) that pass: of all, and of those that are segmented by character."""

    def __init__(self) -> None:
        self.texts = self.unspaced = 0

    def passed(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield the texts."""
        for text in texts:
            self.texts += 1
            self.unspaced += not text.isascii() and _ANY_UNSPACED.search(text) is not None
            yield text

    @property
    def said(self) -> list[str]:
        """The lines to print about the texts that have passed."""
        if not self.unspaced:
            return []
        return [
            f"{self.unspaced:,} texts are in a script without spaces between words (Chinese, Japanese, Thai, Lao, Khmer "
            "or Burmese): there each character is a token"
        ]


def report_rare(source: str, train: np.ndarray, validation: np.ndarray) -> None:
    """Print to standard error if most words occur once, or if much of the validation part is unknown.

    Args:
        train, validation: how often each word is in the two parts, int64 [W] each.
    """
    rare = np.count_nonzero(train == 1) / max(np.count_nonzero(train), 1)
    unseen = validation[train == 0].sum() / max(validation.sum(), 1)
    if rare > RARE or unseen > UNSEEN:
        print(
            f"{source}: {rare:.0%} of the different words occur once in the training part, which lacks {unseen:.0%} of "
            "the words of the validation part: little can be learnt about them; give more text, or check that spaces "
            "separate its words",
            file=sys.stderr,
        )


def cut(examples: Sequence[Any], *sizes: int) -> list[list[Any]]:
    """Return parts of the given sizes, and a last part with the rest, as `cut_places` chooses them."""
    return [[examples[i] for i in part] for part in cut_places(len(examples), *sizes)]


def cut_places(count: int, *sizes: int) -> list[np.ndarray]:
    """Return the places, int64, of the examples in parts of the given sizes, and in a last part with the rest.

    The order is random but fixed: it depends only on the number of examples.
    """
    return np.split(np.random.default_rng(SPLIT_SEED).permutation(count), np.cumsum(sizes))


def cut_three(examples: Sequence[Any], source: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the train, validation and test parts of examples, as `cut_three_places` chooses them.

    Args:
        source: the name of the corpus, for the error.

    Raises:
        DataError: there are fewer than MIN_EXAMPLES examples.
    """
    train, validation, test = ([examples[i] for i in part] for part in cut_three_places(len(examples), source))
    return train, validation, test


def cut_three_places(count: int, source: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the places, int64, of the examples in the train, validation and test parts: 80, 10 and 10 % of them.

    Args:
        source: the name of the corpus, for the error.

    Raises:
        DataError: there are fewer than MIN_EXAMPLES examples.
    """
    if count < MIN_EXAMPLES:
        raise DataError(f"{source} holds {count} examples, too few to cut: give at least {MIN_EXAMPLES}")
    test, validation, train = cut_places(count, count // 10, count // 10)
    return train, validation, test
