"""The modes nasm and gqa: their questions, their models and their scores, from a config."""

import dataclasses
import hashlib
from functools import cache, cached_property
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from data import answers, documents
from data.answers import AnswerCorpus, Pairs, load_answers, stem
from data.order import full_batches
from data.text import PARTS
from data.vocabulary import digest
from data.word_vectors import read_word_vectors, train_word_vectors
from losses.variational import linear_weight
from metrics.ranking import map_mrr
from metrics.retrieval import (
    bm25_scores,
    inverse_document_frequency,
    logistic_scores,
    nearest,
    overlap_counts,
    paired_cosines,
    query_likelihood,
)
from metrics.topics import fit_lsa
from text_vae.gqa import GQA
from text_vae.nasm import NASM
from text_vae.nvdm import NVDM
from text_vae.ranker import Ranker
from training.config import with_epochs
from training.figures import attention_figure, save_figure
from training.runs import CANDIDATES, Run, write_arrays
from training.scores import ModelScores
from training.tensorboard import answer_callbacks

RANKED = ("validation", "test")  # parts
EVALUATION_BATCH = 16  # questions
PRIOR_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # w of log p(q | a) + w log p(a)
SMOOTHING = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the query likelihood's background
TOPICS = 50  # of LSA and NVDM
TOPIC_WORDS = 3000
TOPIC_UPDATES = 3000  # of NVDM, 64 texts each
ASKED, NEAREST = 10, 5  # validation questions that are shown, and the training questions beside each


class Data(NamedTuple):
    corpus: AnswerCorpus
    vectors: np.ndarray | None  # float32 [V, D] of --word-vectors; None: to be trained


def load(config) -> Data:
    """The questions of a resolved config, without vectors. Raises InputError where they cannot be had."""
    return Data(load_answers(config.dataset, config.data_dir, config.vocabulary_size, config.max_length), None)


def prepare(config) -> tuple[object, Data]:
    """Loads the questions, and the words' vectors where a file has them; returns the config as resolved.

    Raises InputError for questions or vectors that cannot be had.
    """
    data = load(config)
    if config.word_vectors:
        data = data._replace(vectors=read_word_vectors(config.word_vectors, data.corpus.vocabulary))
        config = dataclasses.replace(config, embedding=data.vectors.shape[1])
    return with_epochs(config, steps_per_epoch(config, data)), data


def facts(data: Data) -> dict:
    """What a run records of its questions, and a model must know of them."""
    corpus = data.corpus
    content = "\n".join(" ".join(text) for text in corpus.training_texts).encode() + corpus.train.labels.tobytes()
    return corpus.facts | {
        "labels": True,
        "vocabulary": corpus.vocabulary.size,
        "vocabulary_sha256": digest(corpus.vocabulary.words),
        "sha256": hashlib.sha256(content).hexdigest()[:16],  # of the training part
    }


def steps_per_epoch(config, data: Data) -> int:
    """Training steps of one pass over the training questions; the remainder of a pass is dropped."""
    return full_batches(len(data.corpus.train.questions), config.batch_size, "questions")


def batches(config, data: Data, first_epoch: int) -> tf.data.Dataset:
    """The training questions with their candidates and labels, from the start of an epoch on."""
    corpus = data.corpus
    return answers.batches(corpus.train, corpus.vocabulary, config.batch_size, config.seed, first_epoch)


def build(mode: str, config, data_facts: dict) -> Ranker:
    """The compiled model with seeded initial weights; the words' vectors come when the training begins."""
    keras.utils.set_random_seed(config.seed)
    shared = {
        "words": data_facts["vocabulary"],
        "embedding": config.embedding,
        "fine_tune": config.fine_tune,
        "units": config.units,
        "layers": config.layers,
        "dropout": config.dropout,
        "seed": config.seed,
    }
    if mode == "gqa":
        model = GQA(kl_weight=lambda step: tf.ones([]), **shared)
    else:
        model = NASM(
            attention=config.attention,
            latent=config.latent,
            match=config.match,
            samples=config.samples,
            kl_weight=lambda step: tf.constant(config.kl_weight),
            **shared,
        )
    model.compile(keras.optimizers.Adam(config.rate))
    return model


def callbacks(run: Run, data: Data) -> list[keras.callbacks.Callback]:
    """What a run of answers writes to TensorBoard, after the words have their vectors."""
    return [FirstVectors(run, data), *answer_callbacks(run, data.corpus)]


class FirstVectors(keras.callbacks.Callback):
    """Gives a model its words' vectors before its first step: those of a file, or word2vec's of the training text."""

    def __init__(self, run: Run, data: Data):
        super().__init__()
        self.run, self.data = run, data

    def on_train_begin(self, logs=None):
        if int(self.model.step):
            return
        corpus, vectors = self.data
        if vectors is None:
            train = self.run.cached(train_word_vectors)
            vectors = train(corpus.training_texts, corpus.vocabulary, self.run.config.embedding)
        self.model.embedding.set_weights([vectors])


