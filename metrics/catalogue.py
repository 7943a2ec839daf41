"""Every score that is reported: its key, label, direction, unit and meaning; and which evaluation computes it.

Tables, figures, `--help`, docs/scores.md and the keys that studies may name are derived from here. `python -m
metrics.catalogue` prints docs/scores.md. Nothing here imports TensorFlow.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Direction = Literal["min", "max"]


class Score(NamedTuple):
    """A score, or something else that an evaluation reports."""

    key: str  # its name in metrics.json
    label: str  # its name in tables and figures
    direction: Direction | None  # "min": lower is better; "max": higher is better; None: no value is better
    unit: str  # "" for a share, and for what has no unit
    needs_labels: bool  # whether it is computed from labels
    doc: str  # what it means, in whole sentences

    @property
    def heading(self) -> str:
        """The label with its unit and an arrow that points to better values, for the heading of a column."""
        arrow = {"min": " ↓", "max": " ↑", None: ""}[self.direction]
        return self.axis + arrow

    @property
    def axis(self) -> str:
        """The label with its unit, for an axis of a figure."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


class Evaluation(NamedTuple):
    """A flag of `evaluate.py`: the scores that are computed together."""

    name: str  # the flag without its dashes
    doc: str  # its help
    keys: tuple[str, ...]  # all that it may report

    @property
    def needs_labels(self) -> bool:
        """Whether nothing remains of the evaluation without labels."""
        return all(SCORES[key].needs_labels for key in self.keys if key not in DESCRIBED)


def variants(
    scores: Iterable[Score], suffix: str, label: str, doc: str, *, directed: bool = True, prefix: str = ""
) -> list[Score]:
    """Return scores that are computed in another way: keys with prefix and suffix, `label` and `doc` appended.

    Args:
        directed: False if the variant describes real data, so that no value is better than another.
    """
    return [
        score._replace(
            key=prefix + score.key + suffix,
            label=f"{score.label}, {label}",
            direction=score.direction if directed else None,
            doc=f"{score.doc} {doc}",
        )
        for score in scores
    ]


# Every run

RUN = [
    Score("mode", "mode", None, "", False, "The run's mode."),
    Score("seed", "seed", None, "", False, "The run's seed."),
    Score("dataset", "data set", None, "", False, "The run's data set."),
    Score("epoch", "epoch", None, "", False, "The epoch of the checkpoint that was scored."),
    Score("n_parameters", "parameters", None, "", False, "Weights of the networks, moving averages left out."),
    Score("train_minutes", "training", "min", "minutes", False, "Time of the training, without scores and pictures."),
    Score(
        "peak_memory_gb", "peak memory", "min", "GB", False, "The most memory that the training held, in 2^30 bytes."
    ),
]

# Images

