"""Documents in, as counts of words: 20 Newsgroups, the built-in docstrings, AG News, or the user's own.

Counts stay sparse in memory; `batches` and `evaluation_batches` make one batch dense at a time. Labels are kept beside
the counts for evaluation and never enter `batches`. TensorFlow, tensorflow-datasets and scikit-learn are imported
inside the functions that need them, so that `--help` and flag errors answer at once.
"""

import re
import socket
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from data.docstrings import read_docstrings, versions
from data.errors import InputError
from data.order import shuffled_batches
from data.text import PARTS, cut, cut_three, locate, read_lines
from data.vocabulary import most_frequent

PREPARED = ("20news",)  # folders of --data-dir, already counted
DATASETS = (*PREPARED, "docstrings", "newsgroups", "ag_news")

AG_NEWS_SERVER = ("drive.google.com", 443)
CONNECT_SECONDS = 2.0  # tensorflow-datasets itself retries for minutes before it reports a missing network
MIN_LABEL = 50  # docstrings: a sub-package with fewer documents counts to its package

_PAIR = re.compile(r"(\d{1,18}):(\d{1,18})", re.ASCII)  # id:count
MOST = 10**7 - 1  # of one word in a line: such counts are exact in float32
_WORD = re.compile(r"[^\W\d_]{2,}")


class Documents(NamedTuple):
    counts: csr_array  # float32 [D, V], whole numbers; no row is empty
    labels: np.ndarray | None  # int64 [D] in [0, len(label_names)); None: the documents came without labels
    unknown: int = 0  # words of raw text that the vocabulary does not have


class DocumentCorpus(NamedTuple):
    name: str  # one of DATASETS, or the path the documents were read from
    train: Documents
    validation: Documents
    test: Documents
    words: tuple[str, ...]  # V; column i of the counts is of words[i]
    label_names: tuple[str, ...] | None  # None where labels are
    facts: dict[str, Any]  # part -> documents, words, unknown, left_out (without a word); docstrings -> their versions


class Text(NamedTuple):
    words: list[str]  # lower-case, without stop words
    label: int | None


def load_documents(dataset: str, data_dir: str | None = None, vocabulary_size: int = 2000) -> DocumentCorpus:
    """Reads a whole corpus of documents into memory.

    Parts are fixed. The official test set stays as it is and a tenth of the training set, at random, becomes
    `validation`; docstrings and the user's text file are cut 80 / 10 / 10 % at random. Documents without a word of the
    vocabulary are left out and counted in `facts`.

    A raw text gives its words of two letters or more, in lower case, without scikit-learn's English stop words; the
    vocabulary is the most frequent of the training part, ties in alphabetical order.

    Args:
        dataset: one of
            20news: as prepared by Miao, Yu and Blunsom (2016): see the folder below.
            docstrings: those that say more than a summary; the label is the sub-package.
            newsgroups: 20 Newsgroups without headers, footers and quotes, downloaded by scikit-learn.
            ag_news: descriptions of AG News, downloaded by tensorflow-datasets.
            the path of a folder of train.feat and test.feat, a line for each document: its label, then id:count for
            its words, ids from 1; and vocab.new, whose line i has word i and its count.
            the path of a UTF-8 text file with one document a line; an empty line is one without a word.
        data_dir: folder that holds 20news/ (None: $INFOBIGBIGAN_DATA), or to download to (None: the library's own).
        vocabulary_size: most words of a raw text's vocabulary. A counted corpus keeps the one it came with.

    Raises:
        InputError: the data is missing, damaged, not as described above, or has nothing left in a part.
    """
    if vocabulary_size < 1:
        raise InputError(f"a vocabulary of {vocabulary_size} words is empty: give at least 1")
    every, words, label_names = _read(dataset, data_dir, vocabulary_size)
    kept = [_without_empty(documents) for documents in every]
    facts = {}
    for part, before, after in zip(PARTS, every, kept, strict=True):
        count = after.counts.shape[0]
        if not count:
            raise InputError(f"the {part} part of {dataset} has no document with a word in it: give more text")
        facts[part] = {
            "documents": count,
            "words": int(after.counts.sum(dtype=np.float64)),
            "unknown": after.unknown,
            "left_out": before.counts.shape[0] - count,
        }
    if dataset == "docstrings":
        facts["versions"] = versions()
    return DocumentCorpus(dataset, *kept, words, label_names, facts)


