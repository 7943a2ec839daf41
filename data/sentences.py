"""Reader of sentences as token ids: built-in docstrings, Penn Treebank, Brown, Multi30k, or the user's own text.

A sentence is an int32 array of the ids of its words, without BOS and EOS; `batches` and `evaluation_batches` add EOS.
Both also take paragraphs: `join` makes one sequence of a paragraph.
TensorFlow is imported inside the functions that need it, so that `--help` and flag errors answer at once.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, groupby, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

from data.docstrings import read_docstrings, versions
from data.errors import DataError
from data.order import full_batches
from data.text import (
    PARTS,
    cut,
    cut_three,
    locate,
    read_lines,
    report_rare,
    report_unread,
    report_unspaced,
    split_sentences,
    text_file,
    tokenise,
)
from data.vocabulary import EOS, PAD, UNK, UNPREDICTED, Vocabulary, build_vocabulary
from data.wording import SPLITTINGS, Wording

if TYPE_CHECKING:
    import tensorflow as tf

PREPARED = ("ptb", "brown", "multi30k")  # folders of `data_dir`, tokenised: spaces separate the tokens
DATASETS = ("docstrings", *PREPARED)

POOL = 100  # number of batches that are sorted by length together: padding stays small, neighbours stay random

Tokens = list[str]  # of one sentence
Unit = list[Tokens]  # sentences that stay in one part
Splitter = Callable[[list[list[str]], Callable[[str], Tokens]], list[list[Unit]]]


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
    train: list[np.ndarray]
    validation: list[np.ndarray]
    test: list[np.ndarray]
    vocabulary: Vocabulary  # of the training part
    # part -> sentences, tokens, unknown, unknown_share, left_out, and paragraphs if they were read; for docstrings also
    # the packages' versions
    facts: dict[str, Any]
    wording: Wording  # its words, and how texts were split into them


def load_sentences(
    dataset: str, data_dir: str | None = None, vocabulary_size: int = 10_000, max_length: int = 100
) -> SentenceCorpus:
    """Read a whole corpus of sentences into memory.

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

    Raises:
        DataError: the text is missing, damaged or too small, or nothing is left of a part.
    """
    parts = _read(dataset, data_dir, partial(_by_line, dataset))
    parts = [list(chain.from_iterable(part)) for part in parts]
    kept = [[tokens for tokens in part if len(tokens) <= max_length] for part in parts]
    _check_kept(dataset, parts, kept, f"sentences of 1 to {max_length} words")
    report_rare(dataset, *kept[:2])
    vocabulary = build_vocabulary(kept[0], vocabulary_size + len(UNPREDICTED))
    encoded = [[vocabulary.encode(tokens) for tokens in part] for part in kept]
    facts: dict[str, Any] = {
        part: _count(sentences) | {"left_out": len(every) - len(sentences)}
        for part, every, sentences in zip(PARTS, parts, encoded, strict=True)
    }
    train, validation, test = encoded
    facts |= _versions(dataset)
    return SentenceCorpus(dataset, train, validation, test, vocabulary, facts, _wording(dataset, vocabulary))


def load_paragraphs(
    dataset: str,
    data_dir: str | None = None,
    vocabulary_size: int = 10_000,
    max_length: int = 100,
    min_sentences: int = 2,
    max_sentences: int = 8,
) -> SentenceCorpus:
    """Read a whole corpus of paragraphs into memory, each as `join` returns it.

    `brown`, docstrings and the user's text have paragraphs. Each line is a sentence, and an empty line ends a
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
        raise DataError(f"{dataset} has sentences but no paragraphs: use brown, docstrings or your own text")
    parts = _read(dataset, data_dir, _by_empty_line)

    def fits(paragraph: list[Tokens]) -> bool:
        return min_sentences <= len(paragraph) <= max_sentences and max(map(len, paragraph)) <= max_length

    kept = [[paragraph for paragraph in part if fits(paragraph)] for part in parts]
    limits = f"paragraphs of {min_sentences} to {max_sentences} sentences of 1 to {max_length} words"
    _check_kept(dataset, parts, kept, limits)
    report_rare(dataset, *map(chain.from_iterable, kept[:2]))
    vocabulary = build_vocabulary(chain.from_iterable(kept[0]), vocabulary_size + len(UNPREDICTED))
    encoded = [[[vocabulary.encode(tokens) for tokens in paragraph] for paragraph in part] for part in kept]
    facts: dict[str, Any] = {
        part: {"paragraphs": len(paragraphs), "left_out": len(every) - len(paragraphs)}
        | _count(list(chain.from_iterable(paragraphs)))
        for part, every, paragraphs in zip(PARTS, parts, encoded, strict=True)
    }
    train, validation, test = (list(map(join, part)) for part in encoded)
    facts |= _versions(dataset)
    return SentenceCorpus(dataset, train, validation, test, vocabulary, facts, _wording(dataset, vocabulary))


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


