"""Reader of documents as word counts: 20 Newsgroups, built-in docstrings, AG News, or the user's own.

Counts stay sparse; `batches` and `evaluation_batches` make one batch dense at a time. Labels are kept beside the counts
for evaluation and never enter `batches`.

Raw text of the user's that is larger than the memory it may take streams: `data.sequences` keeps its ids in a file, and the
counts are mapped from files. They are then the same as in memory, to the bit.

TensorFlow, tensorflow-datasets and scikit-learn are imported inside the functions that need them, so that `--help` and
flag errors answer at once.
"""

import io
import re
import socket
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from scipy.sparse import coo_array, csr_array, get_index_dtype, vstack

from data.docstrings import read_docstrings, versions
from data.errors import DataError, reason
from data.order import shuffled_batches
from data.sequences import StreamedIds, Texts, TextStore, encoded, stored
from data.streaming import mapped, memory_limit, state_of
from data.text import (
    PARTS,
    RULES,
    SPLIT_SEED,
    Tally,
    content_words,
    cut_places,
    cut_three,
    cut_three_places,
    has_empty_lines,
    is_english,
    lines,
    locate,
    read_bytes,
    read_lines,
    read_text,
    report_rare,
    report_unread,
    text_file,
)
from data.twins import clusters, cut_clusters, vectors_of, with_twin
from data.vocabulary import RESERVED, most_frequent
from data.wording import CONTENT, ENGLISH, Wording, english_content_words

if TYPE_CHECKING:
    import tensorflow as tf
    from sklearn.utils import Bunch

NEWSGROUPS = ("20news", "20news_clean")  # folders of `data_dir` whose words are counted already
PREPARED = (*NEWSGROUPS, "reuters")  # folders of `data_dir`
DATASETS = (*PREPARED, "docstrings", "newsgroups", "ag_news")

COUNTED = ("train.feat", "test.feat", "vocab.new")  # the files of a counted corpus
TEXT_PARTS = ("train.txt", "test.txt", "valid.txt")  # the files of a corpus in parts; the last may be missing
FORMS = (
    "a text file of one document a line, a folder of .txt files (in sub-folders if they have labels), a folder of "
    "train.txt, test.txt and, if wanted, valid.txt, a folder of train.feat, test.feat and vocab.new, docword.NAME.txt with "
    "vocab.NAME.txt, or NAME.svmlight"
)

AG_NEWS_SERVER = ("drive.google.com", 443)
CONNECT_SECONDS = 2.0  # tensorflow-datasets itself retries for minutes before it reports a missing network
MIN_LABEL = 50  # docstrings: documents of a sub-package with fewer documents get the label of the package

_PAIR = re.compile(r"(\d{1,18}):(\d{1,18})", re.ASCII)  # id:count
UNUSED_IDS = 100_000  # words of a file of svmlight that may be without counts: a single id must not make millions
MOST = 10**7 - 1  # highest count of one word in a line: float32 holds such counts exactly


class Documents(NamedTuple):
    counts: csr_array  # float32 [D, V], whole numbers, in memory or mapped from files; each row has at least one word
    labels: np.ndarray | None = None  # int64 [D] in [0, len(label_names)); None: the documents came without labels
    unknown: int = 0  # number of words of the raw text that are not in the vocabulary


class DocumentCorpus(NamedTuple):
    name: str  # one of DATASETS, or the path that the documents were read from
    train: Documents
    validation: Documents
    test: Documents
    words: tuple[str, ...]  # V; column i of the counts belongs to words[i]
    label_names: tuple[str, ...] | None  # None: the documents came without labels
    # part -> documents, words, unknown, left_out (documents without a word); of 20news and 20news_clean also the twins that
    # documents of validation and test have in train; for docstrings also the packages' versions
    facts: dict[str, Any]
    wording: Wording  # its words, and how texts were split, or would be if they came as counts


class RawText(NamedTuple):
    """Documents before they are counted. Of several groups, the second is the test part, and the third validation."""

    texts: Texts  # D texts of content words; a text may be empty
    counted: np.ndarray  # bool [W]: whether a word counts. Stop words of English do not
    filled: np.ndarray  # bool [D]: whether a document has a word that counts
    labels: np.ndarray | None  # int64 [D]
    label_names: tuple[str, ...] | None
    splitting: str  # a name in `data.wording.SPLITTINGS`


