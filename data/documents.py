"""Reader of documents as word counts: 20 Newsgroups, built-in docstrings, AG News, or the user's own.

Counts stay sparse in memory; `batches` and `evaluation_batches` make one batch dense at a time. Labels are kept beside
the counts for evaluation and never enter `batches`.
TensorFlow, tensorflow-datasets and scikit-learn are imported inside the functions that need them, so that `--help` and
flag errors answer at once.
"""

import io
import re
import socket
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from scipy.sparse import coo_array, csr_array

from data.docstrings import read_docstrings, versions
from data.errors import DataError, reason
from data.order import shuffled_batches
from data.text import (
    PARTS,
    content_words,
    cut,
    cut_three,
    is_english,
    locate,
    read_bytes,
    read_lines,
    read_text,
    report_rare,
    report_unread,
    report_unspaced,
    text_file,
)
from data.vocabulary import most_frequent
from data.wording import CONTENT, ENGLISH, Wording

if TYPE_CHECKING:
    import tensorflow as tf
    from sklearn.utils import Bunch

PREPARED = ("20news",)  # folders of `data_dir` whose words are counted already
DATASETS = (*PREPARED, "docstrings", "newsgroups", "ag_news")

COUNTED = ("train.feat", "test.feat", "vocab.new")  # the files of a counted corpus
FORMS = (
    "a text file of one document a line, a folder of .txt files (in sub-folders if they have labels), a folder of "
    "train.feat, test.feat and vocab.new, docword.NAME.txt with vocab.NAME.txt, or NAME.svmlight"
)

AG_NEWS_SERVER = ("drive.google.com", 443)
CONNECT_SECONDS = 2.0  # tensorflow-datasets itself retries for minutes before it reports a missing network
MIN_LABEL = 50  # docstrings: documents of a sub-package with fewer documents get the label of the package

_PAIR = re.compile(r"(\d{1,18}):(\d{1,18})", re.ASCII)  # id:count
UNUSED_IDS = 100_000  # words of a file of svmlight that may be without counts: a single id must not make millions
MOST = 10**7 - 1  # highest count of one word in a line: float32 holds such counts exactly


class Documents(NamedTuple):
    counts: csr_array  # float32 [D, V], whole numbers; each row has at least one word
    labels: np.ndarray | None = None  # int64 [D] in [0, len(label_names)); None: the documents came without labels
    unknown: int = 0  # number of words of the raw text that are not in the vocabulary


class DocumentCorpus(NamedTuple):
    name: str  # one of DATASETS, or the path that the documents were read from
    train: Documents
    validation: Documents
    test: Documents
    words: tuple[str, ...]  # V; column i of the counts belongs to words[i]
    label_names: tuple[str, ...] | None  # None: the documents came without labels
    # part -> documents, words, unknown, left_out (documents without a word); for docstrings also the packages' versions
    facts: dict[str, Any]
    wording: Wording  # its words, and how texts were split, or would be if they came as counts


class Text(NamedTuple):
    words: list[str]  # as `data.text.content_words` returns them, for English without stop words
    label: int | None


