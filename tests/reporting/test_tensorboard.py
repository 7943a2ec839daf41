import dataclasses
import html
import re
import string
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from matplotlib.figure import Figure
from PIL import Image
from scipy.sparse import csr_array
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html
from tensorboard.plugins import projector
from tensorboard.plugins.hparams import plugin_data_pb2

from data.images import Split
from data.vocabulary import build_vocabulary
from reporting.tensorboard import (
    FinalSummary,
    SentenceSummary,
    TopicSummary,
    open_writer,
    verbatim,
    write_figure,
    write_projector,
    write_scores,
    write_table,
)
from tasks.configs import BigGANConfig, InfoBigBiGANConfig
from tasks.modes import MODES
from training.callbacks import EpochEnd, Keeper
from training.runs import create_run

TINY = {"dataset": "digits", "epochs": 1, "batch_size": 64, "precision": "float32", "latent_dim": 4}
TINY |= {"generator_widths": (8,), "discriminator_widths": (8,)}
TINY_ENCODER = {"encoder_widths": (8,), "feature_dim": 8, "latent_width": 8, "latent_blocks": 0}
CONFIGS = {"biggan": BigGANConfig(**TINY), "infobigbigan": InfoBigBiGANConfig(**TINY, **TINY_ENCODER)}


def trained(folder, mode, data):
    """(run, model, events) of a run of one short epoch."""
    config, row = CONFIGS[mode], MODES[mode]
    task = row.make_task()
    run = create_run(str(folder), None, row, config, task.facts(data))
    model = task.build(config, run.facts)
    end = EpochEnd(run, lambda model: {"validation/fid": 1.5}, [Keeper(run), *task.callbacks(run, data)])
    x = task.batches(config, data, 0)
    model.fit(x, epochs=1, steps_per_epoch=3, verbose=0, shuffle=False, callbacks=[end])
    return run, model, events_of(run)


def events_of(run):
    return EventAccumulator(str(run.path / "tensorboard")).Reload()


def tags_of(events, plugin):
    return {tag for tag in events.Tags()["tensors"] if events.SummaryMetadata(tag).plugin_data.plugin_name == plugin}


@pytest.fixture(scope="module")
def infobigbigan(tmp_path_factory, data):
    return trained(tmp_path_factory.mktemp("runs"), "infobigbigan", data)


@pytest.fixture(scope="module")
def biggan(tmp_path_factory, data):
    return trained(tmp_path_factory.mktemp("runs"), "biggan", data)


def test_every_tracked_name_is_a_curve_over_steps(infobigbigan):
    run, model, events = infobigbigan
    assert tags_of(events, "scalars") == {*model.tracked_names, "validation/fid"}
    (point,) = events.Tensors("loss/d")
    assert point.step == 3
    np.testing.assert_allclose(tf.make_ndarray(point.tensor_proto), run.history[0]["loss/d"], rtol=1e-6)


def test_pictures_of_a_model_with_encoder_and_code(infobigbigan):
    _, _, events = infobigbigan
    assert tags_of(events, "images") == {
        "pictures/samples",
        "pictures/reconstructions",
        "pictures/interpolations",
        "evaluation only/confusion",
    }
    for tag in tags_of(events, "images"):
        picture = tf.io.decode_png(events.Tensors(tag)[-1].tensor_proto.string_val[2]).numpy()
        assert (picture.min(), picture.max()) == (0, 255)  # black text on white


def test_pictures_of_a_model_without(biggan):
    run, _, events = biggan
    assert tags_of(events, "images") == {"pictures/samples", "pictures/interpolations"}
    assert not (run.path / "tensorboard/projector_config.pbtxt").exists()


def test_every_option_is_a_hyperparameter(infobigbigan):
    run, _, events = infobigbigan
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    info = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert info.group_name == run.path.name
    assert set(info.hparams) == {"mode", *vars(run.config)}
    assert info.hparams["generator_widths"].string_value == "(8,)"
    assert info.hparams["ema_decay"].number_value == 0.999
    assert info.hparams["s_x"].bool_value


