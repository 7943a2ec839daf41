import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import evaluate
import train
from data.sentences import evaluation_batches
from reporting.tensorboard import StepKL, open_writer
from tasks import sentences
from tasks.base import Task
from tasks.configs import LanguageVAEConfig, SentenceConfig
from tasks.modes import MODES, load_run
from tasks.sentences import SentenceScorer
from training.config import field_names, make_config
from training.runs import create_run, open_run

FLAGS = "--batch-size 32 --embedding 8 --units 8 --epochs 3 --rate 0.01 --max-length 12".split()
LATENT = "--latent-dim 3 --samples 10".split()


TASK = MODES["twrvae"].make_task()


@pytest.fixture(scope="module", autouse=True)
def eager(eagerly):
    with eagerly():
        yield


@pytest.fixture(scope="module", autouse=True)
def few_texts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentences, "GENERATED", 12)
        yield


def trained(mode, text, folder, *flags):
    keras.utils.clear_session(free_memory=False)  # a checkpoint holds layer names, numbered from here as in a process
    flags = ["--mode", mode, "--dataset", str(text), *FLAGS, *flags]
    assert train.main([*flags, "--runs-dir", str(folder), "--name", mode]) == 0
    return open_run(folder / mode, "", MODES)


@pytest.fixture(scope="module")
def run(sentences_file, tmp_path_factory):
    """A run of twrvae that decodes the mean, which has all scores."""
    return trained("twrvae", sentences_file, tmp_path_factory.mktemp("runs"), *LATENT, "--decoded", "mean")


@pytest.fixture(scope="module")
def corpus(run):
    return TASK.load(run.config)


@pytest.fixture(scope="module")
def model(run):
    return load_run(run.path)


def test_a_training_ends_with_its_scores(run):
    scores = json.loads((run.path / "metrics.json").read_text())
    assert scores["iw_nll"] <= scores["elbo_nll"]
    by_samples = scores["iw_nll_by_samples"]
    assert by_samples["10"] == scores["iw_nll"] and by_samples.keys() == {"1", "10"}
    assert scores["perplexity_tokens"] == run.facts["test"]["tokens"] + run.facts["test"]["sentences"]
    total = scores["iw_nll"] * run.facts["test"]["sentences"]
    assert np.isclose(scores["perplexity"], np.exp(total / scores["perplexity_tokens"]))
    assert scores["mutual_information"] <= np.log(scores["mutual_information_sentences"])
    assert {"reference_nll", "kl", "active_units", "length_nats", "validation_elbo_nll"} <= scores.keys()
    assert {"distinct_1", "distinct_2", "self_bleu", "distinct_1_top_p", "self_bleu_test"} <= scores.keys()
    assert scores["generated"].keys() == {"samples", "samples_top_p", "samples_low_temperature", "samples_greedy"}
    assert len(scores["reconstructions"]) == 10 and len(scores["interpolations"][0]) == 7


def test_the_public_codes_estimate_against_numpy(corpus, model):
    """mu is decoded, and the mean KL of all steps stands for the KL of what is decoded."""
    (batch,) = evaluation_batches(corpus.test[:8], 8)
    mus, log_variances = (values.numpy() for values in model.infer_steps(batch))
    steps = batch["lengths"].numpy() - 1  # EOS is not a step
    z = np.stack([mu[:count].mean(0) for mu, count in zip(mus, steps, strict=True)])
    kl_steps = 0.5 * np.sum(mus**2 + np.exp(log_variances) - 1 - log_variances, -1)
    mean_kl = [kl[:count].mean() for kl, count in zip(kl_steps, steps, strict=True)]
    expected = model.decoder.nll(batch, z).numpy() + mean_kl
    np.testing.assert_allclose(sentences.reference(model, batch), expected, rtol=1e-4)


