"""Fréchet and kernel distances between sets of images, on the features of one small fixed network.

The distances are tf-gan's. The features come from a CNN that is trained on the data set itself, since Inception was not
trained for 28x28 digits. MNIST's network comes with the project, so that all distances on MNIST compare; `train_features`
trains those of other data sets. A distance means something only beside its network: report the network's description
and test accuracy, both sample counts, and the floor (held-out training images against test images).
"""

import dataclasses
import importlib
import importlib.util
import math
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

KERNEL_BLOCK = 1000  # images per block of the kernel distance; the subset size of Binkowski et al. (2018)

SEED = 0  # of the shuffles in `kernel_distance`


class FeatureRecipe(NamedTuple):
    """How the feature network is made and trained."""

    updates: int = 3000  # most gradient steps: almost eight passes over 50,000 images
    passes: int = 40  # most passes over the images, which small data sets need no more of
    widths: tuple[int, ...] = (
        32,
        64,
        128,
    )  # of the 3x3 stride-2 convolutions: 28x28 -> 14 -> 7 -> 4, 8x8 -> 4 -> 2 -> 1
    features: int = 64  # width of the layer whose outputs are the features
    batch: int = 128
    shift: int = 14  # each batch is rolled by at most 1/14 of the image's side: 2 pixels of 28, 0 of 8
    rate: float = 2e-3  # initial rate of Adam; a cosine schedule lowers it to 0
    seed: int = 0  # of the initial weights and of the order of the images
    dtype: str = "float32"  # that the trained weights are rounded to


RECIPE = FeatureRecipe()
# MNIST's network is kept in git, so its weights are few and short. `python -m tasks.ruler` trains it.
RULER_RECIPE = RECIPE._replace(widths=(32, 64, 64), dtype="float16")
RULER = Path(__file__).with_name("networks") / "mnist.npz"


def _import_classifier_metrics() -> types.ModuleType:
    """Import tf-gan's evaluation module without running the `__init__` of the packages around it.

    `import tensorflow_gan` fails on TensorFlow >= 2.16: its `__init__` uses tf.estimator and tensorflow_hub, which the
    evaluation code does not need. Three bare modules that know only their folder replace the packages, for the whole
    process. A test fails as soon as a plain import works and this function can be deleted.
    """
    for name in ("tensorflow_gan", "tensorflow_gan.python", "tensorflow_gan.python.eval"):
        if name not in sys.modules:
            package, spec = types.ModuleType(name), importlib.util.find_spec(name)
            assert spec is not None and spec.submodule_search_locations is not None, f"{name} is not installed"
            package.__path__ = spec.submodule_search_locations
            sys.modules[name] = package
    return importlib.import_module("tensorflow_gan.python.eval.classifier_metrics")


classifier_metrics = _import_classifier_metrics()

# Keras has no annotations. pyright infers the type of an argument from its default, such as str for "auto"; each
# `pyright: ignore` below passes a value of another type that Keras documents.


def _finite_activations(activations: ArrayLike) -> tf.Tensor:
    """Return activations as a float64 tensor [N, D]; raise ValueError if a distance would be NaN."""
    activations = np.asarray(activations, np.float64)
    if activations.ndim != 2 or len(activations) < 2 or not np.isfinite(activations).all():
        bad = np.sum(~np.isfinite(activations))
        raise ValueError(f"activations must be finite, [N >= 2, D]; got shape {activations.shape}, {bad} not finite")
    return tf.constant(activations)


