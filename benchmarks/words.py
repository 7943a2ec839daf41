"""What bfloat16 or sparse updates would save of a step of TWR-VAE: python benchmarks/words.py --dataset ptb

Prints, of one batch, within one process and in turns, medians: milliseconds of a training step, and as shares of it the loss
over the vocabulary with its gradients, in float32 as it is, in bfloat16, and in float32 with bfloat16 products, and Adam on
the words' vectors, on all as it is and on those that the batch reads. With each what it costs: how far bfloat16 turns the
gradient for the vocabulary's kernel (norm of the difference over norm), and the share of vectors whose moments would not
decay, as no update reaches them.
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

import tensorflow as tf  # noqa: E402

from benchmarks.text import data_options, prepared  # noqa: E402
from data.vocabulary import UNPREDICTED  # noqa: E402
from losses.variational import token_nll  # noqa: E402
from training.cli import count, run_program  # noqa: E402


def vocabulary_gradients(model, batch, h, dtype) -> list[tf.Tensor]:
    """Of a batch's nll for h [B, T, units], and the vocabulary's kernel and bias, in products and sums of `dtype`."""
    layer, tokens = model.decoder.vocabulary, batch["tokens"] - len(UNPREDICTED)
    with tf.GradientTape() as tape:
        tape.watch(h)
        given = [tf.cast(value, dtype) for value in (h, layer.kernel, layer.bias)]
        loss = tf.reduce_sum(token_nll(*given, tokens, batch["lengths"]))
    return tape.gradient(loss, [h, layer.kernel, layer.bias])


def rounded_products(model, batch, h) -> list[tf.Tensor]:
    """As `vocabulary_gradients`, with products in bfloat16 and softmax and sums in float32."""
    layer, real = model.decoder.vocabulary, tf.sequence_mask(batch["lengths"], tf.shape(h)[1])
    words = tf.boolean_mask(batch["tokens"] - len(UNPREDICTED), real)
    with tf.GradientTape() as tape:
        tape.watch(h)
        factors = [tf.cast(value, tf.bfloat16) for value in (tf.boolean_mask(h, real), layer.kernel)]
        logits = tf.cast(tf.matmul(*factors), tf.float32) + layer.bias
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(words, logits))
    return tape.gradient(loss, [h, layer.kernel, layer.bias])


def adam(vectors, m, v, gradient, rows=None):
    """Kingma & Ba 2015 without the correction of the bias; rows: those alone, whose gradients are given."""
    if rows is None:
        m.assign_add(0.1 * (gradient - m))
        v.assign_add(0.001 * (tf.square(gradient) - v))
        vectors.assign_sub(1e-3 * m / (tf.sqrt(v) + 1e-8))
        return
    m_rows, v_rows = tf.gather(m, rows), tf.gather(v, rows)
    m_rows += 0.1 * (gradient - m_rows)
    v_rows += 0.001 * (tf.square(gradient) - v_rows)
    m.scatter_update(tf.IndexedSlices(m_rows, rows))
    v.scatter_update(tf.IndexedSlices(v_rows, rows))
    vectors.scatter_sub(tf.IndexedSlices(1e-3 * m_rows / (tf.sqrt(v_rows) + 1e-8), rows))


def measure(options: argparse.Namespace) -> dict:
    """The figures of TWR-VAE's default on a data set."""
    config, model, batches = prepared("twrvae", options)
    batch = next(batches)
    h = tf.random.normal([*batch["tokens"].shape, config.units])
    vectors = tf.Variable(model.decoder.embedding.embeddings)
    m, v = tf.Variable(tf.zeros_like(vectors)), tf.Variable(tf.zeros_like(vectors))
    rows = tf.unique(tf.reshape(batch["tokens"], [-1])).y
    gradient = tf.random.normal(vectors.shape)
    of_rows = tf.gather(gradient, rows)

    functions = (model.train_step, vocabulary_gradients, rounded_products, adam)
    step, gradients, rounded_gradients, update = (tf.function(function) for function in functions)
    calls = {
        "step": lambda: step(batch)["loss/total"],
        "vocabulary_float32": lambda: gradients(model, batch, h, tf.float32)[1],
        "vocabulary_bfloat16": lambda: gradients(model, batch, h, tf.bfloat16)[1],
        "vocabulary_bfloat16_products": lambda: rounded_gradients(model, batch, h)[1],
        "vectors_all": lambda: update(vectors, m, v, gradient),
        "vectors_read": lambda: update(vectors, m, v, of_rows, rows),
    }
    exact, *rounded = (call() for name, call in calls.items() if name.startswith("vocabulary"))
    seconds = {name: [] for name in calls}
    for _ in range(options.rounds + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values[2:]) for name, values in seconds.items()}
    return {
        "dataset": config.dataset,
        "target_tokens": int(tf.reduce_sum(batch["lengths"])),
        "step_milliseconds": round(1e3 * medians["step"], 1),
        **{f"share_{name}": round(medians[name] / medians["step"], 3) for name in calls if name != "step"},
        "bfloat16_gradient_errors": [round(float(tf.norm(to - exact) / tf.norm(exact)), 4) for to in rounded],
        "vectors_not_read": round(1 - len(rows) / vectors.shape[0], 3),
    }


def main(argv: list[str]):
    parser = data_options(__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=count, default=20)
    print(json.dumps(measure(parser.parse_args(argv)), indent=2))


if __name__ == "__main__":
    sys.exit(run_program(main))
