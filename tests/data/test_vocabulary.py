import numpy as np
import pytest

from data.errors import InputError
from data.vocabulary import BOS, EOS, PAD, RESERVED, UNK, build_vocabulary, digest, most_frequent

SENTENCES = [line.split() for line in ("the cat sat", "the dog sat", "<unk> the <unk> owl <unk> <unk>")]


def test_reserved_ids_and_their_printed_forms():
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)
    assert RESERVED == ("<pad>", "<s>", "</s>", "<unk>")


def test_most_frequent_words_come_first_and_ties_in_alphabetical_order():
    vocabulary = build_vocabulary(SENTENCES, 100)
    assert vocabulary.words == (*RESERVED, "the", "sat", "cat", "dog", "owl")
    assert vocabulary.size == 9
    assert build_vocabulary(reversed(SENTENCES), 100) == vocabulary


def test_size_counts_the_reserved_ids():
    assert build_vocabulary(SENTENCES, 7).words == (*RESERVED, "the", "sat", "cat")
    assert build_vocabulary(SENTENCES, 7).size == 7
    with pytest.raises(InputError, match="a vocabulary of 4 ids has no room for words.* 4 ids are reserved"):
        build_vocabulary(SENTENCES, 4)


def test_most_frequent_leaves_reserved_forms_out():
    assert most_frequent(["<unk>", "owl", "sat", "the", "dog"], np.array([4, 1, 2, 3, 0]), 9) == ["the", "sat", "owl"]
    assert most_frequent(["<unk>", "owl", "sat", "the"], np.array([4, 2, 2, 3]), 2) == ["the", "owl"]


def test_encode_and_decode_are_inverse_on_known_words():
    vocabulary = build_vocabulary(SENTENCES, 100)
    ids = vocabulary.encode(["dog", "the", "owl"])
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, [7, 4, 8])
    assert vocabulary.decode(ids) == ["dog", "the", "owl"]
    assert vocabulary.encode([]).shape == (0,)


def test_unknown_words_and_printed_forms_of_reserved_ids_are_unk():
    np.testing.assert_array_equal(build_vocabulary(SENTENCES, 100).encode(["emu", "The", *RESERVED]), [UNK] * 6)


def test_decode_stops_at_the_end_and_drops_padding():
    vocabulary = build_vocabulary(SENTENCES, 100)
    assert vocabulary.decode(np.array([BOS, PAD, 4, UNK, EOS, 5, 6])) == ["the", "<unk>"]


def test_digest_changes_with_any_word_and_its_place():
    digests = [digest([*RESERVED, *words]) for words in (["a", "b"], ["b", "a"], ["a"], ["ab"])]
    assert len(set(digests)) == 4
    assert all(len(found) == 16 and set(found) <= set("0123456789abcdef") for found in digests)
    assert digest(RESERVED) == "52d25f083aa02766"  # the output of sha256sum
