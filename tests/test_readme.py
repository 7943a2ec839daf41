"""The README's commands are right: each one parses, and the test command is what CI runs."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import evaluate
import reproduce
import train
from studies.plan import read_study

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
COMMANDS = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines()]


def arguments(program: str) -> list[list[str]]:
    return [command[2:] for command in COMMANDS if command[:2] == ["python", program]]


@pytest.mark.parametrize("argv", arguments("train.py"), ids=" ".join)
def test_train_commands_parse(argv):
    if "--resume" in argv or "--help" in argv:
        pytest.skip("needs a run, or prints and stops; both are covered by the tests of the command line")
    mode, run, given, own = train.parse(argv)
    assert run is None
    assert own["mode"] == mode
    train.make_config(train.find_mode(mode).config, given)


@pytest.mark.parametrize("argv", arguments("evaluate.py"), ids=" ".join)
def test_evaluate_commands_parse(argv):
    runs = evaluate.parse(argv).runs
    assert all(run == "RUN" or (ROOT / run).is_dir() for run in runs)


@pytest.mark.parametrize("argv", arguments("reproduce.py"), ids=" ".join)
def test_reproduce_commands_parse(argv):
    options = reproduce.parse(argv)
    assert options.study == reproduce.REPORT or read_study(options.study, options.seeds, options.preset).rows


def test_the_python_lines_run_on_the_pretrained_weights(eager):
    """They give what their comments say."""
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    code = code.replace("runs/NAME", str(ROOT / "pretrained/infobigbigan-mnist"))
    preparing, shown = re.match(r"(.*?\n)(model\.\w.*)", code, re.S).groups()
    names = {"images": np.random.default_rng(0).uniform(-1, 1, (3, 28, 28, 1)).astype("float32")}
    exec(preparing, names)
    generated, mu, reconstructed, probabilities = (eval(line, names) for line in shown.splitlines())
    assert generated.shape == (16, 28, 28, 1) and np.abs(generated).max() <= 1
    assert mu.shape == (3, names["model"].latent_dim) and reconstructed.shape == (3, 28, 28, 1)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)


def test_the_table_of_modes_has_every_mode():
    rows = re.findall(r"^\| `(\w+)`", (ROOT / "README.md").read_text(), re.M)
    assert set(train.MODES) <= set(rows)


def test_ci_calls_the_test_command():
    command = next(line for block in BLOCKS for line in block.splitlines() if line.endswith("-m pytest"))
    assert command in (ROOT / ".ci/run").read_text().splitlines()


def test_first_screen_holds_both_commands():
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:22])
    assert "-m pytest" in first_screen
    assert "train.py --mode infobigbigan" in first_screen
