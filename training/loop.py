"""The loop of a training: from its newest checkpoint to its last epoch."""

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras

from training.callbacks import EpochEnd, Keeper, NonFiniteGuard, ProgressBar
from training.devices import is_chief, shared, together
from training.runs import Run
from training.signals import unmasked

if TYPE_CHECKING:
    import tensorflow as tf


def taken_up(run: Run, model: Any, chief: bool) -> int:
    """Bring a model into the state of the newest checkpoint, and say how far it is; return the epochs that are done.

    Args:
        chief: whether to cut off what the history has of later epochs.

    Raises:
        InputError: as `Run.restore` raises it.
    """
    done = run.restore(model, best=False) if run.checkpoints() else 0
    if chief:
        run.write_history(run.history[:done])
    print(f"{run.mode} on {run.config.dataset} in {run.path}: {done} of {run.epochs} epochs are done")
    for part in ("images", "train", "validation", "test"):
        if part in run.facts:
            print(f"{part}: " + ", ".join(f"{name} {round(n, 4):,}" for name, n in run.facts[part].items()))
    return done


def fit(
    model: Any,
    run: Run,
    done: int,
    batches: "tf.data.Dataset",
    steps_per_epoch: int,
    strategy: "tf.distribute.Strategy",
    curve_point: Callable[[Any], dict[str, float]],
    shown: Sequence[keras.callbacks.Callback],
) -> None:
    """Train a model until the run's last epoch, and keep its history and checkpoints.

    The chief alone keeps and shows. If the training is interrupted, it keeps the newest whole epoch first.

    Args:
        model: compiled, in its state after `done` epochs.
        batches: endless, from epoch `done` on.
        strategy: of the devices that share each batch.
        curve_point: as for `EpochEnd`.
        shown: what the training shows in TensorBoard.

    Raises:
        Diverged: a loss or a weight is not finite.
        InputError: another machine has ended.
    """
    chief, keeper = is_chief(strategy), Keeper(run)
    end = EpochEnd(run, curve_point, [keeper, *shown] if chief else [])
    with contextlib.closing(ProgressBar(run, steps_per_epoch, done)) as bar:
        span = {"initial_epoch": done, "epochs": run.epochs, "steps_per_epoch": steps_per_epoch}
        callbacks = [bar, NonFiniteGuard(run), end]
        try:
            with together(strategy), unmasked():
                model.fit(shared(batches, strategy), **span, verbose=0, shuffle=False, callbacks=callbacks)
        except KeyboardInterrupt:
            if chief:
                keeper.rescue()
            raise
