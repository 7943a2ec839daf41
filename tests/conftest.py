"""One tiny training for the tests of the entry points to look at or to copy."""

import contextlib
import os
from pathlib import Path

import pytest

from training.runs import open_run

SMALLEST = "--dataset digits --batch-size 512 --epochs 1 --generator-widths 8 --discriminator-widths 8".split()
ENCODER = "--encoder-widths 8 --feature-dim 8 --latent-width 8 --latent-blocks 0".split()
WHOLE = "--dataset digits --batch-size 256 --epochs 4 --generator-widths 8 8 --discriminator-widths 8 8".split()


@contextlib.contextmanager
def few_updates():
    """Trains the feature network of FID and KID for a second."""
    from metrics import frechet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frechet, "UPDATES", 20)
        yield


@pytest.fixture
def short_features():
    with few_updates():
        yield


@contextlib.contextmanager
def without_tracing():
    """Steps and scores run eagerly: tracing is most of a tiny run's time."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def eagerly():
    """`with eagerly():`, for fixtures that outlive a test."""
    return without_tracing


@pytest.fixture
def eager():
    with without_tracing():
        yield


@pytest.fixture(scope="session")
def smallest():
    """Mode -> the flags of its smallest training."""
    return lambda mode: ["--mode", mode, *SMALLEST, *([] if mode in ("biggan", "infogan") else ENCODER)]


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """(run, model) of a training by train.py, four epochs of four steps, that nothing interrupted."""
    import keras

    import train
    from training import images

    keras.utils.clear_session(free_memory=False)  # a checkpoint holds layer names, numbered from here as in a process
    folder, built, build = tmp_path_factory.mktemp("runs"), [], images.build

    def remember(*arguments):
        built.append(build(*arguments))
        return built[-1]

    with few_updates(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "build", remember)
        flags = ["--mode", "infobigbigan", *WHOLE, *ENCODER, "--consistency-weight", "1"]
        assert train.main([*flags, "--runs-dir", str(folder), "--name", "whole"]) == 0
    return open_run(folder / "whole"), built[0]


@pytest.fixture
def tfds_dir():
    """The folder that holds MNIST as tensorflow-datasets prepared it."""
    if "INFOBIGBIGAN_DATA" not in os.environ:
        pytest.skip("INFOBIGBIGAN_DATA does not name a folder that holds tfds/mnist")
    return Path(os.environ["INFOBIGBIGAN_DATA"], "tfds")
