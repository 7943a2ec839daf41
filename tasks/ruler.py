"""Train MNIST's feature network anew: `python -m tasks.ruler`. Every FID on MNIST then changes, so score all runs again."""

from data.images import load, to_float
from metrics.frechet import RULER, RULER_RECIPE, train_features, write_ruler


def main() -> None:
    data = load("mnist", data_dir=None)
    (train, labels), (test, test_labels) = ((to_float(part.images[:]), part.labels) for part in (data.train, data.test))
    weights = train_features(train, labels, test, test_labels, RULER_RECIPE)
    write_ruler(weights)
    print(f"{RULER}: {weights.description}; test accuracy {weights.test_accuracy:.4f}")


if __name__ == "__main__":
    main()
