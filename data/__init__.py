"""Examples in: readers that return `tf.data`, and what they share.

Every program imports this package before TensorFlow, and so do `models` and `text_vae`.
"""

import os

# TensorFlow asks oneDNN only if the processor has AVX-512. Without it, too, a step takes half the time with oneDNN.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
