import json

import numpy as np
import pytest

from data.wording import SPLITTINGS, Wording, code_of


@pytest.mark.parametrize(
    ("splitting", "expected"),
    {
        "tokens": ["the", "cat's", "ii", "paws", ",", "and", "it", "."],
        "spaces": ["The", "cat's", "II", "paws,", "and", "it."],
        "lower spaces": ["the", "cat's", "ii", "paws,", "and", "it."],
        "content words": ["the", "cat", "ii", "paws", "and", "it"],
        "English content words": ["cat", "ii", "paws"],
    }.items(),
)
def test_a_text_is_split(splitting, expected):
    assert Wording((), splitting).split(["The cat's II paws, and it."]) == [expected]


@pytest.mark.parametrize("splitting", SPLITTINGS)
def test_the_code_that_cards_show_splits_alike(splitting):
    found = {}
    exec(code_of(splitting), found)
    for text in (
        "The cat's II paws, and it.",
        "I\u0307stanbul, soft\u00adhyphen",
        "हिन्दी के शब्द",
        "我们 ไทย e\u0301t\u00e9",
    ):
        assert found["split"](text) == SPLITTINGS[splitting](text)


def test_every_splitting_has_a_name():
    assert {"tokens", "spaces", "lower spaces", "content words", "English content words"} == set(SPLITTINGS)


def test_long_texts_are_cut():
    assert Wording((), "tokens", 2).split(["a b c d", "a"]) == [["a", "b"], ["a"]]


def test_the_sentences_of_a_paragraph():
    text = "The cat sat. It ran!\nA dog\n\n"
    assert Wording((), "tokens").sentences(text) == [["the", "cat", "sat", "."], ["it", "ran", "!"], ["a", "dog"]]
    assert Wording((), "spaces").sentences(text) == [["The", "cat", "sat.", "It", "ran!"], ["A", "dog"]]


def test_words_are_counted():
    counts = Wording(("cat", "dog"), "content words").counts(["Dog, cat; dog", "a fish"])
    np.testing.assert_array_equal(counts, [[1, 2], [0, 0]])
    assert counts.dtype == np.float32


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("one text", "a list of texts"),
        ([], "a list of texts"),
        ([1], "a list of texts"),
        (["a", " "], "' ' has no word"),
    ],
)
def test_what_is_no_list_of_texts(texts, said):
    with pytest.raises(ValueError, match=said):
        Wording((), "tokens").split(texts)


def test_a_file_brings_the_wording_back():
    wording = Wording(("<pad>", "été", "हिन्दी"), "tokens", 40)
    assert Wording.of_json(wording.as_json()) == wording
    assert Wording.of_json(wording._replace(longest=None).as_json()).longest is None
    for changed in ({"splitting": "unheard"}, {"words": [1]}, {"longest": "x"}):
        with pytest.raises(ValueError, match="no list of words"):
            Wording.of_json(json.dumps(json.loads(wording.as_json()) | changed))
    for content in ("[1]", "{}", '{"words": 1, "splitting": [], "longest": 1}', "[" * 100_000):
        with pytest.raises(ValueError, match="no words and splitting"):
            Wording.of_json(content)
