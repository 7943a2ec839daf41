"""A study's page: tables, figures, and the command of every run. All of it is derived from the study's entries."""

import functools
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from scipy.stats import spearmanr

from data.errors import InputError, nearest
from metrics.catalogue import SCORES, score_of, worst
from reporting.figures import save_figure
from studies.answers import combined_lines, comparison_lines, control_lines, nearest_lines
from studies.figures import FIGURES
from studies.plan import FILE, Study, finished, read_entries
from training.files import write_text
from training.runs import CANDIDATES

CHANGES = "what it changes"  # the heading of what a row changes
SHARED = 0.1  # a class shares a code if it makes up more than this share of the code's images


class Table(NamedTuple):
    """One of a study's tables; it has no lines if the runs have nothing for it.

    header: the keys of the columns that are scores, and the headings of the other columns.
    """

    title: str
    header: list[str]
    lines: list[list[str]]


def write_report(study: Study, entries: dict[str, dict], folder: Path) -> None:
    """Write `<study>.md` and the figures of a study into `folder`, from the entries so far."""
    entries = study.current(entries)
    rows = all_rows(study, entries, folder)
    done = sum(finished(training, entries) for training in study.trainings(entries))
    state = f"{done} of {study.size} trainings are done. Command: `python reproduce.py {study.command}`"
    parts = [f"# {study.name}", study.about, state]
    tables = [table for draw in TABLES.values() if (table := draw(study, rows)).lines]
    tables = [f"Table {i + 1}. {t.title}\n\n{markdown(headings(t.header), t.lines)}" for i, t in enumerate(tables)]
    parts += [*tables[:3], *(footnotes(rows) if rows else [])]
    parts += chosen_part(study, entries) if study.select else []
    parts += tables[3:]
    number = 0
    for name in study.figures:
        drawn = FIGURES[name](study, rows, folder)
        if drawn:
            figure, caption = drawn
            (folder / study.name).mkdir(exist_ok=True)
            save_figure(figure, folder / study.name / f"{name}.png")
            number += 1
            parts += [f"![{caption}]({study.name}/{name}.png)", f"Figure {number}. {caption}"]
    parts += ["Commands:", command_list(rows)] if rows else []
    write_text(folder / f"{study.name}.md", "\n\n".join(parts) + "\n")


def all_rows(study: Study, entries: dict[str, dict], folder: Path) -> dict[str, list[dict]]:
    """Return the entries of every row that has some, in order of their seeds.

    The study's own rows come first, in its order, then the rows that it includes. If the scores of a run's candidates
    are kept, `candidates` of the entry is their file.
    """
    kept = {name: folder / study.name / f"{name}-{CANDIDATES}" for name in entries}
    own = [entry | {"candidates": kept[name]} if kept[name].exists() else entry for name, entry in entries.items()]
    found = {row: [entry for entry in own if entry["row"] == row] for row in study.rows}
    for other, rows in study.include:
        for entry in other.current(read_entries(folder / f"{other.name}.json")).values():
            if entry["row"] in rows and entry["row"] not in study.rows:
                found.setdefault(entry["row"], []).append(entry)
    return {row: sorted(members, key=lambda entry: entry["seed"]) for row, members in found.items() if members}


def headings(header: list[str], own: Mapping[str, str] | None = None) -> list[str]:
    """Return the headings of columns: the label of a score with its unit and direction, and other names as they are.

    Args:
        header: as in `Table`.
        own: headings that replace those of the catalogue, by key.
    """
    named = {name: SCORES[name].heading for name in header if name in SCORES} | dict(own or {})
    return [named.get(name, name) for name in header]


def markdown(header: list[str], lines: list[list[str]]) -> str:
    """Return a table in GitHub's Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *lines])


def literal(text: str) -> str:
    """Return text with all of Markdown's own characters escaped, and the mark of a list at its start."""
    escaped = re.sub(r"([\\`*_<>\[\]#|$~&])", r"\\\1", text)
    return re.sub(r"^(?=\s*(?:[-+=]|\d+[.)]))(\s*\d*)", r"\1\\", escaped)


