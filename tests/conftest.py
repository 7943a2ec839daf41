"""What several folders of tests share: how to run without tracing, and one tiny training to look at or to copy."""

import contextlib
import functools
import os
from pathlib import Path

import pytest

from tasks.modes import MODES
from training.runs import open_run

SMALLEST = "--dataset digits --batch-size 512 --epochs 1 --generator-widths 8 --discriminator-widths 8".split()
ENCODER = "--encoder-widths 8 --feature-dim 8 --latent-width 8 --latent-blocks 0".split()
WHOLE = "--dataset digits --batch-size 256 --epochs 4 --generator-widths 8 8 --discriminator-widths 8 8".split()


@contextlib.contextmanager
def few_updates():
    """Train the feature network of FID and KID for a second."""
    from metrics import frechet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frechet, "RECIPE", frechet.FeatureRecipe(updates=20))
        yield


@pytest.fixture
def short_features():
    with few_updates():
        yield


@contextlib.contextmanager
def tracing(on):
    """Trace functions, or run steps and scores eagerly: tracing takes most of the time of a tiny run."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(not on)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@pytest.fixture(scope="session")
def eagerly():
    """`with eagerly():`, for fixtures that outlive a test."""
    return functools.partial(tracing, on=False)


@pytest.fixture
def eager():
    with tracing(on=False):
        yield


@pytest.fixture
def compiled():
    """Undo the `eager` of a whole file."""
    with tracing(on=True):
        yield


@pytest.fixture(scope="session")
def smallest():
    """Mode -> the flags of its smallest training."""
    return lambda mode: ["--mode", mode, *SMALLEST, *([] if mode in ("biggan", "infogan") else ENCODER)]


@pytest.fixture(scope="session")
def train_whole():
    """Folder -> (run, model) of a training by train.py, four epochs of four steps, that nothing interrupts."""
    import keras

    import train
    from tasks.base import Task

    def make(folder):
        keras.utils.clear_session(free_memory=False)  # a checkpoint holds layer names, numbered from here
        built, build = [], Task.build

        def remember(*arguments):
            built.append(build(*arguments))
            return built[-1]

        with few_updates(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(Task, "build", remember)
            flags = ["--mode", "infobigbigan", *WHOLE, *ENCODER, "--consistency-weight", "1"]
            assert train.main([*flags, "--runs-dir", str(folder), "--name", "whole"]) == 0
        return open_run("whole", str(folder), MODES), built[0]

    return make


@pytest.fixture(scope="session")
def whole(train_whole, eagerly, tmp_path_factory):
    """(run, model) of an eager `train_whole`."""
    with eagerly():
        return train_whole(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def tfds_dir():
    """The folder that holds MNIST as tensorflow-datasets prepared it."""
    if "INFOBIGBIGAN_DATA" not in os.environ:
        pytest.skip("INFOBIGBIGAN_DATA does not name a folder that holds tfds/mnist")
    return Path(os.environ["INFOBIGBIGAN_DATA"], "tfds")
