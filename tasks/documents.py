"""Documents: how a corpus of counts is read, which model fits it, what a training shows, and the scores of topic models."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.sparse import csr_array

from data import documents
from data.digests import short_sha256
from data.documents import DocumentCorpus, Documents, load_documents, shape_of
from data.errors import InputError
from data.order import full_batches, places
from data.text import PARTS
from data.vocabulary import digest
from data.wording import Wording
from metrics import catalogue
from metrics.likelihood import active_units, corpus_perplexity, document_perplexity, mutual_information
from metrics.linear_probe import linear_accuracy
from metrics.retrieval import nearest
from metrics.topics import (
    coherence_npmi,
    document_frequencies,
    fit_lda,
    fit_lsa,
    frequent_words,
    lda_document_nll,
    top_words,
    topic_diversity,
)
from reporting.tensorboard import Scalars, TopicSummary, open_writer
from tasks.base import Scorer, Task, computes
from tasks.configs import NVDMConfig
from text_vae.nvdm import NVDM
from training.config import with_epochs
from training.runs import Run

EVALUATION_BATCH = 500
DIVERSITY_WORDS = 25  # of each topic, as Dieng et al. 2020 count them
SCORED_COUNTS = 2**27  # of a part: about 1 GB, at 8 bytes for each word of each document
# Counts x [B, V] and a seed -> q(z | x) = N(mu, A A'): mu [B, topics], and A [B, topics, topics], which is triangular.
Posterior = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
SHOWN, NEAREST = 10, 5  # words, documents and topics that are listed, and how many neighbours each has


class DocumentScorer(Scorer[DocumentCorpus]):
    """The scores of an NVDM, on the documents of each part that `scored` chooses."""

    def __init__(self, task: Task[DocumentCorpus], run: Run, data: DocumentCorpus, model: NVDM):
        parts = {part: scored(getattr(data, part)) for part in PARTS}
        for part, own in parts.items():
            if (count := shape_of(own.counts)[0]) < (every := shape_of(getattr(data, part).counts)[0]):
                print(f"{part}: scored on {count:,} of {every:,} documents, a fixed random choice", file=sys.stderr)
        super().__init__(task, run, data._replace(**parts), model)

    def bounds(self, part: Documents, posterior: Posterior | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (nll, kl) of every document, float64 [D] each, in nats: means of the ELBO's terms over samples of z.

        Args:
            posterior: computes q(z | x); None: it is the inference network's, as in the paper.
        """
        posterior = posterior or self.one_pass
        found = []
        for i, x in enumerate(documents.evaluation_batches(part.counts, EVALUATION_BATCH)):
            seed: Any = tf.random.fold_in([self.config.seed, 2], i)
            z_seed, own_seed = tf.unstack(tf.random.split(seed, 2))
            mu, scale = posterior(x, own_seed)
            drawn = [self.model.bound(x, mu, scale, tf.random.fold_in(z_seed, s)) for s in range(self.config.samples)]
            found.append(np.mean([[nll.numpy(), kl.numpy()] for nll, kl in drawn], 0, np.float64))
        nll, kl = np.concatenate(found, 1)
        return nll, kl

    def one_pass(self, x: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the inference network's posterior of counts x [B, V]; arguments and result as for `Posterior`."""
        mu, log_variance = self.model.infer(x)
        return mu, tf.linalg.diag(tf.exp(0.5 * log_variance))

    @computes(catalogue.DOCUMENT_LIKELIHOOD)
    def likelihood(self) -> dict[str, Any]:
        """Measure the bounds of the test documents, in one pass and refined; and the validation part's perplexity.

        Of the gap between one pass and the full refinement, the diagonal one shows the part that is the network's.
        """
        validation, test = self.data.validation, self.data.test
        chosen_by = of_documents(validation, *self.bounds(validation))["perplexity_document"]
        nll, kl = self.bounds(test)
        scores = of_documents(test, nll, kl)
        for ending, full in (("_diagonal", False), ("_refined", True)):
            own = of_documents(test, *self.bounds(test, functools.partial(self.model.refine, full=full)))
            scores |= {name + ending: value for name, value in own.items()}
        scores |= self.latent(test) | {"mutual_information_documents": len(kl)}
        return scores | by_length(test, kl) | {"validation_perplexity_document": chosen_by}

    def curve(self) -> dict[str, float]:
        """Return the validation part's perplexity and what z holds there; nothing without `--curves`."""
        if not self.config.curves:
            return {}
        validation = self.data.validation
        return of_documents(validation, *self.bounds(validation)) | self.latent(validation)

    def latent(self, part: Documents) -> dict[str, float]:
        """Return I(x; z) over the whole part, and the active units of mu."""
        mu, log_variance = self.posteriors(part)
        return {"mutual_information": mutual_information(mu, log_variance), "active_units": active_units(mu)}

    @computes(catalogue.TOPIC_QUALITY)
    def topics(self) -> dict[str, Any]:
        """Measure NPMI and diversity of the topics; list them, and the nearest words and documents."""
        weights, words, counts = self.model.decoder.kernel.numpy(), self.data.words, self.data.train.counts
        return self.described(weights, "") | {
            "topics": top_words(weights, words, counts),
            "nearest_words": nearest_words(weights, words, counts),
            "nearest_documents": self.nearest_documents(),
        }

    def nearest_documents(self) -> dict[str, list[str]]:
        """Return a few test documents, each with the training documents of nearest mu, by number and frequent words."""
        known, test = self.data.train, self.data.test
        shown = places(shape_of(test.counts)[0], SHOWN)

        def names(part: Documents, chosen: np.ndarray) -> list[str]:
            words = frequent_words(part.counts[chosen], self.data.words)
            return [f"{i}: {' '.join(own)}" for i, own in zip(chosen, words, strict=True)]

        rows = nearest(self.vectors(test._replace(counts=test.counts[shown])), self.vectors(known), NEAREST)
        return dict(zip(names(test, shown), (names(known, row) for row in rows), strict=True))

    def described(self, weights: np.ndarray, suffix: str) -> dict[str, Any]:
        """Return NPMI, diversity and examples of topics of these word weights [K, V], with keys that end in `suffix`."""
        words, counts = self.data.words, self.data.train.counts
        top = [top_words(weights, words, counts, count) for count in (10, DIVERSITY_WORDS)]
        coherence = coherence_npmi(top[0], counts, words)
        order = np.argsort(np.negative(coherence), kind="stable")
        examples = order[np.linspace(0, len(order) - 1, min(len(order), SHOWN)).round().astype(int)]
        return {
            f"coherence_npmi{suffix}": float(np.mean(coherence)),
            f"topic_diversity{suffix}": topic_diversity(top[1]),
            f"example_topics{suffix}": [f"{coherence[k]:.2f}: {' '.join(top[0][k])}" for k in examples],
        }

    def posteriors(self, part: Documents) -> np.ndarray:
        """Return mu and log sigma^2 of every document, float32 [2, D, topics]."""
        batches = documents.evaluation_batches(part.counts, EVALUATION_BATCH)
        return np.concatenate([np.stack(self.model.infer(x)) for x in batches], 1)

    def vectors(self, part: Documents) -> np.ndarray:
        """Return mu of every document, float32 [D, topics]."""
        return self.posteriors(part)[0]

    @computes(catalogue.DOCUMENT_LINEAR)
    def linear(self) -> dict[str, Any]:
        """Probe mu: fit logistic regression on the training documents, score it on the test documents."""
        return {"linear_accuracy": self.probe(self.vectors)}

    def probe(self, vectors: Callable[[Documents], np.ndarray]) -> float:
        """Return the test accuracy of a linear classifier of documents' vectors [D, K]."""
        train, test = self.data.train, self.data.test
        assert train.labels is not None and test.labels is not None  # `Evaluation.needs_labels` sees to it
        return linear_accuracy(vectors(train), train.labels, vectors(test), test.labels)

    @computes(catalogue.DOCUMENT_CONTROLS)
    def controls(self) -> dict[str, Any]:
        """Score LDA and LSA with as many topics and the run's seed on the same documents."""
        topics, seed = self.config.topics, self.config.seed
        train, test = self.data.train, self.data.test
        lda = self.run.cached(fit_lda)(train.counts, topics, seed)
        lsa: Any = self.run.cached(fit_lsa)(train.counts, topics, seed)
        nll, words = lda_document_nll(lda, test.counts), test.counts.sum(1)
        scores = {
            "perplexity_document_lda": document_perplexity(nll, words),
            "perplexity_corpus_lda": corpus_perplexity(nll, words),
        }
        scores |= self.described(lda.components_, "_lda") | self.described(lsa[-1].components_, "_lsa")
        if self.run.facts["labels"]:
            scores["linear_accuracy_lda"] = self.probe(lambda part: lda.transform(part.counts))
            scores["linear_accuracy_lsa"] = self.probe(lambda part: lsa.transform(part.counts))
        return scores


class DocumentTask(Task[DocumentCorpus]):
    """The modes of documents."""

    scorer = DocumentScorer
    limits = "It counts words: their order, and words that are not in its vocabulary, are lost. Topics have no names."

    def load(self, config: NVDMConfig) -> DocumentCorpus:
        return load_documents(config.dataset, config.data_dir, config.vocabulary_size, config.cache_gb)

    def resolve(self, config: NVDMConfig, left_open: frozenset[str] = frozenset()) -> tuple[NVDMConfig, DocumentCorpus]:
        """Also raise InputError if there are more topics than words, or if the two sides would not have equal turns."""
        corpus = self.load(config)
        if len(corpus.words) < 2:
            only = " ".join(corpus.words)
            raise InputError(f"{config.dataset} has the word {only!r} alone: topics need more words: give other text")
        if config.topics > len(corpus.words):
            raise InputError(
                f"--topics {config.topics}: {config.dataset} has {len(corpus.words)} words: give fewer topics"
            )
        turn = 2 * config.alternate or 1  # epochs of one turn of both sides
        config = with_epochs(config, self.steps_per_epoch(config, corpus), turn=turn)
        assert config.epochs is not None
        if config.epochs % turn:
            raise InputError(
                f"--epochs {config.epochs}: one side would learn longer: give a multiple of {turn}, twice --alternate"
            )
        return config, corpus

    def facts(self, data: DocumentCorpus) -> dict[str, Any]:
        train = data.train.counts
        arrays = train.indptr, train.indices, train.data
        return data.facts | {
            "labels": data.train.labels is not None and len(np.unique(data.train.labels)) > 1,
            "vocabulary": len(data.words),
            "vocabulary_sha256": digest(data.words),
            "sha256": short_sha256(map(np.ascontiguousarray, arrays)),  # of the training counts
        }

    def wording(self, data: DocumentCorpus) -> Wording:
        return data.wording

    def steps_per_epoch(self, config: NVDMConfig, data: DocumentCorpus) -> int:
        return full_batches(shape_of(data.train.counts)[0], config.batch_size, "documents")

    def batches(self, config: NVDMConfig, data: DocumentCorpus, first_epoch: int) -> tf.data.Dataset:
        return documents.batches(data.train.counts, config.batch_size, config.seed, first_epoch)

    def data_arguments(self, config: NVDMConfig, facts: dict[str, Any]) -> dict[str, Any]:
        return {
            "words": facts["vocabulary"],
            "epochs": config.epochs,
            "steps_per_epoch": facts["train"]["documents"] // config.batch_size,
        }

    def initialize(self, model: NVDM, run: Run, data: DocumentCorpus) -> None:
        """Set the decoder's bias to the log frequencies of the training documents' words, one added to each count.

        z then learns from the first step what makes a document differ. The paper does not say how the bias begins; both
        recipes begin it so.
        """
        counts = np.asarray(data.train.counts.sum(0), np.float64).ravel() + 1
        bias: Any = model.decoder.bias
        bias.assign(np.log(counts / counts.sum()))

    def callbacks(self, run: Run, data: DocumentCorpus) -> list[keras.callbacks.Callback]:
        writer = open_writer(run)
        return [Scalars(run, writer), TopicSummary(run, writer, data)]


def scored(part: Documents) -> Documents:
    """Return the documents of a part that scores are computed on: all, or, if they are too large, as many as fit.

    LDA and LSA copy the counts into memory. The choice is random but fixed, and does not depend on the memory of the
    machine. So a score stays the same wherever the counts lie.
    """
    count, held = shape_of(part.counts)[0], part.counts.nnz
    if held <= SCORED_COUNTS:
        return part
    chosen = places(count, count * SCORED_COUNTS // held)
    return part._replace(counts=part.counts[chosen], labels=None if part.labels is None else part.labels[chosen])


def of_documents(part: Documents, nll: np.ndarray, kl: np.ndarray) -> dict[str, float]:
    """Return both perplexities of a part, its bound and its KL, from the nll and kl [D] of its documents, in nats."""
    words = part.counts.sum(1)
    return {
        "perplexity_document": document_perplexity(nll + kl, words),
        "perplexity_corpus": corpus_perplexity(nll + kl, words),
        "elbo_nll": float(np.mean(nll + kl)),
        "kl": float(np.mean(kl)),
    }


def by_length(part: Documents, kl: np.ndarray) -> dict[str, float]:
    """Return the mean words and mean KL of the quarter of a part with the fewest words, and with the most; kl [D]."""
    words = np.ravel(part.counts.sum(1))
    order, count = np.argsort(words, kind="stable"), max(1, len(words) // 4)
    ends = {"shortest": order[:count], "longest": order[-count:]}
    values = {"words": words, "kl": kl}
    return {f"{name}_{end}": float(np.mean(values[name][own])) for end, own in ends.items() for name in values}


def nearest_words(weights: np.ndarray, words: tuple[str, ...], counts: csr_array) -> dict[str, list[str]]:
    """Return the words of most training documents, each with the words whose columns of R [K, V] are nearest."""
    shown = np.argsort(-document_frequencies(counts), kind="stable")[:SHOWN]
    rows = nearest(weights.T[shown], weights.T, NEAREST + 1)  # itself among them
    near = {own: [other for other in row if other != own][:NEAREST] for own, row in zip(shown, rows, strict=True)}
    return {words[own]: [words[other] for other in others] for own, others in near.items()}
