"""Agreement of discrete codes with classes, for codes that were learned without labels.

Codes are int [N] in [0, num_codes), labels int [N] in [0, num_classes). Renumbering the codes changes no score. The map
from codes to classes is fitted on one part of a data set and scored on another.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score, recall_score


def confusion(codes: ArrayLike, labels: ArrayLike, num_codes: int, num_classes: int) -> np.ndarray:
    """Count the examples of each pair of code and class, int64 [num_codes, num_classes].

    Raises:
        ValueError: codes and labels differ in shape, or a value lies outside its range.
    """
    codes, labels = np.asarray(codes), np.asarray(labels)
    if codes.shape != labels.shape:
        raise ValueError(f"codes {codes.shape} and labels {labels.shape} differ in shape")
    for name, values, size in (("codes", codes, num_codes), ("labels", labels, num_classes)):
        if values.min() < 0 or values.max() >= size:
            raise ValueError(f"{name} must be in [0, {size}), got {values.min()} to {values.max()}")
    table = np.zeros((num_codes, num_classes), np.int64)
    np.add.at(table, (codes, labels), 1)
    return table


def match_codes(table: np.ndarray) -> np.ndarray:
    """Return the class of each code, under the one-to-one match that gets most examples right (Kuhn 1955).

    With more codes than classes, each code that is left over takes its own majority class (class 0 if the code is never
    used). The class of a matched code need not be its majority class. With fewer codes than classes, some classes are
    never predicted.

    Args:
        table: `confusion` of the part that the map is fitted on.

    Returns:
        int64 [num_codes], classes.
    """
    code_to_class = table.argmax(axis=1)
    matched_codes, matched_classes = linear_sum_assignment(table, maximize=True)
    code_to_class[matched_codes] = matched_classes
    return code_to_class


def majority_classes(table: np.ndarray) -> np.ndarray:
    """Return the class that most examples of each code have, int64 [num_codes]; class 0 for a code that is never used.

    Several codes may share a class: this is the many-to-one map. `table` is as for `match_codes`.
    """
    return table.argmax(axis=1)


def matched_accuracy(codes: np.ndarray, labels: np.ndarray, code_to_class: np.ndarray) -> float:
    """Return the share of examples, in [0, 1], whose code maps to their class.

    `match_codes` or `majority_classes` makes `code_to_class`.
    """
    return float(np.mean(code_to_class[codes] == labels))


def balanced_accuracy(codes: np.ndarray, labels: np.ndarray, code_to_class: np.ndarray) -> float:
    """Return the mean over the classes of the share of their examples whose code maps to them, in [0, 1].

    So a small class counts as much as a large one. A class without examples does not count.
    """
    return float(recall_score(labels, code_to_class[codes], labels=np.unique(labels), average="macro"))


def normalized_mutual_information(codes: ArrayLike, labels: ArrayLike) -> float:
    """Return I(code; class) / ((H(code) + H(class)) / 2), in [0, 1].

    It needs no map from codes to classes, and there may be more codes than classes, or fewer.
    """
    return float(normalized_mutual_info_score(labels, codes, average_method="arithmetic"))


def mutual_information(codes: ArrayLike, other_codes: ArrayLike) -> float:
    """Return I(c; c') of two codes, int [N] each, of the same examples, in nats; 0 if they are independent."""
    return float(mutual_info_score(codes, other_codes))


def kmeans_clusters(
    train_codes: ArrayLike, test_codes: ArrayLike, num_clusters: int = 10, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Fit K-means to the train codes, and return the clusters of the train and the test codes.

    Of ten k-means++ starts the one with the lowest inertia is kept, so no label takes part in the choice.

    Args:
        train_codes, test_codes: float [N, D] and [M, D]. They are not rescaled here: the caller chooses their scale.

    Returns:
        int [N] and [M], in [0, num_clusters).
    """
    # pyright takes `n_init` for a str, the type of its default "auto"
    kmeans = KMeans(num_clusters, n_init=10, random_state=seed).fit(train_codes)  # pyright: ignore[reportArgumentType]
    return np.asarray(kmeans.labels_), np.asarray(kmeans.predict(test_codes))
