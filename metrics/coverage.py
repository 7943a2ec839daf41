"""What part of the data generated images cover: classes that are missing or too common, and precision and recall."""

import numpy as np
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 3  # the k of Kynkäänniemi et al. 2019


def precision_and_recall(real: np.ndarray, generated: np.ndarray) -> tuple[float, float]:
    """Return the improved precision and recall of generated samples, each in [0, 1] (Kynkäänniemi et al. 2019, eq. 1).

    A ball around each sample reaches to the third nearest other sample of its set. Precision is the share of generated
    samples that lie in the ball of a real one; recall is the share of real samples that lie in the ball of a generated
    one. Both depend on the numbers of samples: compare only equal numbers.

    Args:
        real, generated: features [N, D] and [M, D], more than NEIGHBOURS rows each.

    Raises:
        ValueError: there are too few rows.
    """
    if min(len(real), len(generated)) <= NEIGHBOURS:
        raise ValueError(f"{len(real)} and {len(generated)} rows: precision and recall need more than {NEIGHBOURS}")
    return _share_in_balls(generated, real), _share_in_balls(real, generated)


def _share_in_balls(points: np.ndarray, centres: np.ndarray) -> float:
    """Return the share of points that lie in the ball of at least one centre."""
    neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(centres)
    radii = neighbours.kneighbors()[0][:, -1]  # without an argument, a row is not its own neighbour
    return float(np.concatenate([(d <= radii).any(1) for d in pairwise_distances_chunked(points, centres)]).mean())


def class_shares(classes: np.ndarray, count: int) -> np.ndarray:
    """Return the share of each class, float64 [count], among classes int [N] in [0, count)."""
    return np.bincount(classes, minlength=count) / len(classes)


def class_gap(shares: np.ndarray, others: np.ndarray) -> float:
    """Return the total variation distance of two distributions [K]: the share of samples in the wrong class, in [0, 1]."""
    return float(np.abs(shares - others).sum() / 2)
