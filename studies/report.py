"""The report: docs/report/*.md holds the prose, and every number, table and figure comes from docs/results.

The sources are Markdown with Jinja expressions. An expression calls a method of `Report`, one of those in CALLED. The
result is docs/report.md; `python -m studies.report` also writes report.html and report.pdf. Nothing here imports
TensorFlow.
"""

import dataclasses
import re
import statistics
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateSyntaxError, UndefinedError

from data.errors import InputError, nearest
from metrics.catalogue import worst
from studies.diagrams import draw_diagrams
from studies.plan import Study, read_entries, read_studies, read_study
from studies.tables import TABLES, all_rows, headings, literal, markdown, mean_and_deviation, number, values_of
from training.cli import run_program
from training.files import write_bytes, write_text

DOCS = Path(__file__).resolve().parents[1] / "docs"
HEAD = "<!-- Written by `python reproduce.py report` from docs/report/*.md: change those. -->"
CALLED = ("table", "heading", "cost", "figure", "value", "seeds", "texts", "topics", "ref")


class Report:
    """The methods that the sources may call, and the table or figure that each label stands for.

    Every such method returns Markdown, and raises InputError for an unknown name. If a result is missing because
    nothing has been run or drawn yet, the Markdown says so.

    Args:
        docs: the folder of `report/` and `results/`.
    """

    def __init__(self, docs: Path):
        self.docs = docs
        self.labels: dict[str, str] = {}  # label -> "Table 3"
        self.read = cache(self.results_of)  # the sources call it hundreds of times

    def table(
        self,
        study: str,
        columns: list[str] | dict[str, str] | None = None,
        rows: list[str] | None = None,
        *,
        kind: str = "summary",
        caption: str,
        label: str,
    ) -> str:
        """Return a numbered table of a study's page, between its caption and its command.

        Args:
            columns: the keys of the scores to show, or key -> heading; default: all scores of the page, with the
                headings of the catalogue. Columns that are not scores are always shown.
            rows: names of rows of the study, or of rows that it includes; default: all.
            kind: one of `studies.tables.TABLES`.
            caption, label: the table's caption, and the label by which `ref` finds the table.
        """
        planned, found = self.read(study)
        rows = [known(row, rows_of(planned), f"row of {study}") for row in rows or rows_of(planned)]
        scores = {*planned.columns, *(key for members in found.values() for e in members for key in e["metrics"])}
        asked = tuple(known(key, scores, f"score of {study}") for key in columns or planned.columns)
        planned = dataclasses.replace(planned, columns=asked)
        draw = TABLES[known(kind, TABLES, "kind of table")]
        _, header, lines = draw(planned, {row: found[row] for row in rows if row in found})
        kept = [i for i, name in enumerate(header) if not columns or name in asked or name not in scores]
        header, lines = ([[cells[i] for i in kept] for cells in part] for part in ([header], lines))

        above, command = self.heading(caption=caption, label=label), f"`python reproduce.py {study}`"
        if not lines:
            return f"{above}\n\n*Not run yet: {command}*"
        done = sum(len(members) for row, members in found.items() if row in planned.rows)
        missing = [row for row in rows if row not in found]
        below = f"[{command}](results/{study}.md)"
        below += f"; {done} of {planned.size} trainings so far" if done < planned.size else ""
        below += f"; not run yet: {', '.join(missing)}" if missing else ""
        shown = markdown(headings(header[0], columns if isinstance(columns, dict) else None), lines)
        return f"{above}\n\n{shown}\n\n{below}"

    def heading(self, *, caption: str, label: str) -> str:
        """Return the number and the caption of a table. The sources call it for a table that they hold themselves."""
        return f"{anchor(label)}{self.caption('Table', caption, label)}"

    def cost(self, *, caption: str, label: str) -> str:
        """Return a numbered table of all studies: finished trainings, their minutes, the highest memory, commands."""
        lines = []
        for study in read_studies():
            planned, found = self.read(study)
            own = [entry for row, members in found.items() if row in planned.rows for entry in members]
            minutes = f"{sum(values_of(own, 'train_minutes')):,.0f}" if own else ""
            held = values_of(own, "peak_memory_gb")  # older entries lack it
            memory = f"{max(held):.1f}" if held else ""
            lines.append([study, f"{len(own)} of {planned.size}", minutes, memory, f"`python reproduce.py {study}`"])
        shown = markdown(["study", "finished trainings", "minutes", "peak memory [GB]", "command"], lines)
        return f"{self.heading(caption=caption, label=label)}\n\n{shown}"

    def figure(self, path: str, *, caption: str, label: str) -> str:
        """Return a numbered picture above its caption.

        Args:
            path: the file, relative to docs/.
            caption, label: the figure's caption, and the label by which `ref` finds the figure.
        """
        below = self.caption("Figure", caption, label)
        shown = f"![{self.labels[label]}]({path})"
        if not (self.docs / path).exists():
            study = next((name for name in read_studies() if name in Path(path).parts), None)
            shown = f"*Not drawn yet: `{f'python reproduce.py {study}' if study else path}`*"
        return f"{anchor(label)}{shown}\n\n{below}"

    def value(
        self, study: str, row: str, score: str, statistic: str = "mean", *, over: str | None = None, form: str = ""
    ) -> str:
        """Return a number of a row's runs.

        Args:
            study, row, score: the names of a study and of one of its rows, and the key of a score.
            statistic: over the seeds: mean, median, min, max, worst, or spread, which is mean ± standard deviation.
            over: the key of another score, by which the score of every run is divided.
            form: a format specification such as ".1%"; default: as in tables.

        Raises:
            InputError: a name is unknown, or "worst" is asked of a score without a better direction.
        """
        members = self.members(study, row)
        scores = {key for entry in members for key in entry["metrics"]}
        if not scores:
            return "(failed)" if members else "(not run yet)"
        statistics_of: dict[str, Callable[[list[float]], float | str | None]] = {
            "mean": statistics.mean,
            "median": statistics.median,
            "min": min,
            "max": max,
            "worst": lambda values: worst(score, values),
            "spread": mean_and_deviation,
        }
        values, *divisors = (
            values_of(members, known(key, scores, f"score of {study}, {row}")) for key in (score, over) if key
        )
        for divisor in divisors:
            values = [value / own for value, own in zip(values, divisor, strict=True)]
        value = statistics_of[known(statistic, statistics_of, "statistic")](values)
        if value is None:
            raise InputError(
                f"{score!r} has no worst value, because neither direction of it is better: give min or max"
            )
        return value if isinstance(value, str) else format(value, form) if form else number(value)

    def seeds(self, study: str, row: str) -> str:
        """Return the number of a row's runs."""
        return str(len(self.members(study, row)))

    def texts(self, study: str, row: str, kind: str, count: int = 3, *, width: int = sys.maxsize) -> str:
        """Return a list of texts that the first run of a row generated.

        Args:
            study, row: the names of a study and of one of its rows.
            kind: "reconstructions", "interpolations" (an item is a path from one text to another), or one of the
                kinds of sample that a run has, such as "samples_top_p".
            count: how many items are shown: the first ones, which nobody picked.
            width: the most characters of a text; a longer text is cut behind a word and ends in " ...".
        """
        members = self.members(study, row)
        written = {kind: texts for entry in members[:1] for kind, texts in written_by(entry).items()}
        if not written:
            return f"*Not run yet: `python reproduce.py {study}`*"
        items = written[known(kind, written, f"kind of text of {study}, {row}")][:count]
        items = [[item] if isinstance(item, str) else item for item in items]
        items = [[literal(textwrap.shorten(text, width, placeholder=" ...")) for text in item] for item in items]
        return "\n".join("- " + "\n  → ".join(item) for item in items)

    def topics(self, study: str, row: str, *, caption: str, label: str) -> str:
        """Return a numbered table of topics of NVDM and of LDA: the examples among the scores of a row's first run."""
        above, shown = self.heading(caption=caption, label=label), f"*Not run yet: `python reproduce.py {study}`*"
        if members := self.members(study, row):
            examples = (members[0]["metrics"][f"example_topics{ending}"] for ending in ("", "_lda"))
            lines = [[part for own in pair for part in own.split(": ")] for pair in zip(*examples, strict=True)]
            shown = markdown(["NPMI", "NVDM", "NPMI", "LDA"], lines)
        return f"{above}\n\n{shown}"

    def members(self, study: str, row: str) -> list[dict]:
        """Return the entries of a row, by seed; none if it has not run. Raise InputError if a name is unknown."""
        planned, found = self.read(study)
        return found.get(known(row, rows_of(planned), f"row of {study}"), [])

    def ref(self, label: str) -> str:
        """Return a link to a table or figure, which may come later. `linked` writes the link's text."""
        return f"[](#{label})"

    def results_of(self, study: str) -> tuple[Study, dict[str, list[dict]]]:
        """Return a study, and the entries so far of its rows and of the rows that it includes, by row."""
        planned = read_study(study)
        entries = planned.current(read_entries(self.docs / "results" / f"{study}.json"))
        return planned, all_rows(planned, entries, self.docs / "results")

    def caption(self, kind: str, text: str, label: str) -> str:
        """Give a label the next number of its kind, and return the number with the text.

        Raises:
            InputError: the label has a number already.
        """
        if label in self.labels:
            raise InputError(f"the label {label!r} already stands for {self.labels[label]}: choose another")
        count = sum(name.startswith(kind) for name in self.labels.values())
        self.labels[label] = f"{kind} {count + 1}"
        return f"{self.labels[label]}. {text}"

    def linked(self, text: str, file: str) -> str:
        """Return a rendered file with the text of every `ref`. All files are rendered before, so that labels are known.

        Raises:
            InputError: a `ref` names an unknown label.
        """
        try:
            return re.sub(
                r"\[\]\(#(.*?)\)",
                lambda found: f"[{self.labels[known(found[1], self.labels, 'label')]}](#{found[1]})",
                text,
            )
        except InputError as error:
            raise InputError(f"{file}: {error}") from error


