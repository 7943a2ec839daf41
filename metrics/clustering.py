"""How well discrete codes, which never saw a label, agree with the classes.

Codes are int [N] in [0, num_codes), labels int [N] in [0, num_classes). Renumbering the codes changes no figure here.
The map from codes to classes is fitted on one split and scored on another.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score


def confusion(codes, labels, num_codes, num_classes):
    """Counts int64 [num_codes, num_classes] of examples with each pair of code and class.

    Raises:
        ValueError: codes and labels differ in shape, or one lies outside its range.
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


def match_codes(codes, labels, num_codes):
    """The class each code stands for: the one-to-one match that gets most examples right (Kuhn 1955).

    With more codes than classes, the codes left over take their own majority class (class 0 if never used), as the
    matched ones need not; with fewer, some classes are never predicted. The number of classes is `labels.max() + 1`.

    Returns:
        int64 [num_codes], classes.

    Raises:
        ValueError: as `confusion`.
    """
    table = confusion(codes, labels, num_codes, int(np.max(labels)) + 1)
    code_to_class = table.argmax(axis=1)
    matched_codes, matched_classes = linear_sum_assignment(table, maximize=True)
    code_to_class[matched_codes] = matched_classes
    return code_to_class


def matched_accuracy(codes, labels, code_to_class):
    """Share of examples, in [0, 1], whose code stands for their class; `code_to_class` is from `match_codes`."""
    return float(np.mean(code_to_class[codes] == labels))


def normalized_mutual_information(codes, labels):
    """I(code; class) / ((H(code) + H(class)) / 2), in [0, 1]; needs no map and no equal numbers."""
    return float(normalized_mutual_info_score(labels, codes, average_method="arithmetic"))


def mutual_information(codes, other_codes):
    """I(c; c') of two codes int [N] of the same examples, in nats; 0 where they tell nothing of each other."""
    return float(mutual_info_score(codes, other_codes))


def kmeans_clusters(train_codes, test_codes, num_clusters=10, seed=0):
    """The clusters, int [N] and [M], that K-means fitted on train codes puts train and test codes in.

    The best of ten k-means++ starts by inertia, so no label chooses among them.

    Args:
        train_codes, test_codes: float [N, D] and [M, D], taken as they are: scale is up to the caller.
    """
    kmeans = KMeans(num_clusters, n_init=10, random_state=seed).fit(train_codes)
    return kmeans.labels_, kmeans.predict(test_codes)
