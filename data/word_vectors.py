"""Word vectors: read from a file of GloVe or word2vec, or trained by word2vec on the training text of a run."""

import math
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np

from data.errors import InputError
from data.vocabulary import RESERVED, UNK, Vocabulary

SEED = 0  # of word2vec, and of the vectors of words that a file lacks; part of their definition, so not a flag


def read_word_vectors(file: str | Path, vocabulary: Vocabulary) -> np.ndarray:
    """Return the vector of each word of the vocabulary, float32 [V, D].

    Vectors of UNK and of words that the file lacks are drawn from a Gaussian with mean 0 and the standard deviation of
    all numbers that were found. The vectors of PAD, BOS and EOS are zero.

    Args:
        file: word2vec's binary format if the name ends with .bin; otherwise UTF-8 text with a word and its D numbers on
            each line. GloVe's text has no header; the first line of word2vec's text is the number of words and D.
            Words may contain spaces.

    Raises:
        InputError: the file is missing or damaged, a line has another dimension than the first, or the file has no word
            of the vocabulary.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"--word-vectors: {file} is not a file: give a file of GloVe or word2vec")
    vectors = (_read_binary if file.suffix == ".bin" else _read_text)(file, set(vocabulary.words[len(RESERVED) :]))
    known = [i for i, word in enumerate(vocabulary.words) if word in vectors]
    if not known:
        raise InputError(f"{file} has none of the words of the training text: give vectors of lower-case English words")
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
        vectors = KeyedVectors.load_word2vec_format(file, binary=True)
    except UnicodeDecodeError as error:
        raise InputError(f"{file} has a word that is not UTF-8 ({error.reason}): save it as UTF-8") from error
    except (ValueError, EOFError, MemoryError) as error:
        raise InputError(
            f"{file} is damaged ({error}): fetch it again, or rename it if it is text, since .bin means binary"
        ) from error
    return {word: vectors[word] for word in wanted if word in vectors}


def _read_text(file: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Read the vectors of the wanted words from text; words that the file lacks are left out.

    gensim cannot read such a file: it rejects words that contain spaces, as some of GloVe's do.
    """
    found: dict[str, np.ndarray] = {}
    words, dimension, number = None, None, 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                fields = line.decode().rstrip().split(" ")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{file}, line {number}: byte {line[error.start]:#04x} is not UTF-8: save it as UTF-8"
                ) from error
            if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                words, dimension = map(int, fields)  # word2vec's header
                continue
            numbers = list(takewhile(_is_number, fields[:0:-1]))[::-1]  # the last fields, but never the first one
            dimension = dimension or len(numbers)
            if len(numbers) != dimension or not dimension:
                raise InputError(
                    f"{file}, line {number}: {len(numbers)} numbers at its end where {dimension} are due: "
                    "correct the line"
                )
            word = " ".join(fields[:-dimension])
            if word in wanted:
                found[word] = np.array(numbers, np.float32)
    if dimension is None:
        raise InputError(f"{file} is empty: give a file of GloVe or word2vec")
    if words not in (None, number - 1):
        raise InputError(f"{file} is damaged (it has {number - 1} words, its first line says {words}): fetch it again")
    return found


def _is_number(text: str) -> bool:
    """Return whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
