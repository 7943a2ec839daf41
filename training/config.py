"""The options of a run: how a frozen dataclass declares them, and the options that every mode has.

The command line is built from the fields of these dataclasses. Nothing here imports TensorFlow, so that `--help` and
errors in flags appear at once.
"""

import dataclasses
import functools
import math
import sys
import types
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from data.errors import InputError, nearest

GROUPS = ("data", "networks", "training", "evaluation")  # the sections of a mode's help


def option(
    default: Any,
    help: str,
    *,
    group: str,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """Declare a field of a config.

    Args:
        default: the value if neither the command line nor the preset gives one; None if the task decides.
        help: the help text of the flag.
        group: one of GROUPS.
        choices: the allowed values, if only some are.
        low, high: the range of a number, both ends included.
    """
    rules = {"help": help, "group": group, "choices": choices, "low": low, "high": high}
    return dataclasses.field(default=default, metadata=rules)


data_option = functools.partial(option, group="data")
network_option = functools.partial(option, group="networks")
training_option = functools.partial(option, group="training")
evaluation_option = functools.partial(option, group="evaluation")


def other_default(parent: "type[Config]", name: str, default: Any) -> Any:
    """Declare a field of a parent config again, with another default."""
    return dataclasses.field(default=default, metadata=parent.__dataclass_fields__[name].metadata)


def flag(name: str) -> str:
    """Return the flag of a field: batch_size -> --batch-size."""
    return "--" + name.replace("_", "-")


def flags_of(values: Mapping[str, Any]) -> list[str]:
    """Return the arguments of the command line that give these options, by the names of their fields."""
    arguments: list[str] = []
    for name, value in values.items():
        if isinstance(value, bool):
            arguments.append(flag(name) if value else flag("no_" + name))
        else:
            arguments += [flag(name), *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return arguments


@dataclasses.dataclass(frozen=True)
class Config:
    """The options of every mode.

    A subclass adds the options of its mode. Each added option in the groups *networks* and *training* is an argument of
    the `create` of the mode's model, under the same name. The options below stay with the task.

    Raises:
        InputError: a value is not allowed for its field.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {}  # preset -> values; a mode takes those of its own fields
    retired: ClassVar[tuple[str, ...]] = ()  # options of older runs that had no effect in this mode

    dataset: str | None = data_option(None, "name of a data set, or a path")
    data_dir: str | None = data_option(None, "folder that holds the data set")
    preset: str = training_option(
        "default", "a named set of defaults; options that are given win", choices=("quick", "default", "reference")
    )
    epochs: int | None = training_option(
        None, "passes over the training part; default: enough for --updates (images: at most 600)", low=1
    )
    updates: int = training_option(
        7800, "fewest training steps if --epochs is not given (below 10,000 images: 5500; digits: 11400)", low=1
    )
    batch_size: int = training_option(128, "examples in a step (below 10,000 images: 64)", low=2)
    seed: int = training_option(
        0, "seed of the first weights, of the order of the data and of all sampling", low=0, high=2**31 - 1
    )

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            check_value(field, hints[field.name], getattr(self, field.name))

    @property
    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults, by name."""
        every = ((field, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {field.name: value for field, value in every if value != field.default and value is not None}

    @property
    def computed_in(self) -> str:
        """The dtype of the products that a step computes."""
        return "float32"

    def model_options(self) -> dict[str, Any]:
        """Return the arguments that the `create` of the mode's model takes from the config."""
        shared = field_names(Config)
        own = (field for field in dataclasses.fields(self) if field.name not in shared)
        return {f.name: getattr(self, f.name) for f in own if f.metadata["group"] in ("networks", "training")}


def field_names(config_class: "type[Config]") -> list[str]:
    """Return the names of a mode's options, in their order."""
    return [field.name for field in dataclasses.fields(config_class)]


def check_value(field: dataclasses.Field, hint: Any, value: Any) -> None:
    """Raise InputError if a field may not have this value; `hint` is the field's type."""
    name, rule = flag(field.name), field.metadata
    if value is None or value == ():
        if type(None) not in get_args(hint):
            example = " ".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
            raise InputError(f"{name} expects a value, for example {name} {example}")
        return
    kind, many = element_type(hint), get_origin(hint) is tuple
    elements = value if isinstance(value, tuple) else (value,)
    fits = (int, float) if kind is float else kind
    if isinstance(value, tuple) != many or any(
        not isinstance(element, fits) or isinstance(element, bool) != (kind is bool) for element in elements
    ):
        wanted = f"{'several values' if many else 'a value'} of type {kind.__name__}"
        raise InputError(f"{name}: {value!r} is not {wanted}")
    if rule["choices"] and value not in rule["choices"]:
        known = ", ".join(rule["choices"])
        raise InputError(f"{name}: {value!r} is not one of {known}{nearest(str(value), rule['choices'])}")
    low, high = rule["low"], rule["high"]
    for number in elements if kind in (int, float) else ():
        finite = abs(number) <= sys.float_info.max  # of an integer too, which may be larger than every float
        if not finite or (low is not None and number < low) or (high is not None and number > high):
            open_end = f"at least {low}" + (" and finite" if kind is float else "")
            bound = open_end if high is None else f"from {low} to {high}"
            raise InputError(f"{name}: {number} is out of range: it takes numbers {bound}")


AnyConfig = TypeVar("AnyConfig", bound=Config)


def with_epochs(config: AnyConfig, steps_per_epoch: int, most: float = math.inf, turn: int = 1) -> AnyConfig:
    """Return the config with its number of epochs decided.

    Args:
        config: its own `epochs`, if given, stay.
        steps_per_epoch: steps of one pass over the training part.
        most: the largest number of epochs that is chosen.
        turn: the number of epochs is the smallest multiple of it that reaches `config.updates`.
    """
    turns = -(-config.updates // (steps_per_epoch * turn))
    return dataclasses.replace(config, epochs=config.epochs or min(most, turns * turn))


def element_type(hint: Any) -> type:
    """Return the type of one value: int for int, int | None and tuple[int, ...]."""
    if isinstance(hint, types.UnionType) or get_args(hint):
        return get_args(hint)[0]
    return hint


def make_config(config_class: type[AnyConfig], given: Mapping[str, Any]) -> AnyConfig:
    """Return a config of what was given, else the preset's values, else the defaults.

    Raises:
        InputError: the class has no such field, or a value is not allowed.
    """
    names = field_names(config_class)
    for name in given:
        if name not in names:
            raise InputError(f"{flag(name)} is not an option of this mode{nearest(flag(name), map(flag, names))}")
    preset = given.get("preset", "default")
    preset_values = {k: v for k, v in config_class.presets.get(preset, {}).items() if k in names}
    return config_class(**(preset_values | dict(given)))


def left_open(config_class: type[Config], given: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the options that neither the command line gave nor the preset sets."""
    preset = config_class.presets.get(given.get("preset", "default"), {})
    return frozenset(field_names(config_class)) - given.keys() - preset.keys()


def as_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return option values as a config holds them: several values are a tuple, where JSON and YAML have a list."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def without_retired(config_class: type[Config], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored option values without those that the mode no longer has."""
    gone = set(config_class.retired) - set(field_names(config_class))
    return {name: value for name, value in values.items() if name not in gone}
