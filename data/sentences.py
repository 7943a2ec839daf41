"""Sentences in: the built-in docstrings, Penn Treebank, Brown, Multi30k, or the user's own text, as token ids.

A sentence is an int32 array of the ids of its words, without BOS and EOS; `batches` and `evaluation_batches` add EOS.
They take paragraphs too: `join` makes one sequence of a paragraph.
TensorFlow is imported inside the functions that need it, so that `--help` and flag errors answer at once.
"""

from collections.abc import Callable
from itertools import chain, groupby, takewhile
from typing import Any, NamedTuple

import numpy as np

from data.docstrings import read_docstrings, versions
from data.errors import InputError
from data.order import full_batches
from data.text import PARTS, cut, cut_three, locate, read_lines, split_sentences, tokenise
from data.vocabulary import EOS, PAD, UNK, UNPREDICTED, Vocabulary, build_vocabulary

PREPARED = ("ptb", "brown", "multi30k")  # folders of --data-dir, tokenised: words are what stands between spaces
DATASETS = ("docstrings", *PREPARED)

POOL = 100  # batches that are sorted by length together: padding stays small, neighbours stay random

Tokens = list[str]  # of one sentence


class SentenceCorpus(NamedTuple):
    """Three parts of sentences or joined paragraphs, int32 [T] each; UNK stands for any word that `vocabulary` lacks."""

    name: str  # one of DATASETS, or the path the text was read from
    train: list[np.ndarray]
    validation: list[np.ndarray]
    test: list[np.ndarray]
    vocabulary: Vocabulary  # of the training part
    facts: dict[str, Any]  # part -> sentences, tokens, unknown, unknown_share, left_out; docstrings -> their versions


def load_sentences(
    dataset: str, data_dir: str | None = None, vocabulary_size: int = 10_000, max_length: int = 100
) -> SentenceCorpus:
    """Reads a whole corpus of sentences into memory.

    Parts are fixed: the files of a prepared corpus or of the user's folder, or a random 80 / 10 / 10 % of the user's
    file (by line) and of the docstrings (by docstring). A folder without valid.txt gives a tenth of train.txt for it.

    Args:
        dataset: one of DATASETS, the path of a UTF-8 text file with one sentence a line, or of a folder of train.txt,
            test.txt and perhaps valid.txt. Text that is not prepared is split into tokens by `data.text.tokenise`;
            empty lines are passed over.
        data_dir: folder that holds the prepared corpora. None: $INFOBIGBIGAN_DATA.
        vocabulary_size: most symbols that a model is asked to predict: words, UNK and EOS. PAD and BOS are never
            predicted and come on top, so 10,000 gives up to 10,002 ids. This is how Penn Treebank's 10,000 is counted
            (9,998 words, <unk> and the end of the sentence): all of its words have an id.
        max_length: most words of a sentence. Longer ones are left out, never cut, and counted in `facts`.

    Raises:
        InputError: the text is missing, damaged, too small, or has nothing left in a part.
    """
    parts = _read(dataset, data_dir, _by_line)
    parts = [list(chain.from_iterable(part)) for part in parts]
    kept = [[tokens for tokens in part if len(tokens) <= max_length] for part in parts]
    _check_kept(dataset, kept, f"sentences of 1 to {max_length} words")
    vocabulary = build_vocabulary(kept[0], vocabulary_size + len(UNPREDICTED))
    encoded = [[vocabulary.encode(tokens) for tokens in part] for part in kept]
    facts = {
        part: _count(sentences) | {"left_out": len(every) - len(sentences)}
        for part, every, sentences in zip(PARTS, parts, encoded, strict=True)
    }
    return SentenceCorpus(dataset, *encoded, vocabulary, facts | _versions(dataset))


