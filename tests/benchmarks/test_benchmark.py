"""The benchmark takes turns with another commit."""

import subprocess

import pytest

from benchmarks.__main__ import RESULT, ROOT, benchmark, checkout
from data.errors import InputError


def worktrees():
    return subprocess.run(["git", "-C", ROOT, "worktree", "list"], capture_output=True, text=True, check=True).stdout


def test_an_unknown_commit_is_named():
    before = worktrees()
    with pytest.raises(InputError, match="--against nowhere: .*nowhere"), checkout("nowhere"):
        pass
    assert worktrees() == before


@pytest.mark.slow
def test_a_model_takes_turns_with_another_commit(capsys):
    before, written = worktrees(), RESULT.read_bytes() if RESULT.exists() else None
    benchmark(["--only", "nvdm", "--rounds", "1", "--against", "HEAD"])
    assert worktrees() == before
    assert (RESULT.read_bytes() if RESULT.exists() else None) == written
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "nvdm" in line)
    name, preset, precision, this, unit, share, _, memory, other, ratio = (
        cell.strip() for cell in row.split("\u2502")[1:-1]
    )
    assert (name, preset, precision, unit) == ("nvdm", "default", "float32", "documents/s")
    rates = [float(rate.replace(",", "")) for rate in (this, other)]
    assert min(rates) > 0 and float(ratio) == pytest.approx(rates[0] / rates[1], abs=0.01)
    assert float(share) > 0 and float(memory) > 0.1
