"""Words and their ids. The reserved ids are named here and nowhere else."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, takewhile

import numpy as np

from data.digests import short_sha256
from data.errors import DataError

PAD, BOS, EOS, UNK = range(4)  # fills up short rows; start and end of a sentence; any unknown word
RESERVED = ("<pad>", "<s>", "</s>", "<unk>")  # the printed form of each reserved id
UNPREDICTED = (PAD, BOS)  # ids that a model reads and never predicts


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words of a corpus. An id is a position in `words`, which holds each printed form once, RESERVED first."""

    words: tuple[str, ...]

    @property
    def size(self) -> int:
        """Return the number of ids, including the reserved ids."""
        return len(self.words)

    def encode(self, tokens: Iterable[str]) -> np.ndarray:
        """Return the ids of tokens, int32 [T]. Unknown words and the printed forms of reserved ids become UNK."""
        return np.fromiter((self._ids.get(token, UNK) for token in tokens), np.int32)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the printed forms of the ids before the first EOS, without PAD and BOS."""
        return [self.words[i] for i in takewhile(lambda i: i != EOS, ids) if i not in (PAD, BOS)]

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        """Return the id of each word that is not reserved."""
        return {word: i for i, word in enumerate(self.words) if i >= len(RESERVED)}


def digest(words: Iterable[str]) -> str:
    """Return the `short_sha256` of the words, one a line, by which a run recognises its vocabulary."""
    return short_sha256(["\n".join(words).encode()])


def build_vocabulary(sentences: Iterable[Sequence[str]], size: int) -> Vocabulary:
    """Return the vocabulary of the most frequent words of tokenised sentences, ties in alphabetical order.

    Args:
        sentences: the sentences of the training part only.
        size: highest number of ids, including the reserved ids.

    Raises:
        DataError: `size` leaves no room for a word.
    """
    return vocabulary_of(*_word_counts(sentences), size)


def vocabulary_of(words: Sequence[str], counts: np.ndarray, size: int) -> Vocabulary:
    """Return the vocabulary that `build_vocabulary` returns, given different words and their counts, int64 [W].

    Raises:
        DataError: `size` leaves no room for a word.
    """
    room = size - len(RESERVED)
    if room < 1:
        raise DataError(
            f"a vocabulary of {size} ids has no room for words, since {len(RESERVED)} ids are reserved: choose more"
        )
    return Vocabulary(RESERVED + tuple(most_frequent(words, counts, room)))


def most_frequent(words: Sequence[str], counts: np.ndarray, most: int) -> list[str]:
    """Return the `most` most frequent words, ties in alphabetical order, without the printed forms in RESERVED.

    Args:
        words: different words.
        counts: how often each occurs, int64 [W]. A word that does not occur is left out.
    """
    least = np.sort(counts)[-(most + len(RESERVED)) :][:1].max(initial=1)  # few words are sorted by Python
    ranks = sorted((-int(counts[i]), words[i]) for i in np.flatnonzero(counts >= least).tolist())
    return [word for _, word in ranks if word not in RESERVED][:most]


def _word_counts(sentences: Iterable[Sequence[str]]) -> tuple[list[str], np.ndarray]:
    """Return the different words of sentences, and how often each occurs, int64 [W]."""
    counts = Counter(chain.from_iterable(sentences))
    return list(counts), np.fromiter(counts.values(), np.int64, len(counts))
