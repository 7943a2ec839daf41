"""A study's page: tables from its entries, figures, and the command of every run. Nothing in it is typed by hand."""

import functools
import math
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from scipy.stats import spearmanr

from data.errors import InputError, nearest
from studies.answers import combined_lines, comparison_lines, control_lines, nearest_lines
from studies.figures import FIGURES
from studies.plan import FILE, Study, finished, read_entries
from training.figures import save_figure
from training.runs import CANDIDATES, write_text
from training.scores import worst

SHARED = 0.1  # a code is shared by the classes that make up more than this part of its images


class Table(NamedTuple):
    """One of a study's tables; without lines where its runs have nothing for it."""

    title: str
    header: list[str]
    lines: list[list[str]]


def write_report(study: Study, entries: dict[str, dict], folder: Path):
    """Writes `<study>.md` and the figures of a study into `folder`, from what is there so far."""
    entries = study.current(entries)
    rows = all_rows(study, entries, folder)
    done = sum(finished(training, entries) for training in study.trainings(entries))
    parts = [f"# {study.name}", study.about, f"{done} of {study.size} trainings. `python reproduce.py {study.command}`"]
    tables = [table for draw in TABLES.values() if (table := draw(study, rows)).lines]
    tables = [f"Table {i + 1}. {t.title}\n\n{markdown(t.header, t.lines)}" for i, t in enumerate(tables)]
    parts += [*tables[:3], *footnotes(rows)]
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
    parts += ["Commands:", command_list(rows)]
    write_text(folder / f"{study.name}.md", "\n\n".join(parts) + "\n")


def all_rows(study: Study, entries: dict[str, dict], folder: Path) -> dict[str, list[dict]]:
    """The entries of every row that has any, by seed: the study's rows in its order, then those it includes of others.

    Where the scores of a run's candidates are kept, `candidates` is their file.
    """
    kept = {name: folder / study.name / f"{name}-{CANDIDATES}" for name in entries}
    own = [entry | {"candidates": kept[name]} if kept[name].exists() else entry for name, entry in entries.items()]
    found = {row: [entry for entry in own if entry["row"] == row] for row in study.rows}
    for other, rows in study.include:
        for entry in other.current(read_entries(folder / f"{other.name}.json")).values():
            if entry["row"] in rows and entry["row"] not in study.rows:
                found.setdefault(entry["row"], []).append(entry)
    return {row: sorted(members, key=lambda entry: entry["seed"]) for row, members in found.items() if members}


def markdown(header: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *lines])


def values_of(members: list[dict], key: str) -> list[float]:
    return [entry["metrics"][key] for entry in members if key in entry["metrics"]]


def number(value: float) -> str:
    """Three decimals, or three figures where that would say nothing."""
    return f"{value:.3f}" if abs(value) >= 0.0995 or value == 0 else f"{value:.3g}"


def shown(members: list[dict], key: str, cell: Callable[[list[float]], str]) -> str:
    """A cell of a row's values; of how many they are, where runs that finished lack the score."""
    values, finished = values_of(members, key), sum("error" not in entry for entry in members)
    return cell(values) + (f" (of {len(values)})" if 0 < len(values) < finished else "")


def mean_and_deviation(values: list[float]) -> str:
    """Both with as many decimals as the mean needs."""
    if len(values) < 2:
        return number(values[0]) if values else ""
    mean = number(statistics.mean(values))
    decimals = len(mean.partition("e")[0].partition(".")[2])
    return f"{mean} ± {statistics.stdev(values):.{decimals}{'e' if 'e' in mean else 'f'}}"


def summary_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    lines = []
    for row, members in rows.items():
        scores = [shown(members, key, mean_and_deviation) for key in study.columns]
        lines.append([row, described(study, row), seeds(members), *scores])
    header = ["row", "what it changes", "seeds", *study.columns]
    return Table("Mean over the seeds, and the standard deviation.", header, lines)


