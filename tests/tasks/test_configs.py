"""The options of every mode."""

import dataclasses
import json

import pytest

from data.errors import InputError
from tasks.configs import BiGANConfig, BigGANConfig, InfoBigBiGANConfig, InfoGANConfig
from tasks.modes import MODES
from training.cli import Parser, add_config_options
from training.config import GROUPS, field_names, flag, make_config
from training.runs import create_run, open_run, resumed_config, write_config

CONFIGS = {mode: row.config for mode, row in MODES.items()}
FACTS = {"image_shape": [8, 8, 1], "labels": True}


def parsed(config_class, *argv):
    """What the command line gives for a config."""
    parser = Parser()
    add_config_options(parser, config_class)
    return vars(parser.parse_args(list(argv)))


@pytest.mark.parametrize("mode", CONFIGS)
def test_every_mode_takes_every_preset(mode):
    presets = CONFIGS[mode].presets
    assert CONFIGS[mode].__dataclass_fields__["preset"].metadata["choices"] == tuple(presets)
    for preset, values in presets.items():
        config = make_config(CONFIGS[mode], {"preset": preset})
        for name, value in values.items():
            assert getattr(config, name, value) == value


def test_a_mode_may_have_another_default_than_its_parent():
    defaults = {mode: make_config(CONFIGS[mode], {}) for mode in ("biggan", "bigbigan", "infobigbigan")}
    assert [config.d_updates for config in defaults.values()] == [1, 2, 1]
    with pytest.raises(InputError, match="--d-updates: 9 is out of range"):
        make_config(CONFIGS["bigbigan"], {"d_updates": 9})


def test_presets_have_only_fields_that_some_mode_has():
    fields = {name for config in CONFIGS.values() for name in field_names(config)}
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
    # the fields whose default is None
    open_fields = {
        "dataset": "a.npz",
        "data_dir": "b",
        "epochs": 3,
        "image_size": 8,
        "word_vectors": "c",
        "cache_gb": 0.5,
    }
    chosen = {f.name: open_fields[f.name] for f in dataclasses.fields(CONFIGS[mode]) if f.default is None}
    given = parsed(CONFIGS[mode], *argv, *(part for name, value in chosen.items() for part in (flag(name), str(value))))
    expected = defaults | chosen
    assert {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()} == expected


@pytest.mark.parametrize("mode", CONFIGS)
def test_every_field_has_a_group_and_help(mode):
    for field in dataclasses.fields(CONFIGS[mode]):
        assert field.metadata["group"] in GROUPS and field.metadata["help"]


def test_flags_of_images():
    assert parsed(BiGANConfig, "--generator-widths", "8", "4", "--deterministic-encoder") == {
        "generator_widths": [8, 4],
        "deterministic_encoder": True,
    }
    assert parsed(InfoBigBiGANConfig, "--no-s-x") == {"s_x": False}


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({"d_rate": float("inf")}, "--d-rate: inf is out of range: it takes numbers at least 0 and finite"),
        ({"d_updates": 9}, "--d-updates: 9 is out of range: it takes numbers from 1 to 8"),
        ({"ema_decay": float("nan")}, "--ema-decay: nan is out of range"),
        ({"generator_widths": (8, 2)}, "--generator-widths: 2 is out of range"),
        ({"latent_dim": None}, "--latent-dim expects a value"),
        ({"generator_widths": ()}, "--generator-widths expects a value"),
        ({"curves": 1}, "--curves: 1 is not a value of type bool"),
        ({"generator_widths": 8}, "--generator-widths: 8 is not several values of type int"),
        ({"latentdim": 8}, "did you mean --latent-dim?"),
    ],
)
def test_a_wrong_value_of_images_is_named_with_what_would_be_right(given, facts):
    with pytest.raises(InputError) as error:
        make_config(BigGANConfig, given)
    assert facts in str(error.value)


