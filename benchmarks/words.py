"""The time that bfloat16 or sparse updates would save in a step of TWR-VAE: python -m benchmarks.words --dataset ptb

It prints a JSON object of medians. The variants take turns on one batch, within one process:

- the milliseconds of a training step;
- the loss over the vocabulary with its gradients, as a share of the step: in float32 (as in training), in bfloat16, and
  in float32 with products in bfloat16;
- Adam on the words' vectors, as a share of the step: on all vectors (as in training), and on the vectors that the batch
  reads.

It also prints the costs. With bfloat16, the cost is the error of the gradient for the vocabulary's kernel: the norm
of the difference over the norm. With a sparse update, it is the share of vectors that are left out, whose moments do
not decay.
"""

import argparse
import json
import statistics
import sys
import time
from typing import Any

import tensorflow as tf

from data.sentences import SentenceBatch
from data.vocabulary import UNPREDICTED
from losses.variational import token_nll
from tasks.configs import TWRVAEConfig
from tasks.modes import MODES
from text_vae.twr_vae import TWRVAE
from training.cli import Parser, count, run_program
from training.config import make_config


def vocabulary_gradients(model: TWRVAE, batch: SentenceBatch, h: tf.Tensor, dtype: tf.DType) -> Any:
    """Return the gradients of a batch's nll for h, and for the vocabulary's kernel and bias.

    Args:
        h: float32 [B, T, units], the decoder's states.
        dtype: of products and sums.
    """
    layer, tokens = model.decoder.vocabulary, batch["tokens"] - len(UNPREDICTED)
    with tf.GradientTape() as tape:
        tape.watch(h)
        states, kernel, bias = (tf.cast(value, dtype) for value in layer.factors(h))
        loss = tf.reduce_sum(token_nll(states, kernel, bias, tokens, batch["lengths"]))
    return tape.gradient(loss, [h, layer.kernel, layer.bias])


def rounded_products(model: TWRVAE, batch: SentenceBatch, h: tf.Tensor) -> Any:
    """Return the gradients of `vocabulary_gradients`, with products in bfloat16, and softmax and sums in float32."""
    layer, real = model.decoder.vocabulary, tf.sequence_mask(batch["lengths"], tf.shape(h)[1])
    words = tf.boolean_mask(batch["tokens"] - len(UNPREDICTED), real)
    with tf.GradientTape() as tape:
        tape.watch(h)
        states, kernel = (tf.cast(value, tf.bfloat16) for value in (tf.boolean_mask(h, real), layer.kernel))
        logits = tf.cast(tf.matmul(states, kernel), tf.float32) + tf.convert_to_tensor(layer.bias)
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(words, logits))
    return tape.gradient(loss, [h, layer.kernel, layer.bias])


def adam(
    vectors: tf.Variable, m: tf.Variable, v: tf.Variable, gradient: tf.Tensor, rows: tf.Tensor | None = None
) -> None:
    """Update vectors by Adam (Kingma & Ba 2015), without the correction of the bias.

    Args:
        vectors, m, v: [words, embedding], the vectors and their moments.
        gradient: [words, embedding], or [rows, embedding] for a sparse update.
        rows: the rows that a sparse update changes; default: all.
    """
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


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the measurements of TWR-VAE's default on a data set."""
    given = {name: value for name, value in vars(options).items() if name != "rounds" and value is not None}
    task = MODES["twrvae"].make_task()
    config, corpus = task.resolve(make_config(TWRVAEConfig, given))
    model = task.build(config, task.facts(corpus))
    batch = next(iter(task.batches(config, corpus, 0)))
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
        "vectors_not_read": round(1 - len(rows) / len(gradient), 3),
    }


def main(argv: list[str]) -> None:
    """Print the measurements as JSON."""
    parser = Parser(
        prog="python -m benchmarks.words", description="Measure what bfloat16 or sparse updates would save."
    )
    parser.add_argument("--dataset", help="sentences to measure on (default: docstrings); ptb has 10,000 words")
    parser.add_argument("--data-dir", help="folder that holds the data set")
    parser.add_argument("--rounds", type=count, default=20)
    print(json.dumps(measure(parser.parse_args(argv)), indent=2))


if __name__ == "__main__":
    sys.exit(run_program(main))
