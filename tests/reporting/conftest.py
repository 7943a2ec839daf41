"""What the tests of pictures and of TensorBoard share: nothing is traced, and the data are digits."""

import pytest

from data.images import load


@pytest.fixture(scope="module", autouse=True)
def eager(eagerly):
    with eagerly():
        yield


@pytest.fixture(scope="module")
def data():
    return load("digits")
