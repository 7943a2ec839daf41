"""Train a model of the checkout in the working directory, as the lines on standard input say.

The benchmark starts one such process for each model and commit, and lets them take turns. It passes this file's text to
`python -c`, so that the text of today runs in other commits too. So it uses nothing but the table of modes and the
protocol of a task, which commits share.

The argument is a JSON object: mode, options, and whether to count operations. Answers are JSON, one line each:

- after the start: the peak memory in 2^30 bytes, once a few steps are done;
- "train SECONDS": examples per second, the operations per second if they are counted, and the share of the time that
  waited for input;
- "multiply": the operations per second of the matmul, in the model's precision.
"""

import json
import os
import resource
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tasks.modes import MODES  # noqa: E402
from training.config import make_config  # noqa: E402

SIZE = 2048  # rows and columns of the matrices


def examples(batch: Any) -> int:
    """Return what a batch holds: target tokens of sentences, candidates of questions, else images or documents."""
    if isinstance(batch, dict):
        return int(sum(batch["lengths"])) if "lengths" in batch else len(batch["labels"])
    return len(batch)


def main() -> None:
    """Answer until standard input ends."""
    asked = json.loads(sys.argv[1])
    row = MODES[asked["mode"]]
    task = row.make_task()
    # JSON has no tuples; older commits lack the function that makes them
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in asked["options"].items()}
    config, data = task.resolve(make_config(row.config, options))
    model = task.build(config, task.facts(data))
    batches = iter(task.batches(config, data, 0))

    import tensorflow as tf

    if asked["count"]:
        from benchmarks.flops import of_batch
    step, multiply = tf.function(model.train_step, reduce_retracing=True), tf.function(tf.matmul)
    a = tf.cast(tf.random.normal([SIZE, SIZE]), getattr(config, "precision", "float32"))
    multiply(a, a)

    def train(seconds: float) -> dict[str, float]:
        done, flops, waited, start = 0, 0.0, 0.0, time.perf_counter()
        while (now := time.perf_counter()) < start + seconds:
            batch = next(batches)
            waited += time.perf_counter() - now
            done += examples(batch)
            flops += of_batch(model, batch) if asked["count"] else 0.0
            float(next(iter(step(batch).values())))
        spent = time.perf_counter() - start
        return {"rate": done / spent, "flops": flops / spent, "waited": waited / spent}

    def product() -> float:
        start = time.perf_counter()
        for _ in range(3):
            result = multiply(a, a)
        float(result[0, 0])
        return 3 * 2 * SIZE**3 / (time.perf_counter() - start)

    for _ in range(5):
        step(next(batches))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, flush=True)
    for line in sys.stdin:
        command, *seconds = line.split()
        print(json.dumps(train(float(seconds[0])) if command == "train" else product()), flush=True)


if __name__ == "__main__":
    main()