def values_of(members: list[dict], key: str) -> list[float]:
    """Return the values of a score in the entries that have it."""
    return [entry["metrics"][key] for entry in members if key in entry["metrics"]]


def number(value: float) -> str:
    """Return a number with at most three decimals and about four significant digits; two digits of a small number."""
    size = abs(value)
    if 0.0005 <= size < 0.0995:
        return f"{value:#.2g}"
    decimals = 0 if size >= 999.95 else 1 if size >= 9.995 else 2 if size >= 0.9995 else 3
    return f"{value if size >= 0.0005 else 0:,.{decimals}f}"


def shown(members: list[dict], key: str, cell: Callable[[list[float]], str]) -> str:
    """Return a cell of a row's values, and their number if some finished runs lack the score."""
    values, finished = values_of(members, key), sum("error" not in entry for entry in members)
    return cell(values) + (f" (of {len(values)})" if 0 < len(values) < finished else "")


def mean_and_deviation(values: list[float]) -> str:
    """Return mean ± standard deviation, with the same number of decimals."""
    if len(values) < 2:
        return number(values[0]) if values else ""
    mean = number(statistics.mean(values))
    decimals = len(mean.partition("e")[0].partition(".")[2])
    return f"{mean} ± {statistics.stdev(values):.{decimals}{'e' if 'e' in mean else 'f'}}"


def summary_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    """Return the table of the means over the seeds."""
    lines = []
    for row, members in rows.items():
        scores = [shown(members, key, mean_and_deviation) for key in study.columns]
        lines.append([row, described(study, row), seeds(members), *scores])
    header = ["row", CHANGES, "seeds", *study.columns]
    return Table("Mean over the seeds ± standard deviation.", header, lines)


def described(study: Study, row: str) -> str:
    """Return the mode and the options in which a row differs from the study's other rows; "" for an included row."""
    own = study.rows.get(row, {})
    several = len({other["mode"] for other in study.rows.values()}) > 1
    options = [f"{name} {value}" for name, value in own.get("options", {}).items()]
    return ", ".join(([own["mode"]] if own and several else []) + [own[k] for k in ("dataset",) if k in own] + options)


def seeds(members: list[dict]) -> str:
    """Return the number of a row's seeds, and how many of them failed."""
    failed = sum("error" in entry for entry in members)
    return f"{len(members)}" + (f" ({failed} failed)" if failed else "")


def order_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    """Return the table of the medians and the worst seeds."""

    def cell(key: str, values: list[float]) -> str:
        if not values:
            return ""
        lowest = worst(key, values)
        return number(statistics.median(values)) + ("" if lowest is None else f" / {number(lowest)}")

    lines = [
        [row, *(shown(members, key, functools.partial(cell, key)) for key in study.columns)]
        for row, members in rows.items()
    ]
    title = "Median over the seeds / worst seed. Scores without a better direction have the median alone."
    return Table(title, ["row", *study.columns], lines)


def run_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    """Return the table of every run, with the errors of failed ones."""
    entries, lines = [entry for members in rows.values() for entry in members], []
    failed = ["error"] if any("error" in entry for entry in entries) else []
    for entry in entries:
        scores = [number(entry["metrics"][key]) if key in entry["metrics"] else "" for key in study.columns]
        lines.append([entry["name"], *scores, *(literal(entry.get(name, "")) for name in failed)])
    return Table("Every run.", ["run", *study.columns, *failed], lines)


