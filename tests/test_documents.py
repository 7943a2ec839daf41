"""The README and the pages of docs/ are right: commands parse, links lead somewhere, code runs, numbers are results."""

import json
import re
import shlex
import statistics
from pathlib import Path

import numpy as np
import pytest

import evaluate
import explore
import reproduce
import train
from metrics.catalogue import worst
from studies.plan import read_study

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    block
    for page in PAGES
    if page.name != "report.md"
    for block in re.findall(r"^```\n(.*?)^```", page.read_text(), re.M | re.S)
]
COMMANDS = [
    line.strip() for block in BLOCKS for line in block.splitlines() if line.strip().startswith("python ")
] + re.findall(r"`(python (?:train|evaluate|reproduce)\.py[^`]*)`", (ROOT / "docs/studies.md").read_text())


def arguments(program):
    split = [shlex.split(line, comments=True) for line in dict.fromkeys(COMMANDS)]
    return [command[2:] for command in split if command[:2] == ["python", program]]


@pytest.mark.parametrize("argv", arguments("train.py"), ids=" ".join)
def test_train_commands_parse(argv):
    if "--resume" in argv or "--help" in argv:
        pytest.skip("needs a run, or prints and stops; both are covered by the tests of the command line")
    own, run, given = train.parse(argv)
    assert run is None
    train.make_config(train.find_mode(own.mode).config, given)


@pytest.mark.parametrize("argv", arguments("evaluate.py"), ids=" ".join)
def test_evaluate_commands_parse(argv):
    runs = evaluate.parse(argv).runs
    assert all(run == "RUN" or (ROOT / run).is_dir() for run in runs)


@pytest.mark.parametrize("argv", arguments("explore.py"), ids=" ".join)
def test_explore_commands_parse(argv):
    explore.parse(argv)


@pytest.mark.parametrize("argv", arguments("reproduce.py"), ids=" ".join)
def test_reproduce_commands_parse(argv):
    options = reproduce.parse(argv)
    assert options.study == reproduce.REPORT or read_study(options.study, options.seeds, options.preset).rows


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_readme_has_two_screens_and_the_first_holds_both_commands():
    lines = README.read_text().splitlines()
    assert len(lines) <= 120
    first_screen = "\n".join(lines[:32])
    assert "-m pytest" in first_screen and "train.py --mode infobigbigan" in first_screen


def test_ci_calls_the_test_command():
    command = next(line for block in BLOCKS for line in block.splitlines() if line.endswith("-m pytest"))
    assert command in (ROOT / ".ci/run").read_text().splitlines()


def test_the_table_of_modes_has_every_mode():
    rows = re.findall(r"^\| `(\w+)`", (ROOT / "docs/modes.md").read_text(), re.M)
    assert set(train.MODES) == set(rows) - {"checkpoints", "history", "tensorboard", "metrics", "candidates", "config"}


def test_the_table_of_studies_has_every_study():
    listed = re.findall(r"^\| \[(\w+)\]", (ROOT / "docs/studies.md").read_text(), re.M)
    assert set(listed) == {file.stem for file in (ROOT / "docs/results").glob("*.md")}


def code_of(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)


def test_the_python_lines_of_the_readme_run(eager, monkeypatch):
    """They give what their comments say."""
    monkeypatch.chdir(ROOT)
    (code,) = code_of(README)
    preparing, shown = re.match(r"(.*?\n)(model\.\w.*)", code, re.S).groups()
    names = {"images": np.random.default_rng(0).uniform(-1, 1, (3, 28, 28, 1)).astype("float32")}
    exec(preparing, names)
    generated, mu, reconstructed, probabilities = (eval(line, names) for line in shown.splitlines())
    assert generated.shape == (16, 28, 28, 1) and np.abs(generated).max() <= 1
    assert mu.shape == (3, names["model"].latent_dim) and reconstructed.shape == (3, 28, 28, 1)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_code_of_the_page_on_python_runs(eager, monkeypatch, place):
    monkeypatch.chdir(ROOT)
    names = {}
    exec("from tasks.modes import load_run\n" + code_of(ROOT / "docs/python.md")[place], names)
    if place == 2:
        assert names["model"].generate(4).shape == (4, 16, 16, 1)


# Numbers


def entries_of(study):
    return json.loads((ROOT / f"docs/results/{study}.json").read_text())


def values(study, row, key):
    return [e["metrics"][key] for e in entries_of(study) if e["row"] == row and key in e["metrics"]]


def shown(number, digits=3):
    """A number as pages write it: no zero before the point."""
    return f"{number:.{digits}f}".replace("0.", ".", 1) if abs(number) < 1 else f"{number:.{digits}f}"


def median_and_worst(study, row, key):
    found = values(study, row, key)
    return shown(statistics.median(found)), shown(worst(key, found))


def perplexity(row, ending=""):
    return statistics.mean(values("topics", row, f"perplexity_document{ending}"))


CODES = median_and_worst("comparison", "infobigbigan", "hungarian_accuracy")
CLAIMS = [
    ("README.md", f"median (worst) | {CODES[0]} ({CODES[1]})"),
    ("README.md", f"hidden layer | {shown(statistics.mean(values('ablation', 'both', 'linear_accuracy_features')))}"),
    ("README.md", f"200 topics | {'; '.join(f'{perplexity(row):.0f}' for row in ('ours_50', 'ours_200'))} |"),
    ("docs/studies.md", f"(published: 836) | {perplexity('ours_50'):.0f}; {perplexity('ours_50', '_refined'):.0f} |"),
    ("docs/studies.md", f"(published: 852) | {perplexity('ours_200'):.0f}; {perplexity('ours_200', '_refined'):.0f} |"),
    ("docs/studies.md", f"769.5) | {perplexity('clean_ours_50'):.0f}; {perplexity('clean_ours_50', '_refined'):.0f} |"),
    (
        "README.md",
        f"KL | {statistics.mean(values('language', 'twrvae', 'iw_nll')):.1f}; "
        f"{statistics.mean(values('language', 'twrvae', 'kl')):.1f}",
    ),
    ("README.md", f"with counts | {shown(statistics.mean(values('qa', 'nasm', 'map_counts')))}"),
    ("docs/studies.md", f"**{CODES[0]}** ({CODES[1]}, "),
    ("docs/studies.md", "Raw pixels read " + shown(values("ablation", "both", "linear_accuracy_pixels")[0])),
]
ABLATION = {
    "both": "BigBiGAN: s_x, s_z, s_xz",
    "s_x": "without s_z",
    "s_z": "without s_x",
    "neither": "s_xz alone",
}
for row, name in ABLATION.items():
    keys = ("fid", "linear_accuracy", "linear_accuracy_features", "kmeans_accuracy", "reconstruction_mse")
    found = [values("ablation", row, key) for key in keys]
    cells = [f"{shown(statistics.mean(own))} ± {shown(statistics.stdev(own))}" for own in found]
    CLAIMS.append(("docs/studies.md", f"| {name} | {' | '.join(cells)} |"))


@pytest.mark.parametrize(("page", "claim"), CLAIMS)
def test_a_number_is_that_of_the_results(page, claim):
    assert claim in (ROOT / page).read_text()
