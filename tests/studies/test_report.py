"""The report: its numbers are those of docs/results, it is up to date, and its links have targets."""

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import reproduce
from data.errors import InputError
from reporting.figures import MAX_BYTES
from studies import plan, report
from studies.diagrams import draw_diagrams
from studies.report import EDITIONS, ENGLISH, PERSIAN, build_report, publish, report_text
from studies.tables import literal

DOCS = Path(__file__).parents[2] / "docs"
YAML = """
done:
  about: a question
  dataset: digits
  seeds: [0, 1]
  columns: [fid, nmi]
  rows:
    plain: {mode: infogan}
    other: {mode: infogan, options: {info_weight: 2.0}}
    later: {mode: infogan, options: {info_weight: 3.0}}
undone:
  about: another
  dataset: digits
  columns: [fid]
  include: {done: [plain]}
  rows:
    one: {mode: infogan}
"""


def entry(row, seed, config=None, **metrics):
    config = {"dataset": "digits", "seed": seed} | (config or {})
    return {"name": f"{row}-{seed}", "row": row, "seed": seed, "mode": "infogan", "config": config, "metrics": metrics}


WRITTEN = {"interpolations": [["a b", "a c", "d c"], ["e", "f"]], "generated": {"samples": ["`` <unk>", "i", "j"]}}
ENTRIES = [
    entry("plain", 0, fid=1.0, nmi=0.25, n_parameters=1234567, train_minutes=2.0, **WRITTEN),
    entry("plain", 1, fid=2.0, nmi=0.75, n_parameters=1234567, train_minutes=3.5, peak_memory_gb=1.26),
    entry("other", 0, {"info_weight": 2.0}) | {"error": "loss/d is nan"},
]


@pytest.fixture
def docs(tmp_path, monkeypatch):
    """A folder with the results of one of two studies, and without sources."""
    monkeypatch.setattr(plan, "FILE", tmp_path / "studies.yaml")
    plan.FILE.write_text(YAML)
    for edition in EDITIONS:
        (tmp_path / "docs" / edition.name).mkdir(parents=True)
    (tmp_path / "docs/results/done").mkdir(parents=True)
    (tmp_path / "docs/results/done.json").write_text(json.dumps(ENTRIES))
    Image.new("RGB", (40, 20)).save(tmp_path / "docs/results/done/curves.png")
    return tmp_path / "docs"


@pytest.fixture
def write(docs):
    """Return a function that writes sources and returns the report that they make."""

    def written(*sources, edition=ENGLISH):
        for i, text in enumerate(sources):
            (docs / f"{edition.name}/{i}.md").write_text(text)
        return report_text(docs, edition)

    return written


# The report that is committed


@pytest.fixture(params=EDITIONS, ids=lambda edition: edition.name)
def edition(request):
    return request.param


@pytest.fixture
def text(edition):
    return (DOCS / f"{edition.name}.md").read_text()


@pytest.mark.slow
def test_report_is_up_to_date(edition, text):
    """`python reproduce.py report` changes nothing."""
    assert report_text(DOCS, edition) == text


def test_every_link_and_picture_is_there(text):
    names = re.findall(r'<a id="(.*?)">', text)
    assert len(set(names)) == len(names)
    targets = [target for target in re.findall(r"\]\((\S*?)\)", text) if "://" not in target]
    assert targets
    for target in targets:
        file, _, name = target.partition("#")
        assert (DOCS / file).exists() if file else name in names, target


def test_numbers_of_tables_and_figures_are_consecutive_and_resolve(edition, text):
    for kind in (edition.table, edition.figure):
        given = re.findall(rf"^(?:<a id=.*></a>)?{kind} (\d+)\. ", text, re.M)
        assert given == [edition.numeral(str(i + 1)) for i in range(len(given))] != []
        assert set(re.findall(rf"{kind} (\d+)", text)) == set(given)


def test_no_study_is_named_as_the_report():
    assert reproduce.REPORT not in plan.read_studies()


QUESTIONS = 17


def test_every_question_has_one_heading_and_a_link_from_the_first_page(text):
    headings = re.findall(r'^### <a id="(question-\d+)"></a>.*?(?:Questions?|پرسش) (.*?):', text, re.M)
    asked = [int(number) for _, numbers in headings for number in re.findall(r"\d+", numbers)]
    assert asked == list(range(1, QUESTIONS + 1))
    first_page = text.split("\n## ")[0]
    assert [name for name, _ in headings if f"](#{name})" not in first_page] == []


