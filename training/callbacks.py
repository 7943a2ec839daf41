"""Everything periodic in a training: progress, statistics, history, checkpoints, and the guard against NaN."""

import math
import resource
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from data.errors import Diverged
from training.config import flag
from training.runs import Run

CHECKPOINTS = 20  # of a training, about; pictures too
CURVE_POINTS = 10  # of the learning curves of a training, about; each takes seconds


def is_due(epoch: int, epochs: int, times: int = CHECKPOINTS) -> bool:
    """Whether something done about `times` times in a training of `epochs` is due after this one (counted from 1)."""
    return epoch == epochs or epoch % max(1, epochs // times) == 0


def is_kept(epoch: int, epochs: int) -> bool:
    """Whether a checkpoint is written after this one: with the pictures, and with the scores, for the best may be chosen."""
    return any(is_due(epoch, epochs, times) for times in (CHECKPOINTS, CURVE_POINTS))


class ProgressBar(keras.callbacks.Callback):
    """One line on the terminal: time left of the whole training, epoch, losses, examples per second of this epoch."""

    def __init__(self, run: Run, steps_per_epoch: int, first_epoch: int):
        super().__init__()
        self.run, self.steps_per_epoch, self.first_epoch = run, steps_per_epoch, first_epoch
        state = TextColumn("{task.fields[state]}", table_column=Column(ratio=1, no_wrap=True))  # cut where it is narrow
        self.bar = Progress(
            BarColumn(10), TimeRemainingColumn(), "left ", state, expand=True, speed_estimate_period=120
        )

    def close(self):
        """Gives the terminal its cursor back, however the training ended."""
        self.bar.stop()

    def on_train_begin(self, logs=None):
        total = self.run.config.epochs * self.steps_per_epoch
        self.task = self.bar.add_task("", total=total, completed=self.first_epoch * self.steps_per_epoch, state="")
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.start = epoch + 1, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        rate = (batch + 1) * self.run.config.batch_size / (time.perf_counter() - self.start)
        losses = " ".join(
            f"{name.removeprefix('loss/')} {logs[name]:#.4g}"
            for name in sorted(logs)
            if name.startswith("loss/") and "_" not in name
        )
        state = f"epoch {self.epoch}/{self.run.config.epochs}  {losses}  {rate:.0f} examples/s"
        self.bar.update(self.task, advance=1, state=state)

    def on_epoch_end(self, epoch, logs=None):
        if not self.bar.console.is_terminal:  # a log file gets a line for each epoch
            print(self.bar.tasks[self.task].fields["state"], flush=True)


class NonFiniteGuard(keras.callbacks.Callback):
    """Stops the training at the first loss that is not a number, or before weights that are none are saved.

    Raises Diverged: what, at which step, and the last good checkpoint.
    """

    def __init__(self, run: Run):
        super().__init__()
        self.run = run

    def on_train_batch_end(self, batch, logs=None):
        for name in sorted(logs, key=lambda name: -name.count("_")):  # a part before the sum that it spoils
            if not math.isfinite(logs[name]):
                self.stop(name, float(logs[name]))

    def on_epoch_end(self, epoch, logs=None):
        for weight in self.model.trainable_variables:
            if not np.isfinite(weight.numpy().sum()):  # the last update's, which no loss has met yet
                self.stop(weight.path, "not finite")

    def stop(self, name: str, value: float | str):
        """Raises Diverged for the loss or weight `name`, which is `value`."""
        good = self.run.checkpoints()
        where = f"the last good checkpoint is {good[0][1]}" if good else "there is no checkpoint yet"
        options = vars(self.run.config)
        rates = " and ".join(flag(option) for option in options if option.endswith("rate"))
        exact = ", or --precision float32" if "precision" in options else ""
        raise Diverged(f"{name} is {value} at step {int(self.model.step)}: {where}; try smaller {rates}{exact}")


def peak_memory_gb() -> float:
    """The most that this process has held so far, in 2^30 bytes."""
    unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes, Linux kilobytes
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 2)


class Keeper(keras.callbacks.Callback):
    """Keeps the history; when due, refreshes what belongs to the averages, scores the model, saves a checkpoint.

    Args:
        run: where to.
        curve_point: gives a model's scores, which join the logs of the epoch under their names.
    """

    def __init__(self, run: Run, curve_point: Callable[[keras.Model], dict[str, float]]):
        super().__init__()
        self.run, self.entries, self.curve_point = run, run.history, curve_point

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        done = epoch + 1
        seconds = round(time.perf_counter() - self.start, 2)
        keep, scored = is_kept(done, self.run.config.epochs), is_due(done, self.run.config.epochs, CURVE_POINTS)
        if keep:
            self.model.refresh_statistics()
        if scored:
            logs |= self.curve_point(self.model)  # in place: the callbacks that follow see them too
        cost = {"seconds": seconds, "memory_gb": peak_memory_gb()}
        self.entries.append({"epoch": done, "step": int(self.model.step)} | cost
                            | {name: float(value) for name, value in logs.items()})  # fmt: skip
        if keep:
            self.run.write_history(self.entries)
            self.run.save(self.model, done)
