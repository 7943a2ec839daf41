"""What sharing a batch costs: the epochs that count, and errors in one line."""

import pytest

from benchmarks import workers
from data.errors import InputError
from tests.conftest import NVDM
from tests.tasks.conftest import documents_folder  # noqa: F401
from training.cli import run_program


def test_two_epochs_are_the_least(capsys):
    assert run_program(workers.measure, ["--epochs", "1"]) == 2
    assert "the first epoch is not counted, so give at least 2" in capsys.readouterr().err


@pytest.mark.torture
def test_a_training_that_fails_is_named(monkeypatch):
    monkeypatch.setitem(workers.MODELS, "nvdm", ["--dataset", "nowhere"])
    with pytest.raises(InputError, match="nvdm, one worker: the training failed: .*nowhere"):
        workers.seconds("nvdm", "one worker", 2)


@pytest.mark.torture
def test_every_way_has_its_seconds(documents_folder, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(workers, "MODELS", {"nvdm": ["--dataset", str(documents_folder), *NVDM, "--no-curves"]})
    workers.measure(["--epochs", "2"])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "nvdm" in line]
    assert row.count(" x)") == 3 and "(1.00 x)" in row
