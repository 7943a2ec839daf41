"""Small files that would unpack to much, declare much, or take long: each is refused, or read within the rules."""

import gzip
import io
import struct
import zipfile
import zlib

import gensim.models  # noqa: F401  # readers import both when they need them, which takes seconds
import numpy as np
import pytest
import sklearn.datasets  # noqa: F401
from PIL import Image

from data.answers import BLOCKS, load_answers
from data.archives import ALWAYS_UNPACKED
from data.documents import load_documents
from data.images import MOST_PIXELS, load, read_picture
from data.sentences import load_paragraphs, load_sentences
from data.vocabulary import build_vocabulary
from data.word_vectors import read_word_vectors
from data.wording import Wording

# A file of any size may unpack to ALWAYS_UNPACKED, which is in memory twice while its pieces are joined.
MEMORY = 2 * ALWAYS_UNPACKED + 4 * 2**20
SECONDS = 1.0  # on a busy machine
VOCABULARY = build_vocabulary([["ice", "ice"]], 5)


def png(side):
    """Return a black PNG of one bit a pixel, about 1,000 times smaller than its pixels."""
    row, packer = bytes(1 + side // 8), zlib.compressobj(9)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    chunks = {b"IHDR": struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0), b"IDAT": pixels, b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(own)) + name + own + struct.pack(">I", zlib.crc32(name + own))
        for name, own in chunks.items()
    )


