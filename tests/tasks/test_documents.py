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
from data.errors import InputError
from data.order import places
from metrics.topics import coherence_npmi, top_words
from reporting import tensorboard
from tasks import documents
from tasks.base import Task
from tasks.configs import NVDMConfig
from tasks.documents import DocumentScorer
from tasks.modes import MODES, load_run
from training.runs import open_run, write_config

TASK = MODES["nvdm"].make_task()
FLAGS = ["--mode", "nvdm", "--batch-size", "8", "--vocabulary-size", "12", "--topics", "2", "--encoder-widths", "8"]


@pytest.fixture(scope="module")
def run(documents_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nvdm")
    flags = ["--dataset", str(documents_folder), "--epochs", "30", "--rate", "0.02", "--kl-warm-up", "20"]
    keras.utils.clear_session(free_memory=False)  # a checkpoint holds layer names, numbered from here as in a process
    assert train.main([*FLAGS, *flags, "--runs-dir", str(folder / "runs"), "--name", "a"]) == 0
    return open_run(folder / "runs/a", "", MODES)


@pytest.fixture(scope="module")
def corpus(run):
    return TASK.load(run.config)


@pytest.fixture(scope="module")
def scorer(run, corpus):
    return DocumentScorer(TASK, run, corpus, load_run(run.path))


def test_a_training_ends_with_its_scores(run, kinds):
    scores = json.loads((run.path / "metrics.json").read_text())
    assert 1 < scores["perplexity_corpus"] < 12  # twelve words, so a uniform guess is 12
    assert scores["kl"] > 0.1 and scores["active_units"] in (1, 2)
    assert 0.5 < scores["mutual_information"] < np.log(scores["mutual_information_documents"])  # two kinds: log 2
    # tighter bounds of the same model
    assert scores["elbo_nll_refined"] < scores["elbo_nll"]
    assert scores["elbo_nll_diagonal"] == pytest.approx(scores["elbo_nll"], abs=0.1)  # one pass is nearly that good
    assert scores["linear_accuracy"] > 0.9
    assert scores["linear_accuracy_lda"] > 0.9 and scores["linear_accuracy_lsa"] > 0.9
    assert 1 < scores["perplexity_document_lda"] < 12
    assert set(scores["topics"][0]) <= {word for kind in kinds for word in kind}
    assert len(scores["nearest_words"]) == len(scores["nearest_documents"]) == 10
    for own, near in scores["nearest_documents"].items():
        found = [{word in kinds[0] for word in text.split(": ")[1].split()} for text in (own, *near)]
        assert len(near) == 5 and found == [found[0]] * 6 and len(found[0]) == 1  # all are of one kind
    assert {
        "coherence_npmi",
        "topic_diversity",
        "coherence_npmi_lda",
        "validation_perplexity_document",
    } <= scores.keys()


def test_words_begin_with_their_frequencies(documents_folder, tmp_path, monkeypatch):
    """With a learning rate of 0 the first bias stays."""
    monkeypatch.setattr(Task, "evaluate", lambda self, run, *_: {"dataset": "animals", "epoch": 1, "seed": 0})
    flags = ["--dataset", str(documents_folder), "--epochs", "1", "--rate", "0", "--no-curves"]
    assert train.main([*FLAGS, *flags, "--runs-dir", str(tmp_path), "--name", "a"]) == 0
    counts = TASK.load(open_run(tmp_path / "a", "", MODES).config).train.counts.sum(0) + 1
    frequencies = np.exp(load_run(tmp_path / "a").decoder.bias.numpy())
    np.testing.assert_allclose(frequencies, np.ravel(counts / counts.sum()), rtol=1e-5)


def test_curves_and_weight_of_the_kl(run):
    first, last = run.history[0], run.history[-1]
    assert first["schedule/kl_weight"] < last["schedule/kl_weight"] == 1.0
    assert last["validation/perplexity_document"] < 12
    tags = EventAccumulator(str(run.path / "tensorboard")).Reload().Tags()["tensors"]
    assert {"loss/nll", "loss/kl", "schedule/kl_weight", "validation/perplexity_document", "topics"} <= set(tags)
    assert "validation/mutual_information" in tags


def test_the_map_shows_documents_of_every_class_of_a_sorted_test_part(run, corpus, scorer, tmp_path, monkeypatch):
    order = np.argsort(corpus.test.labels, kind="stable")
    test = corpus.test._replace(counts=corpus.test.counts[order], labels=corpus.test.labels[order])
    shutil.copytree(run.path, tmp_path / "a")
    copied = open_run(tmp_path / "a", "", MODES)
    monkeypatch.setattr(tensorboard, "EMBEDDED", 10)
    callback = tensorboard.TopicSummary(copied, None, corpus._replace(test=test))
    callback.set_model(scorer.model)
    callback.on_train_end()
    header, *lines = (copied.path / "tensorboard/projector/metadata.tsv").read_text().splitlines()
    assert header == "class\twords" and len(lines) == 10
    assert {line.split("\t")[0] for line in lines} == {"1", "2"}


def test_the_scores_of_a_loaded_run_are_the_same(run, capsys):
    assert evaluate.main([str(run.path), "--likelihood", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["perplexity_document"] == json.loads((run.path / "metrics.json").read_text())["perplexity_document"]


def test_scores_of_another_checkpoint_do_not_stay(run, tmp_path):
    file = shutil.copytree(run.path, tmp_path / "a") / "metrics.json"
    file.write_text(json.dumps({"epoch": 1, "topic_diversity": 7.0}))
    assert evaluate.main([str(tmp_path / "a"), "--linear"]) == 0
    assert "topic_diversity" not in json.loads(file.read_text())


def test_a_run_is_not_scored_on_other_documents(run, tmp_path, capsys):
    file = shutil.copytree(run.path, tmp_path / "a") / "config.json"
    described = json.loads(file.read_text())
    write_config(file, described | {"data": described["data"] | {"sha256": "0" * 16}})
    assert evaluate.main([str(tmp_path / "a"), "--linear"]) == 2
    assert "is not what" in capsys.readouterr().err


def test_the_validation_part_chooses_and_the_test_part_fits_nothing(run, corpus, scorer):
    flipped = corpus._replace(test=corpus.test._replace(labels=1 - corpus.test.labels))
    assert DocumentScorer(TASK, run, flipped, scorer.model).linear()["linear_accuracy"] < 0.1
    nll, kl = scorer.bounds(corpus.validation)
    per_word = (nll + kl) / np.ravel(corpus.validation.counts.sum(1))
    stored = json.loads((run.path / "metrics.json").read_text())
    assert stored["validation_perplexity_document"] == pytest.approx(np.exp(per_word.mean()), rel=1e-5)
    assert run.history[-1]["validation/perplexity_document"] == pytest.approx(np.exp(per_word.mean()), rel=0.05)


def test_examples_of_topics_are_at_equal_distances_in_their_order(scorer):
    weights, data = np.random.default_rng(0).normal(size=(28, 12)), scorer.data
    found = scorer.described(weights, "_x")
    values = [float(own.split(": ")[0]) for own in found["example_topics_x"]]
    assert len(values) == 10 and values == sorted(values, reverse=True)
    assert all(len(own.split(": ")[1].split()) == 10 for own in found["example_topics_x"])
    every = coherence_npmi(top_words(weights, data.words, data.train.counts), data.train.counts, data.words)
    assert values[::9] == [round(max(every), 2), round(min(every), 2)]
    assert values[1] == round(sorted(every, reverse=True)[3], 2)


def test_options_reach_the_model(run):
    own = {"reads": "log_counts", "length_power": 0.25, "rate": 0.02, "final_rate": 0.01}
    model = TASK.build(dataclasses.replace(run.config, **own), run.facts)
    assert (model.reads, model.length_power, float(model.optimizer.learning_rate)) == (
        "log_counts",
        0.25,
        pytest.approx(0.02),
    )


def test_a_run_without_its_vocabulary_is_not_exported(run, tmp_path, capsys):
    """As runs of older versions are."""
    shutil.copytree(run.path, tmp_path / "old")
    (tmp_path / "old/vocabulary.json").unlink()
    assert evaluate.main([str(tmp_path / "old"), "--export", str(tmp_path / "small")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--export" in line and "holds no vocabulary" in line
    assert not (tmp_path / "small").exists()


def test_a_resumed_training_ends_in_the_same_bits(run, tmp_path, monkeypatch):
    """The newest checkpoint is removed, so that the training continues from the one before it."""
    monkeypatch.setattr(Task, "evaluate", lambda self, run, *_: run.scores)
    runs = tmp_path / "runs"
    shutil.copytree(run.path, runs / "a")
    newest, older = (file for _, file in open_run(runs / "a", "", MODES).checkpoints())
    newest.unlink()
    keras.utils.clear_session(free_memory=False)
    assert train.main(["--resume", "a", "--runs-dir", str(runs)]) == 0
    resumed = open_run(runs / "a", "", MODES)
    assert resumed.checkpoints()[0][1].name == newest.name  # the name carries the digest
    assert [entry["epoch"] for entry in resumed.history] == [*range(1, 31)]
    assert older.exists()


def test_more_samples_average_and_do_not_tighten(run, corpus, scorer):
    """The terms of the ELBO are averaged over 20 samples: steadier than one sample, and no better in the mean."""
    model, config = scorer.model, run.config
    nll, kl = scorer.bounds(corpus.test)
    x = tf.constant(corpus.test.counts.toarray())
    z_seed = tf.random.split(tf.random.fold_in([config.seed, 2], 0), 2)[0]
    seeds = [tf.random.fold_in(z_seed, sample) for sample in range(config.samples)]
    mu, log_variance = model.infer(x)
    scale = tf.linalg.diag(tf.exp(0.5 * log_variance))
    ones = [model.bound(x, mu, scale, seed)[0].numpy() for seed in seeds]
    np.testing.assert_allclose(nll, np.mean(ones, 0), rtol=1e-4)
    assert kl.shape == nll.shape == (corpus.test.counts.shape[0],)
    words, found = np.ravel(corpus.test.counts.sum(1)), scorer.likelihood()
    assert found["perplexity_document"] == pytest.approx(np.exp(np.mean((nll + kl) / words)))
    assert found["perplexity_corpus"] == pytest.approx(np.exp(np.sum(nll + kl) / np.sum(words)))
    assert found["kl"] == pytest.approx(np.mean(kl)) and found["kl"] > 1e-3
    order, quarter = np.argsort(words, kind="stable"), len(words) // 4
    for end, own in {"shortest": order[:quarter], "longest": order[-quarter:]}.items():
        assert [found[f"words_{end}"], found[f"kl_{end}"]] == pytest.approx([np.mean(words[own]), np.mean(kl[own])])


@pytest.mark.parametrize(
    ("flags", "facts"),
    [
        (["--batch-size", "73"], ["batch size 73", "72 training documents", "1 to 72"]),
        (["--topics", "13"], ["--topics 13", "12 words", "fewer topics"]),
        (["--alternate", "2", "--epochs", "6"], ["--epochs 6", "a multiple of 4", "--alternate"]),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_no_run(documents_folder, tmp_path, capsys, flags, facts):
    argv = [*FLAGS, "--dataset", str(documents_folder), *flags, "--runs-dir", str(tmp_path / "runs")]
    assert train.main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(fact in line for fact in facts)
    assert not (tmp_path / "runs").exists()


def test_labels_of_a_single_class_do_not_count(documents_folder, tmp_path):
    folder = shutil.copytree(documents_folder, tmp_path / "animals")
    for part in ("train", "test"):
        file = folder / f"{part}.feat"
        file.write_text("".join("1 " + line.split(" ", 1)[1] + "\n" for line in file.read_text().splitlines()))
    _, corpus = TASK.resolve(NVDMConfig(dataset=str(folder), batch_size=8, topics=2))
    assert not TASK.facts(corpus)["labels"]


def test_updates_are_reached_in_whole_turns_of_both_sides(documents_folder):
    config = NVDMConfig(dataset=str(documents_folder), batch_size=8, topics=2, updates=10, alternate=3)
    assert TASK.resolve(config)[0].epochs == 6  # 9 updates an epoch: without turns two epochs would do


def test_both_rates_end_where_they_should_when_the_two_sides_take_turns():
    config = NVDMConfig(epochs=4, batch_size=8, topics=2, alternate=1, final_rate=1e-5)
    model = TASK.build(config, {"train": {"documents": 16}, "vocabulary": 12})
    for _ in range(8):
        model.train_step(tf.ones([8, 12]))
    for optimizer in (model.optimizer, model.encoder_optimizer):
        assert int(optimizer.iterations) == 4
        np.testing.assert_allclose(optimizer.learning_rate, 1e-5)


def test_a_word_that_no_training_document_has_is_not_a_top_word(run, corpus, scorer):
    counts = corpus.train.counts.tolil()
    counts[:, 3] = 0
    lacking = corpus._replace(train=corpus.train._replace(counts=counts.tocsr()))
    weights = np.zeros([2, 12])
    weights[:, 3] = 9
    top = top_words(weights, corpus.words, lacking.train.counts, 11)
    assert corpus.words[3] not in [word for topic in top for word in topic]
    described = DocumentScorer(TASK, run, lacking, scorer.model).described(weights, "")
    assert np.isfinite(described["coherence_npmi"])  # NPMI of a word without documents would not be


def test_one_word_makes_no_topics(tmp_path, capsys):
    file = tmp_path / "fish.txt"
    file.write_text("fish fish\n" * 40)
    assert train.main([*FLAGS, "--dataset", str(file), "--topics", "1", "--runs-dir", str(tmp_path / "runs")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(file) in line and "'fish'" in line and "topics need more" in line
    assert not (tmp_path / "runs").exists()


def test_another_corpus_is_noticed(run):
    def refused(message, **other):
        with pytest.raises(InputError, match=rf"is not what .* was started with \({message}\): put it back"):
            run.check_data(run.facts | other)

    digest = run.facts["vocabulary_sha256"]
    refused(f"vocabulary_sha256 was {digest}, is 0", vocabulary_sha256="0")
    refused("train: documents was 72, is 80", train=run.facts["train"] | {"documents": 80})
    refused("train: unheard was None, is 1", train=run.facts["train"] | {"unheard": 1})
    run.check_data(run.facts | {"unheard": 1})  # a later version may count more


# Text larger than memory


def test_a_training_from_disk_equals_one_from_memory_and_may_go_on_either_way(kinds, tmp_path, monkeypatch):
    monkeypatch.setenv("INFOBIGBIGAN_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for i in range(100):
        file = tmp_path / f"animals/{i % 2}/{i}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(" ".join(random.choice(kinds[i % 2], 9)))
    config = NVDMConfig(dataset=str(tmp_path / "animals"), batch_size=8, topics=2)
    own, other = (TASK.load(dataclasses.replace(config, cache_gb=limit)) for limit in (0.0, 1.0))
    assert TASK.facts(own) == TASK.facts(other)
    runs = {}
    for name, limit in (("memory", "1"), ("disk", "0")):
        keras.utils.clear_session(free_memory=False)
        flags = ["--dataset", str(tmp_path / "animals"), "--epochs", "2", "--runs-dir", str(tmp_path), "--name", name]
        assert train.main([*FLAGS, *flags, "--cache-gb", limit]) == 0
        runs[name] = open_run(tmp_path / name, "", MODES)
    names = [file.name for _, file in runs["memory"].checkpoints()]
    assert names == [file.name for _, file in runs["disk"].checkpoints()] and len(names) == 2
    of_this_machine = {"seconds": 0, "train_minutes": 0, "peak_memory_gb": 0}
    assert runs["memory"].scores | of_this_machine == runs["disk"].scores | of_this_machine
    (runs["disk"].path / "checkpoints" / names[0]).unlink()  # as if it had been stopped after its first epoch
    keras.utils.clear_session(free_memory=False)
    assert train.main(["--resume", str(runs["disk"].path), "--cache-gb", "1"]) == 0
    assert [file.name for _, file in runs["disk"].checkpoints()] == names
    assert "cache" not in runs["disk"].command


def test_scores_of_many_documents_are_of_a_fixed_choice(run, corpus, monkeypatch, capsys):
    part = corpus.train
    assert documents.scored(part) is part
    assert DocumentScorer(TASK, run, corpus, load_run(run.path)).data.train is part and capsys.readouterr().err == ""
    monkeypatch.setattr(documents, "SCORED_COUNTS", part.counts.nnz // 3)
    found, chosen = documents.scored(part), places(72, 24)
    assert found.counts.nnz < part.counts.nnz / 2 and found.labels.tolist() == part.labels[chosen].tolist()
    np.testing.assert_array_equal(found.counts.toarray(), part.counts.toarray()[chosen])
    assert DocumentScorer(TASK, run, corpus, load_run(run.path)).data.train.counts.shape[0] == 24
    assert "train: scored on 24 of 72 documents, a fixed random choice\n" in capsys.readouterr().err


def test_facts_tell_the_vocabulary_and_the_documents(documents_folder):
    config, corpus = TASK.resolve(NVDMConfig(dataset=str(documents_folder), batch_size=8, updates=18, topics=2))
    assert config.epochs == 2  # 72 documents remain for training: 9 steps an epoch
    facts = TASK.facts(corpus)
    assert facts["vocabulary"] == 12 and facts["labels"] and facts["train"]["documents"] == 72
