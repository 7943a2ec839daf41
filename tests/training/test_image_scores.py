"""Of which images and codes each score is made; the measures themselves are tested with `metrics`."""

from types import SimpleNamespace

import numpy as np
import pytest

from data.images import ImageDataset, Split, to_float
from metrics.frechet import frechet_distance
from metrics.linear_probe import linear_accuracy
from training.image_scores import Scores

CLASSES = 3


def split(count, seed, labels=None):
    """Images whose left half is brighter the higher their class is."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count) if labels is None else np.array(labels)
    images = random.integers(0, 60 + 8 * seed, (count, 4, 4, 1))
    images[:, :, :2] += 25 * labels[:, None, None, None]
    return Split(images.astype(np.uint8), labels)


class Stub:
    """A model that sees other pixels than another one; its code is the brightness of those, cut in three."""

    joint_code, code = "none", SimpleNamespace(num_categories=CLASSES)

    def __init__(self, first):
        self.first = first

    def generate(self, n, seed):
        return np.random.default_rng(7).uniform(-1, 1, (n, 4, 4, 1)).astype("float32")

    def encode(self, x):
        pixels = x.reshape(len(x), -1)[:, self.first :]
        return SimpleNamespace(mu=pixels[:, :3], features=pixels[:, :7])

    def reconstruct(self, x):
        return 0.5 * x

    def classify(self, x):
        return np.eye(CLASSES)[np.digitize(self.encode(x).features.mean(1), [-0.75, -0.55])]


def scores_of(test):
    data = ImageDataset("own", split(90, 1), split(30, 2), test)
    run = SimpleNamespace(build=lambda: Stub(6), cached=lambda function: function)
    made = Scores(run, data, Stub(0))
    made.network = SimpleNamespace(
        features=lambda x: x.reshape(len(x), -1)[:, ::3] ** 2, description="squares", test_accuracy=0.5
    )
    return made


@pytest.fixture
def scores():
    return scores_of(split(200, 3))


def test_distances_are_those_of_generated_and_of_held_out_images_from_test_images(scores):
    held_out, test = (scores.network.features(to_float(part.images)) for part in scores.data[2:])
    found = scores.fid()
    assert found["fid"] == pytest.approx(frechet_distance(test, scores.network.features(Stub(0).generate(200, 0))))
    assert found["fid_floor"] == pytest.approx(frechet_distance(test, held_out))
    assert found["fid"] > 2 * found["fid_floor"]
    assert found["samples"] == {"generated": 200, "test": 200, "floor": 30}
    assert scores.kid()["kid"] > scores.kid()["kid_floor"]


def test_probes_are_fitted_on_training_and_scored_on_test_images_beside_their_controls(scores):
    (train, labels), (test, test_labels) = ((to_float(part.images), part.labels) for part in scores.data[1:4:2])

    def accuracy(codes):
        return linear_accuracy(codes(train), labels, codes(test), test_labels)

    expected = {
        "linear_accuracy": accuracy(lambda x: Stub(0).encode(x).mu),
        "linear_accuracy_features": accuracy(lambda x: Stub(0).encode(x).features),
        "linear_accuracy_pixels": accuracy(lambda x: x.reshape(len(x), -1)),
        "linear_accuracy_untrained": accuracy(lambda x: Stub(6).encode(x).mu),
        "linear_accuracy_features_untrained": accuracy(lambda x: Stub(6).encode(x).features),
    }
    assert scores.linear() == expected
    assert len(set(expected.values())) == 5  # so that none could stand in another's place


def test_errors_of_reconstructions(scores):
    x = to_float(scores.data.test.images)
    found = scores.reconstruction()
    assert found["reconstruction_mse"] == pytest.approx(np.mean((0.5 * x) ** 2), rel=1e-5)
    features = scores.network.features(x)
    assert found["reconstruction_features"] == pytest.approx(np.mean((0.75 * features) ** 2), rel=1e-5)


def test_codes_are_mapped_on_training_and_scored_on_test_images(scores):
    found = scores.hungarian()
    codes = [Stub(0).classify(to_float(part.images)).argmax(1) for part in (scores.data.train, scores.data.test)]
    counts = [np.zeros([CLASSES, CLASSES], int) for _ in codes]
    for table, code, part in zip(counts, codes, (scores.data.train, scores.data.test), strict=True):
        np.add.at(table, (code, part.labels), 1)
    assert found["confusion"] == counts[1].tolist()
    assert found["code_to_class"] == [0, 1, 2]
    assert found["hungarian_accuracy"] == np.trace(counts[1]) / 200 != np.trace(counts[0]) / 90


def test_a_class_that_only_test_images_have():
    scores = scores_of(split(40, 3, labels=np.arange(40) % (CLASSES + 1)))
    assert np.shape(scores.hungarian()["confusion"]) == (CLASSES, CLASSES + 1)
