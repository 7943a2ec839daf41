import gzip
import itertools
import os
import re

import numpy as np
import pytest

from data import answers
from data.answers import NEIGHBOURS, NO_MATCH, batches, evaluation_batches, load_answers, stem
from data.errors import InputError
from data.vocabulary import PAD, UNK

PAIRS = [  # id of the question, question, candidate, label
    ("1", "who formed the caves", "a glacier formed caves", 1),
    ("1", "who formed the caves", "the ice is high", 0),
    ("2", "how high is it", "the ice is five miles high today", 1),
    ("2", "how high is it", "caves", 0),
    ("2", "how high is it", "no one knows", 0),
]
BLOCK = "<QApairs id='{0}'>\n<question>\nWho\tformed\tcaves\t?\nWP\tVBD\tNNS\t.\n</question>\n{1}</QApairs>\n"
RIGHT = "<positive>\nA\tGlacier\tformed\tthem\nDT\tNN\tVBD\tPRP\n</positive>\n"
WRONG = "<negative>\nNo &amp;\tone\n</negative>\n"


def write_parallel(folder, pairs=PAIRS):
    for part in ("train", "dev", "test"):
        (folder / part).mkdir(parents=True)
        for name, column in zip(("id.txt", "a.toks", "b.toks", "sim.txt"), zip(*pairs, strict=True), strict=True):
            (folder / part / name).write_text("".join(f"{value}\n" for value in column))
    return folder


def write_blocks(folder, text):
    folder.mkdir()
    for part in ("TRAIN", "DEV", "TEST"):
        (folder / f"{part}.xml").write_text(text)
    return folder


def refusal(folder):
    with pytest.raises(InputError) as caught:
        load_answers(str(folder))
    return str(caught.value)


def test_parallel_files(tmp_path):
    corpus = load_answers(str(write_parallel(tmp_path / "qa")), max_length=5)
    train = corpus.train
    assert train.questions == ["who formed the caves".split(), "how high is it".split()]
    assert train.candidates[2] == "the ice is five miles".split()  # cut
    np.testing.assert_array_equal(train.groups, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(train.labels, [1, 0, 1, 0, 0])
    assert corpus.training_texts == train.questions + train.candidates
    assert set(corpus.vocabulary.words[4:]) == {"formed", "caves", "the", "ice", "is", "high"}  # twice or more
    assert corpus.facts["test"] | {"unknown_share": 0} == {
        "questions": 2, "candidates": 5, "right": 2, "unknown_share": 0, "left_out": 0, "cut": 1,
    }  # fmt: skip


def test_the_vocabulary_is_of_the_training_part_alone(tmp_path):
    folder = write_parallel(tmp_path / "qa")
    (folder / "test/b.toks").write_text("zebra zebra\n" * 5)
    corpus = load_answers(str(folder))
    assert "zebra" not in corpus.vocabulary.words
    assert corpus.test.candidates[0] == ["zebra", "zebra"]


def test_blocks(tmp_path):
    text = BLOCK.format("1.1", RIGHT + WRONG) + "<!DOCTYPE x [<!ENTITY a 'b'>]>\n" + BLOCK.format(2, WRONG + RIGHT)
    corpus = load_answers(str(write_blocks(tmp_path / "trec", text)))
    assert corpus.test.questions == [["who", "formed", "caves", "?"]] * 2
    assert corpus.test.candidates[0] == ["a", "glacier", "formed", "them"]
    assert corpus.test.candidates[1] == ["no", "&amp;", "one"]  # entities are not expanded
    np.testing.assert_array_equal(corpus.test.labels, [1, 0, 0, 1])
    np.testing.assert_array_equal(corpus.test.groups, [0, 0, 1, 1])


def test_few_questions_without_candidates_are_left_out_and_counted(tmp_path):
    text = "".join(BLOCK.format(i, RIGHT + WRONG if i else "") for i in range(25))
    corpus = load_answers(str(write_blocks(tmp_path / "a", text)))
    assert len(corpus.train.questions) == corpus.facts["train"]["questions"] == 24
    assert [corpus.facts[part]["left_out"] for part in answers.PARTS] == [1, 1, 1]


def test_tags_may_stand_on_the_line_of_their_text(tmp_path, capsys):
    right, wrong = "<positive>A\tGlacier formed</positive>", "<negative> No < one\n</negative>"
    lines = f"<QApairs id='1'><question>Who formed it ?</question>{right}\n{wrong}</QApairs>\n"
    corpus = load_answers(str(write_blocks(tmp_path / "trec", lines + BLOCK.format(2, RIGHT + WRONG))))
    assert corpus.test.questions == [["who", "formed", "it", "?"], ["who", "formed", "caves", "?"]]
    assert corpus.test.candidates[:2] == [["a", "glacier", "formed"], ["no", "<", "one"]]
    np.testing.assert_array_equal(corpus.test.labels, [1, 0, 1, 0])
    np.testing.assert_array_equal(corpus.test.groups, [0, 0, 1, 1])
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "line", "count"),
    [
        (BLOCK.format(1, RIGHT + "<neutral>\nMaybe\n</neutral>\n" + WRONG), 10, 3),
        (BLOCK.format(1, RIGHT + WRONG) + "by hand\n", 14, 1),
        (BLOCK.format(1, RIGHT + "<negative>\nno one knows\nwho it was\n</negative>\n"), 12, 1),  # wrapped
    ],
)
def test_text_that_is_passed_over_is_announced_with_its_line(tmp_path, capsys, text, line, count):
    corpus = load_answers(str(write_blocks(tmp_path / "trec", text)))
    assert len(corpus.train.candidates) == 2
    said = capsys.readouterr().err.splitlines()
    assert [f"{part}.xml, line {line}:" in own for part, own in zip(("TRAIN", "DEV", "TEST"), said, strict=True)] == [
        True
    ] * 3
    assert all(f"{count} lines in all" in own for own in said)


