"""What happens beside the steps of a training, and in which order."""

import math
from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf

from data.errors import Diverged
from tasks.configs import BigGANConfig
from tasks.modes import MODES
from training.callbacks import CURVE_POINTS, EpochEnd, Keeper, NonFiniteGuard, ProgressBar, is_due, is_kept
from training.runs import create_run

CONFIG = BigGANConfig(dataset="digits", epochs=2)


@pytest.fixture
def run(tmp_path):
    """A run that has not trained."""
    return create_run(str(tmp_path), "a", MODES["biggan"], CONFIG, {"image_shape": [8, 8, 1], "labels": True})


@pytest.fixture
def done():
    """What was done, in its order."""
    return []


@pytest.fixture
def model(done):
    """A model of one weight that tells of its refreshing."""
    weight = keras.Variable([1.0, 2.0], name="kernel")
    return SimpleNamespace(
        step=tf.constant(7),
        variables=[weight],
        trainable_variables=[weight],
        refresh_statistics=lambda: done.append("refresh"),
        stop_training=False,
    )


class Follower(keras.callbacks.Callback):
    """Tells of the events that it receives, and of the logs of an epoch."""

    def __init__(self, done):
        super().__init__()
        self.done = done

    def on_train_begin(self, logs=None):
        self.done.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.done.append(f"epoch {epoch}")

    def on_train_batch_end(self, batch, logs=None):
        self.done.append(f"batch {batch}")

    def on_epoch_end(self, epoch, logs=None):
        self.done.append((epoch, logs))

    def on_train_end(self, logs=None):
        self.done.append("end")


def end_of(run, model, curve_point, *followers):
    """An EpochEnd that is attached to a model."""
    end = EpochEnd(run, curve_point, list(followers))
    end.set_model(model)
    return end


# When


@pytest.mark.parametrize(
    ("epochs", "due"), [(1, [1]), (4, [1, 2, 3, 4]), (60, [*range(3, 61, 3)]), (45, [*range(2, 45, 2), 45])]
)
def test_what_is_done_about_twenty_times(epochs, due):
    assert [epoch for epoch in range(1, epochs + 1) if is_due(epoch, epochs)] == due


@pytest.mark.parametrize("epochs", [1, 7, 50, 70, 119, 250])
def test_every_epoch_that_is_scored_is_saved(done, epochs):
    """The best of them can therefore be kept."""
    saved, scored = [], []
    run = SimpleNamespace(
        history=[], epochs=epochs, write_history=lambda entries: None, save=lambda model, epoch: saved.append(epoch)
    )
    model = SimpleNamespace(step=tf.constant(0), variables=[], trainable_variables=[], refresh_statistics=lambda: None)
    keeper = Keeper(run)
    end = end_of(run, model, lambda model: {"validation/x": 0.0}, keeper)
    for epoch in range(epochs):
        end.on_epoch_begin(epoch)
        end.on_epoch_end(epoch, {})
    scored = [entry["epoch"] for entry in keeper.entries if "validation/x" in entry]
    assert scored and set(scored) <= set(saved)
    assert scored == [epoch for epoch in range(1, epochs + 1) if is_due(epoch, epochs, CURVE_POINTS)]
    assert saved == [epoch for epoch in range(1, epochs + 1) if is_kept(epoch, epochs)]


# The guard


def test_the_guard_names_step_term_and_last_good_checkpoint(run):
    good = run.path / "checkpoints/epoch-000001-0.weights.h5"
    good.write_bytes(b"")
    guard = NonFiniteGuard(run)
    guard.set_model(SimpleNamespace(step=tf.constant(7)))
    guard.on_train_batch_end(0, {"loss/d": 1.0, "loss/d_x": -2.0})
    with pytest.raises(Diverged) as error:
        guard.on_train_batch_end(1, {"loss/d": math.nan, "loss/d_x": math.inf, "loss/d_xz": 1.0})
    message = str(error.value)
    assert all(fact in message for fact in ("loss/d_x is inf", "step 7", str(good), "--d-rate", "--ge-rate", "float32"))


def test_an_epoch_whose_weights_are_not_finite_is_not_passed_on(run, model, done):
    end = end_of(run, model, lambda model: done.append("score") or {}, Follower(done))
    end.on_epoch_end(0, {})
    assert done == ["refresh", "score", (0, {})]
    done.clear()
    model.trainable_variables[0].assign([1.0, math.nan])
    with pytest.raises(Diverged, match="kernel is not finite at step 7: there is no checkpoint yet"):
        end.on_epoch_end(1, {})
    assert done == []


# The end of an epoch


def test_an_epoch_is_refreshed_and_scored_and_only_then_passed_on(run, model, done):
    """Every follower can rely on both, and receives the same logs."""
    logs = {"loss/d": 1.0}
    followers = Follower(done), Follower(done)
    end = end_of(run, model, lambda model: done.append("score") or {"validation/fid": 2.0}, *followers)
    end.on_epoch_end(0, logs)
    assert done == ["refresh", "score", *[(0, {"loss/d": 1.0, "validation/fid": 2.0})] * 2]
    assert logs == {"loss/d": 1.0}  # other callbacks of the training do not see the scores


