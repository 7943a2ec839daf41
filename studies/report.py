"""docs/report.md from docs/report/*.md: the prose is written there, every number, table and figure comes from docs/results.

The sources are Markdown with Jinja expressions, which call the methods of `Report` that CALLED names. `python -m
studies.report` also writes report.html and report.pdf. Nothing here imports TensorFlow.
"""

import dataclasses
import re
import statistics
import sys
import textwrap
import traceback
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateSyntaxError, UndefinedError

from data.errors import InputError, nearest
from studies.diagrams import draw_diagrams
from studies.plan import Study, read_entries, read_studies, read_study
from studies.tables import TABLES, all_rows, markdown, mean_and_deviation, number, values_of
from training.cli import run_program
from training.runs import write_bytes, write_text
from training.scores import worst

DOCS = Path(__file__).resolve().parents[1] / "docs"
HEAD = "<!-- Written by `python reproduce.py report` from docs/report/*.md: change those. -->"
CALLED = ("table", "heading", "cost", "figure", "value", "texts", "ref")


class Report:
    """What the sources may call, and which table or figure each label stands for.

    docs: the folder of `report/` and `results/`. Every method gives Markdown. It raises InputError for a name that there is
    not; what has not been run or drawn yet is no error, and said in its place.
    """

    def __init__(self, docs: Path):
        self.docs = docs
        self.labels: dict[str, str] = {}  # label -> "Table 3"
        self.read = cache(self.results_of)  # the sources ask hundreds of times

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
        """A table of a study's page, numbered: the caption above it, the command below.

        Args:
            columns: the scores to show, or {score: what to write over it}; default: all that the page has. Columns that are
                no scores always stay.
            rows: of the study, and of others that it includes; default: all.
            kind: one of `studies.tables.TABLES`.
        """
        planned, found = self.read(study)
        rows = [known(row, rows_of(planned), f"row of {study}") for row in rows or rows_of(planned)]
        scores = {*planned.columns, *(key for members in found.values() for e in members for key in e["metrics"])}
        headings = columns if isinstance(columns, dict) else {key: key for key in columns or planned.columns}
        planned = dataclasses.replace(planned, columns=tuple(known(k, scores, f"score of {study}") for k in headings))
        draw = TABLES[known(kind, TABLES, "kind of table")]
        _, header, lines = draw(planned, {row: found[row] for row in rows if row in found})
        kept = [i for i, name in enumerate(header) if not columns or name in headings or name not in scores]
        header, lines = ([[cells[i] for i in kept] for cells in part] for part in ([header], lines))

        above, command = self.heading(caption=caption, label=label), f"`python reproduce.py {study}`"
        if not lines:
            return f"{above}\n\n*Not run yet: {command}*"
        done = sum(len(members) for row, members in found.items() if row in planned.rows)
        missing = [row for row in rows if row not in found]
        below = f"[{command}](results/{study}.md)"
        below += f"; {done} of {planned.size} trainings so far" if done < planned.size else ""
        below += f"; not run yet: {', '.join(missing)}" if missing else ""
        shown = markdown([headings.get(name, name) for name in header[0]], lines)
        return f"{above}\n\n{shown}\n\n{below}"

    def heading(self, *, caption: str, label: str) -> str:
        """What stands above a table: its number and caption. The sources call it for a table of words, which they hold."""
        return f"{anchor(label)}{self.caption('Table', caption, label)}"

    def cost(self, *, caption: str, label: str) -> str:
        """A numbered table of all studies: trainings done, minutes of them all, most memory of one, and the command."""
        lines = []
        for study in read_studies():
            planned, found = self.read(study)
            own = [entry for row, members in found.items() if row in planned.rows for entry in members]
            minutes = f"{sum(values_of(own, 'train_minutes')):,.0f}" if own else ""
            held = values_of(own, "peak_memory_gb")  # unknown of entries from before it was recorded
            memory = f"{max(held):.1f}" if held else ""
            lines.append([study, f"{len(own)} of {planned.size}", minutes, memory, f"`python reproduce.py {study}`"])
        shown = markdown(["study", "trainings done", "minutes", "peak memory, GB", "command"], lines)
        return f"{self.heading(caption=caption, label=label)}\n\n{shown}"

    def figure(self, path: str, *, caption: str, label: str) -> str:
        """A picture, numbered, its caption below it; `path`: in docs/."""
        below = self.caption("Figure", caption, label)
        shown = f"![{self.labels[label]}]({path})"
        if not (self.docs / path).exists():
            study = next((name for name in read_studies() if name in Path(path).parts), None)
            shown = f"*Not drawn yet: `{f'python reproduce.py {study}' if study else path}`*"
        return f"{anchor(label)}{shown}\n\n{below}"

    def value(
        self, study: str, row: str, score: str, statistic: str = "mean", *, seed: int | None = None, form: str = ""
    ) -> str:
        """A number of a row's runs.

        Args:
            statistic: over the seeds: mean, median, min, max, worst, or spread, which is mean ± standard deviation.
            seed: asks for one run.
            form: a format specification such as ".1%"; default: as tables show numbers.
        """
        planned, found = self.read(study)
        members = found.get(known(row, rows_of(planned), f"row of {study}"), [])
        members = [entry for entry in members if seed in (None, entry["seed"])]
        scores = {key for entry in members for key in entry["metrics"]}
        if not scores:
            return "(failed)" if members else "(not run yet)"
        over = {"mean": statistics.mean, "median": statistics.median, "min": min, "max": max}
        over |= {"worst": partial(worst, score), "spread": mean_and_deviation}
        values = values_of(members, known(score, scores, f"score of {study}, {row}"))
        value = over[known(statistic, over, "statistic")](values)
        return value if isinstance(value, str) else format(value, form) if form else number(value)

    def texts(self, study: str, row: str, kind: str, count: int = 3, *, width: int = sys.maxsize) -> str:
        """A list of what the first run of a text row wrote.

        Args:
            kind: "reconstructions", "interpolations" (an item is a path from one text to another), or one of the kinds of
                sample that a run has, such as "samples_top_p".
            count: items, the first ones, not picked.
            width: most characters of a text; a longer one is cut behind a word and ends in " ...".
        """
        planned, found = self.read(study)
        members = found.get(known(row, rows_of(planned), f"row of {study}"), [])
        written = {kind: texts for entry in members[:1] for kind, texts in written_by(entry).items()}
        if not written:
            return f"*Not run yet: `python reproduce.py {study}`*"
        items = written[known(kind, written, f"kind of text of {study}, {row}")][:count]
        items = [[item] if isinstance(item, str) else item for item in items]
        items = [[literal(textwrap.shorten(text, width, placeholder=" ...")) for text in item] for item in items]
        return "\n".join("- " + "\n  → ".join(item) for item in items)

    def ref(self, label: str) -> str:
        """A link to a table or figure, also to one that comes later; `linked` writes into it what the label stands for."""
        return f"[](#{label})"

    def results_of(self, study: str) -> tuple[Study, dict[str, list[dict]]]:
        """The study, and the entries of each of its rows and of those it includes, as far as they are there."""
        planned = read_study(study)
        entries = planned.current(read_entries(self.docs / "results" / f"{study}.json"))
        return planned, all_rows(planned, entries, self.docs / "results")

    def caption(self, kind: str, text: str, label: str) -> str:
        """The next number of a kind, from now on the label's, and the text."""
        if label in self.labels:
            raise InputError(f"the label {label!r} is {self.labels[label]} already: choose another")
        count = sum(name.startswith(kind) for name in self.labels.values())
        self.labels[label] = f"{kind} {count + 1}"
        return f"{self.labels[label]}. {text}"

    def linked(self, text: str, file: str) -> str:
        """A rendered file with every `ref` filled in, once all files are rendered."""
        try:
            return re.sub(
                r"\[\]\(#(.*?)\)",
                lambda found: f"[{self.labels[known(found[1], self.labels, 'label')]}](#{found[1]})",
                text,
            )
        except InputError as error:
            raise InputError(f"{file}: {error}") from error