def test_every_table_and_figure_is_referred_to(text):
    labels = re.findall(r'<a id="(.*?)">', text)
    assert labels and [label for label in labels if f"](#{label})" not in text] == []


def sentences(source: str) -> list[str]:
    """Return the sentences of a source, its captions too. A formula or an expression counts as one word."""
    captions = re.findall(r'caption="(.*?)"', source) + re.findall(r"set caption %}(.*?){%-", source, re.DOTALL)
    prose = re.sub(r"{% set .*?endset %}|\$\$.*?\$\$|^\|[^\n]*$", "", source, flags=re.DOTALL | re.MULTILINE)
    plain = [re.sub(r"{{.*?}}|\$[^$]*\$|`[^`]*`", "X", text, flags=re.DOTALL) for text in (prose, *captions)]
    parts = [part for text in plain for part in re.split(r"\n\s*(?=\n)|\n- |\n\d+\. |\n#+ ", text)]
    return [found for part in parts for found in re.split(r"(?<=[.!?])[*)\"]*\s+(?=[A-Z*(\[])", part)]


def test_no_sentence_is_long():
    long = [
        f"{file.name}, {len(found.split())} words: {found}"
        for file in sorted((DOCS / "report").glob("*.md"))
        for found in sentences(file.read_text())
        if len(found.split()) > 40
    ]
    assert long == []
    source = 'A $x$ of `f`.\n$$y$$\n- Two. (Three) {{ x(caption="Four.") }}'
    assert list(filter(None, sentences(source))) == ["A X of X.", "Two.", "(Three) X", "Four."]


# What the sources may call


def test_a_table(write):
    page = write(
        '{{ table("done", {"nmi": "NMI", "fid": "FID"}, ["later", "other", "plain"], label="t", caption="All.") }}'
    )
    assert page.splitlines()[2:] == [
        '<a id="t"></a>Table 1. All.',
        "",
        "| row | what it changes | seeds | NMI | FID |",
        "| --- | --- | --- | --- | --- |",
        "| other | info_weight 2.0 | 1 (1 failed) |  |  |",
        "| plain |  | 2 | 0.500 ± 0.354 | 1.50 ± 0.71 |",
        "",
        "[`python reproduce.py done`](results/done.md); 3 of 6 trainings so far; not run yet: later",
    ]


def test_a_wide_table_leaves_out_what_a_row_changes(write, monkeypatch):
    monkeypatch.setattr(report, "FEW", 1)
    page = write('{{ table("done", ["nmi", "fid"], ["plain"], label="t", caption="All.") }}')
    assert "| row | seeds | NMI ↑ | FID ↓ |" in page and "| plain | 2 |" in page


def test_other_tables_and_rows_of_other_studies(write):
    page = write('{{ table("undone", ["fid"], kind="runs", label="runs", caption="Each.") }}')
    assert "| run | FID ↓ |\n" in page and "| plain-1 | 2.00 |\n" in page
    assert "0 of 1 trainings so far; not run yet: one" in page


def test_topics_of_two_models_stand_side_by_side(write, docs):
    entries = [
        entry("plain", 0, example_topics=["0.25: a b", "-0.50: c d"], example_topics_lda=["0.75: e f", "0.00: g h"])
    ]
    (docs / "results/done.json").write_text(json.dumps(entries))
    page = write('{{ topics("done", "plain", label="t", caption="Ten.") }}')
    assert "Table 1. Ten." in page and page.endswith("| 0.25 | a b | 0.75 | e f |\n| -0.50 | c d | 0.00 | g h |\n")
    assert "Not run yet: `python reproduce.py done`" in write(
        '{{ topics("done", "later", label="t", caption="Ten.") }}'
    )


def test_what_is_not_there_yet_is_said(write):
    page = write(
        '{{ table("undone", rows=["one"], label="t", caption="None.") }}',
        '{{ table("done", kind="codes", label="codes", caption="None.") }}',
        '{{ figure("results/undone/curves.png", label="f", caption="None.") }}',
        '{{ figure("results/else.png", label="e", caption="None.") }}',
        '{{ value("undone", "one", "fid") }}, {{ seeds("undone", "one") }}',
    )
    assert "Table 1. None.\n\n*Not run yet: `python reproduce.py undone`*" in page
    assert "Table 2. None.\n\n*Not run yet: `python reproduce.py done`*" in page
    assert "*Not drawn yet: `python reproduce.py undone`*\n\nFigure 1. None." in page
    assert "*Not drawn yet: `results/else.png`*" in page
    assert "(not run yet), 0" in page
    assert "|" not in page


