"""A study's figures, drawn from its entries and from the pictures that were kept of its runs.

FIGURES has the names by which `studies.yaml` asks for them. Each function takes the study, its entries by row, and the
folder of results. It returns the figure with its caption, or None if the entries have nothing to show.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

from metrics.catalogue import score_of
from reporting.figures import DPI
from studies.plan import Study

Draw = Callable[[Study, dict[str, list[dict]], Path], tuple[Figure, str] | None]

ROW = 2600  # width in pixels of the kept pictures that fit side by side; they are shown at half their size
APART = 5  # how many times as long as the shortest training the longest is, if their curves need a logarithmic axis
NAME_HEIGHT = 0.065  # of a line's name, as a share of the axes
CURVES = (  # the scores whose curves are drawn, in this order
    "fid",
    "linear_accuracy",
    "linear_accuracy_features",
    "hungarian_accuracy",
    "hungarian_accuracy_encoder",
    "map",
    "view_information",
    "perplexity_document",
    "elbo_nll",
    "kl",
    "mutual_information",
    "active_units",
)


def colours(rows: dict[str, list[dict]]) -> dict[str, tuple]:
    """Return a colour for each row, the same in all figures of the study."""
    colormap = matplotlib.colormaps["tab20" if len(rows) > 10 else "tab10"]
    return {row: colormap(i % colormap.N) for i, row in enumerate(rows)}


def strokes(rows: dict[str, list[dict]]) -> dict[str, dict]:
    """Return the style of each row's line. With more than ten rows, every second line is pale and dashed."""
    dashed = len(rows) > 10
    return {
        row: {"color": colour, "linewidth": 1.5, "linestyle": "--" if dashed and i % 2 else "-"}
        for i, (row, colour) in enumerate(colours(rows).items())
    }


