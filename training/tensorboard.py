"""What a training shows in TensorBoard: `tensorboard --logdir runs`.

One writer serves all callbacks of a run: of several event files in a directory TensorBoard follows only the last.
"""

import dataclasses
from pathlib import Path

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
from data.documents import DocumentCorpus
from data.images import ImageDataset, to_float
from data.order import places
from data.sentences import SentenceCorpus, printed
from metrics.clustering import confusion, match_codes
from metrics.topics import frequent_words, top_words
from training.callbacks import is_due, is_kept
from training.figures import (
    attention_figure,
    confusion_figure,
    encode_png,
    heat_map_figure,
    model_rows,
    pixels,
    tile,
)
from training.runs import Run, write_arrays, write_bytes, write_text
from training.scores import numbers

SHOWN = 50  # test images that are reconstructed
ATTENTIONS = 4  # pictures of attention in a training, about; each takes a second
EMBEDDED = 2000  # test images in the projector and in the confusion table
SPRITE_SIDE = 64  # largest height and width of a sprite, in pixels
SENTENCES = 8  # that are shown of each kind


def image_callbacks(run: Run, data: ImageDataset) -> list[keras.callbacks.Callback]:
    """The callbacks of an image mode; they stand after `Keeper`, which refreshes the averages that they show."""
    writer = open_writer(run)
    return [Scalars(run, writer), Pictures(run, writer, data), FinalSummary(run, writer, data)]


def document_callbacks(run: Run, corpus: DocumentCorpus) -> list[keras.callbacks.Callback]:
    """The callbacks of the mode nvdm."""
    writer = open_writer(run)
    return [Scalars(run, writer), TopicSummary(run, writer, corpus)]


def language_callbacks(run: Run, corpus: SentenceCorpus) -> list[keras.callbacks.Callback]:
    """The callbacks of the modes lm, vae, twrvae and mlvae."""
    writer = open_writer(run)
    shown = [Scalars(run, writer), SentenceSummary(run, writer, corpus)]
    return shown + ([StepKL(run, writer, corpus)] if run.mode == "twrvae" else [])


def answer_callbacks(run: Run, corpus: AnswerCorpus) -> list[keras.callbacks.Callback]:
    """The callbacks of the modes nasm and gqa."""
    writer = open_writer(run)
    return [Scalars(run, writer)] + ([QuestionSummary(run, writer, corpus)] if run.mode == "nasm" else [])


def open_writer(run: Run) -> tf.summary.SummaryWriter:
    return tf.summary.create_file_writer(str(run.path / "tensorboard"))


def write_scores(run: Run, scores: dict, step: int):
    """What the evaluation of a finished training found, one point each at the step of the checkpoint that it used."""
    writer = open_writer(run)
    with writer.as_default(step):
        for name, value in numbers(scores).items():
            tf.summary.scalar(f"test/{name}", value)
    writer.close()


class Scalars(keras.callbacks.Callback):
    """The curves of everything that training reports, and the run's options for the HParams dashboard.

    The dashboard takes the last value of every curve as the run's result.
    """

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter):
        super().__init__()
        self.run, self.writer = run, writer

    def on_train_begin(self, logs=None):
        options = {"mode": self.run.mode} | dataclasses.asdict(self.run.config)
        shown = {name: str(value) if isinstance(value, tuple | None) else value for name, value in options.items()}
        with self.writer.as_default():
            hparams.hparams(shown, trial_id=self.run.path.name)  # runs that differ in nothing are still two
        self.writer.flush()

    def on_epoch_end(self, epoch, logs=None):
        with self.writer.as_default(int(self.model.step)):
            for name, value in logs.items():
                tf.summary.scalar(name, value)
        self.writer.flush()


class Pictures(keras.callbacks.Callback):
    """When due: samples from fixed noise, reconstructions and interpolations of fixed test images."""

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, data: ImageDataset):
        super().__init__()
        self.run, self.writer = run, writer
        self.images = to_float(data.test.images[:SHOWN])

    def on_epoch_end(self, epoch, logs=None):
        config = self.run.config
        if not is_due(epoch + 1, config.epochs):
            return
        with self.writer.as_default(int(self.model.step)):
            for name, rows in model_rows(self.model, self.images, config.seed).items():
                write_figure(f"pictures/{name}", rows.figure(self.run.dataset))
        self.writer.flush()