def test_a_figure(write):
    page = write('{{ figure("results/done/curves.png", label="f", caption="Down.") }}')
    assert page.endswith('<a id="f"></a>![Figure 1](results/done/curves.png)\n\nFigure 1. Down.\n')


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('"plain", "fid"', "1.50"),
        ('"plain", "fid", "median"', "1.50"),
        ('"plain", "fid", "spread"', "1.50 ± 0.71"),
        ('"plain", "fid", "max"', "2.00"),
        ('"plain", "fid", "worst"', "2.00"),
        ('"plain", "nmi", "worst"', "0.250"),
        ('"plain", "nmi", "min"', "0.250"),
        ('"plain", "nmi", "max", form=".0%"', "75%"),
        ('"plain", "fid", over="nmi"', "3.33"),  # (1 / 0.25 + 2 / 0.75) / 2
        ('"plain", "n_parameters", form=","', "1,234,567"),
        ('"other", "fid"', "(failed)"),
    ],
)
def test_a_value(write, arguments, text):
    assert write(f'{{{{ value("done", {arguments}) }}}}').splitlines()[-1] == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('"done", "plain", "interpolations", count=1', "- a b\n  → a c\n  → d c"),
        ('"done", "plain", "samples", count=2', r"- \`\` \<unk\>" + "\n- i"),
        ('"done", "plain", "samples", count=1, width=6', r"- \`\` ..."),
        ('"undone", "one", "samples"', "*Not run yet: `python reproduce.py undone`*"),
    ],
)
def test_texts(write, arguments, text):
    assert write(f"{{{{ texts({arguments}) }}}}").endswith(f"\n\n{text}\n")


def test_texts_in_a_list_are_shown_as_written():
    import pypandoc

    texts = [
        "- a",
        "+ a",
        "1. a",
        "12) a",
        "* a",
        "# a",
        "| a |",
        "a - b + 1. c",
        ". a",
        "= a",
        "__init__",
        "$x$ \\ <b>",
    ]
    page = pypandoc.convert_text("\n".join(f"- {literal(text)}" for text in texts), "html", format="gfm")
    assert [html.unescape(item) for item in re.findall("<li>(.*?)</li>", page, re.DOTALL)] == texts


def test_a_table_of_words_is_numbered_with_the_others(write):
    table = '{{ table("done", caption="Numbers.", label="numbers") }}'
    page = write('{{ heading(caption="Words.", label="words") }}\n\n| a |\n|---|\n\n' + table)
    assert '<a id="words"></a>Table 1. Words.' in page and "Table 2. Numbers." in page


def test_cost(write):
    page = write('{{ cost(label="cost", caption="Minutes.") }}')
    assert "| done | 3 of 6 | 6 | 1.3 | `python reproduce.py done` |" in page  # 5.5 minutes
    assert "| undone | 0 of 1 |  |  | `python reproduce.py undone` |" in page


