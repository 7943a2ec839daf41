"""Questions and their candidate answers in: WikiQA, TREC QA, the user's own in either form, or built-in docstrings.

Candidates are right (label 1) or wrong (0) and belong to one question each. TensorFlow and NLTK are imported inside the
functions that need them, so that `--help` and flag errors answer at once.
"""

import re
import zlib
from collections import Counter
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.docstrings import read_docstrings, versions
from data.errors import InputError
from data.order import shuffled_batches
from data.text import PARTS, cut_three, locate, read_lines, tokenise
from data.vocabulary import PAD, RESERVED, UNK, Vocabulary, build_vocabulary

PREPARED = ("wikiqa", "trecqa")  # folders of --data-dir
DATASETS = (*PREPARED, "docstrings")

NEIGHBOURS = 6  # docstrings in a row, whose paragraphs are the candidates of each other's summary
MOST_EMPTY = 0.05  # share of questions without candidates that are left out: TREC QA has some in each part
NO_MATCH = -1  # in the place of a stem behind a candidate's end: equals no stem and no filling of a question's

Tokens = list[str]

_TAG = re.compile(r"<(/?)(QApairs|question|positive|negative)\b[^<>]*>", re.IGNORECASE)


class Pairs(NamedTuple):
    questions: list[Tokens]  # Q
    candidates: list[Tokens]  # N, those of a question one after the other
    groups: np.ndarray  # int32 [N] in [0, Q), ascending: the question of each candidate
    labels: np.ndarray  # int32 [N]: 1 answers its question, 0 does not


class AnswerCorpus(NamedTuple):
    name: str  # one of DATASETS, or the path the questions were read from
    train: Pairs
    validation: Pairs
    test: Pairs
    training_texts: list[Tokens]  # every question and every candidate of the training part
    vocabulary: Vocabulary  # of those
    facts: dict[str, Any]  # part -> questions, candidates, right, unknown_share, left_out, cut; versions of docstrings


Group = tuple[Tokens, list[tuple[Tokens, int]]]  # a question, its candidates and their labels


def load_answers(
    dataset: str, data_dir: str | None = None, vocabulary_size: int = 10_000, max_length: int = 40
) -> AnswerCorpus:
    """Reads questions, candidates and labels into memory.

    Args:
        dataset: one of
            wikiqa: WikiQA (Yang et al. 2015), questions that have a right answer.
            trecqa: TREC QA (QASent; Wang et al. 2007), the part with labels by hand.
            docstrings: a summary asks, the first paragraph behind it answers, the paragraphs of the docstrings read before
                and after it do not. Easy: a paragraph often repeats words of its own summary. Neighbours stay in one part.
            the path of a folder of train/, dev/ and test/, each of four parallel files, in them a line for each
                candidate: a.toks its question, b.toks itself, both tokenised, sim.txt its label, id.txt its question's id;
            or of a folder of TRAIN.xml, DEV.xml and TEST.xml: blocks <QApairs> of a <question> and of <positive> and
                <negative> candidates, each of which stands on lines of its own and begins with its tokens, which tabs
                or spaces separate. This is no XML: no entity is expanded, and other lines are passed over. A few questions
                without candidates (MOST_EMPTY), which TREC QA itself has, are left out and counted in `facts`.
        data_dir: folder that holds wikiqa/ or trecqa/. None: $INFOBIGBIGAN_DATA.
        vocabulary_size: most ids, the reserved ones included, for words that the training part has at least twice.
        max_length: tokens at which questions and candidates are cut; candidates that were longer are counted in `facts`.

    Raises:
        InputError: the files are missing, damaged, or a part has nothing to rank.
    """
    folder = None if dataset == "docstrings" else locate(dataset, DATASETS, PREPARED, data_dir)
    if folder is None:
        groups = _read_docstrings()
    elif not folder.is_dir():
        raise InputError(
            f"{folder} is a file: give a folder of train/, dev/ and test/, or of TRAIN.xml, DEV.xml, TEST.xml"
        )
    elif (folder / "TRAIN.xml").exists():
        groups = [_read_blocks(folder / f"{part}.xml") for part in ("TRAIN", "DEV", "TEST")]
    else:
        groups = [_read_parallel(folder / part) for part in ("train", "dev", "test")]
    parts = [_pairs([group for group in part if group[1]], max_length) for part in groups]
    for name, part in zip(PARTS, parts, strict=True):
        if not part.labels.any():
            raise InputError(f"the {name} part of {dataset} has no right answer: label the right ones 1, or <positive>")
        if not np.intersect1d(*(part.groups[part.labels == label] for label in (0, 1))).size:
            raise InputError(f"the {name} part of {dataset} has no question with a right and a wrong answer: add some")
    texts = parts[0].questions + parts[0].candidates
    if dataset == "docstrings":  # a paragraph is a candidate of each of its neighbours
        texts = list(map(list, dict.fromkeys(map(tuple, texts))))
    repeated = sum(count > 1 for count in Counter(chain.from_iterable(texts)).values())  # so that UNK is trained
    vocabulary = build_vocabulary(texts, min(vocabulary_size, len(RESERVED) + repeated))
    facts = {
        name: _count(part, vocabulary)
        | {
            "left_out": len(every) - len(part.questions),
            "cut": sum(len(tokens) > max_length for _, own in every for tokens, _ in own),
        }
        for name, every, part in zip(PARTS, groups, parts, strict=True)
    }
    if dataset == "docstrings":
        facts["versions"] = versions()
    return AnswerCorpus(dataset, *parts, texts, vocabulary, facts)


