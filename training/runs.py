"""A run directory: `config.json`, `checkpoints/`, `tensorboard/`, `history.jsonl`, `metrics.json`, `figures/`.

Every file is written beside its place and renamed, so that a run that is killed at any moment leaves only whole files.
"""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import importlib.metadata
import io
import json
import math
import os
import platform
import re
import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data.errors import InputError
from training.config import Config, flag
from training.modes import MODES, Mode

FORMAT = 3  # of the run directory; raised when older runs can no longer be read
WEIGHTS = "weights.npz"  # of an exported run, in the place of checkpoints
CANDIDATES = "candidates.npz"  # of a ranker's run: the scores of its candidates
CHECKPOINT = re.compile(r"epoch-(\d+)-(\w+)\.weights\.h5")  # its epoch and digest
KEPT = 2  # checkpoints that are kept, newest first
RECORDED = ("tensorflow", "keras", "tensorflow-probability", "tensorflow-gan", "numpy", "scikit-learn")


def write_bytes(path: Path, content: bytes):
    """Writes a whole file or none: beside it first, then renamed. Raises OSError (a full disk), leaving no remains."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")  # another process may be writing it too
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_arrays(path: Path, *arrays, **named):
    """Writes a whole compressed .npz or none, as `write_bytes`; arguments as for `np.savez_compressed`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, *arrays, **named)
    write_bytes(path, buffer.getvalue())


def write_text(path: Path, text: str):
    """Writes a whole UTF-8 file or none, as `write_bytes`."""
    write_bytes(path, text.encode())


@contextlib.contextmanager
def whole_folder(path: Path):
    """A new folder to be filled, which takes its place when that is done; where it fails nothing remains of it."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        beside.mkdir(parents=True)
        yield beside
        beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def held(folder: Path):
    """Keeps other processes from writing into a folder as long as it lasts. Raises InputError where one already does."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder} is being written by another process: wait for it, or stop it") from error
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run on disk: where it lies, its mode, its resolved config, and the facts of its data that its model depends on."""

    path: Path
    mode: str
    config: Config
    data: dict

    @property
    def exported(self) -> bool:
        """Whether it has weights to be used and none of what a training needs to go on."""
        return (self.path / WEIGHTS).exists()

    @property
    def kind(self) -> Mode:
        return MODES[self.mode]

    @property
    def dataset(self) -> str:
        """The data set's name for titles; of the user's own, the file's or folder's."""
        return Path(self.config.dataset).stem

    @property
    def cache_dir(self) -> Path:
        """What evaluations of all runs of a directory share, each file named by its content."""
        return self.path.parent / "cache"

    def cached(self, function: Callable) -> Callable:
        """The function, whose results are kept in `cache_dir`."""
        import joblib

        return joblib.Memory(self.cache_dir, verbose=0).cache(function)

    @property
    def train_minutes(self) -> float:
        return sum(entry["seconds"] for entry in self.history) / 60

    @property
    def peak_memory_gb(self) -> float:
        """Of the training's process, or of its hungriest one where it was resumed, in 2^30 bytes; 0: it was not recorded."""
        return max((entry.get("memory_gb", 0.0) for entry in self.history), default=0.0)

    @property
    def history(self) -> list[dict]:
        """One dict per finished epoch: epoch, step, seconds, memory_gb, and the mean of everything that training reports.

        Raises InputError where the file is damaged.
        """
        path = self.path / "history.jsonl"
        try:
            entries = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
            if not all(isinstance(entry, dict) and {"epoch", "seconds"} <= entry.keys() for entry in entries):
                raise ValueError("a line is no epoch's")
            return entries
        except ValueError as error:
            raise InputError(f"{path} is damaged ({error}): restore it, or start the run anew") from error

    def build(self):
        """The run's model with its first weights."""
        return self.kind.program().build(self.mode, self.config, self.data)

    def check_data(self, facts: dict):
        """Raises InputError where the facts of the data at hand are not those that the run was started with."""
        if facts | self.data != facts:
            other = difference(self.data, facts)
            raise InputError(
                f"{self.config.dataset} is not what {self.path} was started with ({other}): put it back, or train anew"
            )

    def write_history(self, entries: list[dict]):
        write_text(self.path / "history.jsonl", "".join(json.dumps(entry) + "\n" for entry in entries))

    def checkpoints(self) -> list[tuple[int, Path]]:
        """(epoch, file) of all checkpoints, newest first, whole or not."""
        files = (self.path / "checkpoints").glob("epoch-*")
        named = ((CHECKPOINT.fullmatch(file.name), file) for file in files if file.is_file())
        return sorted(((int(match[1]), file) for match, file in named if match), reverse=True)

    def best_first(self) -> list[tuple[int, Path]]:
        """The checkpoints, best first by what the mode is `chosen_by`; newest first where that does not tell."""
        name = self.kind.chosen_by or ""
        sign = -1 if name.startswith("-") else 1
        value = {e["epoch"]: sign * e.get(name.removeprefix("-"), sign * math.inf) for e in self.history}
        return sorted(self.checkpoints(), key=lambda found: value.get(found[0], math.inf))

    def save(self, model, epoch: int) -> Path:
        """Saves weights, averages, optimizers and step after `epoch` epochs; the file's name carries its SHA-256.

        The newest KEPT stay, and the best.
        """
        folder = self.path / "checkpoints"
        beside = folder / "partial.weights.h5"
        if shutil.disk_usage(folder).free < 16 * model.count_params() + 2**20:  # HDF5 does not survive a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        try:
            model.save_weights(beside, overwrite=True)
            file = folder / f"epoch-{epoch:06d}-{digest(beside)}.weights.h5"
            os.replace(beside, file)
        finally:
            beside.unlink(missing_ok=True)
        for old in set(self.checkpoints()[KEPT:]) - set(self.best_first()[:1]):
            old[1].unlink()
        return file

    def restore(self, model, best: bool = True) -> int:
        """Loads the best whole checkpoint, or exported weights, into a built model; returns the epoch.

        A training goes on from the newest (`best=False`). A checkpoint whose bytes do not have the SHA-256 in its name
        is passed over. Raises InputError where none is left.
        """
        if self.exported:
            return read_weights(self.path / WEIGHTS, model)
        found, damaged = self.best_first() if best else self.checkpoints(), []
        for epoch, file in found:
            if digest(file) == CHECKPOINT.fullmatch(file.name)[2]:
                try:
                    model.load_weights(file)
                except (ValueError, KeyError) as error:
                    line = " ".join(str(error).split())[:200]
                    raise InputError(f"{file} does not fit the model of its config.json ({line}): retrain") from error
                for other in damaged:
                    print(f"{other} is damaged: {file.name} in its place", file=sys.stderr)
                return epoch
            damaged.append(file)
        if found:
            raise InputError(f"no checkpoint in {self.path / 'checkpoints'} is whole: start the run anew")
        raise InputError(f"{self.path / 'checkpoints'} has no checkpoint: start the run anew")


