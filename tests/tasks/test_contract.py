"""What holds for every mode, through the same protocol on tiny data: from a config to a trained, saved and scored model."""

import dataclasses
import functools
import math
import random
import re
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml

import train
from data.answers import evaluation_batches
from data.images import to_float
from metrics import frechet
from metrics.catalogue import EVALUATIONS, FID, KID, RUN, SCORES, score_of
from models.capabilities import Encodes, HasCode
from models.gan import GAN
from reporting.export import export_run
from tasks import answers, paragraphs, sentences
from tasks.base import Scorer, Task, computes
from tasks.modes import MODES, load_run
from text_vae import nvdm
from text_vae.language_vae import LanguageVAE
from text_vae.nasm import NASM
from text_vae.nvdm import NVDM
from text_vae.ranker import Ranker
from training.callbacks import EpochEnd, Keeper, NonFiniteGuard
from training.config import flag, make_config
from training.runs import create_run, open_run

IMAGES = {"batch_size": 20, "latent_dim": 4, "generator_widths": (8,), "discriminator_widths": (8,), "curves": True}
ENCODER = {"encoder_widths": (8,), "feature_dim": 8, "latent_width": 8, "latent_blocks": 0}
CODE = {"num_categories": 3, "num_continuous": 1}
SENTENCES = {"batch_size": 32, "max_length": 8, "embedding": 4, "units": 4}
LATENT = {"latent_dim": 2, "samples": 2}
PARAGRAPHS = {
    "batch_size": 32,
    "embedding": 4,
    "units": 4,
    "plan": 4,
    "encoder_widths": (4,),
    "top_dim": 2,
    "hidden": 4,
}
RANKER = {"batch_size": 20, "embedding": 4, "units": 4}
OPTIONS = {
    "biggan": IMAGES,
    "bigan": IMAGES | ENCODER,
    "bigbigan": IMAGES | ENCODER,
    "infogan": IMAGES | CODE,
    "infobigbigan": IMAGES | ENCODER | CODE,
    "nvdm": {"batch_size": 36, "vocabulary_size": 12, "topics": 2, "encoder_widths": (8,), "samples": 2},
    "lm": SENTENCES,
    "vae": SENTENCES | LATENT,
    "twrvae": SENTENCES | LATENT,
    "mlvae": PARAGRAPHS | LATENT,
    "nasm": RANKER | {"latent": 2, "samples": 2},
    "gqa": RANKER,
}
TERMS = {  # what the discriminators' loss consists of
    "biggan": {"loss/d_x"},
    "bigan": {"loss/d_xz"},
    "bigbigan": {"loss/d_x", "loss/d_z", "loss/d_xz"},
    "infogan": {"loss/d_x", "loss/d_info"},
    "infobigbigan": {"loss/d_x", "loss/d_z", "loss/d_xz", "loss/d_info", "loss/d_info_real"},
}
LATENT_KEYS = {"kl", "mutual_information", "mutual_information_sentences", "active_units", "reconstructions"}
ABSENT = {  # keys that a mode, or these options of it, does not have
    "infogan": {"hungarian_accuracy_encoder", "many_to_one_accuracy_encoder", "balanced_accuracy_encoder"},
    "lm": LATENT_KEYS | {"kl_by_step", "length_nats", "reference_nll", "interpolations"},
    "vae": {"kl_by_step", "length_nats"},
    "twrvae": {"length_nats"},
    "nasm": {"prior_weight"},
    "gqa": {"kl", "validation_kl"},
}


