import textwrap

import pytest

from data import docstrings as reader
from data.answers import load_answers
from data.documents import load_documents
from data.errors import InputError
from data.sentences import load_paragraphs, load_sentences

SOURCE = '''
"""Tools for fish. The module has two of them."""

def bake(fish):
    """Bake a fish until
    it is done. Serve it `warm <https://fish.example>`_ with **two** :class:`~toy.Lemon` halves.

    Eat() it with ``tf.Fork`` *slowly*, i.e. Not fast; see [the manual](https://fish.example/a).
    The heat is x = 3 * y here. Look at https://fish.example for it. As Cod [1]_ says.
    This sentence has no end

    The oven is hot, for example:

    >>> bake(1)
    The result of baking is printed.

    ```
    Here is code that looks like prose.
    ```

    - This item of a list is left out.
    .. note:: This directive is left out.

    Parameters
    ----------
    fish : int
        This parameter is left out.

    This is still about parameters.

    Notes
    -----
    Baking was invented long ago.

    Examples
    --------
    This example is left out.
    """

class Cook:
    """A cook, without a full stop"""

    def __init__(self):
        """Make a private thing here."""

    def cook(self):
        """Cook in a pot.

        Args:
          pot: The pot to cook in.

        Returns:
          The dish in the pot.

        The pot stays hot for long.
        """

        def inner():
            """Do an inner thing here."""

    def again(self):
        """Cook in a pot."""

    def more(self):
        """Cook in a big pot.

        The pot stays hot for long.
        """

def _private():
    """Do a private thing here."""

def shout():
    """fish(x) -> y"""

def nothing():
    pass
'''


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Return a function that writes files, given the source at each path, and returns their docstrings.

    The packages of these files raise if they are imported.
    """

    def read(**files):
        for path, source in files.items():
            file = tmp_path / f"{path.replace('__', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(source))
            for folder in [p for p in file.parents if tmp_path in p.parents]:
                (folder / "__init__.py").write_text("raise RuntimeError('imported')")
        reader.read_docstrings.cache_clear()
        return reader.read_docstrings()

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(reader, "PACKAGES", {"toyfish": "numpy"})
    reader.versions.cache_clear()
    yield read
    reader.read_docstrings.cache_clear()
    reader.versions.cache_clear()


def test_prose_of_public_objects(read):
    module, bake, cook, in_pot, more = read(toyfish__food=SOURCE)
    assert module == ("toyfish", "toyfish", "toyfish.food", "Tools for fish.", ["The module has two of them."])
    assert bake.name == "toyfish.food.bake" and bake.summary == "Bake a fish until it is done."
    assert bake.paragraphs == [
        "Serve it warm with two toy.Lemon halves.",
        "Eat it with tf.Fork slowly, i.e. Not fast; see the manual.",
        "Baking was invented long ago.",
    ]
    assert cook.summary == "A cook, without a full stop." and cook.paragraphs == []
    assert in_pot.name == "toyfish.food.Cook.cook" and in_pot.paragraphs == ["The pot stays hot for long."]
    assert more.summary == "Cook in a big pot." and more.paragraphs == []  # its paragraph occurred before
    assert bake.sentences[:2] == ["Bake a fish until it is done.", "Serve it warm with two toy.Lemon halves."]


def test_labels_are_sub_packages(read):
    found = read(
        toyfish__top='"""The top of it all."""',
        toyfish__python__ops__deep__x='"""The bottom of it all."""',
        toyfish___core__x='"""The core of it all."""',
    )
    assert {d.name: d.label for d in found} == {
        "toyfish._core.x": "toyfish.core",
        "toyfish.python.ops.deep.x": "toyfish.ops",
        "toyfish.top": "toyfish",
    }
    assert [d.name for d in found] == sorted(d.name for d in found)


def test_tests_and_copies_are_skipped(read):
    text = '"""The text number {} of all."""'
    files = ["toyfish__tests__x", "toyfish__x_test", "toyfish__test_x", "toyfish___vendor__x", "toyfish__x"]
    assert [d.name for d in read(**{file: text.format(i) for i, file in enumerate(files)})] == ["toyfish.x"]


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The cache folder of a test alone."""
    monkeypatch.setenv("INFOBIGBIGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_parsed_is_kept_until_a_source_changes(read, cache, monkeypatch):
    found = read(toyfish__x='"""The text of it all."""')
    with monkeypatch.context() as patch:
        patch.setattr(reader, "_parse", lambda _: pytest.fail("the sources are parsed again"))
        assert read() == found and isinstance(found[0], reader.Docstring)
    assert read(toyfish__x='"""Another text of it all."""')[0].summary == "Another text of it all."
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_file_is_made_anew(read, cache, capsys):
    found = read(toyfish__x='"""The text of it all."""')
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes().replace(b"text", b"tent"))
    assert read() == found
    assert f"{file} is damaged: it is made anew" in capsys.readouterr().err
    assert read() == found and "damaged" not in capsys.readouterr().err


def test_without_a_cache_folder_the_sources_are_parsed(read, cache, capsys):
    cache.write_text("a file in the folder's place")
    assert len(read(toyfish__x='"""The text of it all."""')) == 1
    assert f"{cache} cannot be written (File exists): every run parses the docstrings" in capsys.readouterr().err


def test_versions(read, monkeypatch):
    import numpy

    assert reader.versions() == {"toyfish": numpy.__version__}
    monkeypatch.setattr(reader, "PACKAGES", {"toyfish": "no-such-fish"})
    reader.versions.cache_clear()
    with pytest.raises(InputError, match="no-such-fish.* not installed: pip install -r requirements.txt"):
        reader.read_docstrings()


def test_installed_packages(monkeypatch):
    monkeypatch.setattr(reader, "PACKAGES", {"numpy": "numpy"})
    found = reader.read_docstrings.__wrapped__()
    assert found == reader.read_docstrings.__wrapped__()
    assert len(found) > 500 and {"numpy", "numpy.core", "numpy.linalg"} <= {d.label for d in found}
    summaries = [d.summary for d in found]
    assert len(set(summaries)) == len(summaries)
    sentences = [sentence for d in found for sentence in d.sentences]
    assert all(sentence.rstrip("\"')")[-1] in ".!?" for sentence in sentences)
    assert not any(
        sign in sentence for sentence in sentences for sign in ("`", ">>>", "http", "\\", "=", "\n", "[", "::")
    )
    by_name = {d.name: d for d in found}
    assert by_name["numpy.linalg._linalg.det"].summary == "Compute the determinant of an array."


@pytest.mark.slow
def test_the_built_in_corpus_serves_every_text_mode():
    """Every reader reads all installed packages, without a network."""
    corpora = [load("docstrings") for load in (load_documents, load_sentences, load_paragraphs, load_answers)]
    for corpus in corpora:
        assert corpus.facts["versions"] == reader.versions()
    documents, sentences, paragraphs, answers = corpora
    assert set(documents.test.labels) <= set(documents.train.labels)
    for parts in zip(*(corpus[1:4] for corpus in (sentences, paragraphs)), strict=True):
        assert min(map(len, parts)) > 100
    assert min(len(part.questions) for part in answers[1:4]) > 100
