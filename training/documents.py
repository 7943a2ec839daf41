"""The mode nvdm: its documents, its model and its scores, from a config."""

import hashlib

import keras
import numpy as np
import tensorflow as tf

from data import documents
from data.documents import DocumentCorpus, Documents, load_documents
from data.errors import InputError
from data.order import full_batches, places
from data.vocabulary import digest
from losses.variational import linear_weight
from metrics.likelihood import active_units, corpus_perplexity, document_perplexity, mutual_information
from metrics.linear_probe import linear_accuracy
from metrics.retrieval import nearest
from metrics.topics import (
    coherence_npmi,
    fit_lda,
    fit_lsa,
    frequent_words,
    lda_document_nll,
    top_words,
    topic_diversity,
)
from text_vae.nvdm import NVDM
from training.config import with_epochs
from training.runs import Run
from training.scores import ModelScores
from training.tensorboard import document_callbacks

EVALUATION_BATCH = 500
REFINEMENT, REFINEMENT_RATE = 100, 0.1  # steps of Adam on a test document's own posterior, and their first rate
DIVERSITY_WORDS = 25  # of each topic, as Dieng et al. 2020 count them
SHOWN, NEAREST = 10, 5  # words and documents that are shown, and what is shown beside each


def load(config) -> DocumentCorpus:
    """The corpus of a resolved config. Raises InputError where it cannot be had."""
    return load_documents(config.dataset, config.data_dir, config.vocabulary_size)


def prepare(config) -> tuple[object, DocumentCorpus]:
    """Loads the corpus; returns the config with the number of epochs decided.

    Raises InputError for a corpus that cannot be had, has not one batch, or has fewer words than there are to be topics,
    and where decoder and inference network would not have equally many turns.
    """
    corpus = load(config)
    if len(corpus.words) < 2:
        raise InputError(f"{config.dataset} has one word, {corpus.words[0]!r}: topics need more: give other text")
    if config.topics > len(corpus.words):
        raise InputError(f"--topics {config.topics}: {config.dataset} has {len(corpus.words)} words: give fewer topics")
    turn = 2 * config.alternate or 1  # both sides' epochs
    config = with_epochs(config, steps_per_epoch(config, corpus), turn=turn)
    if config.epochs % turn:
        raise InputError(
            f"--epochs {config.epochs}: one side would learn longer; give a multiple of {turn}, twice --alternate"
        )
    return config, corpus


def facts(corpus: DocumentCorpus) -> dict:
    """What a run records of its corpus, and a model must know of it."""
    train = corpus.train.counts
    content = b"".join(np.ascontiguousarray(part).tobytes() for part in (train.indptr, train.indices, train.data))
    return corpus.facts | {
        "labels": corpus.train.labels is not None and len(np.unique(corpus.train.labels)) > 1,
        "vocabulary": len(corpus.words),
        "vocabulary_sha256": digest(corpus.words),
        "sha256": hashlib.sha256(content).hexdigest()[:16],  # of the training counts
    }


def steps_per_epoch(config, corpus: DocumentCorpus) -> int:
    """Training steps of one pass over the training documents; the remainder of a pass is dropped."""
    return full_batches(corpus.train.counts.shape[0], config.batch_size, "documents")


def batches(config, corpus: DocumentCorpus, first_epoch: int) -> tf.data.Dataset:
    """The training documents, float32 [batch_size, V] counts, from the start of an epoch on."""
    return documents.batches(corpus.train.counts, config.batch_size, config.seed, first_epoch)


def build(mode: str, config, data_facts: dict) -> NVDM:
    """The compiled model with seeded initial weights."""
    keras.utils.set_random_seed(config.seed)
    steps = data_facts["train"]["documents"] // config.batch_size
    model = NVDM(
        words=data_facts["vocabulary"],
        topics=config.topics,
        widths=config.encoder_widths,
        dropout=config.dropout,
        log_counts=config.log_counts,
        length_power=config.length_power,
        turns=config.alternate * steps,
        kl_weight=lambda step: linear_weight(step, config.kl_warm_up),
        seed=config.seed,
    )
    updates = config.epochs * steps // (2 if config.alternate else 1)  # of each of the two
    rate = keras.optimizers.schedules.PolynomialDecay(config.rate, updates, config.final_rate)
    model.compile(keras.optimizers.Adam(rate), keras.optimizers.Adam(rate))
    return model


