"""Image networks and models, a file for a paper."""

import data  # noqa: F401  # before TensorFlow, which reads the setting once
