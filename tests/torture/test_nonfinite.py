"""A value that is not finite stops the training of any mode within one step, and is never saved."""

import contextlib
import functools
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.errors import Diverged
from models.gan import GAN
from tasks.modes import MODES
from tests.tasks.test_contract import OPTIONS, dataset_of, datasets  # noqa: F401
from training.callbacks import EpochEnd, NonFiniteGuard, saved_variables
from training.config import make_config
from training.runs import create_run

QUICK = ("nvdm", "lm", "nasm")  # the steps of the other modes take longer
torture = pytest.mark.torture


@pytest.fixture(scope="module", params=[mode if mode in QUICK else pytest.param(mode, marks=torture) for mode in MODES])
def trained(request, datasets, tmp_path_factory, eagerly):  # noqa: F811
    """A mode after one step: its run, model, step and batches, all values, and where the step changed each weight most.

    `added` is added to the gradients of each optimizer. The few steps of the ordinary tests are not traced.
    """
    quick = "not torture" in request.config.option.markexpr
    with eagerly() if quick else contextlib.nullcontext():
        row = MODES[request.param]
        task = row.make_task()
        given = make_config(row.config, OPTIONS[row.name] | {"dataset": dataset_of(row.name, datasets), "updates": 1})
        config, data = task.resolve(given)
        run = create_run(str(tmp_path_factory.mktemp("runs")), "a", row, config, task.facts(data))
        model = task.build(config, run.facts)
        task.initialize(model, run, data)
        optimizers = [own for own in vars(model).values() if isinstance(own, keras.Optimizer)]
        added = {}  # of the optimizers that are used
        for optimizer in optimizers:
            optimizer.apply = functools.partial(apply, optimizer.apply, tf.Variable(0.0), added)
        step = tf.function(model.train_step, autograph=False)
        batches = [batch for batch, _ in zip(task.batches(config, data, first_epoch=0), range(3), strict=False)]
        first = [weight.numpy() for weight in model.trainable_variables]
        step(batches[0])
        pairs = zip(model.trainable_variables, first, strict=True)
        changed = [np.argmax(np.abs(weight.numpy() - before)) for weight, before in pairs]
        values = [variable.numpy() for variable in saved_variables(model)]
        facts = {"batches": batches[1:], "values": values, "changed": changed, "added": added}
        yield SimpleNamespace(run=run, model=model, step=step, **facts)


def apply(original, more, added, gradients, weights):
    """Apply gradients, of which the first has `more` in every place; put that into `added`."""
    added[id(more)] = more
    first = next(i for i, gradient in enumerate(gradients) if gradient is not None)
    original([*gradients[:first], tf.convert_to_tensor(gradients[first]) + more, *gradients[first + 1 :]], weights)


def planted(tensor, place):
    """The tensor as an array with NaN at a place of its flat form."""
    array = np.array(tensor)
    array.flat[place] = np.nan
    return array


def restore(trained):
    """Go back to the values after the first step."""
    for variable, value in zip(saved_variables(trained.model), trained.values, strict=True):
        variable.assign(value)
    trained.model.reset_metrics()


def noticed(trained, batches=None):
    """Whether one of two steps ends the training, and names the step; then go back."""
    guard, before = NonFiniteGuard(trained.run), int(trained.model.step)
    guard.set_model(trained.model)
    try:
        for number, batch in enumerate(batches or trained.batches, start=1):
            logs = {name: float(value) for name, value in trained.step(batch).items()}
            guard.on_train_batch_end(number - 1, logs)
    except Diverged as error:
        assert f" at step {before + number}: " in str(error)
        return True
    finally:
        restore(trained)
    return False


def test_what_is_finite_is_not_stopped(trained):
    assert not noticed(trained)


def test_one_value_of_the_data(trained):
    """Whole numbers cannot be NaN: the ids of words, and the labels of candidates, which are whole in memory."""
    batch = trained.batches[0]
    parts, labels = tf.nest.flatten(batch), batch.get("labels") if isinstance(batch, dict) else None
    for i, part in enumerate(parts):
        if part.dtype.is_floating and part is not labels:
            damaged = [*parts[:i], tf.constant(planted(part, part.shape.num_elements() // 2)), *parts[i + 1 :]]
            assert noticed(trained, [tf.nest.pack_sequence_as(batch, damaged), trained.batches[1]]), i


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=torture)], ids=["first", "every"])
def test_one_weight(trained, every):
    """Averages, which no step computes with, are seen at the end of the epoch, before anything is saved."""
    model = trained.model
    averages = {id(mean) for _, mean in model.averages} if isinstance(model, GAN) else set()
    places = list(zip(model.trainable_variables, trained.changed, strict=True))
    for weight, place in places if every else places[:1]:
        weight.assign(planted(weight, place))
        if id(weight) not in averages:
            assert noticed(trained), weight.path
            continue
        end = EpochEnd(trained.run, lambda model: pytest.fail("it is scored"), [])
        end.set_model(model)
        with pytest.raises(Diverged, match=f"{weight.path} is not finite at step"):
            end.on_epoch_end(0)
        restore(trained)


@pytest.mark.parametrize("value", [np.nan, pytest.param(np.inf, marks=torture)])
def test_a_gradient(trained, value):
    assert trained.added
    for more in trained.added.values():
        more.assign(value)
        assert noticed(trained)
        more.assign(0.0)
