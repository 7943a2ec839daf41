import gzip
import hashlib
import os
import re
import shutil
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_array

from data import documents as reader
from data import sequences, streaming
from data.docstrings import Docstring
from data.errors import InputError
from tests.conftest import peak_memory


def raises(match):
    """Expect an InputError whose message is one line and matches."""
    return pytest.raises(InputError, match=rf"^.*(?:{match}).*\Z")


def write(folder, train, test="2 1:1\n", vocab="fish 9\ncod 5\nowl 2\n"):
    """Write a folder of counts and return its path."""
    folder.mkdir(exist_ok=True)
    for name, text in {"train.feat": train, "test.feat": test, "vocab.new": vocab}.items():
        (folder / name).write_text(text)
    return str(folder)


def write_text(tmp_path, lines):
    (tmp_path / "mine.txt").write_text("".join(f"{line}\n" for line in lines))
    return str(tmp_path / "mine.txt")


# Counted corpora

TWENTY = "".join(f"{3 + i % 2} 1:{i + 1} 3:2\n" for i in range(20))


def test_counts_and_labels_are_those_of_the_files(tmp_path):
    corpus = reader.load_documents(write(tmp_path / "x", TWENTY, "7 2:5 1:1 2:1\n"))
    assert corpus.words == ("fish", "cod", "owl") and corpus.label_names == ("3", "4", "7")
    assert corpus.test.counts.dtype == np.float32 and corpus.test.labels.dtype == np.int64
    np.testing.assert_array_equal(corpus.test.counts.toarray(), [[1, 6, 0]])  # the two counts of word 2 add up
    np.testing.assert_array_equal(corpus.test.labels, [2])
    x = corpus.train.counts.toarray()
    assert (x[:, 1] == 0).all() and (x[:, 2] == 2).all()
    np.testing.assert_array_equal(corpus.train.labels, (x[:, 0] - 1) % 2)


def test_validation_is_a_tenth_of_train_and_never_of_test(tmp_path):
    corpus = reader.load_documents(write(tmp_path / "x", TWENTY, "3 2:100\n" * 30))
    assert [d.counts.shape for d in corpus[1:4]] == [(18, 3), (2, 3), (30, 3)]
    firsts = [d.counts.toarray()[:, 0] for d in corpus[1:3]]
    np.testing.assert_array_equal(np.sort(np.concatenate(firsts)), np.arange(1, 21))
    again = reader.load_documents(str(tmp_path / "x"))
    np.testing.assert_array_equal(again.validation.counts.toarray(), corpus.validation.counts.toarray())


def test_documents_without_words_are_left_out_and_counted(tmp_path, capsys):
    corpus = reader.load_documents(write(tmp_path / "x", TWENTY, "3 1:2\n3\n4 1:0\n"))
    assert re.search("test.feat, line 2: .* no words.* 2 in all", capsys.readouterr().err)
    assert corpus.facts["test"] == {"documents": 1, "words": 2, "unknown": 0, "left_out": 2}
    assert corpus.test.labels.tolist() == [0]
    with raises("the test part of .* has no document with a word in it"):
        reader.load_documents(write(tmp_path / "x", TWENTY, "3\n4 1:0\n"))


@pytest.mark.parametrize(
    "line, match",
    [
        ("3 1:-2", "'1:-2' is not id:count with whole numbers from 0"),
        ("3 1:two", "'1:two' is not id:count"),
        ("3 1:2.5", "'1:2.5' is not id:count"),
        ("3 1:1 1:inf", "'1:inf' is not id:count"),
        ("3 1:99999999", "a count of 99999999 is too large: give at most 9,999,999 "),
        (f"3 1:{'9' * 5000}", r"'1:9{38}\.\.\.' is not id:count"),
        ("3 99999999999:1", "id 99999999999 is outside the vocabulary of 3 words"),
        ("3 17", "'17' is not id:count"),
        ("3 1:", "'1:' is not id:count"),
        ("3 0:1", "id 0 is outside the vocabulary of 3 words: use ids 1 to 3"),
        ("3 1:1 4:1", "id 4 is outside"),
        ("1:1 2:1", "'1:1' is not a label: begin the line with a whole number"),
        ("", "'' is not a label"),
        ("-1 1:1", "'-1' is not a label"),
        ("sport 1:1", "'sport' is not a label"),
        ("x" * 999 + " 1:1", r"'x{40}\.\.\.' is not a label"),
    ],
)
def test_bad_line(tmp_path, line, match):
    with raises(f"train.feat, line 2: {match}"):
        reader.load_documents(write(tmp_path / "x", f"3 1:1\n{line}\n3 1:1\n"))


