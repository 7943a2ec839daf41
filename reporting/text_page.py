"""The explorer's parts for models of text: sentences, topics of documents, and rankings of answers."""

import functools
import html
from collections.abc import Callable, Sequence

import gradio as gr
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from PIL import Image

from data import documents
from data.documents import DocumentCorpus
from data.errors import InputError
from data.sentences import evaluation_batches
from data.vocabulary import EOS
from losses.variational import gaussian_kl
from metrics.retrieval import nearest
from metrics.topics import frequent_words
from reporting.controls import shown_image, told, whole
from reporting.figures import DPI, as_written, pixels
from reporting.tensorboard import verbatim
from text_vae.language_vae import LanguageModel, LanguageVAE
from text_vae.nasm import NASM
from text_vae.nvdm import NVDM
from text_vae.ranker import Ranker
from text_vae.twr_vae import TWRVAE

MOST_TEXTS = 50  # samples at a time
TOPICS_SHOWN = 8  # topics of a document
WORDS_SHOWN = 10  # words of a topic
NEAREST = 5  # documents beside a document
BATCH = 500  # training documents whose z is computed at a time
MOST_STEPS = 15  # texts on a line


class SentencePage:
    """The tabs of a language model, with or without z."""

    def __init__(self, model: LanguageModel):
        self.model = model

    def build(self) -> None:
        """Add the tabs to the page that is being built."""
        with gr.Tabs():
            with gr.Tab("Samples"):
                self.build_samples()
            if isinstance(self.model, LanguageVAE):
                with gr.Tab("Reconstruct"):
                    self.build_reconstruction(self.model)
                with gr.Tab("Interpolate"):
                    self.build_interpolation(self.model)

    def build_samples(self) -> None:
        gr.Markdown("Texts that are drawn from the prior. Temperature 0 takes the likeliest word at each step.")
        with gr.Row():
            count = gr.Slider(1, MOST_TEXTS, 10, step=1, label="number of texts")
            temperature = gr.Slider(0.0, 2.0, 1.0, step=0.05, label="temperature")
            top_p = gr.Slider(0.05, 1.0, 0.9, step=0.05, label="top-p")
            seed = gr.Number(0, label="seed", precision=0, minimum=0, maximum=2**31 - 1)
        button = gr.Button("Draw", elem_id="draw")
        shown = gr.Textbox("\n".join(self.first), label="texts", lines=10, elem_id="texts")
        button.click(told(self.samples), [count, temperature, top_p, seed], shown)

    @functools.cached_property
    def first(self) -> list[str]:
        """The texts that the fields hold at first: those of the first position of the controls of the samples."""
        return self.model.generate(10, top_p=0.9)

    def samples(self, count: float, temperature: float, top_p: float, seed: float) -> str:
        """Return texts from the prior, a line each."""
        return "\n".join(self.model.generate(int(count), temperature, top_p, whole(seed, "seed")))

    def build_reconstruction(self, model: LanguageVAE) -> None:
        gr.Markdown("What the decoder makes of the mean of q(z | x) of your text. Unknown words become `<unk>`.")
        text = gr.Textbox(self.first[0], label="your text", elem_id="own-text")
        button = gr.Button("Reconstruct", elem_id="reconstruct")
        read, again = gr.Textbox(label="as the model reads it"), gr.Textbox(label="reconstruction", elem_id="again")
        chart = shown_image(label="KL", elem_id="kl")

        def reconstruct(text: str) -> tuple[str, str, Image.Image]:
            ids = model.ids_of([text])
            return model.texts_of(ids)[0], model.texts_of(model.reconstruct_ids(ids))[0], self.kl_chart(model, ids[0])

        button.click(told(reconstruct), text, [read, again, chart])

    @staticmethod
    def kl_chart(model: LanguageVAE, ids: np.ndarray) -> Image.Image:
        """Return a chart of the KL of q from N(0, I) for a text, in nats: TWR-VAE's by step, that of others by dimension.

        The prior of z1 of ml-VAE-D is learned; so there the sum is not the KL of the bound.
        """
        (one,) = evaluation_batches([ids], 1)
        if isinstance(model, TWRVAE):
            steps = int(model.steps(one["lengths"])[0])
            kl = gaussian_kl(*model.infer_steps(one))[0, :steps].numpy()
            words = [model.worded().words[i] for i in [*ids, EOS][:steps]]
            return bars(kl, words, "KL of q(z | the words so far) from N(0, I) [nats]")
        latent = model.infer(one)
        kl = np.sort(gaussian_kl(latent.mu[0, :, None], latent.log_variance[0, :, None]).numpy())[::-1]
        title = f"KL of q from N(0, I) in each dimension of z, largest first [nats]; the sum is {kl.sum():.2f}"
        return bars(kl, [str(i + 1) for i in range(len(kl))], title)

    def build_interpolation(self, model: LanguageVAE) -> None:
        gr.Markdown("Texts that are decoded on the line between the means of q(z | x) of two texts.")
        first = gr.Textbox(self.first[0], label="from", elem_id="from")
        second = gr.Textbox(self.first[1], label="to", elem_id="to")
        steps = gr.Slider(3, MOST_STEPS, 7, step=1, label="texts on the line")
        button = gr.Button("Interpolate", elem_id="interpolate")
        shown = gr.Textbox(label="texts", lines=7, elem_id="line")

        def interpolate(first: str, second: str, steps: float) -> str:
            return "\n".join(model.interpolate(first, second, int(steps)))

        button.click(told(interpolate), [first, second, steps], shown)


