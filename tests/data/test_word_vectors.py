import numpy as np
import pytest
from gensim.models import KeyedVectors

from data.errors import InputError
from data.vocabulary import PAD, UNK, build_vocabulary
from data.word_vectors import read_word_vectors, train_word_vectors

VOCABULARY = build_vocabulary([["ice", "ice", "cave", "high"]], 7)  # ice, cave, high are ids 4, 5, 6
GLOVE = "ice 1 2 3\nzebra 0 0 0\nhigh -1 0.5 2e-1\n"


@pytest.mark.parametrize("form", ["glove", "text", "binary"])
def test_every_form(tmp_path, form):
    file = tmp_path / ("v.bin" if form == "binary" else "v.txt")
    if form == "glove":
        file.write_text(GLOVE)
    else:
        vectors = KeyedVectors(3)
        vectors.add_vectors(["ice", "zebra", "high"], np.array([[1, 2, 3], [0, 0, 0], [-1, 0.5, 0.2]], "float32"))
        vectors.save_word2vec_format(str(file), binary=form == "binary")
    found = read_word_vectors(file, VOCABULARY)
    assert found.dtype == np.float32 and found.shape == (7, 3)
    np.testing.assert_allclose(found[[4, 6]], [[1, 2, 3], [-1, 0.5, 0.2]], rtol=1e-6)
    assert not found[PAD].any() and found[UNK].any() and found[5].any()  # the vector of cave is drawn
    np.testing.assert_array_equal(found, read_word_vectors(file, VOCABULARY))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("ice 1 2 3\nhigh 1 2\n", "line 2: 2 numbers at its end where 3 are due"),
        ("2 3\nice 1 2 3\nhigh 1 2 3 4\n", "line 3: 4 numbers at its end where 3 are due"),
        ("ice 1 2 3\nhigh 1 two 3\n", "line 2: 1 numbers at its end where 3 are due"),
        ("ice 1 2 3\nhigh 1 nan 3\n", "line 2: 1 numbers at its end where 3 are due"),
        (b"ice 1 2\nh\xffgh 1 2\n", "line 2: byte 0xff is not UTF-8"),
        ("zebra 1 2\n", "none of the words"),
        ("", "is empty"),
        ("3 2\nice 1 2\n", r"damaged \(it has 1 words, .* 3\)"),
        ("ice\n", "line 1: 0 numbers at its end"),
    ],
)
def test_bad_files(tmp_path, content, said):
    file = tmp_path / "v.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=said) as caught:
        read_word_vectors(file, VOCABULARY)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content", [b"2 3\nice \x00\x00", b"no header at all", b"1 1\n\xff\xff \x00\x00\x00\x00\n", b"99999999999 2\n"]
)
def test_bad_binary_files(tmp_path, content):
    file = tmp_path / "v.bin"
    file.write_bytes(content)
    with pytest.raises(InputError):
        read_word_vectors(file, VOCABULARY)


def test_words_may_hold_spaces_and_be_numbers(tmp_path):
    file = tmp_path / "v.txt"
    file.write_text("ice 1 2\n. . . 3 4\n7 5 6\nto ice 7 8\nhigh 9 10\n")
    np.testing.assert_array_equal(read_word_vectors(file, VOCABULARY)[[4, 6]], [[1, 2], [9, 10]])


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="--word-vectors: .*v.txt is not a file"):
        read_word_vectors(tmp_path / "v.txt", VOCABULARY)


def test_trained_vectors_are_a_function_of_the_text():
    texts = [["ice", "cave", "unheard"], ["high", "ice"]] * 20
    first, again = (train_word_vectors(texts, VOCABULARY, 5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (7, 5) and first.dtype == np.float32
    assert not first[PAD].any() and first[UNK].any()
