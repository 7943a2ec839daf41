"""Studies: `studies.yaml` is read, checked and turned into trainings. Nothing here imports TensorFlow."""

import dataclasses
import hashlib
import json
import shlex
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from data.errors import InputError, nearest, reason
from metrics.catalogue import CONSISTENCY, SCORES
from tasks.modes import find_mode
from training.config import as_options, flags_of, make_config, without_retired
from training.runs import LOCAL

FILE = Path(__file__).with_name("studies.yaml")
REQUIRED = {"about": str, "dataset": str, "columns": list, "rows": dict}  # the keys of a study, and their types
STUDY_KEYS = REQUIRED | {"seeds": list, "options": dict, "figures": list, "keep": list, "select": str}
STUDY_KEYS |= {"finalists": dict, "include": dict, "drawn": list}
ROW_KEYS = {"mode": str, "dataset": str, "seeds": list, "options": dict, "control": bool}
FINALISTS_KEYS = {"count": int, "seeds": list}
MOST_DRAWN = 6  # rows whose curves a reader tells apart
LABEL_FREE = CONSISTENCY.keys  # the scores that may choose: of the validation part, and computed without labels
SECONDS_PER_UPDATE = 0.12  # a guess, until the study has a finished training: two cores at 200 GFLOP/s
LENGTHS = ("updates", "epochs")  # the options that another preset replaces
ELSEWHERE = (*LOCAL, "precision")  # the options that depend on the machine, not on the study


@dataclasses.dataclass(frozen=True)
class Training:
    """One training of a study: a row with one seed.

    study, row, mode: names. seed: the seed. given: the options that differ from the mode's defaults; the data set and
    the seed are among them.
    """

    study: str
    row: str
    mode: str
    seed: int
    given: dict[str, Any]

    @property
    def name(self) -> str:
        """The training's name in its study."""
        return f"{self.row}-{self.seed}"

    @property
    def config(self) -> dict[str, Any]:
        """Every option of the training, except those that depend on the machine."""
        config = make_config(find_mode(self.mode).config, self.given)
        return {name: value for name, value in dataclasses.asdict(config).items() if name not in ELSEWHERE}

    @property
    def config_hash(self) -> str:
        """Eight hexadecimal digits, a digest of the mode and the config."""
        return hashlib.sha256(json.dumps([self.mode, self.config], sort_keys=True).encode()).hexdigest()[:8]

    def minutes(self, entries: dict[str, dict]) -> float:
        """Return the expected minutes, from the entries of the same mode; without such entries a guess."""
        per_update = [
            entry["metrics"]["train_minutes"] / entry["config"]["updates"]
            for entry in entries.values()
            if entry["mode"] == self.mode and "train_minutes" in entry["metrics"]
        ]
        guess = SECONDS_PER_UPDATE / 60
        return self.config["updates"] * (statistics.median(per_update) if per_update else guess)

    @property
    def run_name(self) -> str:
        """The name of the run's directory; a row whose options change gets another directory."""
        return f"{self.study}-{self.name}-{self.config_hash}"

    @property
    def arguments(self) -> list[str]:
        """The arguments of `train.py`, without the run's name."""
        return ["--mode", self.mode, *flags_of(self.given)]

    @property
    def command(self) -> str:
        """The command to type, without the run's name."""
        return shlex.join(["python", "train.py", *self.arguments])


