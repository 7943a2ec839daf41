"""The one table of modes. It imports none of them: `program` does when it is asked."""

import contextlib
import importlib
import logging
import os
from types import ModuleType
from typing import NamedTuple

from data.errors import InputError, nearest
from training import config as configs
from training.cli import Parser, add_config_options


class Mode(NamedTuple):
    """A mode of training: a paper.

    summary: one line for `--help`. config: its dataclass. metrics: what `evaluate.py` computes for it. module: the name
    of the module that loads its data, builds its model and computes its metrics. chosen_by: key of the history by whose
    lowest value a run's checkpoint is chosen, with "-" before it by its highest; None: the newest is used.

    A module has `load(config)`, the data; `prepare(config)`, the config with its epochs decided and the data; `facts(data)`,
    what a run records of them; `steps_per_epoch(config, data)` and `batches(config, data, first_epoch)`; `build(mode,
    config, facts)`, the compiled model; `curve_point(run, data, model)` and `callbacks(run, data)`; and the class `Scores`,
    a `ModelScores`. One that is made of another's parts imports the names that they share.
    """

    summary: str
    config: type[configs.Config]
    metrics: tuple[str, ...]
    module: str
    chosen_by: str | None = None

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
RANKINGS = ("ranking", "controls")
RANKS = ("training.answers", "-validation/map")
TEXTS = (("likelihood", "generation"), "training.language", "validation/elbo_nll")

MODES = {
    "biggan": Mode("BigGAN without labels: G and F alone", configs.BigGANConfig, SAMPLES, IMAGES),
    "bigan": Mode("BiGAN: E and a joint discriminator", configs.BiGANConfig, (*CODES, "kmeans"), IMAGES),
    "bigbigan": Mode("BigBiGAN: and the unary scores", configs.BigBiGANConfig, (*CODES, "kmeans"), IMAGES),
    "infogan": Mode("InfoGAN: G and F with a code c", configs.InfoGANConfig, (*SAMPLES, *CLASSES), IMAGES),
    "infobigbigan": Mode("BigBiGAN with a code c", configs.InfoBigBiGANConfig, (*CODES, *CLASSES), IMAGES),
    "nvdm": Mode("NVDM: topics of documents", configs.NVDMConfig, TOPICS, "training.documents"),
    "lm": Mode("a recurrent language model", configs.SentenceConfig, *TEXTS),
    "vae": Mode("a VAE over sentences", configs.LanguageVAEConfig, *TEXTS),
    "twrvae": Mode("TWR-VAE: a posterior at every time step", configs.TWRVAEConfig, *TEXTS),
    "mlvae": Mode("ml-VAE: plans of paragraphs", configs.MLVAEConfig, TEXTS[0], "training.paragraphs", TEXTS[2]),
    "nasm": Mode("NASM: which answers are right", configs.NASMConfig, (*RANKINGS, "attention"), *RANKS),
    "gqa": Mode("a generative ranker of answers", configs.GQAConfig, RANKINGS, *RANKS),
}


def modes_with(wanted: str) -> list[str]:
    """The modes that have a flag, such as --info-weight or --no-s-z."""

    def flags(row: Mode) -> list[str]:
        parser = Parser()
        add_config_options(parser, row.config)
        return parser.flags

    return [name for name, row in MODES.items() if wanted in flags(row)]


def find_mode(name: str) -> Mode:
    """The row of a mode; InputError with the nearest right name for an unknown one."""
    if name not in MODES:
        raise InputError(f"--mode: {name!r} is not one of {', '.join(MODES)}{nearest(name, MODES)}")
    return MODES[name]
