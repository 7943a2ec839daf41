"""The report's drawn figures: the flow of data in the models."""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from reporting.figures import save_figure

DPI = 200
COLOURS = {  # kind of box -> its fill and its line, the same in all figures
    "value": ("#ffffff", "#444444"),  # data, latents, scores
    "encoder": ("#dbe9f6", "#2b6ca3"),
    "generator": ("#fde6cf", "#b85c00"),
    "discriminator": ("#dcefdc", "#2f7a38"),
    "code": ("#eadcf2", "#7b3f98"),  # the values that InfoBigBiGAN adds to BigBiGAN
    "head": ("#eadcf2", "#7b3f98"),  # the network that it adds
    "loss": ("#f7f5ec", "#8a7a3a"),
    "frame": ("none", "#999999"),
}


Point = tuple[float, float]


class Box(NamedTuple):
    """The middle and the size of a box, in units of its drawing."""

    x: float
    y: float
    width: float
    height: float

    def at(self, across: float, up: float) -> Point:
        """Return a point: (0, 0) is the middle, (1, 0) lies on the right side, and (0, 1) on the upper side."""
        return self.x + across * self.width / 2, self.y + up * self.height / 2


class Drawing:
    """A page of `width` x `height` units of half an inch, counted from the lower left corner."""

    def __init__(self, width: float, height: float):
        self.figure = Figure(figsize=(width / 2, height / 2), dpi=DPI)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.set_axis_off()

    def box(
        self,
        x: float,
        y: float,
        text: str = "",
        colour: str = "value",
        width: float = 1.1,
        height: float = 0.9,
        size: float = 11,
    ) -> Box:
        """Draw a box around the point (x, y), with its text.

        The corners of values are rounder than the corners of networks. A frame is dashed and lies below everything
        else.

        Args:
            colour: one of COLOURS.
            width, height: of the box, in units of the drawing.
            size: of the font, in points.
        """
        fill, line = COLOURS[colour]
        style = f"round,pad=0,rounding_size={0.4 if colour in ('value', 'code') else 0.15}"
        frame: dict[str, Any] = {"linestyle": "--", "zorder": 0} if colour == "frame" else {}
        corner = (x - width / 2, y - height / 2)
        self.axes.add_patch(
            FancyBboxPatch(
                corner, width, height, boxstyle=style, facecolor=fill, edgecolor=line, linewidth=1.2, **frame
            )
        )
        self.say(x, y, text, size=size)
        return Box(x, y, width, height)

    def say(
        self, x: float, y: float, text: str, colour: str | None = None, size: float = 9, align: str = "center"
    ) -> None:
        """Write text at a point, in the line colour of one of COLOURS, or in black."""
        shade = COLOURS[colour][1] if colour else "black"
        self.axes.text(x, y, text, color=shade, fontsize=size, ha=align, va="center", linespacing=1.35)

    def arrow(self, start: Point, end: Point, colour: str = "value", bend: float = 0.0, dashed: bool = False) -> None:
        """Draw an arrow from point to point.

        Args:
            bend: the distance of its middle from the straight line, as a share of its length.
        """
        line: dict[str, Any] = {"linewidth": 1.3, "color": COLOURS[colour][1], "linestyle": "--" if dashed else "-"}
        curve: dict[str, Any] = {"connectionstyle": f"arc3,rad={bend}", "shrinkA": 1, "shrinkB": 1}
        self.axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, **line, **curve))