def batches(counts: csr_array, batch_size: int, seed: int, first_epoch: int = 0):
    """An endless stream of shuffled batches, counts alone.

    The order is a pure function of (seed, epoch, step), so a run that resumes at `first_epoch` meets the batches that
    an uninterrupted run would have met. Each epoch has D // batch_size steps; the remainder is dropped.

    Args:
        counts: float32 [D, V].
        first_epoch: the epoch to start with, counted from 0.

    Returns:
        tf.data.Dataset of dense float32 [batch_size, V].

    Raises:
        InputError: there is not one full batch.
    """
    import tensorflow as tf

    indices = shuffled_batches(counts.shape[0], batch_size, seed, first_epoch, "documents")
    return indices.map(_dense(counts)).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(counts: csr_array, batch_size: int):
    """Every document once, in order: tf.data.Dataset of dense float32 [B, V]; the last batch may be smaller.

    Raises InputError where the batch size is not positive.
    """
    import tensorflow as tf

    if batch_size < 1:
        raise InputError(f"batch size {batch_size} is not a size: choose at least 1")
    return tf.data.Dataset.range(counts.shape[0]).batch(batch_size).map(_dense(counts)).prefetch(tf.data.AUTOTUNE)


def _dense(counts: csr_array):
    """A function that gives the rows at indices [B] as a dense tensor, float32 [B, V]."""
    import tensorflow as tf

    with tf.device("CPU"):  # tf.data runs there; a GPU would hold a useless copy
        columns = tf.RaggedTensor.from_row_splits(counts.indices, counts.indptr)
        values = columns.with_values(tf.constant(counts.data))

    def rows(indices):
        column = tf.gather(columns, indices)
        places = tf.stack([column.value_rowids(), tf.cast(column.values, column.row_splits.dtype)], axis=1)
        shape = tf.stack([column.nrows(), tf.cast(counts.shape[1], column.row_splits.dtype)])
        x = tf.scatter_nd(places, tf.gather(values, indices).values, shape)
        return tf.ensure_shape(x, [indices.shape[0], counts.shape[1]])

    return rows