class FirstBias(keras.callbacks.Callback):
    """Begins the decoder's bias with the log frequencies of the training documents' words, one added to each count.

    So z learns from the first step what makes a document differ. In both recipes: the paper does not say how b begins.
    """

    def __init__(self, corpus: DocumentCorpus):
        super().__init__()
        self.counts = np.asarray(corpus.train.counts.sum(0), np.float64).ravel() + 1

    def on_train_begin(self, logs=None):
        if int(self.model.step) == 0:
            self.model.decoder.bias.assign(np.log(self.counts / self.counts.sum()))


def callbacks(run: Run, corpus: DocumentCorpus) -> list[keras.callbacks.Callback]:
    """What a run of documents writes to TensorBoard, after the bias has begun."""
    return [FirstBias(corpus), *document_callbacks(run, corpus)]


def curve_point(run: Run, corpus: DocumentCorpus, model: NVDM) -> dict[str, float]:
    """Perplexity of the validation part and what z holds of it, by their names in the history; {} without `--curves`."""
    if not run.config.curves:
        return {}
    scores = Scores(run, corpus, model)
    found = of_documents(corpus.validation, *scores.bounds(corpus.validation)) | scores.latent(corpus.validation)
    return {f"validation/{name}": value for name, value in found.items()}


class Scores(ModelScores):
    """Those of an NVDM on a `DocumentCorpus`."""

    def bounds(self, part: Documents, refined: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """(nll, kl) of every document, float64 [D] each: the mean of the ELBO's terms over `samples` of z, in nats.

        Under the posterior that the inference network gives, as in the paper, or under the one `refined` for each document.
        """
        found = []
        for i, x in enumerate(documents.evaluation_batches(part.counts, EVALUATION_BATCH)):
            z_seed, own_seed = tf.unstack(tf.random.split(tf.random.fold_in([self.run.config.seed, 2], i), 2))
            q = self.model.refine(x, REFINEMENT, REFINEMENT_RATE, own_seed) if refined else self.model.infer(x)
            drawn = [terms(self.model, x, *q, tf.random.fold_in(z_seed, s)) for s in range(self.run.config.samples)]
            found.append(np.mean([[nll.numpy(), kl.numpy()] for nll, kl in drawn], 0, np.float64))
        return tuple(np.concatenate(found, 1))

    def likelihood(self) -> dict:
        """Of the test documents, also `_refined`; beside it the validation documents' perplexity, which may choose.

        `kl_shortest`, `kl_longest`: the KL of the quarter of the test documents with the fewest words and with the most.
        """
        validation, test = self.data.validation, self.data.test
        chosen_by = of_documents(validation, *self.bounds(validation))["perplexity_document"]
        refined = of_documents(test, *self.bounds(test, refined=True))
        nll, kl = self.bounds(test)
        scores = of_documents(test, nll, kl) | {f"{name}_refined": value for name, value in refined.items()}
        scores |= self.latent(test) | {"mutual_information_documents": len(kl)}
        return scores | by_length(test, kl) | {"validation_perplexity_document": chosen_by}

    def latent(self, part: Documents) -> dict[str, float]:
        """I(x; z) over the whole part (at most log of its size) and active units of mu."""
        mu, log_variance = self.posteriors(part)
        return {"mutual_information": mutual_information(mu, log_variance), "active_units": active_units(mu)}

    def topics(self) -> dict:
        """NPMI of ten top words on the training documents, diversity of 25; the topics; what is near words and documents."""
        weights, words, counts = self.model.decoder.kernel.numpy(), self.data.words, self.data.train.counts
        return self.described(weights, "") | {
            "topics": top_words(weights, words, counts),
            "nearest_words": nearest_words(weights, words, counts),
            "nearest_documents": self.nearest_documents(),
        }

    def nearest_documents(self) -> dict[str, list[str]]:
        """For a few test documents, those training documents whose mu is nearest; each by its number and words."""
        known, test = self.data.train, self.data.test
        shown = places(test.counts.shape[0], SHOWN)

        def names(part: Documents, chosen: np.ndarray) -> list[str]:
            words = frequent_words(part.counts[chosen], self.data.words)
            return [f"{i}: {' '.join(own)}" for i, own in zip(chosen, words, strict=True)]

        rows = nearest(self.vectors(test._replace(counts=test.counts[shown])), self.vectors(known), NEAREST)
        return dict(zip(names(test, shown), (names(known, row) for row in rows), strict=True))

    def described(self, weights: np.ndarray, suffix: str) -> dict:
        words, counts = self.data.words, self.data.train.counts
        top = [top_words(weights, words, counts, count) for count in (10, DIVERSITY_WORDS)]
        coherence = coherence_npmi(top[0], counts, words)
        return {
            f"coherence_npmi{suffix}": float(np.mean(coherence)),
            f"topic_diversity{suffix}": topic_diversity(top[1]),
        }

    def posteriors(self, part: Documents) -> np.ndarray:
        """mu and log sigma^2 of every document, float32 [2, D, topics]."""
        batches = documents.evaluation_batches(part.counts, EVALUATION_BATCH)
        return np.concatenate([np.stack(self.model.infer(x)) for x in batches], 1)

    def vectors(self, part: Documents) -> np.ndarray:
        """mu of every document, float32 [D, topics]."""
        return self.posteriors(part)[0]

    def linear(self) -> dict:
        """Accuracy of logistic regression on mu: fitted on the training documents, scored on the test documents."""
        return {"linear_accuracy": self.probe(self.vectors)}

    def probe(self, vectors) -> float:
        train, test = self.data.train, self.data.test
        return linear_accuracy(vectors(train), train.labels, vectors(test), test.labels)

    def controls(self) -> dict:
        """LDA and LSA with as many topics, and the run's seed, on the same documents."""
        topics, seed = self.run.config.topics, self.run.config.seed
        train, test = self.data.train, self.data.test
        lda, lsa = (self.run.cached(fit)(train.counts, topics, seed) for fit in (fit_lda, fit_lsa))
        nll, words = lda_document_nll(lda, test.counts), test.counts.sum(1)
        scores = {
            "perplexity_document_lda": document_perplexity(nll, words),
            "perplexity_corpus_lda": corpus_perplexity(nll, words),
        }
        scores |= self.described(lda.components_, "_lda") | self.described(lsa[-1].components_, "_lsa")
        if self.run.data["labels"]:
            scores["linear_accuracy_lda"] = self.probe(lambda part: lda.transform(part.counts))
            scores["linear_accuracy_lsa"] = self.probe(lambda part: lsa.transform(part.counts))
        return scores


def of_documents(part: Documents, nll: np.ndarray, kl: np.ndarray) -> dict[str, float]:
    """Both perplexities of a part, its bound and its KL, from the nll and kl [D] of its documents, in nats."""
    words = part.counts.sum(1)
    return {
        "perplexity_document": document_perplexity(nll + kl, words),
        "perplexity_corpus": corpus_perplexity(nll + kl, words),
        "elbo_nll": float(np.mean(nll + kl)),
        "kl": float(np.mean(kl)),
    }


def by_length(part: Documents, kl: np.ndarray) -> dict[str, float]:
    """Mean words and mean KL of the quarter of a part that has the fewest, and of the one that has the most; kl [D]."""
    words = np.ravel(part.counts.sum(1))
    order, count = np.argsort(words, kind="stable"), max(1, len(words) // 4)
    ends = {"shortest": order[:count], "longest": order[-count:]}
    values = {"words": words, "kl": kl}
    return {f"{name}_{end}": float(np.mean(values[name][own])) for end, own in ends.items() for name in values}


@tf.function(reduce_retracing=True)  # compiled once for each model, however often a training is scored
def terms(model: NVDM, x: tf.Tensor, mu: tf.Tensor, log_variance: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """(nll, kl) of `NVDM.terms_under`, [B] each."""
    return model.terms_under(x, mu, log_variance, seed)[:2]


def nearest_words(weights: np.ndarray, words: tuple[str, ...], counts) -> dict[str, list[str]]:
    """For the ten words of most training documents, the words whose columns of R [K, V] are nearest."""
    shown = np.argsort(-np.bincount(counts.indices, minlength=len(words)), kind="stable")[:SHOWN]
    rows = nearest(weights.T[shown], weights.T, NEAREST + 1)  # itself among them
    near = {own: [other for other in row if other != own][:NEAREST] for own, row in zip(shown, rows, strict=True)}
    return {words[own]: [words[other] for other in others] for own, others in near.items()}
