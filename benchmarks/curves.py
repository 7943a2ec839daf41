"""What size costs: the time and memory of a step against five sizes. python -m benchmarks.curves

Each curve changes one option of a default model. It writes docs/results/speed/curves.json and curves.png.
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from benchmarks.processes import ROOT, SECONDS, Process, corpus, noise
from data import sentences
from reporting.figures import save_figure
from training.cli import Parser, run_program
from training.files import write_text

FOLDER = ROOT / "docs" / "results" / "speed"
WIDTHS = ("generator_widths", "discriminator_widths", "encoder_widths")


@dataclasses.dataclass(frozen=True)
class Curve:
    """What is changed, and how.

    name: of the curve. mode: the model. label: of the axis. unit: what a step has many of. sizes: the values, rising.
    """

    name: str
    mode: str
    label: str
    unit: str
    sizes: tuple[int, ...]

    def options(self, size: int, folder: Path) -> dict[str, Any]:
        """Return the options of the model for one size; images of noise are written to the folder."""
        if self.mode != "infobigbigan":
            return {"dataset": corpus(sentences), self.name: size}
        images = {"dataset": str(noise(folder, size if self.name == "side" else 28))}
        if self.name == "width":
            return images | {name: (size, 2 * size)[:: -1 if name == WIDTHS[0] else 1] for name in WIDTHS}
        return images | ({"batch_size": size} if self.name == "batch_size" else {})


CURVES = (
    Curve("batch_size", "infobigbigan", "images in a batch", "image", (16, 32, 64, 128, 256, 512)),
    Curve("width", "infobigbigan", "channels at the full resolution", "image", (8, 16, 32, 64)),
    Curve("side", "infobigbigan", "height and width of images", "image", (28, 56, 112)),
    Curve("vocabulary_size", "twrvae", "words of the vocabulary", "target token", (500, 2000, 5000, 10_000)),
    Curve("max_length", "twrvae", "most words of a sentence", "target token", (10, 20, 40, 80)),
)


def measure(curve: Curve, size: int, folder: Path) -> dict[str, float]:
    """Return the milliseconds for each example, and the peak memory in 2^30 bytes."""
    process = Process(ROOT, curve.mode, curve.options(size, folder), counted=False)
    try:
        rate = process.ask(f"train {2 * SECONDS}")["rate"]
        return {"size": size, "milliseconds": round(1e3 / rate, 4), "memory_gb": round(process.memory_gb, 2)}
    finally:
        process.close()


def drawn(found: dict[str, list[dict[str, float]]]) -> Figure:
    """Return the picture of all curves: a column for each, time above and memory below."""
    figure = Figure(figsize=(3 * len(CURVES), 5), layout="constrained")
    for column, curve in enumerate(CURVES):
        points = found[curve.name]
        sizes = [point["size"] for point in points]
        for row, (key, label) in enumerate((("milliseconds", f"ms per {curve.unit}"), ("memory_gb", "memory, GB"))):
            axes = figure.add_subplot(2, len(CURVES), row * len(CURVES) + column + 1)
            axes.plot(sizes, [point[key] for point in points], "o-")
            axes.set_xscale("log")
            axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_ylim(bottom=0)
            axes.set_ylabel(label)
            axes.yaxis.set_major_formatter(ScalarFormatter())
            axes.grid(alpha=0.3)
            if row == 0:
                axes.set_title(curve.mode)
            else:
                axes.set_xlabel(curve.label)
    return figure


def main(argv: list[str]) -> None:
    """Measure, write and draw all curves."""
    Parser(prog="python -m benchmarks.curves", description="Measure what size costs.").parse_args(argv)
    FOLDER.mkdir(exist_ok=True)
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for curve in CURVES:
            found[curve.name] = [measure(curve, size, Path(folder)) for size in curve.sizes]
            print(curve.name, *found[curve.name], sep="\n  ", flush=True)
    write_text(FOLDER / "curves.json", json.dumps(found, indent=1) + "\n")
    save_figure(drawn(found), FOLDER / "curves.png")


if __name__ == "__main__":
    sys.exit(run_program(main))