def described(study: Study, row: str) -> str:
    """The mode and the options by which a row differs from the study's others; nothing for another study's row."""
    own = study.rows.get(row, {})
    several = len({other["mode"] for other in study.rows.values()}) > 1
    options = [f"{name} {value}" for name, value in own.get("options", {}).items()]
    return ", ".join(([own["mode"]] if own and several else []) + [own[k] for k in ("dataset",) if k in own] + options)


def seeds(members: list[dict]) -> str:
    """How many seeds a row has, and how many of them failed."""
    failed = sum("error" in entry for entry in members)
    return f"{len(members)}" + (f" ({failed} failed)" if failed else "")


def order_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    def cell(key, values):
        return f"{number(statistics.median(values))} / {number(worst(key, values))}" if values else ""

    lines = [
        [row, *(shown(members, key, functools.partial(cell, key)) for key in study.columns)]
        for row, members in rows.items()
    ]
    return Table("Median over the seeds / worst seed.", ["row", *study.columns], lines)


def run_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    entries, lines = [entry for members in rows.values() for entry in members], []
    failed = ["error"] if any("error" in entry for entry in entries) else []
    for entry in entries:
        scores = [number(entry["metrics"][key]) if key in entry["metrics"] else "" for key in study.columns]
        lines.append([entry["name"], *scores, *(entry.get(name, "") for name in failed)])
    return Table("Every run.", ["run", *study.columns, *failed], lines)


def footnotes(rows: dict[str, list[dict]]) -> list[str]:
    """What the figures depend on, as the runs wrote it down."""
    entries = [entry for members in rows.values() for entry in members]
    metrics = [entry["metrics"] for entry in entries]
    networks: dict[str, list[str]] = {}
    for entry, m in zip(entries, metrics, strict=True):
        if "fid" in m:
            by = (
                f"{m['feature_network']}, test accuracy {m['feature_network_accuracy']:.4f}; "
                f"{m['samples']['generated']:,} generated against {m['samples']['test']:,} test images; floor, "
                f"{m['samples']['floor']:,} real images against the same: {m['fid_floor']:.3f} and {m['kid_floor']:.2g}."
            )
            networks.setdefault(by, []).append(entry["name"])
    most = max(networks.values(), key=len, default=[])
    said = []
    for by, names in networks.items():
        of = f" of {'all other runs' if names is most else ', '.join(names)}" if len(networks) > 1 else ""
        said.append(f"FID and KID{of}: {by}")
    controls = dict.fromkeys(
        f"Linear accuracy of raw pixels: {m['linear_accuracy_pixels']:.3f}."
        for m in metrics
        if "linear_accuracy_pixels" in m
    )
    texts = dict.fromkeys(note for entry in entries for note in text_notes(entry))
    unknown = "a precision that was not recorded"  # of entries from before it was
    precisions = Counter(entry.get("precision", unknown) for entry in entries)
    trained = ", ".join(f"{count} in {precision}" for precision, count in precisions.items())
    return [*said, *controls, *texts, f"Trained as the machine at hand allowed: {trained}."]


def text_notes(entry: dict) -> list[str]:
    """What an entry's figures of texts are of: samples, tokens, and the most that a mutual information could be."""
    metrics, dataset = entry["metrics"], entry["dataset"]
    notes = []
    if "iw_nll" in metrics and "samples" in entry["config"]:  # a language model's is exact, and draws nothing
        notes.append(f"iw_nll: of {entry['config']['samples']} samples.")
    if "perplexity_tokens" in metrics:
        notes.append(f"perplexity: over {metrics['perplexity_tokens']:,} tokens of {dataset}, ends included.")
    for unit in ("sentences", "paragraphs"):
        if count := metrics.get(f"mutual_information_{unit}"):
            notes.append(
                f"mutual_information: over {count:,} {unit} of {dataset}, so at most {math.log(count):.2f} nats."
            )
    return notes


def check_figures(study: Study):
    """Raises InputError for a figure that a study asks for and that there is not."""
    for figure in study.figures:
        if figure not in FIGURES:
            raise InputError(f"{FILE.name}: {study.name}: no figure is named {figure!r}{nearest(figure, FIGURES)}")


