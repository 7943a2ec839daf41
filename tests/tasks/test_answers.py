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
from data.answers import evaluation_batches
from data.vocabulary import PAD
from data.word_vectors import train_word_vectors
from metrics.catalogue import MODELS, RANKERS
from metrics.ranking import map_mrr
from reporting import tensorboard
from tasks import answers
from tasks.answers import RankingScorer, RankingTask
from tasks.base import Task
from tasks.modes import MODES, load_run
from text_vae.layers import gaussian
from training.runs import CANDIDATES, open_run

FLAGS = "--batch-size 10 --units 6 --embedding 6 --rate 0.01 --dropout 0.1".split()


@pytest.fixture(scope="module", autouse=True)
def cheap(eagerly):
    """Nothing is traced, the topics are hardly trained, and the attention is drawn once."""
    with eagerly(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "TOPIC_UPDATES", 5)
        patch.setattr(tensorboard, "ATTENTIONS", 1)
        yield


@pytest.fixture(scope="module")
def runs(answers_folder, tmp_path_factory):
    """Mode -> a finished run."""
    folder, found = tmp_path_factory.mktemp("runs"), {}
    for mode, own in (("nasm", ["--latent", "3", "--samples", "3"]), ("gqa", [])):
        keras.utils.clear_session(free_memory=False)  # a checkpoint holds layer names, numbered as in a process
        flags = ["--mode", mode, "--dataset", str(answers_folder), "--epochs", "2", *FLAGS, *own, "--name", mode]
        assert train.main([*flags, "--runs-dir", str(folder)]) == 0
        found[mode] = open_run(folder / mode, "", MODES)
    return found


@pytest.fixture(scope="module")
def data(runs):
    """The questions, which both modes read alike."""
    return MODES["nasm"].make_task().load(runs["nasm"].config)


def scorer_of(run, data, model):
    task = MODES[run.mode].make_task()
    return RankingScorer(task, run, data, model)


def metrics_of(run):
    return json.loads((run.path / "metrics.json").read_text())


@pytest.mark.parametrize("mode", ["nasm", "gqa"])
def test_a_training_ends_with_its_scores(runs, mode):
    scores = metrics_of(runs[mode])
    for prefix in ("", "validation_"):
        for suffix in RANKERS:
            assert 0 < scores[f"{prefix}map{suffix}"] <= 1 and 0 < scores[f"{prefix}mrr{suffix}"] <= 1
    assert scores["map_only_counts"] > 0.9  # because the answers were made so
    assert scores["questions"] == scores["questions_clean"] == 20
    assert ("prior_weight" in scores) == (mode == "gqa")


def test_what_h_holds_is_the_mean_over_candidates(runs, data):
    run = runs["nasm"]
    model = load_run(run.path)
    every = next(iter(evaluation_batches(data.corpus.test, data.corpus.vocabulary, 20)))
    questions, answer = model.read(every)
    z_q = tf.gather(questions, every["groups"])
    q = gaussian(*model.inference(tf.concat([z_q, answer.last, every["labels"][:, None]], 1)))
    expected = np.mean(q.kl_divergence(gaussian(*model.prior(z_q))))
    assert metrics_of(run)["kl"] == pytest.approx(expected, rel=1e-4) and expected > 1e-4
    assert metrics_of(run)["validation_kl"] != metrics_of(run)["kl"]
    assert "kl" not in metrics_of(runs["gqa"])
    best = max(reversed(run.history), key=lambda entry: entry["validation/map"])
    assert best["validation/kl"] == pytest.approx(metrics_of(run)["validation_kl"])


@pytest.mark.parametrize("mode", ["nasm", "gqa"])
def test_what_is_kept_ranks_as_the_run_did(runs, mode):
    scores, kept = metrics_of(runs[mode]), np.load(runs[mode].path / CANDIDATES)
    for part, prefix in (("validation", "validation_"), ("test", "")):
        groups, labels = kept[f"{part}_groups"], kept[f"{part}_labels"]
        for suffix in MODELS:
            again = map_mrr(groups, kept[f"{part}_scores{suffix}"], labels)
            assert again["map"] == pytest.approx(scores[f"{prefix}map{suffix}"])


@pytest.mark.parametrize("mode", ["nasm", "gqa"])
def test_no_label_of_the_test_part_chooses_or_fits_anything(runs, data, mode):
    run, test = runs[mode], data.corpus.test
    other = data._replace(corpus=data.corpus._replace(test=test._replace(labels=1 - test.labels)))
    found, scores, model = [], [], load_run(run.path)
    for own in (data, other):
        scorer = scorer_of(run, own, model)
        found.append(scorer.ranking() | scorer.controls())
        (kept,) = scorer.arrays().values()
        scores.append({name: column for name, column in kept.items() if "scores" in name})
    first, second = found
    chosen = [name for name in first if name.startswith("validation_") or name == "prior_weight"]
    assert {name: first[name] for name in chosen} == {name: second[name] for name in chosen}
    assert first["map"] != second["map"] and first["map_query_likelihood"] != second["map_query_likelihood"]
    assert scores[0] and scores[0].keys() == scores[1].keys()
    for name in scores[0]:
        np.testing.assert_array_equal(scores[0][name], scores[1][name])


def test_texts_without_words_have_no_topics(runs, data):
    for texts in ([["x_1", "22"]] * 3, [["ice", "x_1"]] * 3):
        lacking = data._replace(corpus=data.corpus._replace(training_texts=texts))
        assert scorer_of(runs["gqa"], lacking, None).topic_rankings() == {}


def test_terms_of_topics_keep_their_marks_and_leave_given_stop_words_out():
    text = ["हिन्दी", "the", "cats", "2", "n't", "."]
    assert answers.content_terms(text, {"the"}) == ["हिन्दी", "cat"]
    assert answers.content_terms(text, ()) == ["हिन्दी", "the", "cat"]