@pytest.fixture(scope="module", autouse=True)
def cheap(eagerly):
    """Nothing is traced, little is generated, and controls are hardly trained."""
    with eagerly(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(frechet, "RECIPE", frechet.FeatureRecipe(updates=2))
        patch.setattr(nvdm, "REFINEMENTS", 1)
        patch.setattr(sentences, "GENERATED", 12)
        patch.setattr(paragraphs, "GENERATED", 12)
        patch.setattr(answers, "TOPIC_UPDATES", 2)
        yield


@pytest.fixture(scope="module")
def datasets(tmp_path_factory, documents_folder, sentences_file, paragraphs_file, answers_folder):
    """Task -> a tiny data set."""
    file = tmp_path_factory.mktemp("images") / "squares.npz"
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 100, (60, 8, 8)) + 50 * labels[:, None, None]
    np.savez(file, images=images.astype(np.uint8), labels=labels)
    found = {"images": file, "documents": documents_folder, "sentences": sentences_file}
    return found | {"paragraphs": paragraphs_file, "answers": answers_folder}


def dataset_of(mode, datasets):
    """The data set of a mode's task; a task's path is "tasks.images:ImageTask"."""
    return str(datasets[MODES[mode].task.split(":")[0].split(".")[1]])


def outputs(model, data):
    """What a model computes from its weights, as arrays."""
    if isinstance(model, Encodes | HasCode) or hasattr(model, "generator"):
        x = to_float(data.test.images)
        found = [model.generate(4, seed=3)]
        found += [model.encode(x).mu] if isinstance(model, Encodes) else []
        return found + ([model.classify(x)] if isinstance(model, HasCode) else [])
    if hasattr(data, "words"):
        return [value.numpy() for value in model.infer(tf.constant(data.test.counts.toarray()))]
    if hasattr(data, "vectors"):
        batch = next(iter(evaluation_batches(data.corpus.test, data.corpus.vocabulary, 20)))
        found = [model.scores(batch, tf.constant([0, 1])).numpy()]
        return found + ([model.encode(batch).numpy()] if isinstance(model, NASM) else [])
    found = [np.array(sentences.mean_bound(model, data.test[:4], seed=3))]
    return found + ([np.array(model.encode_ids(data.test[:4]))] if isinstance(model, LanguageVAE) else [])


def same(ours, theirs):
    return all(np.array_equal(own, other) for own, other in zip(ours, theirs, strict=True))


def weights_of(model):
    return [weight.numpy() for weight in model.trainable_variables]


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module", params=MODES)
def built(request, datasets, runs_dir):
    """A mode with a new model: its row, task, data, run and model."""
    row = MODES[request.param]
    task = row.make_task()
    assert row.name in OPTIONS, f"give {row.name} a row of OPTIONS: its smallest sizes"
    given = make_config(row.config, OPTIONS[row.name] | {"dataset": dataset_of(row.name, datasets), "updates": 1})
    config, data = task.resolve(given)
    run = create_run(str(runs_dir), row.name, row, config, task.facts(data), task.wording(data))
    keras.utils.clear_session(free_memory=False)  # a checkpoint holds layer names, numbered from here
    return SimpleNamespace(row=row, task=task, data=data, run=run, model=task.build(config, run.facts))


@pytest.fixture(scope="module")
def trained(built):
    """A mode after one step: its row, task, data, run and model, and the first weights."""
    task, data, run, model = built.task, built.data, built.run, built.model
    first = weights_of(model)
    task.initialize(model, run, data)
    followers = [Keeper(run), *task.callbacks(run, data)]
    end = EpochEnd(run, functools.partial(task.curve_point, run, data), followers)
    x = task.batches(run.config, data, first_epoch=0)
    model.fit(x, epochs=1, steps_per_epoch=1, verbose=0, shuffle=False, callbacks=[NonFiniteGuard(run), end])
    return SimpleNamespace(**vars(built), first=first)


def test_resolving_leaves_no_field_open(trained):
    config = trained.run.config
    assert config.dataset and config.epochs == 1 and getattr(config, "precision", "float32") in ("float32", "bfloat16")
    assert trained.task.resolve(config)[0] == config  # as a training that is resumed asks again
    assert config.batch_size * trained.task.steps_per_epoch(config, trained.data) > 0