def curve_point(run: Run, data: Data, model: Ranker) -> dict[str, float]:
    """MAP, MRR and what h holds of the validation part, by their names in the history; MAP chooses the checkpoint."""
    scores = Scores(run, data, model)
    found = scores.ranked(data.corpus.validation, scores.of("validation")) | scores.latent("validation")
    return {f"validation/{name}": found[name] for name in ("map", "mrr", "kl") if name in found}


class Scores(ModelScores):
    """Those of a ranker on questions with their candidates."""

    def __init__(self, run: Run, data: Data, model: Ranker):
        super().__init__(run, data, model)
        self.corpus = data.corpus
        self.parts = {name: getattr(data.corpus, name) for name in PARTS}
        self.columns = cache(self.compute_columns)

    def compute_columns(self, part: str) -> np.ndarray:
        """What the model says of each candidate, float32 [N, K]."""
        seed = tf.constant([self.run.config.seed, 2])
        shown = answers.evaluation_batches(self.parts[part], self.corpus.vocabulary, EVALUATION_BATCH)
        found = [scored(self.model, batch, tf.random.fold_in(seed, i)) for i, batch in enumerate(shown)]
        return np.concatenate([columns.numpy() for columns in found])

    def latent(self, part: str) -> dict[str, float]:
        """`kl`: the mean of KL(q(h | q, a, y) || p(h | q)) over the candidates of a part, in nats; {} where there is no h.

        q is told the labels, here as in training; no ranking is.
        """
        if getattr(self.model, "attention", None) != "latent":
            return {}
        shown = answers.evaluation_batches(self.parts[part], self.corpus.vocabulary, EVALUATION_BATCH)
        return {"kl": float(np.mean(np.concatenate([kl_of_h(self.model, batch).numpy() for batch in shown])))}

    @cached_property
    def prior_weight(self) -> float:
        """w of log p(q | a) + w log p(a), the one that ranks the validation part best; 0 where a model has one score."""
        first, *second = self.columns("validation").T
        if not second:
            return 0.0
        return max(PRIOR_WEIGHTS, key=lambda w: self.ranked(self.corpus.validation, first + w * second[0])["map"])

    def of(self, part: str) -> np.ndarray:
        """The model's score of each candidate, [N]."""
        columns = self.columns(part)
        return columns[:, 0] + self.prior_weight * columns[:, 1:].sum(1)

    @staticmethod
    def ranked(pairs: Pairs, scores: np.ndarray) -> dict:
        return map_mrr(pairs.groups, scores, pairs.labels)

    def stems(self, part: str) -> tuple[list[list[str]], list[list[str]]]:
        """(question, candidate) of each candidate, as stems."""
        pairs = self.parts[part]
        asked = [[stem(token) for token in text] for text in pairs.questions]
        return [asked[group] for group in pairs.groups], [[stem(t) for t in text] for text in pairs.candidates]

    @cached_property
    def counts(self) -> dict[str, np.ndarray]:
        """The two overlap counts of each part's candidates, [N, 2], with the idf of the training candidates."""
        idf = inverse_document_frequency(self.stems("train")[1])
        return {part: overlap_counts(*self.stems(part), idf) for part in self.parts}

    def reported(self, scores: dict[str, np.ndarray], suffix: str) -> dict:
        """MAP and MRR on the validation and the test part; "clean" leaves out test questions with right answers only."""
        found = {}
        for part, prefix in (("validation", "validation_"), ("test", "")):
            pairs = self.parts[part]
            wrong = np.unique(pairs.groups[pairs.labels == 0])
            sides = {"": slice(None)} | ({"_clean": np.isin(pairs.groups, wrong)} if part == "test" else {})
            for side, kept in sides.items():
                result = map_mrr(pairs.groups[kept], scores[part][kept], pairs.labels[kept])
                found |= {f"{prefix}{key}{suffix}{side}": result[key] for key in ("map", "mrr")}
                found[f"{prefix}questions{side}"] = result["questions"]
        return found

    def ranking(self) -> dict:
        """With and without counts; the scores themselves go to a file, for what compares or combines runs.

        The weights of score and counts are fitted on the validation pairs: of the training pairs the network knows the
        answers, and its score would count for more than it is worth.
        """
        alone = {part: self.of(part) for part in RANKED}
        features = {part: np.column_stack([alone[part], self.counts[part]]) for part in RANKED}
        labels = self.corpus.validation.labels
        counted = {part: logistic_scores(features["validation"], labels, features[part]) for part in RANKED}
        found = self.reported(alone, "") | self.reported(counted, "_counts")
        found |= self.latent("test") | {
            f"validation_{name}": value for name, value in self.latent("validation").items()
        }
        if self.run.mode == "gqa":
            found["prior_weight"] = self.prior_weight
        kept = {}
        for part in RANKED:
            columns = columns_of(self.parts[part], alone[part], counted[part])
            kept |= {f"{part}_{name}": column for name, column in columns.items()}
        write_arrays(self.run.path / CANDIDATES, **kept)
        return found

    def controls(self) -> dict:
        """Rankings by BM25, counts, query likelihood, and topics."""
        validation = self.corpus.validation
        texts = [[stem(token) for token in text] for text in self.corpus.training_texts]
        likelihoods = [
            {part: query_likelihood(*self.stems(part), texts, weight) for part in RANKED} for weight in SMOOTHING
        ]
        labels = self.corpus.train.labels
        rankings = {
            "bm25": {part: bm25_scores(*self.stems(part)) for part in RANKED},
            "only_counts": {part: logistic_scores(self.counts["train"], labels, self.counts[part]) for part in RANKED},
            "query_likelihood": max(likelihoods, key=lambda s: self.ranked(validation, s["validation"])["map"]),
        }
        rankings |= self.topic_rankings()
        scores = {}
        for name, ranking in rankings.items():
            scores |= self.reported(ranking, f"_{name}")
        return scores

    def topic_rankings(self) -> dict[str, dict[str, np.ndarray]]:
        """Cosines of the topics of LSA and NVDM; {} where fewer than two words could make topics (`content_terms`)."""
        counter = CountVectorizer(analyzer=content_terms, max_features=TOPIC_WORDS, min_df=2, dtype=np.float32)
        try:
            counts = counter.fit_transform(self.corpus.training_texts)
        except ValueError:  # scikit-learn's answer to texts without terms
            return {}
        if counts.shape[1] < 2:
            return {}
        lsa = self.run.cached(fit_lsa)(counts, min(TOPICS, counts.shape[1]))
        sides = {part: [counter.transform(side) for side in self.parts[part][:2]] for part in RANKED}
        vectors = {"lsa": {part: [lsa.transform(side) for side in both] for part, both in sides.items()}}
        vectors["nvdm"] = self.run.cached(nvdm_vectors)(counts, sides, TOPICS, TOPIC_UPDATES)
        return {
            name: {part: paired_cosines(found[part][0][self.parts[part].groups], found[part][1]) for part in sides}
            for name, found in vectors.items()
        }

    def attention(self) -> dict:
        """A picture of the attention to right answers under several h; and the nearest questions by h's mean."""
        if self.model.attention != "none":
            figure = attention_figure(self.model, self.corpus, self.run.config.seed, self.run.dataset)
            save_figure(figure, self.run.path / "figures/attention.png")
        shown, known = self.corpus.validation, self.corpus.train
        rows = nearest(self.vectors(shown)[:ASKED], self.vectors(known), NEAREST)
        found = {
            " ".join(question): [" ".join(known.questions[i]) for i in row]
            for question, row in zip(shown.questions, rows, strict=False)
        }
        return {"nearest_questions": found}

    def vectors(self, pairs: Pairs) -> np.ndarray:
        """h's mean of every question, float32 [Q, latent]."""
        shown = answers.evaluation_batches(pairs, self.corpus.vocabulary, EVALUATION_BATCH)
        return np.concatenate([self.model.encode(batch).numpy() for batch in shown])


