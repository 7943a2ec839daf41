"""Where a training runs: on one device, on several of one machine, or on several machines (`tf.distribute`)."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from data.errors import InputError, reason
from training.runs import Row

if TYPE_CHECKING:
    import tensorflow as tf

CLUSTER = "TF_CONFIG"  # the variable of the environment that names the machines, as TensorFlow reads it


def strategy_of(devices: int | None, row: Row) -> "tf.distribute.Strategy":
    """Return the strategy of a training. Call this before anything is computed.

    Args:
        devices: number of devices of this machine: of GPUs, or, on a machine without any, of equal parts of the
            processor; None: all GPUs, or else the processor.
        row: the mode.

    Raises:
        InputError: there are fewer GPUs, TF_CONFIG is damaged or given with `devices`, or the mode trains on one device.
    """
    import tensorflow as tf

    several = len(addresses := machines()) > 1
    if several and devices:
        raise InputError(f"--devices {devices}: leave it out, since each machine of {CLUSTER} uses all of its GPUs")
    if not row.shares_batches and (several or (devices or 1) > 1):
        raise InputError(f"--mode {row.name} trains on one device: leave --devices and {CLUSTER} out")
    if several:
        print(f"waits until all machines have started: {', '.join(addresses)}", flush=True)
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_physical_devices("GPU") if row.shares_batches else []
    count = devices or max(1, len(gpus))
    if gpus and count > len(gpus):
        raise InputError(f"--devices {count}: this machine has {len(gpus)} GPUs: give at most that")
    if count == 1:
        return tf.distribute.get_strategy()
    if not gpus:
        (processor,) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        tf.config.set_logical_device_configuration(processor, parts)
    return tf.distribute.MirroredStrategy([f"{'GPU' if gpus else 'CPU'}:{i}" for i in range(count)])


def compile_soon() -> None:
    """Make TensorFlow compile functions for the processor as they are, without rewriting their graphs first (Grappler).

    Their first call takes half the time then, and later calls take no longer (docs/speed.md). GPUs need the rewriting,
    which chooses layouts for them.
    """
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def machines() -> list[str]:
    """Return the addresses of the machines that train together, as TF_CONFIG has them; none without it.

    Raises:
        InputError: TF_CONFIG is damaged.
    """
    try:
        cluster = json.loads(os.environ.get(CLUSTER) or '{"cluster": {"worker": []}, "task": {}}')
        workers, task = [str(worker) for worker in cluster["cluster"]["worker"]], cluster["task"]
        if workers and (task["type"] != "worker" or not 0 <= int(task["index"]) < len(workers)):
            raise ValueError("it names no worker")
        return workers
    except (ValueError, TypeError, LookupError) as error:
        raise InputError(
            f"{CLUSTER} is damaged ({reason(error)}): give JSON such as "
            '{"cluster": {"worker": ["host:port", "host:port"]}, "task": {"type": "worker", "index": 0}}'
        ) from error


def check_shares(strategy: "tf.distribute.Strategy", batch_size: int) -> None:
    """Raise InputError if the replicas cannot share a batch equally."""
    if batch_size % (count := strategy.num_replicas_in_sync):
        raise InputError(f"--batch-size {batch_size} cannot be shared by {count} devices: give a multiple of {count}")


@contextlib.contextmanager
def together(strategy: "tf.distribute.Strategy") -> Iterator[None]:
    """Raise InputError if another machine ends while all train together."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        addresses = machines()
        if not addresses:
            raise
        named = {int(number) for number in re.findall(r"/task:(\d+)", str(error))} - {strategy.cluster_resolver.task_id}
        who = " or ".join(addresses[number] for number in sorted(named)) or "another machine"
        raise InputError(f"{who} has ended, so the training stops: start all machines again with --resume") from error


def is_chief(strategy: "tf.distribute.Strategy") -> bool:
    """Return whether this process writes the run: the only one, or the first of several machines."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_id


def shared(batches: "tf.data.Dataset", strategy: "tf.distribute.Strategy") -> Any:
    """Return batches as the replicas read them: each gets its slice of every batch."""
    import tensorflow as tf

    count = strategy.num_replicas_in_sync
    if count == 1:
        return batches

    def of_worker(context: "tf.distribute.InputContext") -> tf.data.Dataset:
        own = count // context.num_input_pipelines
        first = context.input_pipeline_id * own

        def slices(whole: tf.Tensor) -> tf.Tensor:
            rows = whole.shape[0] // count
            return tf.stack([whole[i * rows : (i + 1) * rows] for i in range(first, first + own)])

        def parts(*batch: Any) -> Any:
            return tf.nest.map_structure(slices, batch[0] if len(batch) == 1 else batch)

        # Batches never end, which TensorFlow must know: else it lets the size of a batch vary.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        return batches.map(parts).unbatch().apply(endless)

    return strategy.distribute_datasets_from_function(of_worker)
