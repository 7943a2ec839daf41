"""How fast a full training step is, against the machine's own matmul: python benchmarks/images.py --preset reference

Prints, for each precision, within one process and alternating with the matmul that they are divided by: images per second,
images per second for each GFLOP/s of float32 matmul, operations per second over that rate, the input's share of a step,
and the peak memory of the process. Operations are counted twice: those of the plain layers in the plain order of the
paper, and those that are really done (fused resampling, one pass of G and E for all updates of a step,
which the first update of the discriminators shares).
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf  # noqa: E402

from training import images as program  # noqa: E402
from training.callbacks import peak_memory_gb  # noqa: E402
from training.cli import Parser, count, run_program  # noqa: E402
from training.config import make_config  # noqa: E402
from training.modes import MODES  # noqa: E402

MATMUL_SIZE = 4096
REFERENCE_RATIO = 0.159  # images/s per GFLOP/s of the public TensorFlow 2 code at the sizes of --preset reference


def matmul_rate(a: tf.Tensor, function, repeats: int = 3) -> float:
    """GFLOP/s of float32 matmul at this moment."""
    start = time.perf_counter()
    for _ in range(repeats):
        result = function(a, a)
    result.numpy()
    return repeats * 2 * MATMUL_SIZE**3 / (time.perf_counter() - start) / 1e9


def forward_flops(network, *shapes) -> tuple[int, int]:
    """(plain, done) floating-point operations of one example's forward pass, two for a multiplication and addition.

    Counts convolutions and matrix products of the traced graph. A fused 4x4 convolution of stride 2 stands for a 3x3 one
    at the higher resolution, 36 products for 16; a block's 1x1 skip counts at the lower one, where it gives the same. The
    products of spectral norms are counted as one example's, though a pass has them once: 2 % of F's and 1 % of G's at
    the sizes of the public code, 10 % of F's by default.
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


def step_flops(model, image_shape, code_dim: int) -> tuple[float, float]:
    """(plain, done) operations of a training step per image of the batch.

    A backward pass costs two forward ones (one for the inputs alone). Plain: every discriminator update generates,
    encodes and judges anew, and so does the update of G and E, whose gradient passes through F for generated images
    alone, and which looks at real ones only where there is an E. Done: G and E run once a step; their update shares the
    first pass of the discriminators and needs F's gradient for generated images alone.
    """
    latents = [(model.latent_dim,)] + ([(code_dim,)] if code_dim else [])
    (g, g_done), (f, f_done) = forward_flops(model.generator, *latents), forward_flops(
        model.image_discriminator, image_shape
    )  # fmt: skip
    e, e_done = forward_flops(model.encoder, image_shape) if hasattr(model, "encoder") else (0, 0)
    passes_of_e = 1
    if hasattr(model, "joint_code"):  # generated images for its bound, a second view of real ones
        passes_of_e += (model.joint_code == "encoder") + bool(
            model.consistency_weight and model.consistency_on == "encoder"
        )
    n = model.d_updates
    plain = n * (g + e + 2 * 3 * f) + 3 * g + 3 * passes_of_e * e + (3 if e else 2) * f
    done = n * 2 * 3 * f_done + 3 * g_done + 3 * passes_of_e * e_done + f_done
    return plain, done


def measure(mode: str, preset: str, precision: str, image_size: int, rounds: int) -> dict:
    """One precision's figures: medians over rounds, each between two matmul timings."""
    config = make_config(MODES[mode].config, {"preset": preset, "precision": precision})
    image_shape = (config.image_size or image_size,) * 2 + (1,)
    model = program.build(mode, config, {"image_shape": image_shape})
    plain, done = step_flops(model, image_shape, model.code.dim if hasattr(model, "code") else 0)

    stored = tf.cast(tf.random.uniform([4 * config.batch_size, *image_shape], maxval=256, dtype=tf.int32), tf.uint8)
    batches = iter(program.images.batches(stored.numpy(), config.batch_size, seed=0))
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


def main(argv: list[str]):
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--mode", default="bigbigan", choices=[m for m in MODES if MODES[m].module == "training.images"]
    )
    parser.add_argument("--preset", default="reference", choices=("quick", "default", "reference"))
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"], choices=("float32", "bfloat16"))
    parser.add_argument("--image-size", type=int, default=28, help="where the preset names none")
    parser.add_argument("--rounds", type=count, default=5)
    options = parser.parse_args(argv)
    for precision in options.precision:
        figures = measure(options.mode, options.preset, precision, options.image_size, options.rounds)
        print(json.dumps(figures, indent=2), flush=True)


if __name__ == "__main__":
    sys.exit(run_program(main))
