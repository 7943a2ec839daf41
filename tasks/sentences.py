"""Sentences: how a corpus is read, which models fit it, what a training shows, and the scores of language models."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from data import sentences
from data.digests import short_sha256
from data.errors import InputError
from data.order import places
from data.sentences import SentenceBatch, SentenceCorpus, load_sentences
from data.sequences import Sequences
from data.vocabulary import digest
from data.wording import Wording
from metrics import catalogue
from metrics.generation import distinct_n, self_bleu
from metrics.likelihood import active_units, elbo, importance_weighted_nll, mutual_information, perplexity
from reporting.tensorboard import Scalars, SentenceSummary, StepKL, open_writer
from tasks.base import Scorer, Task, computes
from tasks.configs import LatentConfig, SentenceConfig
from text_vae.language_vae import LanguageModel, LanguageVAE, RecurrentVAE
from text_vae.twr_vae import TWRVAE
from training.config import with_epochs
from training.runs import Run

EVALUATION_BATCH = 64
GENERATED = 200  # sentences that are scored; SHOWN of them are kept
SHOWN = 10
DRAWS = 5  # of z for each sentence, in the mutual information
TOP_P = 0.9


class SentenceScorer(Scorer[SentenceCorpus]):
    """The scores of a language model, with or without z."""

    @computes(catalogue.SENTENCE_LIKELIHOOD)
    def likelihood(self) -> dict[str, Any]:
        """Measure the bounds of the test sentences; for a model with z also what z holds."""
        model, test, scores = self.model, self.data.test, self.bounds()
        if not isinstance(model, LanguageVAE):
            return scores
        if isinstance(model, RecurrentVAE):
            scores["reference_nll"] = float(np.mean(every(lambda batch, _: reference(model, batch), test, 0)))
        scores |= latent_scores(model, test) | {"mutual_information_sentences": len(test)}
        if isinstance(model, TWRVAE):
            scores["kl_by_step"] = dict(zip(("from_start", "from_end"), model.kl_by_step(test).tolist(), strict=True))
        return scores

    def bounds(self) -> dict[str, Any]:
        """Return the bounds of the test texts, and the validation texts' bound, which chose the checkpoint.

        `elbo_nll` is the mean of the logarithms of the weights, `iw_nll` the logarithm of the mean of the same weights. A
        language model's values are exact and equal.
        """
        model, test, config = self.model, self.data.test, self.config
        samples = config.samples if isinstance(config, LatentConfig) else 1
        weights = every(lambda batch, seed: log_weights(model, batch, samples, seed), test, config.seed)
        iw_nll, tokens = importance_weighted_nll(weights), int(np.sum(Sequences.of(test).lengths + 1))
        fewer = [k for k in (1, 10, 100, 1000) if k <= samples]
        return {
            "elbo_nll": -float(np.mean(elbo(weights))),
            "iw_nll": float(np.mean(iw_nll)),
            "iw_nll_by_samples": {k: float(np.mean(importance_weighted_nll(weights[:k]))) for k in fewer},
            "perplexity": perplexity(iw_nll.sum(), tokens),
            "perplexity_tokens": tokens,
            "validation_elbo_nll": mean_bound(model, self.data.validation, config.seed),
        }

    def curve(self) -> dict[str, float]:
        """Return the validation part's bound, which chooses the checkpoint; with `--curves` also what z holds there."""
        scores = {"elbo_nll": mean_bound(self.model, self.data.validation, self.config.seed)}
        if isinstance(self.config, LatentConfig) and self.config.curves:
            scores |= self.latent(self.data.validation)
        return scores

    def latent(self, part: Sequence[np.ndarray]) -> dict[str, float]:
        """Return what z holds of a part."""
        return latent_scores(self.model, part)

    @computes(catalogue.SENTENCE_GENERATION)
    def generation(self) -> dict[str, Any]:
        """Measure how varied sentences from the prior are, beside as many test sentences; keep some texts."""
        model, test, seed = self.model, self.data.test, self.config.seed

        def texts(ids: Any) -> list[list[str]]:
            return [self.data.vocabulary.decode(sentence) for sentence in ids]

        ways: dict[str, dict[str, float]] = {"": {}, "_top_p": {"top_p": TOP_P}}
        ways |= {"_low_temperature": {"temperature": 0.7}, "_greedy": {"temperature": 0}}
        drawn = {way: texts(model.generate_ids(GENERATED, seed=seed, **options)) for way, options in ways.items()}
        real = texts(test[i] for i in places(len(test), GENERATED))
        scores: dict[str, Any] = {"generated": {f"samples{way}": lines(found[:SHOWN]) for way, found in drawn.items()}}
        for way, found in {"": drawn[""], "_top_p": drawn["_top_p"], "_test": real}.items():
            scores |= {f"distinct_{n}{way}": distinct_n(found, n) for n in (1, 2)}
            if len(found) > 1:  # a tiny corpus may have a single test sentence
                scores[f"self_bleu{way}"] = self_bleu(found, 4)
        if isinstance(model, LanguageVAE):
            shown = test[:SHOWN]
            pairs = zip(texts(shown), texts(model.reconstruct_ids(shown)), strict=True)
            scores["reconstructions"] = [lines(pair) for pair in pairs]
            ends = zip(shown[0::2], shown[1::2], strict=False)
            scores["interpolations"] = [lines(texts(model.interpolate_ids(*two))) for two in ends]
        return scores


