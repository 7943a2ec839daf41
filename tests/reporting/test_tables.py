from types import SimpleNamespace

import pytest

from reporting.tables import print_table

SCORES = {
    "mode": "infogan",
    "dataset": "own",
    "epoch": 3,
    "seed": 0,
    "hungarian_accuracy": 0.5,
    "class_names": ["a [b]", "cat", "dog"],
    "class_shares": [0.2, 0.3, 0.5],
    "code_prior": [0.75, 0.25],
    "code_to_class": [2, 0],
    "classes_without_code": ["cat"],
}


@pytest.mark.parametrize("missing", [[], ["cat"]])
def test_every_code_stands_beside_its_class_with_p_of_c_and_the_true_share(capsys, monkeypatch, missing):
    monkeypatch.setenv("COLUMNS", "120")
    print_table(SimpleNamespace(path="runs/x", mode="infogan"), SCORES | {"classes_without_code": missing})
    said = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if "│" in line]
    assert lines[1:] == [["0", "0.750", "dog", "0.500"], ["1", "0.250", "a [b]", "0.200"]]
    assert "evaluation only" in said
    assert ("classes without a code: cat" in said) == bool(missing)


def test_scores_of_an_older_version_have_a_table_without_the_map(capsys):
    print_table(
        SimpleNamespace(path="runs/x", mode="infogan"),
        {key: SCORES[key] for key in ("mode", "dataset", "epoch", "seed", "hungarian_accuracy", "code_to_class")},
    )
    said = capsys.readouterr().out
    assert "hungarian_accuracy" in said and "evaluation only" not in said