def npz(header_shape, content=bytes(100)):
    """Return an .npz file whose array declares a shape and has a few bytes."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {header_shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + content)
    return file.getvalue()


def scans(count):
    """Return a JPEG that goes over its pixels many times."""
    file = io.BytesIO()
    Image.new("L", (16, 16)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * count + content[-2:]


def vectors(path):
    return read_word_vectors(path, VOCABULARY)


ZEROS, LINES = (gzip.compress(piece * (10**8 // len(piece))) for piece in (b"\0", b"ice 1\n"))

BOMBS = {
    "a text of zeros": (load_sentences, "x.txt.gz", ZEROS, "unpacks to more than 100 times"),
    "a text of lines": (load_documents, "x.txt.gz", LINES, "unpacks to more than 100 times"),
    "counts of zeros": (load_documents, "x.svmlight.gz", ZEROS, "unpacks to more than 100 times"),
    "vectors of zeros": (vectors, "x.txt.gz", ZEROS, "unpacks to more than 100 times"),
    "vectors of lines": (vectors, "x.txt.gz", LINES, "unpacks to more than 100 times"),
    "binary vectors of zeros": (
        vectors,
        "x.bin.gz",
        gzip.compress(b"9 9\n" + bytes(10**8)),
        "unpacks to more than 100",
    ),
    "a declared number of vectors": (
        vectors,
        "x.bin",
        b"99999999 3\nice " + bytes(12),
        "more vectors than it can hold",
    ),
    "a declared size of vectors": (vectors, "x.bin", b"1 999999999\nice " + bytes(12), "more vectors than it can hold"),
    "one line of vectors": (vectors, "x.txt", b"ice " + b"1 " * 600_000, "line 1 has 1,000,000 bytes or more"),
    "a large id": (load_documents, "x.svmlight", b"0 0:1\n" * 20 + b"1 9999998:1\n", "the id 9,999,998 and 21 counts"),
    "a larger id": (load_documents, "x.svmlight", b"0 0:1\n" * 20 + b"1 2147483647:1\n", "the id 2,147,483,647"),
    "images of zeros": (load, "x.npz", npz("(100000, 28, 28)", bytes(78_400_000)), "unpacks to more than 100 times"),
    "a declared shape": (load, "x.npz", npz("(20, 9999, 9999)"), "cannot be read"),
    "a shape beyond the memory": (load, "x.npz", npz("(9999999, 9999, 9999)"), "cannot be read"),
    "a shape beyond all numbers": (load, "x.npz", npz("(" + "9" * 30 + ",)"), "cannot be read"),
    "a nested shape": (load, "x.npz", npz("(" * 2000 + ")" * 2000), "cannot be read"),
    "pixels": (read_picture, "x.png", png(9000), "has 81 megapixels: give a picture of at most 40"),
    "more pixels": (read_picture, "x.png", png(16_000), "cannot be read as an image"),
    "scans": (read_picture, "x.jpg", scans(1000), "draws its picture more than 200 times"),
}


@pytest.mark.parametrize(("read", "name", "content", "said"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path, measured, read, name, content, said):
    file = tmp_path / name
    file.write_bytes(content)
    error, seconds, memory = measured(read, str(file) if read in (load, load_sentences, load_documents) else file)
    assert said in str(error)
    assert seconds < SECONDS + len(content) / 2**20 and memory < MEMORY + 10 * len(content)


def test_a_folder_with_a_bomb_is_refused(tmp_path, measured):
    for i in range(20):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i:02d}.png")
    (tmp_path / "07.png").write_bytes(png(9000))
    error, seconds, memory = measured(load, str(tmp_path), None, 8)
    assert "07.png has 81 megapixels" in str(error)
    assert seconds < SECONDS and memory < MEMORY


def test_the_largest_picture_takes_five_times_its_pixels_at_most(tmp_path, measured):
    side = int(MOST_PIXELS**0.5) // 8 * 8
    (tmp_path / "x.png").write_bytes(png(side))
    error, _, memory = measured(read_picture, tmp_path / "x.png")
    assert error is None and memory < 5 * 3 * side * side


SPACES = " " * 400_000
TEXTS = {
    "marks": "hello there\n" * 20 + "a" + "\u0315\u0300" * 100_000 + "\n",
    "spaces": (f"one.{SPACES}two\u3002{SPACES}\n") + "a b. C d\n" * 20,
    "full stops": ("\u3002" * 300_000 + "\n") + "a b. C d\n" * 20,
    "joiners": ("a\u200d" * 50 + "\n") * 2000,
    "apostrophes": ("a'b" * 100_000 + "\n") + "a b. C d\n" * 20,
    "numbers": ("1," * 200_000 + "\n") + "a b. C d\n" * 20,
}


@pytest.mark.parametrize("load", [load_sentences, load_paragraphs, load_documents])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_odd_text_takes_time_by_its_length_alone(tmp_path, measured, load, text):
    content = text.encode()
    (tmp_path / "x.txt").write_bytes(content)
    _, seconds, memory = measured(load, str(tmp_path / "x.txt"))
    assert (
        seconds < SECONDS + 3 * len(content) / 2**20
    )  # thrice the rule, for a busy machine; a quadratic reader takes minutes
    assert memory < MEMORY + 10 * len(content)


def test_many_lines_below_a_long_one_take_time_by_their_number_alone(tmp_path, measured):
    block = "<QApairs><question>{}\n{}</question><positive>x x</positive><negative>x y</negative></QApairs>\n"
    for name in BLOCKS:
        (tmp_path / name).write_text(block.format("x" * 900_000, "a b\n" * 50_000))
    error, seconds, _ = measured(load_answers, str(tmp_path))
    assert error is None and seconds < SECONDS + 3 * 3.3  # 3.3 MB


def test_entities_are_not_expanded(tmp_path, measured):
    laughs = (
        '<!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>\n'
    )
    block = "<QApairs><question>what is &c; ?</question><positive>&c;</positive><negative>no</negative></QApairs>\n" * 4
    for name in BLOCKS:
        (tmp_path / name).write_text(laughs + block)
    corpus = load_answers(str(tmp_path))
    assert corpus.train.candidates[0] == ["&c;"] and corpus.train.questions[0] == ["what", "is", "&c;", "?"]


@pytest.mark.parametrize("content", ["[" * 100_000, '{"words": ' + "[" * 100_000, '{"words": {"a": ' * 50_000])
def test_json_that_is_nested_deeply_is_refused(content):
    with pytest.raises(ValueError, match="no words and splitting .*recursion"):
        Wording.of_json(content)


def test_a_bag_of_words_that_declares_more_than_it_has(tmp_path, measured):
    (tmp_path / "vocab.x.txt").write_text("a\nb\n")
    for declared in ("999999999999\n2\n3\n", "3\n999999999999\n3\n", "3\n2\n999999999999\n"):
        (tmp_path / "docword.x.txt").write_text(declared + "1 1 1\n2 2 1\n3 1 1\n")
        error, seconds, memory = measured(load_documents, str(tmp_path))
        assert "docword.x.txt is damaged" in str(error) and seconds < SECONDS and memory < MEMORY


def test_natural_text_takes_ten_times_its_size_at_most(tmp_path, measured):
    """Words repeat in natural text, and lines are longer than a word."""
    words = np.random.default_rng(0).zipf(1.3, 200_000) % 20_000
    lines = [" ".join(f"w{word}" for word in words[i : i + 20]) for i in range(0, len(words), 20)]
    (tmp_path / "x.txt").write_text("\n".join(lines))
    size = (tmp_path / "x.txt").stat().st_size
    for load_text in (load_sentences, load_documents):
        _, _, memory = measured(load_text, str(tmp_path / "x.txt"))
        assert size > 500_000 and memory < MEMORY + 10 * size
