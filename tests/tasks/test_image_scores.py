"""Which images and codes each score is computed from; the measures themselves are tested with `metrics`."""

import itertools
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import tensorflow as tf
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from data.images import ImageDataset, Split, load, to_float
from metrics.catalogue import HUNGARIAN
from metrics.coverage import precision_and_recall
from metrics.frechet import frechet_distance
from metrics.linear_probe import linear_accuracy
from models.capabilities import Encodes, HasCode
from models.code import Code
from tasks import image_scores
from tasks.image_scores import ImageScorer

CLASSES = 3


def split(count, seed, labels=None):
    """Images whose left half is the brighter, the higher their class is."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count) if labels is None else np.array(labels)
    images = random.integers(0, 60 + 8 * seed, (count, 4, 4, 1))
    images[:, :, :2] += 25 * labels[:, None, None, None]
    return Split(images.astype(np.uint8), labels)


class Stub(Encodes, HasCode):
    """A model that reads the pixels from `first` on; its code is their brightness, cut in three."""

    encoder_estimates_code, code = True, Code(CLASSES)

    def __init__(self, first):
        self.first = first

    def generate(self, n, seed):
        return np.random.default_rng(7).uniform(-1, 1, (n, 4, 4, 1)).astype("float32")

    def encode(self, x):
        pixels = x.reshape(len(x), -1)[:, self.first :]
        code = np.stack([np.zeros(len(x)), pixels[:, 5], pixels[:, 4] - 0.1], 1)
        return SimpleNamespace(mu=pixels[:, :3], features=pixels[:, :7], code=code)

    def reconstruct(self, x):
        return 0.5 * x

    def sample_latents(self, n, seed):
        c = np.eye(CLASSES, dtype="float32")[np.arange(n) % CLASSES]
        return tf.zeros([n, 2]), tf.constant(c)

    def decode(self, z, c):
        """As bright as the code, except for the first image: it is as bright as the third code, but drawn as the first."""
        brightness = np.array([-0.9, -0.65, -0.2])[c.numpy().argmax(1)]
        brightness[0] = -0.2
        return np.tile(brightness[:, None, None, None], [1, 4, 4, 1]).astype("float32")

    def classify(self, x):
        return 0.1 / CLASSES + 0.9 * np.eye(CLASSES)[np.digitize(self.encode(x).features.mean(1), [-0.75, -0.55])]


def scores_of(test):
    data = ImageDataset("own", split(90, 1), split(30, 2), test, ("dark", "dim", "light"))
    task = SimpleNamespace(in_use=lambda config: config, build=lambda config, facts: Stub(6))
    run = SimpleNamespace(config=SimpleNamespace(curves=True), facts={}, cached=lambda function: function)
    made = ImageScorer(task, run, data, Stub(0))
    made.network = SimpleNamespace(
        features=lambda x: x.reshape(len(x), -1)[:, ::3] ** 2,
        classes=lambda x: np.digitize(x.mean((1, 2, 3)), [-0.75, -0.55]),
        description="squares",
        test_accuracy=0.5,
    )
    return made


@pytest.fixture
def scores():
    return scores_of(split(200, 3))


def test_distances_are_those_of_generated_and_of_held_out_images_from_test_images(scores):
    held_out, test = (scores.network.features(to_float(part.images)) for part in scores.data[2:4])
    found = scores.fid()
    assert found["fid"] == pytest.approx(frechet_distance(test, scores.network.features(Stub(0).generate(30, 0))))
    assert found["fid_floor"] == pytest.approx(frechet_distance(test, held_out))
    assert found["fid"] > 2 * found["fid_floor"]
    assert found["samples"] == {"generated": 30, "test": 200, "floor": 30}
    assert scores.kid()["kid"] > scores.kid()["kid_floor"]


def test_coverage_compares_generated_and_held_out_with_test_images(scores):
    generated, held_out, test = Stub(0).generate(30, 0), *(to_float(part.images) for part in scores.data[2:4])
    features = scores.network.features
    found = scores.coverage()
    assert (found["precision"], found["recall"]) == precision_and_recall(features(test), features(generated))
    assert (found["precision_floor"], found["recall_floor"]) == precision_and_recall(features(test), features(held_out))
    # the network numbers the classes as the training part first shows them
    shares = [np.mean([scores.network.classes(x) == c for c in np.argsort(scores.data.class_order)], 1) for x in
              (generated, test)]  # fmt: skip
    assert found["sample_shares"] == pytest.approx(list(shares[0]))
    assert found["test_shares"] == pytest.approx(list(shares[1]))
    assert found["class_gap"] == pytest.approx(np.abs(shares[0] - shares[1]).sum() / 2)
    assert found["samples"] == {"generated": 30, "test": 200, "floor": 30}


def test_without_labels_coverage_has_no_classes(scores):
    scores.data = scores.data._replace(class_names=None)
    assert scores.coverage().keys() == {
        "precision", "recall", "precision_floor", "recall_floor", "samples", "feature_network",
        "feature_network_accuracy",
    }  # fmt: skip


def test_mnist_is_measured_by_the_network_that_comes_with_the_project(scores, monkeypatch):
    monkeypatch.setattr(image_scores.frechet, "train_features", None)
    made = ImageScorer(scores.task, scores.run, scores.data._replace(name="mnist"), scores.model)
    assert made.network.description == image_scores.frechet.ruler().description


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
    assert len(set(expected.values())) == 5  # so that an exchange of two would be seen


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


def test_codes_of_e_and_clusters_of_mu_are_mapped_as_codes_of_the_head_are(scores):
    train, test = (to_float(part.images) for part in scores.data[1:4:2])
    labels, test_labels = scores.labels  # in the order that decides between maps of equal accuracy
    found = scores.hungarian()

    def accuracy(codes, test_codes):
        best = max(itertools.permutations(range(CLASSES)), key=lambda of: np.mean(np.take(of, codes) == labels))
        return np.mean(np.take(best, test_codes) == test_labels)

    own = accuracy(*(Stub(0).encode(x).code.argmax(1) for x in (train, test)))
    assert found["hungarian_accuracy_encoder"] == pytest.approx(own)
    assert own != found["hungarian_accuracy"]
    kmeans = KMeans(CLASSES, n_init=10, random_state=0).fit(Stub(0).encode(train).mu)
    clusters = kmeans.predict(Stub(0).encode(test).mu)
    expected = {"kmeans_accuracy": accuracy(kmeans.labels_, clusters),
                "nmi": normalized_mutual_info_score(test_labels, clusters)}  # fmt: skip
    assert scores.kmeans() == pytest.approx(expected)


def test_every_class_counts_alike_in_the_accuracy_by_class(scores):
    found, table = scores.hungarian(), np.array(scores.hungarian()["confusion"])
    assert found["balanced_accuracy"] == pytest.approx(np.mean(np.diag(table) / table.sum(0)))
    assert found["class_shares"] == pytest.approx(np.bincount(scores.data.train.labels) / 90)
    assert found["code_prior"] == pytest.approx([1 / CLASSES] * CLASSES)


def test_what_codes_are_worth_without_a_label(scores, monkeypatch):
    monkeypatch.setattr(image_scores, "random_view", lambda x, seed: tf.clip_by_value(x + 0.15, -1, 1))
    x = to_float(scores.data.validation.images)
    codes, view_codes = (Stub(0).classify(x).argmax(1) for x in (x, np.clip(x + 0.15, -1, 1)))
    joint = np.zeros([CLASSES, CLASSES])
    np.add.at(joint, (codes, view_codes), 1 / len(x))
    independent = joint.sum(1)[:, None] * joint.sum(0)
    seen = joint > 0
    found = scores.consistency()
    assert 0 < found["view_agreement"] == np.mean(codes == view_codes) < 1
    assert found["view_information"] == pytest.approx(np.sum(joint[seen] * np.log(joint[seen] / independent[seen])))
    assert 0.05 < found["view_information"] < np.log(CLASSES)
    missed, hit = np.log(0.1 / CLASSES), np.log(0.1 / CLASSES + 0.9)  # the head misses one of 30 codes
    assert found["information_bound"] == pytest.approx(np.log(CLASSES) + (missed + 29 * hit) / 30)


def test_a_point_of_a_curve_is_of_the_validation_part(scores):
    point = scores.curve()
    held_out = scores.data._replace(test=scores.data.validation)
    alone = scores_of(split(200, 3))
    alone.data, alone.test = held_out, alone.held_out
    expected = alone.hungarian() | {
        name: alone.linear()[name] for name in ("linear_accuracy", "linear_accuracy_features")
    }
    expected |= scores.consistency()
    assert point.pop("fid") == pytest.approx(
        frechet_distance(*map(scores.network.features, (scores.held_out, Stub(0).generate(30, 0))))
    )
    assert point == pytest.approx({name: value for name, value in expected.items() if isinstance(value, float)})


def test_without_curves_there_is_no_point(scores):
    scores.config.curves = False
    assert scores.curve() == {}


def test_the_confusion_is_drawn_if_it_was_computed(scores, monkeypatch):
    monkeypatch.setattr(image_scores, "model_rows", lambda *_: {})
    scores.run.dataset, scores.config.seed = "own", 0
    assert scores.figures() == {}
    scores.compute(HUNGARIAN)
    assert scores.figures().keys() == {"confusion"} and scores.found == scores.hungarian()


def test_a_class_that_no_test_image_has():
    scores = scores_of(split(40, 3, labels=np.arange(40) % 2))
    assert np.shape(scores.hungarian()["confusion"]) == (CLASSES, CLASSES)


# Names of classes

NAMES = tuple("0123456789")
RENAMED = ("zebra", "cat", "10", "2", "-7", "dog", "b", "a", "x$y", "")  # which is also another order


class Codes(Stub):
    """A model whose code is the pixel value of an image, so that each code is of one class."""

    def __init__(self, codes):
        super().__init__(0)
        self.code = Code(codes)

    def classify(self, x):
        return np.eye(self.code.num_categories)[np.round((x[:, 0, 0, 0] + 1) * 127.5).astype(int)]

    def encode(self, x):
        pixels = x.reshape(len(x), -1)
        return SimpleNamespace(mu=pixels, features=pixels, code=self.classify(x))


def scores_of_names(tmp_path, names, codes, noise=0):
    """Return the scores of images of ten classes that a file names; the codes of a class are its number modulo 10."""
    random = np.random.default_rng(5)
    value = random.permutation(np.arange(240) % max(codes, 10))
    labels = np.where(random.random(240) < noise, random.integers(0, 10, 240), value % 10)
    images = random.integers(0, 256, (240, 4, 4), np.uint8)
    images[:, 0, 0] = value % codes
    np.savez(tmp_path / "x.npz", images=images, labels=np.array(names)[labels])
    run = SimpleNamespace(config=SimpleNamespace(curves=False), facts={}, cached=lambda function: function)
    return ImageScorer(SimpleNamespace(), run, load(str(tmp_path / "x.npz")), Codes(codes))


@pytest.mark.parametrize("codes", [5, 10, 20])
def test_pure_codes_are_scored_as_such_whatever_the_classes_are_called(tmp_path, codes):
    scores = scores_of_names(tmp_path, [3, 99, 12, -4, 1000, 7, 8, 20, 31, 50], codes)
    found = scores.hungarian()
    covered = np.mean(np.isin(scores.data.test.labels, found["code_to_class"]))
    assert found["many_to_one_accuracy"] == found["hungarian_accuracy"] == covered
    assert covered == 1 if codes >= 10 else 0.3 < covered < 0.6
    assert found["class_names"] == ["-4", "3", "7", "8", "12", "20", "31", "50", "99", "1000"]
    assert np.shape(found["confusion"]) == (codes, 10)
    assert len(set(found["code_to_class"])) == min(codes, 10)
    without = found["classes_without_code"]
    assert without == [name for i, name in enumerate(found["class_names"]) if i not in found["code_to_class"]]
    assert len(without) == max(0, 10 - codes)


def test_codes_that_share_a_class_lose_only_in_the_one_to_one_map(tmp_path):
    """Codes 0 to 9 are pure, but codes 0 and 1 are of one class."""
    scores = scores_of_names(tmp_path, NAMES, 10)
    for part in scores.data[1:4]:
        part.labels[part.labels == 1] = 0
    found = scores.hungarian()
    assert found["many_to_one_accuracy"] == found["many_to_one_accuracy_encoder"] == 1
    codes = scores.model.classify(scores.test).argmax(1)
    assert found["hungarian_accuracy"] in [np.mean(codes != code) for code in (0, 1)]


@pytest.mark.parametrize("codes", [5, 10, 20])
def test_no_score_depends_on_the_names_of_classes(tmp_path, codes):
    """To the bit: of codes, clusters, the probe, and the feature network of FID, with the key that it is cached by."""
    found = []
    for names in (NAMES, RENAMED, (4, 17, 40, 2, -9, 33, 5, 21, 6, 1)):
        scores = scores_of_names(tmp_path, names, codes, noise=0.4)
        own = scores.hungarian()
        named = {
            key: own.pop(key)
            for key in ("class_names", "class_shares", "code_to_class", "classes_without_code", "confusion")
        }
        own |= scores.kmeans() | {"probe": scores.probe(scores.train[:, 0, :, 0], scores.test[:, 0, :, 0])}
        number = {str(name): i for i, name in enumerate(names)}
        back = [number[name] for name in named["class_names"]]
        own["code_to_class"] = [back[c] for c in named["code_to_class"]]
        own["shares"] = np.array(named["class_shares"])[np.argsort(back)].tolist()
        own["without"] = sorted(number[name] for name in named["classes_without_code"])
        own["confusion"] = np.array(named["confusion"])[:, np.argsort(back)].tolist()
        keys = []
        scores.run.cached = lambda function, keys=keys: lambda *args, **rest: keys.append((args, rest)) or "weights"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(image_scores.FeatureNetwork, "from_weights", lambda weights: weights)
            assert scores.network == "weights"
        found.append((own, joblib.hash(keys)))
    assert all(other == found[0] for other in found[1:])
    assert 0.2 < found[0][0]["hungarian_accuracy"] < 0.8
