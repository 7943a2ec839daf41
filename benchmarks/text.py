"""The speed of a full training step of a text model, relative to the machine's own matmul: python benchmarks/text.py

It prints a JSON object:

- target tokens per second: words and ends of sentences, without padding;
- floating-point operations per second, divided by the same operations per second of the matmul;
- the share of a step that waits for its input, and the peak memory of the process.

Steps and matmuls alternate within one process. Only the matrix products of a forward and a backward pass over real
tokens count as operations. Dropout, softmax and optimizer take time, but do not count.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks.images import MATMUL_SIZE, matmul_rate  # noqa: E402
from tasks.configs import LatentConfig, SentenceConfig  # noqa: E402
from tasks.modes import MODES  # noqa: E402
from text_vae.language_vae import LanguageModel  # noqa: E402
from training.callbacks import peak_memory_gb  # noqa: E402
from training.cli import Parser, count, run_program  # noqa: E402
from training.config import Config, make_config  # noqa: E402

GATES = {"lstm": 4, "gru": 3, "rnn": 1}  # products of a cell with its input, and with its state


def flops_per_token(model: LanguageModel, config: SentenceConfig) -> int:
    """Return the operations of a training step for each target token; a backward pass costs two forward passes."""
    latent = config.latent_dim if isinstance(config, LatentConfig) else 0
    recurrent = 2 * GATES[config.cell] * config.units
    decoder = recurrent * (config.embedding + latent + config.units) + 2 * config.units * model.decoder.vocabulary.units
    encoder = (recurrent * (config.embedding + config.units) + 4 * config.units * latent) if latent else 0
    return 3 * (encoder + decoder)


def prepared(mode: str, options: argparse.Namespace) -> tuple[Config, Any, Iterator[Any]]:
    """Return the default config of a mode, its model, and endless batches, on the data set of `data_options`."""
    given = {name: vars(options)[name] for name in ("dataset", "data_dir") if vars(options)[name] is not None}
    task = MODES[mode].make_task()
    config, corpus = task.resolve(make_config(MODES[mode].config, given))
    return config, task.build(config, task.facts(corpus)), iter(task.batches(config, corpus, 0))


def data_options(description: str) -> Parser:
    """Return a parser with the options of the data set to measure on."""
    parser = Parser(description=description)
    parser.add_argument(
        "--dataset", help="a data set of the mode (default: docstrings); ptb has a vocabulary of 10,000 words"
    )
    parser.add_argument("--data-dir", help="folder that holds the data set")
    return parser


def measure(mode: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the measurements of one mode: medians over rounds, each of which lies between two timed matmuls."""
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
        if isinstance(config, SentenceConfig):
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


def main(argv: list[str]) -> None:
    """Print the measurements of a mode as JSON."""
    parser = data_options("Measure the speed of a training step of a text model.")
    parser.add_argument("--mode", default="twrvae", choices=("nvdm", "lm", "vae", "twrvae"))
    parser.add_argument("--rounds", type=count, default=5)
    options = parser.parse_args(argv)
    print(json.dumps(measure(options.mode, options), indent=2))


if __name__ == "__main__":
    sys.exit(run_program(main))
