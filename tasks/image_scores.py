"""The scores of image models, from a model and its data to the keys of the catalogue."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from data.images import ImageDataset, Split, to_float
from data.order import places
from metrics import catalogue, frechet
from metrics.clustering import (
    balanced_accuracy,
    confusion,
    kmeans_clusters,
    majority_classes,
    match_codes,
    matched_accuracy,
    mutual_information,
    normalized_mutual_information,
)
from metrics.coverage import class_gap, class_shares, precision_and_recall
from metrics.frechet import FeatureNetwork, frechet_distance, kernel_distance
from metrics.linear_probe import linear_accuracy
from models.capabilities import Encodes, HasCode
from models.views import random_view
from reporting.figures import SHOWN, confusion_figure, model_rows
from tasks.base import Scorer, Task, computes
from training.runs import Run

CURVE_IMAGES = 10_000  # training images that probes and maps are fitted on for a point of a curve
GENERATED = 10_000  # most images that FID and KID are measured on; a smaller test or validation part lowers it
SAMPLE_SEED = 0  # of these images
SCORED_VALUES = 2**28  # most numbers of a part's images, 1 GB as float32; all of CIFAR-10's 50,000 images fit


class ImageScorer(Scorer[ImageDataset]):
    """The scores of an image model, on the images of each part that `scored` chooses."""

    def __init__(self, task: Task[ImageDataset], run: Run, data: ImageDataset, model: Any):
        parts = {name: scored(getattr(data, name)) for name in ("train", "validation", "test")}
        super().__init__(task, run, data._replace(**parts), model)

    @cached_property
    def train(self) -> np.ndarray:
        """The training images that are scored, float32 [N, H, W, C] in [-1, 1]."""
        return to_float(self.data.train.images[:])

    @cached_property
    def test(self) -> np.ndarray:
        """The test images that are scored."""
        return to_float(self.data.test.images[:])

    @cached_property
    def held_out(self) -> np.ndarray:
        """The images of the validation part that are scored."""
        return to_float(self.data.validation.images[:])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, of data that have labels."""
        assert self.data.class_names is not None  # `Evaluation.needs_labels` sees to it
        return self.data.class_names

    @cached_property
    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """The training and the test part's places in `class_order`, int64 [N] and [M], of data that have labels.

        All scores are computed from these, so that the names of the classes take no part.
        """
        train, test = self.data.train.labels, self.data.test.labels
        assert train is not None and test is not None  # `Evaluation.needs_labels` sees to it
        places = np.argsort(self.data.class_order)
        return places[train], places[test]

    def figures(self) -> dict[str, Figure]:
        """Draw what the model can show, and the confusion of codes and classes if it was computed."""
        dataset = self.run.dataset
        rows = model_rows(self.model, self.test[:SHOWN], self.config.seed)
        figures = {name: own.figure(dataset) for name, own in rows.items()}
        if "confusion" in self.found:
            table, code_to_class = (np.array(self.found[name]) for name in ("confusion", "code_to_class"))
            figures["confusion"] = confusion_figure(table, code_to_class, self.class_names, dataset)
        return figures

    @cached_property
    def network(self) -> FeatureNetwork:
        """The fixed feature network of the data set. It is not trained on the validation part, which gives the floor."""
        if self.data.name == "mnist":
            return FeatureNetwork.from_weights(frechet.ruler())
        train = self.run.cached(frechet.train_features)
        labels, test_labels = self.labels if self.data.class_names else (None, None)
        weights = train(self.train, labels, self.test, test_labels, recipe=frechet.RECIPE)
        return FeatureNetwork.from_weights(weights)

    @cached_property
    def codes(self) -> tuple[Any, Any]:
        """E's encodings of the training and the test images: `Encoding`s of NumPy arrays."""
        return self.model.encode(self.train), self.model.encode(self.test)

    @cached_property
    def compared(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Generated, validation and test images.

        There are as many generated as validation images, because the bias of FID depends on the number.
        """
        count = min(GENERATED, len(self.test), len(self.held_out))
        return self.model.generate(count, seed=SAMPLE_SEED), self.held_out[:count], self.test[:GENERATED]

    @cached_property
    def activations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The features of generated, of validation and of test images."""
        generated, floor, test = (self.network.features(images) for images in self.compared)
        return generated, floor, test

    def distances(self, name: str, distance: Callable[[np.ndarray, np.ndarray], float]) -> dict[str, Any]:
        """Return a distance from the test images of the generated images, and of the validation images (the floor)."""
        generated, floor, test = self.activations
        return {
            name: distance(test, generated),
            f"{name}_floor": distance(test, floor),
        } | self.described_distances

    @property
    def described_distances(self) -> dict[str, Any]:
        """What distances depend on: their feature network, and how many images they compare."""
        generated, floor, test = map(len, self.compared)
        return self.described_network | {"samples": {"generated": generated, "test": test, "floor": floor}}

    @property
    def described_network(self) -> dict[str, Any]:
        """What tells apart two feature networks, by which distances must not be compared."""
        return {
            "feature_network": self.network.description,
            "feature_network_accuracy": self.network.test_accuracy,
        }

    @computes(catalogue.FID)
    def fid(self) -> dict[str, Any]:
        return self.distances("fid", frechet_distance)

    @computes(catalogue.KID)
    def kid(self) -> dict[str, Any]:
        return self.distances("kid", kernel_distance)

    @computes(catalogue.COVERAGE)
    def coverage(self) -> dict[str, Any]:
        """Compare the generated images with test images where they lie, and, if there are labels, by their classes."""
        generated, floor, test = self.activations
        (precision, recall), (real_precision, real_recall) = (
            precision_and_recall(test, others) for others in (generated, floor)
        )
        scores: dict[str, Any] = {
            "precision": precision,
            "recall": recall,
            "precision_floor": real_precision,
            "recall_floor": real_recall,
        }
        if self.data.class_names is not None:
            order, count = self.data.class_order, len(self.class_names)
            of_samples, of_floor, of_test = (
                class_shares(order[self.network.classes(images)], count) for images in self.compared
            )
            scores |= {
                "class_gap": class_gap(of_samples, of_test),
                "class_gap_floor": class_gap(of_floor, of_test),
                "sample_shares": of_samples.tolist(),
                "test_shares": of_test.tolist(),
                "class_names": list(self.class_names),
            }
        return scores | self.described_distances

    def curve(self) -> dict[str, float]:
        """Return a point of a learning curve, with the keys of the catalogue; nothing without `--curves`.

        Probes and maps are fitted on the first CURVE_IMAGES training images. FID compares generated and validation images.
        """
        if not self.config.curves:
            return {}
        generated = self.model.generate(min(GENERATED, len(self.held_out)), seed=SAMPLE_SEED)
        scores = {"fid": frechet_distance(*(self.network.features(x) for x in (self.held_out, generated)))}
        few, held_out = (
            Split(split.images[:CURVE_IMAGES], None if split.labels is None else split.labels[:CURVE_IMAGES])
            for split in (self.data.train, self.data.validation)
        )
        data = self.data._replace(train=few, validation=few, test=held_out)
        cheap = ImageScorer(self.task, self.run, data, self.model)
        if isinstance(self.model, HasCode):
            scores |= self.consistency()
        if self.data.class_names is not None:
            if isinstance(self.model, HasCode):
                scores |= cheap.hungarian()
            if isinstance(self.model, Encodes):
                train, test = cheap.codes
                scores["linear_accuracy"] = cheap.probe(train.mu, test.mu)
                scores["linear_accuracy_features"] = cheap.probe(train.features, test.features)
        return {name: value for name, value in scores.items() if isinstance(value, float)}

    def probe(self, train_codes: np.ndarray, test_codes: np.ndarray) -> float:
        """Return the test accuracy of a linear classifier of codes float [N, D], fitted on the training part's codes."""
        train_labels, test_labels = self.labels
        return linear_accuracy(train_codes, train_labels, test_codes, test_labels)

    @computes(catalogue.LINEAR)
    def linear(self) -> dict[str, Any]:
        """Probe mu (the headline) and E's last hidden layer, with two controls: pixels, and E untrained."""
        (train, test), untrained = self.codes, self.task.build(self.task.in_use(self.config), self.run.facts)
        train_0, test_0 = untrained.encode(self.train), untrained.encode(self.test)
        cached = self.run.cached(linear_accuracy)
        train_pixels, test_pixels = (x.reshape(len(x), -1) for x in (self.train, self.test))
        return {
            "linear_accuracy": self.probe(train.mu, test.mu),
            "linear_accuracy_features": self.probe(train.features, test.features),
            "linear_accuracy_pixels": cached(train_pixels, self.labels[0], test_pixels, self.labels[1]),
            "linear_accuracy_untrained": self.probe(train_0.mu, test_0.mu),
            "linear_accuracy_features_untrained": self.probe(train_0.features, test_0.features),
        }

    @computes(catalogue.HUNGARIAN)
    def hungarian(self) -> dict[str, Any]:
        """Match the head's categories to classes on the training part; E's categories too, if E estimates the code."""
        categories = self.model.code.num_categories
        train, test = (self.model.classify(x).argmax(1) for x in (self.train, self.test))
        scores = self.matched(train, test, categories)
        if self.model.encoder_estimates_code:
            train, test = (encoding.code[:, :categories].argmax(1) for encoding in self.codes)
            of_encoder = self.matched(train, test, categories)
            scores |= {
                f"{key}_encoder": of_encoder[key]
                for key in ("hungarian_accuracy", "many_to_one_accuracy", "balanced_accuracy")
            }
        return scores | {"code_prior": np.asarray(self.model.code.prior).tolist()}

    def matched(self, train_codes: np.ndarray, test_codes: np.ndarray, categories: int) -> dict[str, Any]:
        """Score discrete codes int [N] in [0, categories) of the test part, by maps fitted on the training part."""
        train_labels, test_labels = self.labels
        order, names = self.data.class_order, self.class_names
        fitted = confusion(train_codes, train_labels, categories, len(names))
        one_to_one, many_to_one = match_codes(fitted), majority_classes(fitted)
        table = confusion(test_codes, test_labels, categories, len(names))
        code_to_class, places = order[one_to_one], np.argsort(order)
        shares = fitted.sum(0)[places] / fitted.sum()
        return {
            "hungarian_accuracy": matched_accuracy(test_codes, test_labels, one_to_one),
            "many_to_one_accuracy": matched_accuracy(test_codes, test_labels, many_to_one),
            "balanced_accuracy": balanced_accuracy(test_codes, test_labels, one_to_one),
            "class_names": list(names),
            "class_shares": shares.tolist(),
            "code_to_class": code_to_class.tolist(),
            "classes_without_code": [name for number, name in enumerate(names) if number not in code_to_class],
            "nmi": normalized_mutual_information(test_codes, test_labels),
            "confusion": table[:, places].tolist(),
        }

    @computes(catalogue.KMEANS)
    def kmeans(self) -> dict[str, Any]:
        """Match as many K-means clusters of mu as there are classes, in the way that codes are matched."""
        (train, test), clusters = self.codes, len(self.class_names)
        scores = self.matched(*kmeans_clusters(train.mu, test.mu, clusters), clusters)
        return {"kmeans_accuracy": scores["hungarian_accuracy"], "nmi": scores["nmi"]}

    @computes(catalogue.CONSISTENCY)
    def consistency(self) -> dict[str, Any]:
        """Measure what the head's codes are worth without a label, on images of the validation part."""
        count = min(GENERATED, len(self.held_out))
        z, c = self.model.sample_latents(count, tf.constant([SAMPLE_SEED, 2]))
        drawn = c.numpy()[:, : self.model.code.num_categories]
        q = np.sum(drawn * self.model.classify(self.model.decode(z, c)), 1)
        views = random_view(tf.constant(self.held_out), tf.constant([SAMPLE_SEED, 3])).numpy()
        codes, view_codes = (self.model.classify(x).argmax(1) for x in (self.held_out, views))
        return {
            "view_agreement": float(np.mean(codes == view_codes)),
            "view_information": mutual_information(codes, view_codes),
            "information_bound": float(self.model.code.entropy) + float(np.mean(np.log(np.maximum(q, 1e-12)))),
        }

    @computes(catalogue.RECONSTRUCTION)
    def reconstruction(self) -> dict[str, Any]:
        """Compare test images with their reconstructions, in pixels and in features."""
        x_hat = self.model.reconstruct(self.test)
        features, features_hat = self.network.features(self.test), self.network.features(x_hat)
        return {
            "reconstruction_mse": float(np.mean(np.square(x_hat - self.test))),
            "reconstruction_features": float(np.mean(np.square(features_hat - features))),
        } | self.described_network


def scored(part: Split) -> Split:
    """Return the images of a part that scores are computed on: all, or, if they are too large, as many as fit.

    The choice is random but fixed, and does not depend on the memory of the machine. So a score stays the same wherever
    the images stream.
    """
    count = len(part.images)
    most = SCORED_VALUES // math.prod(part.images.shape[1:])
    return part if count <= most else part.select(places(count, most))
