import gzip

import numpy as np
import pytest
from gensim.models import KeyedVectors

from data.errors import InputError
from data.vocabulary import PAD, UNK, build_vocabulary
from data.word_vectors import read_word_vectors, train_word_vectors

VOCABULARY = build_vocabulary([["ice", "ice", "cave", "high"]], 7)  # ice, cave, high are ids 4, 5, 6
GLOVE = "ice 1 2 3\nzebra 0 0 0\nhigh -1 0.5 2e-1\n"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["glove", "tabs", "text", "binary"])
def test_every_form(tmp_path, form, packed):
    file = tmp_path / ("v.bin" if form == "binary" else "v.txt")
    if form in ("glove", "tabs"):
        file.write_bytes(b"\xef\xbb\xbf" + GLOVE.replace(" ", "\t" if form == "tabs" else " ").encode())
    else:
        vectors = KeyedVectors(3)
        vectors.add_vectors(["ice", "zebra", "high"], np.array([[1, 2, 3], [0, 0, 0], [-1, 0.5, 0.2]], "float32"))
        vectors.save_word2vec_format(str(file), binary=form == "binary")
    if packed:
        plain, file = file, file.with_name(f"{file.name}.gz")
        file.write_bytes(gzip.compress(plain.read_bytes()))
    found = read_word_vectors(file, VOCABULARY)
    assert found.dtype == np.float32 and found.shape == (7, 3)
    np.testing.assert_allclose(found[[4, 6]], [[1, 2, 3], [-1, 0.5, 0.2]], rtol=1e-6)
    assert not found[PAD].any() and found[UNK].any() and found[5].any()  # the vector of cave is drawn
    np.testing.assert_array_equal(found, read_word_vectors(file, VOCABULARY))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("ice 1 2 3\nhigh 1 2\n", "line 2: 2 numbers at its end where 3 are due"),
        ("2 3\nice 1 2 3\nhigh 1 2\n", "line 3: 2 numbers at its end where 3 are due"),
        ("ice 1 2 3\nhigh up 1 2\n", "line 2: 2 numbers at its end where 3 are due"),
        ("ice 1 2 3\n\n", "line 2: 0 numbers at its end where 3 are due"),
        ("ice 1 2\nhigh 1 1e16\n", "line 2: 0 numbers at its end where 2 are due"),
        ("ice 1 2\rhigh 1 2\r", "CR alone: save it with line ends of LF"),
        ("ice 1 2\nhigh 1 2\n".encode("utf-16-le"), "zero bytes: save it in UTF-8"),
        ("ice 1 2\nhigh 1 2\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
        ("ice 1 2 3\nhigh 1 two 3\n", "line 2: 1 numbers at its end where 3 are due"),
        ("ice 1 2 3\nhigh 1 nan 3\n", "line 2: 1 numbers at its end where 3 are due"),
        (b"ice 1 2\nh\xffgh 1 2\n", "line 2: byte 0xff is not UTF-8"),
        ("zebra 1 2\n", "none of the words"),
        ("", "is empty"),
        ("3 2\nice 1 2\n", r"damaged \(it has 1 words, .* 3\)"),
        ("3 2\n", r"damaged \(it has 0 words, .* 3\)"),
        ("ice\n", "line 1: 0 numbers at its end"),
        ("9" * 5000 + " 2\nzebra 1 2\n", "none of the words"),
        ("ice " + "1 " * 600_000, "line 1 has 1,000,000 bytes or more"),
    ],
)
def test_bad_files(tmp_path, content, said):
    file = tmp_path / "v.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=said) as caught:
        read_word_vectors(file, VOCABULARY)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"2 3\nice \x00\x00",
        b"no header at all",
        b"1 1\n\xff\xff \x00\x00\x00\x00\n",
        b"99999999999 2\n",
        b"1 1\nice \x00\x00\xc0\x7f\n",  # not a number
        b"1 1\nice \xff\xff\x7f\x7f\n",  # the largest number of float32
        b"99999999 3\nice \x00\x00\x00\x00",  # more words than the file can hold
        b"1 99999999\nice \x00\x00\x00\x00",
        b"99999999 -1\nice \x00\x00\x00\x00",
        b"99999999999999999999 1\nice \x00\x00\x00\x00\n",
    ],
)
def test_bad_binary_files(tmp_path, content):
    file = tmp_path / "v.bin"
    file.write_bytes(content)
    with pytest.raises(InputError):
        read_word_vectors(file, VOCABULARY)


@pytest.mark.parametrize("header", ["", "7 2\n"])
def test_words_may_hold_spaces_be_numbers_and_end_in_a_number(tmp_path, capsys, header):
    file = tmp_path / "v.txt"
    file.write_text(header + "windows 7 1 1\nice 1 2\n. . . 3 4\n7 5 6\nto ice 7 8\nhigh 9 10\nice 1 3 4\n")
    np.testing.assert_array_equal(read_word_vectors(file, VOCABULARY)[[4, 6]], [[1, 2], [9, 10]])
    (said,) = capsys.readouterr().err.splitlines()
    assert f"line {2 if header else 1}: 'windows 7'" in said and "2 in all" in said


@pytest.mark.parametrize("binary", [False, True])
def test_the_first_vector_of_a_repeated_word_counts(tmp_path, binary):
    words, vectors = ["ice", "high", "ice"], np.array([[1, 2], [3, 4], [5, 6]], "float32")
    file = tmp_path / ("v.bin" if binary else "v.txt")
    rows = [
        word.encode() + b" " + (vector.tobytes() if binary else " ".join(map(str, vector)).encode())
        for word, vector in zip(words, vectors, strict=True)
    ]
    file.write_bytes(b"3 2\n" + b"\n".join(rows) + b"\n")
    np.testing.assert_array_equal(read_word_vectors(file, VOCABULARY)[[4, 6]], [[1, 2], [3, 4]])


def test_packed_files_that_are_damaged_or_archives(tmp_path):
    packed = gzip.compress(GLOVE.encode() * 100)
    for name, content, said in (
        ("v.txt.gz", packed[:40], "v.txt.gz is damaged"),
        ("v.txt.gz", GLOVE.encode(), "v.txt.gz is damaged"),
        ("v.bin.gz", packed[:40], "v.bin.gz is damaged"),
        ("v.zip", b"PK", "unpack it"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=said):
            read_word_vectors(tmp_path / name, VOCABULARY)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="v.txt is not a file"):
        read_word_vectors(tmp_path / "v.txt", VOCABULARY)


def test_trained_vectors_are_a_function_of_the_text():
    texts = [["ice", "cave", "unheard"], ["high", "ice"]] * 20
    first, again = (train_word_vectors(texts, VOCABULARY, 5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (7, 5) and first.dtype == np.float32
    assert not first[PAD].any() and first[UNK].any()