def load_paragraphs(
    dataset: str,
    data_dir: str | None = None,
    vocabulary_size: int = 10_000,
    max_length: int = 100,
    min_sentences: int = 2,
    max_sentences: int = 8,
) -> SentenceCorpus:
    """Reads a whole corpus of paragraphs into memory, each as `join` gives it: `brown`, the user's text, or docstrings.

    A line is a sentence and an empty line ends a paragraph; in a text without empty lines each line is a paragraph, which
    `data.text.split_sentences` splits. Everything else is as for `load_sentences`.

    Args:
        max_length: most words of each sentence.
        min_sentences, max_sentences: of a paragraph. One with fewer or more sentences, or with a sentence that is too
            long, is left out whole; `facts` counts paragraphs too, and `left_out` is of those.

    Raises:
        InputError: also where the text has no paragraphs.
    """
    if dataset in ("ptb", "multi30k"):
        raise InputError(f"{dataset} has sentences and no paragraphs: use brown, docstrings or your own text")
    parts = _read(dataset, data_dir, _by_empty_line)

    def fits(paragraph):
        return min_sentences <= len(paragraph) <= max_sentences and max(map(len, paragraph)) <= max_length

    kept = [[paragraph for paragraph in part if fits(paragraph)] for part in parts]
    _check_kept(dataset, kept, f"paragraphs of {min_sentences} to {max_sentences} sentences of 1 to {max_length} words")
    vocabulary = build_vocabulary(chain.from_iterable(kept[0]), vocabulary_size + len(UNPREDICTED))
    encoded = [[[vocabulary.encode(tokens) for tokens in paragraph] for paragraph in part] for part in kept]
    facts = {
        part: {"paragraphs": len(paragraphs), "left_out": len(every) - len(paragraphs)}
        | _count(list(chain.from_iterable(paragraphs)))
        for part, every, paragraphs in zip(PARTS, parts, encoded, strict=True)
    }
    joined = [list(map(join, part)) for part in encoded]
    return SentenceCorpus(dataset, *joined, vocabulary, facts | _versions(dataset))


def join(paragraph: list[np.ndarray]) -> np.ndarray:
    """A paragraph as one sequence of ids, int32 [T]: EOS stands behind each sentence.

    With the EOS that a batch adds the paragraph ends with an empty sentence, which no other sentence is. So a model that
    predicts a batch's tokens predicts how many sentences there are too, and sequences of a batch can be alike in length
    where sentences of a paragraph cannot.
    """
    return np.array([i for ids in paragraph for i in (*ids, EOS)], np.int32)


def split(ids: np.ndarray) -> list[np.ndarray]:
    """The sentences of a joined paragraph int [T], up to its empty one: `join` undone. No end: all there is."""
    pieces = np.split(ids, np.flatnonzero(ids == EOS))
    return list(takewhile(len, (piece[piece != EOS] for piece in pieces)))


def printed(vocabulary: Vocabulary, ids: np.ndarray) -> str:
    """The words of a sentence, or of a joined paragraph with " / " between its sentences."""
    return " / ".join(" ".join(vocabulary.decode(sentence)) for sentence in split(ids))


def steps_per_epoch(sentences: list[np.ndarray], batch_size: int) -> int:
    """Full batches of an epoch of `batches`. Raises InputError where there is none."""
    return full_batches(len(sentences), batch_size, "texts")


def batches(sentences: list[np.ndarray], batch_size: int, seed: int, first_epoch: int = 0):
    """An endless stream of shuffled batches of sentences of similar length.

    An epoch is a random permutation, its remainder dropped, sorted by length in pools of POOL batches, and the batches
    shuffled. The order is a pure function of (seed, epoch, step), so a run that resumes at `first_epoch` meets the
    batches that an uninterrupted run would have met.

    Args:
        sentences: int32 [T] arrays of ids without BOS and EOS, or paragraphs as `join` gives them.
        first_epoch: the epoch to start with, counted from 0.

    Returns:
        tf.data.Dataset of {"tokens": int32 [batch_size, T], words then EOS then PAD up to the batch's longest,
        "lengths": int32 [batch_size], words + 1}. T is unknown in the spec: one trace serves every length.

    Raises:
        InputError: there is not one full batch.
    """
    import tensorflow as tf

    steps = steps_per_epoch(sentences, batch_size)
    with tf.device("CPU"):  # tf.data runs there; a GPU would hold a useless copy
        words = _ragged(sentences)
        lengths = words.row_lengths()
        pool = tf.range(steps * batch_size, dtype=tf.int64) // (POOL * batch_size)
        longest = tf.reduce_max(lengths)

    def epoch_indices(epoch):
        shuffle = tf.random.experimental.stateless_shuffle
        order = shuffle(tf.range(len(sentences)), seed=[seed, epoch])[: steps * batch_size]
        by_length = tf.argsort(pool * (longest + 1) + tf.gather(lengths, order), stable=True)
        chosen = tf.reshape(tf.gather(order, by_length), [steps, batch_size])
        again = tf.random.experimental.stateless_fold_in(tf.stack([tf.cast(seed, tf.int64), epoch]), 1)
        return tf.data.Dataset.from_tensor_slices(shuffle(chosen, seed=again))

    indices = tf.data.Dataset.counter(first_epoch).flat_map(epoch_indices)
    return indices.map(lambda i: _padded(words, i)).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(sentences: list[np.ndarray], batch_size: int):
    """Every sentence once, in order of length; the last batch may be smaller.

    Returns:
        tf.data.Dataset of {"tokens", "lengths"} as of `batches`, and "indices": int64 [B], each sentence's place in
        `sentences`: `results[indices] = ...` puts what was computed back in order.

    Raises:
        InputError: the batch size is not positive.
    """
    import tensorflow as tf

    if batch_size < 1:
        raise InputError(f"batch size {batch_size} is not a size: choose at least 1")
    with tf.device("CPU"):
        words = _ragged(sentences)
    order = np.argsort([len(ids) for ids in sentences], kind="stable")
    indices = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
    return indices.map(lambda i: _padded(words, i) | {"indices": i}).prefetch(tf.data.AUTOTUNE)