def steps_per_epoch(sentences: list[np.ndarray], batch_size: int) -> int:
    """Return the number of batches in an epoch of `batches`. Raise DataError if there are too few for one batch."""
    return full_batches(len(sentences), batch_size, "texts")


def batches(sentences: list[np.ndarray], batch_size: int, seed: int, first_epoch: int = 0) -> "tf.data.Dataset":
    """Return an endless stream of shuffled batches of sentences of similar length.

    Each epoch starts from a random permutation without the sentences that do not fill a batch. The sentences of every
    POOL batches are sorted by length, and then the batches are shuffled. The order is a pure function of (seed, epoch,
    step). So a run that resumes at `first_epoch` meets the same batches as an uninterrupted run.

    Args:
        sentences: int32 [T] arrays of ids without BOS and EOS, or paragraphs as `join` returns them.
        first_epoch: the epoch to start with, counted from 0.

    Returns:
        A dataset of `SentenceBatch` with B = batch_size. T is unknown in its spec, so one trace serves all lengths.

    Raises:
        DataError: there are not enough sentences for one batch.
    """
    import tensorflow as tf

    steps = steps_per_epoch(sentences, batch_size)
    with tf.device("CPU"):  # tf.data runs there; a GPU would hold a useless copy
        words = _ragged(sentences)
        lengths = words.row_lengths()
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
    return indices.map(lambda i: _padded(words, i)).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(sentences: list[np.ndarray], batch_size: int) -> "tf.data.Dataset":
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
    with tf.device("CPU"):
        words = _ragged(sentences)
    order = np.argsort([len(ids) for ids in sentences], kind="stable")
    indices = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    def batch(indices: "tf.Tensor") -> IndexedSentenceBatch:
        padded = _padded(words, indices)
        return {"tokens": padded["tokens"], "lengths": padded["lengths"], "indices": indices}

    return indices.map(batch).prefetch(tf.data.AUTOTUNE)


def _ragged(sentences: list[np.ndarray]) -> "tf.RaggedTensor":
    """Return the sentences as int32 [N, (T)]."""
    import tensorflow as tf

    return tf.RaggedTensor.from_row_lengths(  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
        np.concatenate(sentences), [len(ids) for ids in sentences]
    )


def _padded(words: "tf.RaggedTensor", indices: "tf.Tensor") -> SentenceBatch:
    """Return the sentences at `indices` [B], with EOS and PAD."""
    import tensorflow as tf

    rows = tf.gather(words, indices)
    end = tf.fill([tf.shape(indices)[0], 1], EOS)
    ragged_end = tf.RaggedTensor.from_tensor(end)  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
    rows = tf.concat([rows, ragged_end], axis=1)
    return {"tokens": rows.to_tensor(PAD), "lengths": tf.cast(rows.row_lengths(), tf.int32)}


