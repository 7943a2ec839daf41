"""Files from a stranger, which hold code: none of it is run, and nothing is written outside of its folder."""

import contextlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import joblib
import keras
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from data.errors import InputError
from data.images import load
from tasks.configs import BigGANConfig
from tasks.modes import MODES
from training.files import digest
from training.runs import WEIGHTS, create_run, open_run, read_weights

CONFIG = BigGANConfig(dataset="digits", epochs=2, precision="float32")
FACTS = {"image_shape": [8, 8, 1], "labels": True}


class Payload:
    """An object that makes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.fixture
def touched(tmp_path):
    """The file that hostile code makes."""
    return tmp_path / "code-has-run"


@pytest.fixture
def run(tmp_path):
    return create_run(str(tmp_path / "runs"), "a", MODES["biggan"], CONFIG, FACTS)


def small_model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="d")])


def given(run, file):
    """Put a file into a run as its checkpoint, with the digest in its name."""
    place = run.path / "checkpoints" / f"epoch-000001-{digest(file)}.weights.h5"
    file.rename(place)
    return place


# Pickles


def test_images_and_weights_that_are_pickles(tmp_path, touched):
    objects = np.empty(20, object)
    objects[:] = [Payload(touched)] * 20
    file = tmp_path / WEIGHTS
    for named in (
        {"images": objects},
        {"images": np.zeros((20, 8, 8), np.uint8), "labels": objects},
        {"epoch": objects},
    ):
        np.savez(file, **named)
        for read in (lambda: load(str(file)), lambda: read_weights(file, SimpleNamespace(in_use=[]))):
            with pytest.raises(InputError):
                read()
    for content in (pickle.dumps(Payload(touched)), pickle.dumps(Payload(touched), 0)):
        file.write_bytes(content)
        with pytest.raises(InputError):
            load(str(file))
        with pytest.raises(InputError):
            read_weights(file, SimpleNamespace(in_use=[]))
    assert not touched.exists()
    pickle.loads(content)
    assert touched.exists()  # the payload works


def square(number):
    return number * number


def test_a_cache_beside_a_run_is_not_opened(run, touched):
    """A stranger knows which results an evaluation keeps, and so which pickles it would open."""
    beside = joblib.Memory(run.path.parent / "cache", verbose=0).cache(square)
    assert beside(3) == 9
    (kept,) = (run.path.parent / "cache").rglob("output.pkl")
    joblib.dump(Payload(touched), kept)
    assert run.cached(square)(3) == 9 and not touched.exists()
    beside(3)
    assert touched.exists()  # the payload works


def test_the_cache_lies_in_no_folder_of_runs(run, tmp_path, monkeypatch):
    monkeypatch.delenv("INFOBIGBIGAN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    run.cached(square)(3)
    assert list((tmp_path / "home/.cache/infobigbigan").glob("square-*.pickle"))
    assert not [file for file in run.path.rglob("*") if "square" in file.name]


# Checkpoints


def test_a_checkpoint_with_a_lambda(run, tmp_path, touched):
    place = str(touched)
    code = lambda x: (__import__("pathlib").Path(place).touch(), x)[1]  # noqa: E731
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(code), keras.layers.Dense(3, name="d")])
    touched.unlink()  # the layer was called when the model was built
    model.save(tmp_path / "x.h5")
    given(run, tmp_path / "x.h5")
    with pytest.raises(InputError, match="does not fit the model"):
        run.restore(small_model())
    assert not touched.exists()
    keras.models.load_model(run.checkpoints()[0][1], safe_mode=False)
    assert touched.exists()  # the code works


def test_a_checkpoint_with_pickled_weights(run, tmp_path, touched):
    small_model().save_weights(tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "a") as file:
        variables = file["layers/dense/vars"]
        del variables["0"]
        variables["0"] = np.void(pickle.dumps(Payload(touched)))
    given(run, tmp_path / "x.weights.h5")
    with pytest.raises(InputError, match="does not fit the model"):
        run.restore(small_model())
    assert not touched.exists()


@pytest.mark.parametrize("kind", ["a link to another file", "bytes of another file"])
def test_a_checkpoint_that_reads_another_file(run, tmp_path, kind):
    """A model must not carry a stranger's choice of the user's files in its weights."""
    secret = tmp_path / "secret"
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.ones((2, 3), np.float32)
    model = small_model()
    model.save_weights(tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "a") as file:
        variables = file["layers/dense/vars"]
        del variables["0"]
        if kind == "a link to another file":
            variables["0"] = h5py.ExternalLink(str(secret), "kernel")
        else:
            variables.create_dataset("0", (2, 3), np.float32, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    given(run, tmp_path / "x.weights.h5")
    with pytest.raises(InputError, match="does not fit the model"):
        run.restore(model)


def test_a_checkpoint_that_declares_more_than_it_has(run, tmp_path, measured):
    model = small_model()
    model.save_weights(tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "a") as file:
        variables = file["layers/dense/vars"]
        del variables["0"]
        variables.create_dataset("0", (40_000, 40_000), np.float32, chunks=(100, 100))  # 6.4 GB that were never written
    given(run, tmp_path / "x.weights.h5")
    error, seconds, memory = measured(run.restore, model)
    assert "does not fit the model" in str(error) and seconds < 5 and memory < 100 * 2**20


# Pictures that are programs


def test_postscript_is_not_run(tmp_path, monkeypatch, touched):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: touched.touch())
    for i in range(20):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i:02d}.png")
    content = io.BytesIO()
    Image.new("L", (8, 8)).save(content, "EPS")
    (tmp_path / "07.png").write_bytes(content.getvalue())
    with pytest.raises(InputError, match="07.png cannot be read as an image"):
        load(str(tmp_path))
    assert not touched.exists()
    with Image.open(tmp_path / "07.png") as image, contextlib.suppress(AssertionError):  # nothing was drawn
        image.load()
    assert touched.exists()  # Pillow itself would run it


# Paths


def test_members_of_an_archive_are_not_written(tmp_path):
    folder = tmp_path / "a/b"
    folder.mkdir(parents=True)
    content = io.BytesIO()
    np.save(content, np.zeros((20, 8, 8), np.uint8))
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        for name in ("images.npy", "../../escaped.npy", "/tmp/escaped.npy"):
            archive.writestr(name, content.getvalue())
    before = set(tmp_path.rglob("*"))
    assert load(str(folder / "x.npz")).train.images.shape == (14, 8, 8, 1)
    assert set(tmp_path.rglob("*")) == before and not Path("/tmp/escaped.npy").exists()


@pytest.mark.parametrize("name", ["../b", "..", ".", "a/b", "/tmp/b", "b/", "b\0"])
def test_a_name_of_a_run_cannot_leave_its_folder(tmp_path, name):
    with pytest.raises(InputError, match="--name .* is a path"):
        create_run(str(tmp_path / "runs"), name, MODES["biggan"], CONFIG, FACTS)
    assert not list(tmp_path.rglob("*"))


def test_the_name_of_a_data_set_cannot_leave_the_folder_of_runs(tmp_path):
    for dataset in ("../../x.npz", "/tmp/x.npz", "..", "a/.."):
        config = BigGANConfig(dataset=dataset, epochs=2, precision="float32")
        run = create_run(str(tmp_path), None, MODES["biggan"], config, FACTS)
        assert run.path.resolve().parent == tmp_path.resolve()
        run.path.rename(tmp_path / f"{len(os.listdir(tmp_path))}")


# Descriptions


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "os.system"},
        {"mode": "../biggan"},
        {"data": {"labels": True, "image_shape": [10**9, 10**9, 1]}},
        {"data": {"labels": True, "image_shape": "88"}},
        {"data": {"labels": True, "image_shape": [8.0, True, 1]}},
        {"data": {"labels": True, "vocabulary": 10**12}},
        {"config": {"dataset": "digits", "epochs": 2, "__class__": "x"}},
        {"config": {"dataset": "digits", "epochs": 10**400}},
        {"config": {"dataset": "digits", "epochs": 2, "d_rate": 10**400}},
    ],
)
def test_a_hostile_config_json_is_refused(run, change):
    file = run.path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError, match="config.json"):
        open_run(run.path, "", MODES)


def test_words_of_another_number_than_the_model_has(run):
    (run.path / "vocabulary.json").write_text('{"words": ["a", "b"], "splitting": "tokens", "longest": null}')
    run.facts["vocabulary"] = 1
    with pytest.raises(InputError, match="vocabulary.json is damaged .2 words for a model of 1"):
        _ = run.wording