@dataclasses.dataclass(frozen=True)
class Study:
    """A study as `studies.yaml` describes it.

    Attributes:
        about: the study's question, and what it compares.
        rows: name -> {mode, dataset, seeds, options, control}.
        columns: the keys of the scores in the study's tables.
        figures: names of functions in `studies.figures`.
        drawn: the rows whose curves are drawn, at most MOST_DRAWN; if there are none, the curves of all rows are.
        keep: pictures of a run that are kept, for the first seed of every row.
        select: the key of the label-free score that chooses the finalists.
        finalists: {count, seeds}: how many rows are chosen, and the further seeds that they are trained with.
        include: (another study of the same preset, the names of its rows that the tables show too).
        command: the arguments of `reproduce.py` for this study.
    """

    name: str
    about: str
    dataset: str
    rows: dict[str, dict[str, Any]]
    columns: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    figures: tuple[str, ...] = ()
    drawn: Sequence[str] = ()
    keep: tuple[str, ...] = ()
    select: str | None = None
    finalists: dict[str, Any] | None = None
    include: Sequence[tuple["Study", list[str]]] = ()
    command: str = ""

    def seeds_of(self, row: str) -> Sequence[int]:
        """Return the row's own seeds, or the study's."""
        return self.rows[row].get("seeds", self.seeds)

    def training(self, row: str, seed: int) -> Training:
        """Return the training of a row with a seed."""
        own = self.rows[row]
        options = as_options({**self.options, **own.get("options", {})})
        dataset = own.get("dataset", self.dataset)
        return Training(self.name, row, own["mode"], seed, {"dataset": dataset, "seed": seed, **options})

    def screening(self) -> list[Training]:
        """Return the trainings that do not depend on other trainings, in their order.

        All rows' first seeds come first, in the order of the file, then all second seeds, and so on.
        """
        seeds = {row: self.seeds_of(row) for row in self.rows}
        most = max(map(len, seeds.values()))
        return [self.training(row, seeds[row][i]) for i in range(most) for row in self.rows if i < len(seeds[row])]

    def chosen(self, entries: dict[str, dict]) -> list[str]:
        """Return the finalists, best first: the rows whose first seed has the highest `select`, controls left out.

        Args:
            entries: the results so far, by the names of their trainings.
        """
        assert self.select and self.finalists
        first = {row: entries.get(f"{row}-{self.seeds_of(row)[0]}", {}) for row in self.rows}
        scored = {
            row: entry["metrics"][self.select]
            for row, entry in first.items()
            if self.select in entry.get("metrics", {}) and not self.rows[row].get("control")
        }
        return sorted(scored, key=scored.__getitem__, reverse=True)[: self.finalists["count"]]

    def trainings(self, entries: dict[str, dict]) -> list[Training]:
        """Return all trainings that are known: the screening and, once it is finished, the finalists' further seeds."""
        screening = self.screening()
        if not self.finalists or not all(finished(training, entries) for training in screening):
            return screening
        return screening + [self.training(row, s) for s in self.finalists["seeds"] for row in self.chosen(entries)]

    def missing(self, entries: dict[str, dict]) -> list[Training]:
        """Return the known trainings that the entries do not hold."""
        return [training for training in self.trainings(entries) if not finished(training, entries)]

    def current(self, entries: dict[str, dict]) -> dict[str, dict]:
        """Return the entries that the study still describes: the row exists, and its options are those of the entry."""
        return {
            name: entry
            for name, entry in entries.items()
            if entry["row"] in self.rows and finished(self.training(entry["row"], entry["seed"]), entries)
        }

    @property
    def size(self) -> int:
        """The number of trainings, the finalists' included."""
        return len(self.screening()) + (self.finalists["count"] * len(self.finalists["seeds"]) if self.finalists else 0)


def finished(training: Training, entries: dict[str, dict]) -> bool:
    """Whether the results hold a training of the same name, mode and config, failed or not.

    An option that is younger than the entry counts as its default, and a retired option counts for nothing. A new
    option therefore does not undo the old trainings.
    """
    entry = entries.get(training.name)
    if entry is None or entry["mode"] != training.mode:
        return False
    config, config_class = training.config, find_mode(training.mode).config
    defaults = {field.name: field.default for field in dataclasses.fields(config_class) if field.name in config}
    stored = without_retired(config_class, entry["config"])
    return json.dumps(defaults | stored, sort_keys=True) == json.dumps(config, sort_keys=True)


def read_studies() -> dict[str, Any]:
    """Return the content of `studies.yaml`, by study, unchecked.

    Raises:
        InputError: the file is not YAML, or does not map names to studies.
    """
    try:
        studies = yaml.safe_load(FILE.read_text())
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{FILE.name}{line}: {error.problem}: correct it") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{FILE} cannot be read ({reason(error)}): restore it") from error
    if not isinstance(studies, dict) or not all(isinstance(name, str) for name in studies):
        raise InputError(f"{FILE.name} does not map names to studies: write each study below its name")
    return studies


def check_keys(where: str, described: Any, kinds: dict[str, type], required: Iterable[str]) -> None:
    """Check the keys of a part of the file.

    Args:
        where: the part's name, for messages.
        described: the content of the part.
        kinds: the keys that it may have, with the types of their values.
        required: the keys that it must have.

    Raises:
        InputError: the part is not a mapping, lacks a key, or has an unknown key or a value of another type.
    """
    if not isinstance(described, dict) or not described:
        raise InputError(f"{FILE.name}: {where} is {described!r}: give {', '.join(kinds)}")
    for key, value in described.items():
        if key not in kinds:
            raise InputError(f"{FILE.name}: {where} has an unknown key {key!r}{nearest(key, kinds)}")
        if not isinstance(value, kinds[key]):
            raise InputError(f"{FILE.name}: {where}: {key} is {value!r}: give a {kinds[key].__name__}")
    for key in required:
        if key not in described:
            raise InputError(f"{FILE.name}: {where} lacks {key!r}: add it")


def check_parts(where: str, described: dict[str, Any]) -> None:
    """Raise InputError if seeds are missing or repeated, or if an option's name cannot be one."""
    seeds = described.get("seeds", [0])
    if not seeds or len(set(map(str, seeds))) < len(seeds):
        raise InputError(f"{FILE.name}: {where}: seeds is {seeds!r}: give one or more, each once")
    for name in described.get("options", {}):
        if not isinstance(name, str) or name in ("seed", "dataset"):
            raise InputError(
                f"{FILE.name}: {where}: {name!r} is not an option: give seeds as `seeds`, and the data set as `dataset`"
            )


