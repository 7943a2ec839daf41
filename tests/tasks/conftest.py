"""Tiny data sets of every kind of text, and what the tests of sentences and of paragraphs both ask."""

import json

import numpy as np
import pytest

from tasks.modes import MODES, load_run

ANIMALS = ["cat", "dog", "cow", "hen", "pig", "fox"]  # the words of one kind of documents
SKY = ["sun", "moon", "star", "sky", "comet", "orbit"]
SENTENCES = [["the", "cat", "sees", "a", "dog"], ["far", "stars", "shine", "at", "night", "."]]
PARAGRAPHS = [
    ["the cat sat .", "a cat saw a dog .", "it ran ."],
    ["the sun rose .", "stars and a moon fell .", "it shone ."],
]
THINGS = "ice cave river moon stone tree bird fish wind fire sand lake".split()


@pytest.fixture(scope="session")
def kinds():
    """The words of the two kinds of documents in `documents_folder`."""
    return [ANIMALS, SKY]


@pytest.fixture(scope="session")
def things():
    """The words that the questions in `answers_folder` ask for."""
    return THINGS


@pytest.fixture(scope="session")
def documents_folder(tmp_path_factory):
    """A counted corpus of two kinds of documents, with labels: 80 to train on, 40 to test."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("documents") / "animals"
    folder.mkdir()
    (folder / "vocab.new").write_text("".join(f"{word} 1\n" for word in ANIMALS + SKY))
    for part, count in (("train", 80), ("test", 40)):
        lines = []
        for document in range(count):
            kind = document % 2
            ids = sorted(6 * kind + random.choice(6, 4, replace=False) + 1)
            lines.append(f"{kind + 1} " + " ".join(f"{i}:{random.integers(1, 4)}" for i in ids))
        (folder / f"{part}.feat").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def sentences_file(tmp_path_factory):
    """120 sentences of two kinds, a line each."""
    random, file = np.random.default_rng(0), tmp_path_factory.mktemp("sentences") / "animals.txt"
    chosen = [SENTENCES[random.integers(2)] for _ in range(120)]
    file.write_text("".join(" ".join(words[: random.integers(2, 7)]) + "\n" for words in chosen))
    return file


@pytest.fixture(scope="session")
def paragraphs_file(tmp_path_factory):
    """120 paragraphs of two or three sentences of one of two kinds."""
    random, file = np.random.default_rng(0), tmp_path_factory.mktemp("paragraphs") / "kinds.txt"
    chosen = [random.permutation(PARAGRAPHS[i % 2])[: random.integers(2, 4)] for i in range(120)]
    file.write_text("\n\n".join("\n".join(sentences) for sentences in chosen) + "\n")
    return file


@pytest.fixture(scope="session")
def answers_folder(tmp_path_factory):
    """20 questions a part, in parallel files.

    A right answer repeats the two things of the question; a wrong one has one of them, or none.
    """
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("answers") / "things"
    for part in ("train", "dev", "test"):
        rows = []
        for question in range(20):
            a, b, c, d = random.choice(THINGS, 4, replace=False)
            candidates = [(f"the {a} is near the {b}", 1), (f"the {a} is far from the {c} today", 0), (f"a {d}", 0)]
            rows += [(question, f"what {a} has a {b}", *candidates[i]) for i in random.permutation(3)]
        (folder / part).mkdir(parents=True)
        for name, column in zip(("id.txt", "a.toks", "b.toks", "sim.txt"), zip(*rows, strict=True), strict=True):
            (folder / part / name).write_text("".join(f"{value}\n" for value in column))
    return folder


@pytest.fixture
def chosen_by_validation():
    """Checks that the bound which chose a run's checkpoint is that of the validation part, and not of the test part."""
    from tasks.sentences import mean_bound

    def check(run):
        corpus, model = MODES[run.mode].make_task().load(run.config), load_run(run.path)
        own, test = (mean_bound(model, part, run.config.seed) for part in (corpus.validation, corpus.test))
        assert own == pytest.approx(min(entry["validation/elbo_nll"] for entry in run.history), rel=1e-5)
        assert own == pytest.approx(
            json.loads((run.path / "metrics.json").read_text())["validation_elbo_nll"], rel=1e-5
        )
        assert own != pytest.approx(test, rel=1e-5)

    return check
