"""What BigBiGAN on ImageNet at 128x128 would cost, by arithmetic: python -m benchmarks.imagenet

The operations and the weights are those of this project's networks, with BigGAN's channels. E is this project's, where the
paper has a ResNet-50. The rest is arithmetic on the numbers below.
"""

import dataclasses
import math
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from training.cli import Parser, run_program

IMAGES = 1_281_167  # ImageNet's training images
UPDATES, BATCH = 500_000, 2048  # of the paper, from memory
SIZES = {
    "latent_dim": 120,
    "generator_widths": (1536, 768, 384, 192, 96),
    "discriminator_widths": (96, 192, 384, 768, 1536),
    "encoder_widths": (128, 256, 512, 1024, 2048),
    "feature_dim": 2048,
    "latent_width": 2048,
    "latent_blocks": 4,
    "attention": 64,
    "d_updates": 2,
}
PEAK = 312e12  # operations per second in bfloat16 that the maker of an NVIDIA A100 states
SHARES = (0.2, 0.5)  # of the peak that a step may reach; no share was measured on a GPU
LINKS = {"10 Gbit/s": 1.25e9, "100 Gbit/s": 12.5e9}  # bytes per second between two machines
FLOAT = 4  # bytes


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a training of BigBiGAN costs.

    flops: operations of a step for each image.
    d_weights, ge_weights: trainable numbers of the discriminators, and of G and E.
    statistics: numbers of batch statistics, two for each channel that is normalised.
    d_updates: updates of the discriminators in a step.
    """

    flops: float
    d_weights: int
    ge_weights: int
    statistics: int
    d_updates: int

    @property
    def total(self) -> float:
        """Operations of the whole training."""
        return self.flops * BATCH * UPDATES

    def hours(self, share: float) -> float:
        """Return the hours of one accelerator that reaches this share of its peak."""
        return self.total / (share * PEAK) / 3600

    def sent(self, machines: int) -> float:
        """Return the bytes that a machine sends in a step.

        A ring sends 2 (n - 1) / n of what is averaged: the gradients of every update, and the batch statistics of G's
        pass and of their gradients.
        """
        numbers = self.d_updates * self.d_weights + self.ge_weights + 2 * self.statistics
        return 2 * (machines - 1) / machines * FLOAT * numbers

    def seconds(self, machines: int, share: float) -> float:
        """Return the seconds that a machine computes in a step."""
        return self.flops * BATCH / machines / (share * PEAK)


def cost_of_imagenet() -> Cost:
    """Build BigBiGAN with the sizes above, and return its cost."""
    from benchmarks.flops import of_image
    from models.bigbigan import BigBiGAN
    from models.layers import BatchNorm

    model = BigBiGAN.create((128, 128, 3), **SIZES)
    norms = [layer for layer in model.generator._flatten_layers() if isinstance(layer, BatchNorm)]

    def weights(*networks: Any) -> int:
        return sum(math.prod(weight.shape) for network in networks for weight in network.trainable_variables)

    return Cost(
        of_image(model),
        weights(model.image_discriminator, model.latent_discriminator, model.joint_discriminator),
        weights(model.generator, model.encoder),
        sum(math.prod(norm.mean.shape) for norm in norms) * 2,
        model.d_updates,
    )


def rows(cost: Cost) -> list[tuple[str, str]]:
    """Return what the table says, as pairs of a name and a number."""
    machines = 32
    return [
        ("images", f"{IMAGES:,}"),
        ("passes over them", f"{UPDATES * BATCH / IMAGES:,.0f}"),
        ("storage, decoded to uint8", f"{IMAGES * 128 * 128 * 3 / 1e9:.0f} GB"),
        ("weights of F, H and J", f"{cost.d_weights / 1e6:.0f} million"),
        ("weights of G and E", f"{cost.ge_weights / 1e6:.0f} million"),
        ("operations of a step for each image", f"{cost.flops / 1e9:.0f} GFLOP"),
        (f"operations of {UPDATES:,} updates at batch {BATCH:,}", f"{cost.total:.1e} FLOP"),
        *((f"hours of one A100 at {share:.0%} of its peak", f"{cost.hours(share):,.0f}") for share in SHARES),
        *(
            (f"seconds of a step on {machines} of them at {share:.0%}", f"{cost.seconds(machines, share):.2f}")
            for share in SHARES
        ),
        (f"bytes that each of {machines} machines sends in a step", f"{cost.sent(machines) / 1e9:.1f} GB"),
        *((f"seconds for these bytes at {name}", f"{cost.sent(machines) / rate:.2f}") for name, rate in LINKS.items()),
    ]


def show(argv: list[str]) -> None:
    """Print the table."""
    Parser(prog="benchmarks.imagenet", description=__doc__).parse_args(argv)
    table = Table("BigBiGAN, ImageNet at 128x128", "")
    table.columns[1].justify = "right"
    for row in rows(cost_of_imagenet()):
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run_program(show, None, "give the same command again"))