def image_models() -> Figure:
    """Draw BigBiGAN and, in a colour of its own, the additions of InfoBigBiGAN."""
    page = Drawing(15, 11.4)
    page.say(2.2, 11.1, "real pair", size=10)
    page.say(5.4, 11.1, "generated pair", size=10)
    images = page.box(3.8, 10, colour="frame", width=6.6, height=1.4)
    latents = page.box(3.8, 5.4, colour="frame", width=6.6, height=1.4)
    x, x_hat = page.box(2.2, 10, "$x$"), page.box(5.4, 10, r"$\hat x$")
    encoder = page.box(2.2, 7.7, "E", "encoder", 2.4, 1.1, size=13)
    generator = page.box(5.4, 7.7, "G", "generator", 2.4, 1.1, size=13)
    z_hat, c_hat = page.box(1.5, 5.4, r"$\hat z$"), page.box(2.9, 5.4, r"$\hat c$", "code")
    z, c = page.box(4.7, 5.4, "$z$"), page.box(6.1, 5.4, "$c$", "code")
    page.arrow(x.at(0, -1), encoder.at(0, 1))
    page.arrow(encoder.at(-0.58, -1), z_hat.at(0, 1))
    page.arrow(encoder.at(0.58, -1), c_hat.at(0, 1), "code")
    page.arrow(z.at(0, 1), generator.at(-0.58, -1))
    page.arrow(c.at(0, 1), generator.at(0.58, -1), "code")
    page.arrow(generator.at(0, 1), x_hat.at(0, -1))
    page.say(2.2, 4.35, r"$\hat z \sim N(\mu(x), \sigma^2(x))$")
    page.say(4.95, 4.35, r"$z \sim N(0, I)$,")
    page.say(6.25, 4.35, "$c$ uniform", "code")

    f = page.box(9.4, 10, "F", "discriminator", 1.8, 1.1, size=13)
    h = page.box(9.4, 5.4, "H", "discriminator", 1.8, 1.1, size=13)
    j = page.box(11.2, 7.7, "J", "discriminator", 1.8, 1.1, size=13)
    q = page.box(11.9, 10.75, "Q", "head", 1.3, 0.9, size=13)
    page.arrow(images.at(1, 0), f.at(-1, 0))
    page.say(7.8, 10.3, "image")
    page.arrow(latents.at(1, 0), h.at(-1, 0))
    page.say(7.8, 5.7, "latents")
    page.arrow(f.at(0.4, -1), j.at(-0.5, 1))
    page.arrow(h.at(0.4, 1), j.at(-0.5, -1))
    page.say(9.6, 8.8, "features", align="right")
    page.say(9.6, 6.6, "features", align="right")
    page.arrow(f.at(1, 0.5), q.at(-1, 0), "code")
    for network, score in ((f, "x"), (j, "xz"), (h, "z")):
        out = page.box(13.9, network.y, f"$s_{{{score}}}$")
        page.arrow(network.at(1, 0), out.at(-1, 0))
    page.arrow(q.at(1, 0), (13.1, q.y), "code")
    page.say(11.2, 4.35, "violet: what InfoBigBiGAN adds", "code")
    page.say(13.9, q.y, r"$q(c\,|\,\mathrm{image})$", "code")

    scores = r"\sum_{s_x, s_z, s_{xz}}\ "
    for left, title, *lines in (
        (0.5, "F, H, J and Q minimise", f"${scores}" + r"[1 - s(\mathrm{real})]_+ + [1 + s(\mathrm{generated})]_+$",
         r"$-\ L_I(c;\ Q\ \mathrm{of}\ \hat x)$     F and Q recover the code",
         r"$-\ L_I(\hat c;\ Q\ \mathrm{of}\ x)$     and the codes that E infers"),
        (7.7, "G and E minimise", f"${scores}" + r"s(\mathrm{real}) - s(\mathrm{generated})$",
         r"$-\ L_I(c;\ Q\ \mathrm{of}\ \hat x) - L_I(c;\ E\ \mathrm{of}\ \hat x)$     G shows the code",
         r"$-\ I(\hat c;\ \hat c\,')$     $\hat c\,'$ of E and another view of $x$"),
    ):  # fmt: skip
        page.box(left + 3.4, 1.85, colour="loss", width=6.8, height=3.3)
        page.say(left + 0.3, 3.1, title, size=10, align="left")
        for y, line, colour in zip((2.25, 1.4, 0.65), lines, (None, "code", "code"), strict=True):
            page.say(left + 0.3, y, line, colour, align="left")
    return page.figure