def test_the_final_scores_are_metrics_of_the_dashboard(infobigbigan, tmp_path):
    run = dataclasses.replace(infobigbigan[0], path=tmp_path)
    write_scores(run, {"fid": 1.5, "hungarian_accuracy": 0.25, "fid_floor": 0.5, "mode": "infobigbigan"}, step=3)
    events = EventAccumulator(str(tmp_path / "tensorboard"), {"tensors": 0}).Reload()
    content = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    shown = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
    assert [metric.name.tag for metric in shown.metric_infos] == ["test/fid", "test/hungarian_accuracy"]
    assert {own.name for own in shown.hparam_infos} == {"mode", *vars(run.config)}
    assert tf.make_ndarray(events.Tensors("test/fid")[0].tensor_proto) == 1.5


def test_projector_shows_mu_with_sprites_classes_and_codes(infobigbigan, data):
    run, model, _ = infobigbigan
    folder = run.path / "tensorboard"
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), projector.ProjectorConfig())
    (embedding,) = config.embeddings
    count = len(data.test.images)  # 359
    assert np.loadtxt(folder / embedding.tensor_path).shape == (count, 4)
    assert list(embedding.sprite.single_image_dim) == [8, 8]
    assert Image.open(folder / embedding.sprite.image_path).size == (19 * 8, 19 * 8)
    header, *lines = (folder / embedding.metadata_path).read_text().splitlines()
    assert header == "class\tcode"
    assert [int(line.split("\t")[0]) for line in lines] == data.test.labels.tolist()


