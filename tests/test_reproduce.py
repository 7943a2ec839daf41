"""reproduce.py from end to end on a few documents, with trainings that take a second."""

import json
import shutil

import pytest
from PIL import Image

import reproduce
from studies import plan
from tasks.configs import NVDMConfig
from tasks.modes import MODES
from training.config import make_config
from training.files import held
from training.runs import create_run

YAML = """
tiny:
  about: a question
  dataset: DATASET
  seeds: [0, 1]
  options: {epochs: 1, batch_size: 8, vocabulary_size: 12, topics: 2, encoder_widths: [8]}
  columns: [perplexity_document]
  keep: [samples]
  figures: [samples]
  rows:
    plain: {mode: nvdm, seeds: [0]}
    bad: {mode: nvdm, seeds: [0], options: {rate: 1.0e+30, epochs: 20}}
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "FILE", tmp_path / "studies.yaml")
    documents = tmp_path / "documents.txt"
    documents.write_text("".join(f"cat dog cow {'sun' if i % 2 else 'hen'} moon star\n" for i in range(100)))
    plan.FILE.write_text(YAML.replace("DATASET", str(documents)))
    return lambda *flags: reproduce.main(
        ["tiny", "--runs-dir", str(tmp_path / "runs"), "--results-dir", str(tmp_path / "results"), *flags]
    )


@pytest.mark.slow
def test_a_study_is_made_stopped_and_gone_on_with(call, tmp_path, capfd):
    assert call("--dry-run") == 0
    printed = capfd.readouterr().out
    dataset = plan.read_study("tiny").dataset
    assert f"python train.py --mode nvdm --dataset {dataset} --seed 0 --epochs 1" in printed
    assert "2 trainings are missing" in printed
    assert not (tmp_path / "results").exists()

    training = plan.read_study("tiny").training("plain", 0)
    task = MODES["nvdm"].make_task()
    config, corpus = task.resolve(make_config(NVDMConfig, training.given))
    runs = str(tmp_path / "runs")
    create_run(runs, training.run_name, MODES["nvdm"], config, task.facts(corpus))  # as if killed at once
    assert call() == 0
    out, err = capfd.readouterr()
    assert "run 1 of 2, plain-0" in out
    (line,) = err.splitlines()
    assert line.startswith("bad-0: loss/") and "at step" in line
    file = tmp_path / "results/tiny.json"
    good, failed = entries = json.loads(file.read_text())
    assert (good["name"], good["mode"], good["dataset"], good["seed"]) == ("plain-0", "nvdm", dataset, 0)
    assert good["command"].startswith(f"python train.py --mode nvdm --dataset {dataset} --seed 0")
    assert good["metrics"]["perplexity_document"] > 1 and good["config"]["batch_size"] == 8
    # The entry names the loss that is not finite.
    assert failed["metrics"] == {} and failed["error"].startswith("loss/")
    page = (tmp_path / "results/tiny.md").read_text()
    assert "| plain |  | 1 |" in page
    assert "| bad | rate 1e+30, epochs 20 | 1 (1 failed) |" in page

    shutil.rmtree(tmp_path / "runs")  # a finished training needs no directory
    written = file.stat().st_mtime_ns
    assert call() == 0
    assert file.stat().st_mtime_ns == written
    file.write_text(json.dumps(entries[1:]))
    assert call("--dry-run") == 0
    assert "1 trainings are missing" in capfd.readouterr().out


def test_pictures_of_the_first_seed_are_kept_and_every_seeds_scores_of_candidates(call, tmp_path):
    study = plan.read_study("tiny")
    (tmp_path / "results/tiny").mkdir(parents=True)
    for seed in (0, 1):
        figures = tmp_path / "runs" / study.training("plain", seed).run_name / "figures"
        figures.mkdir(parents=True)
        Image.new("RGB", (40, 20)).save(figures / "samples.png")
        (figures.parent / "candidates.npz").write_bytes(b"")
        reproduce.keep_files(study, study.training("plain", seed), str(tmp_path / "runs"), tmp_path / "results/tiny")
    kept = sorted(file.name for file in (tmp_path / "results/tiny").iterdir())
    assert kept == ["plain-0-candidates.npz", "plain-0-samples.png", "plain-1-candidates.npz"]


@pytest.mark.slow
def test_what_cannot_begin_is_no_failed_seed(call, tmp_path, capsys):
    plan.FILE.write_text(YAML.replace("DATASET", str(tmp_path / "none.txt")))
    assert call() == 2
    error = capsys.readouterr().err
    assert error.startswith("reproduce: plain-0: ") and "none.txt" in error and error.count("\n") == 1
    assert not (tmp_path / "results/tiny.json").exists()


def test_results_that_cannot_be_written_are_one_line(call, tmp_path, capsys):
    (tmp_path / "results").write_text("")
    assert call("--tables") == 2
    error = capsys.readouterr().err
    assert "results/tiny: Not a directory: name another place, then give the same command again" in error
    assert error.count("\n") == 1


def test_a_study_that_another_process_makes_is_left_alone(call, tmp_path, capsys):
    (tmp_path / "results/tiny").mkdir(parents=True)
    with held(tmp_path / "results/tiny"):
        assert call() == 2
    assert "tiny is being written by another process: wait for it, or stop it" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_an_unknown_figure_is_noticed_before_the_first_training(call, tmp_path, capsys):
    plan.FILE.write_text(plan.FILE.read_text().replace("figures: [samples]", "figures: [sample]"))
    assert call() == 2
    assert "tiny: 'sample' is not a figure; did you mean samples?" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_no_seeds_are_no_study(call, capsys):
    assert call("--seeds", "0") == 2
    assert "--seeds: 0: give at least 1" in capsys.readouterr().err


def test_damaged_results_are_not_overwritten(call, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    file = tmp_path / "results/tiny.json"
    file.write_text('[{"nam')
    assert call() == 2
    assert "tiny.json is damaged" in capsys.readouterr().err
    assert file.read_text() == '[{"nam'
