import numpy as np
import pytest
import tensorflow_probability as tfp
from scipy.integrate import quad
from scipy.sparse import csr_array, csr_matrix
from scipy.stats import beta as beta_distribution
from sklearn.decomposition import LatentDirichletAllocation

from metrics.likelihood import document_perplexity
from metrics.topics import (
    coherence_npmi,
    fit_lda,
    fit_lsa,
    frequent_words,
    lda_document_nll,
    top_words,
    topic_diversity,
)

WORDS = ["sun", "moon", "tax", "law", "the"]
# the documents contain: sun and moon; sun and moon; sun; tax and law; law; only "the"
COUNTS = csr_matrix(
    [[3, 1, 0, 0, 1], [1, 1, 0, 0, 0], [2, 0, 0, 0, 5], [0, 0, 1, 4, 1], [0, 0, 0, 2, 0], [0, 0, 0, 0, 1]]
)


@pytest.fixture(scope="module")
def documents():
    """300 documents of about 40 words each: the first half uses words 0 to 4, the second half words 5 to 9."""
    random = np.random.default_rng(0)
    topics = np.repeat(np.eye(2), 5, axis=1) / 5
    return csr_array([random.multinomial(random.integers(30, 50), topics[d // 150]) for d in range(300)])


def npmi(together, one, other, documents=6):
    p = together / documents + 1e-12
    return np.log(p / (one / documents * other / documents)) / -np.log(p)


def test_coherence_against_npmi_by_hand():
    topics = [["sun", "moon", "the"], ["law", "tax"], ["tax", "sun"]]
    first = np.mean([npmi(2, 3, 2), npmi(2, 3, 4), npmi(1, 2, 4)])
    assert npmi(2, 3, 2) == pytest.approx(np.log(2) / np.log(3))
    expected = [first, npmi(1, 2, 1), npmi(0, 1, 3)]
    assert coherence_npmi(topics, COUNTS, WORDS) == pytest.approx(expected, rel=1e-9)
    assert expected[1] > 0 > expected[2] > -1


def test_coherence_depends_neither_on_counts_nor_order_nor_matrix_type():
    coherence = coherence_npmi([["sun", "moon", "the"]], COUNTS, WORDS)
    for counts in (COUNTS > 0, COUNTS * 7, csr_array(COUNTS), COUNTS[[3, 1, 0, 5, 2, 4]]):
        assert coherence_npmi([["the", "sun", "moon"]], csr_matrix(counts, dtype=float), WORDS) == pytest.approx(
            coherence
        )
    assert coherence_npmi([["sun", "moon", "the"]], csr_array(COUNTS), WORDS) == coherence


def test_coherence_refuses_words_without_documents():
    with pytest.raises(ValueError, match="moon"):
        coherence_npmi([["sun", "moon"]], COUNTS[2:], WORDS)
    with pytest.raises(KeyError):
        coherence_npmi([["sun", "star"]], COUNTS, WORDS)


def test_topic_diversity():
    assert topic_diversity([["a", "b", "c"], ["a", "d", "e"]]) == 5 / 6
    assert topic_diversity([["a", "b"], ["c", "d"]]) == 1
    assert topic_diversity([["a", "b"]] * 4) == 1 / 4


def test_top_words_are_the_heaviest_and_ties_go_to_the_earlier_word():
    weights = np.array([[0.1, 0.4, 0.0, 0.4, 0.2], [-3.0, -9.0, -1.0, -2.0, -1.0]])
    assert top_words(weights, WORDS, COUNTS, count=3) == [["moon", "law", "the"], ["tax", "the", "law"]]
    without_moon = csr_array(COUNTS.toarray() * (np.array(WORDS) != "moon"))
    assert top_words(weights, WORDS, without_moon, count=2) == [
        ["law", "the"],
        ["tax", "the"],
    ]  # nothing was learned about moon


def test_frequent_words_are_words_of_the_document():
    counts = csr_array(np.array([[0, 2, 0, 5, 2], [0, 0, 0, 0, 1]], np.float32))
    assert frequent_words(counts, WORDS, 2) == [[WORDS[3], WORDS[1]], [WORDS[4]]]


def test_lda_and_lsa_find_the_two_topics(documents):
    words = list("abcdefghij")
    lda, lsa = fit_lda(documents, 2), fit_lsa(documents, 2)
    topics = top_words(lda.components_, words, documents, 5)
    assert sorted(set(topic) == set("abcde") for topic in topics) == [False, True]
    assert topic_diversity(topics) == 1
    assert lda.transform(documents).shape == lsa.transform(documents).shape == (300, 2)
    vectors = lsa.transform(documents)
    cosines = vectors @ vectors.T / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors, axis=1)[:, None]
    assert cosines[:150, :150].min() > 0.9 > 0.1 > np.abs(cosines[:150, 150:]).max()


def test_lda_of_one_topic_is_the_unigram_model(documents):
    lda = fit_lda(documents, 1)
    beta = lda.components_[0] / lda.components_.sum()
    np.testing.assert_allclose(lda_document_nll(lda, documents), -documents @ np.log(beta), rtol=1e-9)


def test_lda_document_nll_is_a_close_upper_bound_of_the_exact_nll():
    lda = LatentDirichletAllocation(2, doc_topic_prior=0.7, random_state=0).fit(COUNTS)
    beta = lda.components_ / lda.components_.sum(axis=1, keepdims=True)
    counts = COUNTS.toarray()

    def exact(n):
        def likelihood(t):
            return np.prod((t * beta[0] + (1 - t) * beta[1]) ** n) * beta_distribution.pdf(t, 0.7, 0.7)

        return -np.log(quad(likelihood, 0, 1)[0])

    gap = lda_document_nll(lda, COUNTS) - [exact(n) for n in counts]
    assert np.all(gap > 0) and np.all(gap < 0.5)


def test_lda_document_nll_against_tfp():
    lda = LatentDirichletAllocation(3, doc_topic_prior=0.2, random_state=1).fit(COUNTS)
    gamma = lda.transform(COUNTS.astype(float), normalize=False)
    tfd = tfp.distributions
    kl = tfd.kl_divergence(tfd.Dirichlet(gamma), tfd.Dirichlet(np.full(3, 0.2)))
    log_theta = np.array([[np.log(tfd.Dirichlet(gamma[d]).sample(40000, seed=d)).mean(0)] for d in range(6)])[:, 0]
    beta = lda.components_ / lda.components_.sum(axis=1, keepdims=True)
    expected = kl - np.sum(COUNTS.toarray() * np.log(np.exp(log_theta) @ beta), axis=1)
    np.testing.assert_allclose(lda_document_nll(lda, COUNTS), expected, atol=0.05)


def test_lda_perplexity_is_near_the_number_of_words_per_topic(documents):
    nll = lda_document_nll(fit_lda(documents[::2], 2), documents[1::2])
    assert 5 < document_perplexity(nll, documents[1::2].sum(axis=1)) < 6  # each topic has five equally likely words
