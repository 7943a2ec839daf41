import numpy as np
import pytest

from metrics import generation
from metrics.generation import corpus_bleu_against, distinct_n, repeated_ngrams, self_bleu


def texts(*lines):
    return [line.split() for line in lines]


@pytest.fixture
def random_texts():
    random = np.random.default_rng(0)
    return [[str(word) for word in random.integers(0, 30, 12)] for _ in range(20)]


def test_distinct_n_by_hand():
    sample = texts("a b a b", "a b c")  # 2-grams ab ba ab ab bc: 3 of 5 are distinct
    assert distinct_n(sample, 1) == 3 / 7
    assert distinct_n(sample, 2) == 3 / 5
    assert distinct_n(sample, 4) == 1
    assert distinct_n(sample, 5) == distinct_n([], 1) == 0


def test_bigrams_do_not_cross_texts():
    assert distinct_n(texts("a b", "b a", "a b"), 2) == 2 / 3


def test_self_bleu_by_hand():
    # in either text 3 of 4 1-grams and 2 of 3 2-grams match
    assert self_bleu(texts("a b c d", "a b c e"), 2) == pytest.approx(np.sqrt(3 / 4 * 2 / 3))
    # in either text 2 of 3 1-grams and 1 of 2 2-grams match; the only 3-gram does not, so it counts 0.1 of 1
    assert self_bleu(texts("a b x", "a b y"), 3) == pytest.approx((2 / 3 * 1 / 2 * 0.1) ** (1 / 3))


def test_self_bleu_at_its_extremes():
    assert self_bleu(texts(*["a b c d e"] * 4), 4) == pytest.approx(1)
    assert self_bleu(texts("a b c d", "e f g h", "i j k l"), 4) == 0
    with pytest.raises(ValueError):
        self_bleu(texts("a b c"), 4)


def test_self_bleu_with_a_limit_on_references(random_texts, monkeypatch):
    every = self_bleu(random_texts, 2)
    monkeypatch.setattr(generation, "REFERENCES", 19)
    assert self_bleu(random_texts, 2) == every
    monkeypatch.setattr(generation, "REFERENCES", 5)
    assert 0 < self_bleu(random_texts, 2) < every
    assert self_bleu(random_texts, 2) == self_bleu(random_texts, 2)


def test_a_text_is_never_its_own_reference(monkeypatch):
    monkeypatch.setattr(generation, "REFERENCES", 2)
    assert self_bleu(texts("a b", "c d", "e f", "g h"), 2) == 0


def test_corpus_bleu_against_by_hand():
    # Matches over n-grams, for orders 1 to 4: (4 + 1) / (5 + 2), 3 / (4 + 1), 2 / (3 + 1), 1 / (2 + 1).
    # If a text is too short for an order, NLTK counts one n-gram without a match.
    generated = texts("a b c d z", "e y")
    expected = (5 / 7 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25  # references have 5 and 2 words, so there is no brevity penalty
    assert corpus_bleu_against(generated, texts("a b c d e", "f e")) == pytest.approx(expected)


def test_corpus_bleu_of_a_perfect_match_of_a_short_text_and_of_nothing():
    reference = texts("a b c d e f g h")
    assert corpus_bleu_against(reference, reference) == 1
    assert corpus_bleu_against(texts("a b c d"), reference) == pytest.approx(np.exp(1 - 8 / 4))
    with pytest.raises(ValueError):
        corpus_bleu_against(reference, [])
    with pytest.raises(ValueError):
        corpus_bleu_against([], reference)


def test_corpus_bleu_with_a_limit_on_references(random_texts, monkeypatch):
    every = corpus_bleu_against(random_texts[:5], random_texts[5:])
    monkeypatch.setattr(generation, "REFERENCES", 3)
    assert 0 < corpus_bleu_against(random_texts[:5], random_texts[5:]) < every


def test_repeated_ngrams_by_hand():
    paragraph = texts("good food good food", "the good food", "the end")
    # distinct 1-grams: good, food, the, end; in two sentences: good, food, the
    assert repeated_ngrams(paragraph, 1) == 3 / 4
    # distinct 2-grams: good food, food good, the good, the end; in two sentences: good food
    assert repeated_ngrams(paragraph, 2) == 1 / 4
    assert repeated_ngrams(texts("so so good", "fine"), 1) == 0
    assert repeated_ngrams(paragraph, 5) == repeated_ngrams([], 1) == 0
    assert repeated_ngrams(texts("a b c") * 3, 3) == 1
