"""Reader of sentences as token ids: built-in docstrings, Penn Treebank, Brown, Multi30k, or the user's own text.

A sentence is an int32 array of the ids of its words, without BOS and EOS; `batches` and `evaluation_batches` add EOS.
Both also take paragraphs: `join` makes one sequence of a paragraph.

Text that is larger than the memory it may take streams: `data.sequences` keeps its ids in a file. Vocabulary, parts, order
and batches are then the same as from memory, to the bit.

TensorFlow is imported inside the functions that need it, so that `--help` and flag errors answer at once.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

from data.docstrings import read_docstrings, versions
from data.errors import DataError
from data.order import full_batches
from data.sequences import Sequences, Texts, TextStore, Tokens, encoded, ranges, stored
from data.streaming import memory_limit, state_of
from data.text import (
    PARTS,
    RULES,
    Tally,
    cut_places,
    cut_three_places,
    has_empty_lines,
    lines,
    locate,
    report_rare,
    report_unread,
    split_sentences,
    text_file,
    tokenise,
)
from data.vocabulary import EOS, PAD, RESERVED, UNK, UNPREDICTED, Vocabulary, vocabulary_of
from data.wording import SPLITTINGS, Wording

if TYPE_CHECKING:
    import tensorflow as tf

PREPARED = ("ptb", "brown", "multi30k", "reuters")  # folders of `data_dir`, tokenised: spaces separate the tokens
DATASETS = ("docstrings", *PREPARED)

POOL = 100  # number of batches that are sorted by length together: padding stays small, neighbours stay random


class SentenceBatch(TypedDict):
    """B sentences, or paragraphs as `join` returns them. T is the longest of the batch, with its EOS."""

    tokens: "tf.Tensor"  # int32 [B, T] in [0, V): the ids of the words, then EOS, then PAD
    lengths: "tf.Tensor"  # int32 [B] in [1, T]: number of ids, including EOS and without PAD


class IndexedSentenceBatch(SentenceBatch):
    """A batch for evaluation. `results[indices] = ...` puts what was computed for the batch back in order."""

    indices: "tf.Tensor"  # int64 [B] in [0, N): the place of each sentence in the list that was given


class SentenceCorpus(NamedTuple):
    """Three parts of sentences or joined paragraphs, each int32 [T]. Words that `vocabulary` lacks are UNK."""

    name: str  # one of DATASETS, or the path that the text was read from
    train: Sequence[np.ndarray]  # in memory or streamed, as all three are
    validation: Sequence[np.ndarray]
    test: Sequence[np.ndarray]
    vocabulary: Vocabulary  # of the training part
    # part -> sentences, tokens, unknown, unknown_share, left_out, and paragraphs if they were read; for docstrings also
    # the packages' versions
    facts: dict[str, Any]
    wording: Wording  # its words, and how texts were split into them


def load_sentences(
    dataset: str,
    data_dir: str | None = None,
    vocabulary_size: int = 10_000,
    max_length: int = 100,
    cache_gb: float | None = None,
) -> SentenceCorpus:
    """Read a whole corpus of sentences into memory, or, if it is larger than `cache_gb`, into a file that it streams from.

    The parts are fixed. A prepared corpus and the user's folder have one file for each part; if valid.txt is missing, a
    random tenth of train.txt becomes `validation`. The user's file (by line) and the docstrings (by docstring) are cut
    at random: 80 % train, 10 % validation, 10 % test.

    Args:
        dataset: a name of DATASETS, or the path of the user's own text. The path names a text file with one
            sentence a line, or a folder of train.txt, test.txt and, if wanted, valid.txt. Each may be compressed, as
            train.txt.gz; `data.text.read_text` has the accepted encodings. `data.text.tokenise` splits text that is
            not prepared into tokens. Empty lines are skipped. A built-in name wins over a file of the same name; write
            `./ptb` to mean the file.
        data_dir: folder that holds the prepared corpora. None: $INFOBIGBIGAN_DATA.
        vocabulary_size: highest number of symbols that a model predicts: words, UNK and EOS. PAD and BOS are never
            predicted and are added, so 10,000 gives up to 10,002 ids. The published vocabulary of Penn Treebank is
            counted in the same way (9,998 words, <unk> and the end of the sentence), so all of its words get an id.
        max_length: highest number of words in a sentence. Longer sentences are left out, not cut, and counted in
            `facts`.
        cache_gb: memory for the text, as int32 ids, in 2^30 bytes. A larger text streams; the file lies in
            `data.streaming.cache_dir`. None: half of the memory that is free. Docstrings never stream.

    Raises:
        DataError: the text is missing, damaged or too small, nothing is left of a part, or the disk has no room for a
            text that streams.
    """
    texts, parts = _read(dataset, data_dir, False, cache_gb)
    fits = texts.longest <= max_length
    return _corpus(dataset, texts, parts, fits, f"sentences of 1 to {max_length} words", vocabulary_size)


def load_paragraphs(
    dataset: str,
    data_dir: str | None = None,
    vocabulary_size: int = 10_000,
    max_length: int = 100,
    min_sentences: int = 2,
    max_sentences: int = 8,
    cache_gb: float | None = None,
) -> SentenceCorpus:
    """Read a whole corpus of paragraphs, each as `join` returns it.

    `brown`, `reuters`, docstrings and the user's text have paragraphs. Each line is a sentence, and an empty line ends a
    paragraph. In a text without empty lines, each line is a paragraph, which `data.text.split_sentences` splits into
    sentences. A docstring is one paragraph. Everything else is as for `load_sentences`.

    Args:
        max_length: highest number of words in each sentence.
        min_sentences, max_sentences: limits of the number of sentences in a paragraph. A paragraph outside the limits,
            or with a sentence that is too long, is left out whole. `facts` counts paragraphs too, and `left_out` is a
            number of paragraphs.

    Raises:
        DataError: as for `load_sentences`, or the text has no paragraphs.
    """
    if dataset in ("ptb", "multi30k"):
        raise DataError(f"{dataset} has sentences but no paragraphs: use brown, reuters, docstrings or your own text")
    texts, parts = _read(dataset, data_dir, True, cache_gb)
    fits = (min_sentences <= texts.sentences) & (texts.sentences <= max_sentences) & (texts.longest <= max_length)
    limits = f"paragraphs of {min_sentences} to {max_sentences} sentences of 1 to {max_length} words"
    corpus = _corpus(dataset, texts, parts, fits, limits, vocabulary_size)
    for part in PARTS:
        corpus.facts[part]["paragraphs"] = len(getattr(corpus, part))
    return corpus


def join(paragraph: list[np.ndarray]) -> np.ndarray:
    """Return a paragraph as one sequence of ids, int32 [T], with EOS after each sentence.

    A batch adds one more EOS, so the paragraph ends with an empty sentence; no other sentence is empty. So a model that
    predicts the tokens of a batch also predicts the number of sentences. A batch can hold sequences of similar length,
    which is impossible for the sentences of one paragraph.
    """
    return np.array([i for ids in paragraph for i in (*ids, EOS)], np.int32)


def split(ids: np.ndarray) -> list[np.ndarray]:
    """Return the sentences of a joined paragraph, int [T]: the inverse of `join`.

    The paragraph ends at the first empty sentence; without one, at the end of `ids`.
    """
    pieces = np.split(ids, np.flatnonzero(ids == EOS))
    return list(takewhile(len, (piece[piece != EOS] for piece in pieces)))


def printed(vocabulary: Vocabulary, ids: np.ndarray) -> str:
    """Return the words of a sentence, or of a joined paragraph with " / " between its sentences."""
    return " / ".join(" ".join(vocabulary.decode(sentence)) for sentence in split(ids))


def steps_per_epoch(sentences: Sequence[np.ndarray], batch_size: int) -> int:
    """Return the number of batches in an epoch of `batches`. Raise DataError if there are too few for one batch."""
    return full_batches(len(sentences), batch_size, "texts")


def batches(sentences: Sequence[np.ndarray], batch_size: int, seed: int, first_epoch: int = 0) -> "tf.data.Dataset":
    """Return an endless stream of shuffled batches of sentences of similar length.

    Each epoch starts from a random permutation without the sentences that do not fill a batch. The sentences of every
    POOL batches are sorted by length, and then the batches are shuffled. The order is a pure function of (seed, epoch,
    step). So a run that resumes at `first_epoch` meets the same batches as an uninterrupted run.

    Args:
        sentences: int32 [T] arrays of ids without BOS and EOS, or paragraphs as `join` returns them. If they stream,
            threads read the next batches.
        first_epoch: the epoch to start with, counted from 0.

    Returns:
        A dataset of `SentenceBatch` with B = batch_size. T is unknown in its spec, so one trace serves all lengths.

    Raises:
        DataError: there are not enough sentences for one batch.
    """
    import tensorflow as tf

    steps = steps_per_epoch(sentences, batch_size)
    texts = Sequences.of(sentences)
    with tf.device("CPU"):  # tf.data runs there; a GPU would hold a useless copy
        lengths = tf.constant(texts.lengths, tf.int64)
        pool = tf.range(steps * batch_size, dtype=tf.int64) // (POOL * batch_size)
        longest = tf.reduce_max(lengths)

    def epoch_indices(epoch: "tf.Tensor") -> "tf.data.Dataset":
        random = tf.random.experimental  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
        shuffle = random.stateless_shuffle
        order = shuffle(tf.range(len(sentences)), seed=[seed, epoch])[: steps * batch_size]
        by_length = tf.argsort(pool * (longest + 1) + tf.gather(lengths, order), stable=True)
        chosen = tf.reshape(tf.gather(order, by_length), [steps, batch_size])
        again = random.stateless_fold_in(tf.stack([tf.cast(seed, tf.int64), epoch]), 1)
        return tf.data.Dataset.from_tensor_slices(shuffle(chosen, seed=again))

    indices = tf.data.Dataset.counter(first_epoch).flat_map(epoch_indices)
    return _mapped(indices, _reader(texts), texts.streams)


def evaluation_batches(sentences: Sequence[np.ndarray], batch_size: int) -> "tf.data.Dataset":
    """Return a dataset of `IndexedSentenceBatch` with every sentence once, in order of length.

    The last batch may be smaller.

    Args:
        sentences: as for `batches`.

    Raises:
        DataError: the batch size is not positive.
    """
    import tensorflow as tf

    if batch_size < 1:
        raise DataError(f"batch size {batch_size} is too small: choose at least 1")
    texts = Sequences.of(sentences)
    order = np.argsort(texts.lengths, kind="stable")
    indices, read = tf.data.Dataset.from_tensor_slices(order).batch(batch_size), _reader(texts)

    def batch(indices: "tf.Tensor") -> IndexedSentenceBatch:
        padded = read(indices)
        return {"tokens": padded["tokens"], "lengths": padded["lengths"], "indices": indices}

    return _mapped(indices, batch, texts.streams)


def _mapped(indices: "tf.data.Dataset", batch: Callable[..., Any], streams: bool) -> "tf.data.Dataset":
    """Return the batches of a stream of indices, made ahead of their use; by several threads if texts stream."""
    import tensorflow as tf

    return indices.map(batch, tf.data.AUTOTUNE if streams else None).prefetch(tf.data.AUTOTUNE)


def _reader(texts: Sequences) -> 'Callable[["tf.Tensor"], SentenceBatch]':
    """Return a function that returns the batch of the texts at some indices, int [B]."""
    import tensorflow as tf

    if texts.streams:

        def read(indices: "tf.Tensor") -> SentenceBatch:
            tokens, lengths = tf.numpy_function(lambda i: _padded_rows(texts[i]), [indices], [tf.int32, tf.int32])
            rows = indices.shape[0]
            return {"tokens": tf.ensure_shape(tokens, [rows, None]), "lengths": tf.ensure_shape(lengths, [rows])}

        return read
    with tf.device("CPU"):
        words = tf.RaggedTensor.from_row_lengths(  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
            texts.joined(), texts.lengths.astype(np.int64)
        )
    return lambda indices: _padded(words, indices)


def _padded_rows(texts: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens and lengths of a `SentenceBatch` of all texts."""
    words = texts.lengths[:, None]
    columns = np.arange(words.max() + 1)
    tokens = np.where(columns == words, np.int32(EOS), np.int32(PAD))
    tokens[columns < words] = texts.joined()
    return tokens, (texts.lengths + 1).astype(np.int32)


