"""What an image model can do besides sampling, as base classes; and what the machine can do.

Code that uses a model tests for the classes by `isinstance`. Importing this module does not import TensorFlow.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

    from models.code import Code
    from models.encoder import Encoding


class Encodes:
    """A model with an encoder E, which infers the latents of an image."""

    def encode(self, images: np.ndarray) -> "Encoding":
        """Return the encoding, as NumPy arrays, of images [N, H, W, C] in [-1, 1]."""
        raise NotImplementedError

    def infer_latents(self, x: "tf.Tensor") -> "tuple[tf.Tensor, ...]":
        """Return the arguments of G that reconstruct x [B, H, W, C] in [-1, 1]: z, and the code if G receives one."""
        raise NotImplementedError

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return G's output, [N, H, W, C], for the latents that are inferred from images [N, H, W, C] in [-1, 1]."""
        raise NotImplementedError


class HasCode:
    """A model whose generator receives a code c, and whose head estimates the code of an image."""

    code: "Code"  # the prior of c

    @property
    def encoder_estimates_code(self) -> bool:
        """Whether E, too, estimates the code."""
        return False

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Return the head's q(c | x), [N, num_categories], for images [N, H, W, C] in [-1, 1]."""
        raise NotImplementedError


def fastest_dtype() -> str:
    """Return "bfloat16" if all GPUs have instructions for it, or, without a GPU, the processor; else "float32".

    GPUs have them from compute capability 8 on. Of processors only Linux can tell.
    """
    import tensorflow as tf

    if gpus := tf.config.list_physical_devices("GPU"):
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        known = all(own.get("compute_capability", (0,)) >= (8,) for own in details)
    else:
        cpuinfo = Path("/proc/cpuinfo")
        known = cpuinfo.exists() and any(word in cpuinfo.read_text() for word in ("avx512_bf16", "amx_bf16", " bf16"))
    return "bfloat16" if known else "float32"
