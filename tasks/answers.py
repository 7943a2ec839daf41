"""Answers: how questions and candidates are read, which models fit them, what a training shows, and their scores."""

import dataclasses
from collections import Counter
from collections.abc import Collection
from functools import cache, cached_property, partial
from itertools import chain
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from data import answers, documents
from data.answers import AnswerBatch, AnswerCorpus, Pairs, load_answers, stem
from data.digests import short_sha256
from data.order import full_batches
from data.text import PARTS, is_english, is_word
from data.vocabulary import digest
from data.word_vectors import read_word_vectors, train_word_vectors
from data.wording import Wording
from metrics import catalogue
from metrics.ranking import map_mrr
from metrics.retrieval import (
    answer_types,
    bm25_scores,
    inverse_document_frequency,
    logistic_scores,
    nearest,
    overlap_counts,
    paired_cosines,
    places,
    query_likelihood,
)
from metrics.topics import fit_lsa
from reporting.figures import attention_figure
from reporting.tensorboard import QuestionSummary, Scalars, open_writer
from tasks.base import Scorer, Task, computes
from tasks.configs import RankerConfig
from text_vae.nasm import NASM
from text_vae.nvdm import NVDM
from text_vae.ranker import Ranker
from training.config import with_epochs
from training.runs import CANDIDATES, Run

RANKED = ("validation", "test")  # parts
EVALUATION_BATCH = 16  # questions
PRIOR_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # w of log p(q | a) + w log p(a)
SMOOTHING = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the query likelihood's background
TOPICS = 50  # of LSA and NVDM
TOPIC_WORDS = 3000
TOPIC_UPDATES = 3000  # of NVDM, 64 texts each
ASKED, NEAREST = 10, 5  # validation questions that are listed, and how many training questions each has beside it


class RankingData(NamedTuple):
    """Questions with their candidates, and the words' first vectors."""

    corpus: AnswerCorpus
    vectors: np.ndarray | None  # float32 [V, D] of --word-vectors; None: they are trained on the training text