def paragraph_model() -> Figure:
    """Draw ml-VAE-D: two latents, a plan vector for each sentence, a word network for each plan vector."""
    page = Drawing(15, 9.6)
    text = page.box(2.3, 2.3, "paragraph $x$", width=3.0)
    cnn = page.box(2.3, 5.2, "CNN\nmaximum over\npositions", "encoder", 3.0, 2.0, size=10)
    z1, z2 = page.box(6.3, 5.2, "$z_1$"), page.box(6.3, 8.5, "$z_2$")
    page.arrow(text.at(0, 1), cnn.at(0, -1), "encoder")
    page.say(2.5, 3.45, "word vectors", "encoder", align="left")
    page.say(0.8, 0.95, "blue: infers the latents of a paragraph", "encoder", align="left")
    page.say(0.8, 0.45, "orange: generates a paragraph", "generator", align="left")
    page.arrow(cnn.at(1, 0), z1.at(-1, 0), "encoder")
    page.say(4.75, 5.55, r"$q(z_1\,|\,x)$", "encoder")
    page.arrow(z1.at(-0.5, 1), z2.at(-0.5, -1), "encoder")
    page.say(5.85, 6.85, r"$q(z_2\,|\,z_1)$", "encoder", align="right")
    page.arrow(z2.at(0.5, -1), z1.at(0.5, 1), "generator")
    page.say(6.75, 6.85, r"$p(z_1\,|\,z_2)$", "generator", align="left")
    page.say(5.6, 8.5, "$N(0, I)$", "generator", align="right")

    planner = page.box(11.6, 5.2, "sentence LSTM", "generator", 6.0, 1.0)
    page.arrow(z1.at(1, 0), planner.at(-1, 0), "generator")
    page.say(7.75, 4.55, "starts it and\nis every input", "generator", size=8)
    for x, s in ((9.4, "1"), (11.6, "2"), (13.8, "S")):
        plan = page.box(x, 3.7, f"plan$_{s}$", size=10, width=1.4, height=0.8)
        words = page.box(x, 2.3, "word LSTM", "generator", 1.8, 0.8, size=9)
        sentence = page.box(x, 0.9, f"sentence {s}", width=1.9, height=0.8, size=9)
        page.arrow((x, planner.at(0, -1)[1]), plan.at(0, 1), "generator")
        page.arrow(plan.at(0, -1), words.at(0, 1), "generator")
        page.arrow(words.at(0, -1), sentence.at(0, 1), "generator")
    page.say(12.7, 2.3, "...", size=11)
    page.say(8.2, 2.3, "the plan starts it and joins\nevery earlier word it reads", "generator", size=8, align="right")
    page.box(11.55, 8.05, colour="loss", width=6.1, height=2.7)
    page.say(8.8, 8.95, "minimised", size=10, align="left")
    page.say(8.8, 8.3, r"$-\log p(x\,|\,z_1)$", align="left")
    page.say(8.8, 7.7, r"$+\ \beta\,[\,\log q(z_1\,|\,x) - \log p(z_1\,|\,z_2)\,]$", align="left")
    page.say(8.8, 7.1, r"$+\ \beta\,\mathrm{KL}(q(z_2\,|\,z_1)\,\|\,N(0, I))$     $\beta$ from 0 to 1", align="left")
    return page.figure


def sentence_model() -> Figure:
    """Draw TWR-VAE: a posterior at every time step, the mean of all their KLs, and the decoder of the last z."""
    page = Drawing(15, 8.9)
    posteriors = [rf"$\mu_{t}, \sigma_{t}$" for t in "12T"]
    for network, left, loss, above, below in (
        ("encoder", 1.2, r"$\frac{1}{T}\,\sum_t\,\mathrm{KL}(q(z_t\,|\,x_{1..t})\,\|\,N(0, I))$", posteriors,
         ("$x_1$", "$x_2$", "$x_T$")),
        ("generator", 9.4, r"$-\log p(x\,|\,z_T)$", ("$x_1$", "$x_2$", "EOS"), ("BOS", "$x_1$", "$x_T$")),
    ):  # fmt: skip
        minimised = page.box(left + 2.2, 7.3, loss, "loss", 5.9, 1.3)
        places = [left, left + 2.2, left + 4.4]
        cells = [page.box(x, 2.8, "LSTM", network, 1.4, size=10) for x in places]
        for x, cell, read, out in zip(places, cells, below, above, strict=True):
            page.arrow(page.box(x, 0.9, read, width=1.3, size=10).at(0, 1), cell.at(0, -1), network)
            said = page.box(x, 4.8, out, width=1.5, size=10)
            page.arrow(cell.at(0, 1), said.at(0, -1), network)
            page.arrow(said.at(0, 1), (x, minimised.at(0, -1)[1]), "loss")
        page.arrow(cells[0].at(1, 0), cells[1].at(-1, 0), network)
        page.arrow(cells[1].at(1, 0), cells[2].at(-1, 0), network, dashed=True)
    page.say(7.5, 7.3, "+", size=14)
    page.say(7.5, 8.5, "minimised: the mean KL of all steps, and the loss of the words", size=10)
    z = page.box(7.5, 4.8, "$z_T$", width=1.0)
    page.arrow((6.35, 4.8), z.at(-1, 0), "encoder")
    page.arrow(z.at(0.4, -1), cells[0].at(-1, 0), "generator", bend=0.25)
    page.say(7.55, 2.15, "starts it and\njoins every input", "generator", size=8)
    return page.figure


