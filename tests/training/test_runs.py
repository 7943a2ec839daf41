"""A run directory: its checkpoints, its files on a full disk, its config.json and its options."""

import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.errors import InputError
from tasks.configs import BigGANConfig
from tasks.modes import MODES, load_run
from training.files import digest, held, whole_folder, write_arrays, write_text
from training.runs import FORMAT, KEPT, create_run, latest_run, open_run, resumed_config, write_config

BIGGAN = MODES["biggan"]
FACTS = {"image_shape": [8, 8, 1], "labels": True}
CONFIG = BigGANConfig(dataset="digits", epochs=2, precision="float32", generator_widths=(8,), discriminator_widths=(8,))


@pytest.fixture
def run(tmp_path):
    """A run that has not trained."""
    return create_run(str(tmp_path), "a", BIGGAN, CONFIG, FACTS)


@pytest.fixture(scope="module")
def model():
    return BIGGAN.make_task().build(CONFIG, FACTS)


def refuse(*_):
    """A full disk, in the place of os.replace."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Saved:
    """A stand-in for a model in `Run.save`, which writes its content."""

    def __init__(self, content):
        self.content = content

    def count_params(self):
        return 0

    def save_weights(self, file, overwrite):
        file.write_bytes(self.content)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


# Checkpoints


def test_the_newest_whole_checkpoint_is_loaded(run, model, capsys):
    model.step.assign(1)
    run.save(model, 1)
    model.step.assign(2)
    newest = run.save(model, 2)
    model.step.assign(0)
    assert (run.restore(model), int(model.step)) == (2, 2)
    assert capsys.readouterr().err == ""
    newest.write_bytes(newest.read_bytes()[:-1])
    (newest.parent / "epoch-000003 (copy).weights.h5").write_bytes(b"")  # not the name of a checkpoint
    assert (run.restore(model), int(model.step)) == (1, 1)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{newest} is damaged" in line and "epoch-000001-" in line


def test_two_checkpoints_are_kept_each_named_by_its_content(run):
    files = [run.save(Saved(content), epoch) for epoch, content in enumerate([b"one", b"two", b"three"], start=1)]
    assert run.checkpoints() == [(3, files[2]), (2, files[1])] and KEPT == 2
    assert files[2].name == f"epoch-000003-{digest(files[2])}.weights.h5"


@pytest.mark.parametrize(
    ("row", "values", "kept", "order"),
    [
        (MODES["nasm"], {1: 0.9, 2: 0.5, 3: 0.7, 4: 0.6}, {1, 3, 4}, [1, 3, 4]),  # higher is better
        (MODES["vae"], {1: 0.9, 2: 0.5, 3: 0.7, 4: 0.6}, {2, 3, 4}, [2, 4, 3]),  # lower is better
        (MODES["vae"], {1: 0.5, 2: 0.5, 3: 0.5, 4: 0.5}, {3, 4}, [4, 3]),  # the newest among equals
        (MODES["vae"], {1: 0.5}, {1, 3, 4}, [1, 4, 3]),  # epochs without a value come last
        (BIGGAN, {1: 0.9, 2: 0.5, 3: 0.7, 4: 0.6}, {3, 4}, [4, 3]),  # nothing chooses
    ],
)
def test_the_best_checkpoint_is_kept_and_comes_first(run, row, values, kept, order):
    run = dataclasses.replace(run, row=row)
    run.write_history(
        [{"epoch": epoch, "seconds": 1.0} | ({row.best: values[epoch]} if row.best and epoch in values else {})
         for epoch in range(1, 5)]
    )  # fmt: skip
    for epoch in range(1, 5):
        run.save(Saved(b"%d" % epoch), epoch)
    assert {epoch for epoch, _ in run.checkpoints()} == kept
    assert [epoch for epoch, _ in run.best_first()] == order


def test_a_run_without_checkpoints(run, model):
    with pytest.raises(InputError, match="has no checkpoint: start the run anew"):
        run.restore(model)


def test_a_run_whose_checkpoints_are_all_damaged(run, model):
    run.save(Saved(b"whole"), 1).write_bytes(b"cut")
    with pytest.raises(InputError, match="no checkpoint in .* is whole"):
        run.restore(model)


def test_a_checkpoint_of_another_model(run, model):
    other = BIGGAN.make_task().build(BigGANConfig(**vars(CONFIG) | {"generator_widths": (12,)}), FACTS)
    run.save(other, 1)
    with pytest.raises(InputError, match="does not fit the model of its config.json"):
        run.restore(model)


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_file_that_is_no_checkpoint(run, model, content):
    run.save(Saved(content), 1)
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
        create_run(str(tmp_path), "a", BIGGAN, CONFIG, FACTS)
    create_run(str(tmp_path), "a", BIGGAN, CONFIG, FACTS)


def test_a_folder_that_could_not_be_filled_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No space left"), whole_folder(tmp_path / "a") as beside:
        (beside / "file").write_text("half")
        refuse()
    assert names(tmp_path) == []


def test_arrays_are_written_whole(tmp_path):
    write_arrays(tmp_path / "a.npz", np.arange(3), named=np.ones(2))
    with np.load(tmp_path / "a.npz") as stored:
        assert stored["arr_0"].tolist() == [0, 1, 2] and stored["named"].tolist() == [1, 1]
    assert names(tmp_path) == ["a.npz"]


def test_a_folder_is_held_by_one_process_at_a_time(tmp_path):
    with held(tmp_path), pytest.raises(InputError, match="is being written by another process"), held(tmp_path):
        pass
    with held(tmp_path):
        pass


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
    with pytest.raises(InputError, match="a exists: .*--name.*--resume"):
        create_run(str(run.path.parent), "a", BIGGAN, CONFIG, FACTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"format": FORMAT + 1},
            f"is of another version (format {FORMAT + 1}, mode biggan)",
        ),
        ({"mode": "stylegan"}, f"is of another version (format {FORMAT}, mode stylegan)"),
        (
            {"config": {"batch_size": 1}},
            "does not describe a run of this version: --batch-size: 1 is out of range",
        ),
        ({"config": {"depth": 1}}, "config.json does not describe a run of this version"),
        ({"config": None}, "config.json"),
        ({"config": {"dataset": "digits"}}, "does not say what the run was trained on"),
        ({"data": None}, "config.json"),
        ({"data": {"labels": True}}, "lacks 'image_shape'"),
        ({"mode": ["biggan"]}, "config.json"),
    ],
)
def test_a_config_json_of_another_version(run, change, message):
    file = run.path / "config.json"
    write_config(file, json.loads(file.read_text()) | change)
    with pytest.raises(InputError) as error:
        load_run(run.path)
    assert message in str(error.value)


def test_a_message_about_long_values_keeps_its_ends():
    message = str(InputError("begin\n" + "x" * 5000 + " end"))
    assert message.startswith("begin xxx") and message.endswith("xxx end") and len(message) == 2005


@pytest.mark.parametrize(("content", "part"), [("{}", "format"), ('{"format": 1}', "mode")])
def test_a_config_json_that_lacks_a_part_names_it(run, content, part):
    (run.path / "config.json").write_text(content)
    with pytest.raises(InputError, match=f"a/config.json: .* lacks '{part}': restore it"):
        open_run(run.path, "", MODES)


@pytest.mark.parametrize("content", [b"", b'{"format": 1', b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_config_json(run, content):
    (run.path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match="config.json is damaged .* restore it"):
        open_run(run.path, "", MODES)


@pytest.mark.parametrize(
    "content", ['{"epoch": 1, "seconds": 1}\n{"epo', "1\n", "{}\n", '{"epoch": [], "seconds": 1}', "[" * 9999]
)
def test_a_damaged_history(run, content):
    (run.path / "history.jsonl").write_text(content)
    with pytest.raises(InputError, match="history.jsonl is damaged .* restore it"):
        _ = run.history


@pytest.mark.parametrize("content", ["{", "1", "[1]"])
def test_a_damaged_metrics_json(run, content):
    assert run.scores == {}
    (run.path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match="metrics.json is damaged: delete it"):
        _ = run.scores


def test_a_folder_that_is_not_a_run_is_named_beside_the_runs(run):
    with pytest.raises(InputError, match=r"b is not a run: it has no config.json \(runs of .*: a\)"):
        open_run("b", str(run.path.parent), MODES)


def test_a_mode_that_the_table_lacks(run):
    with pytest.raises(InputError, match="is of another version .*mode biggan"):
        open_run(run.path, "", {"vae": MODES["vae"]})


def test_a_folder_of_a_runs_name_does_not_hide_the_run(run, tmp_path, monkeypatch):
    (tmp_path / "here/a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert open_run("a", str(run.path.parent), MODES).path == run.path


def test_the_same_options_may_be_given_again(run):
    resumed_config(run, {"dataset": "digits", "generator_widths": (8,), "d_rate": 6e-4})


def test_the_precision_that_was_left_open_may_be_left_open_again(run):
    resumed_config(run, {"precision": "auto"})


def test_a_changed_option_is_named(run):
    with pytest.raises(InputError, match="--d-rate 0.1: .* was started with 0.0006"):
        resumed_config(run, {"batch_size": 128, "d_rate": 0.1})


def test_an_option_of_another_mode_is_named(run):
    with pytest.raises(InputError, match="--topics is not an option of .*a run of mode biggan"):
        resumed_config(run, {"topics": 3})


def test_the_newest_run_that_has_a_checkpoint(run, tmp_path):
    with pytest.raises(InputError, match="holds no run: train one"):
        latest_run(str(tmp_path))
    run.save(Saved(b"one"), 1)
    other = create_run(str(tmp_path), "b", BIGGAN, CONFIG, FACTS)
    os.utime(run.path / "config.json", (1, 1))
    assert latest_run(str(tmp_path)) == run.path
    other.save(Saved(b"one"), 1)
    assert latest_run(str(tmp_path)) == other.path
