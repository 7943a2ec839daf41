"""A run directory: `config.json`, `checkpoints/`, `tensorboard/`, `history.jsonl`, `metrics.json`, `figures/`.

A run of text also has `vocabulary.json`, its words and how it splits texts into them.

A run directory knows its mode by name only. Whoever opens one passes the table of modes, of which `Row` is a row.
"""

import dataclasses
import errno
import functools
import hashlib
import importlib.metadata
import inspect
import json
import math
import os
import pickle
import platform
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from data.archives import opened_arrays
from data.digests import short_sha256
from data.errors import InputError, reason
from data.streaming import cache_dir
from data.wording import Wording
from training import __version__
from training.config import Config, as_options, field_names, flag, flags_of, without_retired
from training.files import digest, whole_folder, write_arrays, write_bytes, write_text

if TYPE_CHECKING:
    import keras

FORMAT = 3  # of the run directory; raised when older runs can no longer be read
WEIGHTS = "weights.npz"  # holds the weights of an exported run, in place of checkpoints
DIGEST = "digest"  # the key of a config.json that holds the digest of the rest
WORDING = "vocabulary.json"  # holds the words of a run of text
CANDIDATES = "candidates.npz"  # holds the scores of the candidates of a ranker's run
CHECKPOINT = re.compile(r"epoch-(\d+)-(\w+)\.weights\.h5")  # the epoch and the digest
LOCAL = ("data_dir", "cache_gb")  # options that describe the machine, and not what is trained
FREE = ("cache_gb",)  # options that may change when a run is resumed, since no number depends on them
MOST = 10**7  # words or pixels a side that a config.json may give its model
KEPT = 2  # checkpoints that are kept, newest first
RECORDED = ("tensorflow", "keras", "tensorflow-probability", "tensorflow-gan", "numpy", "scikit-learn")

Result = TypeVar("Result")