@cache
def stem(token: str) -> str:
    """Porter's stem of a lower-case token."""
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer().stem(token)


def batches(pairs: Pairs, vocabulary: Vocabulary, batch_size: int, seed: int, first_epoch: int = 0):
    """An endless stream of shuffled batches of questions, each with all of its candidates.

    The order is a pure function of (seed, epoch, step), so a run that resumes at `first_epoch` meets the batches that an
    uninterrupted run would have met. Each epoch has Q // batch_size steps; the remainder is dropped.

    Returns:
        tf.data.Dataset of, for Q questions with N candidates together, all int32 but `labels`:
            questions [Q, T], question_lengths [Q]: ids behind which PAD fills up.
            candidates [N, U], candidate_lengths [N]: the same.
            question_stems [Q, T], candidate_stems [N, U]: a number for each word that two words of one stem share, known
                to the vocabulary or not; to compare, never to look up. PAD, and NO_MATCH, fill up.
            groups [N], ascending: each candidate's row in `questions`. labels [N]: float32, 0 or 1.

    Raises:
        InputError: there is not one full batch.
    """
    import tensorflow as tf

    indices = shuffled_batches(len(pairs.questions), batch_size, seed, first_epoch, "questions")
    return indices.map(_gather(pairs, vocabulary)).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(pairs: Pairs, vocabulary: Vocabulary, batch_size: int):
    """As `batches`, every question once and in order; the last batch may be smaller."""
    import tensorflow as tf

    indices = tf.data.Dataset.range(len(pairs.questions), output_type=tf.int32).batch(batch_size)
    return indices.map(_gather(pairs, vocabulary)).prefetch(tf.data.AUTOTUNE)


def _gather(pairs: Pairs, vocabulary: Vocabulary):
    """A function that gives the batch of the questions at indices int32 [Q]."""
    import tensorflow as tf

    def ragged(texts, numbers):
        return tf.RaggedTensor.from_row_lengths(
            np.concatenate([numbers(text) for text in texts]), [len(text) for text in texts]
        )

    with tf.device("CPU"):  # tf.data runs there; a GPU would hold a useless copy
        texts = {
            "questions": (ragged(pairs.questions, vocabulary.encode), PAD),
            "question_stems": (ragged(pairs.questions, _stem_numbers), PAD),
            "candidates": (ragged(pairs.candidates, vocabulary.encode), PAD),
            "candidate_stems": (ragged(pairs.candidates, _stem_numbers), NO_MATCH),
        }
        ends = tf.constant(np.searchsorted(pairs.groups, np.arange(len(pairs.questions) + 1)), tf.int32)
        labels = tf.constant(pairs.labels, tf.float32)

    def batch(indices):
        own = tf.ragged.range(tf.gather(ends, indices), tf.gather(ends, indices + 1))  # candidates of each question
        found = {"groups": tf.cast(own.value_rowids(), tf.int32), "labels": tf.gather(labels, own.values)}
        for name, (rows, filling) in texts.items():
            chosen = tf.gather(rows, indices if name.startswith("question") else own.values)
            found[name] = chosen.to_tensor(filling)
            if not name.endswith("stems"):
                found[f"{name.removesuffix('s')}_lengths"] = tf.cast(chosen.row_lengths(), tf.int32)
        return found

    return batch


def _stem_numbers(text: Tokens) -> np.ndarray:
    """int32 [T] of at least 1: a hash, so that words outside the vocabulary have a number too."""
    return np.array([zlib.crc32(stem(token).encode()) % (2**31 - 2) + 1 for token in text], np.int32)


