"""Vectors of words: GloVe's and word2vec's files in, or word2vec trained on a run's own training text."""

import math
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np

from data.errors import InputError
from data.vocabulary import RESERVED, UNK, Vocabulary

SEED = 0  # of word2vec and of vectors for words that a file lacks; part of their definition, so not a flag


def read_word_vectors(file: str | Path, vocabulary: Vocabulary) -> np.ndarray:
    """The vectors that a file has of the vocabulary's words, float32 [V, D].

    Words that the file lacks, and UNK, get vectors drawn from a Gaussian of the found ones' spread; PAD gets zeros.

    Args:
        file: word2vec's binary form where the name ends with .bin; else text, UTF-8, with a word and its D numbers on
            each line: GloVe's form, or word2vec's, whose first line is the number of words and D. Words may hold spaces.

    Raises:
        InputError: the file is missing or damaged, a line has another dimension than the first, or no word is known.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"--word-vectors: {file} is no file: give one of GloVe or word2vec")
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
    """Vectors of word2vec (skip-gram, Mikolov et al. 2013) trained on tokenised texts, float32 [V, dimensions].

    `passes` over the texts. A function of its arguments, bit by bit: one thread. Words outside the vocabulary are one
    word, UNK; words that do not occur, PAD among them, get zeros.
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
    from gensim.models import KeyedVectors

    try:
        vectors = KeyedVectors.load_word2vec_format(file, binary=True)
    except UnicodeDecodeError as error:
        raise InputError(f"{file} has a word that is not UTF-8 ({error.reason}): save it as UTF-8") from error
    except (ValueError, EOFError, MemoryError) as error:
        raise InputError(
            f"{file} is damaged ({error}): fetch it again, or name text files otherwise than *.bin"
        ) from error
    return {word: vectors[word] for word in wanted if word in vectors}


def _read_text(file: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Read here, since a word that holds spaces, as some of GloVe's do, is a damaged line to gensim."""
    found, words, dimension = {}, None, None
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
            numbers = list(takewhile(_is_number, fields[:0:-1]))[::-1]  # from the end, but not the first field
            dimension = dimension or len(numbers)
            if len(numbers) != dimension or not dimension:
                raise InputError(
                    f"{file}, line {number}: {len(numbers)} numbers at its end where {dimension} are due: correct the line"
                )
            word = " ".join(fields[:-dimension])
            if word in wanted:
                found[word] = np.array(numbers, np.float32)
    if dimension is None:
        raise InputError(f"{file} is empty: give a file of GloVe or word2vec")
    if words not in (None, number - 1):
        raise InputError(f"{file} is damaged (it has {number - 1} words and says {words}): fetch it again")
    return found


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