class Row(Protocol):
    """What a run directory needs of its mode."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> type[Config]: ...

    @property
    def shares_batches(self) -> bool:
        """Whether several devices can share its batches."""
        ...

    @property
    def best(self) -> str | None:
        """The key of the history whose best value chooses the checkpoint; None: the newest checkpoint is used."""
        ...

    @property
    def direction(self) -> str:
        """ "min" or "max": which value of `best` is better."""
        ...


@dataclasses.dataclass(frozen=True)
class Run:
    """A run on disk.

    path: its directory. row: its mode. config: its options, as resolved. facts: the properties of its data.
    """

    path: Path
    row: Row
    config: Config
    facts: dict[str, Any]

    @property
    def mode(self) -> str:
        """The name of the run's mode."""
        return self.row.name

    @property
    def epochs(self) -> int:
        """The length of the whole training, in epochs."""
        assert self.config.epochs is not None  # a run's config has no open field
        return self.config.epochs

    @property
    def exported(self) -> bool:
        """Whether the directory holds only weights to use, and no checkpoint that a training could continue from."""
        return (self.path / WEIGHTS).exists()

    @property
    def place(self) -> str:
        """Where a training that is resumed goes on, in a line. Whether the checkpoint is whole shows when it is read."""
        found = self.checkpoints()
        after = (
            f"after epoch {found[0][0]} of {self.epochs}, from {found[0][1].name}"
            if found
            else "from its beginning, without a checkpoint"
        )
        return f"{self.mode} on {self.config.dataset} in {self.path} goes on {after}"

    @property
    def command(self) -> str:
        """The command that trains such a run; of the user's own data it has the name alone, and no folder."""
        changed = {name: value for name, value in self.config.changed.items() if name not in LOCAL}
        changed["dataset"] = Path(str(self.config.dataset)).name
        return shlex.join(["python", "train.py", "--mode", self.mode, *flags_of(changed)])

    @property
    def dataset(self) -> str:
        """The name of the data set in titles; for the user's own data the name of the file or folder."""
        return Path(str(self.config.dataset)).stem

    @property
    def figures(self) -> Path:
        """The folder of the run's pictures, which is made if it is missing; an exported run comes without it."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder

    def cached(self, function: Callable[..., Result]) -> Callable[..., Result]:
        """Return the function with its results kept by its code, its arguments and the versions, for all runs.

        They lie in `data.streaming.cache_dir` as pickles, which can run code. So they never lie beside a run, which may
        come from a stranger. A file that is damaged is named on standard error, and made anew.
        """
        import joblib

        def kept(*arguments: Any, **named: Any) -> Result:
            key = joblib.hash((inspect.getsource(function), versions(), arguments, sorted(named.items())))
            file = cache_dir() / f"{function.__name__}-{key}.pickle"
            if file.exists():
                whole, content = (stored := file.read_bytes())[:32], stored[32:]
                if hashlib.sha256(content).digest() == whole:
                    return pickle.loads(content)
                print(f"{file} is damaged: it is made anew", file=sys.stderr)
            result = function(*arguments, **named)
            file.parent.mkdir(parents=True, exist_ok=True)
            content = pickle.dumps(result)
            write_bytes(file, hashlib.sha256(content).digest() + content)
            return result

        return kept

    @property
    def train_minutes(self) -> float:
        """Minutes that the training has taken, without scores and pictures."""
        return sum(entry["seconds"] for entry in self.history) / 60

    @property
    def peak_memory_gb(self) -> float:
        """The most memory that a process of the training held, in 2^30 bytes; 0 if it was not recorded."""
        return max((entry.get("memory_gb", 0.0) for entry in self.history), default=0.0)

    @property
    def history(self) -> list[dict]:
        """One dict for each epoch up to the newest checkpoint.

        Its keys are epoch, step, seconds, memory_gb, and everything that training reports, as means.

        Raises:
            InputError: the file is damaged.
        """
        path = self.path / "history.jsonl"
        try:
            entries = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
            for entry in entries:
                if not (isinstance(entry, dict) and {"epoch", "seconds"} <= entry.keys()):
                    raise ValueError("a line does not describe an epoch")
                if not all(isinstance(value, int | float) for value in entry.values()):
                    raise ValueError("a value is not a number")
            return entries
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is damaged ({error}): restore it, or start the run anew") from error

    @property
    def scores(self) -> dict[str, Any]:
        """What evaluations left in metrics.json.

        Raises:
            InputError: the file is damaged.
        """
        file = self.path / "metrics.json"
        try:
            return dict(json.loads(file.read_text())) if file.exists() else {}
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{file} is damaged: delete it; evaluation writes a new one") from error

    @functools.cached_property
    def wording(self) -> Wording | None:
        """The words of a run of text, and how it splits texts; None if the run has no such file.

        Raises:
            InputError: the file is damaged.
        """
        file = self.path / WORDING
        try:
            wording = Wording.of_json(file.read_text("utf-8")) if file.exists() else None
            if wording and len(wording.words) != self.facts.get("vocabulary"):
                raise ValueError(f"{len(wording.words)} words for a model of {self.facts.get('vocabulary')}")
            return wording
        except ValueError as error:
            raise InputError(f"{file} is damaged ({error}): restore it, or start the run anew") from error

    def check_wording(self, asked: str = "") -> None:
        """Raise InputError if a run of text does not hold its words; `asked` is the start of the message."""
        if "vocabulary" in self.facts and not self.wording:
            raise InputError(f"{asked}{self.path} holds no vocabulary, since an older version made it: train it anew")

    def write_scores(self, scores: Mapping[str, Any]) -> None:
        """Write metrics.json."""
        write_text(self.path / "metrics.json", json.dumps(scores, indent=2) + "\n")

    def write_history(self, entries: list[dict]) -> None:
        """Write history.jsonl, a line for each entry."""
        write_text(self.path / "history.jsonl", "".join(json.dumps(entry) + "\n" for entry in entries))

    def check_data(self, facts: dict[str, Any]) -> None:
        """Raise InputError if the data have other facts than those that the run was started with."""
        if facts | self.facts != facts:
            other = difference(self.facts, facts)
            raise InputError(
                f"{self.config.dataset} is not what {self.path} was started with ({other}): put it back, or train anew"
            )

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Return (epoch, file) of all checkpoints, newest first, damaged ones included."""
        files = (self.path / "checkpoints").glob("epoch-*")
        named = ((CHECKPOINT.fullmatch(file.name), file) for file in files if file.is_file())
        return sorted(((int(match[1]), file) for match, file in named if match), reverse=True)

    def best_first(self) -> list[tuple[int, Path]]:
        """Return the checkpoints, best first by the mode's `best`.

        Epochs without a value come last. Equal ones stand newest first.
        """
        sign = -1 if self.row.direction == "max" else 1
        value = {entry["epoch"]: sign * entry.get(self.row.best, sign * math.inf) for entry in self.history}
        return sorted(self.checkpoints(), key=lambda found: value.get(found[0], math.inf))

    def save(self, model: "keras.Model", epoch: int) -> Path:
        """Save weights, averages, optimizers and step after `epoch` epochs; return the file, whose name carries its digest.

        The newest KEPT checkpoints stay, and the best one.
        """
        folder = self.path / "checkpoints"
        beside = folder / "partial.weights.h5"
        room = 16 * model.count_params() + 2**20  # asked for first, because HDF5 does not survive a full disk
        if shutil.disk_usage(folder).free < room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        try:
            if hasattr(os, "posix_fallocate"):  # not on macOS; it obeys quotas and limits, which disk_usage leaves out
                with beside.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, room)
            model.save_weights(beside, overwrite=True)
            file = folder / f"epoch-{epoch:06d}-{digest(beside)}.weights.h5"
            os.replace(beside, file)
        finally:
            beside.unlink(missing_ok=True)
        for old in set(self.checkpoints()[KEPT:]) - set(self.best_first()[:1]):
            old[1].unlink()
        return file

    def restore(self, model: "keras.Model", best: bool = True) -> int:
        """Load a whole checkpoint, or exported weights, into a built model; return the epoch.

        A checkpoint is passed over if the digest in its name is not that of its bytes.

        Args:
            best: whether to load the best checkpoint. If not, load the newest, from which a training continues.

        Raises:
            InputError: no whole checkpoint is left, or it belongs to another model.
        """
        if self.exported:
            return read_weights(self.path / WEIGHTS, model)
        found, damaged = self.best_first() if best else self.checkpoints(), []
        for epoch, file in found:
            match = CHECKPOINT.fullmatch(file.name)
            if match and digest(file) == match[2]:
                try:
                    model.load_weights(file)
                except Exception as error:  # a file of another model, or one that somebody made up, raises many
                    raise InputError(
                        f"{file} does not fit the model of its config.json ({reason(error)}): retrain"
                    ) from error
                for other in damaged:
                    print(f"{other} is damaged: {file.name} is used in its place", file=sys.stderr)
                return epoch
            damaged.append(file)
        if found:
            raise InputError(f"no checkpoint in {self.path / 'checkpoints'} is whole: start the run anew")
        raise InputError(f"{self.path / 'checkpoints'} has no checkpoint: start the run anew")