def test_facts_survive_the_run_directory(trained):
    assert open_run(trained.run.path, "", MODES) == trained.run
    trained.run.check_data(trained.task.facts(trained.task.load(trained.run.config)))
    assert isinstance(trained.run.facts["labels"], bool) and trained.run.facts["sha256"]


def test_a_step_is_taken_and_written_into_the_history(trained):
    (entry,) = trained.run.history
    assert int(trained.model.step) == entry["step"] == entry["epoch"] == 1
    assert all(math.isfinite(value) for value in entry.values())
    assert {f"loss/{part}" for part in ("nll", "kl")} <= entry.keys() or {"loss/d", "loss/ge"} <= entry.keys()
    assert {name for name in entry if name.startswith("loss/d_")} == TERMS.get(trained.row.name, set())
    points = {name.removeprefix("validation/") for name in entry if name.startswith("validation/")}
    assert points and points <= SCORES.keys()
    if trained.row.best:
        assert trained.row.best in entry


def test_a_second_model_restores_the_first(trained):
    keras.utils.clear_session(free_memory=False)
    second = trained.task.build(trained.run.config, trained.run.facts)
    assert same(weights_of(second), trained.first) and not same(weights_of(trained.model), trained.first)
    ours = outputs(trained.model, trained.data)
    assert all(np.isfinite(value).all() for value in ours)
    assert not same(outputs(second, trained.data), ours)
    assert trained.run.restore(second) == 1
    assert same(outputs(second, trained.data), ours)
    ((_, file),) = trained.run.checkpoints()
    assert trained.run.save(second, 1) == file  # the name carries the digest of everything, optimizers included


def test_the_model_takes_every_option_and_no_other(trained):
    config, task = trained.run.config, trained.task
    arguments = task.data_arguments(config, trained.run.facts) | config.model_options()
    assert not task.data_arguments(config, trained.run.facts).keys() & config.model_options().keys()
    with pytest.raises(TypeError, match="unheard"):
        task.model.create(**arguments, seed=0, unheard=1)


def test_the_command_line_and_create_have_the_same_defaults(trained):
    own = make_config(trained.row.config, {}).model_options() | {"seed": 0}
    defaults = trained.task.model.defaults
    assert defaults.keys() == own.keys() and defaults == {name: own[name] for name in defaults}


def test_building_a_model_leaves_the_global_generators_alone(trained):
    def drawn():
        return random.random(), float(np.random.rand()), float(tf.random.uniform([]))

    def restart():
        keras.utils.set_random_seed(5)
        return drawn()

    restart()
    expected = drawn()
    restart()
    trained.task.build(trained.run.config, trained.run.facts)
    assert drawn() == expected


def test_a_run_of_text_takes_and_gives_strings_without_its_corpus(trained, monkeypatch):
    if not trained.run.wording:
        assert "image_shape" in trained.run.facts
        return
    monkeypatch.setattr(type(trained.task), "load", lambda *_: pytest.fail("the corpus is read"))
    model = load_run(trained.run.path)
    if isinstance(model, NVDM):
        assert [len(topic) for topic in model.topics(3)] == [3, 3]
        z = model.transform(["cat dog dog", "A moon, the sun", "unheard moon sun"])
        assert z.shape == (3, 2) and not np.allclose(z[0], z[1])
        np.testing.assert_allclose(z[1], z[2], rtol=1e-5)
        with pytest.raises(ValueError, match="'unheard' has no word that the model knows"):
            model.transform(["unheard"])
    elif isinstance(model, Ranker):
        offered = ["a cave", "the ice is near the cave", "fire"]
        ranked = model.rank("what ice has a cave", offered)
        assert sorted(own.candidate for own in ranked) == sorted(offered)
        assert [own.score for own in ranked] == sorted((own.score for own in ranked), reverse=True)
        assert ranked == model.rank("What  ICE has a cave", offered)
    else:
        texts = model.generate(5, seed=3)
        assert texts == model.texts_of(model.generate_ids(5, seed=3)) and all(isinstance(text, str) for text in texts)
        known = [" ".join(trained.data.vocabulary.decode(ids)) for ids in trained.data.test[:2]]
        if trained.row.name != "mlvae":
            assert [own.tolist() for own in model.ids_of(known)] == [own.tolist() for own in trained.data.test[:2]]
        if isinstance(model, LanguageVAE):
            np.testing.assert_array_equal(model.encode(known), model.encode_ids(model.ids_of(known)))
            assert len(model.reconstruct(known)) == 2 and len(model.interpolate(*known, steps=4)) == 4
        with pytest.raises(ValueError, match="give a list of texts"):
            model.ids_of("one text")
    with pytest.raises(ValueError, match="knows no words"):
        trained.model.worded()