def difference(own: dict, now: dict) -> str:
    """Names the first fact of `own` that is another one `now`, and says both where they are short."""
    name = next(name for name in own | now if own.get(name) != now.get(name))
    was, is_now = own.get(name), now.get(name)
    if isinstance(was, dict) and isinstance(is_now, dict):
        return f"{name}: {difference(was, is_now)}"
    return f"another {name}" if isinstance(was, (list, dict)) else f"{name} was {was}, is {is_now}"


def write_weights(file: Path, model, epoch: int):
    """Writes what a model is used through (`in_use`), as float16 and without pickles: no optimizer, no training goes on."""
    arrays = [weight.numpy().astype(np.float16) for weight in model.in_use]
    write_arrays(file, *arrays, epoch=epoch)


def read_weights(file: Path, model) -> int:
    """Puts written weights into a built model; returns their epoch. Raises InputError where they do not fit."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays, epoch = [stored[name] for name in stored.files if name != "epoch"], int(stored["epoch"])
        for weight, array in zip(model.in_use, arrays, strict=True):
            weight.assign(array.astype(np.float32))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        line = " ".join(str(error).split())[:200]
        raise InputError(f"{file} is damaged or of another model ({line}): restore it") from error
    return epoch


def export_run(run: Run, folder: Path):
    """Writes a new folder to be given away: config.json, metrics.json, and the weights that the run is used through."""
    model = run.build()
    epoch = run.restore(model)
    described = json.loads((run.path / "config.json").read_text())
    described["config"]["data_dir"] = None  # of the machine that trained it
    with whole_folder(folder) as beside:
        write_text(beside / "config.json", json.dumps(described, indent=2) + "\n")
        write_bytes(beside / "metrics.json", (run.path / "metrics.json").read_bytes())
        write_weights(beside / WEIGHTS, model, epoch)


def digest(file: Path) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def versions() -> dict[str, str]:
    """What the run depends on: Python, the processor's kind, and the packages that compute."""
    packages = {name: importlib.metadata.version(name) for name in RECORDED}
    return {"python": platform.python_version(), "machine": platform.machine()} | packages


