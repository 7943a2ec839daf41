"""Train a model: python train.py --mode infobigbigan. See --help, and --mode MODE --help for the options of a mode."""

import argparse
import contextlib
import functools
import gc
import shlex
import sys
import tempfile
from typing import Any

from data.errors import InputError
from tasks.modes import MODES, find_mode, listing, modes_with
from training.cli import Parser, add_config_options, run_program, training_parser
from training.config import as_options, left_open, make_config
from training.devices import check_shares, is_chief, strategy_of
from training.runs import Run, create_run, open_run, resumed_config


def parse(argv: list[str]) -> tuple[argparse.Namespace, Run | None, dict[str, Any]]:
    """Return the program's own options, the run to resume, and the options of the mode that were given."""
    program = training_parser(MODES)
    own, rest = program.parse_known_args(argv)
    if own.list:
        print(listing(own.runs_dir))
        raise SystemExit
    run = open_run(own.resume, own.runs_dir, MODES) if own.resume is not None else None
    if run:
        if own.mode not in (None, run.mode):
            raise InputError(f"--mode {own.mode}: {run.path} is a run of mode {run.mode}: leave --mode out")
        if own.name:
            raise InputError(f"--name: {run.path} has a name: leave --name out with --resume")
        own.mode = run.mode

    about = "; ".join(f"{name}: {row.summary}" for name, row in MODES.items())
    parser = Parser(modes_with, prog="train.py", description=f"Train a model. {about}.", parents=[program])
    if own.mode is not None:
        add_config_options(parser, find_mode(own.mode).config)
    elif not {"-h", "--help"} & set(argv):
        raise InputError(f"--mode is missing: give one of {', '.join(MODES)}")
    options = vars(parser.parse_args(rest))
    return own, run, as_options({name: value for name, value in options.items() if name not in vars(own)})


def train(argv: list[str]) -> None:
    """Resolve the options, build the model, fit it, and score it."""
    own, run, given = parse(argv)
    row = find_mode(own.mode)
    config = resumed_config(run, given) if run else make_config(row.config, given)
    if run and not own.dry_run:
        print(run.place, flush=True)  # now: importing TensorFlow and reading the data take seconds
    task = row.make_task()  # imports TensorFlow, so errors in options come before it
    strategy = strategy_of(own.devices, row)
    config, data = task.resolve(config, frozenset() if run else left_open(row.config, given))
    facts = task.facts(data)
    check_shares(strategy, config.batch_size)
    with strategy.scope():
        model = task.build(config, facts)
    if own.dry_run:
        print(*(f"{name} = {value}" for name, value in vars(config).items()), sep="\n")
        return

    from reporting.tables import print_table
    from reporting.tensorboard import write_scores
    from training.files import held
    from training.loop import fit, taken_up

    with contextlib.ExitStack() as stack:
        chief = is_chief(strategy)
        if not chief:  # what this process keeps is thrown away
            own.runs_dir = stack.enter_context(tempfile.TemporaryDirectory())
        run = run or create_run(own.runs_dir, own.name, row, config, facts, task.wording(data))
        if chief:
            stack.enter_context(held(run.path))
        run.check_data(facts)
        if not (done := taken_up(run, model, chief)):
            task.initialize(model, run, data)
        batches, steps = task.batches(config, data, first_epoch=done), task.steps_per_epoch(config, data)
        shown = task.callbacks(run, data) if chief else []
        fit(model, run, done, batches, steps, strategy, functools.partial(task.curve_point, run, data), shown)
        if not chief:
            return
        best, _ = run.best_first()[0]
        epoch = best if best == run.epochs else run.restore(model)  # the model in memory is the newest checkpoint
        scores = task.evaluate(run, data, model, epoch, row.wanted(run))
        write_scores(run, scores, steps * epoch)
    print_table(run, scores)
    print(f"run: {run.path}\nwatch it: tensorboard --logdir {shlex.quote(str(run.path / 'tensorboard'))}")


def main(argv: list[str] | None = None) -> int:
    """Train; return the exit code."""
    code = run_program(train, argv, "use --resume RUN, or give the same command again if no run was made")
    gc.collect()  # now: the thread pools of tf.distribute complain if the end of Python collects them
    return code


if __name__ == "__main__":
    sys.exit(main())