class RankingScorer(Scorer[RankingData]):
    """The scores of a ranker on questions with their candidates."""

    def __init__(self, task: Task[RankingData], run: Run, data: RankingData, model: Any):
        super().__init__(task, run, data, model)
        self.corpus = data.corpus
        self.parts = {name: getattr(data.corpus, name) for name in PARTS}
        self.columns = cache(self.compute_columns)
        self.candidates: dict[str, np.ndarray] = {}  # what `ranking` leaves for `arrays`

    def curve(self) -> dict[str, float]:
        """Return MAP, which chooses the checkpoint, MRR, and what h holds of the validation part."""
        found = self.ranked(self.corpus.validation, self.of("validation")) | self.latent("validation")
        return {key: found[key] for key in ("map", "mrr", "kl") if key in found}

    def figures(self) -> dict[str, Figure]:
        """Draw the attention to right answers, if the nearest questions were computed and the model has attention."""
        if "nearest_questions" not in self.found or self.model.attention == "none":
            return {}
        return {"attention": attention_figure(self.model, self.corpus, self.config.seed, self.run.dataset)}

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the scores of all candidates, from which runs are compared and combined."""
        return {CANDIDATES: self.candidates} if self.candidates else {}

    def compute_columns(self, part: str) -> np.ndarray:
        """Return the model's columns of scores of each candidate of a part, float32 [N, K]."""
        seed = tf.constant([self.config.seed, 2])
        shown = answers.evaluation_batches(self.parts[part], self.corpus.vocabulary, EVALUATION_BATCH)
        found = [scored(self.model, batch, tf.random.fold_in(seed, i)) for i, batch in enumerate(shown)]
        return np.concatenate([columns.numpy() for columns in found])

    def latent(self, part: str) -> dict[str, float]:
        """Return `kl`: the mean of KL(q(h | q, a, y) || p(h | q)) over the candidates of a part; nothing without h.

        q reads the labels, here as in training. No ranking reads them.
        """
        if not isinstance(self.model, NASM) or self.model.attention != "latent":
            return {}
        shown = answers.evaluation_batches(self.parts[part], self.corpus.vocabulary, EVALUATION_BATCH)
        return {"kl": float(np.mean(np.concatenate([kl_of_h(self.model, batch).numpy() for batch in shown])))}

    @cached_property
    def prior_weight(self) -> float:
        """The w of log p(q | a) + w log p(a) with the best MAP on the validation part; 0 if candidates have one column."""
        first, *second = self.columns("validation").T
        if not second:
            return 0.0
        return max(PRIOR_WEIGHTS, key=lambda w: self.ranked(self.corpus.validation, first + w * second[0])["map"])

    def of(self, part: str) -> np.ndarray:
        """Return the model's score of each candidate of a part, [N]."""
        columns = self.columns(part)
        return columns[:, 0] + self.prior_weight * columns[:, 1:].sum(1)

    @staticmethod
    def ranked(pairs: Pairs, scores: np.ndarray) -> dict[str, Any]:
        """Return MAP, MRR and the number of questions for scores [N] of candidates."""
        return {**map_mrr(pairs.groups, scores, pairs.labels)}

    def stems(self, part: str) -> tuple[list[list[str]], list[list[str]]]:
        """Return the stems of each candidate's question, and of each candidate."""
        pairs = self.parts[part]
        asked = [[stem(token) for token in text] for text in pairs.questions]
        return [asked[group] for group in pairs.groups], [[stem(t) for t in text] for text in pairs.candidates]

    @cached_property
    def types(self) -> dict[str, np.ndarray]:
        """The `answer_types` of each part's candidates, [N, 5]."""
        return {
            name: answer_types([pairs.questions[group] for group in pairs.groups], pairs.candidates)
            for name, pairs in self.parts.items()
        }

    @cached_property
    def counts(self) -> dict[str, np.ndarray]:
        """The two overlap counts of each part's candidates, [N, 2], with the idf of the training candidates."""
        idf = inverse_document_frequency(self.stems("train")[1])
        return {part: overlap_counts(*self.stems(part), idf) for part in self.parts}

    def reported(self, scores: dict[str, np.ndarray], suffix: str) -> dict[str, Any]:
        """Return MAP and MRR on the validation and the test part.

        Keys that end in "clean" leave out test questions without a wrong answer.
        """
        found: dict[str, Any] = {}
        for part, prefix in (("validation", "validation_"), ("test", "")):
            pairs = self.parts[part]
            wrong = np.unique(pairs.groups[pairs.labels == 0])
            sides = {"": slice(None)} | ({"_clean": np.isin(pairs.groups, wrong)} if part == "test" else {})
            for side, kept in sides.items():
                result = map_mrr(pairs.groups[kept], scores[part][kept], pairs.labels[kept])
                found |= {f"{prefix}{key}{suffix}{side}": result[key] for key in ("map", "mrr")}
                found[f"{prefix}questions{side}"] = result["questions"]
        return found

    @computes(catalogue.RANKING)
    def ranking(self) -> dict[str, Any]:
        """Rank by the model's score, alone, with overlap counts, and with answer types too.

        The weights of score, counts and types are fitted on the validation pairs. On the training pairs the score would
        get too much weight, because the network was trained on their labels.
        """
        alone = {part: self.of(part) for part in RANKED}
        labels = self.corpus.validation.labels

        def beside(*others: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            columns = {part: np.column_stack([alone[part], *(other[part] for other in others)]) for part in RANKED}
            return {part: logistic_scores(columns["validation"], labels, columns[part]) for part in RANKED}

        counted, typed = beside(self.counts), beside(self.counts, self.types)
        found = self.reported(alone, "") | self.reported(counted, "_counts") | self.reported(typed, "_types")
        found |= self.latent("test") | {
            f"validation_{name}": value for name, value in self.latent("validation").items()
        }
        if self.columns("test").shape[1] > 1:
            found["prior_weight"] = self.prior_weight
        for part in RANKED:
            columns = columns_of(self.parts[part], alone[part], counted[part], typed[part])
            self.candidates |= {f"{part}_{name}": column for name, column in columns.items()}
        return found

    @computes(catalogue.RANKING_CONTROLS)
    def controls(self) -> dict[str, Any]:
        """Rank by place, BM25, counts, answer types, query likelihood, and topics."""
        validation = self.corpus.validation
        texts = [[stem(token) for token in text] for text in self.corpus.training_texts]
        likelihoods = [
            {part: query_likelihood(*self.stems(part), texts, weight) for part in RANKED} for weight in SMOOTHING
        ]
        labels = self.corpus.train.labels
        typed = {part: np.column_stack([self.counts[part], self.types[part]]) for part in self.parts}
        rankings = {
            "position": {part: -places(self.parts[part].groups) for part in RANKED},
            "bm25": {part: bm25_scores(*self.stems(part)) for part in RANKED},
            "only_counts": {part: logistic_scores(self.counts["train"], labels, self.counts[part]) for part in RANKED},
            "only_types": {part: logistic_scores(typed["train"], labels, typed[part]) for part in RANKED},
            "query_likelihood": max(likelihoods, key=lambda s: self.ranked(validation, s["validation"])["map"]),
        }
        rankings |= self.topic_rankings()
        scores = {}
        for name, ranking in rankings.items():
            scores |= self.reported(ranking, f"_{name}")
        return scores

    def topic_rankings(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the cosines of LSA's and NVDM's topics, by part; nothing if there are fewer than two `content_terms`."""
        english = is_english(Counter(chain.from_iterable(self.corpus.training_texts)))
        options: dict[str, Any] = {
            "analyzer": partial(content_terms, stop_words=ENGLISH_STOP_WORDS if english else ()),
            "dtype": np.float32,
        }  # wider types than scikit-learn infers
        counter = CountVectorizer(max_features=TOPIC_WORDS, min_df=2, **options)
        try:
            counts: Any = counter.fit_transform(self.corpus.training_texts)
        except ValueError:  # scikit-learn raises it for texts without terms
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

    @computes(catalogue.ATTENTION)
    def attention(self) -> dict[str, Any]:
        """Find the nearest questions by the mean of h; `figures` draws the attention."""
        shown, known = self.corpus.validation, self.corpus.train
        rows = nearest(self.vectors(shown)[:ASKED], self.vectors(known), NEAREST)
        found = {
            " ".join(question): [" ".join(known.questions[i]) for i in row]
            for question, row in zip(shown.questions, rows, strict=False)
        }
        return {"nearest_questions": found}

    def vectors(self, pairs: Pairs) -> np.ndarray:
        """Return the mean of h for every question, float32 [Q, latent]."""
        shown = answers.evaluation_batches(pairs, self.corpus.vocabulary, EVALUATION_BATCH)
        return np.concatenate([self.model.encode(batch).numpy() for batch in shown])


class RankingTask(Task[RankingData]):
    """The modes that rank answers."""

    scorer = RankingScorer
    limits = (
        "It ranks the candidates that it is given, and does not know whether any of them is right. Its scores compare "
        "candidates of one question alone."
    )

    def load(self, config: RankerConfig) -> RankingData:
        """Read the questions alone: the vectors of a trained model are among its weights."""
        return RankingData(
            load_answers(config.dataset, config.data_dir, config.vocabulary_size, config.max_length), None
        )

    def resolve(
        self, config: RankerConfig, left_open: frozenset[str] = frozenset()
    ) -> tuple[RankerConfig, RankingData]:
        """Read the questions, and the vectors of `--word-vectors`, which decide the width of the words' vectors."""
        data = self.load(config)
        if config.word_vectors:
            vectors = read_word_vectors(config.word_vectors, data.corpus.vocabulary)
            data = data._replace(vectors=vectors)
            config = dataclasses.replace(config, embedding=vectors.shape[1])
        return with_epochs(config, self.steps_per_epoch(config, data)), data

    def facts(self, data: RankingData) -> dict[str, Any]:
        corpus = data.corpus
        content = "\n".join(" ".join(text) for text in corpus.training_texts).encode() + corpus.train.labels.tobytes()
        return corpus.facts | {
            "labels": True,
            "vocabulary": corpus.vocabulary.size,
            "vocabulary_sha256": digest(corpus.vocabulary.words),
            "sha256": short_sha256([content]),  # of the training part
        }

    def wording(self, data: RankingData) -> Wording:
        return data.corpus.wording

    def steps_per_epoch(self, config: RankerConfig, data: RankingData) -> int:
        return full_batches(len(data.corpus.train.questions), config.batch_size, "questions")

    def batches(self, config: RankerConfig, data: RankingData, first_epoch: int) -> tf.data.Dataset:
        corpus = data.corpus
        return answers.batches(corpus.train, corpus.vocabulary, config.batch_size, config.seed, first_epoch)

    def data_arguments(self, config: RankerConfig, facts: dict[str, Any]) -> dict[str, Any]:
        return {"words": facts["vocabulary"]}

    def initialize(self, model: Ranker, run: Run, data: RankingData) -> None:
        """Set the words' vectors: those of a file, or word2vec's of the training text."""
        corpus, vectors = data
        if vectors is None:
            train = run.cached(train_word_vectors)
            vectors = train(corpus.training_texts, corpus.vocabulary, model.embedding.output_dim)
        model.embedding.set_weights([vectors])

    def callbacks(self, run: Run, data: RankingData) -> list[keras.callbacks.Callback]:
        writer = open_writer(run)
        shown = [QuestionSummary(run, writer, data.corpus)] if issubclass(self.model, NASM) else []
        return [Scalars(run, writer), *shown]


# Compiled once for each model, however often a training is scored.
@tf.function(reduce_retracing=True, autograph=False)
def scored(model: Ranker, batch: AnswerBatch, seed: Any) -> tf.Tensor:
    """Return `Ranker.scores`, [N, K]; `seed`: int32 [2]."""
    return model.scores(batch, seed)


@tf.function(reduce_retracing=True, autograph=False)
def kl_of_h(model: NASM, batch: AnswerBatch) -> tf.Tensor:
    """Return the KL of h for each candidate, [N], in nats."""
    return model.elbo_terms(batch, tf.constant([0, 0])).kl


def columns_of(pairs: Pairs, scores: np.ndarray, counted: np.ndarray, typed: np.ndarray) -> dict[str, np.ndarray]:
    """Return what ranks the candidates again: the question, label and scores of each, [N] each."""
    return {
        "groups": np.asarray(pairs.groups, np.int32),
        "labels": np.asarray(pairs.labels, np.int32),
        "scores": np.asarray(scores, np.float32),
        "scores_counts": np.asarray(counted, np.float32),
        "scores_types": np.asarray(typed, np.float32),
    }


def content_terms(text: list[str], stop_words: Collection[str]) -> list[str]:
    """Return the stems of a text's words without stop words, for topics."""
    return [stem(token) for token in text if is_word(token) and token not in stop_words]


def nvdm_vectors(counts: Any, sides: dict[str, list], topics: int, updates: int) -> dict[str, list[np.ndarray]]:
    """Return mu of the counts of texts, by part, under an NVDM that is trained on `counts` [D, V] for `updates` steps."""
    model: Any = NVDM.create(
        words=counts.shape[1],
        topics=topics,
        encoder_widths=(200,),
        dropout=0.2,
        reads="log_counts",
        alternate=0,
        kl_warm_up=updates // 5,
        decay=0.0,
        rate=1e-3,
        final_rate=1e-3,
        epochs=1,
        steps_per_epoch=updates,
    )
    x = documents.batches(counts, min(64, counts.shape[0]), seed=0)
    model.fit(x, epochs=1, steps_per_epoch=updates, verbose=0, shuffle=False)
    return {
        part: [model.infer(tf.constant(side.toarray()))[0].numpy() for side in both] for part, both in sides.items()
    }
