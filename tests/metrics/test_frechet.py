import os
import pickle
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from data.images import load, to_float
from metrics import frechet
from metrics.frechet import FeatureNetwork, FeatureRecipe, frechet_distance, kernel_distance, train_features


@pytest.fixture
def activations():
    """Two sets with different counts, means, scales and correlations."""
    random = np.random.default_rng(1)
    real = random.normal(size=(300, 8)) @ random.normal(size=(8, 8)) + 0.5
    generated = 0.7 * random.normal(size=(200, 8)) @ random.normal(size=(8, 8)) - random.normal(size=8)
    return real, generated


@pytest.fixture(scope="module")
def digits():
    """scikit-learn's 8x8 digits in [-1, 1]: 1,258 training images and labels, 539 test images and labels."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = (images.reshape(-1, 8, 8, 1) / 8 - 1).astype(np.float32)[order], labels[order]
    return images[:1258], labels[:1258], images[1258:], labels[1258:]


def numpy_kernel_distance(x, y):
    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def mean_of_pairs(a):
        return (kernel(a, a).sum() - np.trace(kernel(a, a))) / (len(a) * (len(a) - 1))

    return mean_of_pairs(x) + mean_of_pairs(y) - 2 * kernel(x, y).mean()


@pytest.mark.slow
def test_the_tfgan_loader_is_still_needed():
    plain = subprocess.run([sys.executable, "-c", "import tensorflow_gan"], capture_output=True)
    assert plain.returncode != 0, "import tensorflow_gan works again: delete _import_classifier_metrics"


def test_frechet_distance_by_hand():
    # means 1 and 8, standard deviations sqrt(2) and 4 sqrt(2): 7^2 + (3 sqrt(2))^2
    assert frechet_distance([[0.0], [2.0]], [[4.0], [12.0]]) == pytest.approx(67.0)


def test_frechet_distance_against_numpy(activations):
    real, generated = activations
    c, c_w = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    root_trace = np.sqrt(np.linalg.eigvals(c @ c_w).real).sum()
    means = np.square(real.mean(axis=0) - generated.mean(axis=0)).sum()
    expected = means + np.trace(c) + np.trace(c_w) - 2 * root_trace
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(generated, real) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_a_set_with_itself(activations):
    assert frechet_distance(activations[0], activations[0]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_activations_that_would_give_nan_are_refused(distance):
    fine = np.ones((3, 2))
    for bad in (np.full((3, 2), np.nan), np.full((3, 2), np.inf), np.ones((1, 2)), np.ones(3), np.ones((3, 5))):
        with pytest.raises(ValueError):
            distance(fine, bad)


def test_kernel_distance_against_numpy(activations):
    expected = numpy_kernel_distance(*activations)
    assert kernel_distance(*activations) == pytest.approx(expected, rel=1e-9)
    assert kernel_distance(*activations[::-1]) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_in_blocks_does_not_depend_on_sorting(monkeypatch):
    random = np.random.default_rng(2)
    centres = np.repeat(random.normal(size=(4, 8)), 100, axis=0)  # sorted by class
    real, generated = centres + 0.1 * random.normal(size=(2, 400, 8))
    whole = numpy_kernel_distance(real, generated[::-1] + 1.0)
    monkeypatch.setattr(frechet, "KERNEL_BLOCK", 100)
    blocks = kernel_distance(real, generated[::-1] + 1.0)
    assert blocks == pytest.approx(whole, rel=0.1)
    assert blocks == kernel_distance(real, generated[::-1] + 1.0)


def test_kernel_distance_needs_two_rows_a_block(monkeypatch):
    monkeypatch.setattr(frechet, "KERNEL_BLOCK", 10)
    with pytest.raises(ValueError, match="blocks"):
        kernel_distance(np.ones((100, 2)), np.ones((19, 2)))


@pytest.mark.slow
def test_features_of_digits_detect_damage(digits):
    network = FeatureNetwork.from_weights(train_features(*digits, recipe=FeatureRecipe()))
    features = network.features(digits[2])
    assert features.shape == (539, 64) and features.dtype == np.float32
    assert network.test_accuracy > 0.95
    assert "on labels" in network.description and "1,258 images, 394 updates" in network.description
    noise = np.random.default_rng(0).uniform(-1, 1, digits[2].shape).astype(np.float32)
    train, damaged = network.features(digits[0]), network.features(noise)
    assert frechet_distance(train, damaged) > 10 * frechet_distance(train, features)


def test_the_network_of_mnist_is_small_and_reads_digits():
    weights = frechet.ruler()
    assert frechet.RULER.stat().st_size < 300_000
    assert {array.dtype for array in weights.arrays} == {np.dtype("float16")}
    images, labels = load("mnist_5k").train
    network = FeatureNetwork.from_weights(weights)
    assert np.mean(network.classes(to_float(images[:500])) == labels[:500]) > 0.99
    assert network.features(to_float(images[:10])).shape == (10, 64)


@pytest.mark.slow
@pytest.mark.skipif("INFOBIGBIGAN_DATA" not in os.environ, reason="INFOBIGBIGAN_DATA names no folder of data sets")
def test_the_network_of_mnist_reads_the_test_part_as_it_says():
    images, labels = load("mnist").test
    network = FeatureNetwork.from_weights(frechet.ruler())
    assert np.mean(network.classes(to_float(images[:])) == labels) == pytest.approx(network.test_accuracy, abs=3e-4)


def test_the_network_of_mnist_is_kept_as_it_was_trained(tmp_path, monkeypatch, digits):
    recipe = FeatureRecipe(updates=4, dtype="float16")
    weights = train_features(*digits, recipe=recipe)
    monkeypatch.setattr(frechet, "RULER", tmp_path / "networks" / "mnist.npz")
    frechet.write_ruler(weights)
    kept = frechet.ruler()
    assert [a.tobytes() for a in kept.arrays] == [a.tobytes() for a in weights.arrays]
    assert kept[1:3] == weights[1:3] and kept.num_classes == weights.num_classes
    # the accuracy is that of the rounded weights
    exact = train_features(*digits, recipe=recipe._replace(dtype="float32"))
    assert all(np.array_equal(a, b.astype("float16")) for a, b in zip(weights.arrays, exact.arrays, strict=True))


def test_training_neither_depends_on_global_state_nor_changes_it(eager, digits):
    first = train_features(*digits, recipe=FeatureRecipe(updates=4))

    def seed_all():
        keras.utils.clear_session(free_memory=False)  # a new seed does not reach the generator of Keras 3.12
        keras.utils.set_random_seed(7)

    def drawn():
        return np.random.rand(), random.random(), float(tf.random.normal(())), float(keras.random.normal(()))

    seed_all()
    expected = drawn()
    seed_all()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        second = train_features(*digits, recipe=FeatureRecipe(updates=4))
        networks = [FeatureNetwork.from_weights(weights) for weights in (first, second)]
    finally:
        keras.config.set_dtype_policy("float32")
    assert drawn() == expected
    assert first[1:] == second[1:]
    for a, b in zip(first.arrays, second.arrays, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(networks[0].features(digits[2]), networks[1].features(digits[2]))


def test_the_network_is_built_from_the_trained_weights(eager, digits):
    weights = train_features(*digits, recipe=FeatureRecipe(updates=5))
    network = FeatureNetwork.from_weights(pickle.loads(pickle.dumps(weights)))  # as a cache on disk returns them
    assert (network.test_accuracy, network.description) == (weights.test_accuracy, weights.description)
    for a, b in zip(network.extractor.get_weights(), weights.arrays[:-2], strict=True):  # all but the last layer
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_without_labels_the_network_learns_rotations(digits):
    images, _, test_images, test_labels = digits
    weights = train_features(images, None, test_images, test_labels, recipe=FeatureRecipe(updates=200))
    assert 0.7 < weights.test_accuracy < 1
    assert "without labels" in weights.description


def test_without_labels_the_test_labels_are_ignored(eager, digits):
    images, _, test_images, test_labels = digits
    first, second = (
        train_features(images, None, test_images, labels, recipe=FeatureRecipe(updates=2))
        for labels in (test_labels, None)
    )
    assert first[1:] == second[1:]
    for a, b in zip(first.arrays, second.arrays, strict=True):
        np.testing.assert_array_equal(a, b)


def test_rotations_need_square_images():
    images = np.zeros((4, 8, 6, 1), np.float32)
    with pytest.raises(ValueError, match="square"):
        train_features(images, None, images, None, recipe=FeatureRecipe(updates=1))


@pytest.mark.parametrize("shape", [(28, 28, 1), (20, 32, 3)])
def test_features_of_other_shapes(eager, shape):
    images = np.random.default_rng(0).uniform(-1, 1, (6, *shape)).astype(np.float32)
    labels = np.arange(6) % 3
    network = FeatureNetwork.from_weights(
        train_features(images, labels, images, labels, recipe=FeatureRecipe(updates=1))
    )
    assert network.features(images).shape == (6, 64)
