import dataclasses

import pytest

from data.errors import InputError
from training.cli import Parser, add_config_options
from training.config import (
    BiGANConfig,
    BigGANConfig,
    Config,
    InfoBigBiGANConfig,
    InfoGANConfig,
    flag,
    make_config,
)
from training.modes import MODES
from training.runs import create_run, open_run

CONFIGS = {mode: row.config for mode, row in MODES.items()}


def parsed(config_class, *argv):
    """What the command line gives for a config: fields whose flags are absent are absent."""
    parser = Parser()
    add_config_options(parser, config_class)
    return vars(parser.parse_args(list(argv)))


@pytest.mark.parametrize("mode", CONFIGS)
def test_every_mode_takes_every_preset(mode):
    presets = CONFIGS[mode].presets
    assert Config.__dataclass_fields__["preset"].metadata["choices"] == tuple(presets)
    for preset, values in presets.items():
        config = make_config(CONFIGS[mode], {"preset": preset})
        for name, value in values.items():
            assert getattr(config, name, value) == value


def test_what_is_given_goes_before_the_preset_and_the_preset_before_the_default():
    assert make_config(BigGANConfig, {}).batch_size == 128
    assert make_config(BigGANConfig, {"preset": "reference"}).batch_size == 256
    assert make_config(BigGANConfig, {"preset": "reference", "batch_size": 64}).batch_size == 64
    assert make_config(BigGANConfig, {"batch_size": 64, "preset": "reference"}).batch_size == 64


def test_a_mode_may_have_another_default_than_its_parent():
    defaults = {mode: make_config(CONFIGS[mode], {}) for mode in ("biggan", "bigbigan", "infobigbigan")}
    assert [config.d_updates for config in defaults.values()] == [1, 2, 1]
    with pytest.raises(InputError, match="--d-updates: 9 is out of range"):
        make_config(CONFIGS["bigbigan"], {"d_updates": 9})


def test_presets_have_only_fields_that_some_mode_has():
    fields = {field.name for config in CONFIGS.values() for field in dataclasses.fields(config)}
    assert all(values.keys() <= fields for config in CONFIGS.values() for values in config.presets.values())


@pytest.mark.parametrize("mode", CONFIGS)
def test_every_field_has_a_flag_that_gives_its_value(mode):
    defaults = {f.name: f.default for f in dataclasses.fields(CONFIGS[mode]) if f.default is not None}
    argv = []
    for name, value in defaults.items():
        if isinstance(value, bool):
            argv.append(flag(name) if value else flag(f"no_{name}"))
        else:
            argv += [flag(name), *map(str, value if isinstance(value, tuple) else [value])]
    # those whose default is None
    open_fields = {"dataset": "a.npz", "data_dir": "b", "epochs": 3, "image_size": 8, "word_vectors": "c"}
    chosen = {f.name: open_fields[f.name] for f in dataclasses.fields(CONFIGS[mode]) if f.default is None}
    given = parsed(CONFIGS[mode], *argv, *(part for name, value in chosen.items() for part in (flag(name), str(value))))
    expected = defaults | chosen
    assert {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()} == expected


def test_a_flag_that_is_not_given_is_absent():
    assert parsed(BiGANConfig, "--generator-widths", "8", "4", "--deterministic-encoder") == {
        "generator_widths": [8, 4],
        "deterministic_encoder": True,
    }


def test_a_switch_can_be_turned_off():
    assert parsed(InfoBigBiGANConfig, "--no-s-x") == {"s_x": False}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 1}, "--batch-size: 1 is out of range: it takes numbers at least 2"),
        ({"seed": -1}, "--seed: -1 is out of range: it takes numbers from 0 to 2147483647"),
        ({"d_rate": float("inf")}, "--d-rate: inf is out of range: it takes numbers at least 0 and finite"),
        ({"d_updates": 9}, "--d-updates: 9 is out of range: it takes numbers from 1 to 8"),
        ({"ema_decay": float("nan")}, "--ema-decay: nan is out of range"),
        ({"generator_widths": (8, 2)}, "--generator-widths: 2 is out of range"),
        ({"preset": "quik"}, "--preset: 'quik' is not one of quick, default, reference; did you mean quick?"),
        ({"latent_dim": None}, "--latent-dim has no value"),
        ({"generator_widths": ()}, "--generator-widths has no value"),
        ({"batch_size": "128"}, "--batch-size: '128' is not a value of type int"),
        ({"seed": True}, "--seed: True is not a value of type int"),
        ({"curves": 1}, "--curves: 1 is not a value of type bool"),
        ({"dataset": ("a", "b")}, "--dataset: ('a', 'b') is not a value of type str"),
        ({"generator_widths": 8}, "--generator-widths: 8 is not several values of type int"),
        ({"generator_widths": (8, 4.0)}, "--generator-widths: (8, 4.0) is not several values of type int"),
        ({"latentdim": 8}, "--latentdim is no option of this mode; did you mean --latent-dim?"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(given, message):
    with pytest.raises(InputError) as error:
        make_config(BigGANConfig, given)
    assert message in str(error.value)


@pytest.mark.parametrize("joint_code", ["head", "encoder"])
def test_values_that_exclude_each_other(joint_code):
    with pytest.raises(InputError, match="use --head-on image"):
        InfoBigBiGANConfig(joint_code=joint_code, head_on="joint")


def test_a_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        InfoGANConfig().seed = 1


@pytest.mark.parametrize("mode", CONFIGS)
def test_round_trip_through_config_json(tmp_path, mode):
    rate = "rate" if hasattr(CONFIGS[mode], "rate") else "d_rate"
    config = make_config(CONFIGS[mode], {"dataset": "digits", "preset": "reference", rate: 1e-5, "epochs": 2})
    facts = {"image_shape": [8, 8, 1], "labels": True}
    made = create_run(str(tmp_path), "a", mode, config, facts)
    assert open_run(tmp_path / "a") == made
    assert open_run("a", str(tmp_path)).config == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"real_info_weight": 0.0, "joint_code": "none"}, "--consistency-on encoder: .* E has no code"),
        ({"joint_code": "head"}, "--real-info-weight: .* E has no code"),
        (
            {"real_info_weight": 0.0, "consistency_weight": 0.0, "balance_weight": 1.0, "joint_code": "head"},
            "--consistency-on encoder: .* E has no code",
        ),
        (
            {"real_info_weight": 0.0, "consistency_on": "head", "joint_code": "none", "head_on": "joint"},
            "--consistency-on head: a head on J",
        ),
    ],
)
def test_consistency_of_codes_that_do_not_exist(options, message):
    with pytest.raises(InputError, match=message):
        InfoBigBiGANConfig(**options)