class FinalSummary(keras.callbacks.Callback):
    """When the training is over: E's mu of test images in the projector, and the head's codes against the classes.

    Classes colour the points and fill the table; nothing of it goes back into the model.
    """

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, data: ImageDataset):
        super().__init__()
        self.run, self.writer, self.data = run, writer, data

    def on_train_end(self, logs=None):
        images, labels = (None if part is None else part[:EMBEDDED] for part in self.data.test)
        columns = {} if labels is None else {"class": labels}
        if hasattr(self.model, "code"):
            columns["code"] = self.codes(images)
        if hasattr(self.model, "encode"):
            mu = self.model.encode(to_float(images)).mu
            write_projector(self.run.path / "tensorboard", "mu of test images", mu, columns, images)
        if columns.keys() == {"class", "code"}:
            self.write_confusion(columns["code"], labels)

    def codes(self, images: np.ndarray) -> np.ndarray:
        """The head's most probable category of images uint8 [N, H, W, C], int [N]."""
        return self.model.classify(to_float(images)).argmax(1)

    def write_confusion(self, codes: np.ndarray, labels: np.ndarray):
        """The order of the rows, a map from codes to classes, is fitted on as many training images."""
        num_codes = self.model.code.num_categories
        train, known = (part[:EMBEDDED] for part in self.data.train)
        code_to_class = match_codes(self.codes(train), known, num_codes)
        table = confusion(codes, labels, num_codes, 1 + max(labels.max(), known.max()))
        with self.writer.as_default(int(self.model.step)):
            write_figure("evaluation only/confusion", confusion_figure(table, code_to_class, self.run.dataset))
        self.writer.flush()


def write_figure(tag: str, figure: Figure):
    tf.summary.image(tag, pixels(figure)[np.newaxis])  # as one array: a list of bytes would be taken for int32


class TopicSummary(keras.callbacks.Callback):
    """When due: the top words of every topic; when the training is over: mu of test documents in the projector."""

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, corpus: DocumentCorpus):
        super().__init__()
        self.run, self.writer, self.corpus = run, writer, corpus

    def on_epoch_end(self, epoch, logs=None):
        if is_due(epoch + 1, self.run.config.epochs):
            topics = top_words(self.model.decoder.kernel.numpy(), self.corpus.words, self.corpus.train.counts)
            lines = [f"| {topic} | {' '.join(words)} |" for topic, words in enumerate(topics)]
            with self.writer.as_default(int(self.model.step)):
                tf.summary.text("topics", "\n".join(["| topic | top words |", "|---|---|", *lines]))
            self.writer.flush()

    def on_train_end(self, logs=None):
        test = self.corpus.test
        shown = places(test.counts.shape[0], EMBEDDED)
        counts, labels = test.counts[shown], None if test.labels is None else test.labels[shown]
        names = self.corpus.label_names
        columns = {} if labels is None else {"class": np.array(names)[labels]}
        columns["words"] = [" ".join(words) for words in frequent_words(counts, self.corpus.words)]
        mu = self.model.infer(tf.constant(counts.toarray()))[0].numpy()
        write_projector(self.run.path / "tensorboard", "mu of test documents", mu, columns)


class SentenceSummary(keras.callbacks.Callback):
    """When due: sentences from the prior, and validation sentences with what a model with z makes of them."""

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, corpus: SentenceCorpus):
        super().__init__()
        self.run, self.writer, self.corpus = run, writer, corpus

    def on_epoch_end(self, epoch, logs=None):
        if not is_due(epoch + 1, self.run.config.epochs):
            return
        with self.writer.as_default(int(self.model.step)):
            self.write("samples", ["from the prior"], self.model.generate(SENTENCES, seed=self.run.config.seed))
            if hasattr(self.model, "reconstruct"):
                shown = self.corpus.validation[:SENTENCES]
                self.write("reconstructions", ["sentence", "decoded from mu"], shown, self.model.reconstruct(shown))
        self.writer.flush()

    def write(self, tag: str, header: list[str], *columns: list[np.ndarray]):
        words = self.corpus.vocabulary
        rows = [[printed(words, ids).replace("|", "\\|") for ids in row] for row in zip(*columns, strict=True)]
        lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
        tf.summary.text(tag, "\n".join(lines))


