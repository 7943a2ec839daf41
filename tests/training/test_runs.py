import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest

import train
from data.errors import InputError
from training import images
from training.callbacks import Keeper, NonFiniteGuard, is_due
from training.config import BigGANConfig
from training.runs import FORMAT, check_unchanged, create_run, digest, load_run, open_run, write_text

ROOT = Path(__file__).resolve().parents[2]
STUB = {"mode": "infobigbigan", "seed": 0, "dataset": "digits", "epoch": 4}  # scores, where they do not matter
FACTS = {"image_shape": [8, 8, 1], "labels": True}
CONFIG = BigGANConfig(dataset="digits", epochs=2, precision="float32", generator_widths=(8,), discriminator_widths=(8,))


@pytest.fixture
def run(tmp_path):
    """A run that has not trained."""
    return create_run(str(tmp_path), "a", "biggan", CONFIG, FACTS)


@pytest.fixture(scope="module")
def model():
    return images.build("biggan", CONFIG, FACTS)


def refuse(*_):
    """A full disk, in the place of os.replace."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Saved:
    """Stands for a model in `Run.save`: writes its content."""

    def __init__(self, content):
        self.content = content

    def count_params(self):
        return 0

    def save_weights(self, file, overwrite):
        file.write_bytes(self.content)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


# A run that is killed


@pytest.fixture(scope="module")
def resumed(whole):
    """A run like `whole`, killed before its first checkpoint and after its second, and resumed; with what that left."""
    run, folder = whole[0], whole[0].path.parent / "killed"
    create_run(str(folder.parent), "killed", run.mode, run.config, run.data)
    flags = ["--resume", "killed", "--runs-dir", str(folder.parent)]
    process = subprocess.Popen(
        [sys.executable, "train.py", *flags], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while len(list(folder.glob("checkpoints/epoch-*"))) < 2 and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    run = open_run(folder)
    left = run.checkpoints()[0][0]
    (folder / "checkpoints/partial.weights.h5").write_bytes(b"the beginning of a third")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.scores.score", lambda run, asked: STUB)
        keras.utils.clear_session(free_memory=False)  # numbers layers as a new process would
        assert train.main(flags) == 0
    return run, left


def test_a_killed_and_resumed_run_ends_in_the_same_bits(whole, resumed):
    run, left = resumed
    assert left in (2, 3)
    assert names(run.path / "checkpoints") == names(whole[0].path / "checkpoints")  # names carry digests
    for (_, ours), (_, theirs) in zip(run.checkpoints(), whole[0].checkpoints(), strict=True):
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_killed_and_resumed_run_has_the_same_history(whole, resumed):
    ours, theirs = ([entry | {"seconds": 0, "memory_gb": 0} for entry in run.history] for run in (resumed[0], whole[0]))
    assert [entry["epoch"] for entry in ours] == [1, 2, 3, 4]
    assert ours == theirs


def test_a_checkpoint_holds_weights_averages_step_and_both_optimizers(whole):
    with h5py.File(whole[0].checkpoints()[0][1]) as file:
        assert file.keys() >= {"discriminators", "averaged", "d_optimizer", "ge_optimizer", "vars"}
        own = 1 + len(whole[1].recognizer_averages)  # the step, and what has no network of its own
        assert len(file["vars"]) == own  # all others are in there once, with their networks


# Checkpoints


def test_a_loaded_run_generates_what_the_trained_model_does(whole, eager):
    run, model = whole
    np.testing.assert_array_equal(load_run(run.path).generate(5, seed=3), model.generate(5, seed=3))


def test_the_newest_whole_checkpoint_is_loaded(run, model, capsys):
    model.step.assign(1)
    run.save(model, 1)
    model.step.assign(2)
    newest = run.save(model, 2)
    model.step.assign(0)
    assert (run.restore(model), int(model.step)) == (2, 2)
    assert capsys.readouterr().err == ""
    newest.write_bytes(newest.read_bytes()[:-1])
    (newest.parent / "epoch-000003 (copy).weights.h5").write_bytes(b"")  # none of ours
    assert (run.restore(model), int(model.step)) == (1, 1)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{newest} is damaged: epoch-000001-" in line


def test_two_checkpoints_are_kept_each_named_by_its_content(run):
    files = [run.save(Saved(content), epoch) for epoch, content in enumerate([b"one", b"two", b"three"], start=1)]
    assert run.checkpoints() == [(3, files[2]), (2, files[1])]
    assert files[2].name == f"epoch-000003-{digest(files[2])}.weights.h5"


def test_a_run_without_checkpoints(run, model):
    with pytest.raises(InputError, match="has no checkpoint: start the run anew"):
        run.restore(model)


def test_a_run_whose_checkpoints_are_all_damaged(run, model):
    run.save(Saved(b"whole"), 1).write_bytes(b"cut")
    with pytest.raises(InputError, match="no checkpoint in .* is whole: start the run anew"):
        run.restore(model)


def test_a_checkpoint_of_another_model(run, model):
    other = images.build("biggan", BigGANConfig(**vars(CONFIG) | {"generator_widths": (12,)}), FACTS)
    run.save(other, 1)
    with pytest.raises(InputError, match="does not fit the model of its config.json"):
        run.restore(model)


# A full disk


def test_a_full_disk_leaves_the_last_checkpoint_and_no_remains(run, monkeypatch):
    last = run.save(Saved(b"one"), 1)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        run.save(Saved(b"two"), 2)
    assert names(run.path / "checkpoints") == [last.name]


def test_a_checkpoint_is_not_begun_without_room_for_it(run, monkeypatch):
    """HDF5 itself does not survive a full disk."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="No space left"):
        run.save(Saved(b"one"), 1)
    assert names(run.path / "checkpoints") == []


