"""Reader of questions and candidate answers: WikiQA, TREC QA, the user's own in their formats, or built-in docstrings.

Each candidate belongs to one question, and is right (label 1) or wrong (label 0).
TensorFlow and NLTK are imported inside the functions that need them, so that `--help` and flag errors answer at once.
"""

import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

from data.docstrings import read_docstrings, versions
from data.errors import DataError
from data.order import shuffled_batches
from data.text import PARTS, cut_three, locate, read_lines, text_file, tokenise
from data.vocabulary import PAD, RESERVED, UNK, Vocabulary, build_vocabulary
from data.wording import Wording, lower_spaces

if TYPE_CHECKING:
    import tensorflow as tf

PREPARED = ("wikiqa", "trecqa")  # folders of `data_dir`
DATASETS = (*PREPARED, "docstrings")

NEIGHBOURS = 6  # docstrings in a block; the candidates of each summary are the paragraphs of its block
MOST_EMPTY = 0.05  # highest share of questions without candidates that is left out: TREC QA has some in each part
NO_MATCH = -1  # fills up the stems of a candidate: differs from every stem, and from PAD, which fills up a question's

Tokens = list[str]  # of one text, in lower case

BLOCKS = ("TRAIN.xml", "DEV.xml", "TEST.xml")
PUBLISHED = ("WikiQA-train.tsv", "WikiQA-dev.tsv", "WikiQA-test.tsv")
COLUMNS = ("questionid", "question", "sentence", "label")  # of the published files, in lower case
FORMS = f"train/, dev/ and test/; {', '.join(BLOCKS)}; or {', '.join(PUBLISHED)}"

_TAG = re.compile(r"(</?(?:QApairs|question|positive|negative)\b[^<>]*>)", re.IGNORECASE)


class Pairs(NamedTuple):
    questions: list[Tokens]  # Q
    candidates: list[Tokens]  # N; the candidates of one question are neighbours
    groups: np.ndarray  # int32 [N] in [0, Q), ascending: the question of each candidate
    labels: np.ndarray  # int32 [N]: 1 if the candidate answers its question, else 0


class AnswerBatch(TypedDict):
    """Q questions with all of their N candidates. T is the length of the longest question, U of the longest candidate.

    Stems are numbers to compare, never to look up. Two words have the same number if they have the same Porter stem,
    whether the vocabulary has them or not.
    """

    questions: "tf.Tensor"  # int32 [Q, T] in [0, V): ids of words, filled up with PAD
    question_lengths: "tf.Tensor"  # int32 [Q] in [1, T]: words of each question
    candidates: "tf.Tensor"  # int32 [N, U] in [0, V): ids of words, filled up with PAD
    candidate_lengths: "tf.Tensor"  # int32 [N] in [1, U]: words of each candidate
    question_stems: "tf.Tensor"  # int32 [Q, T], at least 1: the stem of each word, filled up with PAD
    candidate_stems: "tf.Tensor"  # int32 [N, U], at least 1: the stem of each word, filled up with NO_MATCH
    groups: "tf.Tensor"  # int32 [N] in [0, Q), ascending: the row of `questions` that each candidate belongs to
    labels: "tf.Tensor"  # float32 [N], 0 or 1


class AnswerCorpus(NamedTuple):
    name: str  # one of DATASETS, or the path that the questions were read from
    train: Pairs
    validation: Pairs
    test: Pairs
    training_texts: list[Tokens]  # all questions and candidates of the training part
    vocabulary: Vocabulary  # of `training_texts`
    # part -> questions, candidates, right, unknown_share, left_out, cut; for docstrings also the packages' versions
    facts: dict[str, Any]
    wording: Wording  # its words, and how texts were split into them


Group = tuple[Tokens, list[tuple[Tokens, int]]]  # a question, and its candidates with their labels