def document_model() -> Figure:
    """Draw NVDM by our recipe: the network reads the mode of p(z | x), and one softmax draws all words."""
    page = Drawing(15, 7.6)
    x = page.box(1.3, 3.2, "counts $x$", width=2.0)
    mode = page.box(4.5, 3.2, "mode of $p(z\\,|\\,x)$\nand its width", "encoder", 3.0, 1.3, size=10)
    network = page.box(7.5, 3.2, "perceptron", "encoder", 2.0, 1.0, size=10)
    posterior = page.box(9.7, 3.2, r"$\mu, \sigma$", width=1.2)
    z = page.box(11.3, 3.2, "$z$", width=1.0)
    decoder = page.box(13.4, 3.2, r"softmax$(Rz + b)$", "generator", 2.4, 1.0, size=10)
    for left, right in itertools.pairwise((x, mode, network, posterior, z)):
        page.arrow(left.at(1, 0), right.at(-1, 0), "encoder")
    page.arrow(z.at(1, 0), decoder.at(-1, 0), "generator")
    page.arrow(decoder.at(-0.4, -1), mode.at(0.3, -1), "generator", bend=-0.22, dashed=True)
    page.say(7.3, 1.0, "Newton's steps use R and b", "generator")
    for x_word, word in ((12.5, "$w_1$"), (13.4, "..."), (14.3, "$w_N$")):
        page.arrow((x_word, decoder.at(0, -1)[1]), (x_word, 1.55), "generator")
        page.say(x_word, 1.2, word, size=11)
    page.say(13.4, 0.55, "independent given $z$", "generator")
    kl = page.box(8.9, 5.6, r"$\mathrm{KL}(q(z\,|\,x)\,\|\,N(0, I))$", "loss", 4.0, 1.0)
    nll = page.box(13.2, 5.6, r"$-\sum_w x_w \log p(w\,|\,z)$", "loss", 3.4, 1.0)
    page.arrow(posterior.at(0, 1), (posterior.x, kl.at(0, -1)[1]), "loss")
    page.arrow(decoder.at(0, 1), (decoder.x, nll.at(0, -1)[1]), "loss")
    page.say(11.2, 5.6, "+", size=14)
    page.say(11.2, 6.75, "minimised", size=10)
    page.say(1.3, 6.75, "blue: infers the topics of a document", "encoder", align="left")
    page.say(1.3, 6.25, "orange: generates the words", "generator", align="left")
    return page.figure


def answer_model() -> Figure:
    """Draw NASM: a latent of the question steers the attention to the words of an answer."""
    page = Drawing(15, 9.8)
    cells = {}
    for side, places, words in (
        ("question", (1.0, 2.9, 4.8), ("$q_1$", "$q_2$", "$q_{|q|}$")),
        ("answer", (10.0, 11.9, 13.8), ("$a_1$", "$a_2$", "$a_{|a|}$")),
    ):
        cells[side] = [page.box(x, 2.6, "LSTM", "discriminator", 1.4, size=10) for x in places]
        for cell, word in zip(cells[side], words, strict=True):
            page.arrow(page.box(cell.x, 0.9, word, width=1.2, size=10).at(0, 1), cell.at(0, -1), "discriminator")
        page.arrow(cells[side][0].at(1, 0), cells[side][1].at(-1, 0), "discriminator")
        page.arrow(cells[side][1].at(1, 0), cells[side][2].at(-1, 0), "discriminator", dashed=True)
    z_q, h = page.box(4.8, 4.7, "$z_q$"), page.box(7.4, 4.7, "$h$")
    attention = page.box(11.9, 4.7, r"attention $\alpha_i$", "discriminator", 5.2, 0.9, size=10)
    z_a = page.box(11.9, 6.4, "$z_a$")
    score = page.box(7.4, 6.9, r"$z_q^\top M z_a + b$", "discriminator", 3.0, 1.0)
    y = page.box(7.4, 8.8, r"$p(y\,|\,q, a, h)$", width=2.6)
    page.arrow(cells["question"][2].at(0, 1), z_q.at(0, -1), "discriminator")
    for cell in cells["answer"]:
        page.arrow(cell.at(0, 1), (cell.x, attention.at(0, -1)[1]), "discriminator")
    page.arrow(z_q.at(1, 0), h.at(-1, 0), "generator")
    page.say(6.1, 5.1, r"$p(h\,|\,q)$", "generator")
    page.arrow(h.at(1, 0), attention.at(-1, 0), "generator")
    page.say(8.6, 5.1, "steers", "generator")
    page.arrow(attention.at(0, 1), z_a.at(0, -1), "discriminator")
    page.arrow(z_a.at(-1, 0.3), score.at(1, -0.3), "discriminator")
    page.arrow(z_q.at(0, 1), score.at(-1, -0.3), "discriminator", bend=-0.25)
    page.arrow(score.at(0, 1), y.at(0, -1), "discriminator")
    inference = page.box(7.4, 2.6, r"$q(h\,|\,q, a, y)$", "encoder", 2.4, 1.0, size=10)
    label = page.box(7.4, 0.9, "label $y$", width=1.8, size=10)
    page.arrow(label.at(0, 1), inference.at(0, -1), "encoder")
    page.arrow(cells["question"][2].at(1, 0), inference.at(-1, 0), "encoder")
    page.arrow(cells["answer"][2].at(-0.6, -1), inference.at(0.7, -1), "encoder", bend=-0.22)
    page.arrow(inference.at(0, 1), h.at(0, -1), "encoder", dashed=True)
    page.say(7.65, 3.65, "training only", "encoder", align="left")
    page.box(12.2, 8.6, colour="loss", width=5.0, height=1.9)
    page.say(9.95, 9.15, "minimised", size=10, align="left")
    page.say(9.95, 8.6, r"$-\log p(y\,|\,q, a, h)$", align="left")
    page.say(9.95, 8.05, r"$+\ \mathrm{KL}(q(h\,|\,q, a, y)\,\|\,p(h\,|\,q))$", align="left")
    page.say(0.4, 9.3, "green: reads and scores a pair", "discriminator", align="left")
    page.say(0.4, 8.8, "orange: what the question is about", "generator", align="left")
    page.say(0.4, 8.3, "blue: infers it from the label too", "encoder", align="left")
    return page.figure