def test_an_epoch_that_is_not_kept_is_passed_on_as_it_is(model, done):
    end = end_of(SimpleNamespace(epochs=60), model, None, Follower(done))
    end.on_epoch_end(0, {"loss/d": 1.0})  # the first of 60 epochs: no checkpoint and no score is due
    assert done == [(0, {"loss/d": 1.0})]


def test_followers_receive_the_events_of_a_training(run, done):
    """Keras passes events to callbacks whose methods it finds, so that this takes a real training."""
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile(loss="mse")
    model.step, model.refresh_statistics = tf.constant(7), lambda: done.append("refresh")
    follower = Follower(done)
    end = EpochEnd(run, lambda own: {"validation/fid": 2.0} if own is model else {}, [follower])
    x = keras.ops.ones([4, 1])
    model.fit(x, x, batch_size=2, epochs=2, verbose=0, callbacks=[end])
    logs = [event[1] for event in done if isinstance(event, tuple)]
    events = [event[0] if isinstance(event, tuple) else event for event in done]
    epoch = ["batch 0", "batch 1", "refresh"]
    assert events == ["begin", "epoch 0", *epoch, 0, "epoch 1", *epoch, 1, "end"]
    assert all(own.keys() == {"loss", "validation/fid"} for own in logs)
    assert follower.model is model


# History and progress


def test_the_history_is_written_before_the_checkpoint(model, done):
    """No checkpoint therefore lacks its line of the history."""
    run = SimpleNamespace(
        history=[],
        epochs=1,
        write_history=lambda entries: done.append([entry["epoch"] for entry in entries]),
        save=lambda model, epoch: done.append(f"save {epoch}"),
    )
    keeper = Keeper(run)
    keeper.set_model(model)
    keeper.on_epoch_begin(0)
    keeper.on_epoch_end(0, {})
    assert done == [[1], "save 1"]


def test_an_interrupted_epoch_is_lost_and_the_one_before_it_is_kept(run, model, monkeypatch, done):
    monkeypatch.setattr(type(run), "epochs", 60)  # so that these epochs leave no checkpoint by themselves
    monkeypatch.setattr(type(run), "save", lambda *found: done.append((found[2], model.variables[0].numpy().tolist())))
    keeper = Keeper(run)
    keeper.set_model(model)
    keeper.rescue()
    assert done == []  # no epoch has ended
    for epoch in range(2):
        keeper.on_epoch_begin(epoch)
        model.variables[0].assign([epoch, 5.0])
        keeper.on_epoch_end(epoch, {})
    model.variables[0].assign([9.0, 9.0])
    keeper.rescue()
    assert done == ["refresh", (2, [1.0, 5.0])]
    assert [entry["epoch"] for entry in run.history] == [1, 2]
    (run.path / "checkpoints/epoch-000002-0.weights.h5").write_bytes(b"")
    keeper.rescue()
    assert len(done) == 2  # that epoch has its checkpoint


def test_an_epoch_that_is_interrupted_while_it_is_saved_is_kept(run, model, monkeypatch, done):
    def save(run, model, epoch):
        done.append((epoch, model.variables[0].numpy().tolist()))
        if len(done) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(type(run), "epochs", 40)  # every second epoch is kept
    monkeypatch.setattr(type(run), "save", save)
    keeper = Keeper(run)
    keeper.set_model(model)
    keeper.on_epoch_begin(0)
    keeper.on_epoch_end(0, {})
    model.variables[0].assign([1.0, 5.0])
    keeper.on_epoch_begin(1)
    with pytest.raises(KeyboardInterrupt):
        keeper.on_epoch_end(1, {})
    keeper.rescue()
    assert done == [(2, [1.0, 5.0]), "refresh", (2, [1.0, 5.0])]
    assert [entry["epoch"] for entry in run.history] == [1, 2]


def test_a_line_of_the_history(run, model, monkeypatch):
    monkeypatch.setattr(type(run), "save", lambda *_: None)
    run.write_history([{"epoch": 1, "step": 3, "seconds": 1.0}])
    keeper = Keeper(run)
    keeper.set_model(model)
    keeper.on_epoch_begin(1)
    keeper.on_train_batch_end(0)
    keeper.on_epoch_end(1, {"loss/d": keras.ops.ones([])})
    before, entry = run.history
    assert before["epoch"] == 1 and (entry["epoch"], entry["step"], entry["loss/d"]) == (2, 7, 1.0)
    assert 0 <= entry["seconds"] < 1 and entry["memory_gb"] > 0
    assert entry.keys() == {"epoch", "step", "seconds", "memory_gb", "loss/d"}


def test_a_log_file_gets_a_line_for_each_epoch(run, capsys):
    bar = ProgressBar(run, steps_per_epoch=2, first_epoch=1)
    bar.on_train_begin()
    bar.on_epoch_begin(1)
    for batch in range(2):
        bar.on_train_batch_end(batch, {"loss/d": 1.25, "loss/d_x": 9.0, "score/real": 8.0})
    bar.on_epoch_end(1)
    bar.close()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert line.startswith("epoch 2/2  d 1.250  ") and line.endswith(" examples/s")  # sums alone, and no scores
    assert bar.bar.tasks[bar.task].completed == 4