def load_answers(
    dataset: str, data_dir: str | None = None, vocabulary_size: int = 10_000, max_length: int = 40
) -> AnswerCorpus:
    """Read questions, candidates and labels into memory.

    Args:
        dataset: a name of DATASETS, or the path of a folder in one of three formats. A built-in name wins over a
            folder of the same name; write `./wikiqa` to mean the folder.

            - wikiqa: the questions of WikiQA (Yang et al. 2015) that have a right answer.
            - trecqa: the part of TREC QA (QASent; Wang et al. 2007) that was labelled by hand.
            - docstrings: the question is a summary. The first paragraph after it is the right answer. The first
              paragraphs of neighbouring docstrings are wrong answers; neighbours stay in one part. This data set is
              easy, because a paragraph often repeats words of its own summary.
            - a folder of train/, dev/ and test/, each with four parallel files. Line i of each file belongs to
              candidate i. File b.toks has its tokens, and sim.txt its label (0 or 1). File a.toks has the tokens of its
              question, and id.txt the id of the question. Spaces separate tokens.
            - a folder of TRAIN.xml, DEV.xml and TEST.xml. Each block <QApairs> holds one <question> and any number of
              <positive> and <negative> candidates. The tokens are the first line of text behind an opening tag, on the
              line of the tag or below it, separated by tabs or spaces. The further lines of TREC QA annotate the first.
              Other text that is passed over is announced. The format only looks like XML: entities are not expanded.
              A share of up to MOST_EMPTY of the questions may have no candidates, as a few of TREC QA do. They are
              left out and counted in `facts`.
            - a folder of WikiQA-train.tsv, WikiQA-dev.tsv and WikiQA-test.tsv, as WikiQA is published. The header names
              the columns, COLUMNS among them, and tabs separate them. `data.text.tokenise` splits the texts. Questions
              without a right answer are left out, as in wikiqa, and counted in `facts`.

            Each of these files may be compressed, as TRAIN.xml.gz.
        data_dir: folder that holds wikiqa/ or trecqa/. None: $INFOBIGBIGAN_DATA.
        vocabulary_size: highest number of ids, including the reserved ids. Only words that occur at least twice in the
            training part get an id.
        max_length: questions and candidates are cut after this many tokens. `facts` counts the cut candidates.

    Raises:
        DataError: a file is missing or damaged, or a part has nothing to rank.
    """
    folder = None if dataset == "docstrings" else locate(dataset, DATASETS, PREPARED, data_dir)
    splitting = "tokens"
    if folder is None:
        groups = _read_docstrings()
    elif not folder.is_dir():
        raise DataError(f"{folder} is a file: give a folder that holds {FORMS}")
    elif text_file(folder, BLOCKS[0]).exists():
        groups, splitting = [_read_blocks(text_file(folder, name)) for name in BLOCKS], "lower spaces"
    elif text_file(folder, PUBLISHED[0]).exists():
        groups = [_read_published(text_file(folder, name)) for name in PUBLISHED]
    elif (folder / "train").is_dir():
        groups, splitting = [_read_parallel(folder / part) for part in ("train", "dev", "test")], "lower spaces"
    else:
        raise DataError(f"{folder} has no questions in a known form: give a folder that holds {FORMS}")
    parts = [_pairs([group for group in part if group[1]], max_length) for part in groups]
    for name, part in zip(PARTS, parts, strict=True):
        if not part.labels.any():
            raise DataError(
                f"the {name} part of {dataset} has no right answer: label right answers 1, or mark them <positive>"
            )
        wrong, right = (part.groups[part.labels == label] for label in (0, 1))
        if not np.intersect1d(wrong, right).size:
            raise DataError(
                f"the {name} part of {dataset} has no question with both a right and a wrong answer: add one"
            )
    texts = parts[0].questions + parts[0].candidates
    if dataset == "docstrings":  # a paragraph is a candidate of each of its neighbours
        texts = list(map(list, dict.fromkeys(map(tuple, texts))))
    repeated = sum(count > 1 for count in Counter(chain.from_iterable(texts)).values())  # so that UNK is trained
    vocabulary = build_vocabulary(texts, min(vocabulary_size, len(RESERVED) + repeated))
    facts: dict[str, Any] = {
        name: _count(part, vocabulary)
        | {
            "left_out": len(every) - len(part.questions),
            "cut": sum(len(tokens) > max_length for _, own in every for tokens, _ in own),
        }
        for name, every, part in zip(PARTS, groups, parts, strict=True)
    }
    left_out = [len(every) - len(part.questions) for every, part in zip(groups, parts, strict=True)]
    _report(f"{dataset}: questions without candidates (of published WikiQA: a right answer) are left out", left_out)
    unanswered = [len(part.questions) - len(np.unique(part.groups[part.labels == 1])) for part in parts]
    _report(f"{dataset}: questions without a right answer are read, but no score counts them", unanswered)
    if dataset == "docstrings":
        facts["versions"] = versions()
    train, validation, test = parts
    wording = Wording(vocabulary.words, splitting, max_length)
    return AnswerCorpus(dataset, train, validation, test, texts, vocabulary, facts, wording)


