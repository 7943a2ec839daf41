"""Fréchet and kernel distances between sets of images, seen through the features of one small fixed network.

The distances are tf-gan's; the features come from `feature_network`, since Inception knows nothing of 28x28 digits. A
distance means something only beside its network: report the network's description and test accuracy, both sample
counts, and the floor (held-out training images against test images).
"""

import dataclasses
import hashlib
import importlib
import importlib.util
import math
import os
import sys
import types
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

KERNEL_BLOCK = 1000  # images a block of the kernel distance; the subset size of Binkowski et al. (2018)

WIDTHS = (32, 64, 128)  # channels of the 3x3 stride-2 convolutions: 28x28 -> 14 -> 7 -> 4, 8x8 -> 4 -> 2 -> 1
FEATURES = 64  # width of the layer whose outputs are the features
UPDATES = 3000  # gradient steps, whatever the size of the set: almost eight passes over 50,000 images
BATCH = 128
SHIFT = 14  # each batch is rolled by at most a 14th of the image's side: 2 pixels of 28, none of 8
LEARNING_RATE = 2e-3  # Adam's first rate, which a cosine takes to 0
SEED = 0  # of the initial weights and of the order of the images


def _import_classifier_metrics():
    """tf-gan's evaluation module, without running the `__init__` of the packages around it.

    `import tensorflow_gan` fails on TensorFlow >= 2.16: its `__init__` reaches for tf.estimator and tensorflow_hub,
    which the evaluation code does not need. Bare modules that only know their folder stand in for the three packages,
    for the whole process. A test fails on the day a plain import works and this can go.
    """
    for name in ("tensorflow_gan", "tensorflow_gan.python", "tensorflow_gan.python.eval"):
        if name not in sys.modules:
            package = types.ModuleType(name)
            package.__path__ = importlib.util.find_spec(name).submodule_search_locations
            sys.modules[name] = package
    return importlib.import_module("tensorflow_gan.python.eval.classifier_metrics")


classifier_metrics = _import_classifier_metrics()


def _finite_activations(activations):
    """Activations as a float64 tensor [N, D]; raises ValueError where a distance would come out as NaN."""
    activations = np.asarray(activations, np.float64)
    if activations.ndim != 2 or len(activations) < 2 or not np.isfinite(activations).all():
        raise ValueError(f"need finite activations [N >= 2, D], got shape {activations.shape} or values not finite")
    return tf.constant(activations)


def frechet_distance(real, generated):
    """Fréchet distance of the Gaussians fitted to two sets of activations (Heusel et al. 2017, equation 6).

    |m - m_w|^2 + Tr(C + C_w - 2 (C C_w)^(1/2)) with unbiased covariances, in float64. Symmetric, and biased upwards in
    small samples: compare only figures with equal counts.

    Args:
        real, generated: [N, D] and [M, D], any float type, at least two rows each. More rows than D, or the covariance
            is singular (which is computed all the same).

    Returns:
        float, 0 (up to rounding, perhaps just below) for a set with itself.

    Raises:
        ValueError: an input is not [N >= 2, D], holds NaN or infinity, or the widths differ.
    """
    real, generated = _finite_activations(real), _finite_activations(generated)
    if real.shape[1] != generated.shape[1]:
        raise ValueError(f"activations differ in width: {real.shape[1]} and {generated.shape[1]}")
    return float(classifier_metrics.frechet_classifier_distance_from_activations(real, generated))


def kernel_distance(real, generated):
    """Squared maximum mean discrepancy under the kernel (x'y / D + 1)^3, unbiased (KID; Binkowski et al. 2018).

    tf-gan's block estimator in float64: both sets are cut into as many blocks as keep the larger set's within
    KERNEL_BLOCK rows, and the blocks' estimates are averaged. tf-gan draws nothing at random and takes rows as they
    come, so a set sorted by class would go wrong; rows are first shuffled here under a fixed seed, each set by its own
    permutation so that reconstructions do not meet their originals block by block. Same inputs, same number.

    Args:
        real, generated: [N, D] and [M, D], any float type.

    Returns:
        float; being unbiased, around 0 (either sign) for two samples of one distribution.

    Raises:
        ValueError: as `frechet_distance`, or the smaller set has fewer than two rows for each block.
    """
    blocks = math.ceil(max(len(real), len(generated)) / KERNEL_BLOCK)
    if min(len(real), len(generated)) < 2 * blocks:
        raise ValueError(f"{len(real)} and {len(generated)} rows do not give {blocks} blocks of two rows and more")
    random = np.random.default_rng(SEED)
    real, generated = (tf.gather(_finite_activations(a), random.permutation(len(a))) for a in (real, generated))
    return float(
        classifier_metrics.kernel_classifier_distance_from_activations(real, generated, max_block_size=KERNEL_BLOCK)
    )


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """A trained feature extractor; made by `feature_network`."""

    extractor: keras.Model  # images [B, H, W, C] -> features [B, FEATURES]
    test_accuracy: float  # in [0, 1], on the task it was trained for: classes, or which of four rotations
    description: str  # what it is, to be printed with every figure that comes from it

    def features(self, images):
        """Features float32 [N, FEATURES] of images float32 [N, H, W, C] in [-1, 1].

        Each is standardised by batch normalisation, so about zero-mean and unit-variance on the training images.
        """
        return self.extractor.predict(images, batch_size=BATCH, verbose=0)


