"""What a study consists of: `studies.yaml`, read, checked and turned into trainings. Nothing here imports TensorFlow."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from data.errors import InputError, nearest
from training.config import flag, make_config
from training.modes import find_mode

FILE = Path(__file__).with_name("studies.yaml")
REQUIRED = {"about": str, "dataset": str, "columns": list, "rows": dict}  # keys of a study, with what each holds
STUDY_KEYS = REQUIRED | {"seeds": list, "options": dict, "figures": list, "keep": list, "select": str}
STUDY_KEYS |= {"finalists": dict, "include": dict}
ROW_KEYS = {"mode": str, "dataset": str, "seeds": list, "options": dict, "control": bool}
FINALISTS_KEYS = {"count": int, "seeds": list}
LABEL_FREE = (
    "view_information",
    "view_agreement",
    "information_bound",
)  # all that may choose: none of them saw a label
LENGTHS = ("updates", "epochs")  # what another preset replaces
ELSEWHERE = ("data_dir", "precision")  # of a config: what depends on the machine and not on the study


@dataclasses.dataclass(frozen=True)
class Training:
    """One training of a study: a row with one seed.

    study, row: their names. mode, seed. given: the options that differ from the mode's defaults, data set and seed too.
    """

    study: str
    row: str
    mode: str
    seed: int
    given: dict

    @property
    def name(self) -> str:
        return f"{self.row}-{self.seed}"

    @property
    def config(self) -> dict:
        """Every option of the training but those that depend on the machine."""
        config = make_config(find_mode(self.mode).config, self.given)
        return {name: value for name, value in dataclasses.asdict(config).items() if name not in ELSEWHERE}

    @property
    def config_hash(self) -> str:
        """Eight hexadecimal digits of mode and config."""
        return hashlib.sha256(json.dumps([self.mode, self.config], sort_keys=True).encode()).hexdigest()[:8]

    @property
    def run_name(self) -> str:
        """Of the run's directory; a changed row gets another one."""
        return f"{self.study}-{self.name}-{self.config_hash}"

    @property
    def arguments(self) -> list[str]:
        """Of `train.py`, without the run's name."""
        arguments = ["--mode", self.mode]
        for name, value in self.given.items():
            if isinstance(value, bool):
                arguments.append(flag(name) if value else flag("no_" + name))
            else:
                arguments += [flag(name), *(map(str, value) if isinstance(value, tuple) else [str(value)])]
        return arguments


