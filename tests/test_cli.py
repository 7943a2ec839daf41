"""train.py and evaluate.py from end to end: what they leave behind, print, and answer to bad input."""

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import evaluate
import train
from data.errors import InputError
from data.images import load, to_float
from metrics.catalogue import RUN, score_of
from reporting.tables import comparison
from tasks.base import Task
from tasks.configs import BigGANConfig
from tasks.images import ImageTask
from tasks.modes import MODES, load_run
from training.cli import DIVERGED, run_program
from training.config import make_config
from training.files import held
from training.runs import Run, create_run, open_run

ROOT = Path(__file__).resolve().parents[1]
STUB = {"mode": "infobigbigan", "seed": 0, "dataset": "digits", "epoch": 4}  # scores of a test that asks for none
EVERY_RUN = {score.key for score in RUN}


def keys_of(mode, *names):
    """The keys of these evaluations of a mode, or of all."""
    return {key for own in MODES[mode].scores if own.name in names or not names for key in own.keys}


@pytest.fixture
def answer(capsys):
    """Call a program with bad input; return its one line on standard error."""

    def call(program, *argv):
        assert program.main(list(map(str, argv))) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"{program.__name__}: ")
        assert "Traceback" not in line
        return line

    return call


@pytest.fixture(scope="module")
def whole(smallest, few_feature_updates, eagerly, tmp_path_factory):
    """(run, model) of an eager training by train.py, four epochs of two steps, that nothing interrupts."""
    keras.utils.clear_session(free_memory=False)  # a checkpoint holds layer names, numbered from here
    folder, built, build = tmp_path_factory.mktemp("runs"), [], Task.build

    def remember(*arguments):
        built.append(build(*arguments))
        return built[-1]

    with eagerly(), few_feature_updates(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "build", remember)
        flags = [*smallest("infobigbigan"), "--epochs", "4", "--runs-dir", str(folder), "--name", "whole"]
        assert train.main(flags) == 0
    return open_run("whole", str(folder), MODES), built[0]


@pytest.fixture(scope="module")
def spare(whole, eagerly):
    """A second model of the options of `whole`, in any state."""
    with eagerly():
        return MODES["infobigbigan"].make_task().build(whole[0].config, whole[0].facts)


@pytest.fixture
def one_model(eager, monkeypatch, spare):
    """Use `spare` in place of a new model, for tests that restore a checkpoint of `whole`: building takes seconds."""
    monkeypatch.setattr(Task, "build", lambda *_: spare)


@pytest.fixture
def runs_dir(tmp_path):
    return tmp_path / "runs"


def started(runs_dir, name, mode="biggan", labels=True, facts=None, **options):
    """A run that has not trained."""
    config = make_config(MODES[mode].config, {"dataset": "digits", "epochs": 1} | options)
    return create_run(str(runs_dir), name, MODES[mode], config, facts or {"image_shape": [8, 8, 1], "labels": labels})


def content(folder):
    """Everything in a folder, by path."""
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# From end to end


def test_a_finished_run_is_complete(whole):
    run, _ = whole
    described = json.loads((run.path / "config.json").read_text())
    assert (described["mode"], described["config"]["dataset"]) == ("infobigbigan", "digits")
    assert {"tensorflow", "keras"} <= described["versions"].keys()
    assert [epoch for epoch, _ in run.checkpoints()] == [4, 3]
    assert [entry["step"] for entry in run.history] == [2, 4, 6, 8]
    assert list((run.path / "tensorboard").glob("events.*"))
    assert {f"{name}.png" for name in ("samples", "reconstructions", "confusion")} <= {
        file.name for file in (run.path / "figures").iterdir()
    }
    scores = json.loads((run.path / "metrics.json").read_text())
    assert scores.keys() == EVERY_RUN | keys_of("infobigbigan")
    assert (scores["mode"], scores["dataset"], scores["epoch"]) == ("infobigbigan", "digits", 4)
    assert not list(run.path.rglob("*partial*"))


