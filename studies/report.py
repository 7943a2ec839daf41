"""The report: docs/report/*.md holds the prose, and every number, table and figure comes from docs/results.

The sources are Markdown with Jinja expressions. An expression calls a method of `Report`, one of those in CALLED. The
result is docs/report.md; `python -m studies.report` also writes report.html and report.pdf. The Persian edition has its
sources in docs/report.fa, and the same numbers. Nothing here imports TensorFlow.
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
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateSyntaxError, UndefinedError

from data.errors import InputError, nearest
from metrics.catalogue import worst
from studies.diagrams import draw_diagrams
from studies.plan import Study, read_entries, read_studies, read_study
from studies.tables import CHANGES, TABLES, all_rows, headings, literal, markdown, mean_and_deviation, number, values_of
from training.cli import run_program
from training.files import write_bytes, write_text

DOCS = Path(__file__).resolve().parents[1] / "docs"
HEAD = "<!-- Written by `python reproduce.py report` from docs/{}/*.md: change those. -->"
FEW = 5  # scores of a table that has room for a column of words
CALLED = ("table", "heading", "cost", "figure", "value", "seeds", "texts", "topics", "ref")


class Edition(NamedTuple):
    """The report in a language.

    name: of the folder of its sources, and of its files. table, figure: what the captions call them. digits: what
    stands for each of "0123456789.,%" in numbers of the prose. around: what stands in report.md before and after the
    text. font, package: the font of the PDF, and the package of Debian that has it; "": the font of every PDF.
    """

    name: str
    table: str
    figure: str
    digits: str = "0123456789.,%"
    around: tuple[str, str] = ("", "")
    font: str = ""
    package: str = ""

    def numeral(self, text: str) -> str:
        """Return a number in this edition's digits."""
        return text.translate(str.maketrans("0123456789.,%", self.digits))


ENGLISH = Edition("report", "Table", "Figure")
PERSIAN = Edition(
    "report.fa",
    "جدول",
    "شکل",
    "۰۱۲۳۴۵۶۷۸۹٫٬٪",
    ('<div dir="rtl">\n\n', "\n</div>\n"),
    "Noto Naskh Arabic",
    "fonts-noto-core",
)
EDITIONS = (ENGLISH, PERSIAN)


class Report:
    """The methods that the sources may call, and the table or figure that each label stands for.

    Every such method returns Markdown, and raises InputError for an unknown name. If a result is missing because
    nothing has been run or drawn yet, the Markdown says so.

    Args:
        docs: the folder of the sources and of `results/`.
        edition: the language.
    """

    def __init__(self, docs: Path, edition: Edition):
        self.docs, self.edition = docs, edition
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
                headings of the catalogue. Columns that are not scores are shown too; what a row changes is left out
                beside more than FEW scores, since it would be a narrow column. The study's page has it.
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
        left_out = {*(scores - set(asked) if columns else ()), *([CHANGES] if len(asked) > FEW else ())}
        kept = [i for i, name in enumerate(header) if name not in left_out]
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
        return f"{anchor(label)}{self.caption(self.edition.table, caption, label)}"

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
        below = self.caption(self.edition.figure, caption, label)
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
        return self.edition.numeral(value if isinstance(value, str) else format(value, form) if form else number(value))

    def seeds(self, study: str, row: str) -> str:
        """Return the number of a row's runs."""
        return self.edition.numeral(str(len(self.members(study, row))))

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
        self.labels[label] = f"{kind} {self.edition.numeral(str(count + 1))}"
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


def report_text(docs: Path, edition: Edition = ENGLISH) -> str:
    """Return an edition in GitHub's Markdown, with paths relative to `docs`."""
    report, before, after = Report(docs, edition), *edition.around
    environment = Environment(loader=FileSystemLoader(docs / edition.name), undefined=StrictUndefined, trim_blocks=True)
    environment.globals |= {name: getattr(report, name) for name in CALLED}
    texts = {file: rendered(environment, file) for file in sorted(environment.list_templates(extensions=["md"]))}
    body = "\n\n".join(report.linked(text, file).strip() for file, text in texts.items())
    return f"{HEAD.format(edition.name)}\n\n{before}{body}\n{after}"


def build_report(docs: Path = DOCS) -> None:
    """Draw the diagrams and write the report.md of each edition."""
    draw_diagrams(docs / "results/diagrams")
    for edition in EDITIONS:
        write_text(docs / f"{edition.name}.md", report_text(docs, edition))
        print(docs / f"{edition.name}.md")


def publish(docs: Path, edition: Edition) -> None:
    """Write an edition's HTML, which needs no other file, and its PDF, both from its Markdown.

    If the font of the PDF is missing, say so, and leave the PDF out.
    """
    import pypandoc
    import typst

    style, (before, after) = docs / "report", edition.around
    text = (docs / f"{edition.name}.md").read_text().removeprefix(f"{HEAD.format(edition.name)}\n\n{before}")

    def convert(form: str, *options: str) -> str:
        shared = ["--standalone", "--shift-heading-level-by=-1", f"--lua-filter={style / 'captions.lua'}"]
        shared.append(f"--metadata-file={docs / edition.name / 'page.yaml'}")
        return pypandoc.convert_text(text.removesuffix(after), form, format="gfm", extra_args=[*shared, *options])

    page = ["--toc", f"--css={style / 'style.css'}", "--embed-resources", f"--resource-path={docs}", "--mathml"]
    write_text(docs / f"{edition.name}.html", convert("html", *page))
    print(docs / f"{edition.name}.html")
    pdf = docs / f"{edition.name}.pdf"
    if edition.font and edition.font not in typst.Fonts().families():
        print(f"{pdf} is left out: it needs the font {edition.font} (apt install {edition.package})")
        return
    font = [f"-Vmainfont={edition.font}"] if edition.font else []
    source = convert("typst", f"--include-in-header={style / 'print.typ'}", *font).encode()
    write_bytes(pdf, typst.compile(source, root=docs))  # pyright: ignore[reportArgumentType]  # the stubs want bytes
    print(pdf)


def main(argv: list[str] | None = None) -> int:
    """Write all editions in all their forms; return the exit code."""

    def write(argv: list[str]) -> None:
        build_report()
        for edition in EDITIONS:
            publish(DOCS, edition)

    return run_program(write, argv)


if __name__ == "__main__":
    sys.exit(main())