def frechet_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """Return the Fréchet distance of the Gaussians fitted to two sets of activations (Heusel et al. 2017, equation 6).

    |m - m_w|^2 + Tr(C + C_w - 2 (C C_w)^(1/2)) with unbiased covariances, in float64. The distance is symmetric, and
    biased upwards for small samples: compare only distances with equal counts.

    Args:
        real, generated: [N, D] and [M, D], any float type, at least two rows each. With D rows or fewer the covariance
            is singular; the distance is computed all the same.

    Returns:
        float; for a set with itself 0 up to rounding, which can be slightly below 0.

    Raises:
        ValueError: an input is not [N >= 2, D], holds NaN or infinity, or the widths differ.
    """
    real, generated = _finite_activations(real), _finite_activations(generated)
    if real.shape[1] != generated.shape[1]:
        raise ValueError(f"activations differ in width: {real.shape[1]} and {generated.shape[1]}")
    return float(classifier_metrics.frechet_classifier_distance_from_activations(real, generated))


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the squared maximum mean discrepancy under the kernel (x'y / D + 1)^3, unbiased (KID).

    Binkowski et al. 2018; tf-gan's block estimator, in float64. Both sets are cut into the same number of blocks: the
    fewest that keep the blocks of the larger set within KERNEL_BLOCK rows. The estimates of the blocks are averaged.

    tf-gan takes rows in the order given, so a set sorted by class would give a wrong estimate. Here the rows are first
    shuffled under a fixed seed, so equal inputs give equal results. Each set has its own permutation, so that
    reconstructions do not meet their originals block by block.

    Args:
        real, generated: [N, D] and [M, D], any float type.

    Returns:
        float; unbiased, so around 0 (with either sign) for two samples of one distribution.

    Raises:
        ValueError: as `frechet_distance`, or the smaller set has fewer than two rows for each block.
    """
    blocks = math.ceil(max(len(real), len(generated)) / KERNEL_BLOCK)
    if min(len(real), len(generated)) < 2 * blocks:
        raise ValueError(f"{len(real)} and {len(generated)} rows are too few for {blocks} blocks of at least two rows")
    random = np.random.default_rng(SEED)
    sets = (tf.gather(_finite_activations(a), random.permutation(len(a))) for a in (real, generated))
    return float(classifier_metrics.kernel_classifier_distance_from_activations(*sets, max_block_size=KERNEL_BLOCK))


class FeatureWeights(NamedTuple):
    """A trained classifier, from which `FeatureNetwork.from_weights` builds the feature network."""

    arrays: list[np.ndarray]  # the classifier's weights, in Keras's order, of the recipe's dtype
    test_accuracy: float  # in [0, 1], in the task it was trained for: classes, or which of four rotations
    description: str  # of the network and its training, to be printed with every distance that uses it
    image_shape: tuple[int, ...]  # (H, W, C)
    num_classes: int
    recipe: FeatureRecipe


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """A trained feature extractor."""

    extractor: keras.Model  # images [B, H, W, C] -> features [B, F]
    classifier: keras.Model  # images [B, H, W, C] -> logits [B, num_classes]
    test_accuracy: float  # as in FeatureWeights
    description: str  # as in FeatureWeights

    @classmethod
    def from_weights(cls, weights: FeatureWeights) -> "FeatureNetwork":
        """Build the network from the result of `train_features` or of `ruler`."""
        classifier, extractor = _networks(weights.image_shape, weights.num_classes, weights.recipe)
        classifier.set_weights(weights.arrays)
        return cls(extractor, classifier, weights.test_accuracy, weights.description)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the features, float32 [N, F], of images float32 [N, H, W, C] in [-1, 1].

        Batch normalisation standardises each feature, to about zero mean and unit variance on the training images.
        """
        return _predict(self.extractor, images)

    def classes(self, images: np.ndarray) -> np.ndarray:
        """Return what the network takes images [N, H, W, C] in [-1, 1] for, int64 [N] in [0, num_classes)."""
        return _predict(self.classifier, images).argmax(1)


def ruler() -> FeatureWeights:
    """Return MNIST's feature network, by which every distance on MNIST is measured."""
    with np.load(RULER) as kept:
        arrays = [kept[name] for name in kept.files if name.isdigit()]
        accuracy, description = float(kept["test_accuracy"]), str(kept["description"])
    return FeatureWeights(arrays, accuracy, description, (28, 28, 1), len(arrays[-1]), RULER_RECIPE)


def write_ruler(weights: FeatureWeights) -> None:
    """Keep MNIST's feature network for `ruler`."""
    RULER.parent.mkdir(exist_ok=True)
    kept: dict[str, Any] = {str(number): array for number, array in enumerate(weights.arrays)}
    kept |= {"test_accuracy": np.array(weights.test_accuracy), "description": np.array(weights.description)}
    np.savez_compressed(RULER, **kept)


def train_features(
    images: np.ndarray,
    labels: ArrayLike | None,
    test_images: np.ndarray,
    test_labels: ArrayLike | None,
    recipe: FeatureRecipe = RECIPE,
) -> FeatureWeights:
    """Train the fixed feature network of a data set.

    If the network is trained on labels, its distances may be reported. But they must never choose a checkpoint, a seed
    or a setting of a method that calls itself unsupervised. With `labels` None, the same network learns instead which
    of four rotations was applied to an image (RotNet, Gidaris et al. 2018). Its features then depend on no label.

    Training writes no file and touches no global seed. On one machine, equal arguments give equal weights. A cache of
    the result must be keyed by all arguments. On MNIST (50,000 images, labels) the test accuracy is .9935.

    Args:
        images: training images, float32 [N, H, W, C] in [-1, 1]; they must be square if `labels` is None.
        labels: int [N] in [0, classes), with every class among them; or None for rotations.
        test_images: float32 [M, H, W, C], used only for the test accuracy.
        test_labels: int [M]; ignored if `labels` is None.
        recipe: sizes and length of the training.

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

    image_shape, num_classes = images.shape[1:], len(np.unique(targets))
    classifier, _ = _networks(image_shape, num_classes, recipe)
    updates = min(recipe.updates, math.ceil(recipe.passes * len(targets) / recipe.batch))
    _train(classifier, views, targets, recipe, updates)
    arrays = [array.astype(recipe.dtype) for array in classifier.get_weights()]
    classifier.set_weights(arrays)  # the accuracy is that of the rounded weights
    logits = [_predict(classifier, view) for view in test_views]
    test_accuracy = float(np.mean(np.concatenate(logits).argmax(axis=1) == test_targets))
    network = f"CNN {'-'.join(map(str, recipe.widths))}, {recipe.features} features"
    description = f"{network}, trained {task} ({len(images):,} images, {updates:,} updates)"
    return FeatureWeights(arrays, test_accuracy, description, image_shape, num_classes, recipe)


def _predict(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the outputs of a network for images [N, H, W, C]."""
    return network.predict(images, batch_size=RECIPE.batch, verbose=0)  # pyright: ignore[reportArgumentType]


def _rotations(images: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the images [N, H, W, C] turned by 0, 90, 180 and 270 degrees, and the turns 0 to 3, int64 [4 N]."""
    height, width = images.shape[1:3]
    if height != width:
        raise ValueError(f"images are {height}x{width}: train on labels, or give square images to learn rotations from")
    return [np.rot90(images, turn, axes=(1, 2)) for turn in range(4)], np.repeat(np.arange(4), len(images))


def _networks(image_shape: tuple[int, ...], num_classes: int, recipe: FeatureRecipe) -> tuple[keras.Model, keras.Model]:
    """Return an untrained classifier [B, H, W, C] -> logits [B, num_classes], and its part that ends at the features.

    Every layer is float32, whatever the precision policy of the process. Every initial weight has its own fixed seed.
    """
    x, seed = (inputs := keras.Input(image_shape)), recipe.seed
    for index, width in enumerate(recipe.widths):
        x = keras.layers.Conv2D(
            width,
            3,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=keras.initializers.HeNormal(seed + index),  # pyright: ignore[reportArgumentType]
            dtype="float32",
        )(x)
        x = keras.layers.BatchNormalization(dtype="float32")(x)
        x = keras.layers.ReLU(dtype="float32")(x)
    x = keras.layers.Flatten(dtype="float32")(x)
    x = keras.layers.Dense(
        recipe.features,
        use_bias=False,
        kernel_initializer=keras.initializers.HeNormal(seed + len(recipe.widths)),  # pyright: ignore[reportArgumentType]
        dtype="float32",
    )(x)
    features = keras.layers.BatchNormalization(center=False, scale=False, dtype="float32")(x)
    x = keras.layers.ReLU(dtype="float32")(features)
    initial = keras.initializers.GlorotUniform(seed + len(recipe.widths) + 1)
    logits = keras.layers.Dense(
        num_classes,
        kernel_initializer=initial,  # pyright: ignore[reportArgumentType]
        dtype="float32",
    )(x)
    return keras.Model(inputs, logits), keras.Model(inputs, features)


def _train(
    classifier: keras.Model, views: list[np.ndarray], labels: np.ndarray, recipe: FeatureRecipe, updates: int
) -> None:
    """Train in place on `views`, a list of [N, H, W, C] whose rows together have `labels`."""
    size_of_batch = recipe.batch
    rate = keras.optimizers.schedules.CosineDecay(recipe.rate, updates)
    classifier.compile(
        optimizer=keras.optimizers.Adam(rate),  # pyright: ignore[reportArgumentType]
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # XLA's own convolutions are slower on a CPU
        jit_compile=False,  # pyright: ignore[reportArgumentType]
    )
    random = np.random.default_rng(recipe.seed)
    passes = math.ceil(updates * size_of_batch / len(labels))
    order = np.concatenate([random.permutation(len(labels)) for _ in range(passes)])[: updates * size_of_batch]
    size, side = views[0].shape[:2]
    for rows in order.reshape(updates, size_of_batch):
        batch = np.stack([views[row // size][row % size] for row in rows])
        # without this shift the test accuracy on MNIST stays at .990
        shift = random.integers(-(side // recipe.shift), side // recipe.shift + 1, size=2)
        classifier.train_on_batch(np.roll(batch, shift, axis=(1, 2)), labels[rows])
