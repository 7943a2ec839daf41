"""Words and their ids. The reserved ids are named here and nowhere else."""

import dataclasses
import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, takewhile

import numpy as np

from data.errors import InputError

PAD, BOS, EOS, UNK = range(4)  # filling behind a sentence, its start, its end, any word outside the vocabulary
RESERVED = ("<pad>", "<s>", "</s>", "<unk>")  # as printed, by id
UNPREDICTED = (PAD, BOS)  # a model reads these and is never asked to predict them


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Words by id: `words` holds all printed forms, each once, the RESERVED ones first; an id is a position in it."""

    words: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of ids, the reserved ones included."""
        return len(self.words)

    def encode(self, tokens: Iterable[str]) -> np.ndarray:
        """Tokens -> int32 [T]. Unknown words are UNK, and so is any printed form of a reserved id, "<unk>" included."""
        return np.fromiter((self._ids.get(token, UNK) for token in tokens), np.int32)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The printed forms of the ids before the first EOS, without PAD and BOS."""
        return [self.words[i] for i in takewhile(lambda i: i != EOS, ids) if i not in (PAD, BOS)]

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        """Word -> id, of the words that a text can hold."""
        return {word: i for i, word in enumerate(self.words) if i >= len(RESERVED)}


def digest(words: Iterable[str]) -> str:
    """16 hexadecimal digits that change with any word or its place: a run records them to know its vocabulary."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def build_vocabulary(sentences: Iterable[Sequence[str]], size: int) -> Vocabulary:
    """The most frequent words of tokenised sentences, ties in alphabetical order.

    Args:
        sentences: of the training part alone.
        size: most ids to give out, the reserved ones included.

    Raises:
        InputError: `size` leaves no room for a word.
    """
    room = size - len(RESERVED)
    if room < 1:
        raise InputError(f"a vocabulary of {size} ids has no room for words: {len(RESERVED)} ids are reserved")
    return Vocabulary(RESERVED + tuple(most_frequent(sentences, room)))


def most_frequent(sentences: Iterable[Sequence[str]], count: int) -> list[str]:
    """The `count` most frequent words, ties in alphabetical order; RESERVED forms are none."""
    counts = Counter(chain.from_iterable(sentences))
    return sorted(counts.keys() - set(RESERVED), key=lambda word: (-counts[word], word))[:count]