def logarithmic(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers, for values within a few decades."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 4, 5, 7)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def common_steps(members: list[dict], name: str) -> tuple[list[int], np.ndarray]:
    """Return the steps at which all seeds of a row have a score, and its values there, [seeds, steps].

    A seed whose training broke off is left out, because it would cut the other seeds' curves.
    """
    paths = [{p["step"]: p[name] for p in e["curves"] if name in p} for e in members if "error" not in e]
    steps = sorted(set.intersection(*map(set, paths))) if paths else []
    return steps, np.array([[path[step] for step in steps] for path in paths])


def curves(study: Study, rows: dict[str, list[dict]], folder: Path) -> tuple[Figure, str] | None:
    """Draw scores of the validation part during training: mean and range of a row's seeds."""
    rows = {row: rows[row] for row in study.drawn or rows if row in rows}
    found = {key: {row: common_steps(members, f"validation/{key}") for row, members in rows.items()} for key in CURVES}
    shown = [key for key, of_rows in found.items() if any(steps for steps, _ in of_rows.values())]
    if not shown:
        return None
    stacked = 1 if len(shown) <= 3 else 2
    columns = -(-len(shown) // stacked)
    figure = Figure(figsize=(5.2 * columns, 3.8 * stacked), dpi=DPI, layout="constrained")
    for place, key in enumerate(shown, 1):
        axes = figure.add_subplot(stacked, columns, place)
        for row, (steps, values) in found[key].items():
            if steps:
                axes.plot(steps, values.mean(0), label=f"{row} ({len(values)})", **strokes(rows)[row])
                axes.fill_between(steps, values.min(0), values.max(0), color=colours(rows)[row], alpha=0.2, linewidth=0)
        ends = [steps[-1] for steps, _ in found[key].values() if steps]
        if max(ends) > APART * min(ends):  # on a linear axis the shortest training would be a stroke at its edge
            axes.set_xscale("log")
        else:
            axes.locator_params("x", nbins=6)  # more labels would overlap
        if key == "fid":
            logarithmic(axes)
        if key == "active_units":  # the line of no active units must not lie on the edge
            axes.set_ylim(-0.5, max(1.5, axes.get_ylim()[1]))
        axes.set_title(score_of(key).axis, fontsize=10)
        axes.set_xlabel("updates")
        axes.grid(alpha=0.3)
        name_lines(axes)
    return figure, "Scores of the validation part during training: mean and range over the seeds (their number)."


def name_lines(axes: Axes) -> None:
    """Write the label of each line at its end, in its colour. Names that would overlap are moved apart."""
    axes.autoscale_view()  # matplotlib puts it off, and ends would be where they are not drawn
    within = axes.transData + axes.transAxes.inverted()
    ends = sorted(
        ((tuple(within.transform(line.get_xydata())[-1]), line) for line in axes.lines), key=lambda e: e[0][1]
    )
    steps = NAME_HEIGHT * np.arange(len(ends))
    places = np.maximum.accumulate([end[1] for end, _ in ends] - steps)
    places = np.minimum(places, 1 - steps[-1]) + steps
    for (end, line), place in zip(ends, places, strict=True):
        axes.annotate(
            str(line.get_label()),
            end,
            (1.06, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            fontsize=7,
            color=line.get_color(),
            va="center",
            arrowprops={"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.5, "alpha": 0.6},
        )


def kl_by_step(study: Study, rows: dict[str, list[dict]], folder: Path) -> tuple[Figure, str] | None:
    """Draw the KL of every step's posterior, for the rows that have it. The seeds of a row have one colour."""
    found = {row: [e["metrics"]["kl_by_step"] for e in es if "kl_by_step" in e["metrics"]] for row, es in rows.items()}
    if not any(found.values()):
        return None
    figure = Figure(figsize=(10.5, 3.8), dpi=DPI, layout="constrained")
    ways = {"from_start": "step, counted from the start", "from_end": "step, counted from the end (the last is 1)"}
    grid = figure.subplots(1, 2, sharey=True)
    for axes, (way, across) in zip(grid, ways.items(), strict=True):
        for row, members in found.items():
            for i, member in enumerate(members):
                steps = range(1, 1 + len(member[way]))
                axes.plot(steps, member[way], label=None if i else row, **strokes(rows)[row])
        axes.set_yscale("log")
        axes.set_xlabel(across)
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("mean KL to N(0, I) [nats]")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    return figure, "Mean KL of the posterior at every time step of the test sentences. A line is a run."


def fid_against_accuracy(study: Study, rows: dict[str, list[dict]], folder: Path) -> tuple[Figure, str] | None:
    """Draw every run as a point: FID against linear accuracy."""
    return scatter(rows, ("linear_accuracy", "linear_accuracy_features"), "fid")


def criterion_against_accuracy(study: Study, rows: dict[str, list[dict]], folder: Path) -> tuple[Figure, str] | None:
    """Draw every run as a point: accuracy against the label-free score that chooses."""
    assert study.select
    return scatter(rows, (study.select,), "hungarian_accuracy")


def nll_against_information(study: Study, rows: dict[str, list[dict]], folder: Path) -> tuple[Figure, str] | None:
    """Draw every run as a point: NLL against what z tells of x. A row without a latent is a line, at its mean NLL."""
    drawn = scatter(rows, ("mutual_information",), "iw_nll")
    if drawn is None:
        return None
    figure, caption = drawn
    for row, members in rows.items():
        values = [e["metrics"]["iw_nll"] for e in members if "iw_nll" in e["metrics"]]
        if values and not any("mutual_information" in e["metrics"] for e in members):
            place = float(np.mean(values))
            figure.axes[0].axhline(place, color=colours(rows)[row], linestyle=":")
            figure.axes[0].annotate(
                row, (1, place), xycoords=("axes fraction", "data"), fontsize=7, va="bottom", ha="right"
            )
    return figure, f"{caption} A dotted line is a row without a latent."


def scatter(rows: dict[str, list[dict]], across: tuple[str, ...], up: str) -> tuple[Figure, str] | None:
    """Draw every run as a point of two scores, with a panel for each score on the horizontal axis.

    Args:
        across: the keys of the scores on the horizontal axes; one or more.
        up: the key of the score on all vertical axes.
    """
    figure = Figure(figsize=(4.6 * len(across) + 1.5, 4.2), dpi=DPI, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(across)))
    for axes, key in zip(panels, across, strict=True):
        for (row, members), marker in zip(rows.items(), itertools.cycle("os^Dv")):  # colours alone are too similar
            points = [(e["metrics"][key], e["metrics"][up]) for e in members if {key, up} <= e["metrics"].keys()]
            if points:
                hollow = {"facecolors": "none", "edgecolors": colours(rows)[row]}  # one point may lie under another
                axes.scatter(*zip(*points, strict=True), s=28, marker=marker, linewidths=1.4, label=row, **hollow)
        axes.set_xlabel(score_of(key).axis)
        axes.set_ylabel(score_of(up).axis)
        if up == "fid":
            logarithmic(axes)
        axes.grid(alpha=0.3)
    if not panels[-1].collections:
        return None
    # Inside the axes it would hide points.
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    labels = " and ".join(score_of(key).label for key in across)
    return figure, f"{score_of(up).label} against {labels}. A point is a run."


def accuracy_by_seed(study: Study, rows: dict[str, list[dict]], folder: Path) -> tuple[Figure, str] | None:
    """Draw the accuracy of classes that were found without labels: every seed as a point, the median as a line."""
    found = {}
    for row, members in rows.items():
        metrics = [entry["metrics"] for entry in members]
        key = next((key for key in ("hungarian_accuracy", "kmeans_accuracy") if any(key in m for m in metrics)), None)
        if key:
            found[row] = [m[key] for m in metrics if key in m]
    if not found:
        return None
    figure = Figure(figsize=(6.5, 0.45 * len(found) + 1.4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for i, (row, values) in enumerate(found.items()):
        axes.scatter(values, [i] * len(values), s=30, color=colours(rows)[row], zorder=2)
        axes.plot([np.median(values)] * 2, [i - 0.3, i + 0.3], color="black", linewidth=1.5)
    axes.set_yticks(range(len(found)), found)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on test images:\nten codes (Hungarian) or clusters of mu (K-means)")
    axes.grid(axis="x", alpha=0.3)
    return figure, "Accuracy of the classes that were found. A point is a seed, and the line is the median."


def errors_by_digit(study: Study, rows: dict[str, list[dict]], folder: Path) -> tuple[Figure, str] | None:
    """Draw how many test images of each class have a code of another class, in the mean over a row's seeds."""
    found = {}
    for row, members in rows.items():
        errors = []
        for metrics in (e["metrics"] for e in members if "confusion" in e["metrics"]):
            table, code_to_class = (np.array(metrics[name]) for name in ("confusion", "code_to_class"))
            right = (code_to_class[:, None] == np.arange(table.shape[1])) * table
            errors.append(1 - right.sum(0) / table.sum(0))
        if errors:
            found[row] = np.mean(errors, 0)
    if not found:
        return None
    shares = np.array(list(found.values()))
    figure = Figure(figsize=(7.5, 0.42 * len(found) + 1.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.sqrt(shares), cmap="Reds", vmin=0, vmax=1, aspect="auto")  # so that small shares differ
    for (i, k), share in np.ndenumerate(shares):
        axes.annotate(
            f"{share:.1%}", (k, i), ha="center", va="center", fontsize=8, color="white" if share > 0.5 else "black"
        )
    axes.set_yticks(range(len(found)), found)
    axes.set_xticks(range(shares.shape[1]))
    axes.set_xlabel("class")
    return figure, "Test images whose code stands for another class, by class: the mean over the seeds."


def side_by_side(kept: str) -> Draw:
    """Return a function that draws the pictures of a name that were kept of the rows' first seeds, side by side."""

    def draw(study: Study, rows: dict[str, list[dict]], folder: Path) -> tuple[Figure, str] | None:
        pictures = {}
        for row, members in rows.items():
            for entry in members:
                file = folder / study.name / f"{entry['name']}-{kept}.png"
                if file.exists():
                    pictures[f"{row}, seed {entry['seed']}"] = np.asarray(Image.open(file).convert("RGB"))
        if not pictures:
            return None
        fitting = min(4, max(1, ROW // max(picture.shape[1] for picture in pictures.values())))
        side, columns = 12.8 / fitting, min(fitting, len(pictures))
        lines = -(-len(pictures) // columns)
        figure = Figure(figsize=(side * columns, 1.1 * side * lines), dpi=DPI, layout="constrained")
        grid = np.atleast_1d(figure.subplots(lines, columns)).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, (title, picture) in zip(grid, pictures.items(), strict=False):
            axes.imshow(picture)
            axes.set_title(title, fontsize=9)
        return figure, f"{kept.capitalize()} of the first seed of each row."

    return draw


FIGURES: dict[str, Draw] = {
    "curves": curves,
    "kl_by_step": kl_by_step,
    "fid_against_accuracy": fid_against_accuracy,
    "criterion_against_accuracy": criterion_against_accuracy,
    "nll_against_information": nll_against_information,
    "accuracy_by_seed": accuracy_by_seed,
    "errors_by_digit": errors_by_digit,
    "samples": side_by_side("samples"),
    "reconstructions": side_by_side("reconstructions"),
    "confusion": side_by_side("confusion"),
    "attention": side_by_side("attention"),
}