def written_by(entry: dict) -> dict[str, list]:
    """Return the texts that a run's scores hold, by kind."""
    metrics = entry["metrics"]
    paths = {kind: metrics[kind] for kind in ("reconstructions", "interpolations") if kind in metrics}
    return paths | metrics.get("generated", {})


def anchor(label: str) -> str:
    """Return the target of the links to a label."""
    return f'<a id="{label}"></a>'


def rows_of(study: Study) -> list[str]:
    """Return the names of all rows that a study's table may show."""
    return [*(row for _, rows in study.include for row in rows), *study.rows]


def known(name: str, names: Iterable[str], what: str) -> str:
    """Return the name itself. Raise InputError, with the nearest right name, if it is not one of the names."""
    if name not in names:
        raise InputError(f"{name!r} is not a {what}{nearest(name, names)}")
    return name


def rendered(environment: Environment, file: str) -> str:
    """Return a source with its expressions replaced.

    Raises:
        InputError: an expression is wrong; the message gives file and line.
    """
    try:
        return environment.get_template(file).render()
    except TemplateSyntaxError as error:
        raise InputError(f"{file}, line {error.lineno}: {error.message}") from error
    except (InputError, UndefinedError, TypeError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next(frame.lineno for frame in reversed(frames) if Path(frame.filename).name == file)
        raise InputError(f"{file}, line {line}: {error}") from error


def report_text(docs: Path) -> str:
    """Return the report in GitHub's Markdown, with paths relative to `docs`."""
    report = Report(docs)
    environment = Environment(loader=FileSystemLoader(docs / "report"), undefined=StrictUndefined, trim_blocks=True)
    environment.globals |= {name: getattr(report, name) for name in CALLED}
    texts = {file: rendered(environment, file) for file in sorted(environment.list_templates(extensions=["md"]))}
    return "\n\n".join([HEAD, *(report.linked(text, file).strip() for file, text in texts.items())]) + "\n"


def build_report(docs: Path = DOCS) -> None:
    """Draw the diagrams and write report.md."""
    draw_diagrams(docs / "results/diagrams")
    write_text(docs / "report.md", report_text(docs))
    print(docs / "report.md")


def publish(docs: Path = DOCS) -> None:
    """Write report.html, which needs no other file, and report.pdf, both from report.md."""
    import pypandoc
    import typst

    sources, text = docs / "report", (docs / "report.md").read_text().removeprefix(HEAD)

    def convert(form: str, *options: str) -> str:
        shared = ["--standalone", "--shift-heading-level-by=-1", "--toc", f"--lua-filter={sources / 'captions.lua'}"]
        return pypandoc.convert_text(text, form, format="gfm", extra_args=[*shared, *options])

    style = [f"--css={sources / 'style.css'}", "--embed-resources", f"--resource-path={docs}", "--mathml"]
    write_text(docs / "report.html", convert("html", *style))
    page = [f"--include-in-header={sources / 'print.typ'}", "-Vpapersize=a4", "-Vfontsize=10pt"]
    source = convert("typst", *page).encode()
    typeset = typst.compile(source, root=docs)  # pyright: ignore[reportArgumentType]  # the stubs want `root` as bytes
    write_bytes(docs / "report.pdf", typeset)
    print(f"{docs / 'report.html'}, {docs / 'report.pdf'}")


def main(argv: list[str] | None = None) -> int:
    """Write the report in all its forms; return the exit code."""

    def write(argv: list[str]) -> None:
        build_report()
        publish()

    return run_program(write, argv)


if __name__ == "__main__":
    sys.exit(main())
