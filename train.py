"""Trains a model: python train.py --mode infobigbigan. See --help, and --mode MODE --help for the options of a mode."""

import contextlib
import functools
import sys

from data.errors import InputError
from training.cli import Parser, add_config_options, run_program
from training.config import make_config
from training.modes import MODES, find_mode, modes_with


def parse(argv: list[str]):
    """The mode's name, its options that were given, and the run's options, without importing TensorFlow."""
    first = Parser(add_help=False)
    first.add_argument("--mode")
    first.add_argument("--resume")
    first.add_argument("--runs-dir", default="runs")
    known, _ = first.parse_known_args(argv)
    mode, run = known.mode, None
    if known.resume is not None:
        from training.runs import open_run

        run = open_run(known.resume, known.runs_dir)
        if mode not in (None, run.mode):
            raise InputError(f"--mode {mode}: {run.path} is a run of mode {run.mode}; leave --mode out")
        mode = run.mode

    modes = "; ".join(f"{name}: {row.summary}" for name, row in MODES.items())
    parser = Parser(modes_with, prog="train.py", description=f"Trains a model. {modes}.")
    parser.add_argument("--mode", metavar="{" + ",".join(MODES) + "}", help="what to train")
    parser.add_argument("--runs-dir", default="runs", help="where runs are kept (default: runs)")
    parser.add_argument("--name", help="of the run's directory; default: mode, data set and time")
    parser.add_argument("--resume", metavar="RUN", help="go on with this run")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved options and stop")
    if mode is None:
        if not {"-h", "--help"} & set(argv):
            raise InputError(f"--mode is missing: one of {', '.join(MODES)}")
    else:
        add_config_options(parser.add_argument_group(f"options of {mode}"), find_mode(mode).config)
    options = vars(parser.parse_args(argv))
    own = {name: options.pop(name) for name in ("mode", "runs_dir", "name", "resume", "dry_run")}
    if run and own["name"]:
        raise InputError(f"--name: {run.path} has its name; leave --name out with --resume")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return mode, run, given, own


def train(argv: list[str]):
    mode, run, given, own = parse(argv)
    if run is None:
        config = make_config(find_mode(mode).config, given)
    else:
        from training.runs import check_unchanged

        check_unchanged(run, given)
        config = run.config

    program = MODES[mode].program()
    config, data = program.prepare(config)
    facts = program.facts(data)
    model = program.build(mode, config, facts)
    if own["dry_run"]:
        print(*(f"{name} = {value}" for name, value in vars(config).items()), sep="\n")
        return

    from training import callbacks, tensorboard
    from training.runs import create_run, held
    from training.scores import print_table, score

    run = run or create_run(own["runs_dir"], own["name"], mode, config, facts)
    with held(run.path):
        run.check_data(facts)
        done = run.restore(model, best=False) if run.checkpoints() else 0  # the first weights are those of the seed
        run.write_history(run.history[:done])
        print(f"{mode} on {config.dataset} in {run.path}: {done} of {config.epochs} epochs are done")
        for part in ("images", "train", "validation", "test"):
            if part in facts:
                print(f"{part}: " + ", ".join(f"{name} {round(n, 4):,}" for name, n in facts[part].items()))
        steps, x = program.steps_per_epoch(config, data), program.batches(config, data, first_epoch=done)
        keeper = callbacks.Keeper(run, functools.partial(program.curve_point, run, data))
        shown = program.callbacks(run, data)
        with contextlib.closing(callbacks.ProgressBar(run, steps, done)) as bar:
            span = {"initial_epoch": done, "epochs": config.epochs, "steps_per_epoch": steps}
            followers = [bar, callbacks.NonFiniteGuard(run), keeper, *shown]
            model.fit(x, **span, verbose=0, shuffle=False, callbacks=followers)
        scores = score(run, [])
        tensorboard.write_scores(run, scores, steps * scores["epoch"])
    print_table(run, scores)
    print(f"run: {run.path}\nwatch it: tensorboard --logdir {run.path / 'tensorboard'}")


def main(argv: list[str] | None = None) -> int:
    """Trains; returns the exit code."""
    return run_program(train, argv, "use --resume RUN, or give the same command again where no run was made")


if __name__ == "__main__":
    sys.exit(main())
