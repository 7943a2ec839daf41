"""The table of modes. It imports no model: `Mode.make_task` imports a mode's classes when it is called."""

import contextlib
import dataclasses
import importlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data.errors import InputError, nearest
from data.text import at_hand
from metrics import catalogue
from metrics.catalogue import Evaluation
from tasks import configs
from training.cli import Parser, add_config_options
from training.config import Config
from training.devices import compile_soon
from training.runs import Run, known_runs, open_run

if TYPE_CHECKING:
    from tasks.base import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mode:
    """A mode of training: a paper's model, and what is needed to train and score it."""

    name: str  # what `--mode` takes
    summary: str  # one line for `--help`
    task: str  # the class of its kind of data, as "module:class"
    model: str  # the class of its model, as "module:class"
    config: type[Config]  # the dataclass of its options
    scores: tuple[Evaluation, ...]  # its evaluations, in the order in which tables show their scores
    best: str | None = None  # the key of the history by which a run's checkpoint is chosen; None: the newest is used
    direction: Literal["min", "max"] = "min"  # which value of `best` is better
    shares_batches: bool = False  # whether several devices can share its batches

    def make_task(self) -> "Task":
        """Return the task of this mode. This imports TensorFlow."""
        task = resolved(self.task)(resolved(self.model))
        compile_soon()
        return task

    def load(self, run: Run) -> Any:
        """Return the model of a run of this mode, restored from its best whole checkpoint. This imports TensorFlow.

        Raises:
            InputError: as `Run.restore` raises it.
        """
        return self.make_task().restored(run)[0]

    def wanted(self, run: Run, asked: Iterable[str] = ()) -> tuple[Evaluation, ...]:
        """Return the evaluations to compute for a run: those of the flags `asked`, or all that its data allow.

        Raises:
            InputError: the mode does not have an evaluation, or the data lack the labels for it.
        """
        by_name, names = {evaluation.name: evaluation for evaluation in self.scores}, tuple(asked)
        for name in names:
            if name not in by_name:
                has = ", ".join(f"--{own}" for own in by_name)
                raise InputError(f"--{name}: {run.path} is a run of mode {self.name}, which has {has}")
            if by_name[name].needs_labels and not run.facts["labels"]:
                raise InputError(
                    f"--{name} needs labels and {run.config.dataset} has none: leave it out, or add labels"
                )
        possible = tuple(own for own in self.scores if run.facts["labels"] or not own.needs_labels)
        return tuple(by_name[name] for name in names) or possible


def resolved(path: str) -> Any:
    """Return the class of a path "module:class", and import its module quietly."""
    module, name = path.split(":")
    with quiet_imports():
        return getattr(importlib.import_module(module), name)


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Drop what is written to standard error: TensorFlow's C++ code writes there on import, whatever its log level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # tf-gan warns of a deprecation on every call
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


SAMPLES = (catalogue.FID, catalogue.KID, catalogue.COVERAGE)
ENCODINGS = (*SAMPLES, catalogue.LINEAR, catalogue.RECONSTRUCTION)
CODES = (catalogue.HUNGARIAN, catalogue.CONSISTENCY)
SENTENCES = (catalogue.SENTENCE_LIKELIHOOD, catalogue.SENTENCE_GENERATION)
PARAGRAPHS = (catalogue.PARAGRAPH_LIKELIHOOD, catalogue.PARAGRAPH_GENERATION)
TOPICS = (
    catalogue.DOCUMENT_LIKELIHOOD,
    catalogue.TOPIC_QUALITY,
    catalogue.DOCUMENT_LINEAR,
    catalogue.DOCUMENT_CONTROLS,
)
RANKINGS = (catalogue.RANKING, catalogue.RANKING_CONTROLS)

