"""The quality of topics: whether their words belong together, and how few they share. LDA and LSA are controls.

Documents are counts, a scipy.sparse CSR matrix [D, V] over a vocabulary `words`, a list of V words. A topic is the list
of its top words, from `top_words`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
from gensim.matutils import Sparse2Corpus
from gensim.topic_coherence.direct_confirmation_measure import log_ratio_measure
from gensim.topic_coherence.probability_estimation import p_boolean_document
from gensim.topic_coherence.segmentation import s_one_pre
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, csr_matrix
from scipy.special import digamma, gammaln
from sklearn.decomposition import LatentDirichletAllocation, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import Pipeline, make_pipeline

Counts = csr_array | csr_matrix

SLICE = 2**20  # counts that are read at a time where all are passed over


def document_frequencies(counts: Counts) -> np.ndarray:
    """Return in how many of the documents `counts` [D, V] each word is, int64 [V]."""
    _, width = cast(tuple[int, int], counts.shape)  # SciPy has no stubs, and pyright infers None
    frequencies: np.ndarray = np.zeros(width, np.int64)
    for start in range(0, counts.nnz, SLICE):  # a copy of all columns may not fit into memory
        frequencies += np.bincount(counts.indices[start : start + SLICE], minlength=width)
    return frequencies


def top_words(weights: ArrayLike, words: Sequence[str], counts: Counts, count: int = 10) -> list[list[str]]:
    """Return the `count` heaviest words of each row of `weights` [K, V], heaviest first; ties go to the earlier word.

    Words that occur in none of the documents `counts` [D, V] are skipped, since nothing was learned about them.

    Args:
        weights: log probabilities, probabilities or loadings. Loadings have signs; the positive end is taken.
    """
    seen = np.flatnonzero(document_frequencies(counts))
    heaviest = np.argsort(-np.asarray(weights)[:, seen], axis=1, kind="stable")[:, :count]
    columns: list[list[int]] = seen[heaviest].tolist()
    return [[words[column] for column in row] for row in columns]


def coherence_npmi(topics: Sequence[Sequence[str]], counts: Counts, words: Sequence[str]) -> list[float]:
    """Return the mean NPMI over the pairs of top words of each topic, K floats in [-1, 1]; higher is more coherent.

    NPMI(u, v) = log(p(u, v) / (p(u) p(v))) / -log p(u, v), where p is the share of reference documents that hold the
    word, or both words (Bouma 2009). Each pair counts once. Compare only scores with the same reference documents and
    the same number of top words.

    The computation is gensim's, which adds an epsilon of 1e-12 to p(u, v) (Röder et al. 2015). Two words that never
    meet therefore score log(1e-12 / (p(u) p(v))) / 27.6 instead of the limit -1. For words in one document of a hundred
    each, that is -0.67. Two words that are in every document score -1. gensim's "c_npmi" is the same score over sliding
    windows of ten words, which bags of words do not have.

    Args:
        topics: K lists of at least two words each.
        counts: reference documents [D, V], such as the training set; they must contain every top word.
        words: the V words of the columns.

    Raises:
        KeyError: a top word is not among `words`.
        ValueError: a top word is in no reference document, so that its p is 0.
    """
    column = {word: index for index, word in enumerate(words)}
    columns = [[column[word] for word in topic] for topic in topics]
    frequency = document_frequencies(counts)
    absent = sorted({words[index] for topic in columns for index in topic if not frequency[index]})
    if absent:
        raise ValueError(f"no reference document has the top words {absent}")
    pairs = s_one_pre(columns)
    documents = p_boolean_document(Sparse2Corpus(counts, documents_columns=False), pairs)
    return [float(coherence) for coherence in log_ratio_measure(pairs, documents, normalize=True)]


def frequent_words(counts: Counts, words: Sequence[str], count: int = 5) -> list[list[str]]:
    """Return the most frequent words of each document [D, V], at most `count`; ties keep the vocabulary's order."""
    ends = pairwise(counts.indptr)
    rows = [(counts.indices[start:end], counts.data[start:end]) for start, end in ends]
    columns: list[list[int]] = [own[np.lexsort((own, np.negative(times)))][:count].tolist() for own, times in rows]
    return [[words[column] for column in row] for row in columns]