def test_evaluate_prints_json_alone_and_merges_it_into_the_metrics(whole, one_model, capsys):
    run, _ = whole
    before = json.loads((run.path / "metrics.json").read_text())
    assert evaluate.main(["--hungarian", "--json", "--runs-dir", str(run.path.parent), "whole"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores.keys() == (EVERY_RUN | keys_of("infobigbigan", "hungarian"))
    assert scores["code_to_class"] == before["code_to_class"]
    assert json.loads((run.path / "metrics.json").read_text()) == before | scores


def test_scores_on_another_data_set_are_named_so_and_write_nothing_into_the_run(whole, one_model, answer, capsys):
    run, before = whole[0], content(whole[0].path)
    options = ["--runs-dir", str(run.path.parent), "whole", "--hungarian", "--json"]
    random, file = np.random.default_rng(0), run.path.parent / "others.npz"
    np.savez(file, images=random.integers(0, 256, (100, 8, 8), dtype=np.uint8), labels=np.arange(100) % 4)
    assert evaluate.main([*options, "--dataset", str(file)]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["dataset"].startswith(str(file)) and "may have been trained on" in found["dataset"]
    assert "may have been trained on" in printed.err
    assert np.array(found["confusion"]).shape == (10, 4) and np.sum(found["confusion"]) == 20  # of its test part
    assert content(run.path) == before
    assert {path.name for path in run.path.parent.iterdir() if path.is_dir()} <= {"whole", "cache", "other"}
    assert "[28, 28, 1]" in answer(evaluate, *options[:3], "--dataset", "mnist_5k")


def test_scores_beside_another_feature_network_do_not_stay(whole, one_model, short_features):
    folder = whole[0].path.parent / "other"  # beside `whole`, whose cache of feature networks it shares
    file = shutil.copytree(whole[0].path, folder) / "metrics.json"
    for network, stays in (({"feature_network_accuracy": 0.5}, False), ({}, True)):
        file.write_text(json.dumps({"epoch": 4, "kid": 7.0} | network))
        assert evaluate.main([str(folder), "--reconstruction"]) == 0
        assert ("kid" in json.loads(file.read_text())) == stays


@pytest.mark.slow
def test_colour_images_of_32_pixels_train_generate_and_are_scored(runs_dir, smallest, short_features, eager, tmp_path):
    random = np.random.default_rng(0)
    file = tmp_path / "colour.npz"
    np.savez(file, images=random.integers(0, 256, (60, 32, 32, 3), np.uint8), labels=np.arange(60) % 10)
    flags = [*smallest("infobigbigan"), "--dataset", str(file), "--batch-size", "16"]
    assert train.main([*flags, "--runs-dir", str(runs_dir), "--name", "a"]) == 0
    scores = json.loads((runs_dir / "a/metrics.json").read_text())
    assert scores.keys() == EVERY_RUN | keys_of("infobigbigan")
    assert load_run("a", str(runs_dir)).generate(2).shape == (2, 32, 32, 3)


def test_a_dry_run_prints_the_resolved_options_and_writes_nothing(runs_dir, smallest, capsys):
    assert train.main([*smallest("biggan"), "--runs-dir", str(runs_dir), "--precision", "float32", "--dry-run"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert {"dataset = digits", "batch_size = 512", "precision = float32", "generator_widths = (8,)"} <= set(out)
    assert not runs_dir.exists()


def test_the_list_names_modes_data_sets_and_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("INFOBIGBIGAN_DATA", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        train.main(["--list", "--runs-dir", str(tmp_path)])
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    assert lines[1 : 1 + len(MODES)] == [f"  {name}: {row.summary}" for name, row in MODES.items()]
    assert "  images: mnist_5k, digits" in lines and "  sentences: docstrings" in lines
    assert lines[-1] == f"runs in {tmp_path}: mine"
    monkeypatch.setenv("INFOBIGBIGAN_DATA", str(tmp_path))
    (tmp_path / "ptb").mkdir()
    with pytest.raises(SystemExit):
        train.main(["--list"])
    assert "  sentences: docstrings, ptb" in capsys.readouterr().out


# A run to give away


@pytest.fixture(scope="module")
def exported(whole, spare, eagerly, tmp_path_factory):
    """The directory that `--export` wrote of `whole`."""
    folder = tmp_path_factory.mktemp("pretrained") / "small"
    with eagerly(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "build", lambda *_: spare)
        assert evaluate.main([str(whole[0].path), "--consistency", "--export", str(folder)]) == 0
    return folder


def test_an_exported_run_generates_encodes_and_classifies_as_the_run_does(whole, exported, one_model):
    model, own = load_run(exported), whole[1]
    x = to_float(load("digits").test.images)
    assert np.max(np.abs(model.generate(20) - own.generate(20))) < 0.05
    assert np.max(np.abs(model.encode(x).mu - own.encode(x).mu)) < 0.05
    assert np.mean(model.classify(x).argmax(1) == own.classify(x).argmax(1)) > 0.98
    whole_size = sum(file.stat().st_size for _, file in whole[0].checkpoints()[:1])
    assert sum(file.stat().st_size for file in exported.iterdir()) < whole_size / 4
    assert {file.name for file in exported.iterdir()} == {
        "README.md",
        "config.json",
        "metrics.json",
        "weights.npz",
    }


def test_an_exported_run_is_scored_within_rounding(whole, exported, one_model, tmp_path, capsys):
    given = shutil.copytree(exported, tmp_path / "small")
    before = (given / "metrics.json").read_bytes()
    assert evaluate.main([str(given), "--hungarian", "--json"]) == 0
    assert (given / "metrics.json").read_bytes() == before  # as it was given away
    ours, theirs = json.loads(capsys.readouterr().out), json.loads((whole[0].path / "metrics.json").read_text())
    assert abs(ours["hungarian_accuracy"] - theirs["hungarian_accuracy"]) < 0.02
    assert ours["epoch"] == theirs["epoch"]


def test_an_exported_run_is_given_away_again_without_its_data(exported, one_model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ImageTask, "load", None)
    again = tmp_path / "again"
    assert evaluate.main([str(exported), "--export", str(again), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((exported / "metrics.json").read_text())
    assert content(again).keys() == content(exported).keys()
    with np.load(exported / "weights.npz") as before, np.load(again / "weights.npz") as after:
        assert all(np.array_equal(before[name], after[name]) for name in before.files)


def test_an_exported_run_is_not_trained_on(exported, answer):
    assert "is an exported run, without optimizers" in answer(train, "--resume", exported)


def test_an_export_overwrites_nothing(whole, exported, answer):
    before = content(exported)
    line = answer(evaluate, whole[0].path, "--consistency", "--export", exported)
    assert f"--export: {exported} exists" in line
    assert content(exported) == before


def test_damaged_weights_of_an_exported_run(exported, spare, tmp_path):
    run = open_run(shutil.copytree(exported, tmp_path / "small"), "", MODES)
    whole = (run.path / "weights.npz").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"PK" + whole[5:]):
        (run.path / "weights.npz").write_bytes(damaged)
        with pytest.raises(InputError, match="weights.npz is damaged"):
            run.restore(spare)


# Several runs


def runs_of(names, **options):
    """Runs that were never written, with the seeds 0, 1, ..."""
    return [
        Run(Path(f"runs/{name}"), MODES["biggan"], BigGANConfig(dataset="digits", seed=seed, **options), {})
        for seed, name in enumerate(names)
    ]


def test_runs_that_differ_by_their_seed_share_a_row():
    runs = [*runs_of("abc"), *runs_of("d", d_updates=2)]
    scored = [{"mode": "biggan", "seed": 0, "epoch": 3, "fid": fid} for fid in (1.0, 2.0, 6.0, 5.0)]
    fid = score_of("fid").heading
    assert comparison(runs, scored).splitlines() == [
        "| runs | score | mean | median | spread | worst | by seed |",
        "|---|---|---|---|---|---|---|",
        f"| a, b, c | {fid} | 3 | 2 | 2.646 | 6 | 1 2 6 |",
        f"| d | {fid} | 5 | 5 | 0 | 5 | 5 |",
    ]


def test_the_worst_accuracy_is_the_lowest_and_a_floor_has_no_worst():
    lines = comparison(runs_of("ab"), [{"nmi": 0.5, "fid_floor": 1.0}, {"nmi": 0.25, "fid_floor": 3.0}]).splitlines()
    assert lines[2:] == [
        f"| a, b | {score_of('nmi').heading} | 0.375 | 0.375 | 0.1768 | 0.25 | 0.5 0.25 |",
        f"| a, b | {score_of('fid_floor').heading} | 2 | 2 | 1.414 |  | 1 3 |",
    ]


def test_a_score_that_the_catalogue_lacks_is_not_shown_under_a_guessed_name():
    with pytest.raises(KeyError, match="'beauty' is not a score"):
        comparison(runs_of("a"), [{"beauty": 1.0}])


@pytest.fixture
def scored(monkeypatch):
    """evaluate.py with the scores 1, 2, ... in the order of the runs; returns their paths."""
    asked = []

    def score(run, flags):
        asked.append(run.path)
        return None, 1, {"mode": run.mode, "seed": 0, "dataset": "digits", "epoch": 1, "fid": float(len(asked))}

    monkeypatch.setattr(evaluate, "score", score)
    return asked


def test_evaluate_compares_several_runs(runs_dir, scored, capsys):
    started(runs_dir, "a", seed=1), started(runs_dir, "b", seed=2)
    assert evaluate.main(["a", "b", "--runs-dir", str(runs_dir)]) == 0
    row = f"| a, b | {score_of('fid').heading} | 1.5 | 1.5 | 0.7071 | 2 | 1 2 |"
    assert row in capsys.readouterr().out.splitlines()


def test_evaluate_names_several_runs_in_json(runs_dir, scored, capsys):
    paths = [str(started(runs_dir, name).path) for name in "ab"]
    assert evaluate.main([*paths, "--json"]) == 0
    assert {path: scores["fid"] for path, scores in json.loads(capsys.readouterr().out).items()} == {
        paths[0]: 1.0,
        paths[1]: 2.0,
    }


def test_evaluate_takes_the_last_run_that_has_a_checkpoint(runs_dir, scored):
    for age, name in enumerate("abc"):
        run = started(runs_dir, name)
        os.utime(run.path / "config.json", (age, age))
        if name != "c":  # stopped too early to be scored
            (run.path / "checkpoints/epoch-000001-0.weights.h5").write_bytes(b"")
    assert evaluate.main(["--runs-dir", str(runs_dir)]) == 0
    assert scored == [runs_dir / "b"]


# Answers at once

WITHOUT_TENSORFLOW = """
import sys, train, evaluate

def code(program, *argv):
    try:
        return program.main(list(argv))
    except SystemExit as stop:
        return stop.code

codes = [
    code(train, "--help"),
    code(train, "--mode", "infobigbigan", "--help"),
    code(evaluate, "--help"),
    code(train, "--mode", "infobigbigam"),
    code(train, "--mode", "biggan", "--batch-size", "0"),
    code(train, "--resume", "none"),
    code(evaluate, "none"),
]
print(codes, [name for name in ("tensorflow", "keras", "sklearn", "matplotlib") if name in sys.modules])
"""


def test_help_and_wrong_flags_are_answered_without_tensorflow():
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW]
    answered = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answered.stdout.splitlines()[-1] == "[0, 0, 0, 2, 2, 2, 2] []"


BEFORE_TENSORFLOW = """
import sys, train, evaluate
from tasks.modes import Mode

def stop(mode):
    print([name for name in ("tensorflow", "keras", "sklearn", "matplotlib") if name in sys.modules])
    raise SystemExit

Mode.make_task = stop
program = {"train": train, "evaluate": evaluate}[sys.argv[1]]
program.main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("command", "epoch", "line"),
    [
        (["train", "--resume"], 7, "goes on after epoch 7 of 9, from epoch-000007-0.weights.h5"),
        (["train", "--resume"], None, "goes on from its beginning, without a checkpoint"),
        (["evaluate"], 7, "is being scored"),
    ],
)
def test_what_a_program_does_with_a_run_is_said_before_tensorflow_is_imported(runs_dir, command, epoch, line):
    run = started(runs_dir, "a", epochs=9)
    if epoch:
        (run.path / f"checkpoints/epoch-{epoch:06d}-0.weights.h5").write_bytes(b"")
    process = [sys.executable, "-c", BEFORE_TENSORFLOW, *command, str(run.path)]
    answered = subprocess.run(process, cwd=ROOT, capture_output=True, text=True)
    assert answered.stdout.splitlines() == [f"biggan on digits in {run.path} {line}", "[]"]


def test_a_reader_that_closes_early_causes_no_message():
    command = [sys.executable, "reproduce.py", "ablation", "--dry-run"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_a_wrong_flag_on_the_command_line(runs_dir):
    command = [sys.executable, "train.py", "--mode", "biggan", "--sede", "1", "--runs-dir", str(runs_dir)]
    answered = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (answered.returncode, answered.stdout) == (2, "")
    assert answered.stderr.splitlines() == ["train.py: unknown option --sede; did you mean --seed?"]
    assert not runs_dir.exists()


def test_help_names_every_option_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--mode", "infobigbigan", "--help"])
    assert stop.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "--generator-widths" in out
    assert "(default: 32 16)" in out
    for group in ("data", "networks", "training", "evaluation"):
        assert f" {group}: " in out


def test_help_of_evaluate_names_every_evaluation_with_its_modes(capsys):
    with pytest.raises(SystemExit) as stop:
        evaluate.main(["--help"])
    assert stop.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    for name in {evaluation.name for row in MODES.values() for evaluation in row.scores}:
        modes = ", ".join(mode for mode, row in MODES.items() if name in [own.name for own in row.scores])
        assert f"--{name} " in out and f"({modes})" in out


# Bad input


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], f"--mode is missing: give one of {', '.join(MODES)}"),
        (["--mode", "infobigbigam"], "did you mean infobigbigan?"),
        (["--mode", "biggan", "--latentdim", "8"], "unknown option --latentdim; did you mean --latent-dim?"),
        (["--mode", "biggan", "--info-weigth=2"], "unknown option --info-weigth"),
        (["--mode", "bigbigan", "--info-weight=2"], "--info-weight; modes that have it: infogan, infobigbigan"),
        (["--mode", "infogan", "--no-s-z"], "unknown option --no-s-z; modes that have it: bigbigan, infobigbigan"),
        (["--mode", "biggan", "--preset", "quik"], "--preset: 'quik' is not one of quick, default, reference; did you"),
        (["--mode", "infogan", "--code-to", "frist"], "did you mean first?"),
        (["--mode", "biggan", "--batch-size", "ten"], "invalid int value: 'ten'"),
        (["--mode", "biggan", "--batch-size", "1"], "--batch-size: 1 is out of range: it takes numbers at least 2"),
        (["--mode", "biggan", "--ema-decay", "1"], "--ema-decay: 1.0 is out of range: it takes numbers from 0 to"),
        (["--mode", "biggan", "--generator-widths"], "--generator-widths: expected at least one argument"),
        (["--mode", "biggan", "--dataset", "minst"], "did you mean mnist?"),
        (["--mode", "biggan", "--dataset", "no/such.npz"], "'no/such.npz' is neither a data set"),
        (
            ["--mode", "biggan", "--dataset", "digits", "--batch-size", "2000"],
            "does not fit 1259 training images",
        ),
        (
            ["--mode", "biggan", "--dataset", "digits", "--generator-widths", "8", "8", "8", "8"],
            "images of 8x8 cannot be halved 4 times by G and stay larger than one pixel: use --image-size 32",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_answered_in_one_line_and_writes_nothing(answer, runs_dir, flags, message):
    assert message in answer(train, "--runs-dir", runs_dir, *flags)
    assert not runs_dir.exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros([20, 8, 8], np.uint8), "labels": np.zeros(19, int)}, "save one label per image"),
        ({"images": np.zeros([20, 64], np.uint8)}, "have shape [20, 64]"),
        ({"images": np.full([20, 8, 8], 255.0)}, "are float64 from 255 to 255"),
        ({"images": np.zeros([0, 8, 8], np.uint8)}, "are empty"),
    ],
)
def test_bad_images_are_answered_in_one_line_and_write_nothing(answer, tmp_path, runs_dir, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    assert message in answer(train, "--mode", "biggan", "--dataset", tmp_path / "a.npz", "--runs-dir", runs_dir)
    assert not runs_dir.exists()


@pytest.fixture
def no_model(monkeypatch):
    """Build nothing: for errors that come before the model is used."""
    monkeypatch.setattr(Task, "build", lambda *_: None)


def test_a_name_that_is_taken(answer, runs_dir, smallest, no_model):
    path = started(runs_dir, "a").path
    before = content(runs_dir)
    line = answer(train, *smallest("biggan"), "--runs-dir", runs_dir, "--name", "a")
    assert f"{path} exists" in line and "--name" in line and f"--resume {path}" in line
    assert content(runs_dir) == before


def test_a_path_in_a_command_is_quoted_for_the_shell(answer, tmp_path, smallest, no_model):
    path = started(tmp_path / "my $runs; 'all' of them", "a b").path
    line = answer(train, *smallest("biggan"), "--runs-dir", path.parent, "--name", "a b")
    assert shlex.split(line[line.index("--resume") :]) == ["--resume", str(path)]


def test_a_runs_dir_that_is_a_file(answer, tmp_path, smallest, no_model):
    (tmp_path / "file").write_text("")
    line = answer(train, *smallest("biggan"), "--runs-dir", tmp_path / "file", "--name", "a")
    assert f"{tmp_path / 'file'} is not a folder: give another --runs-dir" in line


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_says_how_to_go_on(capsys, number, code):
    kept = []

    def interrupted(argv):
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            os.kill(os.getpid(), number)  # a second one does not disturb what is kept
            kept.append("checkpoint")
            raise

    before = signal.getsignal(number)
    assert run_program(interrupted, [], "use --resume RUN") == code and kept
    (line,) = capsys.readouterr().err.splitlines()
    assert "interrupted" in line and line.endswith("use --resume RUN")
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("sent", [True, False])
def test_an_interruption_that_a_library_replaces_is_one_still(capsys, sent):
    """TensorFlow's C++ raises a RuntimeError if another error is on its way. Without a signal it stays an error."""

    def replaced(argv):
        try:
            if sent:
                os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            pass
        raise RuntimeError("ORIGINAL InvalidArgumentError REPLACED BY KeyboardInterrupt: 15")

    if not sent:
        with pytest.raises(RuntimeError, match="REPLACED"):
            run_program(replaced, [])
        return
    assert run_program(replaced, []) == 143
    (line,) = capsys.readouterr().err.splitlines()
    assert "interrupted" in line


class Destroyed:
    """An object whose end is interrupted by a signal."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_interruption_of_a_destructor_is_not_lost(capsys):
    """Python drops an exception there."""

    def interrupted(argv):
        Destroyed()
        time.sleep(60)

    assert run_program(interrupted, []) == 143
    (line,) = capsys.readouterr().err.splitlines()
    assert "interrupted" in line


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--resume", "b"], "b is not a run: it has no config.json"),
        (["--resume", "a", "--mode", "bigan"], "is a run of mode biggan: leave --mode out"),
        (["--resume", "a", "--name", "b"], "--name: "),
        (["--resume", "a", "--d-rate", "0.1"], "was started with 0.0006"),
        (["--resume", "a", "--latent-width", "8"], "unknown option --latent-width"),
        (["--resume", "a", "--seed", "0"], "digits is not what"),  # the seed is the same, but the images are others
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_resumed(answer, runs_dir, no_model, flags, message):
    started(runs_dir, "a", facts={"image_shape": [8, 8, 1], "labels": True, "sha256": "of other images"})
    before = content(runs_dir)
    assert message in answer(train, "--runs-dir", runs_dir, *flags)
    assert content(runs_dir) == before


@pytest.fixture
def digits_run(runs_dir):
    """A run on digits that has not trained."""
    facts = MODES["biggan"].make_task().facts(load("digits"))
    return started(runs_dir, "a", facts=facts, generator_widths=(8,), discriminator_widths=(8,))


def test_a_run_that_another_process_trains_is_left_alone(answer, runs_dir, digits_run, no_model):
    digits_run.write_history([{"epoch": 1, "seconds": 1.0}])
    before = content(runs_dir)
    with held(digits_run.path):
        line = answer(train, "--runs-dir", runs_dir, "--resume", "a")
    assert f"{digits_run.path} is being written by another process" in line
    assert content(runs_dir) == before


def test_a_run_without_a_whole_checkpoint_cannot_be_resumed(answer, runs_dir, digits_run, no_model):
    for name in ("1-0", "2-0"):
        (digits_run.path / f"checkpoints/epoch-{name}.weights.h5").write_bytes(b"not whole")
    before = content(runs_dir)
    assert "is whole: start the run anew" in answer(train, "--runs-dir", runs_dir, "--resume", "a")
    assert content(runs_dir) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["b"], "b is not a run: it has no config.json"),
        (["a", "--hungarian"], "a is a run of mode biggan, which has --fid, --kid"),
        (["unlabelled", "--hungarian"], "--hungarian needs labels and digits has none"),
        (["a", "--fdi"], "unknown option --fdi; did you mean --fid?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_evaluated(answer, runs_dir, flags, message):
    started(runs_dir, "a"), started(runs_dir, "unlabelled", "infobigbigan", labels=False)
    before = content(runs_dir)
    assert message in answer(evaluate, "--runs-dir", runs_dir, *flags)
    assert content(runs_dir) == before


def test_no_runs_to_evaluate(answer, runs_dir):
    assert "holds no run: train one, for example" in answer(evaluate, "--runs-dir", runs_dir)


# Trouble under way


def entries_of(run):
    """The history without what differs between two trainings of the same options."""
    return [entry | {"seconds": 0, "memory_gb": 0} for entry in run.history]


def same_bits(ours, theirs):
    """Whether two runs have the same checkpoints, by name and content, and the same history."""
    assert len(ours.checkpoints()) == len(theirs.checkpoints()) == 2
    for (_, own), (_, other) in zip(ours.checkpoints(), theirs.checkpoints(), strict=True):
        assert own.name == other.name  # the name carries the digest
        assert own.read_bytes() == other.read_bytes()
    assert entries_of(ours) == entries_of(theirs)
    return True


def test_a_resumed_training_ends_in_the_same_bits(whole, eager, tmp_path, monkeypatch, capsys):
    """Two checkpoints of four epochs are kept: without the newest one a training continues after the third epoch."""
    tmp_path = tmp_path / "my $runs; 'all' of them"
    monkeypatch.setattr(Task, "evaluate", lambda *_: STUB)
    copied = open_run(shutil.copytree(whole[0].path, tmp_path / "a"), "", MODES)
    copied.checkpoints()[0][1].unlink()
    (copied.path / "checkpoints/partial.weights.h5").write_bytes(b"the beginning of a checkpoint")
    keras.utils.clear_session(free_memory=False)  # numbers layers as a new process would
    assert train.main(["--resume", "a", "--runs-dir", str(tmp_path)]) == 0
    assert [entry["epoch"] for entry in copied.history] == [1, 2, 3, 4]
    (third,) = [file for epoch, file in whole[0].checkpoints() if epoch == 3]
    assert copied.checkpoints()[1][1].name == third.name
    assert same_bits(copied, whole[0])
    watch = capsys.readouterr().out.splitlines()[-1].removeprefix("watch it: ")
    assert shlex.split(watch) == ["tensorboard", "--logdir", str(copied.path / "tensorboard")]


def test_a_checkpoint_holds_weights_averages_step_and_both_optimizers(whole):
    with h5py.File(whole[0].checkpoints()[0][1]) as file:
        assert file.keys() >= {"d_optimizer", "ge_optimizer", "vars"}  # Keras's versions name the networks differently
        own = 1 + len(whole[1].recognizer_averages)  # the step, and the averages without a network of their own
        assert len(file["vars"]) == own  # all others are in the file once, with their networks
        stored = []
        file.visititems(lambda name, node: stored.append(name) if isinstance(node, h5py.Dataset) else None)
        weights = [name for name in stored if "optimizer" not in name.split("/")[0]]
        assert len(weights) == len(whole[1].weights)


def test_a_loaded_run_generates_what_the_trained_model_does(whole, one_model):
    run, model = whole
    np.testing.assert_array_equal(load_run(run.path).generate(5, seed=3), model.generate(5, seed=3))


@pytest.mark.parametrize(
    ("code", "message"),
    [(errno.ENOSPC, "No space left on device: make room"), (errno.EACCES, "Permission denied: allow access")],
)
def test_a_disk_that_refuses_is_one_line_and_harms_nothing(answer, whole, one_model, monkeypatch, code, message):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    run, _ = whole
    before = content(run.path)
    monkeypatch.setattr(os, "replace", refuse)
    assert message in answer(evaluate, run.path, "--consistency")
    assert content(run.path) == before


def test_a_loss_that_is_not_finite_stops_the_training(runs_dir, smallest, eager, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    assert train.main([*smallest("biggan"), "--runs-dir", str(runs_dir), "--name", "a", "--d-rate", "1e30"]) == DIVERGED
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert " at step " in line
    assert "there is no checkpoint yet" in line and "--d-rate" in line
    assert list((runs_dir / "a/checkpoints").iterdir()) == []
    hide, show = "\x1b[?25l", "\x1b[?25h"
    assert out.count(hide) == out.count(show) == 1  # the progress bar gives the cursor back