OUTSIDE = """
import os
import sys
import numpy as np
import tensorflow as tf
assert not any(name in sys.modules for name in ("models", "text_vae"))
for folder in map(str.strip, sys.stdin):
    if child := os.fork():  # a new process for each model, which need not import TensorFlow again
        print("done" if os.waitpid(child, 0)[1] == 0 else "failed", flush=True)
        continue
    signatures = tf.saved_model.load(folder + "/given/1").signatures
    given = np.load(folder + "/given.npz")
    found = {}
    for call in {name.split("/")[0] for name in given}:
        inputs = {name.split("/")[1]: tf.constant(given[name]) for name in given if name.startswith(call + "/")}
        inputs.pop("nothing", None)
        found |= {call + "/" + name: value.numpy() for name, value in signatures[call](**inputs).items()}
    found = {name: value.astype("S") if value.dtype == object else value for name, value in found.items()}
    np.savez(folder + "/found.npz", **found)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A function that returns what a process with TensorFlow alone computes with the exported model of a folder."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "outside.py").write_text(OUTSIDE)
    command = [sys.executable, "outside.py"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(exported):
            print(exported, file=process.stdin, flush=True)
            assert process.stdout.readline() == "done\n"
            return np.load(exported / "found.npz")

        yield ask


def padded(texts):
    """Token lists as an array of strings, filled up with ""."""
    longest = max(map(len, texts))
    return np.array([text + [""] * (longest - len(text)) for text in texts]).astype("S")


def calls_of(model, data):
    """Inputs and expected outputs of an exported model's signatures, by "signature/name"."""
    number, zero = np.int32(3), np.float32(0)
    if isinstance(model, GAN):
        given = {"generate/n": number, "generate/seed": number, "generate/truncation": np.float32(0.5)}
        expected = {"generate/images": model.generate(3, seed=3, truncation=0.5)}
        x = to_float(data.test.images)
        if isinstance(model, Encodes):
            given |= {"encode/images": x, "reconstruct/images": x}
            expected |= {"encode/mu": model.encode(x).mu, "reconstruct/images": model.reconstruct(x)}
        if isinstance(model, HasCode):
            given |= {"classify/images": x, "generate_categories/c": np.array([2, 0], np.int32)}
            given |= {"generate_categories/seed": number, "generate_categories/truncation": zero}
            expected |= {"generate_categories/images": model.generate(2, c=[2, 0], seed=3)}
            expected |= {"classify/probabilities": model.classify(x)}
        return given, expected
    if isinstance(model, NVDM):
        texts = ["cat dog dog", "moon sun sun unheard"]
        given = {"transform/tokens": padded(model.wording.split(texts)), "topics/nothing": zero}
        return given, {"transform/mu": model.transform(texts), "topics/words": np.array(model.topics()).astype("S")}
    if isinstance(model, Ranker):
        question, offered = "what ice has a cave", ["a cave", "the ice is near the cave", "fire unheard"]
        batch, ranked = model.batch_of(question, offered), model.rank(question, offered)
        given = {"rank/question": np.array(question.split()).astype("S")}
        given |= {"rank/question_stems": batch["question_stems"][0].numpy(), "rank/prior_weight": zero}
        given |= {"rank/candidates": padded(model.wording.split(offered))}
        given |= {"rank/candidate_stems": batch["candidate_stems"].numpy()}
        scores = np.array([own.score for own in ranked])
        return given, {"rank/ranked": np.array([own.candidate for own in ranked]).astype("S"), "rank/scores": scores}
    given = {"generate/n": number, "generate/seed": number, "generate/temperature": np.float32(0.7)}
    given |= {"generate/top_p": np.float32(0.9)}
    texts = model.generate(3, seed=3, temperature=0.7, top_p=0.9)
    expected = {"generate/texts": np.array([text.encode() for text in texts])}
    if isinstance(model, LanguageVAE):
        ids = data.test[:3]
        tokens = padded([[model.wording.words[i] for i in own] for own in ids])
        given |= {"encode/tokens": tokens, "reconstruct/tokens": tokens}
        again = model.texts_of(model.reconstruct_ids(ids))
        expected |= {"encode/mu": model.encode_ids(ids), "reconstruct/texts": np.array([t.encode() for t in again])}
    return given, expected


