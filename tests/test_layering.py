"""Imports run one way, and every file has a home."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

GROUND = {"data", "losses", "metrics"}
MODELS = {"models", "text_vae"}
MAY_IMPORT = {
    **dict.fromkeys(GROUND, set()),
    **dict.fromkeys(MODELS, GROUND),
    "training": GROUND | MODELS,
    "reporting": GROUND | MODELS | {"training"},
    "tasks": GROUND | MODELS | {"training", "reporting"},
    "studies": GROUND | MODELS | {"training", "reporting", "tasks"},
    **dict.fromkeys(
        ("train", "evaluate", "explore", "reproduce", "benchmarks"),
        GROUND | MODELS | {"training", "reporting", "tasks", "studies"},
    ),
}
FILES = sorted([*ROOT.glob("*.py"), *(file for room in MAY_IMPORT for file in (ROOT / room).rglob("*.py"))])


def imported(file: Path) -> set[str]:
    """First parts of the names of all modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import hides where it leads"
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_one_way(file):
    room = file.relative_to(ROOT).parts[0].removesuffix(".py")
    assert room in MAY_IMPORT, "give the new entry point a row of MAY_IMPORT"
    assert imported(file) & MAY_IMPORT.keys() - {room} <= MAY_IMPORT[room]


def test_imports_inside_functions_are_seen(tmp_path):
    file = tmp_path / "a.py"
    file.write_text(
        "import os.path as p\ndef f():\n    if p:\n        from training.runs import Run\n        return Run\n"
    )
    assert imported(file) == {"os", "training"}


def test_no_file_is_without_a_subject():
    nameless = {"utils.py", "util.py", "common.py", "helpers.py", "helper.py", "misc.py"}
    assert not [file for file in [*FILES, *(ROOT / "tests").rglob("*.py")] if file.name in nameless]