@cache
def stem(token: str) -> str:
    """Return the Porter stem of a lower-case token."""
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer().stem(token)


def stem_number(token: str) -> int:
    """Return the number of a token's stem, at least 1: a hash, so that words outside the vocabulary have one too."""
    return zlib.crc32(stem(token).encode()) % (2**31 - 2) + 1


def batches(
    pairs: Pairs, vocabulary: Vocabulary, batch_size: int, seed: int, first_epoch: int = 0
) -> "tf.data.Dataset":
    """Return an endless stream of shuffled batches of questions, each question with all of its candidates.

    The order is a pure function of (seed, epoch, step). So a run that resumes at `first_epoch` meets the same batches
    as an uninterrupted run. Each epoch has Q // batch_size steps; the remaining questions are dropped.

    Args:
        batch_size: questions in a batch.
        first_epoch: the epoch to start with, counted from 0.

    Returns:
        A dataset of `AnswerBatch`.

    Raises:
        DataError: there are not enough questions for one batch.
    """
    import tensorflow as tf

    indices = shuffled_batches(len(pairs.questions), batch_size, seed, first_epoch, "questions")
    return indices.map(_gather(pairs, vocabulary)).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(pairs: Pairs, vocabulary: Vocabulary, batch_size: int) -> "tf.data.Dataset":
    """Return a dataset of `AnswerBatch` with every question once, in order. The last batch may be smaller."""
    import tensorflow as tf

    indices = tf.data.Dataset.range(len(pairs.questions), output_type=tf.int32).batch(batch_size)
    return indices.map(_gather(pairs, vocabulary)).prefetch(tf.data.AUTOTUNE)


def _gather(pairs: Pairs, vocabulary: Vocabulary) -> "Callable[[tf.Tensor], AnswerBatch]":
    """Return the function that makes a batch of the questions at given indices, int32 [Q]."""
    import tensorflow as tf

    def ragged(texts: list[Tokens], numbers: Callable[[Tokens], np.ndarray]) -> "tf.RaggedTensor":
        return tf.RaggedTensor.from_row_lengths(  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
            np.concatenate([numbers(text) for text in texts]), [len(text) for text in texts]
        )

    with tf.device("CPU"):  # tf.data runs there; a GPU would hold a useless copy
        questions, question_stems = (ragged(pairs.questions, numbers) for numbers in (vocabulary.encode, _stem_numbers))
        candidates, candidate_stems = (
            ragged(pairs.candidates, numbers) for numbers in (vocabulary.encode, _stem_numbers)
        )
        ends = tf.constant(np.searchsorted(pairs.groups, np.arange(len(pairs.questions) + 1)), tf.int32)
        labels = tf.constant(pairs.labels, tf.float32)

    def batch(indices: "tf.Tensor") -> AnswerBatch:
        own = tf.ragged.range(tf.gather(ends, indices), tf.gather(ends, indices + 1))  # candidates of each question
        asked, offered = tf.gather(questions, indices), tf.gather(candidates, own.values)
        return {
            "questions": asked.to_tensor(PAD),
            "question_lengths": tf.cast(asked.row_lengths(), tf.int32),
            "candidates": offered.to_tensor(PAD),
            "candidate_lengths": tf.cast(offered.row_lengths(), tf.int32),
            "question_stems": tf.gather(question_stems, indices).to_tensor(PAD),
            "candidate_stems": tf.gather(candidate_stems, own.values).to_tensor(NO_MATCH),
            "groups": tf.cast(own.value_rowids(), tf.int32),
            "labels": tf.gather(labels, own.values),
        }

    return batch


