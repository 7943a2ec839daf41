import numpy as np
from scipy.sparse import csr_array

from data.twins import TWIN, clusters, cut_clusters, vectors_of, with_twin


def corpus():
    """40 documents of ten words each out of 400; document 1 is 0 with a word more, 2 is 1 with another more."""
    random = np.random.default_rng(0)
    counts = np.zeros([40, 400], np.float32)
    for row in counts:
        row[random.permutation(400)[:10]] = random.integers(1, 4, 10)
    counts[1], counts[2] = counts[0], counts[0]
    counts[1, 390], counts[2, 391] = 1, 1
    return csr_array(counts)


def test_twins_and_twins_of_twins_are_in_one_cluster_and_nobody_else():
    found = clusters(corpus())
    assert found.shape == (40,) and found.dtype == np.int64
    assert found[0] == found[1] == found[2]
    assert len(np.unique(found)) == 38


def test_the_cosine_is_that_of_tf_idf_without_common_words():
    counts = corpus().toarray()
    counts[:, 5] = 1  # every document has this word
    vectors = vectors_of(csr_array(counts), csr_array(counts)).toarray()
    rare = (counts > 0).sum(0) <= 4
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0)[:, rare]
    weights = weights * (np.log(41 / (1 + (counts > 0).sum(0)[rare])) + 1)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors @ vectors.T, weights @ weights.T, rtol=1e-4, atol=1e-6)
    assert TWIN < (vectors @ vectors.T)[0, 1] < 1


def test_documents_with_a_twin_are_counted_once():
    vectors = vectors_of(corpus(), corpus())
    assert with_twin(vectors[:1], vectors[1:]) == 1  # it has two
    assert with_twin(vectors[3:], vectors[:3]) == 0


def test_a_part_has_whole_clusters():
    found = np.array([0, 0, 0, 0, 1, 2, 2, 3, 4, 5])
    for seed in range(20):
        chosen, rest = cut_clusters(found, 3, seed)
        assert sorted([*chosen, *rest]) == list(range(10))
        assert not set(found[chosen]) & set(found[rest])
        last = max(np.bincount(found)[found[chosen]])
        assert 3 <= len(chosen) < 3 + last
    assert any(0 in cut_clusters(found, 3, seed)[0] for seed in range(20))
    np.testing.assert_array_equal(cut_clusters(found, 3, 7)[0], cut_clusters(found, 3, 7)[0])
