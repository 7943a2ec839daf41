"""The callbacks that write a training to TensorBoard: `tensorboard --logdir runs`.

One writer serves all callbacks of a run, because TensorBoard follows only the last of several event files in a
directory.
"""

import dataclasses
import gc
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.plugins import projector
from tensorboard.plugins.hparams import api as hparams

from data import answers
from data.answers import AnswerCorpus
from data.documents import DocumentCorpus, shape_of
from data.images import ImageDataset, to_float
from data.order import places
from data.sentences import SentenceCorpus, printed
from metrics.catalogue import score_of
from metrics.clustering import confusion, match_codes
from metrics.topics import frequent_words, top_words
from models.capabilities import Encodes, HasCode
from reporting.figures import (
    SHOWN,
    attention_figure,
    confusion_figure,
    encode_png,
    heat_map_figure,
    model_rows,
    pixels,
    tile,
)
from reporting.tables import numbers
from text_vae.language_vae import LanguageVAE
from training.callbacks import is_due, is_kept
from training.files import write_arrays, write_bytes, write_text
from training.runs import Run

if TYPE_CHECKING:
    from models.gan import GAN
    from text_vae.language_vae import LanguageModel
    from text_vae.nasm import NASM
    from text_vae.nvdm import NVDM
    from text_vae.twr_vae import TWRVAE

ATTENTIONS = 4  # about how many pictures of attention a training makes; each takes a second
EMBEDDED = 2000  # test examples in the projector, and test images in the confusion table
SPRITE_SIDE = 64  # largest height and width of a sprite, in pixels
SENTENCES = 8  # sentences of each kind that are shown

_REFERENCES = str.maketrans({mark: f"&#{ord(mark)};" for mark in string.punctuation})


def open_writer(run: Run) -> tf.summary.SummaryWriter:
    """Return a writer of a run's event file."""
    return tf.summary.create_file_writer(str(run.path / "tensorboard"))


def write_scores(run: Run, scores: dict[str, Any], step: int) -> None:
    """Write the scores of a finished training as points at the step of the checkpoint that was evaluated.

    The HParams dashboard shows those of them that have a better direction, beside the run's options.
    """
    writer, found = open_writer(run), numbers(scores)
    shown = [
        hparams.Metric(f"test/{name}", display_name=score_of(name).label) for name in found if score_of(name).direction
    ]
    with writer.as_default(step):
        for name, value in found.items():
            tf.summary.scalar(f"test/{name}", value)
        hparams.hparams_config([hparams.HParam(name) for name in shown_options(run)], shown)
    writer.close()


def shown_options(run: Run) -> dict[str, Any]:
    """Return the options of a run, and its mode, as the HParams dashboard takes them."""
    options = {"mode": run.mode} | dataclasses.asdict(run.config)
    return {name: str(value) if isinstance(value, tuple | None) else value for name, value in options.items()}


class Scalars(keras.callbacks.Callback):
    """Write the curves of everything that training reports, and the run's options for the HParams dashboard.

    The dashboard takes the last value of every curve as the run's result.
    """

    model: Any

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter):
        super().__init__()
        self.run, self.writer = run, writer

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        with self.writer.as_default():
            # the name keeps two runs with the same options apart
            hparams.hparams(shown_options(self.run), trial_id=self.run.path.name)
        self.writer.flush()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        with self.writer.as_default(int(self.model.step.numpy())):
            for name, value in (logs or {}).items():
                tf.summary.scalar(name, value)
        self.writer.flush()


class Pictures(keras.callbacks.Callback):
    """Show samples from fixed noise, reconstructions and interpolations of fixed test images, whenever they are due."""

    model: "GAN"

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, data: ImageDataset):
        super().__init__()
        self.run, self.writer = run, writer
        self.images = to_float(data.test.images[:SHOWN])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not is_due(epoch + 1, self.run.epochs):
            return
        with self.writer.as_default(int(self.model.step.numpy())):
            for name, rows in model_rows(self.model, self.images, self.run.config.seed).items():
                write_figure(f"pictures/{name}", rows.figure(self.run.dataset))
        self.writer.flush()