def _stem_numbers(text: Tokens) -> np.ndarray:
    """Return the number of the stem of each word, int32 [T]."""
    return np.array([stem_number(token) for token in text], np.int32)


def _pairs(groups: list[Group], max_length: int) -> Pairs:
    """Return the groups as one part, with questions and candidates cut after `max_length` tokens."""
    candidates = [pair for _, own in groups for pair in own]
    return Pairs(
        [question[:max_length] for question, _ in groups],
        [tokens[:max_length] for tokens, _ in candidates],
        np.repeat(np.arange(len(groups), dtype=np.int32), [len(own) for _, own in groups]),
        np.array([label for _, label in candidates], np.int32),
    )


def _count(pairs: Pairs, vocabulary: Vocabulary) -> dict[str, int | float]:
    """Return the facts of one part."""
    ids = vocabulary.encode(chain.from_iterable(pairs.questions + pairs.candidates))
    return {
        "questions": len(pairs.questions),
        "candidates": len(pairs.candidates),
        "right": int(pairs.labels.sum()),
        "unknown_share": float(np.mean(ids == UNK)),
    }


def _report(what: str, counts: list[int]) -> None:
    """Print to standard error a count of questions in each part, if there are any."""
    if any(counts):
        found = (f"{count:,} in the {part} part" for part, count in zip(PARTS, counts, strict=True) if count)
        print(f"{what}: {', '.join(found)}", file=sys.stderr)


def _read_docstrings() -> list[list[Group]]:
    """Return the groups of the train, validation and test parts."""
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
    """Read the four parallel files of a part."""
    files = [text_file(folder, name) for name in ("id.txt", "a.toks", "b.toks", "sim.txt")]
    columns = [read_lines(file) for file in files]
    for file, column in zip(files[1:], columns[1:], strict=True):
        if len(column) != len(columns[0]):
            raise DataError(
                f"{file} has {len(column)} lines and {files[0].name} has {len(columns[0])}: "
                "write one line for each candidate in each of the four files"
            )
    groups: dict[str, Group] = {}
    for number, (key, question, candidate, label) in enumerate(zip(*columns, strict=True), 1):
        for file, text in zip(files, (key, question, candidate, label), strict=True):
            if not text.strip():
                raise DataError(f"{file}, line {number} is empty: fill it, or delete the line from all four files")
        _add(groups, files[1], files[3], number, key, lower_spaces(question), lower_spaces(candidate), label)
    return list(groups.values())


def _read_published(file: Path) -> list[Group]:
    """Read a file of WikiQA as it is published. A question without a right answer has no candidates."""
    first, *lines = read_lines(file)
    header = [name.strip().lower() for name in first.split("\t")]
    if missing := [name for name in COLUMNS if name not in header]:
        raise DataError(f"{file}, line 1: the header has no column {missing[0]}: name {', '.join(COLUMNS)}")
    places = [header.index(name) for name in COLUMNS]
    groups: dict[str, Group] = {}
    empty: list[int] = []  # lines whose candidate has no tokens
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        fields = line.split("\t")  # WikiQA's quotation marks are text, and do not enclose fields
        if len(fields) != len(header):
            raise DataError(f"{file}, line {number} has {len(fields)} fields and the header {len(header)}: correct it")
        key, question, candidate, label = (fields[place] for place in places)
        asked, tokens = tokenise(question), tokenise(candidate)
        if not key.strip() or not asked:
            raise DataError(f"{file}, line {number} has no question, or no id of it: fill it in")
        if tokens:
            _add(groups, file, file, number, key, asked, tokens, label)
        else:
            empty.append(number)
    if empty:
        print(
            f"{file}, line {empty[0]}: the candidate has no words; such candidates are left out, {len(empty):,} in all",
            file=sys.stderr,
        )
    return [(asked, own if any(label for _, label in own) else []) for asked, own in groups.values()]