def feature_network(images, labels, test_images, test_labels, cache_dir):
    """The fixed feature network of a data set: trained once, then read from `cache_dir`.

    Where it was trained on labels, a distance measured with it may be reported but must never choose a checkpoint, a
    seed or a setting of a method that calls itself unsupervised. With `labels` None the same network learns instead
    which of four rotations an image was given (RotNet, Gidaris et al. 2018) and its features have never seen a label.

    The cache file is named by a hash of all the data it depends on and of the constants above. It is written beside its
    place and renamed; a file that cannot be read is trained anew. Training touches no global seed, and on one machine
    gives the same weights each time. On MNIST (50,000 images, labels) it reaches a test accuracy of .9935.

    Args:
        images: training images, float32 [N, H, W, C] in [-1, 1]; square where `labels` is None.
        labels: int [N] in [0, classes), or None for rotations.
        test_images: float32 [M, H, W, C], for `test_accuracy` alone.
        test_labels: int [M]; ignored where `labels` is None.
        cache_dir: folder, made if it is missing.

    Returns:
        FeatureNetwork.

    Raises:
        ValueError: `labels` is None and the images are not square.
    """
    if labels is None:
        task = "to tell four rotations apart, without labels"
        views, targets = _rotations(images)
        test_views, test_targets = _rotations(test_images)
    else:
        task = "on labels"
        views, targets = [images], np.asarray(labels, np.int64)
        test_views, test_targets = [test_images], np.asarray(test_labels, np.int64)

    path = Path(cache_dir) / f"features-{_content_hash(images, targets, test_images, test_targets)}.npz"
    classifier, extractor = _networks(images.shape[1:], int(targets.max()) + 1)
    try:
        with np.load(path) as stored:
            test_accuracy = float(stored["test_accuracy"])
            weights = [stored[f"arr_{index}"] for index in range(len(classifier.weights))]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):  # missing or damaged
        _train(classifier, views, targets)
        predictions = [classifier.predict(view, batch_size=BATCH, verbose=0).argmax(axis=1) for view in test_views]
        test_accuracy = float(np.mean(np.concatenate(predictions) == test_targets))
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with beside.open("wb") as file:
                np.savez(file, *classifier.get_weights(), test_accuracy=test_accuracy)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    else:
        classifier.set_weights(weights)
    widths = "-".join(map(str, WIDTHS))
    description = f"CNN {widths}, {FEATURES} features, trained {task} ({len(images):,} images, {UPDATES:,} updates)"
    return FeatureNetwork(extractor, test_accuracy, description)


def _rotations(images):
    """Four views [N, H, W, C] of the images, turned by 0, 90, 180 and 270 degrees, and the turns int64 [4 N]."""
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"only square images can be told by their rotation, got {images.shape[1:3]}")
    return [np.rot90(images, turn, axes=(1, 2)) for turn in range(4)], np.repeat(np.arange(4), len(images))


def _content_hash(*arrays):
    """Sixteen hexadecimal digits that change with the recipe's constants or any byte of the arrays."""
    content = hashlib.sha256(repr((WIDTHS, FEATURES, UPDATES, BATCH, SHIFT, LEARNING_RATE, SEED)).encode())
    for array in arrays:
        content.update(f"{array.dtype}{array.shape}".encode())
        content.update(np.ascontiguousarray(array))
    return content.hexdigest()[:16]


def _networks(image_shape, num_classes):
    """Untrained classifier [B, H, W, C] -> logits [B, num_classes], and its part that ends at the features.

    Every layer is float32 whatever the process's precision policy, and every initial weight has its own fixed seed.
    """
    x = inputs = keras.Input(image_shape)
    for index, width in enumerate(WIDTHS):
        initial = keras.initializers.HeNormal(SEED + index)
        x = keras.layers.Conv2D(
            width, 3, strides=2, padding="same", use_bias=False, kernel_initializer=initial, dtype="float32"
        )(x)
        x = keras.layers.BatchNormalization(dtype="float32")(x)
        x = keras.layers.ReLU(dtype="float32")(x)
    x = keras.layers.Flatten(dtype="float32")(x)
    initial = keras.initializers.HeNormal(SEED + len(WIDTHS))
    x = keras.layers.Dense(FEATURES, use_bias=False, kernel_initializer=initial, dtype="float32")(x)
    features = keras.layers.BatchNormalization(center=False, scale=False, dtype="float32")(x)
    x = keras.layers.ReLU(dtype="float32")(features)
    initial = keras.initializers.GlorotUniform(SEED + len(WIDTHS) + 1)
    logits = keras.layers.Dense(num_classes, kernel_initializer=initial, dtype="float32")(x)
    return keras.Model(inputs, logits), keras.Model(inputs, features)


def _train(classifier, views, labels):
    """Trains in place for UPDATES steps on `views`, a list of [N, H, W, C] whose rows together have `labels`."""
    classifier.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, UPDATES)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # XLA's own convolutions are slower on a CPU
    )
    random = np.random.default_rng(SEED)
    passes = math.ceil(UPDATES * BATCH / len(labels))
    order = np.concatenate([random.permutation(len(labels)) for _ in range(passes)])[: UPDATES * BATCH]
    size, side = views[0].shape[:2]
    for rows in order.reshape(UPDATES, BATCH):
        batch = np.stack([views[row // size][row % size] for row in rows])
        shift = random.integers(-(side // SHIFT), side // SHIFT + 1, size=2)  # without it MNIST stays at .990
        classifier.train_on_batch(np.roll(batch, shift, axis=(1, 2)), labels[rows])
