"""How good topics are: whether their words belong together, how few they share; and LDA and LSA as controls.

Documents are counts, a scipy.sparse CSR matrix [D, V] over a vocabulary `words`, a list of V words. A topic is the list
of its top words, from `top_words`.
"""

from itertools import pairwise

import numpy as np
from gensim.matutils import Sparse2Corpus
from gensim.topic_coherence.direct_confirmation_measure import log_ratio_measure
from gensim.topic_coherence.probability_estimation import p_boolean_document
from gensim.topic_coherence.segmentation import s_one_pre
from scipy.special import digamma, gammaln
from sklearn.decomposition import LatentDirichletAllocation, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import make_pipeline


def top_words(weights, words, counts, count=10):
    """For each row of weights [K, V] its `count` heaviest words, heaviest first; of equal ones the earlier word.

    Weights are log probabilities, probabilities or loadings; of loadings, which have signs, the positive end is taken.
    Words that none of the documents `counts` [D, V] has are passed over: of them nothing was learned.
    """
    seen = np.unique(counts.indices)
    heaviest = np.argsort(-np.asarray(weights)[:, seen], axis=1, kind="stable")[:, :count]
    return [[words[index] for index in row] for row in seen[heaviest]]


def coherence_npmi(topics, counts, words):
    """Mean NPMI of the pairs of top words of each topic, a list of K floats in [-1, 1]; higher is more coherent.

    NPMI(u, v) = log(p(u, v) / (p(u) p(v))) / -log p(u, v), p the share of reference documents that hold the word, or
    both (Bouma 2009); each pair counts once. The parts are gensim's, with its epsilon of 1e-12 added to p(u, v) (Röder et
    al. 2015): two words that never meet score log(1e-12 / (p(u) p(v))) / 27.6, which is -0.67 for words in one document
    of a hundred and not the limit -1, and two that are in every document score -1. gensim's "c_npmi" is the same over
    sliding windows of ten words, which bags of words do not have. Figures compare only where the reference documents and
    the number of top words are the same.

    Args:
        topics: K lists of at least two words each.
        counts: reference documents [D, V], such as the training set; each top word is in one of them.
        words: the V words of the columns.

    Raises:
        KeyError: a top word is not among `words`.
        ValueError: a top word is in no reference document, so that its p is 0.
    """
    column = {word: index for index, word in enumerate(words)}
    topics = [[column[word] for word in topic] for topic in topics]
    frequency = np.bincount(counts.indices, minlength=len(words))
    absent = sorted({words[index] for topic in topics for index in topic if not frequency[index]})
    if absent:
        raise ValueError(f"no reference document has the top words {absent}")
    pairs = s_one_pre(topics)
    documents = p_boolean_document(Sparse2Corpus(counts, documents_columns=False), pairs)
    return [float(coherence) for coherence in log_ratio_measure(pairs, documents, normalize=True)]


def frequent_words(counts, words, count=5):
    """The most frequent words of each document [D, V], at most `count`, ties in the vocabulary's order."""
    ends = pairwise(counts.indptr)
    rows = [(counts.indices[start:end], counts.data[start:end]) for start, end in ends]
    return [[words[i] for i in own[np.lexsort((own, -times))][:count]] for own, times in rows]


def topic_diversity(topics):
    """Share of distinct words among the top words of all topics, in (0, 1]; 1 if none is in two (Dieng et al. 2020).

    They take 25 words a topic; more words or more topics lower it, so both are named with it.
    """
    top = [word for topic in topics for word in topic]
    return len(set(top)) / len(top)


def fit_lda(counts, topics, seed=0, passes=50, prior=0.05):
    """Latent Dirichlet allocation fitted to training counts [D, V] by variational Bayes (Blei et al. 2003).

    `passes` over the documents; scikit-learn's 10 stop early. `prior`: of topics in a document and of words in a topic,
    near the best for 50 and for 200 topics on validation documents of 20 Newsgroups; scikit-learn's 1 / topics is far
    from it for 200.

    Returns scikit-learn's model: `components_` [K, V] for `top_words`, `transform(counts)` for topic proportions [D, K].
    """
    priors = {"doc_topic_prior": prior, "topic_word_prior": prior}
    lda = LatentDirichletAllocation(topics, **priors, learning_method="batch", max_iter=passes, random_state=seed)
    return lda.fit(counts)


def lda_document_nll(lda, counts):
    """The variational bound on -log p(d) of documents [D, V] under `fit_lda`'s model, in nats, [D]; to be minimised.

    -sum_w n_w log sum_k exp(E[log theta_k]) beta_kw + KL(Dir(gamma_d) || Dir(alpha)), a bound for any gamma_d.

    It stands beside NVDM's -ELBO, in `document_perplexity` and `corpus_perplexity` alike, since both
    - cover all words of a document, each seen by its inference, none held out, without the multinomial coefficient;
    - take topics as trained, a point: here their mean, beta. scikit-learn's own `perplexity` charges the topics'
      divergence from their prior to the documents too, and averages over words alone: another figure;
    - want the same vocabulary and the same documents, those without a word left out.
    Not alike: LDA optimises gamma_d for each test document where NVDM's encoder answers in one pass, which favours LDA
    (NVDM's bound with a refined posterior does the same), and how far either bound lies from log p(d) is not known.
    """
    counts = counts.astype(np.float64)
    length = np.asarray(counts.sum(axis=1)).reshape(-1, 1)
    alpha = np.full(lda.n_components, lda.doc_topic_prior_)
    gamma = lda.transform(counts) * (alpha.sum() + length)  # `transform` divided by the sum: alpha and each word once
    log_theta = digamma(gamma) - digamma(gamma.sum(axis=1, keepdims=True))
    beta = lda.components_ / lda.components_.sum(axis=1, keepdims=True)
    log_likelihood = [
        counts.data[start:end] @ np.log(np.exp(log_theta[d]) @ beta[:, counts.indices[start:end]])
        for d, (start, end) in enumerate(pairwise(counts.indptr))
    ]
    kl = _log_beta(alpha) - _log_beta(gamma) + np.sum((gamma - alpha) * log_theta, axis=1)
    return kl - np.array(log_likelihood)


def _log_beta(concentration):
    """Logarithm of the Dirichlet's normaliser, over the last axis."""
    return gammaln(concentration).sum(axis=-1) - gammaln(concentration.sum(axis=-1))


def fit_lsa(counts, topics, seed=0):
    """Latent semantic analysis: the truncated SVD of tf-idf weighted training counts [D, V] (Deerwester et al. 1990).

    Returns a scikit-learn pipeline: `transform(counts)` for document vectors [D, K], `[-1].components_` [K, V] for
    `top_words`. It is no model of probabilities and has no perplexity.
    """
    return make_pipeline(TfidfTransformer(), TruncatedSVD(topics, random_state=seed)).fit(counts)