def load_documents(
    dataset: str, data_dir: str | None = None, vocabulary_size: int = 2000, cache_gb: float | None = None
) -> DocumentCorpus:
    """Read a whole corpus of documents into memory, or, if it is larger than `cache_gb`, into files that it streams from.

    The parts are fixed. An official test set stays as it is, and a random tenth of its training set becomes
    `validation`. Of 20news and 20news_clean, it is a tenth without near duplicates in the rest (`data.twins`).
    Everything else is cut at random: 80 % train, 10 % validation, 10 % test.

    Documents without a word of the vocabulary are left out and counted in `facts`.

    `data.text.content_words` finds the words of a raw text. If the corpus is English, scikit-learn's English stop words
    are left out; `data.text.is_english` decides about the user's own text. The vocabulary has the most frequent words
    of the training part, ties in alphabetical order.

    Args:
        dataset: a name of DATASETS, or the path of the user's own data. A built-in name wins over a file of the same
            name; write `./20news` to mean the file.

            - 20news: 20 Newsgroups as Miao, Yu and Blunsom (2016) prepared it, a folder in the format below.
            - 20news_clean: the same as later papers cleaned it, without labels.
            - docstrings: the docstrings that have prose after the summary. The label is the sub-package.
            - reuters: Reuters-21578, a story a document, a folder of train.txt, test.txt and valid.txt as below.
            - newsgroups: 20 Newsgroups without headers, footers and quotes. scikit-learn downloads it.
            - ag_news: the descriptions of AG News. tensorflow-datasets downloads it.
            - a folder of train.feat, test.feat and vocab.new. Each line of a .feat file is a document: its label, then
              id:count for each word. Ids start at 1. Line i of vocab.new has word i and its count.
            - docword.NAME.txt of the UCI bags of words, with vocab.NAME.txt beside it, or their folder. There are no
              labels.
            - a file of svmlight, NAME.svmlight or NAME.libsvm: lines as in a .feat file, where the label may be any
              number, and the ids may start at 0. If vocab.txt lies beside it, line i has word i; otherwise a word is
              its id.
            - a text file with one document a line. An empty line is a document without a word.
            - a folder of train.txt, test.txt and, if wanted, valid.txt. An empty line ends a document. In files without
              empty lines, each line is a document.
            - a folder of other .txt files, each a document. In several sub-folders of such files, a document's label is the
              name of its sub-folder. Deeper folders are not read.

            All files of text may be compressed, as NAME.txt.gz; `data.text.read_text` has the accepted encodings.
        data_dir: for 20news, 20news_clean and reuters, the folder that holds theirs (None: $INFOBIGBIGAN_DATA). For
            ag_news, the folder to download to (None: the default of the library). newsgroups is kept in scikit-learn's own
            folder.
        vocabulary_size: highest number of words in the vocabulary of raw text. Documents that are counted already keep
            their vocabulary.
        cache_gb: memory for the user's raw text, as int32 ids of its words, in 2^30 bytes. A larger text streams; its
            files lie in `data.streaming.cache_dir`. None: half of the memory that is free. Other documents never stream.

    Raises:
        DataError: the data is missing, damaged, or not as described above, nothing is left of a part, or the disk has no
            room for a text that streams.
    """
    if vocabulary_size < 1:
        raise DataError(f"a vocabulary of {vocabulary_size} words is empty: choose at least 1")
    every, words, label_names, splitting = _read(dataset, data_dir, vocabulary_size, cache_gb)
    kept = [_without_empty(documents) for documents in every]
    facts: dict[str, Any] = {}
    for part, before, after in zip(PARTS, every, kept, strict=True):
        count, _ = shape_of(after.counts)
        if not count:
            raise DataError(f"the {part} part of {dataset} has no document with a word in it: give more text")
        facts[part] = {
            "documents": count,
            "words": int(after.counts.data.sum(dtype=np.float64)),  # SciPy's own sum may copy all counts
            "unknown": after.unknown,
            "left_out": shape_of(before.counts)[0] - count,
        }
    if dataset == "docstrings":
        facts["versions"] = versions()
    if dataset in NEWSGROUPS:
        official = cast(csr_array, vstack([kept[0].counts, kept[1].counts]))
        known, *others = (vectors_of(documents.counts, official) for documents in kept)
        for part, vectors in zip(PARTS[1:], others, strict=True):
            facts[part]["twins"] = with_twin(vectors, known)
    train, validation, test = kept
    return DocumentCorpus(dataset, train, validation, test, words, label_names, facts, Wording(words, splitting))