DISTANCES = [
    Score("fid", "FID", "min", "", False,
          "Fréchet distance of generated and test images, in the features of a small network that is trained on the "
          "training part; where the images have labels, on these."),
    Score("fid_floor", "FID floor", None, "", False,
          "FID of validation images, which neither network was trained on, against the test images."),
    Score("kid", "KID", "min", "", False,
          "Kernel distance (squared maximum mean discrepancy) of generated and test images, in the same features."),
    Score("kid_floor", "KID floor", None, "", False, "KID of validation images against the test images."),
    Score("samples", "images", None, "", False, "How many generated, test and floor images the distances compare."),
    Score("feature_network", "feature network", None, "", False, "What the feature network is and was trained on."),
    Score("feature_network_accuracy", "feature network's accuracy", None, "", False,
          "Test accuracy of the feature network. It tells apart networks that two machines trained, whose distances differ "
          "by up to 10 %. MNIST's network comes with the project, and is the same everywhere."),
]  # fmt: skip
COVERAGE_SCORES = [
    Score("precision", "precision", "max", "", False,
          "Share of generated images that lie close to a test image, in the features of the FID's network."),
    Score("recall", "recall", "max", "", False, "Share of test images that lie close to a generated image."),
    Score("precision_floor", "precision of real images", None, "", False,
          "The precision of validation images: what perfect samples would have."),
    Score("recall_floor", "recall of real images", None, "", False, "The recall of validation images."),
    Score("class_gap", "wrong shares of classes", "min", "", True,
          "Total variation distance between the classes of generated and of test images, both told by the FID's network: "
          "the share of samples that stand in a class in place of another. A lost class of ten costs .1."),
    Score("class_gap_floor", "wrong shares of classes, real images", None, "", True,
          "The same for validation images."),
    Score("sample_shares", "shares of classes, generated", None, "", True,
          "The share of each class among generated images, told by the FID's network."),
    Score("test_shares", "shares of classes, test", None, "", True,
          "The share of each class among test images, told by the same network."),
]  # fmt: skip
PROBES = [
    Score("linear_accuracy", "linear accuracy, mu", "max", "", True,
          "Test accuracy of logistic regression on mu, the posterior mean, fitted on the training part."),
    Score("linear_accuracy_features", "linear accuracy, last hidden layer", "max", "", True,
          "The same on E's last hidden layer."),
    Score("linear_accuracy_pixels", "linear accuracy, pixels", "max", "", True, "The same on raw pixels: a control."),
    Score("linear_accuracy_untrained", "linear accuracy, mu untrained", "max", "", True,
          "The same on mu of the encoder with its first weights: a control."),
    Score("linear_accuracy_features_untrained", "linear accuracy, last hidden layer untrained", "max", "", True,
          "The same on the last hidden layer of the encoder with its first weights: a control."),
    Score("linear_accuracy_lda", "linear accuracy, LDA", "max", "", True, "The same on LDA's topic proportions."),
    Score("linear_accuracy_lsa", "linear accuracy, LSA", "max", "", True, "The same on LSA's document vectors."),
]  # fmt: skip
CODES = [
    Score("hungarian_accuracy", "Hungarian accuracy, head", "max", "", True,
          "Share of test images whose code, by the head, stands for their class. Hungarian matching on the training part "
          "decides which class each code stands for, one code to a class. Codes that are left over stand for their "
          "commonest class."),
    Score("hungarian_accuracy_encoder", "Hungarian accuracy, E", "max", "", True,
          "The same with E's estimate of the code."),
    Score("kmeans_accuracy", "K-means accuracy", "max", "", True,
          "The same with K-means clusters of mu in place of codes."),
    Score("many_to_one_accuracy", "many-to-one accuracy, head", "max", "", True,
          "Share of test images whose code, by the head, has their class as its commonest class on the training part. "
          "Several codes may share a class, so more codes can only help: compare runs of as many codes."),
    Score("many_to_one_accuracy_encoder", "many-to-one accuracy, E", "max", "", True,
          "The same with E's estimate of the code."),
    Score("balanced_accuracy", "Hungarian accuracy by class, head", "max", "", True,
          "Mean over the classes of the share of their test images whose code, by the head, stands for them, under the "
          "same one-to-one matching. A small class counts as much as a large one."),
    Score("balanced_accuracy_encoder", "Hungarian accuracy by class, E", "max", "", True,
          "The same with E's estimate of the code."),
    Score("nmi", "NMI", "max", "", True,
          "Normalised mutual information of codes, or of clusters, and classes on the test part: I(code; class) over the "
          "mean of both entropies, in [0, 1]. Codes are not matched to classes for it."),
    Score("code_prior", "p(c)", None, "", False,
          "The prior probability of each category of the code: equal for all, or learned without labels."),
    Score("class_shares", "share of the class (evaluation only)", None, "", True,
          "The share of the training images that each class has, from their labels."),
    Score("class_names", "names of the classes", None, "", True, "The names of the classes 0, 1, and so on."),
    Score("code_to_class", "class of each code", None, "", True, "The number of the class that each code stands for."),
    Score("classes_without_code", "classes without a code", None, "", True,
          "The names of the classes that no code stands for, as there are fewer codes than classes."),
    Score("confusion", "confusion", None, "", True, "Counts of test images by code (rows) and class (columns)."),
    Score("view_agreement", "agreement of two views", "max", "", False,
          "Share of validation images whose code, by the head, is that of a second view."),
    Score("view_information", "information of two views", "max", "nats", False,
          "Mutual information of the head's codes of validation images and of second views; at most log(categories)."),
    Score("information_bound", "InfoGAN's bound", "max", "nats", False,
          "InfoGAN's lower bound on the mutual information of the categorical code and the generated image; at most "
          "log(categories)."),
]  # fmt: skip
RECONSTRUCTIONS = [
    Score("reconstruction_mse", "reconstruction error, pixels", "min", "", False,
          "Mean squared error of test images, in [-1, 1], and their reconstructions."),
    Score("reconstruction_features", "reconstruction error, features", "min", "", False,
          "The same error in the features of the feature network."),
]  # fmt: skip

