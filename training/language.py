"""The modes lm, vae and twrvae: their sentences, their models and their scores, from a config."""

import hashlib

import keras
import numpy as np
import tensorflow as tf

from data import sentences
from data.order import places
from data.sentences import SentenceCorpus, load_sentences
from data.vocabulary import digest
from losses.variational import cyclical_weight, linear_weight
from metrics.generation import distinct_n, self_bleu
from metrics.likelihood import active_units, elbo, importance_weighted_nll, mutual_information, perplexity
from text_vae.language_vae import LanguageModel, LanguageVAE, RecurrentVAE
from text_vae.layers import WordDecoder
from text_vae.twr_vae import TWRVAE
from training.config import with_epochs
from training.runs import Run
from training.scores import ModelScores
from training.tensorboard import language_callbacks as callbacks  # noqa: F401

EVALUATION_BATCH = 64
CYCLE_GROWTH = 0.5  # share of a cycle over which the KL's weight grows: R of Fu et al. 2019
GENERATED = 200  # sentences that are scored; ten of them are shown
SHOWN = 10
DRAWS = 5  # of z for each sentence, in the mutual information
TOP_P = 0.9


def load(config) -> SentenceCorpus:
    """The corpus of a resolved config. Raises InputError where it cannot be had."""
    return load_sentences(config.dataset, config.data_dir, config.vocabulary_size, config.max_length)


def prepare(config) -> tuple[object, SentenceCorpus]:
    """Loads the corpus; returns the config with the number of epochs decided."""
    corpus = load(config)
    return with_epochs(config, steps_per_epoch(config, corpus)), corpus


def facts(corpus: SentenceCorpus) -> dict:
    """What a run records of its corpus, and a model must know of it."""
    return corpus.facts | {
        "labels": False,
        "vocabulary": corpus.vocabulary.size,
        "vocabulary_sha256": digest(corpus.vocabulary.words),
        "sha256": hashlib.sha256(np.concatenate(corpus.train).tobytes()).hexdigest()[:16],  # of the training ids
        "length_counts": np.bincount([len(ids) for ids in corpus.train]).tolist(),  # by words
    }


def steps_per_epoch(config, corpus: SentenceCorpus) -> int:
    """Training steps of one pass over the training sentences; the remainder of a pass is dropped."""
    return sentences.steps_per_epoch(corpus.train, config.batch_size)


def batches(config, corpus: SentenceCorpus, first_epoch: int) -> tf.data.Dataset:
    """The training sentences, as `data.sentences.batches` gives them, from the start of an epoch on."""
    return sentences.batches(corpus.train, config.batch_size, config.seed, first_epoch)


