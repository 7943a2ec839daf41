"""A value that is not finite stops the training of any mode within one step, and is never saved."""

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


@pytest.fixture(scope="module", autouse=True)
def cheap(eagerly):
    """Nothing is traced."""
    with eagerly():
        yield


@pytest.fixture(scope="module", params=MODES)
def trained(request, datasets, tmp_path_factory):  # noqa: F811
    """A mode after one step: its run, its model, its batches, all values, and where the step changed each weight most."""
    row = MODES[request.param]
    task = row.make_task()
    given = make_config(row.config, OPTIONS[row.name] | {"dataset": dataset_of(row.name, datasets), "updates": 1})
    config, data = task.resolve(given)
    run = create_run(str(tmp_path_factory.mktemp("runs")), "a", row, config, task.facts(data))
    model = task.build(config, run.facts)
    task.initialize(model, run, data)
    batches = [batch for batch, _ in zip(task.batches(config, data, first_epoch=0).repeat(), range(3), strict=False)]
    first = [weight.numpy() for weight in model.trainable_variables]
    model.train_step(batches[0])
    changed = [
        np.argmax(np.abs(weight.numpy() - before))
        for weight, before in zip(model.trainable_variables, first, strict=True)
    ]
    values = [variable.numpy() for variable in saved_variables(model)]
    return SimpleNamespace(run=run, model=model, batches=batches[1:], values=values, changed=changed)


def planted(tensor, place):
    """The tensor with NaN at a place of its flat form."""
    array = np.array(tensor)
    array.flat[place] = np.nan
    return array


def noticed(trained, plant=lambda model: None, batches=None):
    """Whether one of two steps after `plant(model)` ends the training, and names the step."""
    for variable, value in zip(saved_variables(trained.model), trained.values, strict=True):
        variable.assign(value)
    trained.model.reset_metrics()
    guard, before = NonFiniteGuard(trained.run), int(trained.model.step)
    guard.set_model(trained.model)
    plant(trained.model)
    for number, batch in enumerate(batches or trained.batches, start=1):
        logs = trained.model.train_step(batch)
        try:
            guard.on_train_batch_end(number - 1, {name: float(value) for name, value in logs.items()})
        except Diverged as error:
            assert f" at step {before + number}: " in str(error)
            return True
    return False


def averages_of(model):
    """The weights that no step computes with."""
    return {id(mean) for _, mean in model.averages} if isinstance(model, GAN) else set()


def test_what_is_finite_is_not_stopped(trained):
    assert not noticed(trained)


def test_one_value_of_the_data(trained):
    """Data of whole numbers, such as the ids of words, cannot hold NaN."""
    parts = tf.nest.flatten(trained.batches[0])
    for i, part in enumerate(parts):
        if part.dtype.is_floating:
            damaged = [*parts[:i], tf.constant(planted(part, part.shape.num_elements() // 2)), *parts[i + 1 :]]
            batch = tf.nest.pack_sequence_as(trained.batches[0], damaged)
            assert noticed(trained, batches=[batch, trained.batches[1]]), i


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.torture)], ids=["first", "every"])
def test_one_weight_of_each_network(trained, every):
    """Averages, which no step computes with, are seen at the end of the epoch, before anything is saved."""
    model, averages, seen = trained.model, averages_of(trained.model), set()
    for weight, place in zip(model.trainable_variables, trained.changed, strict=True):
        network = weight.path.split("/")[0]
        if network in seen and not every:
            continue
        seen.add(network)

        def plant(model, weight=weight, place=place):
            weight.assign(planted(weight, place))

        if id(weight) not in averages:
            assert noticed(trained, plant), weight.path
            continue
        plant(model)
        end = EpochEnd(trained.run, lambda model: pytest.fail("it is scored"), [])
        end.set_model(model)
        with pytest.raises(Diverged, match=f"{weight.path} is not finite at step"):
            end.on_epoch_end(0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient(trained, value, monkeypatch):
    optimizers = [own for own in vars(trained.model).values() if isinstance(own, keras.Optimizer)]
    assert optimizers
    for optimizer in optimizers:
        applied = []

        def apply(gradients, weights, optimizer=optimizer, applied=applied):
            applied.append(True)
            first = next(i for i, gradient in enumerate(gradients) if gradient is not None)
            damaged = tf.convert_to_tensor(gradients[first]) + value
            type(optimizer).apply(optimizer, [*gradients[:first], damaged, *gradients[first + 1 :]], weights)

        with monkeypatch.context() as patch:
            patch.setattr(optimizer, "apply", apply)
            assert noticed(trained) or not applied, optimizer.name