def check_included(name: str, other: str, rows: Any, studies: dict[str, Any]) -> None:
    """Check the rows of another study that a study includes.

    Args:
        name, other: the names of the including and of the included study.
        rows: the rows as the file gives them.
        studies: the content of the file.

    Raises:
        InputError: the other study lacks one of the rows, or includes rows itself.
    """
    whole = studies[other] if isinstance(studies.get(other), dict) else {}
    known = whole["rows"] if isinstance(whole.get("rows"), dict) else {}
    for row in rows if isinstance(rows, list) else [rows]:
        if row not in known:
            raise InputError(
                f"{FILE.name}: {name} includes {row!r}, which is not a row of {other!r}{nearest(row, known)}"
            )
    if "include" in whole:
        raise InputError(
            f"{FILE.name}: {name} includes rows of {other!r}, which itself includes rows: include their own study"
        )


def check_drawn(name: str, drawn: list, rows: list[str]) -> None:
    """Raise InputError if a study's curves would be of unknown or of too many rows; `rows` are all that it shows."""
    for row in drawn:
        if row not in rows:
            raise InputError(f"{FILE.name}: {name}: drawn: {row!r} is not a row{nearest(row, rows)}")
    if len(drawn or rows) > MOST_DRAWN:
        raise InputError(
            f"{FILE.name}: {name} would draw {len(drawn or rows)} rows: give {MOST_DRAWN} or fewer in `drawn`"
        )


def read_entries(file: Path) -> dict[str, dict]:
    """Return a study's results so far, by the names of the trainings. Raise InputError if the file is damaged."""
    try:
        return {entry["name"]: entry for entry in json.loads(file.read_text())} if file.exists() else {}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file} is damaged ({error}): restore it, or delete it to train anew") from error


def read_study(name: str, seeds: int | None = None, preset: str | None = None) -> Study:
    """Return a study of `studies.yaml`.

    Args:
        name: the study's name.
        seeds: how many seeds of every row are kept, from the first; default: all.
        preset: the preset whose length of training replaces the study's; default: the lengths in the file.

    Raises:
        InputError: no study has this name, or the file describes it wrongly.
    """
    studies = read_studies()
    if name not in studies:
        raise InputError(f"{name!r} is not a study: {FILE.name} has {', '.join(studies)}{nearest(name, studies)}")
    described = studies[name]
    check_keys(name, described, STUDY_KEYS, REQUIRED)
    if described.get("select") not in (None, *LABEL_FREE):
        raise InputError(
            f"{FILE.name}: {name}: select is {described['select']!r}: give a score that needs no label, "
            f"one of {', '.join(LABEL_FREE)}"
        )
    if bool(described.get("finalists")) != bool(described.get("select")):
        raise InputError(f"{FILE.name}: {name} has only one of `select` and `finalists`: give both, or neither")
    if "finalists" in described:
        check_keys(f"{name}: finalists", described["finalists"], FINALISTS_KEYS, FINALISTS_KEYS)
    include = []
    for other, rows in described.get("include", {}).items():
        check_included(name, other, rows, studies)
        include.append((read_study(other, seeds, preset), rows))
    if not described["rows"]:
        raise InputError(f"{FILE.name}: {name} has no rows: add one")
    if "curves" in described.get("figures", []):
        check_drawn(name, described.get("drawn", []), [*described["rows"], *(row for _, own in include for row in own)])
    for column in described["columns"]:
        if column not in SCORES:
            raise InputError(f"{FILE.name}: {name}: {column!r} is not a score{nearest(column, SCORES)}")
    check_parts(name, described)
    check_parts(f"{name}: finalists", described.get("finalists", {}))
    for row, own in described["rows"].items():
        check_keys(f"{name}: {row}", own, ROW_KEYS, ["mode"])
        if "control" in own and "select" not in described:
            raise InputError(
                f"{FILE.name}: {name}: {row} is a control, but {name} has no `select`: leave `control` out"
            )
        check_parts(f"{name}: {row}", own)
        if seeds:
            own["seeds"] = own.get("seeds", described.get("seeds", [0]))[:seeds]
    command = name
    if preset:
        for own in (described, *described["rows"].values()):
            own["options"] = {key: value for key, value in own.get("options", {}).items() if key not in LENGTHS}
        described["options"]["preset"] = preset  # a row with its own preset keeps it: there the preset is a recipe
        name, command = f"{name}-{preset}", f"{name} --preset {preset}"
    study = Study(**described | {"name": name, "include": include, "command": command})
    finals = [study.training(row, seed) for row in study.rows for seed in (study.finalists or {}).get("seeds", [])]
    for training in study.screening() + finals:
        try:
            _ = training.config
        except InputError as error:  # the mode lacks an option, or does not allow its value
            raise InputError(f"{FILE.name}: {name}: {training.row}: {error}") from error
    return study
