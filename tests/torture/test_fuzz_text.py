"""Damaged text: sentences, paragraphs, documents, answers, words, and word vectors, in every form that is read."""

import gzip
import json
from functools import partial

import numpy as np
import pytest
from hypothesis import strategies as st

from data.answers import BLOCKS, PUBLISHED, load_answers
from data.documents import COUNTED, load_documents
from data.errors import InputError
from data.sentences import load_paragraphs, load_sentences
from data.vocabulary import build_vocabulary
from data.word_vectors import read_word_vectors
from data.wording import Wording

pytestmark = pytest.mark.filterwarnings("ignore")  # of NumPy, about files without numbers
BETWEEN = b"\x1d"  # separates the files of a form that has several

PROSE = "The cat sat on the mat. It's 1,000.5 of the \u00e9t\u00e9!\nA dog and the fox ran. \u4e2d\u6587\u3002\n"
PROSE += 'She said: "no." Yes, <unk> I\u0307 \u00adx\u200d\u0928\n\n'
TEXTS = [
    (PROSE * 12).encode(),
    b"\xef\xbb\xbf" + (PROSE * 12).replace("\n", "\r\n").encode(),
    (PROSE * 12).encode("utf-16"),
]
TEXTS += [b"one two. Three four.\n" * 15, gzip.compress(b"one two. Three four.\n" * 15)]

FEAT = [b"".join(b"%d 1:%d 3:2\n" % (3 + i % 2, i + 1) for i in range(20)), b"2 1:1\n", b"fish 9\ncod 5\nowl 2\n"]
PAIRS = b"".join(b"%d %d 2\n%d %d 1\n" % (i + 1, i % 3 + 1, i + 1, (i + 1) % 3 + 1) for i in range(20))
BAG = [b"20\n3\n40\n" + PAIRS, b"fish\ncod\nowl\n"]
SVMLIGHT = b"".join(b"%d %d:%d 3:2 # note\n" % (i % 2, i % 3, i + 1) for i in range(20))