class SentenceTask(Task[SentenceCorpus]):
    """The modes of sentences."""

    scorer = SentenceScorer
    limits = (
        "It writes texts like those that it was trained on, and states no facts. Words that it does not know are all the "
        "same to it."
    )
    texts = "sentences"  # the name of one training text's count among the facts

    def load(self, config: SentenceConfig) -> SentenceCorpus:
        limits = config.vocabulary_size, config.max_length
        return load_sentences(config.dataset, config.data_dir, *limits, cache_gb=config.cache_gb)

    def resolve(
        self, config: SentenceConfig, left_open: frozenset[str] = frozenset()
    ) -> tuple[SentenceConfig, SentenceCorpus]:
        corpus = self.load(config)
        steps = self.steps_per_epoch(config, corpus)
        config = with_epochs(config, steps)
        assert config.epochs is not None
        updates, reset_at = steps * config.epochs, getattr(config, "reset_at", 0)
        if reset_at >= updates:
            raise InputError(f"--reset-at {reset_at}: the training has {updates} steps: give fewer, or more --epochs")
        return config, corpus

    def facts(self, data: SentenceCorpus) -> dict[str, Any]:
        train = Sequences.of(data.train)
        return data.facts | {
            "labels": False,
            "vocabulary": data.vocabulary.size,
            "vocabulary_sha256": digest(data.vocabulary.words),
            "sha256": short_sha256(train.slices()),  # of the training ids
            "length_counts": np.bincount(train.lengths).tolist(),  # training texts by their words
        }

    def wording(self, data: SentenceCorpus) -> Wording:
        return data.wording

    def steps_per_epoch(self, config: SentenceConfig, data: SentenceCorpus) -> int:
        return sentences.steps_per_epoch(data.train, config.batch_size)

    def batches(self, config: SentenceConfig, data: SentenceCorpus, first_epoch: int) -> tf.data.Dataset:
        return sentences.batches(data.train, config.batch_size, config.seed, first_epoch)

    def data_arguments(self, config: SentenceConfig, facts: dict[str, Any]) -> dict[str, Any]:
        arguments = {
            "words": facts["vocabulary"],
            "longest": config.max_length,
            "updates": self.updates(config, facts),
        }
        if issubclass(self.model, TWRVAE):
            counts = facts["length_counts"]
            arguments["length_counts"] = np.pad(counts, (0, config.max_length + 1 - len(counts)))
        return arguments

    def updates(self, config: SentenceConfig, facts: dict[str, Any]) -> int:
        """Return the steps of the whole training."""
        assert config.epochs is not None
        return config.epochs * (facts["train"][self.texts] // config.batch_size)

    def callbacks(self, run: Run, data: SentenceCorpus) -> list[keras.callbacks.Callback]:
        writer = open_writer(run)
        shown = [Scalars(run, writer), SentenceSummary(run, writer, data)]
        return shown + ([StepKL(run, writer, data)] if issubclass(self.model, TWRVAE) else [])


def lines(texts: Any) -> list[str]:
    """Return each text, a list of words, as one line."""
    return [" ".join(text) for text in texts]


def latent_scores(model: LanguageVAE, part: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the KL of the z that is decoded, I(x; z) over the whole part, and the active units of mu."""
    found = [inferred(model, batch) for batch in sentences.evaluation_batches(part, EVALUATION_BATCH)]
    mu, log_variance, kl, length_nats = (np.concatenate(values) for values in zip(*found, strict=True))
    scores = {
        "kl": float(np.mean(kl, dtype=np.float64)),
        "mutual_information": mutual_information(mu, log_variance, DRAWS),
        "active_units": active_units(mu),
    }
    return scores | ({"length_nats": float(np.mean(length_nats))} if length_nats.any() else {})


def mean_bound(model: LanguageModel, part: Sequence[np.ndarray], seed: int) -> float:
    """Return the mean of nll + kl over a part, with one z for each text."""
    return float(np.mean(every(lambda batch, own: bound(model, batch, own), part, seed)))


def every(function: Callable[[SentenceBatch, Any], Any], part: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Return `function(batch, seed)` for all texts of a part, float64 [..., N], in order of length."""
    found = []
    for step, batch in enumerate(sentences.evaluation_batches(part, EVALUATION_BATCH)):
        own = tf.random.fold_in([seed, 3], step)
        found.append(function({"tokens": batch["tokens"], "lengths": batch["lengths"]}, own).numpy())
    return np.concatenate(found, -1).astype(np.float64)


# These functions are compiled once for each model, however often a training is scored. AutoGraph, which would turn
# their Python into graph code first, has nothing to turn and takes a fifth of the time before the first result.


@tf.function(reduce_retracing=True, autograph=False)
def bound(model: LanguageModel, batch: SentenceBatch, seed: Any) -> tf.Tensor:
    """Return nll + kl of one z for each text, [B]."""
    terms = model.elbo_terms(batch, seed)
    return terms.nll + terms.kl


@tf.function(reduce_retracing=True, autograph=False)
def log_weights(model: LanguageModel, batch: SentenceBatch, samples: int, seed: Any) -> tf.Tensor:
    """Return `LanguageModel.log_weights`, [S, B]."""
    return model.log_weights(batch, samples, seed)


@tf.function(reduce_retracing=True, autograph=False)
def inferred(model: LanguageVAE, batch: SentenceBatch) -> tuple[tf.Tensor, ...]:
    """Return (mu, log sigma^2, KL, -log p(T)) of the z that is decoded."""
    latent = model.infer(batch)
    return latent.mu, latent.log_variance, latent.kl, latent.length_nats * tf.ones_like(latent.kl)


@tf.function(reduce_retracing=True, autograph=False)
def reference(model: RecurrentVAE, batch: SentenceBatch) -> tf.Tensor:
    """Return the estimate of TWR-VAE's public code, [B]: mu is decoded, and the regularizer added at weight 1.

    The floor of free bits is left out: an estimate is of the KL itself, and must not depend on its batch.
    """
    latent = model.infer(batch)
    bits = model.free_bits or model.text_bits
    return model.decoder.nll(batch, latent.mu) + (latent.kl if bits else latent.regularizer)