@pytest.mark.parametrize(
    "vocab, match",
    [
        ("fish 9\ncod\n", "line 2: 'cod' is not a word and its count"),
        ("fish 9\n\nowl 1\n", "line 2: '' is not a word"),
        ("fish 9\ncod 5\nfish 2\n", "line 3: 'fish' is on line 1 too"),
    ],
)
def test_bad_vocabulary(tmp_path, vocab, match):
    with raises(f"vocab.new, {match}"):
        reader.load_documents(write(tmp_path / "x", TWENTY, vocab=vocab))


@pytest.mark.parametrize("name", ["train.feat", "test.feat", "vocab.new"])
def test_bad_files(tmp_path, name):
    folder = write(tmp_path / "x", TWENTY)
    file = tmp_path / "x" / name
    for content, match in [
        (b"", " is empty"),
        (b"3 1:1\n\xff\n", ", line 2: byte 0xff is not UTF-8"),
        (b"3 1:1\n" + b"3" * 1_000_000, ", line 2 is 1,000,000 bytes long"),
    ]:
        file.write_bytes(content)
        with raises(f"{name}{match}"):
            reader.load_documents(folder)
    file.unlink()
    with raises(f"has no {name}"):
        reader.load_documents(folder)


def test_names_and_places(tmp_path, monkeypatch):
    with raises("'20nwes' is neither a data set .*did you mean 20news"):
        reader.load_documents("20nwes")
    with raises(f"folder {tmp_path}/20news does not exist"):
        reader.load_documents("20news", str(tmp_path))
    with raises("a vocabulary of 0 words is empty"):
        reader.load_documents("docstrings", vocabulary_size=0)
    write(tmp_path / "20news", TWENTY, "3 1:1\n")
    assert reader.load_documents("20news", str(tmp_path)).name == "20news"


# Raw text


def test_own_text(tmp_path, capsys):
    lines = [f"The Fish, don't {'cod ' * (1 + i % 3)} x 42 Owl_owl_owl_owl" for i in range(30)] + [
        "",
        "and of the",
    ] * 10
    corpus = reader.load_documents(write_text(tmp_path, lines))
    assert re.search("mine.txt, line 31: .* no words.* 20 in all", capsys.readouterr().err)
    assert corpus.train.labels is None and corpus.label_names is None
    assert sum(corpus.facts[part]["left_out"] for part in reader.PARTS) == 20  # the empty lines, and "and of the"
    assert sum(d.counts.shape[0] for d in corpus[1:4]) == 30
    fewer = reader.load_documents(write_text(tmp_path, lines), vocabulary_size=3)
    assert {part: fewer.facts[part]["unknown"] for part in reader.PARTS} == {
        part: fewer.facts[part]["documents"] for part in reader.PARTS
    }  # fish, once in each document
    assert set(corpus.words) == {"fish", "don", "cod", "owl"}  # no stop words, single letters or numbers
    assert corpus.words[0] == "owl"
    x = corpus.train.counts.toarray()
    assert (x[:, corpus.words.index("owl")] == 4).all() and set(x[:, corpus.words.index("cod")]) == {1, 2, 3}


def test_stop_words_are_left_out_of_english_alone(tmp_path, capsys):
    german = ["was will die Frau so in dem Fisch"] * 10
    corpus = reader.load_documents(write_text(tmp_path, german))
    assert set(corpus.words) == set(german[0].lower().split())  # "was", "will", "so" and "in" are English stop words
    assert "not English" in capsys.readouterr().err
    corpus = reader.load_documents(write_text(tmp_path, ["was will the fish and so in of it"] * 10))
    assert corpus.words == ("fish",)


def test_composed_and_decomposed_letters_are_the_same(tmp_path):
    corpus = reader.load_documents(write_text(tmp_path, ["Übung", "U\u0308bung"] * 10))
    assert corpus.words == ("übung",) and sum(corpus.facts[part]["words"] for part in reader.PARTS) == 20