@pytest.fixture
def given_away(built):
    """A mode with a run that holds new weights and a score."""
    built.run.save(built.model, 1)
    built.run.write_scores(built.run.scores | {"epoch": 1})
    return built


@pytest.mark.slow
def test_a_saved_model_computes_the_same_with_tensorflow_alone(given_away, compiled, outside, tmp_path):
    run, task = given_away.run, given_away.task
    model = load_run(run.path)
    export_run(run, model, 1, tmp_path / "given", "saved-model", given_away.row.summary, task.limits)
    given, expected = calls_of(model, given_away.data)
    assert {name.split("/")[0] for name in given} == model.signatures().keys()
    np.savez(tmp_path / "given.npz", **given)
    found = outside(tmp_path)
    for name, value in expected.items():
        if value.dtype.kind == "S":
            assert found[name].tolist() == value.tolist(), name
        else:
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    card = (tmp_path / "given/README.md").read_text()
    assert all(f"| `{name}` |" in card for name in model.signatures()) and run.command in card
    assert yaml.safe_load(card.split("---")[1])["model-index"][0]["results"]
    assert (tmp_path / "given/vocabulary.json").exists() == bool(run.wording)
    _, *of_texts = re.findall(r"```python\n(.*?)```", card, re.DOTALL)  # the first loads the model
    space = {}
    for code in of_texts:
        exec(code, space)
    if run.wording:
        assert space["split"]("The CAVES form") == run.wording.split(["The CAVES form"])[0]
    if "rank" in model.signatures():
        assert space["stem_number"]("caves") == space["stem_number"]("cave") > 0


@pytest.mark.slow
def test_weights_to_give_away_open_as_a_run(given_away, tmp_path):
    run, model = given_away.run, load_run(given_away.run.path)
    export_run(run, model, 1, tmp_path / "given", "weights", given_away.row.summary, given_away.task.limits)
    again, pairs = load_run(tmp_path / "given"), []
    for own, other in zip(model.in_use, again.in_use, strict=True):
        pairs.append(np.max(np.abs(own.numpy() - other.numpy())))
    assert 0 < max(pairs) < 0.01 and open_run(tmp_path / "given", "", MODES).wording == run.wording
    assert "load_run" in (tmp_path / "given/README.md").read_text()


@pytest.mark.parametrize("built", ["nvdm"], indirect=True)
def test_another_seed_gives_other_first_weights(trained):
    other = dataclasses.replace(trained.run.config, seed=1)
    assert not same(weights_of(trained.task.build(other, trained.run.facts)), trained.first)


