"""The weights in the repository give the numbers that are published with them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import evaluate
from tasks import images
from tasks.modes import load_run

FOLDER = Path(__file__).parents[1] / "pretrained/infobigbigan-mnist"


FOLDERS = sorted(path for path in FOLDER.parent.iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_is_small_and_has_no_pickles(folder):
    files = [file for file in folder.iterdir() if file.name != "figures"]  # pictures of somebody's evaluation
    assert {file.name for file in files} - {"vocabulary.json"} == {
        "README.md",
        "config.json",
        "metrics.json",
        "weights.npz",
    }
    assert sum(file.stat().st_size for file in files) < 4e6
    with np.load(folder / "weights.npz", allow_pickle=False) as weights:
        assert all(weights[name].dtype != object for name in weights)


def test_the_explorer_has_something_to_show_on_every_page():
    assert {folder.name.split("-")[0] for folder in FOLDERS} == {"infobigbigan", "nvdm", "twrvae", "nasm"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_card_tells_the_scores_of_its_folder(folder):
    card, scores = (folder / "README.md").read_text(), json.loads((folder / "metrics.json").read_text())
    rows = re.findall(r"\| ([-\d.e]+) \| `(\w+)` \|", card)
    assert rows and all(f"{scores[key]:.4g}" == shown for shown, key in rows)


def test_it_is_the_median_seed_of_the_comparison():
    entries = json.loads((FOLDER.parents[1] / "docs/results/comparison.json").read_text())
    own = json.loads((FOLDER / "metrics.json").read_text())
    found = {
        e["seed"]: e["metrics"]["hungarian_accuracy"]
        for e in entries
        if e["row"] == "infobigbigan" and "hungarian_accuracy" in e["metrics"]
    }
    assert own["hungarian_accuracy"] == found[own["seed"]] == np.median(list(found.values()))


@pytest.mark.parametrize("chosen", ["bfloat16", "float32"])
def test_it_computes_in_what_this_processor_is_fast_at(monkeypatch, chosen):
    monkeypatch.setattr(images, "fastest_dtype", lambda: chosen)
    assert load_run(FOLDER).generator.compute == chosen


@pytest.mark.slow
def test_it_reproduces_its_row(tfds_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    given = shutil.copytree(FOLDER, tmp_path / "given")
    assert evaluate.main([str(given), "--hungarian", "--json"]) == 0
    scores, published = json.loads(capsys.readouterr().out), json.loads((FOLDER / "metrics.json").read_text())
    assert scores["code_to_class"] == published["code_to_class"]
    for key in ("hungarian_accuracy", "hungarian_accuracy_encoder", "nmi"):
        assert scores[key] == pytest.approx(published[key], abs=0.002)


def test_every_code_draws_its_digit_from_the_weights_alone(eager):
    """No data set is needed to generate; the head reads back nearly all codes of G's own images."""
    model = load_run(FOLDER)
    c = np.repeat(np.arange(10), 10)
    x = model.generate(100, c=c, seed=1)
    assert x.shape == (100, 28, 28, 1) and np.all(np.abs(x) <= 1)
    assert np.mean(model.classify(x).argmax(1) == c) > 0.95