def batches(counts: csr_array, batch_size: int, seed: int, first_epoch: int = 0) -> "tf.data.Dataset":
    """Return an endless stream of shuffled batches of counts, without labels.

    The order is a pure function of (seed, epoch, step). So a run that resumes at `first_epoch` meets the same batches
    as an uninterrupted run. Each epoch has D // batch_size steps; the remaining documents are dropped.

    Args:
        counts: float32 [D, V].
        first_epoch: the epoch to start with, counted from 0.

    Returns:
        A dataset of dense float32 [batch_size, V].

    Raises:
        DataError: there are not enough documents for one batch.
    """
    import tensorflow as tf

    indices = shuffled_batches(shape_of(counts)[0], batch_size, seed, first_epoch, "documents")
    return indices.map(_dense(counts)).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(counts: csr_array, batch_size: int) -> "tf.data.Dataset":
    """Return a dataset of dense float32 [B, V] with every document once, in order. The last batch may be smaller.

    Raises:
        DataError: the batch size is not positive.
    """
    import tensorflow as tf

    if batch_size < 1:
        raise DataError(f"batch size {batch_size} is too small: choose at least 1")
    return tf.data.Dataset.range(shape_of(counts)[0]).batch(batch_size).map(_dense(counts)).prefetch(tf.data.AUTOTUNE)


def shape_of(counts: csr_array) -> tuple[int, int]:
    """Return (D, V), the shape of counts."""
    return counts.shape  # pyright: ignore[reportReturnType]  # SciPy has no stubs, and pyright infers None


def _dense(counts: csr_array) -> "Callable[[tf.Tensor], tf.Tensor]":
    """Return the function that makes a dense tensor, float32 [B, V], of the rows at given indices [B]."""
    import tensorflow as tf

    def rows(indices: "tf.Tensor") -> "tf.Tensor":
        x = tf.numpy_function(lambda chosen: counts[chosen].toarray(), [indices], tf.float32)
        return tf.ensure_shape(x, [indices.shape[0], shape_of(counts)[1]])

    return rows


