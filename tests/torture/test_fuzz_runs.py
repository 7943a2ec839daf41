"""Damaged run directories: config.json, history.jsonl, metrics.json, exported weights and checkpoints; and uploads."""

import io
import json
import zipfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from data.images import read_picture
from tasks.configs import BigGANConfig
from tasks.modes import MODES
from training.files import digest
from training.runs import WEIGHTS, Run, create_run, open_run, read_weights, write_weights

pytestmark = pytest.mark.filterwarnings("ignore")  # of Pillow and NumPy, about what is damaged
CONFIG = BigGANConfig(dataset="digits", epochs=2, precision="float32")
FACTS = {"image_shape": [8, 8, 1], "labels": True, "images": {"train": 14}}
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "a", 10**400, [], {}, [1, 2], {"a": []}])
)
VALUES = st.recursive(
    VALUES, lambda own: st.lists(own, max_size=3) | st.dictionaries(st.sampled_from("abc"), own), max_leaves=5
)


@pytest.fixture
def run(tmp_path):
    return create_run(str(tmp_path), "a", MODES["biggan"], CONFIG, FACTS)


@pytest.fixture(scope="module")
def model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.in_use = model.weights  # what an exported run keeps
    return model


def test_config_json(run, fuzz, examine):
    described = json.loads((run.path / "config.json").read_text())

    def read(content):
        (run.path / "config.json").write_bytes(content)
        opened = open_run(run.path, "", MODES)
        assert isinstance(opened, Run) and opened.epochs >= 1

    fuzz(read, [json.dumps(described).encode(), json.dumps(described, indent=2).encode()])
    options = st.dictionaries(st.sampled_from([*described["config"], "other"]), VALUES, max_size=3)
    data = st.dictionaries(st.sampled_from(["image_shape", "labels", "vocabulary", "images"]), VALUES, max_size=3)
    config = options.map(lambda own: {"config": described["config"] | own})
    whole = st.dictionaries(st.sampled_from(["format", "mode", "config", "data", "versions"]), VALUES, max_size=2)
    changed = st.one_of(config, data.map(lambda own: {"data": FACTS | own}), whole)
    examine(read, changed.map(lambda own: json.dumps(described | own).encode()))


def test_history_and_metrics(run, fuzz):
    def read_history(content):
        (run.path / "history.jsonl").write_bytes(content)
        assert run.train_minutes is not None and run.peak_memory_gb is not None and run.best_first() == []

    def read_scores(content):
        (run.path / "metrics.json").write_bytes(content)
        assert isinstance(run.scores, dict)

    fuzz(read_history, [b'{"epoch": 1, "step": 7, "seconds": 1.5, "memory_gb": 0.5}\n' * 3])
    fuzz(read_scores, [b'{"epoch": 1, "code_to_class": [1, 0], "fid": 1.5}\n'])


def test_exported_weights(tmp_path, model, fuzz):
    write_weights(tmp_path / WEIGHTS, model, 3)
    with zipfile.ZipFile(tmp_path / WEIGHTS) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def read(content):
        (tmp_path / WEIGHTS).write_bytes(content)
        assert isinstance(read_weights(tmp_path / WEIGHTS, model), int)

    def packed(content):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, own in (members | {"arr_0.npy": content}).items():
                archive.writestr(name, own)
        return file.getvalue()

    fuzz(read, [(tmp_path / WEIGHTS).read_bytes()])
    fuzz(read, [members["arr_0.npy"]], packed)


def test_checkpoints(run, model, fuzz):
    file = run.save(model, 1)
    content = file.read_bytes()

    def read(content):
        for _, old in run.checkpoints():
            old.unlink()
        (run.path / "whole").write_bytes(content)
        (run.path / "whole").rename(run.path / "checkpoints" / f"epoch-000001-{digest(run.path / 'whole')}.weights.h5")
        assert run.restore(model) == 1

    fuzz(read, [content])


@pytest.mark.parametrize("on_dark_ground", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_uploads(tmp_path, fuzz, picture_size, channels, on_dark_ground):
    pytest.importorskip("gradio", reason="gradio is not installed")
    from reporting.image_page import ImagePage

    shape = (28, 28, channels)
    page = ImagePage(run=None, model=SimpleNamespace(generator=SimpleNamespace(image_shape=shape)), load=None)
    page.on_dark_ground = on_dark_ground and channels == 1
    contents = []
    for side, kind in ((8, "PNG"), (16, "JPEG"), (8, "BMP"), (8, "GIF"), (16, "WEBP"), (8, "TIFF")):
        file = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, 2 * side, 3), np.uint8)).save(file, kind)
        contents.append(file.getvalue())

    def read(content):
        (tmp_path / "upload").write_bytes(content)
        seen = page.as_model_sees(read_picture(tmp_path / "upload"))
        assert seen.shape == shape and seen.dtype == np.uint8

    fuzz(read, contents, size=picture_size)
