"""How a config declares, checks and takes its options; the configs of the modes are tested with the tasks."""

import dataclasses
from typing import ClassVar

import pytest

from data.errors import InputError
from training.cli import Parser, add_config_options
from training.config import (
    GROUPS,
    Config,
    data_option,
    evaluation_option,
    field_names,
    flag,
    make_config,
    network_option,
    other_default,
    training_option,
    with_epochs,
    without_retired,
)


@dataclasses.dataclass(frozen=True)
class Own(Config):
    """An option of each kind."""

    presets: ClassVar = {"quick": {"width": 4, "height": 3}, "default": {}, "reference": {"batch_size": 256}}
    retired: ClassVar = ("curves", "width")

    file: str | None = data_option(None, "a file")
    batch_size: int = other_default(Config, "batch_size", 64)
    width: int = network_option(16, "the width", low=2, high=32)
    widths: tuple[int, ...] = network_option((8, 4), "all widths", low=4)
    cell: str = network_option("lstm", "the layer", choices=("lstm", "gru"))
    norm: bool = network_option(True, "normalise")
    rate: float = training_option(0.1, "learning rate", low=0)
    share: float = training_option(0.5, "a share", low=0, high=0.9)
    samples: int = evaluation_option(3, "samples", low=1)


def parsed(config_class, *argv):
    """What the command line gives for a config: a field whose flag is absent is absent."""
    parser = Parser()
    add_config_options(parser, config_class)
    return vars(parser.parse_args(list(argv)))


def test_what_is_given_goes_before_the_preset_and_the_preset_before_the_default():
    assert make_config(Own, {}).batch_size == 64
    assert make_config(Own, {"preset": "reference"}).batch_size == 256
    assert make_config(Own, {"preset": "reference", "batch_size": 128}).batch_size == 128
    assert make_config(Own, {"batch_size": 128, "preset": "reference"}).batch_size == 128


def test_a_preset_gives_a_mode_the_values_of_its_own_fields():
    assert make_config(Own, {"preset": "quick"}).width == 4  # and no height


def test_another_default_keeps_the_rules_of_the_field():
    assert Config().batch_size == 128
    with pytest.raises(InputError, match="--batch-size: 1 is out of range"):
        make_config(Own, {"batch_size": 1})


def test_a_flag_that_is_not_given_is_absent():
    assert parsed(Own, "--widths", "8", "4", "--norm") == {"widths": [8, 4], "norm": True}


def test_a_switch_can_be_turned_off():
    assert parsed(Own, "--no-norm") == {"norm": False}


def test_the_help_shows_every_option_with_its_default_in_its_group():
    parser = Parser()
    add_config_options(parser, Own)
    *sections, last = parser.format_help().split("\n\n")
    text = {section.split(":")[0]: " ".join(section.split()) for section in (*sections, last)}
    assert set(GROUPS) <= text.keys()
    for field in dataclasses.fields(Own):
        assert f"{flag(field.name)}" in text[field.metadata["group"]]
        assert field.metadata["help"] in text[field.metadata["group"]]
    assert "all widths (default: 8 4)" in text["networks"] and "{lstm,gru}" in text["networks"]
    assert "samples (default: 3)" in text["evaluation"]


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({"batch_size": 1}, "--batch-size: 1 is out of range: it takes numbers at least 2"),
        ({"seed": -1}, "--seed: -1 is out of range: it takes numbers from 0 to 2147483647"),
        ({"rate": float("inf")}, "--rate: inf is out of range: it takes numbers at least 0 and finite"),
        ({"width": 33}, "--width: 33 is out of range: it takes numbers from 2 to 32"),
        ({"share": float("nan")}, "--share: nan is out of range"),
        ({"widths": (8, 2)}, "--widths: 2 is out of range"),
        ({"preset": "quik"}, "--preset: 'quik' is not one of quick, default, reference; did you mean quick?"),
        ({"width": None}, "--width expects a value, for example --width 16"),
        ({"widths": ()}, "--widths expects a value, for example --widths 8 4"),
        ({"batch_size": "128"}, "--batch-size: '128' is not a value of type int"),
        ({"seed": True}, "--seed: True is not a value of type int"),
        ({"norm": 1}, "--norm: 1 is not a value of type bool"),
        ({"dataset": ("a", "b")}, "--dataset: ('a', 'b') is not a value of type str"),
        ({"widths": 8}, "--widths: 8 is not several values of type int"),
        ({"widths": (8, 4.0)}, "--widths: (8, 4.0) is not several values of type int"),
        ({"wdith": 8}, "--wdith is not an option of this mode; did you mean --width?"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(given, facts):
    with pytest.raises(InputError) as error:
        make_config(Own, given)
    assert facts in str(error.value)


def test_a_whole_number_will_do_for_a_float():
    assert make_config(Own, {"rate": 1}).rate == 1


def test_a_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Own().seed = 1


def test_a_model_takes_the_options_of_networks_and_training_that_the_mode_adds():
    own = Own(rate=0.2).model_options()
    assert own == {"width": 16, "widths": (8, 4), "cell": "lstm", "norm": True, "rate": 0.2, "share": 0.5}
    assert field_names(Own)[: len(field_names(Config))] == field_names(Config)


def test_a_retired_option_is_dropped_unless_a_mode_has_it_again():
    assert without_retired(Own, {"curves": False, "width": 4, "depth": 1}) == {"width": 4, "depth": 1}


@pytest.mark.parametrize(
    ("options", "limits", "epochs"),
    [({}, {}, 3), ({}, {"turn": 2}, 4), ({}, {"most": 2}, 2), ({"epochs": 5}, {"most": 2, "turn": 2}, 5)],
)
def test_epochs_that_reach_the_updates(options, limits, epochs):
    assert with_epochs(Own(updates=25, **options), steps_per_epoch=10, **limits).epochs == epochs
