"""In which order examples are met, and which stand for all. TensorFlow is imported inside the function that needs it."""

import numpy as np

from data.errors import InputError

PLACES_SEED = 0  # of `places`


def places(count: int, wanted: int) -> np.ndarray:
    """Places of at most `wanted` of `count` examples, which stand for all, in order; the same ones each time.

    The first ones would not do: files are often sorted by kind, as the test documents of 20 Newsgroups and Brown are.
    """
    return np.sort(np.random.default_rng(PLACES_SEED).permutation(count)[:wanted])


def full_batches(count: int, batch_size: int, what: str) -> int:
    """Full batches among `count` training examples, which `what` names. Raises InputError where there is none."""
    if not 1 <= batch_size <= count:
        raise InputError(f"batch size {batch_size} does not fit {count} training {what}: choose 1 to {count}")
    return count // batch_size


def shuffled_batches(count: int, batch_size: int, seed: int, first_epoch: int, what: str):
    """Which examples each batch holds: an endless tf.data.Dataset of indices int32 [batch_size] in [0, count).

    The order is a pure function of (seed, epoch, step), so a run that resumes at `first_epoch`, counted from 0, meets the
    batches that an uninterrupted run would have met. The remainder of an epoch is dropped.

    Raises:
        InputError: there is not one full batch.
    """
    import tensorflow as tf

    steps = full_batches(count, batch_size, what)

    def epoch_indices(epoch):
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=[seed, epoch])
        return tf.data.Dataset.from_tensor_slices(tf.reshape(order[: steps * batch_size], [steps, batch_size]))

    return tf.data.Dataset.counter(first_epoch).flat_map(epoch_indices)
