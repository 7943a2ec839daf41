"""Word vectors: read from a file of GloVe or word2vec, or trained by word2vec on the training text of a run."""

import gzip
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from data.archives import unpacked
from data.errors import DataError, reason
from data.text import MAX_LINE
from data.vocabulary import RESERVED, UNK, Vocabulary

SEED = 0  # of word2vec, and of the vectors of words that a file lacks; part of their definition, so not a flag
LARGEST = 1e15  # of the numbers of a vector: float32 holds the sum of their squares
FIRST_LINES = 1000  # lines of a text without header whose numbers decide the dimension
DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error)  # what reading a damaged .gz raises


def read_word_vectors(file: str | Path, vocabulary: Vocabulary) -> np.ndarray:
    """Return the vector of each word of the vocabulary, float32 [V, D].

    Vectors of UNK and of words that the file lacks are drawn from a Gaussian with mean 0 and the standard deviation of
    all numbers that were found. The vectors of PAD, BOS and EOS are zero.

    Args:
        file: word2vec's binary format if the name ends with .bin; otherwise UTF-8 text with a word and its D numbers on
            each line, separated by spaces or tabs. GloVe's text has no header; the first line of word2vec's text is the
            number of words and D. Words may contain spaces and end in a number: the last D numbers of a line are its
            vector. If a word is repeated, its first vector counts. Either form may be packed by gzip, with .gz at the
            end of the name.

    Raises:
        DataError: the file is missing or damaged, a line has fewer numbers than D, or the file has no word of the
            vocabulary.
    """
    file = Path(file)
    if not file.is_file():
        raise DataError(f"{file} is not a file: give a file of GloVe or word2vec")
    if file.suffix == ".zip":
        raise DataError(f"{file} is an archive: unpack it, and give a file of GloVe or word2vec")
    packed = file.suffix == ".gz"
    is_binary = (file.with_suffix("") if packed else file).suffix == ".bin"
    vectors = (_read_binary if is_binary else _read_text)(file, set(vocabulary.words[len(RESERVED) :]))
    known = [i for i, word in enumerate(vocabulary.words) if word in vectors]
    if not known:
        raise DataError(f"{file} has none of the words of the training text: give vectors of lower-case English words")
    found = np.stack([vectors[vocabulary.words[i]] for i in known])
    spread = np.random.default_rng(SEED).standard_normal((vocabulary.size, found.shape[1]))
    result = (found.std() * spread).astype(np.float32)
    result[known] = found
    result[:UNK] = 0
    return result


def train_word_vectors(
    texts: Iterable[Sequence[str]], vocabulary: Vocabulary, dimensions: int, passes: int = 20, seed: int = SEED
) -> np.ndarray:
    """Return vectors of word2vec (skip-gram, Mikolov et al. 2013) trained on tokenised texts, float32 [V, dimensions].

    One thread trains, so that the same arguments give the same bits. Words outside the vocabulary are replaced by UNK.
    Words that do not occur, such as PAD, have the vector zero.

    Args:
        passes: how often training goes over the texts.
    """
    from gensim.models import Word2Vec

    texts = [[vocabulary.words[i] for i in vocabulary.encode(text)] for text in texts]
    trained = Word2Vec(
        texts, vector_size=dimensions, sg=1, window=5, min_count=1, epochs=passes, seed=seed, workers=1
    ).wv
    return np.stack(
        [trained[word] if word in trained else np.zeros(dimensions, np.float32) for word in vocabulary.words]
    )


