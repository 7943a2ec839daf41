"""reproduce.py from end to end on the digits, with trainings of a second."""

import json
import shutil

import pytest

import reproduce
from studies import plan

YAML = """
tiny:
  about: a question
  dataset: digits
  seeds: [0, 1]
  options: {epochs: 1, updates: 1, batch_size: 512, generator_widths: [8], discriminator_widths: [8]}
  columns: [fid]
  keep: [samples]
  figures: [samples]
  rows:
    plain: {mode: biggan, seeds: [0]}
    bad: {mode: biggan, seeds: [0], options: {d_rate: 1.0e+30, epochs: 20}}
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "FILE", tmp_path / "studies.yaml")
    plan.FILE.write_text(YAML)
    return lambda *flags: reproduce.main(
        ["tiny", "--runs-dir", str(tmp_path / "runs"), "--results-dir", str(tmp_path / "results"), *flags]
    )


def test_a_study_is_made_stopped_and_gone_on_with(call, tmp_path, capfd):
    assert call("--dry-run") == 0
    printed = capfd.readouterr().out
    assert "python train.py --mode biggan --dataset digits --seed 0 --epochs 1" in printed
    assert "2 trainings are missing" in printed
    assert not (tmp_path / "results").exists()

    stopped = tmp_path / "runs" / plan.read_study("tiny").training("plain", 0).run_name
    (stopped / "checkpoints").mkdir(parents=True)  # as if killed before the first checkpoint
    (stopped / "config.json").write_text("{}")
    assert call() == 0
    out, err = capfd.readouterr()
    assert "run 1 of 2, plain-0" in out
    assert err == ""
    file = tmp_path / "results/tiny.json"
    good, failed = entries = json.loads(file.read_text())
    assert (good["name"], good["mode"], good["dataset"], good["seed"]) == ("plain-0", "biggan", "digits", 0)
    assert good["command"].startswith("python train.py --mode biggan --dataset digits --seed 0")
    assert good["metrics"]["fid"] > 0 and good["config"]["batch_size"] == 512
    assert failed["metrics"] == {} and "at step" in failed["error"]  # a loss that is no number: named, and kept
    page = (tmp_path / "results/tiny.md").read_text()
    assert "| plain |  | 1 |" in page
    assert "| bad | d_rate 1e+30, epochs 20 | 1 (1 failed) |" in page
    assert (tmp_path / "results/tiny/plain-0-samples.png").exists()
    assert (tmp_path / "results/tiny/samples.png").exists()

    shutil.rmtree(tmp_path / "runs")  # a finished run needs no directory
    written = file.stat().st_mtime_ns
    assert call() == 0
    assert file.stat().st_mtime_ns == written
    file.write_text(json.dumps(entries[1:]))
    assert call("--dry-run") == 0
    assert "1 trainings are missing" in capfd.readouterr().out


def test_what_cannot_begin_is_no_failed_seed(call, tmp_path, capsys):
    plan.FILE.write_text(YAML.replace("dataset: digits", f"dataset: {tmp_path / 'none.npz'}"))
    assert call() == 2
    error = capsys.readouterr().err
    assert error.startswith("reproduce: plain-0: ") and "none.npz" in error and error.count("\n") == 1
    assert not (tmp_path / "results/tiny.json").exists()


def test_damaged_results_are_not_overwritten(call, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    file = tmp_path / "results/tiny.json"
    file.write_text('[{"nam')
    assert call() == 2
    assert "tiny.json is damaged" in capsys.readouterr().err
    assert file.read_text() == '[{"nam'