def test_curves_and_what_tensorboard_shows(run, corpus):
    assert {"validation/elbo_nll", "validation/kl", "validation/mutual_information"} <= run.history[-1].keys()
    assert (run.row.best, run.row.direction) == ("validation/elbo_nll", "min")
    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    tags = events.Tags()["tensors"]
    assert {"loss/kl", "validation/active_units", "samples", "reconstructions", "kl_by_step"} <= set(tags)
    by_step = np.load(run.path / "tensorboard/kl_by_step.npz")["rows"]
    longest = max(map(len, corpus.validation))
    assert by_step.shape == (3, 2, longest) and np.all(by_step > 0)
    scores, steps = json.loads((run.path / "metrics.json").read_text()), {e["epoch"]: e["step"] for e in run.history}
    for name in ("iw_nll", "reference_nll", "perplexity"):
        (point,) = events.Tensors(f"test/{name}")
        assert point.step == steps[scores["epoch"]] and np.isclose(tf.make_ndarray(point.tensor_proto), scores[name])


def test_a_row_of_the_heat_maps_that_a_stop_lost_stays_white(run, corpus, model, tmp_path):
    shutil.copytree(run.path, tmp_path / "stopped")
    stopped = open_run(tmp_path / "stopped", "", MODES)
    file = stopped.path / "tensorboard/kl_by_step.npz"
    rows = np.load(file)["rows"]
    np.savez_compressed(file, rows=rows[:1])
    callback = StepKL(stopped, open_writer(stopped), corpus)
    callback.set_model(model)
    callback.on_epoch_end(2)
    found = np.load(file)["rows"]
    np.testing.assert_array_equal(found[0], rows[0])
    assert found.shape == rows.shape and np.isnan(found[1]).all() and np.all(found[2] > 0)


@pytest.mark.parametrize(("epochs", "first"), [(60, 3), (50, 5)])
def test_the_heat_maps_of_a_long_training_are_kept_with_every_checkpoint(run, corpus, model, tmp_path, epochs, first):
    """Of 60 epochs every third has a checkpoint; of 50 every second, and every fifth, which is scored."""
    long = create_run(str(tmp_path), None, run.row, dataclasses.replace(run.config, epochs=epochs), run.facts)
    callback = StepKL(long, open_writer(long), corpus)
    callback.set_model(model)
    kept = long.path / "tensorboard/kl_by_step.npz"
    for epoch in range(first):
        assert kept.exists() == (epochs == 50 and epoch >= 2)
        callback.on_epoch_end(epoch)
    assert len(np.load(kept)["rows"]) == first


def test_the_scores_of_a_loaded_run_are_the_same(run, capsys):
    assert evaluate.main([str(run.path), "--likelihood", "--json"]) == 0
    scores, stored = json.loads(capsys.readouterr().out), json.loads((run.path / "metrics.json").read_text())
    assert {name: stored[name] for name in ("iw_nll", "kl", "perplexity")} == {
        name: scores[name] for name in ("iw_nll", "kl", "perplexity")
    }


def test_the_best_epoch_on_validation_is_kept_and_used(run, tmp_path):
    """If the first epoch is the best, its checkpoint stays beside two newer ones; a training continues from the newest."""
    shutil.copytree(run.path, tmp_path / "a")
    copied, model = open_run(tmp_path / "a", "", MODES), load_run(run.path)
    bounds = [entry["validation/elbo_nll"] for entry in copied.history]
    assert copied.restore(model) == 1 + int(np.argmin(bounds)) == copied.best_first()[0][0]
    copied.write_history([entry | {"validation/elbo_nll": entry["epoch"]} for entry in copied.history])
    for _, file in copied.checkpoints():
        file.unlink()
    for epoch in (1, 2, 3):
        copied.save(model, epoch)
    assert {epoch for epoch, _ in copied.checkpoints()} == {1, 2, 3}
    assert (copied.restore(model), copied.restore(model, best=False)) == (1, 3)


