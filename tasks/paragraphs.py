"""Paragraphs: a task like that of sentences, whose texts are whole paragraphs, and the scores of ml-VAE.

A paragraph is one text: `data.sentences.join` joins its sentences.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from data.order import places
from data.sentences import SentenceBatch, SentenceCorpus, load_paragraphs, printed, split
from metrics import catalogue
from metrics.generation import corpus_bleu_against, distinct_n, repeated_ngrams, self_bleu
from reporting.tensorboard import Scalars, SentenceSummary, open_writer
from tasks.base import computes
from tasks.configs import MLVAEConfig
from tasks.sentences import SHOWN, TOP_P, SentenceScorer, SentenceTask, every, latent_scores
from text_vae.ml_vae import MLVAED
from training.runs import Run

GENERATED = 100  # paragraphs that are scored; SHOWN of them are kept


class ParagraphScorer(SentenceScorer):
    """The scores of an ml-VAE."""

    @computes(catalogue.PARAGRAPH_LIKELIHOOD)
    def likelihood(self) -> dict[str, Any]:
        """Measure the bounds of the test paragraphs, whose weights are of both latents of ml-VAE-D; and what z holds."""
        test = self.data.test
        return self.bounds() | self.latent(test) | {"mutual_information_paragraphs": len(test)}

    def latent(self, part: Sequence[np.ndarray]) -> dict[str, float]:
        """Return what the z that is decoded holds; for ml-VAE-D also the KL of each level, and their sum as `kl`."""
        scores, model = latent_scores(self.model, part), self.model
        if isinstance(model, MLVAED):
            levels = every(lambda batch, own: kl_levels(model, batch, own), part, self.config.seed)
            kl_z1, kl_z2 = np.mean(levels, 1)
            scores |= {"kl": float(kl_z1 + kl_z2), "kl_z1": float(kl_z1), "kl_z2": float(kl_z2)}
        return scores

    @computes(catalogue.PARAGRAPH_GENERATION)
    def generation(self) -> dict[str, Any]:
        """Measure paragraphs from the prior: how like the test part, how varied, how repetitive; beside real ones."""
        model, corpus, seed = self.model, self.data, self.config.seed
        drawn = {"": model.generate_ids(GENERATED, seed=seed)}
        drawn["_top_p"] = model.generate_ids(GENERATED, seed=seed, top_p=TOP_P)
        scores: dict[str, Any] = {"generated": {f"samples{way}": shown(corpus, ids) for way, ids in drawn.items()}}
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
        pairs = zip(shown(corpus, originals), shown(corpus, model.reconstruct_ids(originals)), strict=True)
        return scores | {"reconstructions": [list(pair) for pair in pairs]}


class ParagraphTask(SentenceTask):
    """The modes of paragraphs."""

    scorer = ParagraphScorer
    texts = "paragraphs"

    def load(self, config: MLVAEConfig) -> SentenceCorpus:
        limits = config.vocabulary_size, config.max_length, config.min_sentences, config.max_sentences
        return load_paragraphs(config.dataset, config.data_dir, *limits, cache_gb=config.cache_gb)

    def data_arguments(self, config: MLVAEConfig, facts: dict[str, Any]) -> dict[str, Any]:
        return {
            "words": facts["vocabulary"],
            "longest_sentence": config.max_length,
            "longest_paragraph": len(facts["length_counts"]) - 1,  # of the training part
            "max_sentences": config.max_sentences,
            "updates": self.updates(config, facts),
        }

    def callbacks(self, run: Run, data: SentenceCorpus) -> list[keras.callbacks.Callback]:
        writer = open_writer(run)
        return [Scalars(run, writer), SentenceSummary(run, writer, data)]


@tf.function(reduce_retracing=True, autograph=False)
def kl_levels(model: MLVAED, batch: SentenceBatch, seed: tf.Tensor) -> tf.Tensor:
    """Return (kl_z1, kl_z2) at one z1 and z2 for each paragraph, [2, B]."""
    draw = model.draw(model.infer(batch), seed)
    return tf.stack([draw.log_ratio_z1, draw.kl_z2])


def texts(corpus: SentenceCorpus, paragraphs: Iterable[np.ndarray]) -> list[list[list[str]]]:
    """Return the words of each sentence of each joined paragraph."""
    return [[corpus.vocabulary.decode(sentence) for sentence in split(ids)] for ids in paragraphs]


def flat(sentences: list[list[str]]) -> list[str]:
    """Return the words of all sentences of a paragraph."""
    return list(chain.from_iterable(sentences))


def shown(corpus: SentenceCorpus, paragraphs: Sequence[np.ndarray]) -> list[str]:
    """Return the first SHOWN paragraphs as text."""
    return [printed(corpus.vocabulary, ids) for ids in paragraphs[:SHOWN]]


def mean_repeated(paragraphs: list[list[list[str]]], n: int) -> float:
    """Return the mean over paragraphs of `repeated_ngrams`."""
    return float(np.mean([repeated_ngrams(sentences, n) for sentences in paragraphs]))
