"""The one table of modes. It imports none of them: `program` does when it is asked."""

import contextlib
import importlib
import logging
import os
from types import ModuleType
from typing import NamedTuple

from data.errors import InputError, nearest
from training import config as configs


class Mode(NamedTuple):
    """A mode of training: a paper.

    summary: one line for `--help`. config: its dataclass. metrics: what `evaluate.py` computes for it. module: the name
    of the module that loads its data, builds its model and computes its metrics.
    """

    summary: str
    config: type[configs.Config]
    metrics: tuple[str, ...]
    module: str

    def program(self) -> ModuleType:
        """The module, imported; it imports TensorFlow."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # tf-gan is told of deprecations on every call
        with quiet_standard_error():
            return importlib.import_module(self.module)


@contextlib.contextmanager
def quiet_standard_error():
    """Drops what is written to standard error: TensorFlow's C++ side greets there on import, whatever its log level."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


IMAGES = "training.images"
SAMPLES = ("fid", "kid")
CODES = (*SAMPLES, "linear", "reconstruction")
CLASSES = ("hungarian", "consistency")
TOPICS = ("likelihood", "topics", "linear", "controls")

MODES = {
    "biggan": Mode("BigGAN without labels: G and F alone", configs.BigGANConfig, SAMPLES, IMAGES),
    "bigan": Mode("BiGAN: E and a joint discriminator", configs.BiGANConfig, (*CODES, "kmeans"), IMAGES),
    "bigbigan": Mode("BigBiGAN: and the unary scores", configs.BigBiGANConfig, (*CODES, "kmeans"), IMAGES),
    "infogan": Mode("InfoGAN: G and F with a code c", configs.InfoGANConfig, (*SAMPLES, *CLASSES), IMAGES),
    "infobigbigan": Mode("BigBiGAN with a code c", configs.InfoBigBiGANConfig, (*CODES, *CLASSES), IMAGES),
    "nvdm": Mode("NVDM: topics of documents", configs.NVDMConfig, TOPICS, "training.documents"),
}


def find_mode(name: str) -> Mode:
    """The row of a mode; InputError with the nearest right name for an unknown one."""
    if name not in MODES:
        raise InputError(f"--mode: {name!r} is not one of {', '.join(MODES)}{nearest(name, MODES)}")
    return MODES[name]
