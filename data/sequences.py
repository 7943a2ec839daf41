"""Texts as the ids of their words: in one array in memory or, where that is larger than data may take, in a file.

A text is encoded while it is read, before the vocabulary is known. So what is held are places in a list of all words, and
`Sequences` gives the ids of the vocabulary in their stead. The file lies in the cache folder, as decoded images do.
"""

import sys
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np

from data.streaming import GB, OpenContent, Store, make_room, whole_file
from data.vocabulary import EOS, RESERVED

SLICE = 2**18  # ids that are read at a time where a whole part is passed over
BUFFER = 2**22  # bytes of ids that are written at a time

Tokens = list[str]  # of one sentence


class StreamedIds:
    """The ids of all texts in a file, int32, one text after the other. Threads may read at once."""

    def __init__(self, file: Path):
        self.file, self._content = file, OpenContent(file)

    def take(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the ids of some texts, one after the other, int32 [sum of lengths].

        Args:
            starts, lengths: of each text, in ids, int [N].

        Raises:
            DataError: the file was cut while it is in use.
        """
        if not len(starts):
            return np.empty(0, np.int32)
        ids, place, ends = np.empty(lengths.sum(), np.int32), 0, starts + lengths
        first = np.flatnonzero(np.append(True, starts[1:] != ends[:-1]))  # of texts that lie one behind the other
        last = np.append(first[1:], len(starts)) - 1
        for start, end in zip(starts[first].tolist(), ends[last].tolist(), strict=True):
            content = self._content.read(ids.itemsize * start, ids.itemsize * (end - start))
            ids[place : place + end - start] = np.frombuffer(content, np.int32)
            place += end - start
        return ids


Ids = np.ndarray | StreamedIds  # int32, of all texts of a source


class Sequences(Sequence[np.ndarray]):
    """Texts of ids, which stand where a list of arrays int32 [T] stands.

    An index gives one array; a slice or an array of indices, int [M], gives `Sequences`, without reading a text.

    Args:
        ids: holds these texts, and perhaps others.
        starts: the place of each text in `ids`, int64 [N].
        lengths: the number of ids of each text, int [N].
        final: int32 [W]. An id i of `ids` stands for final[i]. None: for itself.
    """

    def __init__(self, ids: Ids, starts: np.ndarray, lengths: np.ndarray, final: np.ndarray | None = None):
        self.ids, self.starts, self.lengths, self.final = ids, starts, lengths, final

    @classmethod
    def of(cls, texts: Sequence[np.ndarray]) -> "Sequences":
        """Return texts, each int32 [T], as `Sequences`."""
        if isinstance(texts, Sequences):
            return texts
        lengths = np.array([len(ids) for ids in texts], np.int64)
        return cls(np.concatenate([np.empty(0, np.int32), *texts]), np.cumsum(lengths) - lengths, lengths)

    @property
    def streams(self) -> bool:
        """Return whether the texts are read from a file as needed."""
        return isinstance(self.ids, StreamedIds)

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, chosen: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, chosen: slice | np.ndarray) -> "Sequences": ...
    def __getitem__(self, chosen: int | slice | np.ndarray) -> "np.ndarray | Sequences":
        if isinstance(chosen, slice | np.ndarray):
            return Sequences(self.ids, self.starts[chosen], self.lengths[chosen], self.final)
        place = range(len(self))[chosen]
        return self._taken(slice(place, place + 1))

    def joined(self) -> np.ndarray:
        """Return the ids of all texts, one after the other, int32 [sum of lengths]."""
        ids, place = np.empty(self.lengths.sum(), np.int32), 0
        for some in self.slices():
            ids[place : place + len(some)] = some
            place += len(some)
        return ids

    def slices(self) -> Iterator[np.ndarray]:
        """Yield what `joined` returns, some texts at a time: int32 [n]."""
        return (some._taken(slice(None)) for some in self.pieces())

    def pieces(self) -> Iterator["Sequences"]:
        """Yield all texts, some at a time."""
        ends = np.cumsum(self.lengths, dtype=np.int64)
        bounds = [0, *(np.flatnonzero(np.diff(ends // SLICE)) + 1).tolist(), len(self)]
        return (self[start:end] for start, end in pairwise(bounds))

    def _taken(self, chosen: slice) -> np.ndarray:
        """Return the ids of some texts, one after the other, int32."""
        starts, lengths = self.starts[chosen], self.lengths[chosen]
        ids = self.ids.take(starts, lengths) if isinstance(self.ids, StreamedIds) else self.ids[ranges(starts, lengths)]
        return ids if self.final is None else self.final[ids]


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the numbers from each start on, as many as its length, int64 [sum of lengths]."""
    offsets = np.cumsum(lengths, dtype=np.int64) - lengths
    return np.repeat(starts - offsets, lengths) + np.arange(lengths.sum())


class Texts(NamedTuple):
    """All texts of a source, in order. An id is a reserved one, or len(RESERVED) + the place of a word in `words`."""

    ids: Ids
    lengths: np.ndarray  # int32 [N]: number of ids
    sentences: np.ndarray  # int32 [N]: number of sentences
    longest: np.ndarray  # int32 [N]: words of the longest sentence
    groups: np.ndarray  # int64 [G]: number of texts in each group, such as a file
    words: list[str]  # all words, each once

    @property
    def size(self) -> int:
        """The bytes of all ids."""
        return np.dtype(np.int32).itemsize * int(self.lengths.sum(dtype=np.int64))

    def part(self, places: np.ndarray, final: np.ndarray | None = None) -> Sequences:
        """Return the texts at these places, int64 [M]; `final` as for `Sequences`."""
        starts = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        return Sequences(self.ids, starts[places], self.lengths[places], final)

    def counts(self, places: np.ndarray) -> np.ndarray:
        """Return how often each word occurs in the texts at these places, int64 [W]."""
        size = len(RESERVED) + len(self.words)
        counts = np.zeros(size, np.int64)
        for ids in self.part(np.sort(places)).slices():  # neighbours are read together
            counts += np.bincount(ids, minlength=size)
        return counts[len(RESERVED) :]


class TextStore(Store):
    """The place of the ids of a source of texts."""

    kind, suffix = "texts", "ids"

    def read(self) -> tuple[Texts, list[str]] | None:
        """Return the texts, and what is to be said of them; None if no whole ones are there."""
        try:
            index = self.read_index()
            words, said = index.pop("words").tobytes().decode().split("\n"), index.pop("said").tolist()
            texts = Texts(StreamedIds(self.content), **index, words=words)
            return (texts, said) if self.content.stat().st_size == texts.size else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_index(self, texts: Texts, said: list[str]) -> None:
        """Write what `read` returns, except for the ids, which `encoded` has written."""
        arrays = {name: value for name, value in texts._asdict().items() if name not in ("ids", "words")}
        words = np.frombuffer("\n".join(texts.words).encode(), np.uint8)
        self.write_arrays(**arrays, words=words, said=np.array(said, str))


class _Growing:
    """The ids of texts while they are read: in memory and, from a limit on, in the file of a store.

    Args:
        store: None: all ids stay in memory.
        limit: bytes of ids in memory.
        stack: closes the file; after an error nothing of it remains.
    """

    def __init__(self, store: TextStore | None, limit: float, stack: ExitStack):
        self.store, self.room, self.stack = store, limit, stack
        self.held, self.file = array("i"), None

    def extend(self, ids: Iterable[int]) -> None:
        """Append ids. Raise DataError if the disk has no room for them."""
        self.held.extend(ids)
        if self.store and self.held.itemsize * len(self.held) > self.room:
            self.write(self.store)

    def write(self, store: TextStore) -> None:
        """Move the ids in memory into the file. Raise DataError if the disk has no room for them."""
        make_room(store.folder, self.held.itemsize * len(self.held), "the ids of words")
        if self.file is None:
            beside = self.stack.enter_context(whole_file(store.content))
            self.file = self.stack.enter_context(beside.open("wb"))
        self.held.tofile(self.file)
        del self.held[:]
        self.room = BUFFER


def stored(name: str, store: TextStore, limit: float, read: Callable[[], tuple[Texts, list[str]]]) -> Texts:
    """Return the texts of a store if their ids take more than `limit` bytes; otherwise read them.

    The lines about the texts go to standard error.

    Args:
        name: the source of the texts, in what is printed.
        read: returns the texts, as `encoded` does with this store and limit, and the lines to print about them.
    """
    found = store.read()
    texts, said = found if found and found[0].size > limit else read()
    if isinstance(texts.ids, StreamedIds):
        if not found:
            store.write_index(texts, said)
        said = [
            *said,
            f"the {len(texts.lengths):,} texts take {texts.size / GB:.3g} GB, more than the {limit / GB:.3g} GB that data "
            f"may take in memory: they stream from {texts.ids.file}",
        ]
    print(*(f"{name}: {line}\n" for line in said), sep="", end="", file=sys.stderr)
    return texts


def encoded(
    groups: Iterable[Iterable[Iterable[Tokens]]],
    ended: bool,
    store: TextStore | None,
    limit: float,
    keep_empty: bool = False,
) -> Texts:
    """Return texts that are given as the tokens of their sentences; an empty sentence is left out.

    If the ids take more than `limit` bytes, they are written into the store, and read from there.

    Args:
        groups: of texts of sentences. They are passed over once.
        ended: whether EOS stands behind each sentence.
        store: None: ids stay in memory.
        keep_empty: whether a text without a token stays, as a text without ids; otherwise it is left out.

    Raises:
        DataError: the disk has no room for the ids.
    """
    words: defaultdict[str, int] = defaultdict(lambda: len(RESERVED) + len(words))
    lengths, sentences, longest, sizes = array("i"), array("i"), array("i"), []
    end = [EOS] if ended else []
    with ExitStack() as stack:
        ids = _Growing(store, limit, stack)
        for texts in groups:
            before = len(lengths)
            for text in texts:
                counts = []  # of the words of each sentence
                for tokens in filter(None, text):
                    ids.extend(chain(map(words.__getitem__, tokens), end))
                    counts.append(len(tokens))
                if counts or keep_empty:
                    lengths.append(sum(counts) + len(end) * len(counts))
                    sentences.append(len(counts))
                    longest.append(max(counts, default=0))
            sizes.append(len(lengths) - before)
        if store and ids.file:
            ids.write(store)
    held = StreamedIds(store.content) if store and ids.file else np.asarray(ids.held, np.int32)
    counted = [np.asarray(own, np.int32) for own in (lengths, sentences, longest)]
    return Texts(held, counted[0], counted[1], counted[2], np.array(sizes, np.int64), list(words))
