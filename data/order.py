"""The order of training examples, and the subset that is shown as typical.

TensorFlow is imported inside the function that needs it.
"""

from typing import TYPE_CHECKING

import numpy as np

from data.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

PLACES_SEED = 0  # of `places`


def places(count: int, wanted: int) -> np.ndarray:
    """Return the indices of a random subset of `count` examples, at most `wanted`, ascending; the same at each call.

    The first examples would not be typical: files are often sorted by kind, as the test documents of 20 Newsgroups and
    Brown are.
    """
    return np.sort(np.random.default_rng(PLACES_SEED).permutation(count)[:wanted])


def full_batches(count: int, batch_size: int, what: str) -> int:
    """Return the number of full batches in `count` training examples.

    Args:
        what: the name of the examples in the error, in the plural.

    Raises:
        DataError: `batch_size` is not in [1, count].
    """
    if not 1 <= batch_size <= count:
        raise DataError(f"batch size {batch_size} does not fit {count} training {what}: choose 1 to {count}")
    return count // batch_size


def shuffled_batches(count: int, batch_size: int, seed: int, first_epoch: int, what: str) -> "tf.data.Dataset":
    """Return an endless stream of the indices of the examples in each batch, int32 [batch_size] in [0, count).

    The order is a pure function of (seed, epoch, step). So a run that resumes at `first_epoch`, counted from 0, meets
    the same batches as an uninterrupted run. Examples that do not fill a batch are dropped from the epoch.

    Args:
        what: the name of the examples in the error, in the plural.

    Raises:
        DataError: there are not enough examples for one batch.
    """
    import tensorflow as tf

    steps = full_batches(count, batch_size, what)

    def epoch_indices(epoch: "tf.Tensor") -> "tf.data.Dataset":
        # The stubs lack `experimental`.
        shuffle = tf.random.experimental.stateless_shuffle  # pyright: ignore[reportAttributeAccessIssue]
        order = shuffle(tf.range(count), seed=[seed, epoch])
        return tf.data.Dataset.from_tensor_slices(tf.reshape(order[: steps * batch_size], [steps, batch_size]))

    return tf.data.Dataset.counter(first_epoch).flat_map(epoch_indices)