def test_the_projector_shows_the_names_of_classes(tmp_path, infobigbigan, data):
    run, model, _ = infobigbigan
    (tmp_path / "tensorboard").mkdir()
    names = tuple(f"no.\t{digit}" for digit in "0123456789")
    callback = FinalSummary(dataclasses.replace(run, path=tmp_path), open_writer(run), data._replace(class_names=names))
    callback.set_model(model)
    callback.on_train_end()
    _, *lines = (tmp_path / "tensorboard/projector/metadata.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == [f"no. {label}" for label in data.test.labels]


def test_without_labels_there_is_no_confusion(tmp_path, infobigbigan, data):
    run, model, _ = infobigbigan
    (tmp_path / "tensorboard").mkdir()
    run = dataclasses.replace(run, path=tmp_path)
    unlabelled = data._replace(train=Split(data.train.images, None), test=Split(data.test.images, None))
    callback = FinalSummary(run, open_writer(run), unlabelled)
    callback.set_model(model)
    callback.on_train_end()
    assert tags_of(events_of(run), "images") == set()
    lines = (tmp_path / "tensorboard/projector/metadata.tsv").read_text().splitlines()
    assert len(lines) == len(data.test.images)  # one column has no header


def test_large_colour_sprites_are_made_coarser(tmp_path):
    write_projector(tmp_path, "mu", np.zeros([3, 2]), {}, np.zeros([3, 100, 100, 3], np.uint8))
    sprite = Image.open(tmp_path / "projector/images.png")
    assert (sprite.mode, sprite.size) == ("RGB", (100, 100))  # two by two of 50 x 50
    assert "metadata_path" not in (tmp_path / "projector_config.pbtxt").read_text()


NASTY = [  # each as one word of a corpus
    *(
        "__init__",
        "*",
        "**bold**",
        "`code`",
        "```",
        "<b>",
        "</td>",
        "<script>alert(1)</script>",
        "<!--",
        "&amp;",
        "&#42;",
    ),
    *(
        "#",
        "-",
        "---",
        "+",
        "1.",
        ">",
        "|",
        "\\|",
        "\\",
        "![a](b)",
        "[a]: b",
        "http://a.b",
        "<http://a.b>",
        "~~a~~",
        "$x$",
    ),
    *("snake_case_name", "=====", "a@b.c", ":-:", string.punctuation, "क्षत्रिय", "中文", "é", "\u200d"),
]


def cells_of(markdown):
    """The rows of the only table that TensorBoard makes of a text, each a list of its cells as a person sees them."""
    page = markdown_to_safe_html(markdown)
    assert page.count("<table>") == 1 and not re.sub(r"</?(table|thead|tbody|tr|th|td)>|[^<>]", "", page)
    rows = re.findall("<tr>(.*?)</tr>", page, re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall("<t[hd]>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]


def text_of(run, tag):
    return events_of(run).Tensors(tag)[-1].tensor_proto.string_val[0].decode()


def bare_run(path):
    (path / "tensorboard").mkdir()
    return SimpleNamespace(path=path, epochs=1, config=SimpleNamespace(seed=0), dataset="own")


@pytest.mark.parametrize("text", [*NASTY, " ".join(NASTY)])
def test_tensorboard_shows_a_text_letter_by_letter(text):
    assert html.unescape(re.sub("^<p>|</p>$", "", markdown_to_safe_html(verbatim(text)))) == text


def test_a_table_of_texts_shows_every_cell(tmp_path):
    run = bare_run(tmp_path)
    rows = [[text, other] for text, other in zip(NASTY, reversed(NASTY), strict=True)]
    with open_writer(run).as_default(0):
        write_table("t", ["a_b_c", "*"], [*rows, ["", "two\nlines\tand a tab"]])
    assert cells_of(text_of(run, "t")) == [["a_b_c", "*"], *rows, ["", "two lines and a tab"]]


def test_topics_show_their_words(tmp_path):
    run, words = bare_run(tmp_path), sorted(NASTY)
    kernel = np.arange(float(len(words)))[np.newaxis]
    model = SimpleNamespace(decoder=SimpleNamespace(kernel=tf.constant(kernel)), step=tf.constant(1))
    counts = csr_array(np.ones((1, len(words)), np.float32))
    callback = TopicSummary(run, open_writer(run), SimpleNamespace(words=words, train=SimpleNamespace(counts=counts)))
    callback.set_model(model)
    callback.on_epoch_end(0)
    (header, (topic, shown)) = cells_of(text_of(run, "topics"))
    assert (header, topic) == (["topic", "top words"], "0")
    assert set(shown.split()) <= set(words) and len(shown.split()) == 10


def test_generated_sentences_show_their_words(tmp_path):
    run, vocabulary = bare_run(tmp_path), build_vocabulary([NASTY], 100)
    sentences = [vocabulary.encode([word, "*"]) for word in NASTY]
    model = SimpleNamespace(generate_ids=lambda count, seed: sentences[:count], step=tf.constant(1))
    callback = SentenceSummary(run, open_writer(run), SimpleNamespace(vocabulary=vocabulary))
    callback.set_model(model)
    callback.on_epoch_end(0)
    assert cells_of(text_of(run, "samples")) == [["from the prior"], *([f"{word} *"] for word in NASTY[:8])]


def test_white_space_in_a_value_does_not_break_the_projector(tmp_path):
    write_projector(tmp_path, "mu", np.zeros([2, 2]), {"class": ["a\tb", "c\nd"], "words": ["*", "__init__"]})
    lines = (tmp_path / "projector/metadata.tsv").read_text().splitlines()
    assert lines == ["class\twords", "a b\t*", "c d\t__init__"]


def test_a_written_figure_leaves_the_memory(tmp_path):
    kept = []

    def figure():
        made = Figure()
        made.subplots().plot([0, 1])
        kept.append(weakref.ref(made.axes[0]))
        return made

    with tf.summary.create_file_writer(str(tmp_path)).as_default(0):
        write_figure("a", figure())
    assert kept[0]() is None