def _pairs(groups: list[Group], max_length: int) -> Pairs:
    candidates = [pair for _, own in groups for pair in own]
    return Pairs(
        [question[:max_length] for question, _ in groups],
        [tokens[:max_length] for tokens, _ in candidates],
        np.repeat(np.arange(len(groups), dtype=np.int32), [len(own) for _, own in groups]),
        np.array([label for _, label in candidates], np.int32),
    )


def _count(pairs: Pairs, vocabulary: Vocabulary) -> dict[str, int | float]:
    ids = vocabulary.encode(chain.from_iterable(pairs.questions + pairs.candidates))
    return {
        "questions": len(pairs.questions),
        "candidates": len(pairs.candidates),
        "right": int(pairs.labels.sum()),
        "unknown_share": float(np.mean(ids == UNK)),
    }


def _read_docstrings() -> list[list[Group]]:
    answered = [docstring for docstring in read_docstrings() if docstring.paragraphs]
    neighbours = [answered[i : i + NEIGHBOURS] for i in range(0, len(answered), NEIGHBOURS)]
    return [
        [
            (tokenise(asking.summary), [(tokenise(other.paragraphs[0]), int(other is asking)) for other in block])
            for block in part
            for asking in block
        ]
        for part in cut_three(neighbours, "docstrings")
    ]


def _read_parallel(folder: Path) -> list[Group]:
    """The four parallel files of a part."""
    files = [folder / name for name in ("id.txt", "a.toks", "b.toks", "sim.txt")]
    columns = [read_lines(file) for file in files]
    for file, column in zip(files[1:], columns[1:], strict=True):
        if len(column) != len(columns[0]):
            raise InputError(
                f"{file} has {len(column)} lines and {files[0].name} has {len(columns[0])}: a candidate has a line in each"
            )
    groups: dict[str, Group] = {}
    for number, (key, question, candidate, label) in enumerate(zip(*columns, strict=True), 1):
        for file, text in zip(files, (key, question, candidate, label), strict=True):
            if not text.strip():
                raise InputError(f"{file}, line {number} is empty: fill it, or delete the line from all four files")
        if label.strip() not in ("0", "1"):
            raise InputError(
                f"{files[3]}, line {number}: {label[:40]!r} is no label: write 1 for a right answer, 0 for a wrong one"
            )
        asked, own = groups.setdefault(key.strip(), (question.lower().split(), []))
        if asked != question.lower().split():
            raise InputError(
                f"{files[1]}, line {number}: not the first question of id {key.strip()[:40]}: give it an id of its own"
            )
        own.append((candidate.lower().split(), int(label)))
    return list(groups.values())


def _read_blocks(file: Path) -> list[Group]:
    """The blocks of a file that looks like XML; memory grows with the tokens alone, whatever nests or is left open."""
    groups: list[Group] = []
    empty = []  # lines of questions without candidates
    question, own, open_tags, text = None, [], [], None  # text: of the open element, its first line
    for number, line in enumerate(read_lines(file), 1):
        tag = _TAG.fullmatch(line.strip())
        if tag is None:
            if len(open_tags) == 2 and text is None:
                text = line.lower().split()
            continue
        closes, name = tag[1], tag[2].lower()
        if not closes:
            if len(open_tags) != (name != "qapairs"):
                raise InputError(f"{file}, line {number}: <{name}> {_where(open_tags)}: close what is open before")
            if name == "question" and question:
                raise InputError(f"{file}, line {number}: a second <question>: give each a block of its own")
            open_tags.append((name, number))
            if name == "qapairs":
                question, own = None, []
            text = None
            continue
        if not open_tags or open_tags[-1][0] != name:
            raise InputError(f"{file}, line {number}: </{name}> {_where(open_tags)}: close each element once, in order")
        _, start = open_tags.pop()
        if name == "qapairs":
            if not question:
                raise InputError(f"{file}, line {start}: the block has no question: add it, or delete the block")
            groups.append((question, own))
            if not own:
                empty.append(start)
        elif not text:
            raise InputError(f"{file}, line {start}: <{name}> has no tokens: put them on the line behind it")
        elif name == "question":
            question = text
        else:
            own.append((text, int(name == "positive")))
    if open_tags:
        raise InputError(f"{file} ends {_where(open_tags)}: close it")
    if len(empty) > MOST_EMPTY * len(groups):
        raise InputError(f"{file}, line {empty[0]}: the question has no candidates: add some, or delete the block")
    return groups


def _where(open_tags: list[tuple[str, int]]) -> str:
    if not open_tags:
        return "outside of any <QApairs>"
    name, line = open_tags[-1]
    return f"inside of <{name}>, which line {line} opens"
