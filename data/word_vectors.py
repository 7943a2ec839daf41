"""Vectors of words: GloVe's and word2vec's files in, or word2vec trained on a run's own training text."""

from collections.abc import Iterable, Sequence
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
            each line: GloVe's form, or word2vec's, whose first line is the number of words and D.

    Raises:
        InputError: the file is missing or damaged, a line has another dimension than the first, or no word is known.
    """
    from gensim.models import KeyedVectors

    file = Path(file)
    if not file.is_file():
        raise InputError(f"--word-vectors: {file} is no file: give one of GloVe or word2vec")
    binary = file.suffix == ".bin"
    header = not binary and _check_lines(file)
    try:
        vectors = KeyedVectors.load_word2vec_format(file, binary=binary, no_header=not (binary or header))
    except UnicodeDecodeError as error:
        raise InputError(f"{file} has a word that is not UTF-8 ({error.reason}): save it as UTF-8") from error
    except (ValueError, EOFError) as error:
        raise InputError(f"{file} is damaged ({error}): fetch it again, or name binary files *.bin") from error
    known = [i for i, word in enumerate(vocabulary.words) if i >= len(RESERVED) and word in vectors]
    if not known:
        raise InputError(f"{file} has none of the words of the training text: give vectors of lower-case English words")
    found = vectors[[vocabulary.words[i] for i in known]]
    spread = np.random.default_rng(SEED).standard_normal((vocabulary.size, vectors.vector_size))
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


def _check_lines(file: Path) -> bool:
    """Whether a text file has word2vec's header. Raises InputError for the first line that is not a word and D numbers."""
    header, dimension = False, None
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                fields = line.decode().rstrip().split(" ")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{file}, line {number}: byte {line[error.start]:#04x} is not UTF-8: save it as UTF-8"
                ) from error
            if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                header, dimension = True, int(fields[1])
                continue
            dimension = dimension or len(fields) - 1
            if len(fields) - 1 != dimension or not dimension:
                raise InputError(
                    f"{file}, line {number}: {len(fields) - 1} numbers where {dimension} are due: correct the line"
                )
            try:
                finite = np.isfinite(np.array(fields[1:], np.float32)).all()
            except ValueError:
                finite = False
            if not finite:
                raise InputError(f"{file}, line {number}: not all that follows the word is a number: correct the line")
    if dimension is None:
        raise InputError(f"{file} is empty: give a file of GloVe or word2vec")
    return header