def _read(dataset: str, data_dir: str | None, split: Splitter) -> tuple[list[Unit], list[Unit], list[Unit]]:
    """Return the train, validation and test parts.

    Args:
        split: makes the units of every file, given the lines of all files and the function that tokenises a text.
    """
    if dataset == "docstrings":
        units = [[tokenise(sentence) for sentence in docstring.sentences] for docstring in read_docstrings()]
        return cut_three(units, dataset)
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
    lines = [read_lines(file) for file in files]
    if dataset not in PREPARED:
        report_unspaced(dataset, chain.from_iterable(lines))
    parts = split(lines, SPLITTINGS[_splitting(dataset)])
    if path.is_file():
        return cut_three(parts[0], dataset)
    train, test, *given = parts
    validation, train = (given[0], train) if given else cut(train, len(train) // 10)
    return train, validation, test


def _splitting(dataset: str) -> str:
    """Return how texts are split into tokens, a name in SPLITTINGS."""
    return "spaces" if dataset in PREPARED else "tokens"


def _wording(dataset: str, vocabulary: Vocabulary) -> Wording:
    """Return the wording of a corpus."""
    return Wording(vocabulary.words, _splitting(dataset))


def _by_line(source: str, files: list[list[str]], to_tokens: Callable[[str], Tokens]) -> list[list[Unit]]:
    """Return a unit for each line that has tokens. Print to standard error how many lines of the user's text have none."""
    parts = [[[tokens] for tokens in map(to_tokens, lines) if tokens] for lines in files]
    blank = sum(map(len, files)) - sum(map(len, parts))
    if blank and source not in PREPARED:
        print(f"{source}: {blank:,} lines without a word are passed over", file=sys.stderr)
    return parts


def _by_empty_line(files: list[list[str]], to_tokens: Callable[[str], Tokens]) -> list[list[Unit]]:
    """Return a unit for each paragraph."""
    files = [_trimmed(lines) for lines in files]
    if all(line.strip() for lines in files for line in lines):  # no empty lines: each line is a paragraph
        paragraphs = [[map(to_tokens, split_sentences(line)) for line in lines] for lines in files]
        return [[unit for texts in own if (unit := list(filter(None, texts)))] for own in paragraphs]
    tokenised = [map(to_tokens, lines) for lines in files]
    return [[list(paragraph) for filled, paragraph in groupby(lines, bool) if filled] for lines in tokenised]


def _trimmed(lines: list[str]) -> list[str]:
    """Return the lines without the empty lines at the start and at the end."""
    filled = [i for i, line in enumerate(lines) if line.strip()]
    return lines[filled[0] : filled[-1] + 1] if filled else []


def _check_kept(dataset: str, every: Sequence[list], kept: Sequence[list], what: str) -> None:
    """Print to standard error how many examples are left out. Raise DataError if a part is empty.

    Args:
        every, kept: the examples of each part, before and after.
        what: the examples and their limits.
    """
    for part, units in zip(PARTS, kept, strict=True):
        if not units:
            raise DataError(
                f"the {part} part of {dataset} has no {what}: give more text or wider limits (each line is a sentence, "
                "and an empty line ends a paragraph; in text without empty lines, each line is a paragraph)"
            )
    total = sum(map(len, every))
    if left_out := total - sum(map(len, kept)):
        print(f"{dataset}: {left_out:,} of {total:,} are left out, since only {what} are read", file=sys.stderr)


def _count(sentences: list[np.ndarray]) -> dict[str, int | float]:
    """Return the facts of one part."""
    tokens = sum(map(len, sentences))
    unknown = int(sum(np.count_nonzero(ids == UNK) for ids in sentences))
    return {"sentences": len(sentences), "tokens": tokens, "unknown": unknown, "unknown_share": unknown / tokens}


def _versions(dataset: str) -> dict[str, dict[str, str]]:
    """Return the facts of a whole corpus: the versions of the packages whose docstrings it reads."""
    return {"versions": versions()} if dataset == "docstrings" else {}