@dataclasses.dataclass(frozen=True)
class Study:
    """A study as `studies.yaml` describes it.

    about: its question. rows: name -> {mode, dataset, seeds, options, control}. columns: its table's keys. figures: names of
    functions of `studies.figures`. keep: figures of a run that are kept for every row's first seed. select: the label-free
    key that chooses finalists, `finalists` = {count, seeds}. include: other studies, of the same preset, each with its
    rows that the table shows too. command: what `reproduce.py` is given for it.
    """

    name: str
    about: str
    dataset: str
    rows: dict[str, dict]
    columns: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    options: dict = dataclasses.field(default_factory=dict)
    figures: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    select: str | None = None
    finalists: dict | None = None
    include: Sequence[tuple["Study", list[str]]] = ()
    command: str = ""

    def seeds_of(self, row: str) -> Sequence[int]:
        """The row's own seeds, or the study's."""
        return self.rows[row].get("seeds", self.seeds)

    def training(self, row: str, seed: int) -> Training:
        own = self.rows[row]
        options = {**self.options, **own.get("options", {})}
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        dataset = own.get("dataset", self.dataset)
        return Training(self.name, row, own["mode"], seed, {"dataset": dataset, "seed": seed, **options})

    def screening(self) -> list[Training]:
        """The trainings that need no others first: every row's first seed, in the file's order, then the second ones."""
        seeds = {row: self.seeds_of(row) for row in self.rows}
        most = max(map(len, seeds.values()))
        return [self.training(row, seeds[row][i]) for i in range(most) for row in self.rows if i < len(seeds[row])]

    def chosen(self, entries: dict[str, dict]) -> list[str]:
        """The finalists: the rows whose first seed has the highest `select`, best first; controls do not take part."""
        first = {row: entries.get(f"{row}-{self.seeds_of(row)[0]}", {}) for row in self.rows}
        scored = {
            row: entry["metrics"][self.select]
            for row, entry in first.items()
            if self.select in entry.get("metrics", {}) and not self.rows[row].get("control")
        }
        return sorted(scored, key=scored.get, reverse=True)[: self.finalists["count"]]

    def trainings(self, entries: dict[str, dict]) -> list[Training]:
        """All trainings that are known: the screening, and once it is finished (`entries`, by name) the finalists' seeds."""
        screening = self.screening()
        if not self.finalists or not all(finished(training, entries) for training in screening):
            return screening
        return screening + [self.training(row, s) for s in self.finalists["seeds"] for row in self.chosen(entries)]

    def missing(self, entries: dict[str, dict]) -> list[Training]:
        """The known trainings that the entries do not hold."""
        return [training for training in self.trainings(entries) if not finished(training, entries)]

    def current(self, entries: dict[str, dict]) -> dict[str, dict]:
        """Those of the entries whose rows are the study's, and that were trained as these now say."""
        return {
            name: entry
            for name, entry in entries.items()
            if entry["row"] in self.rows and finished(self.training(entry["row"], entry["seed"]), entries)
        }

    @property
    def size(self) -> int:
        """How many trainings there will be."""
        return len(self.screening()) + (self.finalists["count"] * len(self.finalists["seeds"]) if self.finalists else 0)


def finished(training: Training, entries: dict[str, dict]) -> bool:
    """Whether the results hold this very training, failed or not.

    An option that came into being after the entry was written counts as its default, so that a new idea does not make all
    old trainings undone.
    """
    entry = entries.get(training.name)
    if entry is None or entry["mode"] != training.mode:
        return False
    config, fields = training.config, dataclasses.fields(find_mode(training.mode).config)
    defaults = {field.name: field.default for field in fields if field.name in config}
    return json.dumps(defaults | entry["config"], sort_keys=True) == json.dumps(config, sort_keys=True)


def read_studies() -> dict[str, dict]:
    """What `studies.yaml` says, by study. Raises InputError where it is no YAML, or no mapping of studies."""
    try:
        studies = yaml.safe_load(FILE.read_text())
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{FILE.name}, line {error.problem_mark.line + 1}: {error.problem}: correct it") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{FILE} cannot be read ({' '.join(str(error).split())}): restore it") from error
    if not isinstance(studies, dict) or not all(isinstance(name, str) for name in studies):
        raise InputError(f"{FILE.name}: give studies by their names")
    return studies


def check_keys(where: str, described, kinds: dict[str, type], required: Iterable[str]):
    """Raises InputError where something of the file is no mapping, or has a key of another name or kind than `kinds`."""
    if not isinstance(described, dict) or not described:
        raise InputError(f"{FILE.name}: {where} is {described!r}: give {', '.join(kinds)}")
    for key, value in described.items():
        if key not in kinds:
            raise InputError(f"{FILE.name}: {where} has an unknown key {key!r}{nearest(key, kinds)}")
        if not isinstance(value, kinds[key]):
            raise InputError(f"{FILE.name}: {where}: {key} is {value!r}: give a {kinds[key].__name__}")
    for key in required:
        if key not in described:
            raise InputError(f"{FILE.name}: {where} needs {key!r}")


