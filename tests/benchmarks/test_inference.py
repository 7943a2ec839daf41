"""Ways to infer topics are compared on a run; Adam's refinement improves the bound of every document alike."""

import numpy as np
import pytest
import tensorflow as tf

import train
from benchmarks import inference
from tests.conftest import NVDM
from tests.tasks.conftest import documents_folder  # noqa: F401
from text_vae.nvdm import NVDM as Model
from training.cli import run_program


def test_adam_improves_the_bound():
    model = Model.create(words=12, topics=2, encoder_widths=(4,), reads="counts", epochs=1, steps_per_epoch=1)
    x = tf.constant(np.random.default_rng(0).poisson(2.0, [5, 12]), tf.float32)
    model.decoder.kernel.assign(tf.random.stateless_normal([2, 12], [0, 1], stddev=0.5))

    def cost(mu, scale):
        return np.mean([np.sum(model.bound(x, mu, scale, [0, i])) for i in range(50)])

    mu, log_variance = model.infer(x)
    best = cost(*model.refine(x, [0, 3], False))
    assert best < 0.95 * cost(mu, tf.linalg.diag(tf.exp(0.5 * log_variance)))
    assert cost(*inference.by_adam(model, x, [0, 2])) == pytest.approx(best, rel=0.01)


def test_the_table_has_four_posteriors(documents_folder, tmp_path, eager, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(inference, "STEPS", 2)
    flags = ["--mode", "nvdm", *NVDM, "--dataset", str(documents_folder), "--epochs", "1", "--no-curves"]
    assert train.main([*flags, "--runs-dir", str(tmp_path), "--name", "run"]) == 0
    capsys.readouterr()
    assert run_program(inference.measure, [str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("one pass", "diagonal, 2 steps of Adam", "diagonal, Newton", "full covariance"))


def test_a_run_of_another_mode_is_refused(capsys):
    assert run_program(inference.measure, ["pretrained/twrvae-docstrings"]) == 2
    assert "a run of twrvae: give a run of nvdm" in capsys.readouterr().err