def write_files(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return str(folder)


def test_a_folder_of_text_files_is_labelled_by_its_sub_folders(tmp_path, capsys):
    files = {f"{kind}/{i}.txt{'.gz' * (i % 2)}": f"{kind} fish\n{kind}\n" for kind in ("cod", "owl") for i in range(20)}
    files |= {"cod/empty.txt": "\n", "cod/notes.doc": "x", "owl/deeper/x.txt": "x", "README": "x"}
    corpus = reader.load_documents(write_files(tmp_path / "x", files))
    assert corpus.label_names == ("cod", "owl") and set(corpus.words) == {"cod", "owl", "fish"}
    assert [d.counts.shape[0] for d in corpus[1:4]] in ([33, 4, 3], [33, 3, 4], [32, 4, 4])  # 41 without the empty one
    for documents in corpus[1:4]:
        owl = documents.counts.toarray()[:, corpus.words.index("owl")]
        np.testing.assert_array_equal(owl, 2 * documents.labels)
    err = capsys.readouterr().err
    assert ": 3 files" in err and re.search("cod/empty.txt: .* no words.* 1 in all", err)


def test_a_folder_without_sub_folders_has_no_labels(tmp_path):
    corpus = reader.load_documents(write_files(tmp_path / "x", {f"{i}.txt": f"fish {'cod ' * i}" for i in range(20)}))
    assert corpus.label_names is None and corpus.train.labels is None
    assert [d.counts.shape[0] for d in corpus[1:4]] == [16, 2, 2]


@pytest.mark.parametrize(
    "files, match",
    [
        ({"a.csv": "x"}, "has no .txt files .*docword"),
        ({"a/b/c.txt": "x"}, "has no .txt files"),
        ({"a.txt": "x", "b/c.txt": "x"}, "both beside and inside"),
        ({"train.txt": "x", "valid.txt": "x"}, "parts and not documents"),
        ({"train/a.txt": "x", "test/a.txt": "x"}, "parts and not documents"),
    ],
)
def test_folders_that_are_no_documents(tmp_path, files, match):
    with raises(match):
        reader.load_documents(write_files(tmp_path / "x", files))


STORIES = [f"a fish swam {i}\nand a cod{'' if i % 3 else ' fled'}" for i in range(20)]


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("valid", [True, False])
def test_a_corpus_in_parts_has_a_document_between_empty_lines(tmp_path, capsys, end, valid):
    parts = {"train": STORIES, "test": STORIES[:4], "valid": STORIES[:6]}
    files = {f"{part}.txt{end}": "\n\n\n".join(parts[part]) + "\n" for part in parts if valid or part != "valid"}
    corpus = reader.load_documents(write_files(tmp_path / "x", files | {"notes.txt": "an owl"}))
    assert [d.counts.shape[0] for d in corpus[1:4]] == ([20, 6, 4] if valid else [18, 2, 4])
    assert set(corpus.words) == {"fish", "swam", "cod", "fled"} and corpus.label_names is None
    np.testing.assert_array_equal(corpus.test.counts.sum(1), [4, 3, 3, 4])
    assert "1 files are not read, such as notes.txt" in capsys.readouterr().err


def test_a_corpus_in_parts_without_empty_lines_has_a_document_on_each_line(tmp_path, capsys):
    files = {f"{part}.txt": "a fish\nan owl\n" * 10 for part in ("train", "test")} | {
        "valid.txt": "an owl\n?!\na fish\n"
    }
    corpus = reader.load_documents(write_files(tmp_path / "x", files))
    assert [d.counts.shape[0] for d in corpus[1:4]] == [20, 2, 20]
    assert re.search("document 42: .* no words.* 1 in all", capsys.readouterr().err)


def test_a_file_without_words_has_the_accepted_forms_in_its_error(tmp_path):
    with raises("no document with a word in it.*svmlight"):
        reader.load_documents(write_text(tmp_path, ["1 2:3 4:5"] * 20))


def test_documents_of_rare_words_alone_are_announced(tmp_path, capsys):
    corpus = reader.load_documents(write_text(tmp_path, ["fish"] * 30 + ["cod"] * 10), vocabulary_size=1)
    assert sum(corpus.facts[part]["left_out"] for part in reader.PARTS) == 10
    assert ": 10 documents" in capsys.readouterr().err


ROWS = [[i % 3, 0, 1 + i % 2] for i in range(20)]  # counts of three words in twenty documents


def bags():
    entries = [f"{i + 1} {j + 1} {n}" for i, row in enumerate(ROWS) for j, n in enumerate(row) if n]
    return "\n".join(map(str, [20, 3, len(entries), *entries]))


def rows_of(corpus):
    return sorted(np.concatenate([d.counts.toarray() for d in corpus[1:4]]).tolist())


@pytest.mark.parametrize("end, named", [("", "docword.mine.txt"), (".gz", "docword.mine.txt.gz"), (".gz", "")])
def test_bags_of_words(tmp_path, end, named):
    files = {f"docword.mine.txt{end}": bags(), f"vocab.mine.txt{end}": "fish\ncod\nowl\n"}
    corpus = reader.load_documents(os.path.join(write_files(tmp_path / "x", files), named))
    assert corpus.words == ("fish", "cod", "owl") and corpus.label_names is None
    assert [d.counts.shape for d in corpus[1:4]] == [(16, 3), (2, 3), (2, 3)] and rows_of(corpus) == sorted(ROWS)
    assert corpus.train.counts.dtype == np.float32


@pytest.mark.parametrize(
    "content, match",
    [
        ("20\n3\n1\n21 1 1", "the document 21: .* 1 to 20"),
        ("20\n3\n1\n1 4 1", "the word 4: .* 1 to 3"),
        ("20\n3\n1\n1 1 0", "the count 0"),
        ("20\n3\n1\n1 1 x", "not a UCI bag of words"),
        ("20\n3\n1\n1 1", "not a UCI bag of words"),
        ("20\n3\nx", "not a UCI bag of words"),
        ("1\n3\n2\n1 1 1", "damaged .*1 lines and 3 words"),
        ("1\n2\n1\n1 1 1", "damaged"),
        ("9999999999999\n3\n1\n1 1 1", "damaged"),
    ],
)
def test_damaged_bags(tmp_path, content, match):
    with raises(match):
        reader.load_documents(write_files(tmp_path / "x", {"docword.a.txt": content, "vocab.a.txt": "a\nb\nc"}))


def test_bags_need_their_words_and_one_name(tmp_path):
    with raises("has no vocab.a.txt"):
        reader.load_documents(write_files(tmp_path / "x", {"docword.a.txt": bags()}))
    with raises("2 files docword"):
        reader.load_documents(write_files(tmp_path / "x", {"docword.b.txt": bags()}))


@pytest.mark.parametrize("first, vocab", [(0, None), (1, "fish\ncod\nowl"), (0, "fish\ncod\nowl")])
def test_svmlight(tmp_path, first, vocab):
    lines = [
        f"{[-1, 2.5][i % 2]} {' '.join(f'{j + first}:{n}' for j, n in enumerate(row) if n)} # note"
        for i, row in enumerate(ROWS)
    ]
    files = {"mine.svmlight": "\n".join(lines)} | ({"vocab.txt": vocab} if vocab else {})
    corpus = reader.load_documents(write_files(tmp_path / "x", files) + "/mine.svmlight")
    assert corpus.words == (tuple(vocab.split()) if vocab else ("0", "1", "2")) and rows_of(corpus) == sorted(ROWS)
    assert corpus.label_names == ("-1", "2.5")
    for documents in corpus[1:4]:
        np.testing.assert_array_equal(documents.counts.toarray()[:, 2], 1 + documents.labels)


@pytest.mark.parametrize(
    "line, match",
    [
        ("1 1:0.5", "the value 0.5: give counts"),
        ("1 1:-1", "the value -1"),
        ("1 1:nan", "the value nan"),
        ("1 fish", "not a file of svmlight"),
        ("1 99999999:1", "the id 99,999,999"),
        ("1 9999990:1", "the id 9,999,990 and 20 counts: number the words without large gaps, at most 100,020"),
    ],
)
def test_bad_svmlight(tmp_path, line, match):
    with raises(match):
        reader.load_documents(write_files(tmp_path / "x", {"mine.libsvm": f"{line}\n" * 20}) + "/mine.libsvm")


def test_vocabulary_is_of_the_training_part(tmp_path):
    lines = [f"fish fish cod owl{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(100)]
    corpus = reader.load_documents(write_text(tmp_path, lines))
    assert [d.counts.shape for d in corpus[1:4]] == [(80, 82), (10, 82), (10, 82)]
    assert corpus.words[:2] == ("fish", "cod") and list(corpus.words[2:]) == sorted(corpus.words[2:])
    assert (corpus.train.counts.sum(axis=1) == 4).all() and (corpus.test.counts.sum(axis=1) == 3).all()
    assert len(reader.load_documents(write_text(tmp_path, lines), vocabulary_size=2).words) == 2


def test_docstrings_are_labelled_by_sub_package(monkeypatch):
    sizes = {"p.big": 60, "p.small": 9, "q.big": 50}
    found = [
        Docstring(label[0], label, f"{label}.f{i}", "Summary here.", [label.replace(".", " ") + " letters"])
        for label, size in sizes.items()
        for i in range(size)
    ]
    found += [Docstring("p", "p.big", "p.big.g", "Only a summary.", [])]
    monkeypatch.setattr(reader, "read_docstrings", lambda: tuple(found))
    monkeypatch.setattr(reader, "versions", lambda: {"p": "1.2"})
    corpus = reader.load_documents("docstrings")
    assert corpus.label_names == ("p", "p.big", "q.big") and corpus.facts["versions"] == {"p": "1.2"}
    assert np.bincount(np.concatenate([d.labels for d in corpus[1:4]])).tolist() == [9, 60, 50]
    small = corpus.train.counts[:, [corpus.words.index("small")]].toarray()[:, 0]
    np.testing.assert_array_equal(small == 1, corpus.train.labels == 0)


def test_newsgroups(monkeypatch, tmp_path):
    import sklearn.datasets

    def fetch(data_home, subset, remove):
        assert data_home is None  # never a folder that a run names, since the files are pickles
        assert set(remove) == {"headers", "footers", "quotes"}
        count = {"train": 30, "test": 7}[subset]
        labels = np.arange(count) % 2
        texts = [f"{subset} {['cod', 'owl'][label]}" for label in labels]
        return SimpleNamespace(data=texts, target=labels, target_names=["alt.cod", "alt.owl"])

    monkeypatch.setattr(sklearn.datasets, "fetch_20newsgroups", fetch)
    corpus = reader.load_documents("newsgroups", str(tmp_path))
    assert [d.counts.shape for d in corpus[1:4]] == [(27, 3), (3, 3), (7, 3)]
    assert corpus.label_names == ("alt.cod", "alt.owl") and set(corpus.words) == {"train", "cod", "owl"}
    for documents in corpus[1:4]:
        owl = documents.counts.toarray()[:, corpus.words.index("owl")]
        np.testing.assert_array_equal(documents.labels, owl)


def test_ag_news(monkeypatch, tmp_path):
    import tensorflow_datasets as tfds

    def part(count):
        return {"description": np.array([b"caf\xc3\xa9 news"] * count, object), "label": np.arange(count) % 4}

    names = ["World", "Sports", "Business", "Sci/Tech"]
    builder = SimpleNamespace(
        is_prepared=lambda: True,
        as_dataset=lambda split, batch_size: [part(20), part(8)],
        info=SimpleNamespace(features={"label": SimpleNamespace(names=names)}),
    )
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: builder)
    monkeypatch.setattr(tfds, "as_numpy", lambda parts: parts)
    corpus = reader.load_documents("ag_news", str(tmp_path))
    assert [d.counts.shape for d in corpus[1:4]] == [(18, 2), (2, 2), (8, 2)]
    assert corpus.words == ("café", "news") and corpus.label_names == tuple(names)
    assert corpus.test.labels.tolist() == [0, 1, 2, 3] * 2


@pytest.mark.parametrize("dataset", ["newsgroups", "ag_news"])
def test_no_network(monkeypatch, tmp_path, dataset):
    import sklearn.datasets

    def refuse(*_, **__):
        raise ConnectionError("two\nlines")

    monkeypatch.setattr(sklearn.datasets, "fetch_20newsgroups", refuse)
    monkeypatch.setattr(reader.socket, "create_connection", refuse)
    with raises(f"{dataset} could not be fetched .*ConnectionError: two lines.*use docstrings .dataset."):
        reader.load_documents(dataset, str(tmp_path))


# Batches


def numbered(count):
    """Return counts. Column 0 has the number of the document plus 1; column 2 has 7 in every other document."""
    x = np.zeros((count, 4), np.float32)
    x[:, 0], x[::2, 2] = np.arange(1, count + 1), 7
    return csr_array(x)


def take(counts, steps, batch_size=4, seed=0, **kwargs):
    return np.stack([x.numpy() for x in islice(reader.batches(counts, batch_size, seed, **kwargs), steps)])


def test_each_epoch_is_another_permutation_of_dense_rows():
    counts = numbered(20)
    assert reader.batches(counts, 4, 0).element_spec.shape.as_list() == [4, 4]
    epochs = take(counts, 15).reshape(3, 20, 4)
    assert epochs.dtype == np.float32
    for epoch in epochs:
        np.testing.assert_array_equal(epoch[np.argsort(epoch[:, 0])], counts.toarray())
    assert not np.array_equal(epochs[0], epochs[1]) and not np.array_equal(epochs[1], epochs[2])


def test_remainder_is_dropped():
    assert all(len(set(epoch)) == 8 for epoch in take(numbered(11), 4)[..., 0].reshape(2, 8))


def test_order_is_a_function_of_seed_and_epoch():
    counts = numbered(22)
    np.testing.assert_array_equal(take(counts, 25)[15:], take(counts, 10, first_epoch=3))
    assert not np.array_equal(take(counts, 5), take(counts, 5, seed=1))


@pytest.mark.parametrize("batch_size", [0, 11])
def test_batch_size_must_fit(batch_size):
    with raises(f"batch size {batch_size} does not fit 10 training documents"):
        reader.batches(numbered(10), batch_size, seed=0)


def test_evaluation_batches_hold_every_document_once_in_order():
    batches = [x.numpy() for x in reader.evaluation_batches(numbered(11), 4)]
    assert [len(x) for x in batches] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate(batches), numbered(11).toarray())
    with raises("batch size 0 is too small"):
        reader.evaluation_batches(numbered(11), 0)


