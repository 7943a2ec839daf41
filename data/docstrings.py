"""The built-in English corpus: the prose in the docstrings of the installed scientific packages. Needs no network.

The import system finds the source files, which are parsed; no package is imported. The corpus is a function of the
versions of the packages. `versions` returns them, so that a run can record them. Parsing takes half a minute on a slow
processor, so the cache folder keeps what was found.
"""

import ast
import functools
import importlib.metadata
import importlib.util
import json
import re
import sys
import warnings
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from data import text
from data.digests import short_sha256
from data.errors import DataError
from data.streaming import cache_dir, progressed, state_of, whole_file
from data.text import split_sentences

# Package -> the distribution that installs it. The order decides which of two equal texts is kept.
PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
    "keras": "keras",
    "tensorflow": "tensorflow",
    "tensorflow_probability": "tensorflow-probability",
}
# Folders whose prose belongs to another project or does not address users: tests, code of other projects, generated
# interfaces, copies of other folders, build and command-line tools.
SKIPPED_FOLDERS = set(
    "tests testing externals extern _lib _vendor _api kernel_tests substrates _tf_keras legacy internal _internal "
    "debug distutils f2py tools lite tpu autograph dtensor platform compiler".split()
)
SKIPPED_PATHS = ("tensorflow/python/keras", "tensorflow/core")
PLUMBING = {"python", "src"}  # folders that a user of the package never names

PROSE_SECTIONS = {"Notes", "Description", "Overview", "Introduction", "Summary", "Warnings", "Discussion"}

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_BLANK = re.compile(r"\n\s*\n")
_UNDERLINED = re.compile(r"([^\n]+)\n([=~^#*-])\2{2,}[ ]*(?:\n|\Z)")
_NOT_PROSE = re.compile(
    r"\s|>>>|\.\.|[:|+#@$<\\]|[-*•] |\(?\w{1,2}[.)] |\w+ : "
)  # the start of a line that is not prose
_MARKUP = [
    (re.compile(r":[\w:+-]+:`[~!]?([^`<]*?)(?:\s*<[^`]*>)?`"), r"\1"),  # roles
    (re.compile(r"\[([^\]]*)\]\([^)]*\)"), r"\1"),  # links
    (re.compile(r"`([^`<]+?)\s*<[^`]*>`_*"), r"\1"),
    (re.compile(r"`+([^`]*)`+_*"), r"\1"),  # code
    (re.compile(r"(?<![\w*])(\*\*?)(\S(?:[^*]*\S)?)\1(?![\w*])"), r"\2"),  # emphasis
    (re.compile(r"(\w)\(\)"), r"\1"),  # name() -> name
    (re.compile(r"\s+"), " "),
]
# From a capital to a full stop, without any sign that occurs only in code, formulas, addresses or references.
_SENTENCE = re.compile(r"[\"'(]?[A-Z](?!.*(?:://|\w\((?!e?s\))))[\w ,;:.!?'\"()/%&’-]*[.!?][\"')]?")
_WORD = re.compile(r"[^\W\d_]{2,}")
_MIN_WORDS = 3


class Docstring(NamedTuple):
    package: str  # one of PACKAGES
    label: str  # sub-package, such as "scipy.stats"; the package itself for its own modules
    name: str  # qualified name, such as "scipy.stats._kde.gaussian_kde.evaluate"
    summary: str  # the first sentence
    paragraphs: list[str]  # the prose after the summary, in whole sentences; may be empty

    @property
    def sentences(self) -> list[str]:
        """Return the summary and every sentence after it."""
        return [self.summary, *(s for paragraph in self.paragraphs for s in split_sentences(paragraph))]


@functools.cache
def read_docstrings() -> tuple[Docstring, ...]:
    """Return the prose of every public module, class and function of PACKAGES, in the order of files and lines.

    Markup and links are replaced by their text. These are left out:

    - code, doctests, sections of parameters, lists, tables and directives;
    - a sentence that contains a formula, an address or a reference;
    - a docstring that does not begin with a sentence of prose, or whose summary occurred before;
    - a paragraph that occurred before.

    Raises:
        DataError: a package is not installed.
    """
    versions()  # raises if a package is missing
    sources = list(_sources())
    parser = [Path(file).read_bytes() for file in (__file__, text.__file__)]
    states = [(str(source.path), state_of(source.file)) for source in sources]
    kept = cache_dir() / f"docstrings-{short_sha256([*parser, repr((sys.version_info, states)).encode()])}.json"
    if (found := _read(kept)) is None:
        found = _parse(sources)
        _write(kept, found)
    return tuple(found)


class _Source(NamedTuple):
    package: str
    file: Path
    path: Path  # from the folder that holds the package