# Text: bounds, latents, samples

BOUNDS = [
    Score("elbo_nll", "NLL + KL", "min", "nats", False,
          "The negative ELBO, a bound on -log p(x): mean over the test texts."),
    Score("iw_nll", "importance-weighted NLL", "min", "nats", False,
          "A tighter bound on -log p(x): the logarithm of the mean of importance weights; exact for a language model."),
    Score("iw_nll_by_samples", "importance-weighted NLL by samples", None, "nats", False,
          "The same bound for fewer samples."),
    Score("reference_nll", "the public code's NLL", "min", "nats", False,
          "The estimate of TWR-VAE's public code: NLL of the decoded mean plus the regularizer. It is not a bound."),
    Score("length_nats", "cost of the length", "min", "nats", False,
          "-log p(T) of the number of steps, which is part of the bounds if z's prior depends on T."),
    Score("perplexity", "perplexity", "min", "", False,
          "exp of the importance-weighted NLL per token; the end of a sentence is a token."),
    Score("perplexity_tokens", "tokens of the perplexity", None, "", False, "How many tokens the perplexity divides by."),
    Score("perplexity_document", "perplexity per document", "min", "", False,
          "exp of the mean over documents of the negative ELBO per word, as NVDM's paper reports it."),
    Score("perplexity_corpus", "perplexity per corpus", "min", "", False,
          "exp of the negative ELBO of all documents over all words."),
]  # fmt: skip
LATENTS = [
    Score("kl", "KL", None, "nats", False,
          "KL of the posterior of the z that is decoded (of h, for NASM) to its prior, mean over the test part. 0 is a "
          "collapse; a large KL is not better by itself."),
    Score("kl_z1", "KL of z1", None, "nats", False, "The part of ml-VAE-D's KL that z1 has; only the sum is a KL."),
    Score("kl_z2", "KL of z2", None, "nats", False, "The part of ml-VAE-D's KL that z2 has."),
    Score("kl_by_step", "KL by step", None, "nats", False,
          "Mean KL of the posterior at every time step, counted from the start and from the end of a sentence."),
    Score("kl_shortest", "KL of the shortest quarter", None, "nats", False,
          "Mean KL of the quarter of the test documents with the fewest words."),
    Score("kl_longest", "KL of the longest quarter", None, "nats", False, "The same of those with the most words."),
    Score("words_shortest", "words of the shortest quarter", None, "", False,
          "Mean words of the quarter of the test documents with the fewest words."),
    Score("words_longest", "words of the longest quarter", None, "", False, "The same of those with the most words."),
    Score("mutual_information", "I(x; z)", "max", "nats", False,
          "Mutual information of a text and its z under the posterior; at most the logarithm of the number of texts."),
    Score("mutual_information_sentences", "sentences of I(x; z)", None, "", False, "Sentences that I(x; z) is over."),
    Score("mutual_information_paragraphs", "paragraphs of I(x; z)", None, "", False, "Paragraphs that I(x; z) is over."),
    Score("mutual_information_documents", "documents of I(x; z)", None, "", False, "Documents that I(x; z) is over."),
    Score("active_units", "active units", "max", "", False,
          "Dimensions of z whose posterior mean has a variance above .01 over the test part."),
]  # fmt: skip
DIVERSITY = [
    Score("distinct_1", "distinct words", "max", "", False, "Distinct words over all words of texts from the prior."),
    Score("distinct_2", "distinct bigrams", "max", "", False,
          "Distinct bigrams over all bigrams of texts from the prior."),
    Score("self_bleu", "self-BLEU", "min", "", False,
          "Mean BLEU-4 of each text from the prior against the others; lower is more varied."),
]  # fmt: skip
PARAGRAPHS = [
    Score("bleu", "BLEU", "max", "", False, "BLEU-4 of paragraphs from the prior against test paragraphs."),
    Score("repeated_2", "repeated bigrams", "min", "", False,
          "Mean share of a paragraph's bigrams that stand in several of its sentences; paragraphs from the prior."),
    Score("repeated_3", "repeated trigrams", "min", "", False, "The same for trigrams."),
    Score("sentences", "sentences", None, "", False, "Mean number of sentences of paragraphs from the prior."),
]  # fmt: skip
WRITTEN = [
    Score("generated", "generated texts", None, "", False, "Some texts from the prior, by the way they were drawn."),
    Score("reconstructions", "reconstructed texts", None, "", False, "Some test texts, each with its reconstruction."),
    Score("interpolations", "interpolations", None, "", False, "Paths from one test text to another."),
]
TOP_P = variants([*DIVERSITY, *PARAGRAPHS], "_top_p", "top-p .9", "Words are drawn from the likeliest 90 %.")
REAL = variants(
    [*DIVERSITY, *PARAGRAPHS[1:]], "_test", "real text", "Test texts in place of those from the prior.", directed=False
)
REAL += variants(
    PARAGRAPHS[:1], "_validation", "real text", "Validation texts in place of those from the prior.", directed=False
)