# Text larger than memory

STREAM, MEMORY = 0.0, 1.0  # limits, in GB


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("INFOBIGBIGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sequences, "SLICE", 64)  # several pieces of each part
    return tmp_path / "cache" / "texts"


def prose(count, seed=0, english=True):
    """Return documents of at most 14 random words; some are empty, or have stop words or a rare word alone."""
    random = np.random.default_rng(seed)
    words = [f"{first}{second}" for first in ("cod", "owl", "été") for second in "abcdefgh"] + ["我爱", "x_1"]
    words += ["the", "of", "and"] if english else ["was", "will", "so"]
    found = [" ".join(random.choice(words, size)) for size in random.integers(-3, 15, count).clip(0)]
    found[3], found[7] = "The of AND", "zebra"
    return found


def on_disk(counts):
    """Return whether counts are mapped from files: neither array was copied."""

    def is_mapped(array):
        return isinstance(array, np.memmap) or (array is not None and is_mapped(array.base))

    return is_mapped(counts.data) and is_mapped(counts.indices)


def same(one, other):
    assert (one.name, one.words, one.label_names, one.facts, one.wording) == (
        other.name, other.words, other.label_names, other.facts, other.wording
    )  # fmt: skip
    for own, held in zip(one[1:4], other[1:4], strict=True):
        assert on_disk(own.counts) and not on_disk(held.counts)
        assert own.counts.shape == held.counts.shape and own.unknown == held.unknown
        for name in ("data", "indices", "indptr"):
            value, expected = getattr(own.counts, name), getattr(held.counts, name)
            assert value.dtype == expected.dtype
            np.testing.assert_array_equal(value, expected)
        assert (own.labels is None) == (held.labels is None)
        if own.labels is not None and held.labels is not None:
            assert own.labels.dtype == held.labels.dtype
            np.testing.assert_array_equal(own.labels, held.labels)


def both(dataset, **options):
    """Return a corpus from files and from memory."""
    return [reader.load_documents(str(dataset), **options, cache_gb=limit) for limit in (STREAM, MEMORY)]


LINES = {
    "plain": lambda text: text.encode(),
    "compressed": lambda text: gzip.compress(text.encode()),
    "UTF-16, windows": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
}
FOLDERS = {
    "loose": lambda i: f"{i}.txt",
    "one sub-folder": lambda i: f"a/{i}.txt",
    "labelled": lambda i: f"{'abc'[i % 3]}/{i}.txt{'.gz' * (i % 2)}",
}


@pytest.mark.parametrize("english", [True, False])
@pytest.mark.parametrize("form", [*LINES, *FOLDERS])
def test_streamed_documents_are_those_in_memory(tmp_path, own_cache, capsys, form, english):
    documents = prose(120, english=english)
    if form in LINES:
        (tmp_path / "x").write_bytes(LINES[form]("\n".join(documents)))
    else:
        write_files(tmp_path / "x", {FOLDERS[form](i): text for i, text in enumerate(documents)})
    for size in (2000, 20):
        tokenised, again, held = (
            reader.load_documents(str(tmp_path / "x"), None, size, x) for x in (STREAM, STREAM, MEMORY)
        )
        same(tokenised, held)
        same(again, held)
        assert held.label_names == (("a", "b", "c") if form == "labelled" else None)
        lines = capsys.readouterr().err.splitlines()
        said = [line for line in lines if "they stream from" not in line]
        assert len(lines) == len(said) + 2 and said == 3 * said[: len(said) // 3]
        assert "in a script without spaces" in said[0] and "stop words" in said[1] and "no words" in said[2]
    assert "among the 20 of the vocabulary" in said[-1]


def test_streamed_batches_are_those_from_memory_and_go_on_after_a_resume(tmp_path, own_cache):
    own, held = both(write_text(tmp_path, prose(200)))
    of = [reader.batches(corpus.train.counts, 16, 3) for corpus in (own, held)]
    assert of[0].element_spec == of[1].element_spec
    steps = held.train.counts.shape[0] // 16
    whole = take(own.train.counts, 3 * steps, 16, 3)
    np.testing.assert_array_equal(whole, take(held.train.counts, 3 * steps, 16, 3))
    again = reader.load_documents(own.name, cache_gb=STREAM)
    np.testing.assert_array_equal(take(again.train.counts, steps, 16, 3, first_epoch=2), whole[2 * steps :])
    every = [
        np.concatenate([x.numpy() for x in reader.evaluation_batches(part.test.counts, 3)]) for part in (own, held)
    ]
    np.testing.assert_array_equal(*every)


def test_the_limit_is_that_of_the_ids(tmp_path, own_cache, capsys):
    text = write_text(tmp_path, prose(200, english=False))
    facts = reader.load_documents(text).facts
    enough = 4 * sum(facts[part]["words"] + facts[part]["unknown"] for part in reader.PARTS) / streaming.GB
    assert not on_disk(reader.load_documents(text, cache_gb=enough).train.counts)
    capsys.readouterr()
    assert on_disk(reader.load_documents(text, cache_gb=0.9 * enough).train.counts)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "they stream from" in line)
    assert line.startswith(f"{text}: the 200 texts take {enough:.3g} GB, more than the {0.9 * enough:.3g} GB")


def test_documents_are_tokenised_once_and_again_when_a_file_changes(tmp_path, own_cache, monkeypatch):
    folder = write_files(tmp_path / "x", {f"{i % 2}/{i}.txt": text for i, text in enumerate(prose(60))})
    reader.load_documents(folder, cache_gb=STREAM)
    first = set(own_cache.iterdir())
    assert {file.suffix for file in first} == {".ids", ".npz"}  # the files of counts have no names
    split = reader.content_words
    monkeypatch.setattr(reader, "content_words", None)
    reader.load_documents(folder, vocabulary_size=10, cache_gb=STREAM)
    monkeypatch.setattr(reader, "content_words", split)
    (tmp_path / "x/0/more.txt").write_text("another codb of the owla")
    same(*both(folder))
    again = set(own_cache.iterdir())
    assert len(again) == 2 and not again & first  # the outdated ones are gone


def test_counted_documents_never_stream(tmp_path, own_cache):
    own, held = both(write(tmp_path / "x", TWENTY))
    assert not on_disk(own.train.counts) and own.facts == held.facts and not own_cache.exists()


def test_an_error_is_that_of_memory_and_leaves_no_file_behind(tmp_path, own_cache):
    lines = "\n".join(prose(60)).encode()
    for content, match in (
        (lines + b"\nbad \xff", "x.txt, line 61: byte 0xff"),
        (b"1 2\n3\n", "no document with a word"),
    ):
        (tmp_path / "x.txt").write_bytes(content)
        for limit in (STREAM, MEMORY):
            with raises(match):
                reader.load_documents(str(tmp_path / "x.txt"), cache_gb=limit)
    assert not own_cache.exists() or not list(own_cache.iterdir())


def test_a_disk_without_room_for_the_counts_is_an_error_with_ways_out(tmp_path, own_cache, monkeypatch):
    room = iter([10**9] * 2)  # for the ids, which are written twice
    usage = shutil._ntuple_diskusage
    monkeypatch.setattr(streaming.shutil, "disk_usage", lambda folder: usage(10**9, 0, next(room, 10)))
    with raises("counts of words do not fit into .*: make room, or .*INFOBIGBIGAN_CACHE.*cache_gb"):
        reader.load_documents(write_text(tmp_path, prose(60)), cache_gb=STREAM)


def test_little_memory_is_taken_for_many_documents(tmp_path, own_cache, monkeypatch):
    """2 MB of text, of which no more than some lines are in memory at a time."""
    monkeypatch.setattr(sequences, "SLICE", 2**12)
    monkeypatch.setattr(sequences, "BUFFER", 2**14)
    random = np.random.default_rng(0)
    words = [f"{first}{second}" for first in "abcdefghij" for second in "klmnopqrst"]
    text = write_text(tmp_path, (" ".join(random.choice(words, 150)) for _ in range(4000)))

    def work(limit):
        counts = reader.load_documents(text, cache_gb=limit).train.counts
        hashlib.sha256(counts.data)
        for rows in np.split(random.permutation(3200), 64):
            assert counts[rows].toarray().sum() == 150 * len(rows)

    _, memory, disk, again = (
        peak_memory(work, limit) for limit in (MEMORY, MEMORY, STREAM, STREAM)
    )  # the first imports
    assert memory > 4 * 600_000  # the ids alone
    assert max(disk, again) < 800_000, (disk, again)


# The prepared corpus


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes", "words", "twins"),
    [("20news", (10_142, 1_126, 7_505), 2000, 593), ("20news_clean", (10_133, 1_125, 7_487), 1994, 619)],
)
def test_20_newsgroups(name, sizes, words, twins):
    folder = os.environ.get("INFOBIGBIGAN_DATA")
    if folder is None or not Path(folder, name).is_dir():
        pytest.skip(f"INFOBIGBIGAN_DATA does not name a folder that holds {name}")
    corpus = reader.load_documents(name, folder)
    assert [d.counts.shape for d in corpus[1:4]] == [(size, words) for size in sizes]
    classes = 20 if name == "20news" else 1
    assert corpus.label_names == tuple(str(label + 1) for label in range(classes))
    assert name != "20news" or corpus.words[:2] == ("who", "out")
    assert set(corpus.validation.labels) == set(range(classes))
    total = sum(d.counts.sum() for d in corpus[1:3])
    lines = Path(folder, name, "train.feat").read_text().splitlines()
    assert total == sum(int(pair.split(":")[1]) for line in lines for pair in line.split()[1:])
    # the training part cannot give away the validation part
    assert [corpus.facts[part].get("twins") for part in ("train", "validation", "test")] == [None, 0, twins]


@pytest.mark.slow
def test_reuters_has_a_story_in_each_document():
    folder = os.environ.get("INFOBIGBIGAN_DATA")
    if folder is None or not Path(folder, "reuters").is_dir():
        pytest.skip("INFOBIGBIGAN_DATA does not name a folder that holds reuters")
    corpus = reader.load_documents("reuters", folder)
    found = [corpus.facts[part]["documents"] + corpus.facts[part]["left_out"] for part in reader.PARTS]
    assert found == [10_069, 915, 4_198] and corpus.label_names is None and len(corpus.words) == 2000