def _padded(words: "tf.RaggedTensor", indices: "tf.Tensor") -> SentenceBatch:
    """Return the sentences at `indices` [B], with EOS and PAD."""
    import tensorflow as tf

    rows = tf.gather(words, indices)
    end = tf.fill([tf.shape(indices)[0], 1], EOS)
    ragged_end = tf.RaggedTensor.from_tensor(end)  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
    rows = tf.concat([rows, ragged_end], axis=1)
    return {"tokens": rows.to_tensor(PAD), "lengths": tf.cast(rows.row_lengths(), tf.int32)}


def _read(
    dataset: str, data_dir: str | None, paragraphs: bool, cache_gb: float | None
) -> tuple[Texts, list[np.ndarray]]:
    """Return all texts of a corpus, and the places of those in the train, validation and test parts, int64 [N] each."""
    if dataset == "docstrings":
        found = [[tokenise(sentence) for sentence in docstring.sentences] for docstring in read_docstrings()]
        groups = [[docstring] for docstring in found] if paragraphs else [[[own] for own in each] for each in found]
        texts = encoded(groups, paragraphs, None, 0)
        starts = np.cumsum(texts.groups) - texts.groups
        return texts, [ranges(starts[part], texts.groups[part]) for part in cut_three_places(len(found), dataset)]
    path = locate(dataset, DATASETS, PREPARED, data_dir)
    if path.is_file():
        files = [path]
    else:
        *files, valid = (text_file(path, f"{part}.txt") for part in ("train", "test", "valid"))
        for file in files:
            if not file.exists():
                raise DataError(
                    f"{path} has no {file.name}: give a text file, or a folder of train.txt, test.txt and, if wanted, "
                    "valid.txt"
                )
        files += [valid] if valid.exists() else []
        report_unread(path, files, "only train.txt, valid.txt and test.txt are")
    texts = _read_files(dataset, files, paragraphs, memory_limit(cache_gb))
    if path.is_file():
        return texts, list(cut_three_places(len(texts.lengths), dataset))
    train, test, *given = np.split(np.arange(len(texts.lengths)), np.cumsum(texts.groups)[:-1])
    if given:
        return texts, [train, *given, test]
    validation, rest = cut_places(len(train), len(train) // 10)
    return texts, [train[rest], train[validation], test]


def _read_files(dataset: str, files: list[Path], paragraphs: bool, limit: float) -> Texts:
    """Return the texts of files, a group for each. Ids of more than `limit` bytes stream.

    Print to standard error how the texts were split, what was passed over, and from where they stream.
    """
    splitting = _splitting(dataset)
    source = [[str(file.resolve()) for file in files], "paragraphs" if paragraphs else "lines", splitting, RULES]
    store = TextStore(source, [state_of(file) for file in files])

    def read() -> tuple[Texts, list[str]]:
        tally, split = Tally(), _by_empty_line if paragraphs else _by_line
        texts = encoded(split(files, tally, SPLITTINGS[splitting]), paragraphs, store, limit)
        if dataset in PREPARED:
            return texts, []
        said, blank = tally.said, tally.texts - len(texts.lengths)
        if blank and not paragraphs:
            said.append(f"{blank:,} lines without a word are passed over")
        return texts, said

    return stored(dataset, store, limit, read)


def _corpus(
    dataset: str, texts: Texts, parts: list[np.ndarray], fits: np.ndarray, what: str, vocabulary_size: int
) -> SentenceCorpus:
    """Return the corpus of the texts that fit.

    Args:
        parts: the places of the texts of each part.
        fits: whether a text is not left out, bool [N].
        what: the texts and their limits.
    """
    kept = [part[fits[part]] for part in parts]
    _check_kept(dataset, parts, kept, what)
    counts = [texts.counts(part) for part in kept]
    report_rare(dataset, *counts[:2])
    vocabulary = vocabulary_of(texts.words, counts[0], vocabulary_size + len(UNPREDICTED))
    ids = vocabulary.encode(texts.words)
    facts: dict[str, Any] = {}
    for part, every, own, count in zip(PARTS, parts, kept, counts, strict=True):
        tokens, unknown = int(count.sum()), int(count[ids == UNK].sum())
        facts[part] = {
            "sentences": int(texts.sentences[own].sum()),
            "tokens": tokens,
            "unknown": unknown,
            "unknown_share": unknown / tokens,
            "left_out": len(every) - len(own),
        }
    facts |= _versions(dataset)
    final = np.append(np.arange(len(RESERVED), dtype=np.int32), ids)
    train, validation, test = (texts.part(own, final) for own in kept)
    return SentenceCorpus(dataset, train, validation, test, vocabulary, facts, _wording(dataset, vocabulary))


def _splitting(dataset: str) -> str:
    """Return how texts are split into tokens, a name in SPLITTINGS."""
    return "spaces" if dataset in PREPARED else "tokens"


def _wording(dataset: str, vocabulary: Vocabulary) -> Wording:
    """Return the wording of a corpus."""
    return Wording(vocabulary.words, _splitting(dataset))


def _by_line(files: list[Path], tally: Tally, to_tokens: Callable[[str], Tokens]) -> Iterator[Iterator[list[Tokens]]]:
    """Yield the texts of each file: each line is a sentence."""
    for file in files:
        yield ([to_tokens(line)] for line in tally.passed(lines(file)))


def _by_empty_line(
    files: list[Path], tally: Tally, to_tokens: Callable[[str], Tokens]
) -> Iterator[Iterator[Iterable[Tokens]]]:
    """Yield the paragraphs of each file. If no file has empty lines inside its text, each line is a paragraph."""
    if any(map(has_empty_lines, files)):
        for file in files:
            yield (own for filled, own in groupby(map(to_tokens, tally.passed(lines(file))), bool) if filled)
    else:
        for file in files:
            yield (map(to_tokens, split_sentences(line)) for line in tally.passed(lines(file)))


def _check_kept(dataset: str, every: list[np.ndarray], kept: list[np.ndarray], what: str) -> None:
    """Print to standard error how many examples are left out. Raise DataError if a part is empty.

    Args:
        every, kept: the places of the examples of each part, before and after.
        what: the examples and their limits.
    """
    for part, units in zip(PARTS, kept, strict=True):
        if not len(units):
            raise DataError(
                f"the {part} part of {dataset} has no {what}: give more text or wider limits (each line is a sentence, "
                "and an empty line ends a paragraph; in text without empty lines, each line is a paragraph)"
            )
    total = sum(map(len, every))
    if left_out := total - sum(map(len, kept)):
        print(f"{dataset}: {left_out:,} of {total:,} are left out, since only {what} are read", file=sys.stderr)


def _versions(dataset: str) -> dict[str, dict[str, str]]:
    """Return the facts of a whole corpus: the versions of the packages whose docstrings it reads."""
    return {"versions": versions()} if dataset == "docstrings" else {}