class FinalSummary(keras.callbacks.Callback):
    """Show at the end E's mu of test images in the projector, and the head's codes against the classes.

    Classes colour the points and fill the table. The model never receives them.
    """

    model: Any

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, data: ImageDataset):
        super().__init__()
        self.run, self.writer, self.data = run, writer, data

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        test = self.data.test
        images, labels = test.images[:EMBEDDED], None if test.labels is None else test.labels[:EMBEDDED]
        columns = {} if labels is None else {"class": np.array(self.data.class_names)[labels]}
        if isinstance(self.model, HasCode):
            columns["code"] = self.codes(images)
        if isinstance(self.model, Encodes):
            mu = np.asarray(self.model.encode(to_float(images)).mu)
            write_projector(self.run.path / "tensorboard", "mu of test images", mu, columns, images)
        if labels is not None and "code" in columns:
            self.write_confusion(columns["code"], labels)

    def codes(self, images: np.ndarray) -> np.ndarray:
        """Return the head's most probable category, int [N], of images uint8 [N, H, W, C]."""
        return self.model.classify(to_float(images)).argmax(1)

    def write_confusion(self, codes: np.ndarray, labels: np.ndarray) -> None:
        """Draw the table of codes int [N] against labels int [N] of test images.

        The class of each code, which orders the rows, is fitted on as many training images.
        """
        num_codes = self.model.code.num_categories
        train, known, names = self.data.train.images[:EMBEDDED], self.data.train.labels, self.data.class_names
        assert known is not None and names is not None  # as in the test part
        code_to_class = match_codes(confusion(self.codes(train), known[:EMBEDDED], num_codes, len(names)))
        table = confusion(codes, labels, num_codes, len(names))
        with self.writer.as_default(int(self.model.step.numpy())):
            write_figure("evaluation only/confusion", confusion_figure(table, code_to_class, names, self.run.dataset))
        self.writer.flush()


def write_figure(tag: str, figure: Figure) -> None:
    """Write a figure as an image of the default writer, at its default step, and free its memory."""
    tf.summary.image(tag, pixels(figure)[np.newaxis])  # one array: a list of bytes would become int32
    del figure
    gc.collect()  # a figure is full of cycles, for which Python hardly ever looks beside TensorFlow's many objects


def write_table(tag: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table of texts with the default writer, at its default step. Every cell is shown letter by letter."""
    first, *rest = (f"| {' | '.join(map(verbatim, row))} |" for row in (header, *rows))
    tf.summary.text(tag, "\n".join([first, "|---" * len(header) + "|", *rest]))


def verbatim(text: str) -> str:
    """Return a text so that TensorBoard, which reads Markdown and HTML, shows each of its letters and marks.

    Marks become character references, since TensorBoard's Markdown has no backslash escape for some of them, such as <.
    """
    return one_line(text).translate(_REFERENCES)


def one_line(value: Any) -> str:
    """Return a value as text in which every run of white space, line ends and tabs included, is one space."""
    return " ".join(str(value).split())


class TopicSummary(keras.callbacks.Callback):
    """Show the top words of every topic whenever they are due, and at the end mu of test documents in the projector."""

    model: "NVDM"

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, corpus: DocumentCorpus):
        super().__init__()
        self.run, self.writer, self.corpus = run, writer, corpus

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if is_due(epoch + 1, self.run.epochs):
            topics = top_words(self.model.decoder.kernel.numpy(), self.corpus.words, self.corpus.train.counts)
            with self.writer.as_default(int(self.model.step.numpy())):
                rows = ((str(topic), " ".join(words)) for topic, words in enumerate(topics))
                write_table("topics", ["topic", "top words"], rows)
            self.writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        test = self.corpus.test
        shown = places(shape_of(test.counts)[0], EMBEDDED)
        counts, labels = test.counts[shown], None if test.labels is None else test.labels[shown]
        names = self.corpus.label_names
        columns: dict[str, Sequence[Any] | np.ndarray] = {}
        if labels is not None:
            columns["class"] = np.array(names)[labels]
        columns["words"] = [" ".join(words) for words in frequent_words(counts, self.corpus.words)]
        mu = self.model.infer(tf.constant(counts.toarray()))[0].numpy()
        write_projector(self.run.path / "tensorboard", "mu of test documents", mu, columns)


class SentenceSummary(keras.callbacks.Callback):
    """Show sentences from the prior and, for a model with z, reconstructions, whenever they are due."""

    model: "LanguageModel"

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, corpus: SentenceCorpus):
        super().__init__()
        self.run, self.writer, self.corpus = run, writer, corpus

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not is_due(epoch + 1, self.run.epochs):
            return
        with self.writer.as_default(int(self.model.step.numpy())):
            self.write("samples", ["from the prior"], self.model.generate_ids(SENTENCES, seed=self.run.config.seed))
            if isinstance(self.model, LanguageVAE):
                shown = self.corpus.validation[:SENTENCES]
                self.write("reconstructions", ["sentence", "decoded from mu"], shown, self.model.reconstruct_ids(shown))
        self.writer.flush()

    def write(self, tag: str, header: list[str], *columns: Sequence[np.ndarray]) -> None:
        """Write a table of sentences, a column for each name in `header`."""
        words = self.corpus.vocabulary
        write_table(tag, header, ([printed(words, ids) for ids in row] for row in zip(*columns, strict=True)))


class StepKL(keras.callbacks.Callback):
    """Show the mean KL of each step's posterior on validation sentences, as heat maps with a row for each epoch.

    With every checkpoint, the maps are drawn and their rows are kept on disk, so that a resumed training continues
    them.
    """

    model: "TWRVAE"

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, corpus: SentenceCorpus):
        super().__init__()
        self.run, self.writer, self.corpus = run, writer, corpus
        self.file = run.path / "tensorboard/kl_by_step.npz"
        self.rows = list(np.load(self.file)["rows"]) if self.file.exists() else []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row = self.model.kl_by_step(self.corpus.validation)
        lost = [np.full_like(row, np.nan)] * (epoch - len(self.rows))  # a stop came between a checkpoint and its row
        self.rows = [*self.rows[:epoch], *lost, row]
        if not is_kept(epoch + 1, self.run.epochs):
            return
        write_arrays(self.file, rows=self.rows)
        maps = np.full([2, self.run.epochs, self.rows[0].shape[1]], np.nan)
        maps[:, : epoch + 1] = np.swapaxes(self.rows, 0, 1)
        title = f"{self.run.dataset}: mean KL of q(z_t | x_1..t) to N(0, I), in nats, on validation sentences"
        ways = "step, counted from the start of the sentence", "step, counted from its end"
        with self.writer.as_default(int(self.model.step.numpy())):
            write_figure("kl_by_step", heat_map_figure(dict(zip(ways, maps, strict=True)), title, "epoch"))
        self.writer.flush()


class QuestionSummary(keras.callbacks.Callback):
    """Show the attention to right answers a few times, and at the end h's mean of test questions in the projector."""

    model: "NASM"

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, corpus: AnswerCorpus):
        super().__init__()
        self.run, self.writer, self.corpus = run, writer, corpus

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.model.attention != "none" and is_due(epoch + 1, self.run.epochs, ATTENTIONS):
            figure = attention_figure(self.model, self.corpus, self.run.config.seed, self.run.dataset)
            with self.writer.as_default(int(self.model.step.numpy())):
                write_figure("attention", figure)
            self.writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        test = self.corpus.test
        batch = next(iter(answers.evaluation_batches(test, self.corpus.vocabulary, EMBEDDED)))
        columns = {"question": [" ".join(question) for question in test.questions[:EMBEDDED]]}
        columns["first word"] = [question[0] for question in test.questions[:EMBEDDED]]
        folder = self.run.path / "tensorboard"
        write_projector(folder, "test questions", self.model.encode(batch).numpy(), columns)


