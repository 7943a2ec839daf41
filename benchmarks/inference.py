"""Compare ways to find a document's topics: python -m benchmarks.inference RUN

RUN is a trained NVDM. One table shows the perplexity of its test documents under four posteriors, and the seconds that
each takes. From one pass to the best diagonal Gaussian is the gap of amortisation: what the inference network loses. From
there to the best Gaussian is the gap of the mean field: what a diagonal covariance loses.
"""

import sys
import time
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from data.documents import shape_of
from data.errors import InputError
from tasks.documents import DocumentScorer, of_documents
from tasks.modes import MODES, load_run
from text_vae.base import adam
from text_vae.nvdm import NVDM
from training.cli import Parser, run_program
from training.runs import open_run

STEPS, RATE = 100, 0.1  # of Adam, the refinement that is usual (Krishnan, Liang & Hoffman 2018)


def by_adam(model: NVDM, x: tf.Tensor, seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a diagonal posterior that starts as the network's and is improved by Adam; see `tasks.documents.Posterior`."""
    mu, log_variance = q = [keras.Variable(start) for start in model.infer(x)]
    optimizer = adam(RATE, 0.0, STEPS)
    optimizer.build(q)

    def scale() -> tf.Tensor:
        return tf.linalg.diag(tf.exp(0.5 * tf.convert_to_tensor(log_variance)))

    @tf.function(autograph=False)
    def step(seed: Any) -> None:
        with tf.GradientTape() as tape:
            nll, kl = model.bound(x, tf.convert_to_tensor(mu), scale(), seed)
            loss = tf.reduce_sum(nll + kl)
        optimizer.apply(tape.gradient(loss, [v.value for v in q]), q)

    for i in range(STEPS):
        step(tf.random.fold_in(seed, i))
    return tf.convert_to_tensor(mu), scale()


def measure(argv: list[str]) -> None:
    """Print one table: perplexity per document, KL and seconds by the way of inference."""
    parser = Parser(prog="python -m benchmarks.inference", description=__doc__)
    parser.add_argument("run", metavar="RUN", help="the folder of a run of --mode nvdm")
    path = parser.parse_args(argv).run
    run = open_run(path, "", MODES)
    if run.mode != "nvdm":
        raise InputError(f"{path}: a run of {run.mode}: give a run of nvdm")
    task, model = MODES[run.mode].make_task(), load_run(run.path)
    data = task.load(run.config)
    run.check_data(task.facts(data))
    scorer = DocumentScorer(task, run, data, model)
    ways = {
        "one pass": scorer.one_pass,
        f"diagonal, {STEPS} steps of Adam": partial(by_adam, model),
        "diagonal, Newton's steps": partial(model.refine, full=False),
        "full covariance, Newton's steps": partial(model.refine, full=True),
    }
    test = scorer.data.test
    table = Table(
        "posterior", "perplexity per document", "KL [nats]", "seconds", title=f"{shape_of(test.counts)[0]:,} documents"
    )
    for name, posterior in ways.items():
        start = time.perf_counter()
        found = of_documents(test, *scorer.bounds(test, posterior))
        seconds = time.perf_counter() - start
        table.add_row(name, f"{found['perplexity_document']:.1f}", f"{found['kl']:.2f}", f"{seconds:.1f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run_program(measure))