# Topics

TOPICS = [
    Score("coherence_npmi", "NPMI", "max", "", False,
          "Mean normalised pointwise mutual information of the pairs among ten top words of a topic, on the training "
          "documents, in [-1, 1]."),
    Score("topic_diversity", "topic diversity", "max", "", False,
          "Share of distinct words among the 25 top words of all topics."),
    Score("example_topics", "examples of topics", None, "", False,
          "Ten topics at equal distances in the order of NPMI, from the highest to the lowest: NPMI and top words."),
]  # fmt: skip
LISTED = [
    Score("topics", "topics", None, "", False, "The top words of every topic."),
    Score("nearest_words", "nearest words", None, "", False, "Frequent words, each with the words of nearest vectors."),
    Score("nearest_documents", "nearest documents", None, "", False,
          "Some test documents, each with the training documents of nearest mu."),
    Score("nearest_questions", "nearest questions", None, "", False,
          "Some validation questions, each with the training questions of nearest mean of h."),
]  # fmt: skip

# Answer selection

RANKINGS = [
    Score("map", "MAP", "max", "", True,
          "Mean average precision over the test questions that have a right answer. Of equal scores all orders count."),
    Score("mrr", "MRR", "max", "", True, "Mean reciprocal rank of the first right answer over the same questions."),
]  # fmt: skip
RANKERS = {  # the end of a key -> its label and its meaning
    "": ("", ""),
    "_counts": ("with counts",
                "Logistic regression on the model's score and two overlap counts, fitted on the validation part."),
    "_types": ("with counts and answer types",
               "As with counts, with five more features: whether the candidate has the year, number, definition or place "
               "that is asked for, and the logarithm of its length."),
    "_position": ("order in the file", "Ranked by the place in the file, the first place first: a control."),
    "_bm25": ("BM25", "Ranked by BM25: a control."),
    "_only_counts": ("overlap counts alone", "Ranked by overlap counts alone: a control."),
    "_only_types": ("counts and answer types alone",
                    "Ranked by logistic regression on overlap counts and answer types, without a network: a control."),
    "_query_likelihood": ("query likelihood", "Ranked by unigram query likelihood: a control."),
    "_lsa": ("LSA", "Ranked by the cosine of LSA's topics: a control."),
    "_nvdm": ("NVDM", "Ranked by the cosine of NVDM's topics: a control."),
}  # fmt: skip
MODELS = ("", "_counts", "_types")  # the ends of the keys of a model's own rankings; the others are of controls
QUESTIONS = [
    Score("questions", "questions", None, "", True, "Test questions that have a right answer."),
    Score("questions_clean", "questions, clean", None, "", True, "Test questions that have a right and a wrong answer."),
    Score("validation_questions", "questions, validation", None, "", True, "Validation questions with a right answer."),
    Score("prior_weight", "weight of the prior", None, "", True,
          "The weight w of log p(q | a) + w log p(a) that ranks the validation part best."),
]  # fmt: skip


def rankings(endings: Iterable[str]) -> list[Score]:
    """Return MAP and MRR of rankers: on the test part, on its clean questions, and on the validation part."""
    found = []
    for ending in endings:
        label, doc = RANKERS[ending]
        own = variants(RANKINGS, ending, label, doc) if label else RANKINGS
        found += own
        found += variants(own, "_clean", "clean", "Only questions with a right and a wrong answer count.")
        found += validation(own)
    return found


def validation(scores: Iterable[Score]) -> list[Score]:
    """Return the same scores of the validation part."""
    return variants(scores, "", "validation", "Of the validation part.", prefix="validation_")


