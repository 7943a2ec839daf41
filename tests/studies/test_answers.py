"""The tables of a study of answer selection: controls, tests between rows, and sums of two runs' scores."""

import functools

import numpy as np
import pytest

from metrics.ranking import map_mrr
from studies.answers import (
    average_precisions,
    candidates_of,
    combined,
    combined_lines,
    comparison_lines,
    control_lines,
    nearest_lines,
)
from studies.tables import combined_table, comparison_table, control_table, nearest_table
from training.files import write_arrays

QUESTIONS, EACH = 30, 4
NEAR = {f"what is {i}": [f"what was {i + j}" for j in range(5)] for i in range(10)}


def entry(folder, row, seed, noise, mode="nasm", attention=None, dataset="wikiqa", **metrics):
    """Return the entry of a run whose scores are the labels with noise, kept in a file of `folder`."""
    random = np.random.default_rng([seed, len(row)])
    groups = np.repeat(np.arange(QUESTIONS), EACH)
    labels = np.tile([1, 0, 0, 0], QUESTIONS)
    columns = {"groups": groups, "labels": labels, "scores": labels + noise * random.standard_normal(len(labels))}
    columns["scores_counts"] = columns["scores_types"] = columns["scores"]
    file = folder / f"{row}-{seed}-candidates.npz"
    write_arrays(file, **{f"{part}_{name}": columns[name] for part in ("validation", "test") for name in columns})
    config = {"attention": attention} if attention else {}
    return {"row": row, "name": f"{row}-{seed}", "seed": seed, "mode": mode, "dataset": dataset, "config": config,
            "metrics": metrics, "candidates": file}  # fmt: skip


@pytest.fixture
def rows(tmp_path):
    run = functools.partial(entry, tmp_path)
    return {
        "lstm": [run("lstm", seed, 1.5, attention="none") for seed in (0, 1)],
        "nasm": [run("nasm", seed, 0.2, attention="latent", map_bm25=0.5, mrr_bm25=0.6, map_bm25_clean=0.4,
                       mrr_bm25_clean=0.5, validation_map_bm25=0.7, nearest_questions=NEAR) for seed in (0, 1)],
        "gqa": [run("gqa", 0, 0.5, mode="gqa")],
        "nasm_trecqa": [run("nasm_trecqa", 0, 0.1, attention="latent", dataset="trecqa")],
    }  # fmt: skip


def test_average_precisions_are_those_of_the_scorer(rows):
    run = rows["lstm"][0]
    kept = candidates_of(run, "test")
    mean = np.mean(average_precisions(run, "scores", "test"))
    assert mean == pytest.approx(map_mrr(kept["groups"], kept["scores"], kept["labels"])["map"])


def test_a_row_is_compared_with_those_of_its_mode_and_data(rows):
    lines = comparison_lines(rows)
    said = [
        [part, counts, "2 / 2"]
        for part in ("validation", "test")
        for counts in ("", "with counts", "with counts and answer types")
    ]
    assert [line[:5] for line in lines] == [["nasm", "lstm", *rest] for rest in said]
    ours, other, difference, p = map(float, lines[0][5:])
    assert difference == pytest.approx(ours - other, abs=2e-4) and ours > other and p < 0.01


@pytest.mark.parametrize(("option", "compared"), [({"match": False}, 0), ({"dropout": 0.5}, 0), ({"latent": 20}, 6)])
def test_a_row_is_compared_with_one_that_is_like_it_but_for_the_latent(rows, option, compared):
    other = [dict(run, row="other", config={"attention": "none", **option}) for run in rows["lstm"]]
    assert len(comparison_lines({"nasm": rows["nasm"], "other": other})) == compared


def test_rows_that_are_the_same_do_not_differ(rows):
    same = [dict(run, row="other", config={"attention": "none"}) for run in rows["nasm"]]
    assert comparison_lines({"nasm": rows["nasm"], "other": same})[0][-2:] == ["+0.0000", "1.000"]


def test_together_two_runs_are_no_worse_on_what_chooses(rows):
    found = combined(rows["lstm"][0], rows["gqa"][0], "scores")
    alone = np.mean(average_precisions(rows["lstm"][0], "scores", "validation"))
    assert found["weight"] > 0 and found["validation_map"] > alone
    together = [
        name + (f", {way}" if way else "")
        for name in ("nasm + gqa", "lstm + lstm", "nasm + nasm")
        for way in ("", "with counts", "with counts and answer types")
    ]
    assert [line[:2] for line in combined_lines(rows)] == [[name, "1"] for name in together]
    two = combined(*rows["lstm"], "scores")
    assert combined_lines(rows)[3][2:4] == [f"{two['weight']:g}", f"{two['map']:.4f}"]


def test_the_tables(rows):
    assert control_lines(rows) == [["wikiqa", "BM25", "0.5000", "0.6000", "0.4000", "0.5000", "0.7000"]]
    assert combined_table(None, rows).lines == combined_lines(rows)
    assert "These are 6 tests" in comparison_table(None, rows).title
    assert (
        nearest_lines(rows)[1] == ["what is 1", "what was 1; what was 2; what was 3"] and len(nearest_lines(rows)) == 5
    )
    latent = next(entry for members in rows.values() for entry in members if entry["metrics"].get("nearest_questions"))
    latent["metrics"]["nearest_questions"] = {"who | is __init__": ["- a <b>", "$x$", "1. c"]}
    assert nearest_table(None, rows).lines == [[r"who \| is \_\_init\_\_", r"\- a \<b\>; \$x\$; 1. c"]]
    for draw in (control_table, comparison_table, combined_table, nearest_table):
        title, header, lines = draw(None, rows)
        assert {len(line) for line in lines} == {len(header)}
        assert draw(None, {"a": [{"metrics": {"fid": 1.0}}]}).lines == []