def test_a_run_that_could_not_be_begun_leaves_its_name_free(tmp_path, monkeypatch):
    with monkeypatch.context() as full, pytest.raises(OSError, match="No space left"):
        full.setattr(os, "replace", refuse)
        create_run(str(tmp_path), "a", "biggan", CONFIG, FACTS)
    create_run(str(tmp_path), "a", "biggan", CONFIG, FACTS)


def test_a_full_disk_leaves_the_old_file_and_no_remains(tmp_path, monkeypatch):
    write_text(tmp_path / "a.json", "old")

    def half(path, content):
        path.open("wb").write(content[:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "a.json", "new")
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


# config.json and options


def test_config_json_tells_what_the_run_depends_on(run):
    described = json.loads((run.path / "config.json").read_text())
    assert described["format"] == FORMAT
    assert described["mode"] == "biggan"
    assert described["config"]["dataset"] == "digits"
    assert described["config"]["generator_widths"] == [8]
    assert described["data"] == FACTS
    assert {"python", "machine", "tensorflow", "keras", "numpy"} <= described["versions"].keys()


def test_a_name_that_is_taken(run):
    with pytest.raises(InputError, match="a exists: choose another --name, or go on with --resume"):
        create_run(str(run.path.parent), "a", "biggan", CONFIG, FACTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"format": FORMAT + 1},
            f"is of another version (format {FORMAT + 1}, mode biggan): use the version that wrote it",
        ),
        ({"mode": "stylegan"}, f"is of another version (format {FORMAT}, mode stylegan)"),
        ({"config": {"batch_size": 1}}, "does not describe a run of this version: --batch-size: 1 is out of range"),
        ({"config": {"depth": 1}}, "does not describe a run of this version"),
        ({"config": None}, "config.json"),
        ({"config": {"dataset": "digits"}}, "does not say what the run was trained on"),
        ({"data": None}, "config.json"),
        ({"data": {"labels": True}}, "a config.json lacks 'image_shape': restore it"),
        ({"mode": ["biggan"]}, "config.json"),
    ],
)
def test_a_config_json_of_another_version(run, change, message):
    file = run.path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError) as error:
        load_run(run.path)
    assert message in str(error.value)


@pytest.mark.parametrize(("content", "part"), [("{}", "format"), ('{"format": 1}', "mode")])
def test_a_config_json_that_lacks_a_part_names_it(run, content, part):
    (run.path / "config.json").write_text(content)
    with pytest.raises(InputError, match=f"a/config.json: a config.json lacks '{part}': restore it"):
        open_run(run.path)


@pytest.mark.parametrize("content", [b"", b'{"format": 1', b"[]", b"\xff"])
def test_a_damaged_config_json(run, content):
    (run.path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match="config.json is damaged .* restore it, or start the run anew"):
        open_run(run.path)


