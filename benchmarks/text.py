"""How fast a full training step of a text model is, against the machine's own matmul: python benchmarks/text.py

Prints, within one process and alternating with the matmul that they are divided by: target tokens per second (real words
and ends of sentences, no padding), floating-point operations per second over the matmul's, the input's share of a step, and
the peak memory of the process. Operations are those of the matrix products of a forward and a backward pass over real
tokens; dropout, softmax and optimizer take time and count nothing.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks.images import MATMUL_SIZE, matmul_rate  # noqa: E402
from training.callbacks import peak_memory_gb  # noqa: E402
from training.cli import Parser, count, run_program  # noqa: E402
from training.config import make_config  # noqa: E402
from training.modes import MODES  # noqa: E402

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def flops_per_token(model, config) -> int:
    """Of a training step of a sentence model for each target token: a backward pass costs two forward ones."""
    latent = getattr(config, "latent_dim", 0)
    recurrent = 2 * GATES[config.cell] * config.units
    decoder = recurrent * (config.embedding + latent + config.units) + 2 * config.units * model.decoder.vocabulary.units
    encoder = (recurrent * (config.embedding + config.units) + 4 * config.units * latent) if latent else 0
    return 3 * (encoder + decoder)


def prepared(mode: str, options: argparse.Namespace) -> tuple:
    """(config, model, endless batches) of a mode's default on the data set that `data_options` gave."""
    given = {name: getattr(options, name) for name in ("dataset", "data_dir") if getattr(options, name) is not None}
    program = MODES[mode].program()
    config, corpus = program.prepare(make_config(MODES[mode].config, given))
    return config, program.build(mode, config, program.facts(corpus)), iter(program.batches(config, corpus, 0))


def data_options(description: str) -> Parser:
    """A parser that knows which data set to measure on."""
    parser = Parser(description=description)
    parser.add_argument("--dataset", help="any that the mode takes, default docstrings; ptb has 10,000 words")
    parser.add_argument("--data-dir", help="where it lies")
    return parser


def measure(mode: str, options: argparse.Namespace) -> dict:
    """The figures of one mode: medians over rounds, each between two matmul timings."""
    config, model, batches = prepared(mode, options)
    step, multiply = tf.function(model.train_step, reduce_retracing=True), tf.function(tf.matmul)
    a = tf.random.normal([MATMUL_SIZE, MATMUL_SIZE])
    for _ in range(5):
        step(next(batches))
    multiply(a, a)

    rates, shares, waits, ceilings = [], [], [], []
    for _ in range(options.rounds):
        before = matmul_rate(a, multiply, 1)
        start = time.perf_counter()
        tokens, waited = 0, 0.0
        for _ in range(10):  # sentences of all lengths
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            tokens += int(np.sum(batch["lengths"])) if isinstance(batch, dict) else len(batch)
            loss = step(batch)["loss/total"]
        float(loss)
        seconds = time.perf_counter() - start
        ceilings.append((before + matmul_rate(a, multiply, 1)) / 2)
        rates.append(tokens / seconds)
        waits.append(waited / seconds)
        if mode != "nvdm":
            shares.append(rates[-1] * flops_per_token(model, config) / 1e9 / ceilings[-1])
    share = round(statistics.median(shares), 3) if shares else None
    return {
        "mode": mode,
        "documents_per_second" if mode == "nvdm" else "target_tokens_per_second": round(statistics.median(rates)),
        "flops_over_matmul": share,
        "matmul_gflops": round(statistics.median(ceilings)),
        "input_share": round(statistics.median(waits), 4),
        "peak_memory_gb": peak_memory_gb(),
    }


def main(argv: list[str]):
    parser = data_options(__doc__.splitlines()[0])
    parser.add_argument("--mode", default="twrvae", choices=("nvdm", "lm", "vae", "twrvae"))
    parser.add_argument("--rounds", type=count, default=5)
    options = parser.parse_args(argv)
    print(json.dumps(measure(options.mode, options), indent=2))


if __name__ == "__main__":
    sys.exit(run_program(main))