def build(mode: str, config, data_facts: dict) -> LanguageModel:
    """The compiled model with seeded initial weights."""
    keras.utils.set_random_seed(config.seed)
    updates = config.epochs * (data_facts["train"]["sentences"] // config.batch_size)
    latent = 0 if mode == "lm" else config.latent_dim
    decoder = word_decoder(config, data_facts, latent=latent, longest=config.max_length)
    encoder = {"cell": config.cell, "units": config.units, "latent": latent}
    options = {"decoder": decoder, "seed": config.seed}
    if mode == "lm":
        model = LanguageModel(**options, kl_weight=lambda step: tf.ones([]))
    elif mode == "vae":
        model = RecurrentVAE(
            **options,
            **encoder,
            free_bits=config.free_bits,
            kl_per_step=config.kl_per_step,
            kl_weight=lambda step: config.beta * growth(config, updates, step),
        )
    else:
        counts = data_facts["length_counts"]
        model = TWRVAE(
            **options,
            **encoder,
            decoded=config.decoded,
            kl_part=config.kl_part,
            read_end=config.read_end,
            length_counts=np.pad(counts, (0, config.max_length + 1 - len(counts))),
            kl_weight=lambda step: tf.ones([]),
        )
    rate = keras.optimizers.schedules.PolynomialDecay(config.rate, updates, config.final_rate)
    model.compile(keras.optimizers.Adam(rate))
    return model


def word_decoder(config, data_facts: dict, **options) -> WordDecoder:
    """A decoder of the config's sizes; options: what else a `WordDecoder` takes."""
    return WordDecoder(
        words=data_facts["vocabulary"],
        embedding=config.embedding,
        cell=config.cell,
        units=config.units,
        dropout=config.dropout,
        **options,
    )


def growth(config, updates: int, step: tf.Tensor) -> tf.Tensor:
    """How much of its final weight the KL has at a step: one warm-up, cycles of it, or all from the start."""
    if config.kl_cycles:
        return cyclical_weight(step, updates / config.kl_cycles, CYCLE_GROWTH)
    return linear_weight(step, config.kl_warm_up)


def curve_point(run: Run, corpus: SentenceCorpus, model: LanguageModel) -> dict[str, float]:
    """The bound on the validation part, which chooses the checkpoint; with `curves` also what z holds there."""
    found = {"elbo_nll": mean_bound(model, corpus.validation, run.config.seed)}
    if run.config.curves and isinstance(model, LanguageVAE):
        found |= latent_scores(model, corpus.validation)
    return {f"validation/{name}": value for name, value in found.items()}


class Scores(ModelScores):
    """Those of a language model, with or without z, on a `SentenceCorpus`."""

    def likelihood(self) -> dict:
        """The bounds of the test sentences; of a model with z, what it holds, and the public code's own estimate."""
        model, test, scores = self.model, self.data.test, self.bounds()
        if not isinstance(model, LanguageVAE):
            return scores
        scores["reference_nll"] = float(np.mean(every(lambda batch, _: reference(model, batch), test, 0)))
        scores |= latent_scores(model, test) | {"mutual_information_sentences": len(test)}
        if isinstance(model, TWRVAE):
            scores["kl_by_step"] = dict(zip(("from_start", "from_end"), model.kl_by_step(test).tolist(), strict=True))
        return scores

    def bounds(self) -> dict:
        """Of the test texts, in nats for each; the bound on the validation texts stands beside it, as what chose.

        `elbo_nll` and `iw_nll` are the mean of the logarithms and the logarithm of the mean of the same weights;
        `perplexity` is of `iw_nll`, with the ends of the sentences among its tokens. A language model's are exact, and all
        one.
        """
        model, test, config = self.model, self.data.test, self.run.config
        samples = config.samples if isinstance(model, LanguageVAE) else 1
        weights = every(lambda batch, seed: log_weights(model, batch, samples, seed), test, config.seed)
        iw_nll, tokens = importance_weighted_nll(weights), sum(len(ids) + 1 for ids in test)
        fewer = [k for k in (1, 10, 100, 1000) if k <= samples]
        return {
            "elbo_nll": -float(np.mean(elbo(weights))),
            "iw_nll": float(np.mean(iw_nll)),
            "iw_nll_by_samples": {k: float(np.mean(importance_weighted_nll(weights[:k]))) for k in fewer},
            "perplexity": perplexity(iw_nll.sum(), tokens),
            "perplexity_tokens": tokens,
            "validation_elbo_nll": mean_bound(model, self.data.validation, config.seed),
        }

    def generation(self) -> dict:
        """How varied sentences from the prior are, beside as many of the test part; some of them, reconstructions, paths."""
        model, test, seed = self.model, self.data.test, self.run.config.seed

        def texts(ids):
            return [self.data.vocabulary.decode(sentence) for sentence in ids]

        ways = {"": {}, "_top_p": {"top_p": TOP_P}}
        ways |= {"_low_temperature": {"temperature": 0.7}, "_greedy": {"temperature": 0}}
        drawn = {way: texts(model.generate(GENERATED, seed=seed, **options)) for way, options in ways.items()}
        real = texts(test[i] for i in places(len(test), GENERATED))
        scores = {"generated": {f"samples{way}": lines(found[:SHOWN]) for way, found in drawn.items()}}
        for way, found in {"": drawn[""], "_top_p": drawn["_top_p"], "_test": real}.items():
            scores |= {f"distinct_{n}{way}": distinct_n(found, n) for n in (1, 2)}
            if len(found) > 1:  # a tiny corpus may have a single test sentence
                scores[f"self_bleu{way}"] = self_bleu(found, 4)
        if isinstance(model, LanguageVAE):
            shown = test[:SHOWN]
            pairs = zip(texts(shown), texts(model.reconstruct(shown)), strict=True)
            scores["reconstructions"] = [lines(pair) for pair in pairs]
            ends = zip(shown[0::2], shown[1::2], strict=False)
            scores["interpolations"] = [lines(texts(model.interpolate(*two))) for two in ends]
        return scores


def lines(texts: list[list[str]]) -> list[str]:
    return [" ".join(text) for text in texts]


def latent_scores(model: LanguageVAE, part: list[np.ndarray]) -> dict[str, float]:
    """KL of the z that is decoded, I(x; z) over the whole part (at most log of its size) and active units of mu."""
    found = [inferred(model, batch) for batch in sentences.evaluation_batches(part, EVALUATION_BATCH)]
    mu, log_variance, kl, length_nats = (np.concatenate(values) for values in zip(*found, strict=True))
    scores = {
        "kl": float(np.mean(kl, dtype=np.float64)),
        "mutual_information": mutual_information(mu, log_variance, DRAWS),
        "active_units": active_units(mu),
    }
    return scores | ({"length_nats": float(np.mean(length_nats))} if length_nats.any() else {})


def mean_bound(model: LanguageModel, part: list[np.ndarray], seed: int) -> float:
    """nll + kl, one z for each text of a part."""
    return float(np.mean(every(lambda batch, own: bound(model, batch, own), part, seed)))


def every(function, part: list[np.ndarray], seed: int) -> np.ndarray:
    """What `function(batch, seed)` gives for all sentences of a part, float64 [..., N], in order of length."""
    found = []
    for step, batch in enumerate(sentences.evaluation_batches(part, EVALUATION_BATCH)):
        own = tf.random.fold_in([seed, 3], step)
        found.append(function({"tokens": batch["tokens"], "lengths": batch["lengths"]}, own).numpy())
    return np.concatenate(found, -1).astype(np.float64)


# Compiled once for each model, however often a training is scored.


@tf.function(reduce_retracing=True)
def bound(model: LanguageModel, batch, seed: tf.Tensor) -> tf.Tensor:
    """nll + kl of one z for each sentence, [B]."""
    terms = model.elbo_terms(batch, seed)
    return terms.nll + terms.kl


@tf.function(reduce_retracing=True)
def log_weights(model: LanguageModel, batch, samples: int, seed: tf.Tensor) -> tf.Tensor:
    """`LanguageModel.log_weights`, [S, B]."""
    return model.log_weights(batch, samples, seed)


@tf.function(reduce_retracing=True)
def inferred(model: LanguageVAE, batch) -> tuple[tf.Tensor, ...]:
    """(mu, log sigma^2, KL, -log p(T)) of the z that is decoded."""
    latent = model.infer(batch)
    return latent.mu, latent.log_variance, latent.kl, latent.length_nats * tf.ones_like(latent.kl)


@tf.function(reduce_retracing=True)
def reference(model: RecurrentVAE, batch) -> tf.Tensor:
    """The estimate of TWR-VAE's public code, [B]: mu is decoded, and the regularizer added at weight 1.

    A floor of free bits is no part of it: it is a mean over the batch, and a sentence's estimate is its own.
    """
    latent = model.infer(batch)
    return model.decoder.nll(batch, latent.mu) + (latent.kl if model.free_bits else latent.regularizer)