def _read(
    dataset: str, data_dir: str | None, vocabulary_size: int, cache_gb: float | None
) -> tuple[list[Documents], tuple[str, ...], tuple[str, ...] | None, str]:
    """Return the train, validation and test parts, the vocabulary, the names of the labels, and the splitting.

    Rows of the parts may be empty.
    """
    if dataset == "docstrings":
        raw = _read_docstrings()
    elif dataset == "newsgroups":
        raw = _fetch_newsgroups()
    elif dataset == "ag_news":
        raw = _fetch_ag_news(data_dir)
    else:
        path = locate(dataset, DATASETS, PREPARED, data_dir)
        if dataset in NEWSGROUPS or any(text_file(path, name).exists() for name in COUNTED):
            return *_read_folder(path, dataset in NEWSGROUPS), CONTENT
        if path.name.removesuffix(".gz").endswith((".svmlight", ".libsvm")):
            return *_cut_counted(dataset, *_read_svmlight(path)), CONTENT
        if bags := [path] if path.name.startswith("docword.") else sorted(path.glob("docword.*")):
            return *_cut_counted(dataset, *_read_bags(bags)), CONTENT
        raw = _read_texts(path, memory_limit(cache_gb))
    texts, size = raw.texts, len(raw.filled)
    if len(texts.groups) == 1:
        parts = cut_three_places(size, dataset)
    else:
        official, test, *given = np.split(np.arange(size), np.cumsum(texts.groups)[:-1])
        validation, train = (given[0], official) if given else cut_places(len(official), len(official) // 10)
        parts = train, validation, test
    found = [np.where(raw.counted, texts.counts(part), 0) for part in parts]
    if dataset not in DATASETS:
        report_rare(dataset, *found[:2])
    words = tuple(most_frequent(texts.words, found[0], vocabulary_size))
    column = {word: i for i, word in enumerate(words)}
    columns = np.array([column.get(word, -1) for word in texts.words], np.int32)
    documents = [
        Documents(
            _counts(texts, part, columns, len(words)),
            None if raw.labels is None else raw.labels[part],
            int(counts[columns < 0].sum()),
        )
        for part, counts in zip(parts, found, strict=True)
    ]
    kept = sum(np.count_nonzero(np.diff(part.counts.indptr)) for part in documents)
    if lost := np.count_nonzero(raw.filled) - kept:
        print(
            f"{dataset}: {lost:,} documents are left out, since no word of theirs is among the {len(words):,} of the "
            "vocabulary",
            file=sys.stderr,
        )
    return documents, words, raw.label_names, raw.splitting


def _counts(texts: Texts, places: np.ndarray, columns: np.ndarray, width: int) -> csr_array:
    """Return the counts of the texts at these places, float32 [M, width]; if the texts stream, mapped from files.

    Args:
        columns: the column of each word, int32 [W] in [-1, width). -1: the word is passed over.
    """
    part = texts.part(places, np.append(np.full(len(RESERVED), -1, np.int32), columns))

    def rows() -> Iterator[csr_array]:
        for some in part.pieces():
            found = some.joined()
            known = found >= 0
            ends = np.append(0, np.cumsum(known))[np.append(0, np.cumsum(some.lengths))]
            yield _sparse(found[known], np.ones(ends[-1]), ends, width)

    if not isinstance(texts.ids, StreamedIds):
        return cast(csr_array, vstack(list(rows())))
    pieces = ((own.data, own.indices, np.diff(own.indptr)) for own in rows())
    data, indices, sizes = mapped(pieces, texts.ids.file.parent, "the counts of words")
    ends = np.append(0, np.cumsum(sizes))
    # SciPy copies the indices where the ends have another type
    return csr_array((data, indices, ends.astype(get_index_dtype(maxval=ends[-1]))), shape=(len(sizes), width))


def _read_texts(path: Path, limit: float) -> RawText:
    """Return the documents of a text file, of a corpus in parts, or of a folder of other .txt files.

    Ids of more than `limit` bytes stream.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    labels = names = None
    if path.is_file():
        form, files = "lines", [path]
    elif all(text_file(path, name).exists() for name in TEXT_PARTS[:2]):
        form, files = "parts", [file for file in (text_file(path, name) for name in TEXT_PARTS) if file.exists()]
        report_unread(path, files, f"only {', '.join(TEXT_PARTS)} are")
    else:
        form, (files, labels, names) = "files", _find_texts(path)
    store = TextStore([str(path.resolve()), f"documents: {form}", RULES], [state_of(file) for file in files])

    def read() -> tuple[Texts, list[str]]:
        tally = Tally()
        texts = _blocks(files) if form == "parts" else [map(read_text, files) if form == "files" else lines(path)]
        groups = (([content_words(text)] for text in tally.passed(group)) for group in texts)
        return encoded(groups, False, store, limit, keep_empty=True), tally.said

    texts = stored(str(path), store, limit, read)
    every = np.arange(len(texts.lengths))
    counts, stop = texts.counts(every), np.array([word in ENGLISH_STOP_WORDS for word in texts.words], bool)
    english = is_english(dict(zip(texts.words, counts.tolist(), strict=True)))
    if count := counts[stop].sum():
        what = (
            f"{count:,} English stop words are left out"
            if english
            else f"few words are 'the', 'and' or 'of', so this is not English, and {count:,} words that are spelt like "
            "English stop words are kept"
        )
        print(f"{path}: {what}", file=sys.stderr)
    counted = ~stop if english else np.ones_like(stop)
    # one column for all words that count
    filled = np.diff(_counts(texts, every, counted.astype(np.int32) - 1, 1).indptr) > 0
    kind = "line" if form == "lines" else "document"
    _report_empty((lambda i: str(files[i])) if form == "files" else (lambda i: f"{path}, {kind} {i + 1}"), filled)
    if not filled.any():
        raise DataError(f"{path} has no document with a word in it: give {FORMS}")
    return RawText(texts, counted, filled, labels, names, ENGLISH if english else CONTENT)


def _blocks(files: list[Path]) -> Iterator[Iterator[str]]:
    """Yield the documents of each file, which empty lines end; if no file has one inside its text, the lines."""
    if not any(map(has_empty_lines, files)):
        yield from map(lines, files)
        return
    for file in files:
        parts = groupby(lines(file), lambda line: bool(line.strip()))
        yield ("\n".join(own) for filled, own in parts if filled)


def _find_texts(folder: Path) -> tuple[list[Path], np.ndarray | None, tuple[str, ...] | None]:
    """Return the .txt files of a folder in sorted order, their labels, int64 [D], and the names of the labels.

    The files have labels if several sub-folders hold them. Hidden files and folders are skipped.
    """

    def texts_in(directory: Path) -> list[Path]:
        return [p for p in visible(directory) if p.name.endswith((".txt", ".txt.gz")) and p.is_file()]

    def visible(directory: Path) -> list[Path]:
        return sorted(p for p in directory.iterdir() if not p.name.startswith("."))

    loose = texts_in(folder)
    classes = {sub.name: own for sub in visible(folder) if sub.is_dir() and (own := texts_in(sub))}
    if loose and classes:
        raise DataError(
            f"{folder} has .txt files both beside and inside its sub-folders: move {loose[0].name} into one"
        )
    files = loose or list(chain.from_iterable(classes.values()))
    if not files:
        raise DataError(f"{folder} has no .txt files in it or one folder down: give {FORMS}")
    named = {name.removesuffix(".gz").removesuffix(".txt") for name in classes or [file.name for file in loose]}
    if named <= {"train", "test", "valid", "validation", "dev"}:
        raise DataError(f"{folder} has {', '.join(sorted(named))}, which are parts and not documents: give {FORMS}")
    report_unread(folder, files, "only .txt files here or one folder down are")
    if len(classes) < 2:
        return files, None, None
    return files, np.repeat(np.arange(len(classes)), [len(own) for own in classes.values()]), tuple(classes)


def _cut_counted(
    dataset: str, documents: Documents, words: tuple[str, ...], label_names: tuple[str, ...] | None
) -> tuple[list[Documents], tuple[str, ...], tuple[str, ...] | None]:
    """Return the train, validation and test parts of a counted corpus, its vocabulary, and the names of its labels."""
    counts, labels, _ = documents
    _report_empty(lambda i: f"{dataset}, document {i + 1}", counts.sum(1))
    rows = cut_three(range(shape_of(counts)[0]), dataset)
    return [Documents(counts[own], None if labels is None else labels[own]) for own in rows], words, label_names


def _read_svmlight(file: Path) -> tuple[Documents, tuple[str, ...], tuple[str, ...]]:
    """Return the documents of a file of svmlight, its vocabulary, and the names of its labels."""
    from sklearn.datasets import load_svmlight_file

    vocabulary = text_file(file.parent, "vocab.txt")
    words = tuple(read_lines(vocabulary)) if vocabulary.exists() else None
    try:
        load: Any = load_svmlight_file  # the annotation of `zero_based` lacks bool
        content = io.BytesIO(read_bytes(file))
        counts, numbers = load(content, n_features=words and len(words), zero_based="auto" if words else True)
    except (ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{file} is not a file of svmlight ({reason(error)}): begin each line with a label, then id:count"
        ) from error
    values = counts.data
    if (wrong := values[(values < 0) | (values > MOST) | (values != np.floor(values))]).size:
        raise DataError(f"{file} has the value {wrong[0]:g}: give counts, which are whole numbers from 0 to {MOST:,}")
    if (width := shape_of(counts)[1]) > (most := min(MOST, UNUSED_IDS + counts.nnz)):
        raise DataError(
            f"{file} has the id {width - 1:,} and {counts.nnz:,} counts: number the words without large gaps, at most "
            f"{most:,}"
        )
    names, labels = np.unique(numbers, return_inverse=True)
    counts = csr_array(counts.astype(np.float32))
    words = words or tuple(map(str, range(width)))
    return Documents(counts, labels.astype(np.int64)), words, tuple(f"{name:g}" for name in names)


def _read_bags(files: list[Path]) -> tuple[Documents, tuple[str, ...], None]:
    """Return the documents of a UCI bag of words, and its vocabulary.

    The first three lines give the numbers of documents, of words, and of lines that follow. Each line that follows has
    the number of a document, the number of a word, and a count. Documents and words are numbered from 1.
    """
    file, *others = files
    if others:
        raise DataError(f"{file.parent} has {len(files)} files docword.*: name one of them, such as {file}")
    name = file.name.removesuffix(".gz").replace("docword.", "vocab.", 1)
    words = tuple(read_lines(text_file(file.parent, name)))
    try:
        documents, width, entries = map(int, (lines := read_lines(file))[:3])
        row, column, count = np.loadtxt(lines[3:], np.int64, ndmin=2).T
    except ValueError as error:
        raise DataError(
            f"{file} is not a UCI bag of words ({reason(error)}): give three lines with one number, then lines of document, "
            "word and count"
        ) from error
    for what, numbers, most in (("document", row, documents), ("word", column, width), ("count", count, MOST)):
        if (wrong := numbers[(numbers < 1) | (numbers > most)]).size:
            raise DataError(f"{file} has the {what} {wrong[0]}: its first lines allow 1 to {most:,}")
    if (len(words), len(row)) != (width, entries) or documents > entries:
        raise DataError(
            f"{file} is damaged (it has {len(row)} lines and {len(words)} words, its first lines say {entries} and "
            f"{width}): fetch it and {name} again"
        )
    counts = coo_array((count.astype(np.float32), (row - 1, column - 1)), shape=(documents, width)).tocsr()
    return Documents(counts), words, None


def _english(groups: Iterable[Iterable[str]], labels: Sequence[int] | np.ndarray, names: Sequence[str]) -> RawText:
    """Return English documents, whose stop words are left out while they are read.

    Args:
        groups: of texts.
        labels: of the texts of all groups.
        names: of the labels.
    """
    texts = encoded(
        (([english_content_words(text)] for text in own) for own in groups), False, None, 0, keep_empty=True
    )
    counted = np.ones(len(texts.words), bool)
    return RawText(texts, counted, texts.lengths > 0, np.array(labels, np.int64), tuple(names), ENGLISH)


def _sparse(columns: Sequence[int] | np.ndarray, counts: Any, ends: Any, width: int) -> csr_array:
    """Return the matrix of counts, float32 [D, width].

    Several counts of one column are added up.

    Args:
        columns, counts: a word's column and its count, row after row, [N].
        ends: where each row ends in them, behind a 0, [D + 1].
    """
    data, indices = np.array(counts, np.float32), np.array(columns, np.int32)
    matrix = csr_array((data, indices, np.array(ends, np.int32)), shape=(len(ends) - 1, width))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _without_empty(documents: Documents) -> Documents:
    """Return the documents that have at least one word. Their counts are not copied."""
    counts, labels, _ = documents
    full = np.flatnonzero(np.diff(counts.indptr))
    ends = counts.indptr[np.append(0, full + 1)]
    return documents._replace(
        counts=csr_array((counts.data, counts.indices, ends), shape=(len(full), shape_of(counts)[1])),
        labels=None if labels is None else labels[full],
    )


def _read_docstrings() -> RawText:
    """Return the docstrings that have prose after the summary."""
    documents = [docstring for docstring in read_docstrings() if docstring.paragraphs]
    sizes = Counter(d.label for d in documents)
    labels = [d.label if sizes[d.label] >= MIN_LABEL else d.package for d in documents]
    names = tuple(sorted(set(labels)))
    texts = (" ".join([d.summary, *d.paragraphs]) for d in documents)
    return _english([texts], [names.index(label) for label in labels], names)


def _fetch_newsgroups() -> RawText:
    """Return the train and test parts, a group each.

    scikit-learn keeps pickles, which can run code. So the folder is always its own, and never one that a run names.
    """
    from sklearn.datasets import fetch_20newsgroups

    try:
        parts = [
            cast(
                "Bunch",
                fetch_20newsgroups(data_home=None, subset=part, remove=("headers", "footers", "quotes")),
            )
            for part in ("train", "test")
        ]
    except Exception as error:  # the network, the disk or a damaged cache fails: the advice is the same
        raise _not_fetched("newsgroups", "scikit-learn", error) from error
    labels = np.concatenate([part.target for part in parts])
    return _english((part.data for part in parts), labels, parts[0].target_names)


def _fetch_ag_news(data_dir: str | None) -> RawText:
    """Return the train and test parts, a group each."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    try:
        builder = tfds.builder("ag_news_subset", data_dir=data_dir)
        if not builder.is_prepared():
            socket.create_connection(AG_NEWS_SERVER, CONNECT_SECONDS).close()
            builder.download_and_prepare()
        datasets = builder.as_dataset(
            split=["train", "test"],  # pyright: ignore[reportCallIssue]  # a decorator hides the signature
            batch_size=-1,
        )
        parts = tfds.as_numpy(datasets)
    except Exception as error:  # tensorflow-datasets, the network or the disk fails: the advice is the same
        raise _not_fetched("ag_news", "tensorflow-datasets", error, data_dir="name a folder that has it") from error
    texts = ((text.decode() for text in part["description"]) for part in parts)
    features = cast(Any, builder.info.features)
    return _english(texts, np.concatenate([part["label"] for part in parts]), features["label"].names)


def _not_fetched(dataset: str, library: str, error: Exception, **arguments: str) -> DataError:
    """Return the error for a data set that a library failed to fetch."""
    return DataError(
        f"{dataset} could not be fetched by {library} ({type(error).__name__}: {error})",
        "try again",
        **arguments,
        dataset="use docstrings",
    )


def _read_folder(folder: Path, apart: bool) -> tuple[list[Documents], tuple[str, ...], tuple[str, ...]]:
    """Return the train, validation and test parts of a counted corpus, its vocabulary, and the names of its labels.

    Args:
        apart: whether no document of `validation` may have a twin in `train`.
    """
    words = _read_words(text_file(folder, COUNTED[2]))
    (counts, labels), (test_counts, test_labels) = (
        _read_counts(text_file(folder, name), len(words)) for name in COUNTED[:2]
    )
    numbers = np.union1d(labels, test_labels)
    labels, test_labels = np.searchsorted(numbers, labels), np.searchsorted(numbers, test_labels)
    size = len(labels) // 10
    chosen, rest = cut_clusters(clusters(counts), size, SPLIT_SEED) if apart else cut_places(len(labels), size)
    validation, train = (Documents(counts[rows], labels[rows]) for rows in (chosen, rest))
    return [train, validation, Documents(test_counts, test_labels)], words, tuple(map(str, numbers))


def _read_words(file: Path) -> tuple[str, ...]:
    """Return the words of a vocabulary file, which has a word and its count on each line."""
    line_of: dict[str, int] = {}
    for number, line in enumerate(read_lines(file), 1):
        fields = line.split()
        if len(fields) != 2:
            raise DataError(f"{file}, line {number}: {_short(line)} is not a word and its count: correct the line")
        if fields[0] in line_of:
            raise DataError(
                f"{file}, line {number}: {_short(fields[0])} is on line {line_of[fields[0]]} too: name each word once"
            )
        line_of[fields[0]] = number
    return tuple(line_of)


def _read_counts(file: Path, width: int) -> tuple[csr_array, np.ndarray]:
    """Return the counts of a .feat file, float32 [D, width], and its labels as they are written, int64 [D]."""
    labels, columns, counts, ends, words = array("q"), array("i"), array("f"), array("q", [0]), array("q")
    for number, line in enumerate(read_lines(file), 1):
        label, *pairs = line.split() or [""]
        if not re.fullmatch(r"\d{1,9}", label, re.ASCII):
            raise DataError(
                f"{file}, line {number}: {_short(label)} is not a label: begin the line with a whole number"
            )
        words.append(0)
        for pair in pairs:
            match = _PAIR.fullmatch(pair)
            if match is None:
                raise DataError(
                    f"{file}, line {number}: {_short(pair)} is not id:count with whole numbers from 0: correct the pair"
                )
            word, count = int(match[1]), int(match[2])
            if not 1 <= word <= width:
                raise DataError(
                    f"{file}, line {number}: id {word} is outside the vocabulary of {width} words: use ids 1 to {width}"
                )
            if count > MOST:
                raise DataError(
                    f"{file}, line {number}: a count of {count} is too large: give at most {MOST:,} for one word"
                )
            columns.append(word - 1)
            counts.append(count)
            words[-1] += count
        labels.append(int(label))
        ends.append(len(columns))
    _report_empty(lambda i: f"{file}, line {i + 1}", words)
    return _sparse(columns, counts, ends, width), np.array(labels, np.int64)


def _report_empty(place: Callable[[int], str], words: Iterable[int]) -> None:
    """Print to standard error how many documents have no words, and where the first is.

    Args:
        place: returns the place of document i, counted from 0, in words.
        words: the number of words of each document.
    """
    empty = [i for i, count in enumerate(words) if not count]
    if empty:
        print(
            f"{place(empty[0])}: the document has no words; such documents are left out, {len(empty)} in all",
            file=sys.stderr,
        )


def _short(text: str) -> str:
    """Return at most 40 characters of the user's text, quoted for an error."""
    return repr(text if len(text) <= 40 else text[:40] + "...")