def test_questions_without_a_right_answer_are_counted_and_announced(tmp_path, capsys):
    corpus = load_answers(
        str(write_parallel(tmp_path / "qa", [*PAIRS, ("3", "why", "no", 0), ("4", "why not", "no", 0)]))
    )
    assert len(corpus.train.questions) == 4
    (said,) = capsys.readouterr().err.splitlines()
    assert "2 in the train part, 2 in the validation part, 2 in the test part" in said


HEADER = "QuestionID\tQuestion\tDocumentID\tDocumentTitle\tSentenceID\tSentence\tLabel\n"
ROWS = [  # question, its text, candidate, label
    ("Q1", "how are glacier caves formed?", 'A "partly submerged glacier cave.', 0),
    ("Q1", "how are glacier caves formed?", "The ice's facade, 60 ft (18 m) high", 1),
    ("Q2", "who knows?", "No one.", 0),
    ("Q3", "what is ice?", "Ice is frozen water.", 1),
]


def write_published(folder, rows=ROWS, header=HEADER):
    folder.mkdir()
    lines = [f"{key}\t{asked}\tD1\tGlacier cave\tD1-0\t{text}\t{label}\n" for key, asked, text, label in rows]
    for part in ("train", "dev", "test"):
        (folder / f"WikiQA-{part}.tsv").write_bytes((header + "".join(lines)).replace("\n", "\r\n").encode())
    return folder


def test_wikiqa_as_it_is_published(tmp_path, capsys):
    corpus = load_answers(str(write_published(tmp_path / "wikiqa")))
    assert corpus.train.questions == [["how", "are", "glacier", "caves", "formed", "?"], ["what", "is", "ice", "?"]]
    assert corpus.train.candidates[0] == ["a", '"', "partly", "submerged", "glacier", "cave", "."]
    assert corpus.train.candidates[1][:5] == ["the", "ice's", "facade", ",", "60"]
    np.testing.assert_array_equal(corpus.train.labels, [0, 1, 1])
    np.testing.assert_array_equal(corpus.train.groups, [0, 0, 1])
    assert corpus.facts["test"]["left_out"] == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert "a right answer) are left out: 1 in the train part" in said


@pytest.mark.parametrize("form", ["blocks", "parallel", "published"])
def test_compressed_files_are_read_alike(tmp_path, form):
    write = {
        "blocks": lambda folder: write_blocks(folder, BLOCK.format(1, RIGHT + WRONG)),
        "parallel": lambda folder: write_parallel(folder, PAIRS),
        "published": write_published,
    }[form]
    plain, packed = load_answers(str(write(tmp_path / "plain"))), write(tmp_path / "packed")
    for file in [file for file in packed.rglob("*.*") if file.is_file()]:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    found = load_answers(str(packed))
    assert found.train.questions == plain.train.questions and found.test.candidates == plain.test.candidates


