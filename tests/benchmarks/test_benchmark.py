"""The benchmark takes turns with another commit."""

import subprocess

import pytest

from benchmarks.__main__ import RESULT, benchmark, checkout
from benchmarks.curves import CURVES, drawn, measure
from benchmarks.processes import ROOT
from data.errors import InputError
from tasks.modes import MODES
from training.config import make_config


def worktrees():
    return subprocess.run(["git", "-C", ROOT, "worktree", "list"], capture_output=True, text=True, check=True).stdout


def test_an_unknown_commit_is_named():
    before = worktrees()
    with pytest.raises(InputError, match="--against nowhere: .*nowhere"), checkout("nowhere"):
        pass
    assert worktrees() == before


@pytest.mark.torture
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


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_the_options_of_a_curve_change_with_its_size_and_are_those_of_its_mode(curve, tmp_path):
    configs = [make_config(MODES[curve.mode].config, curve.options(size, tmp_path)) for size in curve.sizes]
    assert len(set(configs)) == len(curve.sizes) > 2


@pytest.mark.torture
def test_a_point_of_a_curve_whose_option_has_several_values(tmp_path):
    (curve,) = (curve for curve in CURVES if curve.name == "width")
    point = measure(curve, 8, tmp_path)
    assert point["size"] == 8 and point["milliseconds"] > 0 and point["memory_gb"] > 0.1


def test_each_curve_is_drawn_above_its_memory():
    found = {
        curve.name: [{"size": size, "milliseconds": 2.0 * size, "memory_gb": 3.0} for size in curve.sizes]
        for curve in CURVES
    }
    figure = drawn(found)
    assert [axes.get_title() for axes in figure.axes[::2]] == [curve.mode for curve in CURVES]
    for curve, time, memory in zip(CURVES, figure.axes[::2], figure.axes[1::2], strict=True):
        assert time.lines[0].get_ydata().tolist() == [2.0 * size for size in curve.sizes]
        assert set(memory.lines[0].get_ydata()) == {3.0} and memory.get_xlabel() == curve.label