def _ragged(sentences: list[np.ndarray]):
    """tf.RaggedTensor of int32 [N, (T)]."""
    import tensorflow as tf

    return tf.RaggedTensor.from_row_lengths(np.concatenate(sentences), [len(ids) for ids in sentences])


def _padded(words, indices) -> dict:
    """The sentences at `indices` [B] with EOS and PAD: tokens [B, T] and lengths [B], int32 both."""
    import tensorflow as tf

    rows = tf.gather(words, indices)
    end = tf.fill([tf.shape(indices)[0], 1], EOS)
    rows = tf.concat([rows, tf.RaggedTensor.from_tensor(end)], axis=1)
    return {"tokens": rows.to_tensor(PAD), "lengths": tf.cast(rows.row_lengths(), tf.int32)}


def _read(dataset: str, data_dir: str | None, split: Callable[[list[list[str]], Callable], list]) -> tuple:
    """(train, validation, test). A part is a list of units, which are never cut apart, and a unit a list of tokenised
    sentences; `split` makes the units of every file, given the lines of them all and what makes tokens of a text."""
    if dataset == "docstrings":
        units = [[tokenise(sentence) for sentence in docstring.sentences] for docstring in read_docstrings()]
        return cut_three(units, dataset)
    path = locate(dataset, DATASETS, PREPARED, data_dir)
    files = [path] if path.is_file() else [path / "train.txt", path / "test.txt"]
    files += [path / "valid.txt"] if (path / "valid.txt").exists() else []
    parts = split([read_lines(file) for file in files], str.split if dataset in PREPARED else tokenise)
    if path.is_file():
        return cut_three(parts[0], dataset)
    train, test, *given = parts
    validation, train = (given[0], train) if given else cut(train, len(train) // 10)
    return train, validation, test


def _by_line(files: list[list[str]], to_tokens: Callable[[str], Tokens]) -> list[list[list[Tokens]]]:
    return [[[tokens] for tokens in map(to_tokens, lines) if tokens] for lines in files]


def _by_empty_line(files: list[list[str]], to_tokens: Callable[[str], Tokens]) -> list[list[list[Tokens]]]:
    files = [_trimmed(lines) for lines in files]
    if all(line.strip() for lines in files for line in lines):  # then a line is a paragraph
        return [[[to_tokens(text) for text in split_sentences(line)] for line in lines] for lines in files]
    tokenised = [map(to_tokens, lines) for lines in files]
    return [[list(paragraph) for filled, paragraph in groupby(lines, bool) if filled] for lines in tokenised]


def _trimmed(lines: list[str]) -> list[str]:
    """The lines without empty ones before the first and after the last text."""
    filled = [i for i, line in enumerate(lines) if line.strip()]
    return lines[filled[0] : filled[-1] + 1] if filled else []


def _check_kept(dataset: str, kept: list[list], what: str) -> None:
    for part, units in zip(PARTS, kept, strict=True):
        if not units:
            raise InputError(
                f"the {part} part of {dataset} has no {what}: give more text, or other limits (sentences end with a "
                "line, paragraphs with an empty line or, where no file has one inside, with a line)"
            )


def _count(sentences: list[np.ndarray]) -> dict[str, int | float]:
    tokens = sum(map(len, sentences))
    unknown = int(sum(np.count_nonzero(ids == UNK) for ids in sentences))
    return {"sentences": len(sentences), "tokens": tokens, "unknown": unknown, "unknown_share": unknown / tokens}


def _versions(dataset: str) -> dict[str, dict[str, str]]:
    return {"versions": versions()} if dataset == "docstrings" else {}
