"""The explorer: a local web page on trained models. A model has a tab, whose parts are in `image_page` and `text_page`."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import gradio as gr
import tensorflow_datasets  # noqa: F401  # loaded here, since it replaces `import` in all threads while it loads
from gradio import themes

from reporting.image_page import ImagePage
from reporting.text_page import DocumentPage, RankerPage, SentencePage
from text_vae.language_vae import LanguageModel
from text_vae.nvdm import NVDM
from text_vae.ranker import Ranker
from training.runs import Run

TITLE = "InfoBigBiGAN explorer"
MOST_BYTES = "40mb"  # of an upload
KEPT_SECONDS = 3600  # that uploads and pictures stay on disk
FONTS = ("system-ui", "sans-serif")  # of the reader's own system: nothing is fetched from other servers


class Opened(NamedTuple):
    """A run, ready to be shown."""

    run: Run
    model: Any
    summary: str  # what its mode is, in one line
    load: Callable[[], Any]  # reads its data; raises InputError if they are not there


def page(opened: Sequence[Opened]) -> gr.Blocks:
    """Return the web page of these runs, a tab for each."""
    with gr.Blocks(analytics_enabled=False, title=TITLE, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as blocks:
        gr.Markdown("# InfoBigBiGAN explorer\nNothing that you draw, type or upload leaves this machine.")
        with gr.Tabs():
            for own in opened:
                with gr.Tab(f"{own.run.mode} on {own.run.dataset}"):
                    summary = own.summary[:1].upper() + own.summary[1:]
                    gr.Markdown(f"{summary}. Run: `{own.run.path}`, seed {own.run.config.seed}.")
                    part_of(own).build()
    return blocks


def part_of(own: Opened) -> Any:
    """Return the part of the page that fits a run's model."""
    load = functools.cache(own.load)
    if isinstance(own.model, LanguageModel):
        return SentencePage(own.model)
    if isinstance(own.model, NVDM):
        return DocumentPage(own.model, load)
    if isinstance(own.model, Ranker):
        return RankerPage(own.model, own.run.scores.get("prior_weight", 0.0))
    return ImagePage(own.run, own.model, load)


@contextlib.contextmanager
def served(blocks: gr.Blocks, host: str, port: int | None) -> Iterator[str]:
    """Serve a page in the background; give its address. A port of None is a free one from 7860 on."""
    theme = themes.Default(font=[themes.Font(name) for name in FONTS], font_mono=[themes.Font("monospace")])
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        max_file_size=MOST_BYTES,
        ssr_mode=False,
        footer_links=[],
        theme=theme,
        enable_monitoring=False,
    )
    try:
        yield address
    finally:
        blocks.close(verbose=False)