@pytest.mark.parametrize("content", ['{"epoch": 1, "seconds": 1}\n{"epo', "1\n", "{}\n"])
def test_a_damaged_history(run, content):
    (run.path / "history.jsonl").write_text(content)
    with pytest.raises(InputError, match="history.jsonl is damaged .* restore it, or start the run anew"):
        _ = run.history


def test_no_run(run):
    with pytest.raises(InputError, match=r"b is no run: it has no config.json \(runs of .*: a\)"):
        open_run("b", str(run.path.parent))


def test_a_folder_of_a_runs_name_does_not_hide_the_run(run, tmp_path, monkeypatch):
    (tmp_path / "here/a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert open_run("a", str(run.path.parent)).path == run.path


def test_the_same_options_may_be_given_again(run):
    check_unchanged(run, {"dataset": "digits", "generator_widths": (8,), "d_rate": 6e-4})


def test_the_precision_that_was_left_open_may_be_left_open_again(run):
    check_unchanged(run, {"precision": "auto"})


def test_a_changed_option_is_named(run):
    with pytest.raises(InputError, match="--d-rate 0.1: .* was started with 0.0006; start a new run to change it"):
        check_unchanged(run, {"batch_size": 128, "d_rate": 0.1})


# When and when not


def test_the_guard_names_step_term_and_last_good_checkpoint(run):
    good = run.save(Saved(b"one"), 1)
    guard = NonFiniteGuard(run)
    guard.set_model(SimpleNamespace(step=7))
    guard.on_train_batch_end(0, {"loss/d": 1.0, "loss/d_x": -2.0})
    with pytest.raises(InputError) as error:
        guard.on_train_batch_end(1, {"loss/d": math.nan, "loss/d_x": math.inf, "loss/d_xz": 1.0})
    assert f"loss/d_x is inf at step 7: the last good checkpoint is {good}" in str(error.value)


def test_the_guard_stops_before_weights_that_are_no_numbers_are_saved(run):
    weight = keras.Variable([1.0, 2.0], name="kernel")
    guard = NonFiniteGuard(run)
    guard.set_model(SimpleNamespace(step=7, trainable_variables=[weight]))
    guard.on_epoch_end(0)
    weight.assign([1.0, math.nan])
    with pytest.raises(InputError, match="kernel is not finite at step 7: there is no checkpoint yet"):
        guard.on_epoch_end(1)


@pytest.mark.parametrize(
    ("epochs", "due"), [(1, [1]), (4, [1, 2, 3, 4]), (60, [*range(3, 61, 3)]), (45, [*range(2, 45, 2), 45])]
)
def test_what_is_done_about_twenty_times(epochs, due):
    assert [epoch for epoch in range(1, epochs + 1) if is_due(epoch, epochs)] == due


@pytest.mark.parametrize("epochs", [1, 7, 50, 70, 119, 250])
def test_every_epoch_that_is_scored_is_saved(epochs):
    """So that the best of them can be kept."""
    saved = []
    config = SimpleNamespace(epochs=epochs)
    run = SimpleNamespace(
        history=[], config=config, write_history=lambda entries: None, save=lambda model, epoch: saved.append(epoch)
    )
    keeper = Keeper(run, lambda model: {"validation/x": 0.0})
    keeper.set_model(SimpleNamespace(step=0, refresh_statistics=lambda: None))
    for epoch in range(epochs):
        keeper.on_epoch_begin(epoch)
        keeper.on_epoch_end(epoch, {})
    scored = [entry["epoch"] for entry in keeper.entries if "validation/x" in entry]
    assert scored and set(scored) <= set(saved)


def test_an_epoch_is_refreshed_scored_written_and_saved_in_this_order():
    """So that scores are of what is saved, and no checkpoint lacks its line of the history."""
    done = []
    run = SimpleNamespace(
        history=[],
        config=SimpleNamespace(epochs=1),
        write_history=lambda entries: done.append("history"),
        save=lambda model, epoch: done.append("save"),
    )
    keeper = Keeper(run, lambda model: done.append("score") or {})
    keeper.set_model(SimpleNamespace(step=0, refresh_statistics=lambda: done.append("refresh")))
    keeper.on_epoch_begin(0)
    keeper.on_epoch_end(0, {})
    assert done == ["refresh", "score", "history", "save"]