REFINED = [
    variant
    for ending, label, which in (
        ("_diagonal", "refined, diagonal", "among the diagonal Gaussians, as the inference network's"),
        ("_refined", "refined", "among all Gaussians"),
    )
    for variant in variants(
        [s for s in (*BOUNDS, *LATENTS) if s.key in ("elbo_nll", "kl", "perplexity_document", "perplexity_corpus")],
        ending,
        label,
        f"Each document's posterior is refined by Newton's method to the best {which}.",
    )
]
LDA = variants(
    [s for s in BOUNDS if s.key in ("perplexity_document", "perplexity_corpus")],
    "_lda", "LDA", "By LDA with as many topics: a control.",
) + variants(TOPICS, "_lda", "LDA", "By LDA with as many topics: a control.")  # fmt: skip
LSA = variants(TOPICS, "_lsa", "LSA", "By LSA with as many topics: a control.")
CHOOSING = validation(s for s in (*BOUNDS, *LATENTS) if s.key in ("elbo_nll", "perplexity_document", "kl"))

SCORES: dict[str, Score] = {
    score.key: score
    for score in (
        *RUN, *DISTANCES, *COVERAGE_SCORES, *PROBES, *CODES, *RECONSTRUCTIONS, *BOUNDS, *REFINED, *LATENTS, *CHOOSING,
        *DIVERSITY, *PARAGRAPHS, *TOP_P, *REAL, *WRITTEN, *TOPICS, *LDA, *LSA, *LISTED,
        *rankings(RANKERS), *QUESTIONS,
    )
}  # fmt: skip
FEATURE_NETWORK = ("feature_network", "feature_network_accuracy")  # scores of two networks are not compared
DISTANCES_BY = ("samples", *FEATURE_NETWORK)  # what distances depend on
DESCRIBED = (*DISTANCES_BY, "code_prior")  # keys that describe other scores


def keys(scores: Iterable[Score]) -> tuple[str, ...]:
    """Return the keys of scores."""
    return tuple(score.key for score in scores)


# Evaluations of images

FID = Evaluation("fid", "distance of generated and test images", ("fid", "fid_floor", *DISTANCES_BY))
KID = Evaluation("kid", "kernel distance of generated and test images", ("kid", "kid_floor", *DISTANCES_BY))
COVERAGE = Evaluation(
    "coverage",
    "what generated images leave out: precision, recall, and the share of each class",
    (*keys(COVERAGE_SCORES), "class_names", *DISTANCES_BY),
)
LINEAR = Evaluation(
    "linear",
    "classes read from latents and features by a linear classifier",
    keys(score for score in PROBES if not score.key.endswith(("_lda", "_lsa"))),
)
RECONSTRUCTION = Evaluation("reconstruction", "errors of reconstructions", (*keys(RECONSTRUCTIONS), *FEATURE_NETWORK))
KMEANS = Evaluation("kmeans", "clusters of mu against the classes", ("kmeans_accuracy", "nmi"))
HUNGARIAN = Evaluation(
    "hungarian",
    "codes against the classes",
    ("hungarian_accuracy", "hungarian_accuracy_encoder", "many_to_one_accuracy", "many_to_one_accuracy_encoder",
     "balanced_accuracy", "balanced_accuracy_encoder", "class_names", "class_shares", "code_prior", "code_to_class",
     "classes_without_code", "nmi", "confusion"),
)  # fmt: skip
CONSISTENCY = Evaluation(
    "consistency",
    "quality of the codes without labels, on the validation part",
    ("view_agreement", "view_information", "information_bound"),
)

# Evaluations of text