def test_references_go_forward_and_back(write):
    figure = '{{ figure("results/done/curves.png", label="LABEL", caption="Down.") }}'
    page = write(
        f'{{{{ ref("b") }}}}\n\n{figure.replace("LABEL", "a")}', f'{figure.replace("LABEL", "b")} {{{{ ref("a") }}}}'
    )
    assert page.splitlines()[2] == "[Figure 2](#b)"
    assert page.endswith("[Figure 1](#a)\n")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('a\n{{ ref("tabel") }}', r"0.md: 'tabel' is not a label; did you mean table\?"),
        ('a\n{{ table("don", label="a", caption="") }}', "0.md, line 2: 'don' is not a study.* did you mean done"),
        ('{{ table("done", ["fit"], label="a", caption="") }}', "'fit' is not a score of done; did you mean fid"),
        (
            '{{ table("done", rows=["plan"], label="a", caption="") }}',
            "'plan' is not a row of done; did you mean plain",
        ),
        ('{{ table("done", kind="run", label="a", caption="") }}', "'run' is not a kind of table; did you mean runs"),
        ('{{ table("done", caption="") }}', "0.md, line 1: .*label"),
        ('{{ cost(label="table", caption="") }}', "the label 'table' already stands for Table 1"),
        ('{{ value("done", "plain", "fit") }}', "'fit' is not a score of done, plain; did you mean fid"),
        ('{{ value("done", "plain", "fid", "men") }}', "'men' is not a statistic; did you mean"),
        ('{{ value("done", "plain", "n_parameters", "worst") }}', "0.md, line 1: 'n_parameters' has no worst value"),
        (
            '{{ texts("done", "plain", "sample") }}',
            "'sample' is not a kind of text of done, plain; did you mean samples",
        ),
        ("\n\n{{ tabel() }}", "0.md, line 3: 'tabel' is undefined"),
        ("\n{{ table( }}", "0.md, line 2: "),
    ],
)
def test_a_slip_is_one_clear_line(write, source, message):
    label = '{{ cost(label="table", caption="") }}\n\n' if "ref(" in source or '"table"' in source else ""
    with pytest.raises(InputError, match=message):
        write(label + source if "ref(" not in source else source + label)


# Pictures, and the report in other forms


def test_diagrams_are_small_and_always_the_same(tmp_path):
    draw_diagrams(tmp_path)
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(first) == 6
    assert max(map(len, first.values())) <= MAX_BYTES
    draw_diagrams(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first


def test_html_and_pdf(docs, write):
    pytest.importorskip("pypandoc")
    pytest.importorskip("typst")
    for edition in EDITIONS:
        for file in (DOCS / edition.name).glob("*.*"):
            if file.suffix != ".md":
                shutil.copy(file, docs / edition.name)
    write(
        '# Title\n\n## One\n\n$x_1$ {{ ref("t") }} {{ ref("u") }}',
        '{{ table("done", label="t", caption="Above.") }}\n\n{{ table("undone", rows=["one"], label="u", caption="No.") }}',
        '{{ figure("results/done/curves.png", label="f", caption="Below.") }}',
    )
    build_report(docs)
    publish(docs, ENGLISH)
    page = (docs / "report.html").read_text()
    assert "<title>Title</title>" in page and "<math" in page
    assert re.search(r'<table id="t">\s*<caption>Table 1\. Above\.</caption>', page)
    assert re.search(r'<div id="u">\s*<p>Table 2\. No\.</p>', page)
    assert re.search(
        r'<figure id="f">\s*<img [^>]*src="data:image/png;base64,[^>]*>\s*<figcaption>Figure 1\. Below\.', page
    )
    assert not re.search(r'(src|href)="(?!data:|#|results/done\.md")', page)
    assert (docs / "report.pdf").read_bytes().startswith(b"%PDF")


def test_the_persian_edition_is_written_from_right_to_left(docs, write, monkeypatch, capsys):
    pytest.importorskip("pypandoc")
    typst = pytest.importorskip("typst")
    for edition in EDITIONS:
        for file in (DOCS / edition.name).glob("*.*"):
            if file.suffix != ".md":
                shutil.copy(file, docs / edition.name)
    page = write('# عنوان\n\n{{ value("done", "plain", "fid") }}, {{ seeds("done", "plain") }}', edition=PERSIAN)
    assert page.endswith('<div dir="rtl">\n\n# عنوان\n\n۱٫۵۰, ۲\n\n</div>\n')
    build_report(docs)
    monkeypatch.setattr(typst, "Fonts", lambda: SimpleNamespace(families=lambda: ["Libertinus Serif"]))
    publish(docs, PERSIAN)
    assert "report.fa.pdf is left out: it needs the font Noto Naskh Arabic" in capsys.readouterr().out
    assert (
        '<html xmlns="http://www.w3.org/1999/xhtml" lang="fa" xml:lang="fa" dir="rtl">'
        in (docs / "report.fa.html").read_text()
    )


def test_reproduce_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "build_report", lambda: print("built"))
    assert reproduce.main(["report"]) == 0
    assert capsys.readouterr().out == "built\n"
    assert reproduce.main(["report", "--dry-run"]) == 2
    assert capsys.readouterr().err.startswith("reproduce: report takes no options")


def test_report_needs_no_tensorflow():
    code = "import sys, studies.report; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=DOCS.parent).returncode == 0
