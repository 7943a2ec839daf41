"""Seconds from a command: until a line, or its end; and commands that fail, in one line."""

import pytest

from benchmarks import startup
from data.errors import InputError
from tests.conftest import ENCODER, SMALLEST
from training.cli import run_program


@pytest.fixture
def program(tmp_path):
    """A function that writes a program and returns its path."""

    def write(code):
        file = tmp_path / "program.py"
        file.write_text(code)
        return str(file)

    return write


def test_the_seconds_until_a_line_and_until_the_end(program):
    file = program("import time\nprint('begun', flush=True)\ntime.sleep(1)\nprint('done')")
    begun, done = startup.seconds(file, until="beg"), startup.seconds(file)
    assert begun < 1 < done


@pytest.mark.parametrize(
    ("code", "said"),
    [("raise SystemExit('no such thing')", "failed: no such thing"), ("print('b')", "no line that begins with 'a'")],
)
def test_a_command_that_fails_is_named(program, code, said):
    with pytest.raises(InputError, match=f"program.py .*{said}"):
        startup.seconds(program(code), until="a")


@pytest.mark.torture
def test_a_training_and_its_resumption_are_timed(monkeypatch, capsys):
    monkeypatch.setattr(startup, "TRAINING", ["--mode", "infobigbigan", *SMALLEST, *ENCODER, "--name", "run"])
    assert run_program(startup.measure, []) == 0
    out = capsys.readouterr().out
    assert '"first_epoch": ' in out and '"resumed": ' in out and "scores" not in out