def test_the_validation_part_chooses(run, chosen_by_validation):
    chosen_by_validation(run)


def test_a_resumed_training_ends_in_the_same_bits(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Task, "evaluate", lambda self, run, *_: run.scores)
    runs = tmp_path / "runs"
    shutil.copytree(run.path, runs / "twrvae")
    (_, newest), *_ = open_run(runs / "twrvae", "", MODES).checkpoints()
    newest.unlink()
    keras.utils.clear_session(free_memory=False)
    assert train.main(["--resume", "twrvae", "--runs-dir", str(runs)]) == 0
    resumed = open_run(runs / "twrvae", "", MODES)
    assert resumed.checkpoints()[0][1].name == newest.name  # the name carries the digest
    assert [entry["epoch"] for entry in resumed.history] == [1, 2, 3]


def test_a_loaded_model_generates(corpus, model):
    texts = [corpus.vocabulary.decode(ids) for ids in model.generate_ids(3, temperature=0.7, top_p=0.9, seed=4)]
    assert texts == [corpus.vocabulary.decode(ids) for ids in model.generate_ids(3, temperature=0.7, top_p=0.9, seed=4)]
    assert model.encode_ids(corpus.test[:4]).shape == (4, 3)


@pytest.mark.parametrize("read_end", [False, True])
def test_a_step_is_a_word_and_the_end_is_one_more(run, corpus, read_end):
    model = TASK.build(dataclasses.replace(run.config, read_end=read_end), run.facts)
    words = np.bincount([len(ids) for ids in corpus.train], minlength=1 + run.config.max_length)
    smoothed = (words if read_end else words[1:]) + 1  # of 1, 2, .. steps
    np.testing.assert_allclose(np.exp(model.log_length_p), smoothed / smoothed.sum(), rtol=1e-5)


def test_a_single_test_sentence_is_compared_with_no_other(run, corpus, model, monkeypatch):
    monkeypatch.setattr(sentences, "GENERATED", 3)
    scores = SentenceScorer(TASK, run, corpus._replace(test=corpus.test[:1]), model).generation()
    assert 0 <= scores["self_bleu"] <= 1 and "self_bleu_test" not in scores


@pytest.fixture
def untrained(run, corpus, tmp_path):
    """Mode, options -> the scorer of a new model of that mode on the same corpus."""

    def make(mode, **options):
        shared = {name: getattr(run.config, name) for name in field_names(SentenceConfig)}
        config = make_config(MODES[mode].config, shared | options)
        task = MODES[mode].make_task()
        made = create_run(str(tmp_path), None, MODES[mode], config, run.facts)
        return task.scorer(task, made, corpus, task.build(config, run.facts))

    return make


def test_the_bounds_of_a_language_model_are_exact(untrained):
    scores = untrained("lm").likelihood()
    assert scores["iw_nll"] == scores["elbo_nll"]
    assert not {"kl", "mutual_information", "reference_nll"} & scores.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode, options", [("vae", {"free_bits": 0.5, "cell": "gru"}), ("twrvae", {"cell": "rnn", "kl_part": 0.5})]
)
def test_an_estimate_does_not_depend_on_its_batch(untrained, corpus, mode, options):
    scorer = untrained(mode, latent_dim=3, samples=10, **options)
    scores, model = scorer.likelihood(), scorer.model
    assert scores["iw_nll"] <= scores["elbo_nll"] and "length_nats" not in scores
    assert ("kl_by_step" in scores) == (mode == "twrvae")
    (batch,), (alone,) = evaluation_batches(corpus.test[:8], 8), evaluation_batches(corpus.test[:1], 1)
    together = sentences.reference(model, batch).numpy()
    place = batch["indices"].numpy().tolist().index(0)
    np.testing.assert_allclose(together[place], sentences.reference(model, alone)[0], rtol=1e-4)