class DocumentPage:
    """The tabs of a topic model.

    Args:
        model: the trained model.
        load: returns the corpus; raises InputError if it is not there.
    """

    def __init__(self, model: NVDM, load: Callable[[], DocumentCorpus]):
        self.model, self.load = model, load

    def build(self) -> None:
        """Add the tabs to the page that is being built."""
        with gr.Tabs():
            with gr.Tab("Topics"):
                gr.Markdown("The heaviest words of each topic.\n\n" + self.topics())
            with gr.Tab("A document of yours"):
                text = gr.Textbox(label="your document", lines=6, elem_id="document")
                button = gr.Button("Find its topics", elem_id="find-topics")
                chart = shown_image(label="topics", elem_id="topics")
                near = gr.Markdown(elem_id="near-documents")
                z = gr.State(None)
                found = button.click(told(self.charted), text, [z, chart])
                found.success(told(self.near), z, near)  # later, since it may read the data first

    def topics(self) -> str:
        """Return the topics as a table in Markdown."""
        rows = [f"| {i} | {verbatim(' '.join(words))} |" for i, words in enumerate(self.model.topics(WORDS_SHOWN))]
        return "\n".join(["| topic | words |", "|---|---|", *rows])

    def charted(self, text: str) -> tuple[np.ndarray, Image.Image]:
        """Return the mean of z of a document, float32 [1, topics], and a chart of its topics."""
        every = self.model.transform([text])
        z = every[0]
        names = [" ".join(words[:4]) for words in self.model.topics()]
        strongest = np.argsort(-np.abs(z), kind="stable")[:TOPICS_SHOWN]
        return every, bars(z[strongest], [f"{i}: {names[i]}" for i in strongest], "mean of z in the strongest topics")

    def near(self, z: np.ndarray) -> str:
        """Return the training documents nearest to z [1, topics], in Markdown; or why they cannot be shown."""
        try:
            known, vectors = self.known
        except InputError as error:
            return f"No documents beside it: {verbatim(str(error))}"
        rows = nearest(z, vectors, NEAREST)[0]
        words = frequent_words(known.train.counts[rows], known.words)
        lines = [f"- document {i}: {verbatim(' '.join(own))}" for i, own in zip(rows, words, strict=True)]
        return "Nearest training documents, with their most frequent words:\n\n" + "\n".join(lines)

    @functools.cached_property
    def known(self) -> tuple[DocumentCorpus, np.ndarray]:
        """The corpus, and the means of z of its training documents, float32 [D, topics]."""
        corpus = self.load()
        batches = documents.evaluation_batches(corpus.train.counts, BATCH)
        return corpus, np.concatenate([self.model.infer(x)[0] for x in batches])


class RankerPage:
    """The part of a ranker.

    Args:
        model: the trained model.
        prior_weight: the weight of the second score, as the run chose it.
    """

    def __init__(self, model: Ranker, prior_weight: float):
        self.model, self.prior_weight = model, prior_weight

    def build(self) -> None:
        """Add the part to the page that is being built."""
        attends = isinstance(self.model, NASM) and self.model.attention != "none"
        gr.Markdown(
            "The candidates are ranked, the best first."
            + (" The darker a word, the more attention it gets, by the mean of h." if attends else "")
        )
        question = gr.Textbox(label="question", elem_id="question")
        candidates = gr.Textbox(label="candidates, a line each", lines=5, elem_id="candidates")
        button = gr.Button("Rank", elem_id="rank")
        shown = gr.HTML(elem_id="ranking")
        button.click(told(self.ranking), [question, candidates], shown)

    def ranking(self, question: str, candidates: str) -> str:
        """Return the ranking as HTML; `candidates` are lines."""
        offered = [line for line in candidates.splitlines() if line.strip()]
        ranked = self.model.rank(question, offered, self.prior_weight)
        shades = self.attention(question, [own.candidate for own in ranked])
        rows = "".join(
            f"<li value={place}><b>{own.score:.3f}</b> &nbsp; {shaded(words)}</li>"
            for place, (own, words) in enumerate(zip(ranked, shades, strict=True), 1)
        )
        return f"<ol>{rows}</ol>"

    def attention(self, question: str, candidates: Sequence[str]) -> list[list[tuple[str, float]]]:
        """Return the words of each candidate with their attention, in [0, 1]; 0 for a model without attention."""
        words = self.model.worded().split(candidates)
        if not isinstance(self.model, NASM) or self.model.attention == "none":
            return [[(word, 0.0) for word in own] for own in words]
        batch = self.model.batch_of(question, candidates)
        _, answer = self.model.read(batch)
        alpha = self.model.weights_of_words(answer, tf.repeat(self.model.encode(batch), len(words), 0)).numpy()
        return [list(zip(own, map(float, weights), strict=False)) for own, weights in zip(words, alpha, strict=True)]


def shaded(words: Sequence[tuple[str, float]]) -> str:
    """Return words as HTML, each on a ground whose strength is its number, in [0, 1]."""
    return " ".join(
        f'<span style="background: rgba(30, 100, 200, {weight:.2f})">{html.escape(word)}</span>'
        for word, weight in words
    )


def bars(values: np.ndarray, names: Sequence[str], title: str) -> Image.Image:
    """Return a chart of horizontal bars, the first on top."""
    figure = Figure(figsize=(7, 0.8 + 0.24 * len(values)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(values)), values)
    axes.set_yticks(range(len(values)), [as_written(name, 40) for name in names], fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    return Image.fromarray(pixels(figure))