def _sources() -> Iterator[_Source]:
    """Yield the source files of PACKAGES that are not left out, in the order of packages and paths."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None
        root = Path(spec.origin).parent
        for file in sorted(root.rglob("*.py")):
            if not _skipped(path := file.relative_to(root.parent)):
                yield _Source(package, file, path)


def _parse(sources: list[_Source]) -> list[Docstring]:
    """Return the docstrings of `read_docstrings`, and show on standard error how far it is."""
    found, seen = [], set()
    for package, file, path in progressed(sources, len(sources), "docstrings are read"):
        for name, docstring in _documented(file):
            summary, *paragraphs = _prose(docstring) or [""]
            if not summary or summary in seen:
                continue
            paragraphs = [p for p in dict.fromkeys(paragraphs) if p not in seen]
            seen.update((summary, *paragraphs))
            found.append(Docstring(package, _label(path), ".".join([*_module(path), *name]), summary, paragraphs))
    return found


def _read(file: Path) -> list[Docstring] | None:
    """Return what `_write` kept, or None if the file is missing or damaged. Damage is announced."""
    if not file.exists():
        return None
    digest, content = (stored := file.read_bytes())[:16], stored[16:]
    if short_sha256([content]).encode() != digest:
        print(f"{file} is damaged: it is made anew", file=sys.stderr)
        return None
    return [Docstring(*own) for own in json.loads(content)]


def _write(file: Path, found: list[Docstring]) -> None:
    """Keep docstrings, behind a digest of them. If the folder cannot be written, say so."""
    content = json.dumps(found).encode()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as beside:
            beside.write_bytes(short_sha256([content]).encode() + content)
    except OSError as error:
        print(f"{file.parent} cannot be written ({error.strerror}): every run parses the docstrings", file=sys.stderr)


@functools.cache
def versions() -> dict[str, str]:
    """Return the version of each package. Raise DataError if one of PACKAGES is not installed."""
    try:
        return {package: importlib.metadata.version(name) for package, name in PACKAGES.items()}
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError(
            f"the built-in corpus needs the docstrings of {error.name}, which is not installed: "
            "pip install -r requirements.txt"
        ) from error


def _skipped(path: Path) -> bool:
    """Return whether a path below site-packages holds tests, generated code or anything else that is left out."""
    return (
        not SKIPPED_FOLDERS.isdisjoint(path.parts)
        or path.as_posix().startswith(SKIPPED_PATHS)
        or path.stem.startswith("test_")
        or path.stem.endswith(("_test", "_pb2"))
    )


def _module(path: Path) -> list[str]:
    """Return the parts of the module's name, given its path below site-packages."""
    parts = path.with_suffix("").parts
    return list(parts[:-1] if parts[-1] == "__init__" else parts)


def _label(path: Path) -> str:
    """Return the name of the sub-package, given the path of a module below site-packages."""
    folders = [folder for folder in path.parts[:-1] if folder not in PLUMBING]
    return ".".join([folders[0], *(folder.lstrip("_") for folder in folders[1:2])])


def _documented(file: Path) -> Iterator[tuple[list[str], str]]:
    """Yield the public objects of a file that have a docstring: the parts of the name in the module, the docstring."""

    def walk(node: ast.Module | ast.ClassDef | ast.FunctionDef, name: list[str]) -> Iterator[tuple[list[str], str]]:
        if text := ast.get_docstring(node):
            yield name, text
        if isinstance(node, ast.FunctionDef):
            return
        for child in node.body:
            if isinstance(child, (ast.ClassDef, ast.FunctionDef)) and not child.name.startswith("_"):
                yield from walk(child, [*name, child.name])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as invalid escapes in the sources of the packages
        tree = ast.parse(file.read_bytes())
    return walk(tree, [])


def _prose(docstring: str) -> list[str]:
    """Return the first sentence of a clean docstring and the paragraphs after it; [] if prose does not come first."""
    paragraphs, in_prose = [], True
    for block in _BLANK.split(_FENCE.sub("\n\n", docstring)):
        if header := _UNDERLINED.match(block):
            in_prose = header[1].strip() in PROSE_SECTIONS
            block = block[header.end() :]
        if not in_prose:
            continue
        text = " ".join(takewhile(lambda line: not _NOT_PROSE.match(line), block.split("\n")))
        for pattern, replacement in _MARKUP:
            text = pattern.sub(replacement, text)
        if not paragraphs and text[-1:].isalnum() and "\n" not in block:
            text += "."  # a docstring of one line may lack its full stop
        sentences = [s for s in split_sentences(text.strip()) if _SENTENCE.fullmatch(s) and _enough_words(s)]
        if not paragraphs:
            if not sentences:
                return []
            paragraphs.append(sentences.pop(0))
        if sentences:
            paragraphs.append(" ".join(sentences))
    return paragraphs


def _enough_words(sentence: str) -> bool:
    """Return whether a sentence has at least _MIN_WORDS words."""
    return len(_WORD.findall(sentence)) >= _MIN_WORDS
