"""A maker of colour images, to try an image mode on: python -m data.shapes FOLDER --size 64."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

SHAPES = ("circle", "square", "triangle")


def draw_shape(shape: str, size: int, random: np.random.Generator) -> "Image":
    """Return an RGB image of size x size: one of SHAPES, of any colour, place and extent, on another colour."""
    from PIL import Image, ImageDraw

    ground, colour = (tuple(random.integers(0, 256, 3).tolist()) for _ in range(2))
    image = Image.new("RGB", (size, size), ground)
    radius = random.uniform(0.15, 0.3) * size
    x, y = random.uniform(radius, size - radius, 2)
    box = [x - radius, y - radius, x + radius, y + radius]
    pencil = ImageDraw.Draw(image)
    if shape == "circle":
        pencil.ellipse(box, colour)
    elif shape == "square":
        pencil.rectangle(box, colour)
    else:
        pencil.regular_polygon((x, y, radius), 3, fill=colour)
    return image


def write_shapes(folder: Path, count: int, size: int, seed: int = 0) -> None:
    """Write so many PNG files of size x size, into a sub-folder for each of SHAPES, in turns. The seed decides them."""
    random = np.random.default_rng(seed)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        shape = SHAPES[i % len(SHAPES)]
        draw_shape(shape, size, random).save(folder / shape / f"{i:06d}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m data.shapes", description="Draw coloured shapes into a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=3000, help="number of images (default: 3000)")
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels (default: 64)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_shapes(options.folder, options.count, options.size, options.seed)
