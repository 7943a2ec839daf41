"""Scores of image models: from a model and its data to the keys that every result file has."""

from functools import cached_property

import numpy as np
import tensorflow as tf

from data.images import ImageDataset, Split, to_float
from metrics.clustering import (
    confusion,
    kmeans_clusters,
    match_codes,
    matched_accuracy,
    mutual_information,
    normalized_mutual_information,
)
from metrics.frechet import FeatureNetwork, feature_network, frechet_distance, kernel_distance
from metrics.linear_probe import linear_accuracy
from models.views import random_view
from training.figures import confusion_figure, model_rows, save_figure
from training.runs import Run
from training.scores import ModelScores
from training.tensorboard import SHOWN

CURVE_IMAGES = 10_000  # training images that probes and maps are fitted on for a point of a curve
GENERATED = 10_000  # images that FID and KID are measured on, or as many as the smaller of test and validation part has
SAMPLE_SEED = 0  # of these images


class Scores(ModelScores):
    """Those of a model of an image mode."""

    def __init__(self, run: Run, data: ImageDataset, model):
        super().__init__(run, data, model)
        self.train, self.test, self.held_out = (
            to_float(split.images) for split in (data.train, data.test, data.validation)
        )

    def compute(self, wanted):
        """Draws into `figures/` what the model can show, and the confusion of codes and classes where it was computed."""
        scores, dataset = super().compute(wanted), self.run.dataset
        rows = model_rows(self.model, self.test[:SHOWN], self.run.config.seed)
        figures = {name: own.figure(dataset) for name, own in rows.items()}
        if "confusion" in scores:
            table, code_to_class = (np.array(scores[name]) for name in ("confusion", "code_to_class"))
            figures["confusion"] = confusion_figure(table, code_to_class, dataset)
        (self.run.path / "figures").mkdir(exist_ok=True)  # an exported run comes without
        for name, figure in figures.items():
            save_figure(figure, self.run.path / "figures" / f"{name}.png")
        return scores

    @cached_property
    def network(self) -> FeatureNetwork:
        """The fixed feature network of the data set; its floor is measured on the validation part it never saw."""
        return feature_network(self.train, self.data.train.labels, self.test, self.data.test.labels, self.run.cache_dir)

    @cached_property
    def codes(self):
        """E's encodings of the training and the test images."""
        return self.model.encode(self.train), self.model.encode(self.test)

    @cached_property
    def activations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features of generated, of held-out training and of test images, as many of the first two, for the bias of FID."""
        count = min(GENERATED, len(self.test), len(self.held_out))
        images = self.model.generate(count, seed=SAMPLE_SEED), self.held_out[:count], self.test[:GENERATED]
        return tuple(self.network.features(x) for x in images)

    def distances(self, name: str, distance) -> dict:
        """A distance of generated and of held-out training images (the floor) from the test images."""
        generated, floor, test = self.activations
        return {
            name: distance(test, generated),
            f"{name}_floor": distance(test, floor),
            "samples": {"generated": len(generated), "test": len(test), "floor": len(floor)},
        } | self.described_network

    @property
    def described_network(self) -> dict:
        """What tells the feature network from another machine's: distances by both do not compare."""
        return {
            "feature_network": self.network.description,
            "feature_network_accuracy": self.network.test_accuracy,
        }

    def fid(self) -> dict:
        return self.distances("fid", frechet_distance)

    def kid(self) -> dict:
        return self.distances("kid", kernel_distance)

    def curve(self) -> dict:
        """A point of a learning curve, by the keys of `compute`: a few scores, on the validation part, that cost seconds.

        Probes and maps are fitted on the first CURVE_IMAGES training images; FID has the validation part on the other side.
        """
        generated = self.model.generate(min(GENERATED, len(self.held_out)), seed=SAMPLE_SEED)
        scores = {"fid": frechet_distance(*(self.network.features(x) for x in (self.held_out, generated)))}
        few, held_out = (Split(*(None if part is None else part[:CURVE_IMAGES] for part in split))
                         for split in (self.data.train, self.data.validation))  # fmt: skip
        cheap = Scores(self.run, ImageDataset(self.data.name, few, few, held_out), self.model)
        if hasattr(self.model, "code"):
            scores |= self.consistency()
        if self.data.train.labels is not None:
            scores |= cheap.hungarian() if hasattr(self.model, "code") else {}
            if hasattr(self.model, "encode"):
                train, test = cheap.codes
                scores["linear_accuracy"] = cheap.probe(train.mu, test.mu)
                scores["linear_accuracy_features"] = cheap.probe(train.features, test.features)
        return {name: value for name, value in scores.items() if isinstance(value, float)}

    def probe(self, train_codes, test_codes) -> float:
        """Accuracy on the test part of a linear classifier of codes float [N, D], fitted on those of the training part."""
        return linear_accuracy(train_codes, self.data.train.labels, test_codes, self.data.test.labels)

    def linear(self) -> dict:
        """Linear accuracy of mu (the headline) and of E's last hidden layer, with two controls: pixels, E untrained."""
        (train, test), untrained = self.codes, self.run.build()
        train_0, test_0 = untrained.encode(self.train), untrained.encode(self.test)
        cached = self.run.cached(linear_accuracy)
        train_pixels, test_pixels = (x.reshape(len(x), -1) for x in (self.train, self.test))
        return {
            "linear_accuracy": self.probe(train.mu, test.mu),
            "linear_accuracy_features": self.probe(train.features, test.features),
            "linear_accuracy_pixels": cached(train_pixels, self.data.train.labels, test_pixels, self.data.test.labels),
            "linear_accuracy_untrained": self.probe(train_0.mu, test_0.mu),
            "linear_accuracy_features_untrained": self.probe(train_0.features, test_0.features),
        }

    def hungarian(self) -> dict:
        """Accuracy of the head's categories under the map fitted on the training set; E's too, where it estimates c."""
        categories = self.model.code.num_categories
        train, test = (self.model.classify(x).argmax(1) for x in (self.train, self.test))
        scores = self.matched(train, test, categories)
        if getattr(self.model, "joint_code", None) == "encoder":
            train, test = (encoding.code[:, :categories].argmax(1) for encoding in self.codes)
            scores["hungarian_accuracy_encoder"] = self.matched(train, test, categories)["hungarian_accuracy"]
        return scores

    def matched(self, train_codes, test_codes, categories: int) -> dict:
        """Scores of discrete codes int [N] in [0, categories) of the test part, by a map fitted on the training part."""
        train_labels, test_labels = self.data.train.labels, self.data.test.labels
        code_to_class = match_codes(train_codes, train_labels, categories)
        classes = 1 + int(max(train_labels.max(), test_labels.max()))
        return {
            "hungarian_accuracy": matched_accuracy(test_codes, test_labels, code_to_class),
            "code_to_class": code_to_class.tolist(),
            "nmi": normalized_mutual_information(test_codes, test_labels),
            "confusion": confusion(test_codes, test_labels, categories, classes).tolist(),
        }

    def kmeans(self) -> dict:
        """Accuracy and NMI of K-means clusters of mu, as many as classes, matched as the codes of the info modes are."""
        (train, test), clusters = self.codes, len(np.unique(self.data.train.labels))
        scores = self.matched(*kmeans_clusters(train.mu, test.mu, clusters), clusters)
        return {"kmeans_accuracy": scores["hungarian_accuracy"], "nmi": scores["nmi"]}

    def consistency(self) -> dict:
        """What the head's codes are worth, told without a label; images are those of the validation part.

        `view_agreement`: share of images whose code is that of a second view of them. `view_information`: the mutual
        information of both codes in nats, at most log(num_categories). `information_bound`: InfoGAN's bound for the
        categorical code of generated images, in nats, with the same most.
        """
        count = min(GENERATED, len(self.held_out))
        z, c = self.model.sample_latents(count, tf.constant([SAMPLE_SEED, 2]))
        drawn = c.numpy()[:, : self.model.code.num_categories]
        q = np.sum(drawn * self.model.classify(self.model.decode(z, c)), 1)
        views = random_view(tf.constant(self.held_out), tf.constant([SAMPLE_SEED, 3])).numpy()
        codes, view_codes = (self.model.classify(x).argmax(1) for x in (self.held_out, views))
        return {
            "view_agreement": float(np.mean(codes == view_codes)),
            "view_information": mutual_information(codes, view_codes),
            "information_bound": float(np.log(drawn.shape[1]) + np.mean(np.log(np.maximum(q, 1e-12)))),
        }

    def reconstruction(self) -> dict:
        """Mean squared error of test images (in [-1, 1]) and their reconstructions: of pixels, and of features."""
        x_hat = self.model.reconstruct(self.test)
        features, features_hat = self.network.features(self.test), self.network.features(x_hat)
        return {
            "reconstruction_mse": float(np.mean(np.square(x_hat - self.test))),
            "reconstruction_features": float(np.mean(np.square(features_hat - features))),
        } | self.described_network
