"""How `studies.yaml` is read, and which trainings a study has."""

import json
import shlex

import pytest

from data.errors import InputError
from studies import plan
from studies.plan import LABEL_FREE, finished, read_study

YAML = """
tiny:
  about: a question
  dataset: digits
  seeds: [0, 1]
  options: {updates: 20, generator_widths: [8, 8]}
  columns: [fid]
  select: view_information
  finalists: {count: 1, seeds: [5, 6]}
  rows:
    base: {mode: infogan}
    heavy: {mode: infogan, options: {info_weight: 2.0}}
    control: {mode: infogan, control: true, seeds: [0], options: {info_weight: 0.0}}
    image: {mode: bigbigan, seeds: [3], options: {s_z: false}}
"""
SELECTS = "  select: view_information\n  finalists: {count: 1, seeds: [5, 6]}\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes another studies.yaml."""
    monkeypatch.setattr(plan, "FILE", tmp_path / "studies.yaml")
    return plan.FILE.write_text


def entry_of(training, **metrics):
    config = json.loads(json.dumps(training.config))  # as read from a file
    return {"name": training.name, "row": training.row, "mode": training.mode, "config": config, "metrics": metrics}


def test_every_study_of_the_project_can_be_read():
    for name in plan.read_studies():
        study = read_study(name)
        names = [training.name for training in study.screening()]
        assert len(set(names)) == len(names) > 1
        assert study.select in (None, *LABEL_FREE)


def test_first_seeds_go_before_second_ones(write):
    write(YAML)
    names = [training.name for training in read_study("tiny").screening()]
    assert names == ["base-0", "heavy-0", "control-0", "image-3", "base-1", "heavy-1"]


def test_a_training_is_what_the_file_says(write):
    write(YAML)
    training = read_study("tiny").training("image", 3)
    flags = "--mode bigbigan --dataset digits --seed 3 --updates 20 --generator-widths 8 8 --no-s-z"
    assert " ".join(training.arguments) == flags
    assert (training.config["s_z"], training.config["s_x"], training.config["seed"]) == (False, True, 3)
    assert training.command == f"python train.py {flags}"
    assert training.run_name == f"tiny-image-3-{training.config_hash}"


def test_a_command_is_quoted_for_the_shell(write):
    write(YAML.replace("updates: 20", "updates: 20, data_dir: 'my $images; all'"))
    training = read_study("tiny").training("base", 0)
    assert shlex.split(training.command)[:2] == ["python", "train.py"]
    assert shlex.split(training.command)[2:] == training.arguments
    assert "my $images; all" in training.arguments


def test_the_hash_knows_every_option_but_where_the_data_lies(write):
    write(YAML)
    one = read_study("tiny").training("base", 0).config_hash
    write(YAML.replace("updates: 20", "updates: 21"))
    assert read_study("tiny").training("base", 0).config_hash != one
    write(YAML.replace("updates: 20", "updates: 20, data_dir: elsewhere, precision: float32"))
    assert read_study("tiny").training("base", 0).config_hash == one


def test_finalists_are_chosen_by_the_criterion_when_the_screening_is_over(write):
    write(YAML)
    study = read_study("tiny")
    assert study.size == 8
    screening = study.screening()
    score = {"base": 1.0, "heavy": 2.0, "control": 9.0}
    entries = {t.name: entry_of(t, **({"view_information": score[t.row]} if t.row in score else {})) for t in screening}
    assert [t.name for t in study.trainings(entries)[len(screening) :]] == ["heavy-5", "heavy-6"]
    entries.pop("base-1")
    assert study.trainings(entries) == screening


def test_a_label_changes_no_choice(write):
    """A high accuracy does not change the choice by the criterion."""
    write(YAML)
    study = read_study("tiny")
    entries = {
        "base-0": {"metrics": {"view_information": 1.0, "hungarian_accuracy": 0.99}},
        "heavy-0": {"metrics": {"view_information": 1.1, "hungarian_accuracy": 0.1}},
    }
    assert study.chosen(entries) == ["heavy"]


def test_finished_means_the_same_config(write):
    write(YAML)
    training = read_study("tiny").training("base", 0)
    assert not finished(training, {})
    assert finished(training, {"base-0": entry_of(training)})
    assert not finished(training, {"base-0": entry_of(training) | {"mode": "biggan"}})
    other = read_study("tiny").training("heavy", 0)
    assert not finished(training, {"base-0": entry_of(other)})


def test_an_option_that_came_later_undoes_no_finished_training(write):
    write(YAML)
    training = read_study("tiny").training("base", 0)
    earlier = entry_of(training)
    del earlier["config"]["info_weight"]
    assert finished(training, {"base-0": earlier})
    assert not finished(read_study("tiny").training("heavy", 0), {"heavy-0": earlier | {"name": "heavy-0"}})