def _add(
    groups: dict[str, Group],
    question_file: Path,
    label_file: Path,
    number: int,
    key: str,
    question: Tokens,
    candidate: Tokens,
    label: str,
) -> None:
    """Add the candidate of line `number` to the group of its question, whose id is `key`.

    Raises:
        DataError: the label is neither 0 nor 1, or another question has the id.
    """
    label = label.strip()  # of signs too that int does not know as spaces
    if label not in ("0", "1"):
        raise DataError(
            f"{label_file}, line {number}: {label[:40]!r} is not a label: write 1 for a right, 0 for a wrong answer"
        )
    asked, own = groups.setdefault(key.strip(), (question, []))
    if asked != question:
        raise DataError(
            f"{question_file}, line {number}: the question differs from the first one of id {key.strip()[:40]}: "
            "give each question an id of its own"
        )
    own.append((candidate, int(label)))


def _read_blocks(file: Path) -> list[Group]:
    """Read the blocks of a file that looks like XML.

    Memory grows only with the number of tokens, even if tags are nested or left open.
    """
    groups: list[Group] = []
    empty: list[int] = []  # lines that open a block whose question has no candidates
    passed: list[int] = []  # lines of text that is passed over and annotates nothing
    open_tags: list[tuple[str, int]] = []  # name and line
    question: Tokens | None = None
    own: list[tuple[Tokens, int]] = []  # candidates of the open block
    text, annotated = "", False  # the first line of the open element; whether tabs separate its tokens, as TREC QA's
    for number, piece in _pieces(read_lines(file)):
        if not _TAG.fullmatch(piece):
            if len(open_tags) == 2 and not text:
                text, annotated = piece, "\t" in piece
            elif len(open_tags) < 2 or (len(piece.split()) > 1 and not annotated and "\t" not in piece):
                passed.append(number)
            continue
        closes, name = piece.startswith("</"), piece.strip("</>").split()[0].lower()
        if not closes:
            if len(open_tags) != (name != "qapairs"):
                raise DataError(f"{file}, line {number}: <{name}> {_where(open_tags)}: close the open element first")
            if name == "question" and question:
                raise DataError(
                    f"{file}, line {number}: a second <question> in one block: give each question a block of its own"
                )
            open_tags.append((name, number))
            if name == "qapairs":
                question, own = None, []
            text = ""
            continue
        if not open_tags or open_tags[-1][0] != name:
            raise DataError(f"{file}, line {number}: </{name}> {_where(open_tags)}: close each element once, in order")
        _, start = open_tags.pop()
        if name == "qapairs":
            if not question:
                raise DataError(f"{file}, line {start}: the block has no question: add it, or delete the block")
            groups.append((question, own))
            if not own:
                empty.append(start)
        elif not text:
            raise DataError(f"{file}, line {start}: <{name}> has no tokens: put them behind the tag")
        elif name == "question":
            question = lower_spaces(text)
        else:
            own.append((lower_spaces(text), int(name == "positive")))
    if open_tags:
        raise DataError(f"{file} ends {_where(open_tags)}: close it")
    if len(empty) > MOST_EMPTY * len(groups):
        raise DataError(f"{file}, line {empty[0]}: the question has no candidates: add some, or delete the block")
    if passed:
        print(
            f"{file}, line {passed[0]}: the text stands outside of <question>, <positive> and <negative>, or below the "
            f"first line of one; such text is left out, {len(set(passed)):,} lines in all",
            file=sys.stderr,
        )
    return groups


def _pieces(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Return the tags of the lines and the texts between them, without those that are empty, with their lines."""
    for number, line in enumerate(lines, 1):
        yield from ((number, piece.strip()) for piece in _TAG.split(line) if piece.strip())


def _where(open_tags: list[tuple[str, int]]) -> str:
    """Return the words for an error that say which element is open."""
    if not open_tags:
        return "outside of any <QApairs>"
    name, line = open_tags[-1]
    return f"inside of <{name}>, which line {line} opens"