def generative_ranker() -> Figure:
    """Draw the generative ranker: a prior over the candidates, and a decoder that explains the question."""
    page = Drawing(15, 9.2)
    words = (("$a_1$", "$a_2$", "$a_{|a|}$"), ("BOS", "$q_1$", "$q_{T-1}$"))
    reader, decoder = (
        [page.box(x, 2.6, "LSTM", colour, 1.4, size=10) for x in places]
        for colour, places in (("encoder", (1.1, 3.0, 4.9)), ("generator", (9.9, 11.8, 13.7)))
    )
    for cells, read, colour in zip((reader, decoder), words, ("encoder", "generator"), strict=True):
        for cell, word in zip(cells, read, strict=True):
            page.arrow(page.box(cell.x, 0.9, word, width=1.3, size=10).at(0, 1), cell.at(0, -1), colour)
        page.arrow(cells[0].at(1, 0), cells[1].at(-1, 0), colour)
        page.arrow(cells[1].at(1, 0), cells[2].at(-1, 0), colour, dashed=True)
    states = page.box(3.0, 4.5, "states of the answer", width=5.2, size=10)
    attention = page.box(11.8, 4.5, "attention to the answer, once a word", "generator", 5.2, size=9)
    out = page.box(11.8, 6.1, "a word of the vocabulary, or a copy", "generator", 5.2, size=9)
    for cell, other in zip(reader, decoder, strict=True):
        page.arrow(cell.at(0, 1), (cell.x, states.at(0, -1)[1]), "encoder")
        page.arrow(other.at(0, 1), (other.x, attention.at(0, -1)[1]), "generator")
        page.arrow((other.x, attention.at(0, 1)[1]), (other.x, out.at(0, -1)[1]), "generator")
    page.arrow(states.at(1, 0), attention.at(-1, 0), "generator")
    page.arrow(reader[2].at(1, 0), decoder[0].at(-1, 0), "generator")
    page.say(7.4, 2.95, "starts it", "generator")
    prior = page.box(3.0, 6.1, "softmax over the candidates", "generator", 5.2, size=9)
    page.arrow(states.at(0, 1), prior.at(0, -1), "generator")
    for box, x, loss in ((prior, 3.0, r"$-\log p(a)$"), (out, 11.8, r"$-\sum_t \log p(q_t\,|\,q_{<t}, a)$")):
        minimised = page.box(x, 7.9, loss, "loss", 4.6, 1.0)
        page.arrow(box.at(0, 1), minimised.at(0, -1), "loss")
    page.say(7.4, 7.9, "+", size=14)
    page.say(7.4, 8.8, "minimised for right answers", size=10)
    return page.figure


def draw_diagrams(folder: Path) -> None:
    """Write all diagrams into a folder, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (image_models, document_model, answer_model, generative_ranker, paragraph_model, sentence_model):
        save_figure(draw(), folder / f"{draw.__name__}.png")