def difference(own: dict, now: dict) -> str:
    """Name the first fact that differs, with both values if they are short."""
    name = next(name for name in own | now if own.get(name) != now.get(name))
    was, is_now = own.get(name), now.get(name)
    if isinstance(was, dict) and isinstance(is_now, dict):
        return f"{name}: {difference(was, is_now)}"
    return f"another {name}" if isinstance(was, (list, dict)) else f"{name} was {was}, is {is_now}"


def write_weights(file: Path, model: Any, epoch: int) -> None:
    """Write the weights that a trained model is used through (`in_use`), as float16.

    The file holds no pickles and no optimizer, so that no training can continue from it.
    """
    arrays = [weight.numpy().astype(np.float16) for weight in model.in_use]
    write_arrays(file, *arrays, epoch=epoch)


def read_weights(file: Path, model: Any) -> int:
    """Load written weights into a built model; return their epoch. Raise InputError if they do not fit."""
    try:
        with opened_arrays(file) as stored:
            arrays, epoch = [stored[name] for name in stored.files if name != "epoch"], int(stored["epoch"])
            for weight, array in zip(model.in_use, arrays, strict=True):
                weight.assign(array.astype(np.float32))
    except ValueError as error:
        raise InputError(f"{file} is damaged or belongs to another model ({reason(error)}): restore it") from error
    return epoch


def versions() -> dict[str, str]:
    """Return the versions that results depend on: this code, Python, the kind of processor, and what computes."""
    packages = {name: importlib.metadata.version(name) for name in RECORDED}
    own = {"infobigbigan": __version__, "python": platform.python_version(), "machine": platform.machine()}
    return own | packages


def create_run(
    runs_dir: str, name: str | None, row: Row, config: Config, facts: dict[str, Any], wording: Wording | None = None
) -> Run:
    """Make the directory of a new run. Raise InputError if the name is taken or is a path.

    Args:
        name: of the directory, not a path. None: mode, data set and time.
        wording: of a run of text.
    """
    if name and (Path(name).name != name or name == ".." or "\0" in name):
        raise InputError(f"--name {name!r} is a path: give a name without /, and the folder by --runs-dir")
    path = Path(runs_dir) / (name or f"{row.name}-{Path(str(config.dataset)).stem}-{time.strftime('%Y%m%d-%H%M%S')}")
    if path.exists():
        raise InputError(f"{path} exists: choose another --name, or go on with --resume {shlex.quote(str(path))}")
    described = {"format": FORMAT, "mode": row.name, "config": dataclasses.asdict(config), "data": facts}
    described["versions"] = versions()
    try:
        with whole_folder(path) as beside:
            for folder in ("checkpoints", "tensorboard", "figures"):
                (beside / folder).mkdir()
            write_config(beside / "config.json", described)
            if wording:
                write_text(beside / WORDING, wording.as_json())
    except NotADirectoryError as error:
        raise InputError(
            f"{path} cannot be made, because {runs_dir} is not a folder: give another --runs-dir"
        ) from error
    return Run(path, row, config, facts)