def test_every_evaluation_reports_its_keys(trained):
    run, wanted = trained.run, trained.row.wanted(trained.run)
    assert wanted == trained.row.scores  # all data sets have labels, or their modes need none
    found = trained.task.evaluate(run, trained.data, trained.model, 1, wanted)
    keys = {key for evaluation in wanted for key in evaluation.keys}
    absent = ABSENT.get(trained.row.name, set())
    expected = {score.key for score in RUN} | keys - absent
    assert not expected - found.keys(), "name what the mode does not report in ABSENT"
    assert not found.keys() - expected and absent <= keys
    assert run.scores.keys() == found.keys()  # metrics.json
    numbers = [value for key, value in found.items() if score_of(key).direction and isinstance(value, float)]
    assert numbers and all(map(math.isfinite, numbers))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["bigan", "vae", "mlvae", "nasm", "gqa"])  # others are traced in files of their own
def test_a_mode_trains_and_is_scored_with_traced_functions(compiled, datasets, tmp_path, mode):
    flags = ["--mode", mode, "--dataset", dataset_of(mode, datasets), "--epochs", "1", "--runs-dir", str(tmp_path)]
    for name, value in OPTIONS[mode].items():
        if value is not True:
            flags += [flag(name), *map(str, value if isinstance(value, tuple) else [value])]
    assert train.main([*flags, "--name", "a"]) == 0
    run = open_run("a", str(tmp_path), MODES)
    keys = {key for evaluation in run.row.scores for key in evaluation.keys}
    assert run.scores.keys() == {score.key for score in RUN} | keys - ABSENT.get(mode, set())


# Of the tables


def test_every_evaluation_of_a_mode_has_a_method():
    for mode, row in MODES.items():
        assert set(row.scores) <= row.make_task().scorer.methods.keys(), mode


def test_evaluations_modes_and_scorers_agree():
    assert {own for row in MODES.values() for own in row.scores} == set(EVALUATIONS)
    assert {own for row in MODES.values() for own in row.make_task().scorer.methods} == set(EVALUATIONS)
    for row in MODES.values():
        names = [evaluation.name for evaluation in row.scores]
        assert len(set(names)) == len(names)  # a flag names one evaluation of a mode
        assert row.direction in ("min", "max") and row.name in MODES
        if row.best:
            assert score_of(row.best.removeprefix("validation/")).direction == row.direction


@pytest.mark.parametrize("mode", MODES)
def test_every_task_implements_the_protocol(mode):
    task = type(MODES[mode].make_task())
    for name in ("load", "resolve", "facts", "steps_per_epoch", "batches", "data_arguments", "callbacks"):
        assert getattr(task, name) is not getattr(Task, name), name
    assert issubclass(task.scorer, Scorer) and task.scorer is not Scorer


def test_a_method_that_reports_an_unknown_key_is_an_error():
    class Own(Scorer):
        @computes(FID)
        def fid(self):
            return {"fid": 1.0}

        @computes(KID)
        def kid(self):
            return {"kid": 1.0, "fid": 2.0}

    scorer = Own(None, SimpleNamespace(config=None), None, None)
    scorer.compute(FID)
    assert scorer.found == {"fid": 1.0} == scorer.fid()
    with pytest.raises(KeyError, match="--kid reports fid"):
        scorer.compute(KID)
    assert scorer.found == {"fid": 1.0}
    assert not Scorer.methods  # the methods of a subclass are its own


def test_a_subclass_may_compute_an_evaluation_in_another_way():
    class Parent(Scorer):
        @computes(FID)
        def fid(self):
            return {"fid": 1.0}

    class Child(Parent):
        @computes(FID)
        def fid(self):
            return {"fid": 2.0}

    for own, value in ((Parent, 1.0), (Child, 2.0)):
        scorer = own(None, SimpleNamespace(config=None), None, None)
        scorer.compute(FID)
        assert scorer.found == {"fid": value}
