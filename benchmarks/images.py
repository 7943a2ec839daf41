"""The speed of a full training step, relative to the machine's own matmul: python benchmarks/images.py

Every precision gets a JSON object on standard output:

- images per second, and images per second for each GFLOP/s of float32 matmul;
- floating-point operations per second, divided by the same operations per second of the matmul;
- the share of a step that waits for its input, and the peak memory of the process.

Steps and matmuls alternate within one process. Operations are counted twice. *Plain* is the count of the plain layers
in the plain order of the paper. *Done* is the count of what the code computes: resampling is fused with convolutions.
One pass of G and E serves all updates of a step, and the first update of the discriminators shares that pass.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf  # noqa: E402

from data import images  # noqa: E402
from models.bigan import BiGAN  # noqa: E402
from models.capabilities import HasCode  # noqa: E402
from models.gan import GAN  # noqa: E402
from models.infobigbigan import InfoBigBiGAN  # noqa: E402
from tasks.configs import BigGANConfig  # noqa: E402
from tasks.modes import MODES  # noqa: E402
from training.callbacks import peak_memory_gb  # noqa: E402
from training.cli import Parser, count, run_program  # noqa: E402
from training.config import make_config  # noqa: E402

IMAGE_MODES = [name for name, mode in MODES.items() if issubclass(mode.config, BigGANConfig)]
MATMUL_SIZE = 4096  # rows and columns of the matrices
REFERENCE_RATIO = 0.159  # images/s per GFLOP/s of the public TensorFlow 2 code at the sizes of --preset reference


def matmul_rate(a: tf.Tensor, function: Callable[..., Any], repeats: int = 3) -> float:
    """Return the GFLOP/s of float32 matmul at this moment.

    Args:
        a: float32 [MATMUL_SIZE, MATMUL_SIZE].
        function: multiplies two matrices.
        repeats: how many products are timed.
    """
    start = time.perf_counter()
    for _ in range(repeats):
        result = function(a, a)
    result.numpy()
    return repeats * 2 * MATMUL_SIZE**3 / (time.perf_counter() - start) / 1e9


def forward_flops(network: Callable[..., Any], *shapes: tuple[int, ...]) -> tuple[int, int]:
    """Return the floating-point operations of one example's forward pass: (plain, done).

    A multiplication with its addition counts as two. Only convolutions and matrix products of the traced graph count. A
    fused 4x4 convolution of stride 2 replaces a 3x3 convolution at the higher resolution: *plain* has 36 products
    where *done* has 16. A block's 1x1 skip counts at the lower resolution, where its result is the same. The products
    of spectral norms count for every example, although a pass has them once for all. They are 2 % of F's operations
    and 1 % of G's at the sizes of the public code, and 10 % of F's by default.

    Args:
        shapes: of the network's arguments, without the batch.
    """
    function = tf.function(network).get_concrete_function(*(tf.TensorSpec((1, *shape)) for shape in shapes))
    plain = done = 0
    for operation in function.graph.get_operations():
        if operation.type in ("Conv2D", "Conv2DBackpropInput"):
            kernel = operation.inputs[1].shape
            image = operation.outputs[0] if operation.type == "Conv2D" else operation.inputs[2]
            flops = 2 * image.shape[1] * image.shape[2] * kernel.num_elements()
            done += flops
            plain += flops * 36 // 16 if kernel[0] == 4 else flops
        elif operation.type in ("MatMul", "BatchMatMulV2"):
            flops = 2 * operation.outputs[0].shape.num_elements() * operation.inputs[0].shape[-1]
            plain, done = plain + flops, done + flops
    return plain, done


def step_flops(model: GAN, image_shape: tuple[int, ...], code_dim: int) -> tuple[float, float]:
    """Return the operations of a training step for each image of the batch: (plain, done).

    A backward pass costs two forward passes, or one if only the gradient of the inputs is needed.

    - *Plain*: every update of the discriminators generates, encodes and judges anew, and so does the update of G and E.
      The gradient of G and E passes through F for generated images alone. Their update judges real images only if there
      is an E.
    - *Done*: G and E run once a step. Their update shares the first pass of the discriminators, and needs F's gradient
      for generated images alone.
    """
    latents = [(model.latent_dim,)] + ([(code_dim,)] if code_dim else [])
    (g, g_done), (f, f_done) = forward_flops(model.generator, *latents), forward_flops(
        model.image_discriminator, image_shape
    )  # fmt: skip
    e, e_done = forward_flops(model.encoder, image_shape) if isinstance(model, BiGAN) else (0, 0)
    passes_of_e = 1
    if isinstance(model, InfoBigBiGAN):  # its bound needs generated images, and consistency a second view of real ones
        passes_of_e += (model.joint_code == "encoder") + bool(
            model.consistency_weight and model.consistency_on == "encoder"
        )
    n = model.d_updates
    plain = n * (g + e + 2 * 3 * f) + 3 * g + 3 * passes_of_e * e + (3 if e else 2) * f
    done = n * 2 * 3 * f_done + 3 * g_done + 3 * passes_of_e * e_done + f_done
    return plain, done


def measure(mode: str, preset: str, precision: str, image_size: int, rounds: int) -> dict[str, Any]:
    """Return the measurements of one precision: medians over rounds, each of which lies between two timed matmuls."""
    config = make_config(MODES[mode].config, {"preset": preset, "precision": precision})
    assert isinstance(config, BigGANConfig)
    image_shape = (config.image_size or image_size,) * 2 + (1,)
    model: GAN = MODES[mode].make_task().build(config, {"image_shape": image_shape})
    plain, done = step_flops(model, image_shape, model.code.dim if isinstance(model, HasCode) else 0)

    stored = tf.cast(tf.random.uniform([4 * config.batch_size, *image_shape], maxval=256, dtype=tf.int32), tf.uint8)
    batches = iter(images.batches(stored.numpy(), config.batch_size, seed=0))
    step, multiply = tf.function(model.train_step), tf.function(tf.matmul)
    a = tf.random.normal([MATMUL_SIZE, MATMUL_SIZE])
    for _ in range(2):
        step(next(batches))
        multiply(a, a)

    rates, ratios, shares = [], [], []
    for _ in range(rounds):
        before = matmul_rate(a, multiply)
        start = time.perf_counter()
        batch = next(batches)
        waited = time.perf_counter() - start
        float(step(batch)["loss/d"])
        seconds = time.perf_counter() - start
        matmul = (before + matmul_rate(a, multiply)) / 2
        rates.append(config.batch_size / seconds)
        ratios.append(rates[-1] / matmul)
        shares.append(waited / seconds)
    ratio = statistics.median(ratios)
    return {
        "mode": mode,
        "preset": preset,
        "precision": precision,
        "images_per_second": round(statistics.median(rates), 1),
        "images_per_second_per_matmul_gflops": round(ratio, 3),
        "times_the_public_code": round(ratio / REFERENCE_RATIO, 2) if preset == "reference" else None,
        "plain_mflop_per_image": round(plain / 1e6),
        "done_mflop_per_image": round(done / 1e6),
        "plain_flops_over_matmul": round(ratio * plain / 1e9, 2),
        "done_flops_over_matmul": round(ratio * done / 1e9, 2),
        "matmul_gflops": round(statistics.median(r / q for r, q in zip(rates, ratios, strict=True))),
        "input_share": round(statistics.median(shares), 4),
        "peak_memory_gb": peak_memory_gb(),
    }


def main(argv: list[str]) -> None:
    """Print the measurements of every precision as JSON."""
    parser = Parser(description="Measure the speed of a training step of an image model.")
    parser.add_argument("--mode", default="bigbigan", choices=IMAGE_MODES)
    parser.add_argument("--preset", default="reference", choices=("quick", "default", "reference"))
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"], choices=("float32", "bfloat16"))
    parser.add_argument(
        "--image-size", type=int, default=28, help="height and width of the images if the preset has none (default: 28)"
    )
    parser.add_argument("--rounds", type=count, default=5)
    options = parser.parse_args(argv)
    for precision in options.precision:
        figures = measure(options.mode, options.preset, precision, options.image_size, options.rounds)
        print(json.dumps(figures, indent=2), flush=True)


if __name__ == "__main__":
    sys.exit(run_program(main))