def write_config(file: Path, described: Mapping[str, Any]) -> None:
    """Write a config.json, with the digest of what it says."""
    write_text(file, json.dumps({**described, DIGEST: digest_of(described)}, indent=2) + "\n")


def digest_of(described: Mapping[str, Any]) -> str:
    """Return the `short_sha256` of what a config.json says, besides its digest."""
    said = json.dumps({name: value for name, value in described.items() if name != DIGEST})
    return short_sha256([said.encode()])


class Facts(dict):
    """An object of a config.json. A missing key raises InputError."""

    def __missing__(self, name: str) -> Any:
        raise InputError(f"a config.json lacks {name!r}: restore it, or start the run anew")


def open_run(path: str | Path, runs_dir: str, modes: Mapping[str, Row]) -> Run:
    """Return the run in a directory, or of a name in `runs_dir`.

    Args:
        modes: the table of modes, by name.

    Raises:
        InputError: the directory does not hold a run of this version.
    """
    folder = Path(path) if Path(path, "config.json").exists() else Path(runs_dir) / path
    file = folder / "config.json"
    if not file.is_file():
        raise InputError(f"{path} is not a run: it has no config.json (runs of {runs_dir}: {known_runs(runs_dir)})")
    try:
        described = json.loads(file.read_text(), object_hook=Facts)
        version, mode, values, facts = (described[key] for key in ("format", "mode", "config", "data"))
        mode, values, facts = str(mode), as_options(values), Facts(facts)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file} is damaged ({type(error).__name__}): restore it, or start the run anew") from error
    if version != FORMAT or mode not in modes:
        raise InputError(f"{file} is of another version (format {version}, mode {mode}): use the version that wrote it")
    row = modes[mode]
    try:
        run = Run(folder, row, row.config(**without_retired(row.config, values)), facts)
    except (TypeError, InputError) as error:
        raise InputError(f"{file} does not describe a run of this version: {reason(error)}") from error
    shape, words = facts.get("image_shape", []), facts.get("vocabulary", 1)
    sized = isinstance(shape, list) and all(type(size) is int and 0 < size <= MOST for size in [*shape, words])
    if None in (run.config.dataset, run.config.epochs) or "labels" not in facts or not sized:
        raise InputError(f"{file} does not say what the run was trained on: restore it, or start the run anew")
    said = digest_of(described)
    if described.get(DIGEST, said) != said:  # older runs have no digest
        raise InputError(f"{file} is damaged: restore it; or, if you have changed it, delete its {DIGEST}")
    return run


def known_runs(runs_dir: str) -> str:
    """Return the names of the runs in a directory, for messages."""
    return ", ".join(sorted(file.parent.name for file in Path(runs_dir).glob("*/config.json"))) or "none"


def latest_run(runs_dir: str) -> Path:
    """Return the directory of the newest run that has a checkpoint. Raise InputError if no run has one."""
    files = sorted(Path(runs_dir).glob("*/config.json"), key=lambda file: file.stat().st_mtime)
    saved = [file.parent for file in files if list(file.parent.glob("checkpoints/epoch-*"))]
    if not saved:
        raise InputError(f"{runs_dir} holds no run: train one, for example python train.py --mode infobigbigan")
    return saved[-1]


def resumed_config(run: Run, given: Mapping[str, Any]) -> Config:
    """Return the config of a run that goes on, with the options of FREE as they are given now.

    Raises:
        InputError: another option that is given differs from the run's own, or the run was exported.
    """
    if run.exported:
        raise InputError(f"{run.path} is an exported run, without optimizers: it can be used, but not trained further")
    for name, value in given.items():
        if name not in field_names(run.row.config):
            raise InputError(f"{flag(name)} is not an option of {run.path}, a run of mode {run.mode}")
        if name not in FREE and value not in (getattr(run.config, name), "auto"):  # auto: as the run decided
            own = getattr(run.config, name)
            raise InputError(f"{flag(name)} {value}: {run.path} was started with {own}: start a new run to change it")
    return dataclasses.replace(run.config, **{name: value for name, value in given.items() if name in FREE})