MODES = {
    mode.name: mode
    for mode in (
        Mode(
            name="biggan",
            summary="BigGAN without labels: G and F alone",
            task="tasks.images:ImageTask",
            model="models.gan:GAN",
            config=configs.BigGANConfig,
            shares_batches=True,
            scores=SAMPLES,
        ),
        Mode(
            name="bigan",
            summary="BiGAN: E and a joint discriminator",
            task="tasks.images:ImageTask",
            model="models.bigan:BiGAN",
            config=configs.BiGANConfig,
            shares_batches=True,
            scores=(*ENCODINGS, catalogue.KMEANS),
        ),
        Mode(
            name="bigbigan",
            summary="BigBiGAN: BiGAN with the unary scores",
            task="tasks.images:ImageTask",
            model="models.bigbigan:BigBiGAN",
            config=configs.BigBiGANConfig,
            shares_batches=True,
            scores=(*ENCODINGS, catalogue.KMEANS),
        ),
        Mode(
            name="infogan",
            summary="InfoGAN: G and F with a code c",
            task="tasks.images:ImageTask",
            model="models.infogan:InfoGAN",
            config=configs.InfoGANConfig,
            shares_batches=True,
            scores=(*SAMPLES, *CODES),
        ),
        Mode(
            name="infobigbigan",
            summary="BigBiGAN with a code c",
            task="tasks.images:ImageTask",
            model="models.infobigbigan:InfoBigBiGAN",
            config=configs.InfoBigBiGANConfig,
            shares_batches=True,
            scores=(*ENCODINGS, *CODES),
        ),
        Mode(
            name="nvdm",
            summary="NVDM: topics of documents",
            task="tasks.documents:DocumentTask",
            model="text_vae.nvdm:NVDM",
            config=configs.NVDMConfig,
            shares_batches=True,
            scores=TOPICS,
        ),
        Mode(
            name="lm",
            summary="a recurrent language model",
            task="tasks.sentences:SentenceTask",
            model="text_vae.language_vae:LanguageModel",
            config=configs.SentenceConfig,
            scores=SENTENCES,
            best="validation/elbo_nll",
        ),
        Mode(
            name="vae",
            summary="a VAE over sentences",
            task="tasks.sentences:SentenceTask",
            model="text_vae.language_vae:RecurrentVAE",
            config=configs.LanguageVAEConfig,
            scores=SENTENCES,
            best="validation/elbo_nll",
        ),
        Mode(
            name="twrvae",
            summary="TWR-VAE: a posterior at every time step",
            task="tasks.sentences:SentenceTask",
            model="text_vae.twr_vae:TWRVAE",
            config=configs.TWRVAEConfig,
            shares_batches=True,
            scores=SENTENCES,
            best="validation/elbo_nll",
        ),
        Mode(
            name="mlvae",
            summary="ml-VAE: plans of paragraphs",
            task="tasks.paragraphs:ParagraphTask",
            model="text_vae.ml_vae:MLVAE",
            config=configs.MLVAEConfig,
            scores=PARAGRAPHS,
            best="validation/elbo_nll",
        ),
        Mode(
            name="nasm",
            summary="NASM: which answers are right",
            task="tasks.answers:RankingTask",
            model="text_vae.nasm:NASM",
            config=configs.NASMConfig,
            scores=(*RANKINGS, catalogue.ATTENTION),
            best="validation/map",
            direction="max",
        ),
        Mode(
            name="gqa",
            summary="a generative ranker of answers",
            task="tasks.answers:RankingTask",
            model="text_vae.gqa:GQA",
            config=configs.GQAConfig,
            scores=RANKINGS,
            best="validation/map",
            direction="max",
        ),
    )
}


def modes_with(wanted: str) -> list[str]:
    """Return the modes that have a flag, such as --info-weight or --no-s-z."""

    def flags(mode: Mode) -> list[str]:
        parser = Parser()
        add_config_options(parser, mode.config)
        return parser.flags

    return [name for name, mode in MODES.items() if wanted in flags(mode)]


def listing(runs_dir: str) -> str:
    """Return in lines the modes, the data sets that need no download, and the runs in a directory."""
    from data import answers, documents, images, sentences  # here, so that `--help` does not wait for SciPy

    found = {"images": images.at_hand()}
    for kind, reader in (("documents", documents), ("sentences", sentences), ("questions", answers)):
        found[kind] = ["docstrings", *at_hand(reader.PREPARED)]
    return "\n".join(
        [
            "modes:",
            *(f"  {name}: {row.summary}" for name, row in MODES.items()),
            "data sets that need no download:",
            *(f"  {kind}: {', '.join(own)}" for kind, own in found.items()),
            f"runs in {runs_dir}: {known_runs(runs_dir)}",
        ]
    )


def find_mode(name: str) -> Mode:
    """Return the row of a mode. Raise InputError, with the nearest right name, for an unknown one."""
    if name not in MODES:
        raise InputError(f"--mode: {name!r} is not one of {', '.join(MODES)}{nearest(name, MODES)}")
    return MODES[name]


def load_run(path: str | Path, runs_dir: str = "runs") -> Any:
    """Return the model of a run, built and restored from its best whole checkpoint, ready to use.

    A model of text takes and gives strings. The data set that it was trained on is not needed.

    Args:
        path: a run's directory, or its name in `runs_dir`.

    Raises:
        InputError: as `open_run` and `Run.restore` raise it.
    """
    run = open_run(path, runs_dir, MODES)
    return MODES[run.mode].load(run)
