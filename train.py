"""Train a model: python train.py --mode infobigbigan. See --help, and --mode MODE --help for the options of a mode."""

import contextlib
import dataclasses
import functools
import gc
import shlex
import sys
import tempfile
from typing import Any

from data.errors import InputError
from tasks.modes import MODES, find_mode, listing, modes_with
from training.cli import Parser, add_config_options, count, run_program
from training.config import left_open, make_config
from training.devices import check_shares, is_chief, shared, strategy_of, together
from training.runs import FREE, Run, check_unchanged, create_run, open_run


def parse(argv: list[str]) -> tuple[Any, Run | None, dict[str, Any], dict[str, Any]]:
    """Return the mode's name, the run to resume, the mode's options that were given, and the program's own options."""
    first = Parser(add_help=False)
    first.add_argument("--mode")
    first.add_argument("--resume")
    first.add_argument("--runs-dir", default="runs")
    first.add_argument("--list", action="store_true")
    known, _ = first.parse_known_args(argv)
    if known.list:
        print(listing(known.runs_dir))
        raise SystemExit
    mode, run = known.mode, None
    if known.resume is not None:
        run = open_run(known.resume, known.runs_dir, MODES)
        if mode not in (None, run.mode):
            raise InputError(f"--mode {mode}: {run.path} is a run of mode {run.mode}: leave --mode out")
        mode = run.mode

    modes = "; ".join(f"{name}: {row.summary}" for name, row in MODES.items())
    parser = Parser(modes_with, prog="train.py", description=f"Train a model. {modes}.")
    parser.add_argument("--mode", metavar="{" + ",".join(MODES) + "}", help="what to train")
    parser.add_argument("--runs-dir", default="runs", help="folder of runs (default: runs)")
    parser.add_argument("--name", help="name of the run's directory; default: mode, data set and time")
    parser.add_argument("--resume", metavar="RUN", help="continue this run")
    parser.add_argument("--list", action="store_true", help="print the modes, the data sets on disk and the runs")
    parser.add_argument(
        "--devices", type=count, help="GPUs, or equal parts of the processor, that share each batch (default: all GPUs)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the resolved options and stop")
    if mode is None:
        if not {"-h", "--help"} & set(argv):
            raise InputError(f"--mode is missing: give one of {', '.join(MODES)}")
    else:
        add_config_options(parser, find_mode(mode).config)
    options = vars(parser.parse_args(argv))
    del options["list"]  # answered above
    own = {name: options.pop(name) for name in ("mode", "runs_dir", "name", "resume", "devices", "dry_run")}
    if run and own["name"]:
        raise InputError(f"--name: {run.path} has a name: leave --name out with --resume")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return mode, run, given, own


def train(argv: list[str]) -> None:
    """Resolve the options, build the model, fit it, and score it."""
    mode, run, given, own = parse(argv)
    if run:
        check_unchanged(run, given)
        if not own["dry_run"]:
            print(run.place, flush=True)  # now: importing TensorFlow and reading the data take seconds
    row = find_mode(mode)
    free = {name: value for name, value in given.items() if name in FREE}
    config = dataclasses.replace(run.config, **free) if run else make_config(row.config, given)
    task = row.make_task()  # imports TensorFlow, so errors in options come before it
    strategy = strategy_of(own["devices"], row)
    config, data = task.resolve(config, frozenset() if run else left_open(row.config, given))
    facts = task.facts(data)
    check_shares(strategy, config.batch_size)
    with strategy.scope():
        model = task.build(config, facts)
    if own["dry_run"]:
        print(*(f"{name} = {value}" for name, value in vars(config).items()), sep="\n")
        return

    from reporting.tables import print_table
    from reporting.tensorboard import write_scores
    from training.callbacks import EpochEnd, Keeper, NonFiniteGuard, ProgressBar
    from training.files import held

    with contextlib.ExitStack() as stack:
        chief = is_chief(strategy)
        if not chief:  # what this process keeps is thrown away
            own["runs_dir"] = stack.enter_context(tempfile.TemporaryDirectory())
        run = run or create_run(own["runs_dir"], own["name"], row, config, facts, task.wording(data))
        if chief:
            stack.enter_context(held(run.path))
        run.check_data(facts)
        done = run.restore(model, best=False) if run.checkpoints() else 0
        if not done:
            task.initialize(model, run, data)
        if chief:
            run.write_history(run.history[:done])
        print(f"{mode} on {config.dataset} in {run.path}: {done} of {run.epochs} epochs are done")
        for part in ("images", "train", "validation", "test"):
            if part in facts:
                print(f"{part}: " + ", ".join(f"{name} {round(n, 4):,}" for name, n in facts[part].items()))
        steps = task.steps_per_epoch(config, data)
        x = shared(task.batches(config, data, first_epoch=done), strategy)
        keeper = Keeper(run)
        followers = [keeper, *task.callbacks(run, data)] if chief else []
        end = EpochEnd(run, functools.partial(task.curve_point, run, data), followers)
        with contextlib.closing(ProgressBar(run, steps, done)) as bar:
            span = {"initial_epoch": done, "epochs": run.epochs, "steps_per_epoch": steps}
            try:
                with together(strategy):
                    model.fit(x, **span, verbose=0, shuffle=False, callbacks=[bar, NonFiniteGuard(run), end])
            except KeyboardInterrupt:
                if chief:
                    keeper.rescue()
                raise
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