class StepKL(keras.callbacks.Callback):
    """The mean KL of each step's posterior on validation sentences, a row an epoch, over the training as heat maps.

    With every checkpoint they are drawn and their rows kept, so that a resumed training goes on with them.
    """

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, corpus: SentenceCorpus):
        super().__init__()
        self.run, self.writer, self.corpus = run, writer, corpus
        self.file = run.path / "tensorboard/kl_by_step.npz"
        self.rows = list(np.load(self.file)["rows"]) if self.file.exists() else []

    def on_epoch_end(self, epoch, logs=None):
        row = self.model.kl_by_step(self.corpus.validation)
        lost = [np.full_like(row, np.nan)] * (epoch - len(self.rows))  # by a stop after a checkpoint and before its row
        self.rows = [*self.rows[:epoch], *lost, row]
        if not is_kept(epoch + 1, self.run.config.epochs):
            return
        write_arrays(self.file, rows=self.rows)
        maps = np.full([2, self.run.config.epochs, self.rows[0].shape[1]], np.nan)
        maps[:, : epoch + 1] = np.swapaxes(self.rows, 0, 1)
        title = f"{self.run.dataset}: mean KL of q(z_t | x_1..t) to N(0, I), in nats, on validation sentences"
        ways = "step, counted from the start of the sentence", "step, counted from its end"
        with self.writer.as_default(int(self.model.step)):
            write_figure("kl_by_step", heat_map_figure(dict(zip(ways, maps, strict=True)), title, "epoch"))
        self.writer.flush()


class QuestionSummary(keras.callbacks.Callback):
    """A few times: the attention to right answers; at the end: h's mean of test questions in the projector."""

    def __init__(self, run: Run, writer: tf.summary.SummaryWriter, corpus: AnswerCorpus):
        super().__init__()
        self.run, self.writer, self.corpus = run, writer, corpus

    def on_epoch_end(self, epoch, logs=None):
        if self.model.attention != "none" and is_due(epoch + 1, self.run.config.epochs, ATTENTIONS):
            figure = attention_figure(self.model, self.corpus, self.run.config.seed, self.run.dataset)
            with self.writer.as_default(int(self.model.step)):
                write_figure("attention", figure)
            self.writer.flush()

    def on_train_end(self, logs=None):
        test = self.corpus.test
        batch = next(iter(answers.evaluation_batches(test, self.corpus.vocabulary, EMBEDDED)))
        columns = {"question": [" ".join(question) for question in test.questions[:EMBEDDED]]}
        columns["first word"] = [question[0] for question in test.questions[:EMBEDDED]]
        folder = self.run.path / "tensorboard"
        write_projector(folder, "test questions", self.model.encode(batch).numpy(), columns)


def write_projector(folder: Path, title: str, vectors: np.ndarray, columns: dict, images: np.ndarray | None = None):
    """Files of the embedding projector, with images as sprites where there are any.

    Args:
        folder: a run's TensorBoard directory.
        title: what the vectors are.
        vectors: float [N, D].
        columns: what to colour or label points by, name -> N values.
        images: uint8 [N, H, W, C].
    """
    (folder / "projector").mkdir(exist_ok=True)
    write_text(folder / "projector/mu.tsv", "".join("\t".join(f"{x:.5g}" for x in row) + "\n" for row in vectors))

    config = projector.ProjectorConfig()
    embedding = config.embeddings.add(tensor_name=title, tensor_path="projector/mu.tsv")
    if images is not None:
        step = -(-max(images.shape[1:3]) // SPRITE_SIDE)  # coarser is enough, and TensorBoard refuses large sprites
        sprites = images[:, ::step, ::step]
        sprite = tile(sprites, int(np.ceil(np.sqrt(len(sprites)))), line=0)
        write_bytes(folder / "projector/images.png", encode_png(Image.fromarray(sprite.squeeze())))
        embedding.sprite.image_path = "projector/images.png"
        embedding.sprite.single_image_dim.extend([sprites.shape[2], sprites.shape[1]])
    if columns:
        lines = [*([tuple(columns)] if len(columns) > 1 else []), *zip(*columns.values(), strict=True)]
        write_text(folder / "projector/metadata.tsv", "".join("\t".join(map(str, line)) + "\n" for line in lines))
        embedding.metadata_path = "projector/metadata.tsv"
    write_text(folder / "projector_config.pbtxt", text_format.MessageToString(config))
