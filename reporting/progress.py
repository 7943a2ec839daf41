"""What the terminal shows while a run is scored."""

import time
from collections.abc import Generator, Sequence

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from metrics.catalogue import Evaluation


def scoring(wanted: Sequence[Evaluation]) -> Generator[Evaluation, None, None]:
    """Yield the evaluations to compute, and show which one is at work, and for how long.

    A log file gets a line for each evaluation that has ended: its name and its seconds.
    """
    work = TextColumn("scoring: {task.description}")
    with Progress(BarColumn(10), MofNCompleteColumn(), TimeElapsedColumn(), work) as bar:
        task = bar.add_task("", total=len(wanted))
        for evaluation in wanted:
            start = time.perf_counter()
            bar.update(task, description=evaluation.name)
            yield evaluation
            bar.advance(task)
            if not bar.console.is_terminal:
                print(f"scored {evaluation.name} in {time.perf_counter() - start:.0f} s", flush=True)
        bar.update(task, description="done")
