"""The global random generators of Python and NumPy, which first weights are drawn from."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators, and in the end put them back into the state that they were found in.

    Keras takes the seed of each initializer from Python's generator. TensorFlow's own generator stays as it is.
    """
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