def topic_diversity(topics: Sequence[Sequence[str]]) -> float:
    """Return the share of distinct words among the top words of all topics, in (0, 1] (Dieng et al. 2020).

    It is 1 if no word is in two topics. The paper takes 25 words per topic. More words or more topics lower the score,
    so state both numbers with it.
    """
    top = [word for topic in topics for word in topic]
    return len(set(top)) / len(top)


def fit_lda(
    counts: Counts, topics: int, seed: int = 0, passes: int = 50, prior: float = 0.05
) -> LatentDirichletAllocation:
    """Fit latent Dirichlet allocation to training counts [D, V] by variational Bayes (Blei et al. 2003).

    Args:
        passes: over the documents. scikit-learn's default of 10 stops early.
        prior: of topics in a document, and of words in a topic. On validation documents of 20 Newsgroups the default is
            near the best for 50 and for 200 topics; scikit-learn's 1 / topics is far from the best for 200.

    Returns:
        scikit-learn's model. `components_` [K, V] are weights for `top_words`; `transform(counts)` returns topic
        proportions [D, K].
    """
    lda = LatentDirichletAllocation(
        topics,
        doc_topic_prior=prior,
        topic_word_prior=prior,
        learning_method="batch",
        max_iter=passes,
        random_state=seed,
    )
    return lda.fit(counts)


def lda_document_nll(lda: LatentDirichletAllocation, counts: Counts) -> np.ndarray:
    """Return a variational bound on -log p(d) of documents [D, V] under `fit_lda`'s model, in nats, [D].

    -sum_w n_w log sum_k exp(E[log theta_k]) beta_kw + KL(Dir(gamma_d) || Dir(alpha)), to be minimised. It is a bound
    for any gamma_d.

    It is compared with NVDM's -ELBO, in `document_perplexity` and in `corpus_perplexity`:
    - Both bounds cover all words of a document. Inference sees every word, no word is held out, and the multinomial
      coefficient is left out.
    - Both take the trained topics as a point estimate: here their mean, beta. scikit-learn's own `perplexity` is
      another score. It also adds the divergence of the topics from their prior to the documents' nll, and averages over
      words only.
    - Both must be given the same vocabulary and the same documents, without documents that have no words.

    Two differences remain. LDA optimises gamma_d for each test document, while NVDM's encoder computes its posterior in
    one pass. This favours LDA (NVDM's bound with a refined posterior is optimised in the same way). And it is not known
    how far either bound lies from -log p(d).
    """
    floats = counts.astype(np.float64)
    length = np.asarray(floats.sum(axis=1)).reshape(-1, 1)
    alpha = np.full(lda.n_components, lda.doc_topic_prior_)
    # `transform` divides gamma by its sum, which is the sum of alpha plus the number of words
    gamma = lda.transform(floats) * (alpha.sum() + length)
    log_theta = digamma(gamma) - digamma(gamma.sum(axis=1, keepdims=True))
    beta = lda.components_ / lda.components_.sum(axis=1, keepdims=True)
    log_likelihood = [
        floats.data[start:end] @ np.log(np.exp(log_theta[d]) @ beta[:, counts.indices[start:end]])
        for d, (start, end) in enumerate(pairwise(counts.indptr))
    ]
    kl = _log_beta(alpha) - _log_beta(gamma) + np.sum((gamma - alpha) * log_theta, axis=1)
    return kl - np.array(log_likelihood)


def _log_beta(concentration: np.ndarray) -> np.ndarray:
    """Return the logarithm of the Dirichlet's normaliser, over the last axis."""
    return gammaln(concentration).sum(axis=-1) - gammaln(concentration.sum(axis=-1))


def fit_lsa(counts: Counts, topics: int, seed: int = 0) -> Pipeline:
    """Fit latent semantic analysis: the truncated SVD of tf-idf weighted training counts [D, V].

    Deerwester et al. 1990. LSA assigns no probabilities, so it has no perplexity.

    Returns:
        A scikit-learn pipeline. `transform(counts)` returns document vectors [D, K]; `[-1].components_` [K, V] are
        weights for `top_words`.
    """
    return make_pipeline(TfidfTransformer(), TruncatedSVD(topics, random_state=seed)).fit(counts)