def _read_binary(file: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Read the vectors of the wanted words from word2vec's binary format; words that the file lacks are left out."""
    from gensim.models import KeyedVectors

    try:
        with _opened(file) as content:
            words, dimension = map(int, content.readline(100).split())
        if min(words, dimension) < 1 or words * (4 * dimension + 2) > _size(file):  # gensim takes the memory first
            raise ValueError("its first line gives more vectors than it can hold, or none")
        vectors = KeyedVectors.load_word2vec_format(file, binary=True)  # of a repeated word it keeps the first vector
    except UnicodeDecodeError as error:
        raise DataError(f"{file} has a word that is not UTF-8 ({error.reason}): save it as UTF-8") from error
    except (*DAMAGED, ValueError, OverflowError, MemoryError) as error:
        raise DataError(
            f"{file} is damaged ({reason(error)}): fetch it again, or rename it if it is text, since .bin means binary"
        ) from error
    found = {word: vectors[word] for word in wanted if word in vectors}
    if broken := [word for word, vector in found.items() if not (np.abs(vector) <= LARGEST).all()]:
        raise DataError(f"{file} is damaged (the vector of {min(broken)[:40]!r} has no usable numbers): fetch it again")
    return found


def _read_text(file: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Read the vectors of the wanted words from text; words that the file lacks are left out.

    gensim cannot read such a file: it rejects words that contain spaces, as some of GloVe's do.
    """
    try:
        _size(file)  # a file that unpacks too far is an error before it is read
        with _opened(file) as content:
            return _vectors(file, _lines(file, content), wanted)
    except DAMAGED as error:
        raise DataError(f"{file} is damaged ({error}): fetch it again") from error


def _opened(file: Path) -> BinaryIO:
    """Return the content of a file, unpacked if its name ends with .gz."""
    return cast(BinaryIO, gzip.open(file)) if file.suffix == ".gz" else file.open("rb")


def _size(file: Path) -> int:
    """Return the bytes of a file, unpacked. Raise DataError if it unpacks too far."""
    return sum(map(len, unpacked(file))) if file.suffix == ".gz" else file.stat().st_size


def _lines(file: Path, content: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Return the lines of a file with their numbers. Raise DataError if a line is too long."""
    for number, line in enumerate(iter(lambda: content.readline(MAX_LINE), b""), 1):
        if len(line) == MAX_LINE:
            raise DataError(f"{file}, line {number} has {MAX_LINE:,} bytes or more: this is no file of word vectors")
        yield number, line


def _vectors(file: Path, lines: Iterator[tuple[int, bytes]], wanted: set[str]) -> dict[str, np.ndarray]:
    """Return the vectors of the wanted words, given all lines of a text file with their numbers."""
    first = list(islice(lines, FIRST_LINES))
    if not first:
        raise DataError(f"{file} is empty: give a file of GloVe or word2vec")
    words, number, header = None, 1, _fields(file, *first[0])
    if len(header) == 2 and all(text.isdecimal() and len(text) < 19 for text in header):  # word2vec's
        words, dimension = map(int, header)
        first.pop(0)
    else:  # words that end in a number make single lines longer
        dimension, _ = Counter(len(_numbers(_fields(file, *line))) for line in first).most_common(1)[0]
    found: dict[str, np.ndarray] = {}
    longer: list[str] = []  # the words that end in a number, the first with its line
    for number, line in chain(first, lines):
        fields = _fields(file, number, line)
        word = " ".join(fields[: len(fields) - dimension])
        is_wanted = word in wanted and word not in found
        # Only the numbers that are used are all read, because a file may have a billion.
        vector = fields[-dimension:] if is_wanted else fields[-dimension:][:1]
        if not 0 < dimension < len(fields) or not all(map(_is_number, vector)):
            raise DataError(
                f"{file}, line {number}: {len(_numbers(fields))} numbers at its end where {dimension or 'some'} are "
                "due: correct the line"
            )
        if is_wanted:
            found[word] = np.array([float(text) for text in vector], np.float32)
        if len(fields) > dimension + 1 and _is_number(fields[-dimension - 1]):
            longer.append(f"line {number}: {word[:40]!r}")
    if words not in (None, number - 1):
        raise DataError(f"{file} is damaged (it has {number - 1} words, its first line says {words}): fetch it again")
    if longer:
        print(
            f"{file}, {longer[0]} is read as a word, since {dimension} numbers follow it; such words that end in a "
            f"number: {len(longer):,} in all",
            file=sys.stderr,
        )
    return found


def _fields(file: Path, number: int, line: bytes) -> list[str]:
    """Return the fields of a line. Raise DataError if the line is not text, or not UTF-8."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}, line {number}: byte {line[error.start]:#04x} is not UTF-8: save it as UTF-8, or let its name end "
            "with .bin if it is binary"
        ) from error
    if number == 1 and ("\0" in text or "\r" in text):
        what, cure = ("zero bytes", "in UTF-8") if "\0" in text else ("line ends of CR alone", "with line ends of LF")
        raise DataError(f"{file} has {what}: save it {cure}, or let its name end with .bin if it is binary")
    return text.replace("\t", " ").split(" ")


def _numbers(fields: list[str]) -> list[str]:
    """Return the numbers at the end of a line. The first field is part of the word, even if it is a number."""
    return list(takewhile(_is_number, fields[:0:-1]))


def _is_number(text: str) -> bool:
    """Return whether a text is a number, neither NaN nor too large."""
    try:
        return abs(float(text)) <= LARGEST
    except ValueError:
        return False
