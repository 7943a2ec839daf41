import json
import shutil

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import evaluate
import train
from data.errors import InputError
from training import paragraphs
from training.config import MLVAEConfig
from training.runs import load_run, open_run

FLAGS = (
    "--mode mlvae --batch-size 8 --embedding 8 --units 8 --plan 8 --encoder-widths 8 --latent-dim 2 --samples 3".split()
)
FLAGS += "--top-dim 2 --hidden 4 --rate 0.03 --dropout 0.1 --kl-warm-up 10 --max-sentences 3".split()
KINDS = [
    ["the cat sat .", "a cat saw a dog .", "it ran ."],
    ["the sun rose .", "stars and a moon fell .", "it shone ."],
]


def write_text(file, count=120):
    """Paragraphs of two or three sentences of one of two kinds."""
    random = np.random.default_rng(0)
    chosen = [random.permutation(KINDS[i % 2])[: random.integers(2, 4)] for i in range(count)]
    file.write_text("\n\n".join("\n".join(sentences) for sentences in chosen) + "\n")
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlvae")
    write_text(folder / "kinds.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paragraphs, "GENERATED", 12)
        yield folder


def trained(folder, levels, epochs):
    keras.utils.clear_session(free_memory=False)  # a checkpoint holds layer names, numbered from here as in a process
    where = ["--dataset", str(folder / "kinds.txt"), "--runs-dir", str(folder / "runs"), "--name", f"levels{levels}"]
    assert train.main([*FLAGS, "--levels", str(levels), "--epochs", str(epochs), *where]) == 0
    return open_run(folder / f"runs/levels{levels}")


@pytest.fixture(scope="module")
def run(folder):
    """ml-VAE-D."""
    return trained(folder, levels=2, epochs=2)


@pytest.fixture(scope="module")
def flat(folder):
    return trained(folder, levels=0, epochs=1)


def test_a_training_ends_with_its_scores(run):
    scores = json.loads((run.path / "metrics.json").read_text())
    assert 1 < scores["perplexity"] < 30  # some twenty words and ends
    assert scores["iw_nll"] <= scores["elbo_nll"]
    assert scores["perplexity_tokens"] > 12 * 2 * 4
    assert {"mutual_information", "active_units", "validation_elbo_nll", "bleu_validation"} <= scores.keys()
    for way in ("", "_top_p"):
        assert all(0 <= scores[f"{name}{way}"] <= 1 for name in ("bleu", "self_bleu", "repeated_2", "distinct_2"))
        assert 0 < scores[f"sentences{way}"] <= 3
    assert 2 <= scores["sentences_test"] <= 3
    assert len(scores["reconstructions"]) == 10 and " / " in scores["reconstructions"][0][0]
    np.testing.assert_allclose(scores["kl"], scores["kl_z1"] + scores["kl_z2"], rtol=1e-6)


def test_curves_of_the_training(run):
    first, last = run.history
    assert first["schedule/kl_weight"] < last["schedule/kl_weight"] == 1.0
    assert last["loss/nll"] < first["loss/nll"]
    kept = {"elbo_nll", "kl", "kl_z1", "kl_z2", "mutual_information", "active_units"}
    assert {f"validation/{name}" for name in kept} <= last.keys()
    tags = EventAccumulator(str(run.path / "tensorboard")).Reload().Tags()["tensors"]
    assert {"loss/nll", "loss/kl", "samples", "reconstructions"} | {f"validation/{name}" for name in kept} <= set(tags)


def test_the_flat_model_has_the_scores_of_one_latent(flat, run):
    """The same tokens, so that perplexities can be compared."""
    of_one, of_two = (json.loads((some.path / "metrics.json").read_text()) for some in (flat, run))
    assert of_two.keys() - of_one.keys() == {"kl_z1", "kl_z2"} and not of_one.keys() - of_two.keys()
    assert of_one["perplexity_tokens"] == of_two["perplexity_tokens"]


def test_the_scores_of_a_loaded_run_are_the_same(run, capsys):
    before = json.loads((run.path / "metrics.json").read_text())
    assert evaluate.main([str(run.path), "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["elbo_nll"] == before["elbo_nll"] and after["generated"] == before["generated"]


def test_a_resumed_training_ends_in_the_same_bits(run, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(run.path, runs / "a")
    newest = open_run(runs / "a").checkpoints()[0][1]
    newest.unlink()
    keras.utils.clear_session(free_memory=False)
    assert train.main(["--resume", "a", "--runs-dir", str(runs)]) == 0
    resumed = open_run(runs / "a")
    assert resumed.checkpoints()[0][1].name == newest.name  # the name carries the digest
    assert [entry["epoch"] for entry in resumed.history] == [1, 2]


def test_the_validation_part_chooses(run, chosen_by_validation):
    chosen_by_validation(paragraphs, run)


def test_a_single_test_paragraph_is_compared_with_no_other(flat, monkeypatch):
    monkeypatch.setattr(paragraphs, "GENERATED", 3)
    corpus = paragraphs.load(flat.config)
    scores = paragraphs.Scores(flat, corpus._replace(test=corpus.test[:1]), load_run(flat.path)).generation()
    assert 0 <= scores["self_bleu"] <= 1 and "self_bleu_test" not in scores


def test_paragraphs_come_joined(folder):
    config, corpus = paragraphs.prepare(MLVAEConfig(dataset=str(folder / "kinds.txt"), batch_size=8, updates=13))
    assert config.epochs == 2 and corpus.facts["train"]["paragraphs"] == len(corpus.train) == 96
    (first, *_) = paragraphs.texts(corpus, corpus.train)
    assert 2 <= len(first) <= 3 and first[0][-1] == "."
    facts = paragraphs.facts(corpus)
    assert facts["vocabulary"] == corpus.vocabulary.size and not facts["labels"]


def test_limits_that_fit_no_paragraph():
    with pytest.raises(InputError, match="--min-sentences 5 is more than --max-sentences 4"):
        MLVAEConfig(min_sentences=5, max_sentences=4)
