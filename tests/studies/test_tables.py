"""A study's page: tables, figures and footnotes, and how numbers are shown."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from studies.figures import curves, errors_by_digit, nll_against_information
from studies.plan import Study
from studies.tables import (
    codes_table,
    footnotes,
    headings,
    markdown,
    mean_and_deviation,
    number,
    order_table,
    prior_table,
    write_report,
)

CONFUSION = [[90, 0, 0], [0, 50, 40], [2, 30, 60]]


def entry(row, seed, fid, accuracy=None, **more):
    metrics = {"fid": fid, "kid": fid / 10, "fid_floor": 0.1, "kid_floor": 0.001, "feature_network": "CNN",
               "feature_network_accuracy": 0.99, "samples": {"generated": 100, "test": 100, "floor": 100},
               "train_minutes": 2.0}  # fmt: skip
    if accuracy is not None:
        metrics |= {"hungarian_accuracy": accuracy, "linear_accuracy": accuracy / 2, "view_information": accuracy + 1,
                    "linear_accuracy_features": accuracy, "code_to_class": [0, 1, 2], "confusion": CONFUSION}  # fmt: skip
    curves = [{"step": step, "validation/fid": fid + 1 / step} for step in (1, 2)]
    return {"name": f"{row}-{seed}", "row": row, "seed": seed, "mode": "bigbigan", "dataset": "digits",
            "config": {"dataset": "digits", "seed": seed},
            "precision": "float32" if seed else "bfloat16",
            "command": f"python {row} {seed}", "metrics": metrics, "curves": curves} | more  # fmt: skip


@pytest.fixture
def study():
    rows = {
        "a": {"mode": "bigbigan", "seeds": [0, 1, 2, 3]},
        "b": {"mode": "bigbigan", "seeds": [0], "options": {"s_x": False}},
    }
    figures = (
        "curves",
        "fid_against_accuracy",
        "criterion_against_accuracy",
        "accuracy_by_seed",
        "samples",
        "confusion",
    )
    other = Study("other", "", "digits", {row: {"mode": "bigbigan"} for row in "cd"}, ())
    return Study("small", "What for?", "digits", rows, ("fid", "hungarian_accuracy"), figures=figures,
                 select="view_information", finalists={"count": 1, "seeds": []}, include=[(other, ["c"])])  # fmt: skip


@pytest.fixture
def entries():
    members = [entry("a", 0, 1.0, 0.5), entry("a", 1, 2.0, 0.9), entry("a", 2, 6.0, 0.7)]
    broken = entry("b", 0, 3.0, 0.6, metrics={}, curves=[], error="loss/d is nan")
    members.append(broken | {"config": broken["config"] | {"s_x": False}})
    return {member["name"]: member for member in members}


def test_the_page_of_a_study(tmp_path, study, entries):
    (tmp_path / "other.json").write_text(json.dumps([entry("c", 0, 0.25, 0.8), entry("d", 0, 1.0)]))
    (tmp_path / "small").mkdir()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "small/a-0-samples.png")
    write_report(study, entries, tmp_path)
    page = (tmp_path / "small.md").read_text()
    lines = page.splitlines()
    assert "What for?" in lines
    assert "| a |  | 3 | 3.00 ± 2.65 | 0.700 ± 0.200 |" in lines  # mean and deviation
    assert "| a | 2.00 / 6.00 | 0.700 / 0.500 |" in lines  # median / worst
    assert "| b | s_x False | 1 (1 failed) |  |  |" in lines  # a failed seed stays
    assert "| b-0 |  |  | loss/d is nan |" in lines
    assert "| c |  | 1 | 0.250 | 0.800 |" in lines  # a row of the other study
    assert "| d | " not in page
    assert "- a-1 (2 min): `python a 1`" in lines
    assert "so far, without labels, by the highest information of two views of the first seed: a." in page
    assert '(Spearman) of "information of two views" and "Hungarian accuracy, head" over 3 runs: 1.00.' in page
    assert "| run | FID ↓ | Hungarian accuracy, head ↑ | error |" in lines
    for name in ("curves", "fid_against_accuracy", "criterion_against_accuracy", "accuracy_by_seed", "samples"):
        assert f"(small/{name}.png)" in page
        assert Image.open(tmp_path / f"small/{name}.png").size[0] > 300
    assert any(line.endswith(": 3 in bfloat16, 2 in float32.") for line in lines)
    assert "confusion.png" not in page  # no picture of this name was kept
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.*")}
    write_report(study, entries, tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.*")} == before


def test_what_was_trained_otherwise_than_the_study_now_says_is_not_shown(tmp_path, study, entries):
    (tmp_path / "other.json").write_text(json.dumps([entry("c", 0, 0.25) | {"mode": "bigan"}]))
    write_report(dataclasses.replace(study, options={"latent_dim": 8}), entries, tmp_path)
    page = (tmp_path / "small.md").read_text()
    assert not any(f"| {row} | " in page for row in "abc")
    assert "0 of 5 trainings" in page


def test_a_seed_that_broke_off_does_not_cut_the_curve_of_the_others(study):
    rows = {"a": [entry("a", 0, 1.0), entry("a", 1, 1.0, curves=[], error="loss/d is nan")]}
    figure, _ = curves(study, rows, None)
    assert [text.get_text() for text in figure.axes[0].texts] == ["a (1)"]
    assert figure.axes[0].lines[0].get_xdata().tolist() == [1, 2]


def test_curves_show_what_only_some_rows_have_and_name_every_row(study):
    def trained(row, *scores):
        return entry(row, 0, 1.0) | {"curves": [{"step": n} | {f"validation/{s}": n for s in scores} for n in (1, 2)]}

    latent = ("kl", "mutual_information", "active_units")
    rows = {"a": [trained("a", "elbo_nll")], "b": [trained("b", "elbo_nll", *latent)], "c": [trained("c", *latent)]}
    figure, _ = curves(study, rows, None)
    titles = {axes.get_title(): len(axes.lines) for axes in figure.axes}
    assert titles == {"NLL + KL [nats]": 2, "KL [nats]": 2, "I(x; z) [nats]": 2, "active units": 2}
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes[:2]] == [
        ["a (1)", "b (1)"],
        ["b (1)", "c (1)"],
    ]
    figure, _ = curves(dataclasses.replace(study, drawn=["b"]), rows, None)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["b (1)"] * 4
    older = trained("b", "elbo_nll")  # a score that one seed of the only row lacks has no panel
    figure, _ = curves(study, {"a": rows["a"], "b": [*rows["b"], older]}, None)
    assert [axes.get_title() for axes in figure.axes] == ["NLL + KL [nats]"]


def test_errors_are_those_of_each_class(study):
    figure, _ = errors_by_digit(study, {"a": [entry("a", 0, 1.0, 0.5)], "b": [entry("b", 0, 1.0)]}, None)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a"]
    assert [text.get_text() for text in axes.texts] == ["2.2%", "37.5%", "40.0%"]  # 2 of 92, 30 of 80, 40 of 100
    assert errors_by_digit(study, {"b": [entry("b", 0, 1.0)]}, None) is None


def test_a_row_without_a_latent_is_a_line_beside_the_points(study):
    vae = [entry("vae", seed, 1.0, metrics={"iw_nll": 100.0, "mutual_information": 1.0}) for seed in (0, 1)]
    lm = [entry("lm", seed, 1.0, metrics={"iw_nll": nll}) for seed, nll in enumerate((98.0, 100.0))]
    figure, _ = nll_against_information(study, {"vae": vae, "lm": lm}, None)
    (axes,) = figure.axes
    assert axes.collections[0].get_offsets().tolist() == [[1.0, 100.0]] * 2
    assert list(axes.lines[0].get_ydata()) == [99.0, 99.0] and [text.get_text() for text in axes.texts] == ["lm"]
    assert nll_against_information(study, {"lm": lm}, None) is None


def test_codes_that_classes_share(study):
    title, header, lines = codes_table(study, {"a": [entry("a", 0, 1.0, 0.5)]})
    assert "over 10%" in title
    assert lines == [["a-0", "0 1 2", "c = 1: 1 (56%) 2 (44%); c = 2: 1 (33%) 2 (65%)"]]
    assert codes_table(study, {"a": [entry("a", 0, 1.0)]}).lines == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98765, "0.988"),
        (0.99951, "1.00"),
        (-9.99, "-9.99"),
        (9.996, "10.0"),
        (12.3456, "12.3"),
        (1234.5, "1,234"),
        (0.0123, "0.012"),
        (0.01004, "0.010"),
        (0.00123, "0.0012"),
        (-0.00005, "0.000"),
        (0, "0.000"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.975, 0.9761], "0.976 ± 0.001"),
        ([104.0, 106.0], "105.0 ± 1.4"),
        ([0.00525, 0.00546], "0.0054 ± 0.0001"),
        ([1.2e-5, 1.4e-5], "0.000 ± 0.000"),
        ([0.5], "0.500"),
        ([], ""),
    ],
)
def test_a_deviation_has_the_decimals_of_its_mean(values, text):
    assert mean_and_deviation(values) == text


def test_headings_are_those_of_the_catalogue_or_ones_own():
    header = ["run", "fid", "map", "kl"]
    assert headings(header) == ["run", "FID ↓", "MAP ↑", "KL [nats]"]
    assert headings(header, {"map": "precision"}) == ["run", "FID ↓", "precision", "KL [nats]"]


def test_a_score_without_direction_has_no_worst_seed(study):
    rows = {"a": [entry("a", seed, 1.0, metrics={"kl": kl, "fid": kl}) for seed, kl in enumerate((1.0, 2.0, 6.0))]}
    table = order_table(dataclasses.replace(study, columns=("kl", "fid")), rows)
    assert table.header == ["row", "kl", "fid"]
    assert table.lines == [["a", "2.00", "2.00 / 6.00"]]


def test_markdown():
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_page_says_whose_distances_are_by_which_feature_network_and_what_lacks_a_score(tmp_path, study, entries):
    entries["a-2"]["metrics"]["fid_floor"] = 0.2
    del entries["a-1"]["metrics"]["hungarian_accuracy"]
    write_report(study, entries, tmp_path)
    lines = (tmp_path / "small.md").read_text().splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("FID")] == [
        "FID and KID of all other runs",
        "FID and KID of a-2",
    ]
    assert "| a |  | 3 | 3.00 ± 2.65 | 0.600 ± 0.141 (of 2) |" in lines
    assert "| a | 2.00 / 6.00 | 0.600 / 0.500 (of 2) |" in lines


def test_what_the_figures_of_texts_are_of():
    vae = {"iw_nll": 104.5, "perplexity_tokens": 82430, "mutual_information_sentences": 3761}
    model = {"metrics": vae, "dataset": "ptb", "config": {"samples": 100}}
    exact = {"metrics": {"iw_nll": 104.0, "perplexity_tokens": 82430}, "dataset": "ptb", "config": {}}
    assert footnotes({"vae": [model, model], "lm": [exact]})[:-1] == [
        "Importance-weighted NLL: 100 samples of z for each text.",
        "Perplexity: over 82,430 tokens of ptb, ends of sentences included.",
        "I(x; z): over 3,761 sentences of ptb, so at most 8.23 nats.",
    ]


def test_learned_priors_stand_beside_the_shares_of_the_classes(study, entries):
    for member in entries.values():
        member["metrics"] |= {"class_names": ["x", "y", "z"], "class_shares": [0.5, 0.3, 0.2]}
        member["metrics"] |= {"code_prior": [0.2, 0.45, 0.35], "code_to_class": [2, 0, 1]}
    assert prior_table(study, {"a": list(entries.values())}).lines == []  # no prior was learned
    entries["a-1"]["config"]["code_prior"] = "learned"
    (line,) = prior_table(study, {"a": list(entries.values())}).lines
    assert line == ["a-1", "x: 0.450 (0.500); y: 0.350 (0.300); z: 0.200 (0.200)"]


def test_names_of_lines_that_end_together_are_apart_and_long_trainings_have_a_logarithmic_axis(study):
    def trained(row, last):
        return entry(row, 0, 1.0) | {"curves": [{"step": n, "validation/fid": 2.0} for n in (1, last)]}

    figure, _ = curves(study, {row: [trained(row, last)] for row, last in (("a", 2), ("b", 3), ("c", 3))}, None)
    (axes,) = figure.axes
    places = [text.xyann[1] for text in axes.texts]
    assert all(np.diff(places) > 0.05) and axes.get_xscale() == "linear"
    figure, _ = curves(study, {"a": [trained("a", 2)], "b": [trained("b", 100)]}, None)
    assert figure.axes[0].get_xscale() == "log"