def test_options_reach_the_models(run):
    own = {"free_bits": 0.25, "kl_per_step": True, "epochs": 3, "batch_size": 16, "rate": 0.02, "final_rate": 0.01}
    model = MODES["vae"].make_task().build(make_config(LanguageVAEConfig, own), run.facts)
    assert (model.free_bits, model.kl_per_step) == (0.25, True)
    model.optimizer.iterations.assign(3 * (run.facts["train"]["sentences"] // 16))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert TASK.build(dataclasses.replace(run.config, kl_part=0.5), run.facts).kl_part == 0.5


def test_the_weight_of_the_kl_over_a_training():
    def weights(**options):
        config = make_config(LanguageVAEConfig, {"epochs": 4, "batch_size": 10, "embedding": 4, "units": 4} | options)
        facts = {"train": {"sentences": 100}, "vocabulary": 9}  # 40 steps
        model = MODES["vae"].make_task().build(config, facts)
        return [float(model.kl_weight(step)) for step in (0, 5, 10, 15, 20, 39)]

    assert weights() == [1, 1, 1, 1, 1, 1]
    assert weights(beta=0.5) == [0.5] * 6
    assert weights(kl_warm_up=20) == [0, 0.25, 0.5, 0.75, 1, 1]
    assert weights(kl_cycles=2, beta=2.0) == [0, 1, 2, 2, 0, 2]
    assert weights(reset_at=10) == [0, 0, 1, 1, 1, 1]
    assert weights(reset_at=5, kl_warm_up=20) == [0, 0, 0.25, 0.5, 0.75, 1]
    assert weights(reset_at=20, kl_cycles=1) == [0, 0, 0, 0, 0, 1]


def test_bad_input_is_one_line(tmp_path, capsys):
    file = tmp_path / "a.txt"
    file.write_bytes(b"fine\n" * 20 + b"caf\xe9\n")
    good = tmp_path / "b.txt"
    good.write_text("fine words\n" * 640)
    for flags, facts in (
        (["--dataset", str(file)], [str(file), "line 21"]),
        (["--kl-warm-up", "9", "--kl-cycles", "2"], ["--kl-warm-up", "--kl-cycles", "give one"]),
        (["--free-bits", "1", "--text-bits", "2"], ["--free-bits", "--text-bits", "give one"]),
        (["--dataset", str(good), "--epochs", "2", "--reset-at", "16"], ["--reset-at 16", "16 steps", "--epochs"]),
    ):
        assert train.main(["--mode", "vae", *flags]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert all(fact in line for fact in facts)


# Text larger than memory


def test_a_training_from_disk_equals_one_from_memory_and_may_go_on_either_way(sentences_file, tmp_path, monkeypatch):
    monkeypatch.setenv("INFOBIGBIGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(SentenceScorer, "compute", lambda self, evaluation: None)  # the weights tell
    config = dataclasses.replace(make_config(LanguageVAEConfig, {}), dataset=str(sentences_file))
    own, other = (TASK.load(dataclasses.replace(config, cache_gb=limit)) for limit in (0.0, 1.0))
    assert own.train.streams and not other.train.streams and TASK.facts(own) == TASK.facts(other)
    flags = "--epochs 2 --no-curves".split()
    runs = {
        name: trained("twrvae", sentences_file, tmp_path / name, *LATENT, *flags, "--cache-gb", limit)
        for name, limit in (("memory", "1"), ("disk", "0"))
    }
    names = [file.name for _, file in runs["memory"].checkpoints()]
    assert names == [file.name for _, file in runs["disk"].checkpoints()] and len(names) == 2
    (runs["disk"].path / "checkpoints" / names[0]).unlink()  # as if it had been stopped after its first epoch
    keras.utils.clear_session(free_memory=False)
    assert train.main(["--resume", str(runs["disk"].path), "--cache-gb", "1"]) == 0
    assert [file.name for _, file in runs["disk"].checkpoints()] == names
    assert "cache" not in runs["disk"].command