def footnotes(rows: dict[str, list[dict]]) -> list[str]:
    """Return sentences about the conditions of the scores, as the runs recorded them."""
    entries = [entry for members in rows.values() for entry in members]
    metrics = [entry["metrics"] for entry in entries]
    networks: dict[str, list[str]] = {}
    for entry, m in zip(entries, metrics, strict=True):
        if "fid" in m:
            by = (
                f"feature network {m['feature_network']}, test accuracy {m['feature_network_accuracy']:.4f}; "
                f"{m['samples']['generated']:,} generated images against {m['samples']['test']:,} test images. "
                f"The floors, with {m['samples']['floor']:,} real images in place of the generated ones, are "
                f"{m['fid_floor']:.3f} (FID) and {m['kid_floor']:.2g} (KID)."
            )
            networks.setdefault(by, []).append(entry["name"])
    most = max(networks.values(), key=len, default=[])
    distances = []
    for by, names in networks.items():
        of = f" of {'all other runs' if names is most else ', '.join(names)}" if len(networks) > 1 else ""
        distances.append(f"FID and KID{of}: {by}")
    controls = dict.fromkeys(
        f"Linear accuracy of raw pixels: {m['linear_accuracy_pixels']:.3f}."
        for m in metrics
        if "linear_accuracy_pixels" in m
    )
    texts = dict.fromkeys(note for entry in entries for note in text_notes(entry))
    unknown = "a precision that was not recorded"  # older entries lack it
    precisions = Counter(entry.get("precision", unknown) for entry in entries)
    trained = ", ".join(f"{count} in {precision}" for precision, count in precisions.items())
    return [*distances, *controls, *texts, f"Runs by precision, which depends on the machine: {trained}."]


def text_notes(entry: dict) -> list[str]:
    """Return sentences about an entry's scores of texts: samples, tokens, the upper limit of I(x; z)."""
    metrics, dataset = entry["metrics"], entry["dataset"]
    notes = []
    if "iw_nll" in metrics and "samples" in entry["config"]:  # a language model's NLL is exact
        notes.append(f"Importance-weighted NLL: {entry['config']['samples']} samples of z for each text.")
    if "perplexity_tokens" in metrics:
        notes.append(
            f"Perplexity: over {metrics['perplexity_tokens']:,} tokens of {dataset}, ends of sentences included."
        )
    for unit in ("sentences", "paragraphs"):
        if count := metrics.get(f"mutual_information_{unit}"):
            notes.append(f"I(x; z): over {count:,} {unit} of {dataset}, so at most {math.log(count):.2f} nats.")
    return notes


def check_figures(study: Study) -> None:
    """Raise InputError if a study asks for an unknown figure."""
    for figure in study.figures:
        if figure not in FIGURES:
            raise InputError(f"{FILE.name}: {study.name}: {figure!r} is not a figure{nearest(figure, FIGURES)}")


def chosen_part(study: Study, entries: dict[str, dict]) -> list[str]:
    """Return sentences about the chosen rows, the score that chose them, and how well it predicts the accuracy."""
    assert study.select
    pairs = [
        (entry["metrics"][study.select], entry["metrics"]["hungarian_accuracy"])
        for entry in entries.values()
        if {study.select, "hungarian_accuracy"} <= entry["metrics"].keys()
    ]
    over = all(finished(training, entries) for training in study.screening())
    state, best = "Chosen" if over else "Best so far", ", ".join(study.chosen(entries))
    criterion = score_of(study.select).label
    parts = [f"{state}, without labels, by the highest {criterion} of the first seed: {best}."]
    if len(pairs) > 2:
        criteria, accuracies = zip(*pairs, strict=True)
        correlation, _ = spearmanr(criteria, accuracies)
        names = f'"{criterion}" and "{score_of("hungarian_accuracy").label}"'
        parts.append(f"Rank correlation (Spearman) of {names} over {len(pairs)} runs: {correlation:.2f}.")
    return parts


def codes_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    """Return the table of every run's codes: the class of each code, and the codes that several classes share."""
    lines = []
    for entry in (entry for members in rows.values() for entry in members):
        if "confusion" in entry["metrics"]:
            shared, table = [], entry["metrics"]["confusion"]
            names = entry["metrics"].get("class_names", range(len(table[0])))  # entries of older versions have none
            for code, counts in enumerate(table):
                parts = [count / max(1, sum(counts)) for count in counts]
                mixed = [f"{name} ({part:.0%})" for name, part in zip(names, parts, strict=True) if part > SHARED]
                if len(mixed) > 1:
                    shared.append(f"c = {code}: {' '.join(mixed)}")
            classes = " ".join(str(names[number]) for number in entry["metrics"]["code_to_class"])
            lines.append([entry["name"], classes, "; ".join(shared) or "none"])
    title = (
        f"The class of each code, and the codes that several classes share (each with over {SHARED:.0%} of its images)."
    )
    return Table(title, ["run", "code_to_class", "shared codes"], lines)


