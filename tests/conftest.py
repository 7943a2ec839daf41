"""What several files of tests share: how to run without tracing, and the smallest trainings of some modes."""

import contextlib
import functools
import os
import tracemalloc
from pathlib import Path

import pytest

SMALLEST = "--dataset digits --batch-size 512 --epochs 1 --generator-widths 8 --discriminator-widths 8".split()
ENCODER = "--encoder-widths 8 --feature-dim 8 --latent-width 8 --latent-blocks 0".split()
NVDM = "--batch-size 36 --vocabulary-size 12 --topics 2 --encoder-widths 8 --samples 2".split()


def pytest_configure():
    """Compute the tiny tensors of tests in one thread: two cores run two tests."""
    os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")


@pytest.fixture(scope="session", autouse=True)
def cache_of_tests(tmp_path_factory, worker_id):
    """Keep the tests out of the user's cache. The processes of pytest-xdist share one."""
    own = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFOBIGBIGAN_CACHE", str((own if worker_id == "master" else own.parent) / "cache"))
        yield


def peak_memory(work, *given):
    """Return the most bytes that Python's objects take at a time while `work` runs; a first call also imports."""
    tracemalloc.start()
    try:
        work(*given)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@contextlib.contextmanager
def few_updates():
    """Hardly train the feature network of FID and KID."""
    from metrics import frechet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frechet, "RECIPE", frechet.FeatureRecipe(updates=5))
        yield


@pytest.fixture(scope="session")
def few_feature_updates():
    """`with few_feature_updates():`, for fixtures that outlive a test."""
    return few_updates


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
    from tasks.configs import BiGANConfig
    from tasks.modes import MODES

    return lambda mode: ["--mode", mode, *SMALLEST, *(ENCODER if issubclass(MODES[mode].config, BiGANConfig) else [])]


@pytest.fixture
def tfds_dir():
    """The folder that holds MNIST as tensorflow-datasets prepared it."""
    if "INFOBIGBIGAN_DATA" not in os.environ:
        pytest.skip("INFOBIGBIGAN_DATA does not name a folder that holds tfds/mnist")
    return Path(os.environ["INFOBIGBIGAN_DATA"], "tfds")
