"""What happens during a training beside the steps: progress, the guard against NaN, the end of an epoch, what is kept."""

import math
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from data.errors import Diverged
from training.config import flag
from training.runs import Run

CHECKPOINTS = 20  # checkpoints, and pictures of each kind, in a long training; up to twice as many in a short one
CURVE_POINTS = 10  # points of a learning curve of a long training, counted likewise; each takes seconds


def is_due(epoch: int, epochs: int, times: int = CHECKPOINTS) -> bool:
    """Whether an event that happens about `times` times in `epochs` epochs is due after `epoch`, counted from 1."""
    return epoch == epochs or epoch % max(1, epochs // times) == 0


def is_kept(epoch: int, epochs: int) -> bool:
    """Whether an epoch leaves a checkpoint: if pictures are due, or scores, because a scored epoch may prove the best."""
    return any(is_due(epoch, epochs, times) for times in (CHECKPOINTS, CURVE_POINTS))


def stop(run: Run, model: Any, name: str, value: float | str) -> None:
    """Raise Diverged for the loss or weight `name`, which has this value; name the step and the last good checkpoint."""
    good = run.checkpoints()
    where = f"the last good checkpoint is {good[0][1]}" if good else "there is no checkpoint yet"
    options = vars(run.config)
    rates = " and ".join(flag(option) for option in options if option.endswith("rate"))
    exact = ", or --precision float32" if "precision" in options else ""
    raise Diverged(f"{name} is {value} at step {int(model.step.numpy())}: {where}; try smaller {rates}{exact}")


class NonFiniteGuard(keras.callbacks.Callback):
    """Stop training when a loss becomes non-finite. Raises Diverged."""

    def __init__(self, run: Run):
        super().__init__()
        self.run = run

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        for name in sorted(logs, key=lambda name: -name.count("_")):  # name a part rather than the sum that contains it
            if not math.isfinite(logs[name]):
                stop(self.run, self.model, name, float(logs[name]))


class ProgressBar(keras.callbacks.Callback):
    """One line on the terminal: time left of the whole training, epoch, losses, examples per second of this epoch."""

    task: TaskID

    def __init__(self, run: Run, steps_per_epoch: int, first_epoch: int):
        super().__init__()
        self.run, self.steps_per_epoch, self.first_epoch = run, steps_per_epoch, first_epoch
        state = TextColumn("{task.fields[state]}", table_column=Column(ratio=1, no_wrap=True))  # cut if it is too long
        self.bar = Progress(
            BarColumn(10), TimeRemainingColumn(), "left ", state, expand=True, speed_estimate_period=120
        )

    def close(self) -> None:
        """Give the terminal its cursor back, however the training ended."""
        self.bar.stop()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        total = self.run.epochs * self.steps_per_epoch
        self.task = self.bar.add_task("", total=total, completed=self.first_epoch * self.steps_per_epoch, state="")
        self.bar.start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch, self.start = epoch + 1, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        rate = (batch + 1) * self.run.config.batch_size / (time.perf_counter() - self.start)
        losses = " ".join(
            f"{name.removeprefix('loss/')} {logs[name]:#.4g}"
            for name in sorted(logs)
            if name.startswith("loss/") and "_" not in name
        )
        state = f"epoch {self.epoch}/{self.run.epochs}  {losses}  {rate:.0f} examples/s"
        self.bar.update(self.task, advance=1, state=state)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.bar.console.is_terminal:  # a log file gets a line for each epoch
            print(self.bar.tasks[self.task].fields["state"], flush=True)


class EpochEnd(keras.callbacks.Callback):
    """Check a finished epoch and add its scores, then pass it to the callbacks that follow it.

    A ready epoch has finite weights. If it is kept, its averages are up to date. If scores of the validation part are
    due, they are among its logs. The followers are ordinary callbacks, and none of them depends on another.

    Args:
        run: the run that is trained.
        curve_point: returns a model's scores of the validation part, by their keys in the history.
        followers: callbacks; they receive the events of a training, and the end of an epoch once it is ready.

    Raises:
        Diverged: a weight is not finite after an epoch.
    """

    def __init__(
        self,
        run: Run,
        curve_point: Callable[[Any], dict[str, float]],
        followers: list[keras.callbacks.Callback],
    ):
        super().__init__()
        self.run, self.curve_point = run, curve_point
        self.followers = keras.callbacks.CallbackList(followers)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self.followers.set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.followers.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.followers.on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.followers.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        model: Any = self.model
        done = epoch + 1
        for weight in model.trainable_variables:
            if not np.isfinite(weight.numpy().sum()):  # the last update's weights, which no loss depends on yet
                stop(self.run, model, weight.path, "not finite")
        if is_kept(done, self.run.epochs):
            model.refresh_statistics()
        scores = self.curve_point(model) if is_due(done, self.run.epochs, CURVE_POINTS) else {}
        self.followers.on_epoch_end(epoch, {**(logs or {}), **scores})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.followers.on_train_end(logs)


def peak_memory_gb() -> float:
    """Return the most memory that this process has held so far, in 2^30 bytes."""
    unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes, Linux kilobytes
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 2)


class Keeper(keras.callbacks.Callback):
    """Keep what a stopped training continues from: the history, and a checkpoint when one is due.

    The state after the newest epoch without a checkpoint is held in memory, for `rescue`. While a checkpoint is
    written, the model itself is that state.
    """

    def __init__(self, run: Run):
        super().__init__()
        self.run, self.entries, self.seconds = run, run.history, 0.0
        self.newest, self.state = 0, []  # that epoch, and the values of all variables after it if the model has others

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.seconds = time.perf_counter() - self.start

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        model: Any = self.model
        done, values = epoch + 1, {name: float(value) for name, value in (logs or {}).items()}
        cost = {"seconds": round(self.seconds, 4), "memory_gb": peak_memory_gb()}
        self.entries.append({"epoch": done, "step": int(model.step.numpy())} | cost | values)
        if is_kept(done, self.run.epochs):
            self.newest, self.state = done, []
            self.run.write_history(self.entries)  # first: a checkpoint has its line in the history
            self.run.save(model, done)
        else:
            self.newest, self.state = done, [variable.numpy() for variable in saved_variables(model)]

    def rescue(self) -> None:
        """Write a checkpoint of the newest whole epoch, if there is none; the epoch that was interrupted is lost.

        The model goes back to that epoch.
        """
        model: Any = self.model
        if self.newest > max((epoch for epoch, _ in self.run.checkpoints()), default=0):
            for variable, value in zip(saved_variables(model) if self.state else [], self.state, strict=True):
                variable.assign(value)
            model.refresh_statistics()
            self.run.write_history(self.entries[: self.newest])
            self.run.save(model, self.newest)


def saved_variables(model: Any) -> list[keras.Variable]:
    """Return the variables of a model and of its optimizers."""
    optimizers = [own for own in vars(model).values() if isinstance(own, keras.Optimizer)]
    return [*model.variables, *(variable for own in optimizers for variable in own.variables)]
