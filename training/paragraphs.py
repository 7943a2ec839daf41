"""The mode mlvae: its paragraphs, its models and its scores, from a config. What sentences have too is `language`'s.

A paragraph is one text: its sentences joined as `data.sentences.join` does it.
"""

import functools
from itertools import chain

import keras
import numpy as np
import tensorflow as tf

from data.order import places
from data.sentences import SentenceCorpus, load_paragraphs, printed, split
from losses.variational import linear_weight
from metrics.generation import corpus_bleu_against, distinct_n, repeated_ngrams, self_bleu
from text_vae.ml_vae import MLVAE, MLVAED, PlannedDecoder
from training import language
from training.config import with_epochs
from training.language import SHOWN, TOP_P, batches, facts, steps_per_epoch  # noqa: F401
from training.runs import Run
from training.tensorboard import language_callbacks as callbacks  # noqa: F401

GENERATED = 100  # paragraphs that are scored; ten of them are shown


def load(config) -> SentenceCorpus:
    """The corpus of a resolved config, each paragraph one text. Raises InputError where it cannot be had."""
    limits = config.vocabulary_size, config.max_length, config.min_sentences, config.max_sentences
    return load_paragraphs(config.dataset, config.data_dir, *limits)


def prepare(config) -> tuple[object, SentenceCorpus]:
    """Loads the corpus; returns the config with the number of epochs decided."""
    corpus = load(config)
    return with_epochs(config, steps_per_epoch(config, corpus)), corpus


def build(mode: str, config, data_facts: dict) -> MLVAE:
    """The compiled model with seeded initial weights."""
    keras.utils.set_random_seed(config.seed)
    words = functools.partial(language.word_decoder, config, data_facts)
    if config.levels == 0:
        longest = len(data_facts["length_counts"]) - 1  # of the training paragraphs
        decoder = words(latent=config.latent_dim, ends=2, longest=longest)
    else:
        sentence = words(latent=config.plan, longest=config.max_length)
        decoder = PlannedDecoder(sentence, latent=config.latent_dim, plan=config.plan, sentences=config.max_sentences)
    options = {
        "decoder": decoder,
        "latent": config.latent_dim,
        "widths": config.encoder_widths,
        "dropout": config.dropout,
        "kl_weight": lambda step: linear_weight(step, config.kl_warm_up),
        "seed": config.seed,
    }
    model = MLVAED(**options, top=config.top_dim, hidden=config.hidden) if config.levels == 2 else MLVAE(**options)
    updates = config.epochs * (data_facts["train"]["paragraphs"] // config.batch_size)
    rate = keras.optimizers.schedules.PolynomialDecay(config.rate, updates, config.final_rate)
    model.compile(keras.optimizers.Adam(rate))
    return model


def curve_point(run: Run, corpus: SentenceCorpus, model: MLVAE) -> dict[str, float]:
    """The bound on the validation part, which chooses the checkpoint; with `--curves` also what each latent holds there."""
    found = {"elbo_nll": language.mean_bound(model, corpus.validation, run.config.seed)}
    if run.config.curves:
        found |= latent_scores(model, corpus.validation, run.config.seed)
    return {f"validation/{name}": value for name, value in found.items()}


class Scores(language.Scores):
    """Those of an ml-VAE."""

    def likelihood(self) -> dict:
        """The bounds of the test paragraphs, whose weights are of both latents of ml-VAE-D, and what those hold."""
        test = self.data.test
        scores = self.bounds() | latent_scores(self.model, test, self.run.config.seed)
        return scores | {"mutual_information_paragraphs": len(test)}

    def generation(self) -> dict:
        """Paragraphs from the prior: how like the test part, how varied, how repetitive; beside them, those of the data.

        `bleu` is of whole paragraphs against test paragraphs (`bleu_validation`: what real ones reach), `self_bleu` against
        one another; `repeated_n` the mean share of a paragraph's n-grams that occur in several of its sentences.
        """
        model, corpus, seed = self.model, self.data, self.run.config.seed
        drawn = {"": model.generate(GENERATED, seed=seed)}
        drawn["_top_p"] = model.generate(GENERATED, seed=seed, top_p=TOP_P)
        scores = {"generated": {f"samples{way}": shown(corpus, ids) for way, ids in drawn.items()}}
        test = [flat(sentences) for sentences in texts(corpus, corpus.test)]
        parts = {"_test": corpus.test, "_validation": corpus.validation}
        real = {way: [part[i] for i in places(len(part), GENERATED)] for way, part in parts.items()}
        for way, ids in (drawn | real).items():
            paragraphs = texts(corpus, ids)
            whole = [flat(sentences) for sentences in paragraphs]
            if way != "_test":
                scores[f"bleu{way}"] = corpus_bleu_against(whole, test)
            if way != "_validation":
                scores |= {f"repeated_{n}{way}": mean_repeated(paragraphs, n) for n in (2, 3)}
                scores[f"distinct_2{way}"] = distinct_n(whole, 2)
                if len(whole) > 1:  # a tiny corpus may have a single test paragraph
                    scores[f"self_bleu{way}"] = self_bleu(whole, 4)
                scores[f"sentences{way}"] = float(np.mean([len(sentences) for sentences in paragraphs]))
        originals = corpus.test[:SHOWN]
        pairs = zip(shown(corpus, originals), shown(corpus, model.reconstruct(originals)), strict=True)
        return scores | {"reconstructions": [list(pair) for pair in pairs]}


def latent_scores(model: MLVAE, part: list[np.ndarray], seed: int) -> dict[str, float]:
    """Those of the z that is decoded; of ml-VAE-D the KL of each level too, and for `kl` their sum."""
    scores = language.latent_scores(model, part)
    if isinstance(model, MLVAED):
        kl_z1, kl_z2 = np.mean(language.every(lambda batch, own: kl_levels(model, batch, own), part, seed), 1)
        scores |= {"kl": float(kl_z1 + kl_z2), "kl_z1": float(kl_z1), "kl_z2": float(kl_z2)}
    return scores


@tf.function(reduce_retracing=True)
def kl_levels(model: MLVAED, batch, seed: tf.Tensor) -> tf.Tensor:
    """(kl_z1, kl_z2) at one z1 and z2 for each paragraph, [2, B]."""
    draw = model.draw(model.infer(batch), seed)
    return tf.stack([draw.log_ratio_z1, draw.kl_z2])


def texts(corpus: SentenceCorpus, paragraphs: list[np.ndarray]) -> list[list[list[str]]]:
    """The words of each sentence of each joined paragraph."""
    return [[corpus.vocabulary.decode(sentence) for sentence in split(ids)] for ids in paragraphs]


def flat(sentences: list[list[str]]) -> list[str]:
    return list(chain.from_iterable(sentences))


def shown(corpus: SentenceCorpus, paragraphs: list[np.ndarray]) -> list[str]:
    return [printed(corpus.vocabulary, ids) for ids in paragraphs[:SHOWN]]


def mean_repeated(paragraphs: list[list[list[str]]], n: int) -> float:
    return float(np.mean([repeated_ngrams(sentences, n) for sentences in paragraphs]))