def check_parts(where: str, described: dict):
    """Raises InputError where seeds are none, or one is given twice, or options have a name that is none of theirs."""
    seeds = described.get("seeds", [0])
    if not seeds or len(set(map(str, seeds))) < len(seeds):
        raise InputError(f"{FILE.name}: {where}: seeds is {seeds!r}: give one or more, each once")
    for name in described.get("options", {}):
        if not isinstance(name, str) or name in ("seed", "dataset"):
            raise InputError(
                f"{FILE.name}: {where}: {name!r} is no option of a row: seeds and data sets have their own place"
            )


def check_included(name: str, other: str, rows: list[str], studies: dict[str, dict]):
    """Raises InputError where what a study includes are no rows of another, or of one that includes some itself."""
    whole = studies[other] if isinstance(studies.get(other), dict) else {}
    known = whole["rows"] if isinstance(whole.get("rows"), dict) else {}
    for row in rows if isinstance(rows, list) else [rows]:
        if row not in known:
            raise InputError(f"{FILE.name}: {name} includes {row!r} of {other!r}, which is no row{nearest(row, known)}")
    if "include" in whole:
        raise InputError(f"{FILE.name}: {name} includes rows of {other!r}, which includes others: name those studies")


def read_entries(file: Path) -> dict[str, dict]:
    """A study's results so far, by name. Raises InputError where the file is damaged."""
    try:
        return {entry["name"]: entry for entry in json.loads(file.read_text())} if file.exists() else {}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file} is damaged ({error}): restore it, or delete it to train anew") from error


def read_study(name: str, seeds: int | None = None, preset: str | None = None) -> Study:
    """A study of `studies.yaml`; `seeds` keeps each row's first ones, `preset` replaces the length of its trainings.

    Raises InputError where there is no such study, or the file says what it may not.
    """
    studies = read_studies()
    if name not in studies:
        raise InputError(f"{name!r} is no study: {FILE.name} has {', '.join(studies)}{nearest(name, studies)}")
    described = studies[name]
    check_keys(name, described, STUDY_KEYS, REQUIRED)
    if described.get("select") not in (None, *LABEL_FREE):
        raise InputError(
            f"{FILE.name}: {name} would select by {described['select']!r}: only {', '.join(LABEL_FREE)} saw no label"
        )
    if bool(described.get("finalists")) != bool(described.get("select")):
        raise InputError(f"{FILE.name}: {name} needs both `select` and `finalists`, or neither")
    if "finalists" in described:
        check_keys(f"{name}: finalists", described["finalists"], FINALISTS_KEYS, FINALISTS_KEYS)
    include = []
    for other, rows in described.get("include", {}).items():
        check_included(name, other, rows, studies)
        include.append((read_study(other, seeds, preset), rows))
    if not described["rows"]:
        raise InputError(f"{FILE.name}: {name} has no rows: give some")
    check_parts(name, described)
    check_parts(f"{name}: finalists", described.get("finalists", {}))
    for row, own in described["rows"].items():
        check_keys(f"{name}: {row}", own, ROW_KEYS, ["mode"])
        if "control" in own and "select" not in described:
            raise InputError(
                f"{FILE.name}: {name}: {row} is a control, but {name} selects nothing: leave `control` out"
            )
        check_parts(f"{name}: {row}", own)
        if seeds:
            own["seeds"] = own.get("seeds", described.get("seeds", [0]))[:seeds]
    command = name
    if preset:
        for own in (described, *described["rows"].values()):
            own["options"] = {key: value for key, value in own.get("options", {}).items() if key not in LENGTHS}
        described["options"]["preset"] = preset  # a row that has a preset of its own keeps that: it is a recipe
        name, command = f"{name}-{preset}", f"{name} --preset {preset}"
    study = Study(**described | {"name": name, "include": include, "command": command})
    finals = [study.training(row, seed) for row in study.rows for seed in (study.finalists or {}).get("seeds", [])]
    for training in study.screening() + finals:
        try:
            _ = training.config
        except InputError as error:  # an option that the mode does not have, or a value that it may not
            raise InputError(f"{FILE.name}: {name}: {training.row}: {error}") from error
    return study