def test_candidates_without_words_are_left_out_and_announced(tmp_path, capsys):
    corpus = load_answers(str(write_published(tmp_path / "wikiqa", [*ROWS, ("Q3", "what is ice?", " ", 0)])))
    assert len(corpus.train.candidates) == 3
    assert sum("line 6" in line and "1 in all" in line for line in capsys.readouterr().err.splitlines()) == 3


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (ROWS, HEADER.replace("Label", "Answer"), "line 1: the header has no column label"),
        (ROWS, "", "line 1: the header has no column questionid"),
        ([*ROWS, ("Q4", "a\tb", "c", 1)], HEADER, "line 6 has 8 fields and the header 7"),
        ([*ROWS, ("Q4", "a", "c", 2)], HEADER, "line 6: '2' is not a label"),
        ([*ROWS, ("Q1", "a", "c", 1)], HEADER, "line 6: the question differs from the first one of id Q1"),
        ([*ROWS, ("Q4", " ", "c", 1)], HEADER, "line 6 has no question"),
        ([*ROWS, (" ", "a", "c", 1)], HEADER, "line 6 has no question"),
        (ROWS[2:3], HEADER, "the train part of .* has no right answer"),
    ],
)
def test_bad_published_files(tmp_path, rows, header, said):
    message = refusal(write_published(tmp_path / "wikiqa", rows, header))
    assert re.search(said, message), message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BLOCK.format(1, RIGHT) + BLOCK.format(2, ""), "line 11: the question has no candidates"),
        (
            BLOCK.format(1, RIGHT).replace("</positive>\n", ""),
            "line 9: </qapairs> inside of <positive>, which line 6 opens",
        ),
        (BLOCK.format(1, RIGHT).replace("</QApairs>\n", ""), "ends inside of <qapairs>, which line 1 opens"),
        (
            BLOCK.format(1, RIGHT).replace("</QApairs>\n", "") + BLOCK.format(2, RIGHT),
            "<qapairs> inside of <qapairs>, which line 1 opens",
        ),
        (BLOCK.format(1, RIGHT) + RIGHT, "<positive> outside of any <QApairs>"),
        (BLOCK.format(1, "<question>\nWhy\n</question>\n" + RIGHT), "line 6: a second <question>"),
        (BLOCK.format(1, "<positive>\n</positive>\n"), "line 6: <positive> has no tokens"),
        ("<QApairs id='1'>\n" + RIGHT + "</QApairs>\n", "line 1: the block has no question"),
        (BLOCK.format(1, WRONG), "the train part of .* has no right answer"),
        (BLOCK.format(1, WRONG) + BLOCK.format(2, RIGHT), "the train part of .* has no question with both"),
        ("<QApairs>\n" * 5000, "line 2: <qapairs> inside of <qapairs>"),
    ],
)
def test_bad_blocks(tmp_path, text, said):
    message = refusal(write_blocks(tmp_path / "trec", text))
    assert len(message.splitlines()) == 1
    assert re.search(said, message), message


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("dev/sim.txt", "1\n0\n1\n0\n", "sim.txt has 4 lines and id.txt has 5"),
        ("train/sim.txt", "1\n0\n2\n0\n0\n", "sim.txt, line 3: '2' is not a label"),
        ("train/b.toks", "a\nb\n\nd\ne\n", "b.toks, line 3 is empty"),
        ("train/a.toks", "a\nb\nc\nc\nc\n", "a.toks, line 2: .* id 1:"),
        ("dev/sim.txt", "0\n" * 5, "the validation part of .* has no right answer"),
        ("test/a.toks", b"\xff\n", "a.toks, line 1: byte 0xff is not UTF-8"),
    ],
)
def test_bad_parallel_files(tmp_path, file, text, said):
    folder = write_parallel(tmp_path / "qa")
    (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    message = refusal(folder)
    assert re.search(said, message), message
    assert len(message.splitlines()) == 1


def test_what_is_not_there(tmp_path):
    assert "is neither a data set" in refusal("wikki")
    assert all(name in refusal(tmp_path) for name in ("train/", "TRAIN.xml", "WikiQA-train.tsv"))
    (tmp_path / "train").mkdir()
    assert "has no id.txt" in refusal(tmp_path)
    (tmp_path / "a").write_text("a")
    assert "is a file" in refusal(tmp_path / "a")


def test_a_batch_has_questions_with_all_of_their_candidates(tmp_path):
    corpus = load_answers(str(write_parallel(tmp_path / "qa")))
    vocabulary = corpus.vocabulary
    batch = next(iter(evaluation_batches(corpus.train, vocabulary, 2)))
    np.testing.assert_array_equal(batch["questions"][1], [*vocabulary.encode("how high is it".split())])
    np.testing.assert_array_equal(batch["candidates"][3], [vocabulary.encode(["caves"])[0], *[PAD] * 6])
    np.testing.assert_array_equal(batch["candidate_lengths"], [4, 4, 7, 1, 3])
    np.testing.assert_array_equal(batch["question_lengths"], [4, 4])
    np.testing.assert_array_equal(batch["groups"], [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(batch["labels"], [1, 0, 1, 0, 0])
    assert (batch["candidate_stems"][3, 1:] == NO_MATCH).numpy().all()
    assert batch["candidates"][0, 1] == UNK  # glacier occurs once
    assert batch["candidate_stems"][0, 2] == batch["question_stems"][0, 1]  # formed


def test_a_label_may_end_in_a_sign_that_separates_records(tmp_path):
    write_parallel(tmp_path / "qa")
    labels = tmp_path / "qa/train/sim.txt"
    labels.write_text(labels.read_text().replace("1\n", "1\x1f\n"))
    assert load_answers(str(tmp_path / "qa")).train.labels.tolist() == [1, 0, 1, 0, 0]


def test_words_of_one_stem_match():
    numbers = answers._stem_numbers(["formed", "forms", "glacier"])
    assert numbers[0] == numbers[1] != numbers[2] and numbers.min() > 0
    assert stem("caves") == "cave"


def test_the_order_is_a_function_of_seed_epoch_and_step(tmp_path):
    pairs = [(str(i), f"what is {i}", f"it is {i}", label) for i in range(9) for label in (0, 1)]
    corpus = load_answers(str(write_parallel(tmp_path / "qa", pairs)))

    def asked(seed, first_epoch, steps):
        stream = batches(corpus.train, corpus.vocabulary, 4, seed, first_epoch)
        return [batch["question_stems"].numpy()[:, 2].tolist() for batch in itertools.islice(stream, steps)]

    whole = asked(0, 0, 6)
    assert whole == asked(0, 0, 6)
    assert whole[2:] == asked(0, 1, 4)  # an epoch has two steps and drops the ninth question
    assert whole != asked(1, 0, 6)
    assert whole[:2] != whole[2:4]
    with pytest.raises(InputError, match="batch size 10 does not fit 9"):
        batches(corpus.train, corpus.vocabulary, 10, 0)


def test_docstrings_ask_and_their_neighbours_do_not_answer(monkeypatch):
    from data.docstrings import Docstring

    docstrings = [
        Docstring("a", "a", f"a.f{i}", f"Does {i}.", [f"It does {i} well, x{i}."]) for i in range(20 * NEIGHBOURS)
    ]
    monkeypatch.setattr(answers, "read_docstrings", lambda: [*docstrings, Docstring("a", "a", "b", "Nothing.", [])])
    corpus = load_answers("docstrings")
    assert [len(part.questions) for part in corpus[1:4]] == [16 * NEIGHBOURS, 2 * NEIGHBOURS, 2 * NEIGHBOURS]
    test = corpus.test
    assert len(test.candidates) == NEIGHBOURS * len(test.questions)
    for question, candidate, label in zip(np.repeat(test.questions, NEIGHBOURS, 0), *test[1::2], strict=True):
        assert (question[1] in candidate) == label
    known = {tuple(text) for text in corpus.train.candidates}
    assert known.isdisjoint(map(tuple, test.candidates))
    assert len(set(map(tuple, corpus.training_texts))) == len(corpus.training_texts) == 2 * 16 * NEIGHBOURS
    number = corpus.train.questions[0][1]
    assert number in corpus.vocabulary.words and f"x{number}" not in corpus.vocabulary.words  # it occurs once
    assert "numpy" in corpus.facts["versions"]


@pytest.mark.skipif("INFOBIGBIGAN_DATA" not in os.environ, reason="INFOBIGBIGAN_DATA names no folder of data sets")
def test_the_published_sets():
    wikiqa, trecqa = load_answers("wikiqa"), load_answers("trecqa")
    assert [wikiqa.facts[part]["candidates"] for part in answers.PARTS] == [8672, 1130, 2351]
    assert wikiqa.facts["test"]["questions"] == 243
    assert [trecqa.facts[part]["right"] for part in answers.PARTS] == [348, 222, 284]
    assert [trecqa.facts[part]["candidates"] for part in answers.PARTS] == [4718, 1148, 1517]
    assert [trecqa.facts[part]["left_out"] for part in answers.PARTS] == [1, 1, 5]