@pytest.mark.parametrize("joint_code", ["head", "encoder"])
def test_values_that_exclude_each_other(joint_code):
    with pytest.raises(InputError, match="use --head-on image"):
        InfoBigBiGANConfig(joint_code=joint_code, head_on="joint")


@pytest.mark.parametrize(
    ("options", "facts"),
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
def test_consistency_of_codes_that_do_not_exist(options, facts):
    with pytest.raises(InputError, match=facts):
        InfoBigBiGANConfig(**options)


def test_a_background_that_is_no_colour():
    with pytest.raises(InputError, match="background 'whit' is not a colour"):
        InfoBigBiGANConfig(background="whit")


@pytest.mark.parametrize("mode", ["biggan", "infobigbigan"])
def test_a_run_that_was_written_before_backgrounds_opens_with_the_default(tmp_path, mode):
    made = changed(tmp_path, mode)
    described = json.loads((made.path / "config.json").read_text())
    assert described["config"].pop("background") == "white"
    write_config(made.path / "config.json", described)
    assert open_run("a", str(tmp_path), MODES) == made


def test_a_code_may_come_with_any_other_option():
    gan, infogan, infobigbigan = (set(field_names(own)) for own in (BigGANConfig, InfoGANConfig, InfoBigBiGANConfig))
    assert gan < infogan - {"networks"} < infobigbigan


@pytest.mark.parametrize(
    ("options", "message"),
    [({"layout_dim": 0}, "--layout-dim"), ({"attention": 7}, "--attention"), ({"code_to": "all"}, "--code-to all")],
)
def test_plain_networks_lack_what_big_ones_have(options, message):
    with pytest.raises(InputError, match=message):
        make_config(InfoGANConfig, {"preset": "published"} | options)
    assert make_config(InfoGANConfig, {"preset": "published"}).networks == "plain"


# config.json


@pytest.mark.parametrize("mode", CONFIGS)
def test_round_trip_through_config_json(tmp_path, mode):
    rate = "rate" if hasattr(CONFIGS[mode], "rate") else "d_rate"
    config = make_config(CONFIGS[mode], {"dataset": "digits", "preset": "reference", rate: 1e-5, "epochs": 2})
    made = create_run(str(tmp_path), "a", MODES[mode], config, FACTS)
    assert open_run(tmp_path / "a", "", MODES) == made
    assert open_run("a", str(tmp_path), MODES).config == config


def changed(folder, mode, **options):
    """Make a run of a mode, as a version with these options more would have written it; return how it was made."""
    config = make_config(CONFIGS[mode], {"dataset": "digits", "epochs": 2})
    made = create_run(str(folder), "a", MODES[mode], config, FACTS)
    described = json.loads((made.path / "config.json").read_text())
    write_config(made.path / "config.json", described | {"config": described["config"] | options})
    return made


@pytest.mark.parametrize("mode", ["lm", "nasm", "gqa"])
def test_a_run_that_was_written_with_an_option_that_had_no_effect_still_opens(tmp_path, mode):
    made = changed(tmp_path, mode, curves=False)
    assert open_run("a", str(tmp_path), MODES) == made
    with pytest.raises(InputError, match="--curves is not an option of .*a run of mode " + mode):
        resumed_config(made, {"curves": False})


@pytest.mark.parametrize("mode", ["biggan", "nvdm", "vae", "twrvae", "mlvae"])
def test_an_option_that_has_an_effect_is_read(tmp_path, mode):
    changed(tmp_path, mode, curves=False)
    assert open_run("a", str(tmp_path), MODES).config.curves is False


@pytest.mark.parametrize("mode", ["lm", "nasm"])
def test_an_unknown_option_of_a_run_is_not_dropped(tmp_path, mode):
    changed(tmp_path, mode, depth=1)
    with pytest.raises(InputError, match="config.json does not describe a run of this version.*depth"):
        open_run("a", str(tmp_path), MODES)