def write_projector(
    folder: Path,
    title: str,
    vectors: np.ndarray,
    columns: Mapping[str, Sequence[Any] | np.ndarray],
    images: np.ndarray | None = None,
) -> None:
    """Write the files of the embedding projector.

    Args:
        folder: a run's TensorBoard directory.
        title: the name of the vectors.
        vectors: float [N, D].
        columns: the properties that colour or label the points, name -> N values, as `one_line` writes them.
        images: uint8 [N, H, W, C], the images of the points, if they have some.
    """
    (folder / "projector").mkdir(exist_ok=True)
    write_text(folder / "projector/mu.tsv", "".join("\t".join(f"{x:.5g}" for x in row) + "\n" for row in vectors))

    config = projector.ProjectorConfig()
    embedding = config.embeddings.add(tensor_name=title, tensor_path="projector/mu.tsv")
    if images is not None:
        # A coarse image is enough, and TensorBoard refuses large sprites.
        step = -(-max(images.shape[1:3]) // SPRITE_SIDE)
        sprites = images[:, ::step, ::step]
        sprite = tile(sprites, int(np.ceil(np.sqrt(len(sprites)))), line=0)
        write_bytes(folder / "projector/images.png", encode_png(Image.fromarray(sprite.squeeze())))
        embedding.sprite.image_path = "projector/images.png"
        embedding.sprite.single_image_dim.extend([sprites.shape[2], sprites.shape[1]])
    if columns:
        lines = [*([tuple(columns)] if len(columns) > 1 else []), *zip(*columns.values(), strict=True)]
        write_text(folder / "projector/metadata.tsv", "".join("\t".join(map(one_line, line)) + "\n" for line in lines))
        embedding.metadata_path = "projector/metadata.tsv"
    write_text(folder / "projector_config.pbtxt", text_format.MessageToString(config))