@tf.function(reduce_retracing=True)  # compiled once for each model, however often a training is scored
def scored(model: Ranker, batch, seed: tf.Tensor) -> tf.Tensor:
    """`Ranker.scores`, [N, K]."""
    return model.scores(batch, seed)


@tf.function(reduce_retracing=True)
def kl_of_h(model: NASM, batch) -> tf.Tensor:
    """KL of h of each candidate, [N], in nats."""
    return model.elbo_terms(batch, tf.constant([0, 0])).kl


def columns_of(pairs: Pairs, scores: np.ndarray, counted: np.ndarray) -> dict[str, np.ndarray]:
    """What it takes to rank the candidates again: each one's question, label and scores, [N] each."""
    return {
        "groups": np.asarray(pairs.groups, np.int32),
        "labels": np.asarray(pairs.labels, np.int32),
        "scores": np.asarray(scores, np.float32),
        "scores_counts": np.asarray(counted, np.float32),
    }


def content_terms(text: list[str]) -> list[str]:
    """Stems of the words that are no stop words, for topics."""
    return [stem(token) for token in text if token.isalpha() and token not in ENGLISH_STOP_WORDS]


def nvdm_vectors(counts, sides: dict[str, list], topics: int, updates: int) -> dict[str, list[np.ndarray]]:
    """mu of texts' counts under an NVDM of so many topics that is trained on `counts` [D, V]."""
    keras.utils.set_random_seed(0)
    model = NVDM(
        words=counts.shape[1],
        topics=topics,
        widths=(200,),
        dropout=0.2,
        log_counts=True,
        kl_weight=lambda step: linear_weight(step, updates // 5),
    )
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    x = documents.batches(counts, min(64, counts.shape[0]), seed=0)
    model.fit(x, epochs=1, steps_per_epoch=updates, verbose=0, shuffle=False)
    return {
        part: [model.infer(tf.constant(side.toarray()))[0].numpy() for side in both] for part, both in sides.items()
    }
