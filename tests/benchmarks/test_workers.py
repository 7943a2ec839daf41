"""What sharing a batch costs: the epochs that count, and errors in one line."""

import pytest

from benchmarks import workers
from data.errors import InputError
from training.cli import run_program

SMALL = ["--dataset", "docstrings", "--topics", "2", "--vocabulary-size", "50", "--no-curves"]


def test_two_epochs_are_the_least(capsys):
    assert run_program(workers.measure, ["--epochs", "1"]) == 2
    assert "the first epoch is not counted, so give at least 2" in capsys.readouterr().err


def test_a_training_that_fails_is_named(monkeypatch):
    monkeypatch.setitem(workers.MODELS, "nvdm", ["--dataset", "nowhere"])
    with pytest.raises(InputError, match="nvdm, one worker: the training failed: .*nowhere"):
        workers.seconds("nvdm", "one worker", 2)


@pytest.mark.slow
def test_every_way_has_its_seconds(monkeypatch, capsys):
    monkeypatch.setattr(workers, "MODELS", {"nvdm": SMALL})
    workers.measure(["--epochs", "2"])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "nvdm" in line]
    assert row.count(" x)") == 3 and "(1.00 x)" in row