def test_fewer_seeds_and_another_preset(write):
    other = "other: {about: x, dataset: digits, columns: [fid], rows: {plain: {mode: biggan}}}\n"
    write(YAML.replace("  rows:", "  include: {other: [plain]}\n  rows:") + other)
    study = read_study("tiny", seeds=1, preset="quick")
    assert study.name == "tiny-quick"
    ((included, rows),) = study.include
    assert (included.name, rows) == ("other-quick", ["plain"])  # rows of the full length do not match
    assert [training.name for training in study.screening()] == ["base-0", "heavy-0", "control-0", "image-3"]
    assert "--preset quick" in " ".join(study.training("base", 0).arguments)
    assert "--updates" not in study.training("base", 0).arguments


def test_the_command_of_a_study(write):
    write(YAML)
    assert read_study("tiny").command == "tiny"
    assert read_study("tiny", preset="quick").command == "tiny --preset quick"


def test_another_preset_replaces_the_lengths_of_rows_too(write):
    recipe = "options: {preset: reference, info_weight: 2.0, epochs: 7}"
    write(YAML.replace("updates: 20", "epochs: 9").replace("options: {info_weight: 2.0}", recipe))
    study = read_study("tiny", preset="quick")
    assert [study.training(row, 0).config["epochs"] for row in ("base", "heavy")] == [None, None]
    assert study.training("heavy", 0).given["preset"] == "reference"  # the row keeps its recipe, and loses its length


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("view_information", "hungarian_accuracy", "tiny: select is 'hungarian_accuracy': .*one of view_"),
        ("view_information", "fid", "tiny: select is 'fid'"),
        ("  about:", "  abot: x\n  about:", "tiny has an unknown key 'abot'; did you mean about"),
        ("mode: bigbigan,", "mode: bigbigan, sedes: [1],", "image has an unknown key 'sedes'; did you mean seeds"),
        ("mode: bigbigan", "mode: bigbigna", "'bigbigna' is not one of .* did you mean bigbigan"),
        ("s_z: false", "s_y: false", "image: --s-y is not an option of this mode"),
        ("  finalists: {count: 1, seeds: [5, 6]}\n", "", "tiny has only one of `select` and `finalists`"),
        (SELECTS, "", "tiny: control is a control, but tiny has no `select`"),
        ("  columns: [fid]\n", "", "tiny lacks 'columns'"),
        ("{mode: bigbigan, ", "{", "image lacks 'mode'"),
        ("[fid]", "[fid", "studies.yaml, line 8: expected ',' or ']'"),
        (YAML, "", "studies.yaml does not map names to studies"),
        (YAML, "a\x00b", "studies.yaml cannot be read"),
        (YAML, "tiny:", "tiny is None: give about, dataset, columns"),
        ("  columns: [fid]", "  columns: fid", "tiny: columns is 'fid': give a list"),
        ("columns: [fid]", "columns: [fit]", "tiny: 'fit' is not a score; did you mean fid"),
        ("seeds: [3]", "seeds: 3", "image: seeds is 3: give a list"),
        ("finalists: {count: 1, ", "finalists: {", "tiny: finalists lacks 'count'"),
        ("  rows:", "  include: {other: [base]}\n  rows:", "tiny includes 'base', which is not a row of 'other'"),
        ("s_z: false", "s_y: false", "studies.yaml: tiny: image: --s-y"),
        ("s_z: false", "seed: 7", "tiny: image: 'seed' is not an option"),
        ("s_z: false", "7: false", "tiny: image: 7 is not an option"),
        ("seeds: [3]", "seeds: [3, 3]", r"image: seeds is \[3, 3\]"),
        ("seeds: [3]", "seeds: []", r"image: seeds is \[\]"),
        ("seeds: [5, 6]", "seeds: [-5]", "--seed: -5 is out of range"),
        ("  rows:", "  include: {tiny: }\n  rows:", "tiny includes None, which is not a row of 'tiny'"),
        ("  rows:", "  include: {other: [a]}\n  rows:", "tiny includes 'a', which is not a row of 'other'"),
        ("  rows:", "  include: {tiny: [base]}\n  rows:", "tiny includes rows of 'tiny', which itself includes rows"),
        ("  rows:", "  include: {other: []}\n  rows:", "'other' is not a study"),
        (
            "  rows:",
            "  figures: [curves]\n  drawn: [bas]\n  rows:",
            "tiny: drawn: 'bas' is not a row; did you mean base",
        ),
        (
            "  rows:",
            f"  figures: [curves]\n  drawn: [{'base, ' * 7}]\n  rows:",
            "tiny would draw 7 rows: give 6 or fewer",
        ),
    ],
)
def test_bad_files_are_one_clear_line(write, old, new, message):
    write(YAML.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_study("tiny")


def test_an_unknown_study(write):
    write(YAML)
    with pytest.raises(InputError, match="'tinny' is not a study: .*did you mean tiny?"):
        read_study("tinny")