SENTENCE_LIKELIHOOD = Evaluation(
    "likelihood",
    "bounds, perplexity, and what z holds",
    ("elbo_nll", "iw_nll", "iw_nll_by_samples", "perplexity", "perplexity_tokens", "validation_elbo_nll", "reference_nll",
     "kl", "kl_by_step", "mutual_information", "mutual_information_sentences", "active_units", "length_nats"),
)  # fmt: skip
PARAGRAPH_LIKELIHOOD = Evaluation(
    "likelihood",
    SENTENCE_LIKELIHOOD.doc,
    ("elbo_nll", "iw_nll", "iw_nll_by_samples", "perplexity", "perplexity_tokens", "validation_elbo_nll", "kl", "kl_z1",
     "kl_z2", "mutual_information", "mutual_information_paragraphs", "active_units"),
)  # fmt: skip
DOCUMENT_LIKELIHOOD = Evaluation(
    "likelihood",
    SENTENCE_LIKELIHOOD.doc,
    ("perplexity_document", "perplexity_corpus", "elbo_nll", "kl", *keys(REFINED), "mutual_information",
     "mutual_information_documents", "active_units", "kl_shortest", "kl_longest", "words_shortest", "words_longest",
     "validation_perplexity_document"),
)  # fmt: skip
SENTENCE_GENERATION = Evaluation(
    "generation",
    "diversity of texts from the prior, and samples",
    (*keys(DIVERSITY), *(f"{score.key}{way}" for score in DIVERSITY for way in ("_top_p", "_test")), *keys(WRITTEN)),
)
PARAGRAPH_GENERATION = Evaluation(
    "generation",
    SENTENCE_GENERATION.doc,
    ("bleu", "bleu_top_p", "bleu_validation", "generated", "reconstructions",
     *(f"{key}{way}" for key in ("distinct_2", "self_bleu", "repeated_2", "repeated_3", "sentences")
       for way in ("", "_top_p", "_test"))),
)  # fmt: skip
TOPIC_QUALITY = Evaluation(
    "topics",
    "coherence and diversity of topics; nearest words and documents",
    (*keys(TOPICS), "topics", "nearest_words", "nearest_documents"),
)
DOCUMENT_LINEAR = Evaluation("linear", LINEAR.doc, ("linear_accuracy",))
DOCUMENT_CONTROLS = Evaluation(
    "controls",
    "the scores of simple baselines: LDA and LSA, or BM25, word counts and topics",
    (*keys(LDA), *keys(LSA), "linear_accuracy_lda", "linear_accuracy_lsa"),
)
RANKING = Evaluation(
    "ranking",
    "how well the candidates are ranked",
    (*keys(rankings(MODELS)), *keys(QUESTIONS), "kl", "validation_kl"),
)
RANKING_CONTROLS = Evaluation(
    "controls",
    DOCUMENT_CONTROLS.doc,
    (*keys(rankings(ending for ending in RANKERS if ending not in MODELS)), *keys(QUESTIONS[:3])),
)
ATTENTION = Evaluation("attention", "a picture of the attention; nearest questions", ("nearest_questions",))

EVALUATIONS = (
    FID, KID, COVERAGE, LINEAR, RECONSTRUCTION, KMEANS, HUNGARIAN, CONSISTENCY, SENTENCE_LIKELIHOOD, PARAGRAPH_LIKELIHOOD,
    DOCUMENT_LIKELIHOOD, SENTENCE_GENERATION, PARAGRAPH_GENERATION, TOPIC_QUALITY, DOCUMENT_LINEAR, DOCUMENT_CONTROLS,
    RANKING, RANKING_CONTROLS, ATTENTION,
)  # fmt: skip


def score_of(key: str) -> Score:
    """Return the score of a key. Raise KeyError if the catalogue does not have it."""
    if key not in SCORES:
        raise KeyError(f"{key!r} is not a score of metrics/catalogue.py")
    return SCORES[key]


def worst(key: str, values: list[float]) -> float | None:
    """Return the worst of some values of a score; None if no value of it is better than another."""
    direction = score_of(key).direction
    return None if direction is None else max(values) if direction == "min" else min(values)


def page() -> str:
    """Return docs/scores.md."""
    better = {"min": "lower", "max": "higher", None: ""}
    lines = [
        "# Scores",
        "",
        "<!-- Written by `python -m metrics.catalogue > docs/scores.md`. -->",
        "",
        "Every key that an evaluation writes into `metrics.json`. Where nothing else is said, a score is of the test part.",
        "",
        "| key | label | better | unit | needs labels | flag | meaning |",
        "|---|---|---|---|---|---|---|",
    ]
    for score in SCORES.values():
        flags = dict.fromkeys(f"`--{own.name}`" for own in EVALUATIONS if score.key in own.keys)
        cells = (f"`{score.key}`", score.label, better[score.direction], score.unit)
        doc = score.doc.replace("|", "\\|")
        lines.append(f"| {' | '.join((*cells, 'yes' if score.needs_labels else '', ' '.join(flags), doc))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(page())
