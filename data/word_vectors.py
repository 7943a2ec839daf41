"""Word vectors: read from a file of GloVe or word2vec, or trained by word2vec on the training text of a run."""

import gzip
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, takewhile
from pathlib import Path

import numpy as np

from data.errors import DataError
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
        vectors = KeyedVectors.load_word2vec_format(file, binary=True)  # of a repeated word it keeps the first vector
    except UnicodeDecodeError as error:
        raise DataError(f"{file} has a word that is not UTF-8 ({error.reason}): save it as UTF-8") from error
    except (*DAMAGED, ValueError, OverflowError, MemoryError) as error:
        raise DataError(
            f"{file} is damaged ({error}): fetch it again, or rename it if it is text, since .bin means binary"
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
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            return _vectors(file, enumerate(lines, 1), wanted)
    except DAMAGED as error:
        raise DataError(f"{file} is damaged ({error}): fetch it again") from error


def _vectors(file: Path, lines: Iterator[tuple[int, bytes]], wanted: set[str]) -> dict[str, np.ndarray]:
    """Return the vectors of the wanted words, given all lines of a text file with their numbers."""
    first = [(number, _fields(file, number, line)) for number, line in islice(lines, FIRST_LINES)]
    if not first:
        raise DataError(f"{file} is empty: give a file of GloVe or word2vec")
    words, number = None, 1
    if len(first[0][1]) == 2 and all(map(str.isdecimal, first[0][1])):  # word2vec's header
        words, dimension = map(int, first.pop(0)[1])
    else:  # words that end in a number make single lines longer
        dimension, _ = Counter(len(_numbers(fields)) for _, fields in first).most_common(1)[0]
    found: dict[str, np.ndarray] = {}
    longer: list[str] = []  # the words that end in a number, the first with its line
    rest = ((number, _fields(file, number, line)) for number, line in lines)
    for number, fields in chain(first, rest):
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