def prior_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    """Return the table of the learned priors of the code, beside the shares of the classes."""
    lines = []
    for entry in (entry for members in rows.values() for entry in members):
        if entry["config"].get("code_prior") == "learned" and "class_shares" in entry["metrics"]:
            named = (entry["metrics"][key] for key in ("code_prior", "code_to_class"))
            shares, names = (entry["metrics"][key] for key in ("class_shares", "class_names"))
            pairs = sorted((number, p) for p, number in zip(*named, strict=True))
            lines.append([entry["name"], "; ".join(f"{names[n]}: {p:.3f} ({shares[n]:.3f})" for n, p in pairs)])
    title = (
        "The learned prior p(c) of each code, by the class that it stands for. In brackets, for evaluation only: the "
        "share of the training images that the class has."
    )
    return Table(title, ["run", "class: p(c) (share)"], lines)


def ranked(rows: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """Return the runs that ranked candidates, by row."""
    found = {row: [entry for entry in members if "candidates" in entry] for row, members in rows.items()}
    return {row: members for row, members in found.items() if members}


def control_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    """Return the table of the controls of answer selection."""
    header = ["data set", "ranking", "map", "mrr", "map_clean", "mrr_clean", "validation_map"]
    title = (
        "Controls: rankings by the order of the file, by words (BM25, overlap counts, unigram query likelihood), by overlap "
        "counts and answer types, and by cosines of topics (LSA, "
        "NVDM)."
    )
    return Table(title, header, control_lines(ranked(rows)))


def comparison_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    """Return the table of the tests between rows of answer selection."""
    lines = comparison_lines(ranked(rows))
    title = (
        "Paired randomisation tests between rows that differ in the latent alone. The value of a question is its "
        "average precision, averaged over the seeds. "
        f"These are {len(lines)} tests, and p is not corrected for their number."
    )
    header = ["row", "against", "part", "score", "seeds", "map", "MAP of the other row", "difference", "p"]
    return Table(title, header, lines)


def combined_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    """Return the table of the sums of two runs' scores."""
    title = (
        "Two runs' scores added, with the weight that ranks the validation part best. Means over pairs of runs: "
        "two rows with the same seed, or two seeds of one row."
    )
    header = ["rows", "pairs", "weight of the second score, by pair", "map", "mrr", "validation_map"]
    return Table(title, header, combined_lines(ranked(rows)))


def nearest_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    """Return the table of questions and their neighbours by h."""
    title = (
        "Validation questions, each with the training questions whose mean of p(h | q) is nearest, of NASM's first run."
    )
    lines = [[literal(text) for text in line] for line in nearest_lines(ranked(rows))]
    return Table(title, ["question", "nearest training questions"], lines)


def command_list(rows: dict[str, list[dict]]) -> str:
    """Return a Markdown list of every run's command, with the minutes that its training took."""
    lines = []
    for entry in (entry for members in rows.values() for entry in members):
        minutes = entry["metrics"].get("train_minutes")
        lines.append(f"- {entry['name']}" + (f" ({minutes:.0f} min)" if minutes else "") + f": `{entry['command']}`")
    return "\n".join(lines)


TABLES: dict[str, Callable[[Study, dict[str, list[dict]]], Table]] = {
    "summary": summary_table,
    "order": order_table,
    "runs": run_table,
    "codes": codes_table,
    "priors": prior_table,
    "controls": control_table,
    "comparisons": comparison_table,
    "combined": combined_table,
    "nearest": nearest_table,
}
