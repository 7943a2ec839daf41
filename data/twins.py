"""Near duplicates among documents. A development part must not share them with the training part: it would reward
learning documents by heart.

Posts quote and repeat each other. Two documents are twins if the cosine of their vectors is at least TWIN. The vector of a
document has (1 + log count) times the inverse document frequency for each word that at most a share COMMON of the
documents have. Commoner words hardly tell documents apart, and would take most of the time.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

TWIN = 0.6  # lowest cosine of two twins; of the training documents of 20 Newsgroups, a third have one
COMMON = 0.1
ROWS = 500  # documents that are compared with all others at a time


def clusters(counts: csr_array) -> np.ndarray:
    """Return the cluster of each document, int64 [D]: twins are in one cluster, and so are twins of twins.

    The time grows with the square of D: about two seconds for 11,000 documents.

    Args:
        counts: float32 [D, V].
    """
    vectors = vectors_of(counts, counts)
    rows, columns = (np.concatenate(part) for part in zip(*_pairs(vectors, vectors), strict=True))
    size = len(vectors.indptr) - 1
    joined = csr_array((np.ones(len(rows), bool), (rows, columns)), shape=(size, size))
    return connected_components(joined, directed=False)[1].astype(np.int64)


def with_twin(vectors: csr_array, known: csr_array) -> int:
    """Return how many documents have a twin among known ones; the vectors of both are [D, V] and [E, V]."""
    return sum(len(np.unique(rows)) for rows, _ in _pairs(vectors, known))


def cut_clusters(found: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places, int64, of the documents in a part of at least `size`, made of whole clusters, and of the rest.

    Clusters are drawn in an order that depends on the seed alone.

    Args:
        found: the cluster of each document, int64 [D].
    """
    order = np.random.default_rng(seed).permutation(found.max() + 1)
    count = np.searchsorted(np.cumsum(np.bincount(found)[order]), size) + 1
    chosen = np.isin(found, order[:count])
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def vectors_of(counts: csr_array, fitted_on: csr_array) -> csr_array:
    """Return the vectors of documents, [D, V] of length 1 or 0, with the frequencies of the words among others [E, V]."""
    from sklearn.feature_extraction.text import TfidfTransformer

    size, words = fitted_on.shape  # pyright: ignore[reportGeneralTypeIssues]  # SciPy has no stubs
    rare = np.bincount(fitted_on.indices, minlength=words) <= COMMON * size
    return csr_array(TfidfTransformer(sublinear_tf=True).fit(fitted_on[:, rare]).transform(counts[:, rare]))


def _pairs(vectors: csr_array, others: csr_array) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give the places of twins, ROWS documents at a time: in `vectors`, and in `others`."""
    turned = others.T.tocsr()
    for start in range(0, len(vectors.indptr) - 1, ROWS):
        near = (vectors[start : start + ROWS] @ turned).tocoo()
        kept = near.data >= TWIN
        yield near.row[kept] + start, near.col[kept]
