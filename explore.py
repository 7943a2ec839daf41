"""Look at trained models on a local web page: python explore.py [RUN ...]. Without a run it opens pretrained/."""

import argparse
import dataclasses
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.errors import InputError
from tasks.modes import MODES, quiet_imports
from training.cli import Parser, count, run_program
from training.runs import Run, open_run

PRETRAINED = Path(__file__).parent / "pretrained"


def parse(argv: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = Parser(prog="explore.py", description="Look at trained models on a local web page.")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="directories or names; default: those of pretrained/")
    parser.add_argument("--runs-dir", default="runs", help="folder of runs (default: runs)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)"
    )
    parser.add_argument("--port", type=count, help="default: the first free one from 7860 on")
    return parser.parse_args(argv)


def loader(run: Run) -> Callable[[], Any]:
    """Return the function that reads a run's data; of MNIST, if it is not on disk, the part that is built in."""
    load = MODES[run.mode].make_task().load

    def read() -> Any:
        try:
            return load(run.config)
        except InputError:
            if run.config.dataset != "mnist":
                raise
            return load(dataclasses.replace(run.config, dataset="mnist_5k"))

    return read


def explore(argv: list[str]) -> None:
    """Open the runs, and serve the page until Ctrl-C."""
    options = parse(argv)
    paths = options.runs or sorted(path for path in PRETRAINED.iterdir() if path.is_dir())
    runs = [open_run(path, options.runs_dir, MODES) for path in paths]
    for run in runs:
        run.check_wording()
    try:
        with quiet_imports():
            from reporting.explorer import Opened, page, served
    except ModuleNotFoundError as error:
        raise InputError(
            f"the page needs {error.name}, which is not installed: pip install -r requirements-explore.txt"
        ) from error
    opened = []
    for run in runs:
        mode = MODES[run.mode]
        opened.append(Opened(run, mode.load(run), mode.summary, loader(run)))
        print(f"{run.path} is open")
    with served(page(opened), options.host, options.port) as address:
        print(f"the page: {address} (Ctrl-C ends it)", flush=True)
        threading.Event().wait()


def main(argv: list[str] | None = None) -> int:
    """Explore; return the exit code."""
    return run_program(explore, argv)


if __name__ == "__main__":
    sys.exit(main())