def load_documents(dataset: str, data_dir: str | None = None, vocabulary_size: int = 2000) -> DocumentCorpus:
    """Read a whole corpus of documents into memory.

    The parts are fixed. An official test set stays as it is, and a random tenth of its training set becomes
    `validation`. Everything else is cut at random: 80 % train, 10 % validation, 10 % test.
    Documents without a word of the vocabulary are left out and counted in `facts`.

    `data.text.content_words` finds the words of a raw text. If the corpus is English, scikit-learn's English stop words
    are left out; `data.text.is_english` decides about the user's own text. The vocabulary has the most frequent words
    of the training part, ties in alphabetical order.

    Args:
        dataset: a name of DATASETS, or the path of the user's own data. A built-in name wins over a file of the same
            name; write `./20news` to mean the file.

            - 20news: 20 Newsgroups as Miao, Yu and Blunsom (2016) prepared it, a folder in the format below.
            - docstrings: the docstrings that have prose after the summary. The label is the sub-package.
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
            - a folder of .txt files, each a document. In several sub-folders of such files, a document's label is the
              name of its sub-folder. Deeper folders are not read.

            All files of text may be compressed, as NAME.txt.gz; `data.text.read_text` has the accepted encodings.
        data_dir: for 20news, the folder that holds 20news/ (None: $INFOBIGBIGAN_DATA). For ag_news, the folder to
            download to (None: the default of the library). newsgroups is kept in scikit-learn's own folder.
        vocabulary_size: highest number of words in the vocabulary of raw text. Documents that are counted already keep
            their vocabulary.

    Raises:
        DataError: the data is missing, damaged, or not as described above, or nothing is left of a part.
    """
    if vocabulary_size < 1:
        raise DataError(f"a vocabulary of {vocabulary_size} words is empty: choose at least 1")
    every, words, label_names, splitting = _read(dataset, data_dir, vocabulary_size)
    kept = [_without_empty(documents) for documents in every]
    facts: dict[str, Any] = {}
    for part, before, after in zip(PARTS, every, kept, strict=True):
        count, _ = shape_of(after.counts)
        if not count:
            raise DataError(f"the {part} part of {dataset} has no document with a word in it: give more text")
        facts[part] = {
            "documents": count,
            "words": int(after.counts.sum(dtype=np.float64)),
            "unknown": after.unknown,
            "left_out": shape_of(before.counts)[0] - count,
        }
    if dataset == "docstrings":
        facts["versions"] = versions()
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

    width = shape_of(counts)[1]
    with tf.device("CPU"):  # tf.data runs there; a GPU would hold a useless copy
        columns = tf.RaggedTensor.from_row_splits(  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
            counts.indices, counts.indptr
        )
        values = columns.with_values(tf.constant(counts.data))

    def rows(indices: "tf.Tensor") -> "tf.Tensor":
        column = tf.gather(columns, indices)
        places = tf.stack([column.value_rowids(), tf.cast(column.values, column.row_splits.dtype)], axis=1)
        shape = tf.stack([column.nrows(), tf.cast(width, column.row_splits.dtype)])
        x = tf.scatter_nd(places, tf.gather(values, indices).values, shape)
        return tf.ensure_shape(x, [indices.shape[0], width])

    return rows