def test_the_best_epoch_of_the_validation_part_is_kept(runs):
    for run in runs.values():
        best = max(reversed(run.history), key=lambda entry: entry["validation/map"])
        assert metrics_of(run)["epoch"] == best["epoch"]
        assert metrics_of(run)["validation_map"] == pytest.approx(best["validation/map"])
        assert best["epoch"] in [epoch for epoch, _ in run.checkpoints()]


def test_pictures_and_nearest_questions(runs):
    assert (runs["nasm"].path / "figures/attention.png").exists()
    nearest = metrics_of(runs["nasm"])["nearest_questions"]
    assert len(nearest) == answers.ASKED and all(len(found) == answers.NEAREST for found in nearest.values())
    assert (runs["nasm"].path / "tensorboard/projector/metadata.tsv").read_text().startswith("question\tfirst word")


@pytest.mark.parametrize("mode", ["nasm", "gqa"])
def test_what_tensorboard_shows(runs, mode):
    tags = set(EventAccumulator(str(runs[mode].path / "tensorboard")).Reload().Tags()["tensors"])
    assert {"loss/nll", "loss/kl", "validation/map", "validation/mrr"} <= tags
    assert ("attention" in tags) == (mode == "nasm")


def test_words_begin_with_the_vectors_of_the_training_text_or_of_a_file(runs, things, tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_text("".join(f"{thing} 1 0 {i} 0\n" for i, thing in enumerate(things)))
    run, task = runs["nasm"], MODES["nasm"].make_task()
    for own in ({}, {"word_vectors": str(file)}):
        config, data = task.resolve(dataclasses.replace(run.config, **own))
        model, words = task.build(config, run.facts), data.corpus.vocabulary
        task.initialize(model, run, data)
        vectors = model.embedding.get_weights()[0]
        assert not vectors[PAD].any()
        if own:
            assert config.embedding == 4
            np.testing.assert_array_equal(vectors[words.encode(["ice", "cave"])], [[1, 0, 0, 0], [1, 0, 1, 0]])
        else:
            trained = train_word_vectors(data.corpus.training_texts, words, config.embedding)
            np.testing.assert_array_equal(vectors, trained)


def test_options_reach_nasm(runs):
    own = {"attention": "none", "match": False, "samples": 7, "layers": 2, "kl_weight": 0.1, "rate": 0.02}
    model = MODES["nasm"].make_task().build(dataclasses.replace(runs["nasm"].config, **own), runs["nasm"].facts)
    assert (model.attention, model.match, model.samples, len(model.answer_reader.stack)) == ("none", False, 7, 2)
    assert [float(model.kl_weight(0)), float(model.optimizer.learning_rate)] == pytest.approx([0.1, 0.02])


@pytest.mark.parametrize("mode", ["nasm", "gqa"])
def test_the_scores_of_a_loaded_run_are_the_same(runs, mode, capsys):
    before, kept = metrics_of(runs[mode]), (runs[mode].path / CANDIDATES).read_bytes()
    assert evaluate.main([str(runs[mode].path), "--ranking", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores == {name: before[name] for name in scores}
    assert (runs[mode].path / CANDIDATES).read_bytes() == kept


def test_scoring_a_run_that_was_given_away_adds_no_file_to_it(runs, tmp_path, capsys):
    given = tmp_path / "given"
    assert evaluate.main([str(runs["gqa"].path), "--ranking", "--export", str(given)]) == 0
    before = sorted(given.iterdir())
    assert evaluate.main([str(given), "--ranking"]) == 0
    assert sorted(given.iterdir()) == before and not (given / CANDIDATES).exists()


def test_a_resumed_training_ends_in_the_same_bits(runs, tmp_path, monkeypatch):
    """It continues after one epoch of two, and the words' vectors do not begin again."""
    shutil.copytree(runs["nasm"].path, tmp_path / "runs/a")
    (epoch, newest), (before, _) = open_run(tmp_path / "runs/a", "", MODES).checkpoints()
    assert (epoch, before) == (2, 1)
    newest.unlink()
    keras.utils.clear_session(free_memory=False)
    monkeypatch.setattr(RankingTask, "initialize", None)
    monkeypatch.setattr(Task, "evaluate", lambda self, run, *_: run.scores)
    assert train.main(["--resume", "a", "--runs-dir", str(tmp_path / "runs")]) == 0
    resumed = open_run(tmp_path / "runs/a", "", MODES)
    assert resumed.checkpoints()[0][1].name == newest.name  # the name carries the digest
    assert [entry["epoch"] for entry in resumed.history] == [1, 2]


@pytest.mark.parametrize("broken", ["word_vectors", "labels", "batch"])
def test_bad_input_is_one_line(answers_folder, tmp_path, capsys, broken):
    data, vectors = shutil.copytree(answers_folder, tmp_path / "things"), tmp_path / "vectors.txt"
    vectors.write_text("ice 1 2\ncave 1\n")
    if broken == "labels":
        (data / "dev/sim.txt").write_text("0\n" * 60)
    flags = {"word_vectors": ["--word-vectors", str(vectors)], "labels": [], "batch": ["--batch-size", "21"]}[broken]
    argv = ["--mode", "nasm", "--dataset", str(data), "--runs-dir", str(tmp_path / "runs"), *flags]
    assert train.main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    facts = {
        "word_vectors": [str(vectors), "line 2", "1 numbers", "2"],
        "labels": [str(data), "no right answer"],
        "batch": ["batch size 21", "20 training questions"],
    }
    assert all(fact in line for fact in facts[broken])
    assert not (tmp_path / "runs").exists()