def written_by(entry: dict) -> dict[str, list]:
    """The texts that a run's scores hold, by kind."""
    metrics = entry["metrics"]
    paths = {kind: metrics[kind] for kind in ("reconstructions", "interpolations") if kind in metrics}
    return paths | metrics.get("generated", {})


def literal(text: str) -> str:
    """Text in which Markdown finds nothing of its own."""
    return re.sub(r"([\\`*_<>\[\]#|$~&])", r"\\\1", text)


def anchor(label: str) -> str:
    """Where a link to a label leads."""
    return f'<a id="{label}"></a>'


def rows_of(study: Study) -> list[str]:
    """All that its table may show."""
    return [*(row for _, rows in study.include for row in rows), *study.rows]


def known(name: str, names: Iterable[str], what: str) -> str:
    """The name itself. Raises InputError where it is none of the names."""
    if name not in names:
        raise InputError(f"{name!r} is no {what}{nearest(name, names)}")
    return name


def rendered(environment: Environment, file: str) -> str:
    """A source with its expressions replaced. Raises InputError with file and line."""
    try:
        return environment.get_template(file).render()
    except TemplateSyntaxError as error:
        raise InputError(f"{file}, line {error.lineno}: {error.message}") from error
    except (InputError, UndefinedError, TypeError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next(frame.lineno for frame in reversed(frames) if Path(frame.filename).name == file)
        raise InputError(f"{file}, line {line}: {error}") from error


def report_text(docs: Path) -> str:
    """The report in GitHub's Markdown; paths are relative to `docs`."""
    report = Report(docs)
    environment = Environment(loader=FileSystemLoader(docs / "report"), undefined=StrictUndefined, trim_blocks=True)
    environment.globals |= {name: getattr(report, name) for name in CALLED}
    texts = {file: rendered(environment, file) for file in sorted(environment.list_templates(extensions=["md"]))}
    return "\n\n".join([HEAD, *(report.linked(text, file).strip() for file, text in texts.items())]) + "\n"


def build_report(docs: Path = DOCS):
    """Writes the drawn diagrams and report.md."""
    draw_diagrams(docs / "results/diagrams")
    write_text(docs / "report.md", report_text(docs))
    print(docs / "report.md")


def publish(docs: Path = DOCS):
    """Writes report.html, which needs no other file, and report.pdf from report.md."""
    import pypandoc
    import typst

    sources, text = docs / "report", (docs / "report.md").read_text().removeprefix(HEAD)

    def convert(form: str, *options: str) -> str:
        shared = ["--standalone", "--shift-heading-level-by=-1", "--toc", f"--lua-filter={sources / 'captions.lua'}"]
        return pypandoc.convert_text(text, form, format="gfm", extra_args=[*shared, *options])

    style = [f"--css={sources / 'style.css'}", "--embed-resources", f"--resource-path={docs}", "--mathml"]
    write_text(docs / "report.html", convert("html", *style))
    page = [f"--include-in-header={sources / 'print.typ'}", "-Vpapersize=a4", "-Vfontsize=10pt"]
    write_bytes(docs / "report.pdf", typst.compile(convert("typst", *page).encode(), root=docs))
    print(f"{docs / 'report.html'}, {docs / 'report.pdf'}")


def main(argv: list[str] | None = None) -> int:
    """Writes the report in all its forms; returns the exit code."""

    def write(argv: list[str]):
        build_report()
        publish()

    return run_program(write, argv)


if __name__ == "__main__":
    sys.exit(main())