def _read(
    dataset: str, data_dir: str | None, vocabulary_size: int
) -> tuple[list[Documents], tuple[str, ...], tuple[str, ...] | None, str]:
    """Return the train, validation and test parts, the vocabulary, the names of the labels, and the splitting.

    Rows of the parts may be empty.
    """
    splitting = ENGLISH
    if dataset == "docstrings":
        parts, names = _read_docstrings()
    elif dataset in ("newsgroups", "ag_news"):
        (train, test), names = _fetch_newsgroups() if dataset == "newsgroups" else _fetch_ag_news(data_dir)
        validation, train = cut(train, len(train) // 10)
        parts = train, validation, test
    else:
        path = locate(dataset, DATASETS, PREPARED, data_dir)
        if dataset in PREPARED or any(text_file(path, name).exists() for name in COUNTED):
            return *_read_folder(path), CONTENT
        if path.name.removesuffix(".gz").endswith((".svmlight", ".libsvm")):
            return *_cut_counted(dataset, *_read_svmlight(path)), CONTENT
        if bags := [path] if path.name.startswith("docword.") else sorted(path.glob("docword.*")):
            return *_cut_counted(dataset, *_read_bags(bags)), CONTENT
        texts, names, splitting = _read_texts(path)
        parts = cut_three(texts, dataset)
        report_rare(dataset, *([text.words for text in part] for part in parts[:2]))
    words = tuple(most_frequent((text.words for text in parts[0]), vocabulary_size))
    counted = [_counted(part, words) for part in parts]
    lost = sum(bool(text.words) for text in chain.from_iterable(parts))
    lost -= sum(np.count_nonzero(np.diff(part.counts.indptr)) for part in counted)
    if lost:
        print(
            f"{dataset}: {lost:,} documents are left out, since no word of theirs is among the {len(words):,} of the "
            "vocabulary",
            file=sys.stderr,
        )
    return counted, words, names, splitting


def _read_texts(path: Path) -> tuple[list[Text], tuple[str, ...] | None, str]:
    """Return the documents of a text file or of a folder of .txt files, the names of their labels, and the splitting."""
    if path.is_dir():
        files, labels, names = _find_texts(path)
        documents = [read_text(file) for file in files]
    else:
        documents = read_lines(path)
        files, labels, names = None, repeat(None), None
    report_unspaced(str(path), documents)
    texts = [Text(content_words(text), label) for text, label in zip(documents, labels, strict=False)]
    english, content = is_english([word for text in texts for word in text.words]), _without_stop_words(texts)
    if count := sum(len(text.words) - len(own.words) for text, own in zip(texts, content, strict=True)):
        what = (
            f"{count:,} English stop words are left out"
            if english
            else f"few words are 'the', 'and' or 'of', so this is not English, and {count:,} words that are spelt like "
            "English stop words are kept"
        )
        print(f"{path}: {what}", file=sys.stderr)
    texts = content if english else texts
    _report_empty(
        (lambda i: str(files[i])) if files else (lambda i: f"{path}, line {i + 1}"), [len(text.words) for text in texts]
    )
    if not any(text.words for text in texts):
        raise DataError(f"{path} has no document with a word in it: give {FORMS}")
    return texts, names, ENGLISH if english else CONTENT


def _find_texts(folder: Path) -> tuple[list[Path], Iterable[int | None], tuple[str, ...] | None]:
    """Return the .txt files of a folder in sorted order, their labels, and the names of the labels.

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
        return files, repeat(None), None
    return files, np.repeat(np.arange(len(classes)), [len(own) for own in classes.values()]).tolist(), tuple(classes)


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


def _texts(texts: Iterable[str], labels: Iterable[int | None]) -> list[Text]:
    """Return the words of raw English texts, each text with its label."""
    return _without_stop_words(Text(content_words(text), label) for text, label in zip(texts, labels, strict=False))


def _without_stop_words(texts: Iterable[Text]) -> list[Text]:
    """Return the texts without English stop words."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return [text._replace(words=[word for word in text.words if word not in ENGLISH_STOP_WORDS]) for text in texts]


def _counted(texts: list[Text], words: tuple[str, ...]) -> Documents:
    """Return texts as counts of the words of a vocabulary."""
    column = {word: i for i, word in enumerate(words)}
    rows = [[column[word] for word in text.words if word in column] for text in texts]
    unknown = sum(len(text.words) for text in texts) - sum(map(len, rows))
    labels = None if texts[0].label is None else np.array([text.label for text in texts], np.int64)
    ends = np.cumsum([0, *map(len, rows)])
    return Documents(_sparse(list(chain.from_iterable(rows)), np.ones(ends[-1]), ends, len(words)), labels, unknown)


def _sparse(columns: Sequence[int], counts: Any, ends: Any, width: int) -> csr_array:
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
    """Return the documents that have at least one word."""
    counts, labels, _ = documents
    full = np.flatnonzero(np.diff(counts.indptr))
    return documents._replace(counts=counts[full], labels=None if labels is None else labels[full])


def _read_docstrings() -> tuple[tuple[list[Text], ...], tuple[str, ...]]:
    """Return the train, validation and test parts, and the names of the labels."""
    documents = [docstring for docstring in read_docstrings() if docstring.paragraphs]
    sizes = Counter(d.label for d in documents)
    labels = [d.label if sizes[d.label] >= MIN_LABEL else d.package for d in documents]
    names = tuple(sorted(set(labels)))
    texts = _texts((" ".join([d.summary, *d.paragraphs]) for d in documents), map(names.index, labels))
    return cut_three(texts, "docstrings"), names


def _fetch_newsgroups() -> tuple[list[list[Text]], tuple[str, ...]]:
    """Return the train and test parts, and the names of the labels.

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
    return [_texts(part.data, part.target.tolist()) for part in parts], tuple(parts[0].target_names)


def _fetch_ag_news(data_dir: str | None) -> tuple[list[list[Text]], tuple[str, ...]]:
    """Return the train and test parts, and the names of the labels."""
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
    texts = [_texts((text.decode() for text in part["description"]), part["label"].tolist()) for part in parts]
    features = cast(Any, builder.info.features)
    return texts, tuple(features["label"].names)


def _not_fetched(dataset: str, library: str, error: Exception, **arguments: str) -> DataError:
    """Return the error for a data set that a library failed to fetch."""
    return DataError(
        f"{dataset} could not be fetched by {library} ({type(error).__name__}: {error})",
        "try again",
        **arguments,
        dataset="use docstrings",
    )


def _read_folder(folder: Path) -> tuple[list[Documents], tuple[str, ...], tuple[str, ...]]:
    """Return the train, validation and test parts of a counted corpus, its vocabulary, and the names of its labels."""
    words = _read_words(text_file(folder, COUNTED[2]))
    (counts, labels), (test_counts, test_labels) = (
        _read_counts(text_file(folder, name), len(words)) for name in COUNTED[:2]
    )
    numbers = np.union1d(labels, test_labels)
    labels, test_labels = np.searchsorted(numbers, labels), np.searchsorted(numbers, test_labels)
    chosen, rest = cut(range(len(labels)), len(labels) // 10)
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
