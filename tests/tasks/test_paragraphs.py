import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import evaluate
import train
from data.errors import InputError
from metrics.catalogue import RUN
from tasks import paragraphs
from tasks.base import Task
from tasks.configs import MLVAEConfig
from tasks.modes import MODES
from tasks.paragraphs import ParagraphScorer
from training.runs import create_run, open_run

TASK = MODES["mlvae"].make_task()

FLAGS = "--mode mlvae --batch-size 32 --embedding 8 --units 8 --plan 8 --encoder-widths 8 --latent-dim 2 --samples 3".split()
FLAGS += "--top-dim 2 --hidden 4 --rate 0.03 --dropout 0.1 --kl-warm-up 3 --max-sentences 3".split()


@pytest.fixture(scope="module", autouse=True)
def eager(eagerly):
    with eagerly():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paragraphs, "GENERATED", 12)
        yield tmp_path_factory.mktemp("mlvae")


@pytest.fixture(scope="module")
def run(paragraphs_file, folder):
    """A run of ml-VAE-D."""
    keras.utils.clear_session(free_memory=False)  # a checkpoint holds layer names, numbered from here as in a process
    flags = [*FLAGS, "--dataset", str(paragraphs_file), "--runs-dir", str(folder), "--name", "a"]
    assert train.main([*flags, "--levels", "2", "--epochs", "2"]) == 0
    return open_run(folder / "a", "", MODES)


@pytest.fixture(scope="module")
def corpus(run):
    return TASK.load(run.config)


@pytest.fixture(scope="module")
def flat(run, corpus, folder):
    """The scorer of a new flat model on the same paragraphs."""
    config = dataclasses.replace(run.config, levels=0)
    made = create_run(str(folder), "flat", run.row, config, run.facts)
    return ParagraphScorer(TASK, made, corpus, TASK.build(config, run.facts))


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
    of_one, of_two = flat.likelihood() | flat.generation(), json.loads((run.path / "metrics.json").read_text())
    of_one |= {score.key: None for score in RUN}
    assert of_two.keys() - of_one.keys() == {"kl_z1", "kl_z2"} and not of_one.keys() - of_two.keys()
    assert of_one["perplexity_tokens"] == of_two["perplexity_tokens"]


def test_the_scores_of_a_loaded_run_are_the_same(run, capsys):
    before = json.loads((run.path / "metrics.json").read_text())
    assert evaluate.main([str(run.path), "--generation", "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert {"generated", "self_bleu"} <= after.keys() and after == {name: before[name] for name in after}


def test_a_resumed_training_ends_in_the_same_bits(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Task, "evaluate", lambda self, run, *_: run.scores)
    runs = tmp_path / "runs"
    shutil.copytree(run.path, runs / "a")
    newest = open_run(runs / "a", "", MODES).checkpoints()[0][1]
    newest.unlink()
    keras.utils.clear_session(free_memory=False)
    assert train.main(["--resume", "a", "--runs-dir", str(runs)]) == 0
    resumed = open_run(runs / "a", "", MODES)
    assert resumed.checkpoints()[0][1].name == newest.name  # the name carries the digest
    assert [entry["epoch"] for entry in resumed.history] == [1, 2]


def test_the_validation_part_chooses(run, chosen_by_validation):
    chosen_by_validation(run)


def test_a_single_test_paragraph_is_compared_with_no_other(flat, corpus, monkeypatch):
    monkeypatch.setattr(paragraphs, "GENERATED", 3)
    alone = ParagraphScorer(TASK, flat.run, corpus._replace(test=corpus.test[:1]), flat.model)
    scores = alone.generation()
    assert 0 <= scores["self_bleu"] <= 1 and "self_bleu_test" not in scores


def test_paragraphs_come_joined(paragraphs_file):
    config, corpus = TASK.resolve(MLVAEConfig(dataset=str(paragraphs_file), batch_size=8, updates=13))
    assert config.epochs == 2 and corpus.facts["train"]["paragraphs"] == len(corpus.train) == 96
    (first, *_) = paragraphs.texts(corpus, corpus.train)
    assert 2 <= len(first) <= 3 and first[0][-1] == "."
    facts = TASK.facts(corpus)
    assert facts["vocabulary"] == corpus.vocabulary.size and not facts["labels"]


def test_limits_that_fit_no_paragraph():
    with pytest.raises(InputError, match="--min-sentences 5 is more than --max-sentences 4"):
        MLVAEConfig(min_sentences=5, max_sentences=4)
