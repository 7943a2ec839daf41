"""What the tests of sentences and of paragraphs ask alike."""

import json

import pytest

from training import language
from training.runs import load_run


@pytest.fixture
def chosen_by_validation():
    """Checks that the bound which chose a run's checkpoint is that of the validation part, and not of the test part."""

    def check(program, run):
        corpus, model = program.load(run.config), load_run(run.path)
        own, test = (language.mean_bound(model, part, run.config.seed) for part in (corpus.validation, corpus.test))
        assert own == pytest.approx(min(entry["validation/elbo_nll"] for entry in run.history), rel=1e-5)
        assert own == pytest.approx(
            json.loads((run.path / "metrics.json").read_text())["validation_elbo_nll"], rel=1e-5
        )
        assert own != pytest.approx(test, rel=1e-5)

    return check