BLOCK = b"<QApairs id='1'>\n<question>\nwhat\tis\tit\t?\nDT\tVB\n</question>\n<positive>\nit\tis\tthat\n</positive>\n"
BLOCK = (BLOCK + b"<negative>\nno\n</negative>\n</QApairs>\n") * 4
PUBLISHED_LINES = b"".join(
    b"Q%d\thow are you %d?\tfine &amp; thanks %d\t%d\n" % (i // 2, i // 2, i, i % 2) for i in range(12)
)
PUBLISHED_FILE = b"QuestionID\tQuestion\tSentence\tLabel\n" + PUBLISHED_LINES
PARALLEL = [
    b"1\n1\n2\n2\n",
    b"how is it\nhow is it\nwho are you\nwho are you\n",
    b"it is\nno one\ni am\nyou are\n",
    b"1\n0\n1\n0\n",
]

VOCABULARY = build_vocabulary([["ice", "ice", "cave", "high"]], 7)
VECTORS = [b"ice 1 2 3\nzebra 0 0 0\nhigh -1 0.5 2e-1\n", b"2 3\nice 1 2 3\nhigh 3 4 5\n"]
BINARY = b"2 3\n" + b"\n".join(word + b" " + np.ones(3, np.float32).tobytes() for word in (b"ice", b"high"))

FIELDS = [
    "",
    "0",
    "1",
    "2",
    "-1",
    "1:1",
    "2:3",
    "0:5",
    "3:0",
    "1:x",
    "99999999",
    "9" * 30,
    "nan",
    "1e999",
    "1.5",
    "ice",
    "\u0661",
]
ODD = st.text(
    'aB1 .,"\\<&\u00e9\u0301\u0130\u05d0\u0e01\u0e49\u200b\u200d\u2028\u3002\u4e2d\ufeff\ud800\U0001f468\0\r\n\t\x1c',
    max_size=20,
)
FIELDS = st.one_of(st.sampled_from(FIELDS), ODD, st.integers().map(str), st.floats().map(str))


def lines(separator):
    """Return a strategy of lines of fields, as bytes."""
    rows = st.lists(st.lists(FIELDS, max_size=6).map(separator.join), max_size=25)
    return rows.map(lambda rows: "\n".join(rows).encode("utf-8", "surrogatepass"))


@pytest.fixture
def reader(tmp_path):
    """A function that returns a reader of contents: the files of `names`, separated by BETWEEN, in a folder with others."""

    def make(load, *names, others=None, path=""):
        for name, content in (others or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)

        def read(content):
            parts = content.split(BETWEEN, len(names) - 1)
            for name, part in zip(names, parts + [b""] * (len(names) - len(parts)), strict=True):
                (tmp_path / name).write_bytes(part)
            load(str(tmp_path / path))

        return read

    return make


# Text


def test_sentences(reader, fuzz):
    fuzz(reader(load_sentences, "x.txt", path="x.txt"), TEXTS)


def test_packed_sentences(reader, fuzz):
    fuzz(reader(load_sentences, "x.txt.gz", path="x.txt.gz"), TEXTS[:-1], gzip.compress)


@pytest.mark.parametrize("load", [load_sentences, load_paragraphs])
def test_streamed_text(reader, fuzz, tmp_path, monkeypatch, load):
    monkeypatch.setenv("INFOBIGBIGAN_CACHE", str(tmp_path / "cache"))
    fuzz(reader(partial(load, cache_gb=0.0), "x.txt", path="x.txt"), TEXTS[3:])


def test_paragraphs(reader, fuzz):
    fuzz(reader(load_paragraphs, "x.txt", path="x.txt"), [*TEXTS[3:], b"One two.\nThree four.\n\n" * 15])


def test_parts_of_sentences(reader, fuzz):
    fuzz(reader(load_sentences, "train.txt", "test.txt"), [BETWEEN.join(TEXTS[3:5]), BETWEEN.join(TEXTS[:2])])


def test_sentences_of_any_characters(reader, examine):
    rows = st.lists(ODD, min_size=10, max_size=30).map("\n".join)
    examine(reader(load_sentences, "x.txt", path="x.txt"), rows.map(lambda text: text.encode("utf-8", "surrogatepass")))


# Documents


def test_documents_of_lines(reader, fuzz):
    fuzz(reader(load_documents, "x.txt", path="x.txt"), TEXTS)


def test_streamed_documents(reader, fuzz, tmp_path, monkeypatch):
    monkeypatch.setenv("INFOBIGBIGAN_CACHE", str(tmp_path / "cache"))
    fuzz(reader(partial(load_documents, cache_gb=0.0), "x.txt", path="x.txt"), TEXTS)


def test_a_folder_of_documents(reader, fuzz):
    others = {f"{label}/{i}.txt": b"some words of text here" for label in "ab" for i in range(6)}
    fuzz(reader(load_documents, "a/0.txt", others=others), TEXTS)


def test_feature_files(reader, fuzz, examine):
    read = reader(load_documents, *COUNTED)
    fuzz(read, [BETWEEN.join(FEAT), BETWEEN.join([gzip.compress(FEAT[0]), *FEAT[1:]])])
    examine(read, lines(" ").map(lambda train: BETWEEN.join([train, *FEAT[1:]])))


def test_bags_of_words(reader, fuzz, examine):
    read = reader(load_documents, "docword.x.txt", "vocab.x.txt")
    fuzz(read, [BETWEEN.join(BAG)])
    examine(read, lines(" ").map(lambda counts: BETWEEN.join([counts, BAG[1]])))


def test_svmlight(reader, fuzz, examine):
    read = reader(load_documents, "x.svmlight", path="x.svmlight")
    fuzz(read, [SVMLIGHT, gzip.compress(SVMLIGHT)])
    examine(read, lines(" "))


def test_svmlight_with_its_words(reader, fuzz):
    others = {"vocab.txt": b"fish\ncod\nowl\neel\n"}
    fuzz(reader(load_documents, "x.svmlight.gz", others=others, path="x.svmlight.gz"), [SVMLIGHT], gzip.compress)


# Answers


def test_blocks(reader, fuzz, examine):
    read = reader(load_answers, BLOCKS[0], others=dict.fromkeys(BLOCKS, BLOCK))
    fuzz(read, [BLOCK, gzip.compress(BLOCK)])
    tags = [f"<{end}{name}>" for end in ("", "/") for name in ("QApairs", "question", "positive", "negative", "other")]
    pieces = st.one_of(st.sampled_from([*tags, "<", ">", "\n", "\t", "<question/>", "&lol;"]), ODD)
    examine(read, st.lists(pieces, max_size=40).map(lambda own: "".join(own).encode("utf-8", "surrogatepass")))


def test_published_files(reader, fuzz, examine):
    read = reader(load_answers, PUBLISHED[0], others=dict.fromkeys(PUBLISHED, PUBLISHED_FILE))
    fuzz(read, [PUBLISHED_FILE, gzip.compress(PUBLISHED_FILE)])
    examine(read, lines("\t").map(lambda rows: PUBLISHED_FILE.split(b"\n")[0] + b"\n" + rows))


def test_parallel_files(reader, fuzz):
    names = ("id.txt", "a.toks", "b.toks", "sim.txt")
    others = {
        f"{part}/{name}": own for part in ("train", "dev", "test") for name, own in zip(names, PARALLEL, strict=True)
    }
    fuzz(reader(load_answers, *(f"train/{name}" for name in names), others=others), [BETWEEN.join(PARALLEL)])


# Words and their vectors


def test_a_wording(fuzz, examine):
    def read(content):
        try:
            wording = Wording.of_json(content.decode("utf-8", "replace"))
        except ValueError as error:
            raise InputError(str(error)) from error
        assert all(isinstance(word, str) for word in wording.words)

    stored = Wording(("<pad>", "<s>", "</s>", "<unk>", "a", "\u00e9"), "tokens", 40).as_json()
    fuzz(read, [stored.encode()])
    values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | ODD, st.lists, max_leaves=5)
    changed = st.dictionaries(st.sampled_from(["words", "splitting", "longest", "more"]), values)
    examine(read, changed.map(lambda own: json.dumps(json.loads(stored) | own).encode()))


def test_word_vectors(tmp_path, fuzz, examine):
    def read(content):
        (tmp_path / "v.txt").write_bytes(content)
        assert np.isfinite(read_word_vectors(tmp_path / "v.txt", VOCABULARY)).all()

    fuzz(read, VECTORS)
    examine(read, lines(" "))


@pytest.mark.parametrize("name", ["v.txt.gz", "v.bin", "v.bin.gz"])
def test_packed_and_binary_word_vectors(tmp_path, fuzz, name):
    def read(content):
        (tmp_path / name).write_bytes(content)
        assert np.isfinite(read_word_vectors(tmp_path / name, VOCABULARY)).all()

    contents = VECTORS if name == "v.txt.gz" else [BINARY]
    fuzz(read, contents, gzip.compress if name.endswith(".gz") else bytes)