def create_run(runs_dir: str, name: str | None, mode: str, config: Config, data: dict) -> Run:
    """Makes the directory of a new run. Raises InputError where the name is taken."""
    path = Path(runs_dir) / (name or f"{mode}-{Path(config.dataset).stem}-{time.strftime('%Y%m%d-%H%M%S')}")
    if path.exists():
        raise InputError(f"{path} exists: choose another --name, or go on with --resume {path}")
    described = {"format": FORMAT, "mode": mode, "config": dataclasses.asdict(config), "data": data}
    try:
        with whole_folder(path) as beside:
            for folder in ("checkpoints", "tensorboard", "figures"):
                (beside / folder).mkdir()
            write_text(beside / "config.json", json.dumps(described | {"versions": versions()}, indent=2) + "\n")
    except NotADirectoryError as error:
        raise InputError(f"{path} cannot be made, for {runs_dir} is no folder: give another --runs-dir") from error
    return Run(path, mode, config, data)


class Facts(dict):
    """An object of a run's config.json. Raises InputError for a key that it lacks."""

    def __missing__(self, name):
        raise InputError(f"a config.json lacks {name!r}: restore it, or start the run anew")


def open_run(path: str | Path, runs_dir: str = "runs") -> Run:
    """The run in a directory, or of a name in `runs_dir`. Raises InputError where that is no run of this version."""
    folder = Path(path) if Path(path, "config.json").exists() else Path(runs_dir) / path
    file = folder / "config.json"
    if not folder.is_dir() or not file.exists():
        raise InputError(f"{path} is no run: it has no config.json (runs of {runs_dir}: {known_runs(runs_dir)})")
    try:
        described = json.loads(file.read_text(), object_hook=Facts)
        version, mode, values, data = (described[key] for key in ("format", "mode", "config", "data"))
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        mode, data = str(mode), Facts(data)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is damaged ({type(error).__name__}): restore it, or start the run anew") from error
    if version != FORMAT or mode not in MODES:
        raise InputError(f"{file} is of another version (format {version}, mode {mode}): use the version that wrote it")
    try:
        run = Run(folder, mode, MODES[mode].config(**values), data)
    except (TypeError, InputError) as error:
        raise InputError(f"{file} does not describe a run of this version: {error}") from error
    if None in (run.config.dataset, run.config.epochs) or "labels" not in data:
        raise InputError(f"{file} does not say what the run was trained on: restore it, or start the run anew")
    return run


def known_runs(runs_dir: str) -> str:
    """The names of the runs in a directory, for messages."""
    return ", ".join(sorted(file.parent.name for file in Path(runs_dir).glob("*/config.json"))) or "none"


def latest_run(runs_dir: str) -> Run:
    """The run that was started last and has a checkpoint. Raises InputError where there is none."""
    files = sorted(Path(runs_dir).glob("*/config.json"), key=lambda file: file.stat().st_mtime)
    saved = [file.parent for file in files if list(file.parent.glob("checkpoints/epoch-*"))]
    if not saved:
        raise InputError(f"{runs_dir} holds no run: train one, for example python train.py --mode infobigbigan")
    return open_run(saved[-1])


def check_unchanged(run: Run, given: dict):
    """Raises InputError where an option given with --resume differs from the run's own, or the run was exported."""
    if run.exported:
        raise InputError(f"{run.path} is an exported run, without optimizers: it can be used, but no training goes on")
    for name, value in given.items():
        if not hasattr(run.config, name):
            raise InputError(f"{flag(name)} is no option of {run.path}, a run of mode {run.mode}")
        if value not in (getattr(run.config, name), "auto"):  # auto: as the run decided
            own = getattr(run.config, name)
            raise InputError(f"{flag(name)} {value}: {run.path} was started with {own}; start a new run to change it")


def load_run(path: str | Path, runs_dir: str = "runs"):
    """The model of a run, built and restored from its best whole checkpoint (`Run.restore`), ready to use.

    Raises InputError as `open_run` and `Run.restore` do.
    """
    run = open_run(path, runs_dir)
    model = run.build()
    run.restore(model)
    return model