def chosen_part(study: Study, entries: dict[str, dict]) -> list[str]:
    """Who was chosen, by what, and how well that would have predicted the accuracy."""
    pairs = [
        (entry["metrics"][study.select], entry["metrics"]["hungarian_accuracy"])
        for entry in entries.values()
        if {study.select, "hungarian_accuracy"} <= entry["metrics"].keys()
    ]
    over = all(finished(training, entries) for training in study.screening())
    said, best = "Chosen" if over else "Best so far", ", ".join(study.chosen(entries))
    parts = [f"{said}, without labels, by the highest `{study.select}` of the first seed: {best}."]
    if len(pairs) > 2:
        rank = spearmanr(*zip(*pairs, strict=True))
        parts.append(f"Rank correlation (Spearman) of `{study.select}` and `hungarian_accuracy` over {len(pairs)} runs: "
                     f"{rank.statistic:.2f}.")  # fmt: skip
    return parts


def codes_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    """The map from codes to classes of every run that has one, and the codes that classes share."""
    lines = []
    for entry in (entry for members in rows.values() for entry in members):
        if "confusion" in entry["metrics"]:
            shared = []
            for code, counts in enumerate(entry["metrics"]["confusion"]):
                parts = {label: count / max(1, sum(counts)) for label, count in enumerate(counts)}
                mixed = [f"{label} ({part:.0%})" for label, part in parts.items() if part > SHARED]
                if len(mixed) > 1:
                    shared.append(f"c = {code}: {' '.join(mixed)}")
            classes = " ".join(map(str, entry["metrics"]["code_to_class"]))
            lines.append([entry["name"], classes, "; ".join(shared) or "none"])
    title = f"The class of each code, and the codes that classes share (over {SHARED:.0%} of a code's images)."
    return Table(title, ["run", "code_to_class", "shared codes"], lines)


def ranked(rows: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """The runs that ranked candidates."""
    found = {row: [entry for entry in members if "candidates" in entry] for row, members in rows.items()}
    return {row: members for row, members in found.items() if members}


def control_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    header = ["data set", "ranking", "map", "mrr", "map_clean", "mrr_clean", "validation_map"]
    return Table("Rankings without a trained network, on the test part.", header, control_lines(ranked(rows)))


def comparison_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    lines = comparison_lines(ranked(rows))
    title = (
        "Paired randomisation tests over questions, each with its mean average precision over the seeds; rows are "
        f"compared that differ by the latent alone. These are {len(lines)} tests, and p is not corrected for that."
    )
    header = ["row", "against", "part", "score", "seeds", "map", "map of the other", "difference", "p"]
    return Table(title, header, lines)


def combined_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    title = (
        "Two runs' scores added up, weighed on the validation part; mean over the pairs: of one seed where the rows "
        "differ, of any two seeds of one row."
    )
    header = ["rows", "pairs", "weight of the second, by pair", "map", "mrr", "validation_map"]
    return Table(title, header, combined_lines(ranked(rows)))


def nearest_table(study: Study, rows: dict[str, list[dict]]) -> Table:
    title = (
        "Validation questions, and the training questions nearest to each by the mean of p(h | q): NASM's first run."
    )
    return Table(title, ["question", "nearest"], nearest_lines(ranked(rows)))


def command_list(rows: dict[str, list[dict]]) -> str:
    lines = []
    for entry in (entry for members in rows.values() for entry in members):
        minutes = entry["metrics"].get("train_minutes")
        lines.append(f"- {entry['name']}" + (f" ({minutes:.0f} min)" if minutes else "") + f": `{entry['command']}`")
    return "\n".join(lines)


TABLES = {
    "summary": summary_table,
    "order": order_table,
    "runs": run_table,
    "codes": codes_table,
    "controls": control_table,
    "comparisons": comparison_table,
    "combined": combined_table,
    "nearest": nearest_table,
}