def _read(dataset: str, data_dir: str | None, vocabulary_size: int) -> tuple:
    """(train, validation and test as Documents that may have empty rows, words, names of the labels)."""
    if dataset == "docstrings":
        parts, names = _read_docstrings()
    elif dataset in ("newsgroups", "ag_news"):
        (train, test), names = (_fetch_newsgroups if dataset == "newsgroups" else _fetch_ag_news)(data_dir)
        validation, train = cut(train, len(train) // 10)
        parts = train, validation, test
    else:
        path = locate(dataset, DATASETS, PREPARED, data_dir)
        if path.is_dir():
            return _read_folder(path)
        texts = _texts(read_lines(path))
        _tell_of_empty(path, [len(text.words) for text in texts])
        parts, names = cut_three(texts, dataset), None
    words = tuple(most_frequent((text.words for text in parts[0]), vocabulary_size))
    return [_counted(part, words) for part in parts], words, names


def _texts(texts: Iterable[str], labels: Iterable[int | None] = repeat(None)) -> list[Text]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return [
        Text([word for word in _WORD.findall(text.lower()) if word not in ENGLISH_STOP_WORDS], label)
        for text, label in zip(texts, labels, strict=False)
    ]


def _counted(texts: list[Text], words: tuple[str, ...]) -> Documents:
    column = {word: i for i, word in enumerate(words)}
    rows = [[column[word] for word in text.words if word in column] for text in texts]
    unknown = sum(len(text.words) for text in texts) - sum(map(len, rows))
    labels = None if texts[0].label is None else np.array([text.label for text in texts], np.int64)
    return Documents(_sparse(rows, [[1] * len(row) for row in rows], len(words)), labels, unknown)


def _sparse(columns: list[list[int]], counts: list[list[int]], width: int) -> csr_array:
    """Each row's columns and the counts there -> float32 [D, width]; counts of one place are added up."""
    ends = np.cumsum([0, *map(len, columns)], dtype=np.int32)
    data = np.fromiter(chain.from_iterable(counts), np.float32)
    indices = np.fromiter(chain.from_iterable(columns), np.int32)
    matrix = csr_array((data, indices, ends), shape=(len(columns), width))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _without_empty(documents: Documents) -> Documents:
    counts, labels, _ = documents
    full = np.flatnonzero(np.diff(counts.indptr))
    return documents._replace(counts=counts[full], labels=None if labels is None else labels[full])


def _read_docstrings() -> tuple[tuple[list[Text], ...], tuple[str, ...]]:
    documents = [docstring for docstring in read_docstrings() if docstring.paragraphs]
    sizes = Counter(d.label for d in documents)
    labels = [d.label if sizes[d.label] >= MIN_LABEL else d.package for d in documents]
    names = tuple(sorted(set(labels)))
    texts = _texts((" ".join([d.summary, *d.paragraphs]) for d in documents), map(names.index, labels))
    return cut_three(texts, "docstrings"), names


def _fetch_newsgroups(data_dir: str | None) -> tuple[list[list[Text]], tuple[str, ...]]:
    from sklearn.datasets import fetch_20newsgroups

    try:
        parts = [
            fetch_20newsgroups(data_home=data_dir, subset=part, remove=("headers", "footers", "quotes"))
            for part in ("train", "test")
        ]
    except Exception as error:  # of the network, the disk or a damaged cache: the way out is the same
        raise _not_fetched("newsgroups", "scikit-learn", error) from error
    return [_texts(part.data, part.target.tolist()) for part in parts], tuple(parts[0].target_names)


def _fetch_ag_news(data_dir: str | None) -> tuple[list[list[Text]], tuple[str, ...]]:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    try:
        builder = tfds.builder("ag_news_subset", data_dir=data_dir)
        if not builder.is_prepared():
            socket.create_connection(AG_NEWS_SERVER, CONNECT_SECONDS).close()
            builder.download_and_prepare()
        parts = tfds.as_numpy(builder.as_dataset(split=["train", "test"], batch_size=-1))
    except Exception as error:  # of tfds, the network or the disk: the way out is the same
        raise _not_fetched("ag_news", "tensorflow-datasets", error) from error
    texts = [_texts((text.decode() for text in part["description"]), part["label"].tolist()) for part in parts]
    return texts, tuple(builder.info.features["label"].names)


def _not_fetched(dataset: str, library: str, error: Exception) -> InputError:
    return InputError(
        f"{dataset} could not be had from {library} ({type(error).__name__}: {error}): try again, name a folder that "
        "has it with --data-dir, or use --dataset docstrings"
    )


def _read_folder(folder: Path) -> tuple[list[Documents], tuple[str, ...], tuple[str, ...]]:
    words = _read_words(folder / "vocab.new")
    train, test = (_read_counts(folder / name, len(words)) for name in ("train.feat", "test.feat"))
    numbers = np.union1d(train.labels, test.labels)
    train, test = (d._replace(labels=np.searchsorted(numbers, d.labels)) for d in (train, test))
    chosen, rest = cut(range(len(train.labels)), len(train.labels) // 10)
    validation, train = (Documents(train.counts[rows], train.labels[rows]) for rows in (chosen, rest))
    return [train, validation, test], words, tuple(map(str, numbers))


def _read_words(file: Path) -> tuple[str, ...]:
    """The words of a vocabulary file, a word and its count on each line."""
    line_of = {}
    for number, line in enumerate(read_lines(file), 1):
        fields = line.split()
        if len(fields) != 2:
            raise InputError(f"{file}, line {number}: {_short(line)} is not a word and its count: correct the line")
        if fields[0] in line_of:
            raise InputError(
                f"{file}, line {number}: {_short(fields[0])} is on line {line_of[fields[0]]} too: name each word once"
            )
        line_of[fields[0]] = number
    return tuple(line_of)


def _read_counts(file: Path, width: int) -> Documents:
    """A .feat file, with its labels as they are written."""
    labels, columns, counts = [], [], []
    for number, line in enumerate(read_lines(file), 1):
        label, *pairs = line.split() or [""]
        if not re.fullmatch(r"\d{1,9}", label, re.ASCII):
            raise InputError(
                f"{file}, line {number}: {_short(label)} is not a label: begin the line with a whole number"
            )
        matches = [_PAIR.fullmatch(pair) for pair in pairs]
        if None in matches:
            pair = pairs[matches.index(None)]
            raise InputError(
                f"{file}, line {number}: {_short(pair)} is not id:count with whole numbers from 0: correct the pair"
            )
        ids, times = ([int(match[side]) for match in matches] for side in (1, 2))
        if wrong := [i for i in ids if not 1 <= i <= width]:
            raise InputError(
                f"{file}, line {number}: id {wrong[0]} is outside the vocabulary of {width} words: use ids 1 to {width}"
            )
        if max(times, default=0) > MOST:
            raise InputError(f"{file}, line {number}: a count of {max(times)}: give at most {MOST:,} of one word")
        labels.append(int(label))
        columns.append([i - 1 for i in ids])
        counts.append(times)
    _tell_of_empty(file, [sum(times) for times in counts])
    return Documents(_sparse(columns, counts, width), np.array(labels, np.int64))


def _tell_of_empty(file: Path, words: list[int]):
    """Says on standard error which line of a file, given the words of each, has none first: such documents are left out."""
    empty = [number for number, count in enumerate(words, 1) if not count]
    if empty:
        print(f"{file}, line {empty[0]}: a document without a word; left out, {len(empty)} in all", file=sys.stderr)


def _short(text: str) -> str:
    """Text of the user's to quote in an error."""
    return repr(text if len(text) <= 40 else text[:40] + "...")
