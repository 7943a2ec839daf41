"""Text that streams is the same, to the bit, as the same text in memory."""

import gzip
import hashlib
import os
import shutil
from itertools import islice

import numpy as np
import pytest

from data import sentences as reader
from data import sequences, streaming
from data.errors import DataError, InputError
from data.sequences import Sequences, ranges
from data.text import PARTS
from tests.conftest import peak_memory

STREAM, MEMORY = 0.0, 1.0  # limits, in GB
WORDS = [*(f"w{i}" for i in range(200)), "<unk>", "</s>", "l'été", "我爱", "1,000.5", "Mr."]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("INFOBIGBIGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "texts"


def prose(lines, seed=0):
    """Return lines of at most 7 random words, of which a third are empty."""
    random = np.random.default_rng(seed)
    weights = 1 / np.arange(1, len(WORDS) + 1)
    counts = random.integers(-3, 8, lines).clip(0)
    words = random.choice(WORDS, counts.sum(), p=weights / weights.sum())
    return [" ".join(own) for own in np.split(words, np.cumsum(counts)[:-1])]


@pytest.fixture
def text(tmp_path):
    (tmp_path / "x.txt").write_text("\n".join(prose(600)))
    return tmp_path / "x.txt"


def both(load, dataset, *arguments, **options):
    """Return a corpus from a file and from memory."""
    return [load(str(dataset), *arguments, **options, cache_gb=limit) for limit in (STREAM, MEMORY)]


def same(one, other):
    assert (one.name, one.facts, one.vocabulary, one.wording) == (
        other.name, other.facts, other.vocabulary, other.wording
    )  # fmt: skip
    for part in PARTS:
        own, held = getattr(one, part), getattr(other, part)
        assert own.streams and not held.streams and len(own) == len(held)
        assert own[0].dtype == held[0].dtype == np.int32
        assert [ids.tolist() for ids in own] == [ids.tolist() for ids in held]


def taken(dataset, steps):
    return [{name: value.numpy() for name, value in batch.items()} for batch in islice(dataset, steps)]


def same_batches(one, other):
    assert len(one) == len(other) > 0
    for own, held in zip(one, other, strict=True):
        assert own.keys() == held.keys()
        for name, value in own.items():
            assert value.dtype == held[name].dtype
            np.testing.assert_array_equal(value, held[name])


def content(lines, form):
    text = "\n".join(lines)
    return {
        "plain": text.encode(),
        "compressed": gzip.compress(text.encode()),
        "UTF-16, windows": text.replace("\n", "\r\n").encode("utf-16"),
        "mark, old Mac": text.replace("\n", "\r").encode("utf-8-sig"),
    }[form]


@pytest.mark.parametrize("load", [reader.load_sentences, reader.load_paragraphs])
@pytest.mark.parametrize("form", ["plain", "compressed", "UTF-16, windows", "mark, old Mac"])
def test_a_streamed_text_is_that_in_memory(tmp_path, load, form):
    (tmp_path / "x.txt").write_bytes(content(prose(600), form))
    same(*both(load, tmp_path / "x.txt", None, 100, 6))


@pytest.mark.parametrize("load", [reader.load_sentences, reader.load_paragraphs])
@pytest.mark.parametrize("valid", [False, True])
def test_a_streamed_folder_is_that_in_memory(tmp_path, load, valid):
    (tmp_path / "x").mkdir()
    for seed, name in enumerate(["train", "test", "valid"][: 2 + valid]):
        (tmp_path / f"x/{name}.txt").write_text("\n".join(prose(200, seed)))
    same(*both(load, tmp_path / "x", None, 100, 6))


def test_prepared_text_streams_by_its_own_tokens(tmp_path):
    (tmp_path / "ptb").mkdir()
    for name in ("train", "test", "valid"):
        (tmp_path / f"ptb/{name}.txt").write_text("The n't <unk> Cat\n" * 9)
    own, held = both(reader.load_sentences, "ptb", str(tmp_path))
    same(own, held)
    assert own.vocabulary.decode(own.train[0]) == ["The", "n't", "<unk>", "Cat"]


def test_paragraphs_of_single_lines_stream(tmp_path):
    lines = [". ".join(line.capitalize() for line in prose(4, seed) if line) + "." for seed in range(60)]
    (tmp_path / "x.txt").write_text("\n".join(["", *lines, " "]))
    same(*both(reader.load_paragraphs, tmp_path / "x.txt"))


def test_docstrings_never_stream(monkeypatch):
    from data.docstrings import Docstring

    found = tuple(Docstring("p", "p", f"p.f{i}", f"Summary {i}.", []) for i in range(20))
    monkeypatch.setattr(reader, "read_docstrings", lambda: found)
    monkeypatch.setattr(reader, "versions", dict)
    own, held = both(reader.load_sentences, "docstrings")
    assert not own.train.streams and own.facts == held.facts


@pytest.mark.parametrize("load", [reader.load_sentences, reader.load_paragraphs])
def test_streamed_batches_are_those_from_memory_and_go_on_after_a_resume(text, load, monkeypatch):
    monkeypatch.setattr(reader, "POOL", 3)
    own, held = both(load, text, None, 100, 6)
    steps = reader.steps_per_epoch(held.train, 16)
    of = [reader.batches(corpus.train, 16, 3) for corpus in (own, held)]
    assert of[0].element_spec == of[1].element_spec
    whole, from_memory = (taken(dataset, 3 * steps) for dataset in of)
    same_batches(whole, from_memory)
    again = load(str(text), None, 100, 6, cache_gb=STREAM)
    same_batches(taken(reader.batches(again.train, 16, 3, first_epoch=2), steps), whole[2 * steps :])
    same_batches(taken(reader.batches(held.train, 16, 3, first_epoch=2), steps), whole[2 * steps :])


def test_streamed_evaluation_batches_are_those_from_memory(text):
    own, held = (reader.evaluation_batches(corpus.test, 8) for corpus in both(reader.load_sentences, text))
    assert own.element_spec == held.element_spec
    same_batches(taken(own, 100), taken(held, 100))


def test_the_limit_is_that_of_the_ids(text, capsys):
    tokens = sum(reader.load_sentences(str(text)).facts[part]["tokens"] for part in PARTS)
    (said,) = capsys.readouterr().err.splitlines()[-1:]
    enough = 4 * tokens / streaming.GB
    assert not reader.load_sentences(str(text), cache_gb=enough).train.streams
    for _ in range(2):  # tokenised, and read from the file
        assert reader.load_sentences(str(text), cache_gb=0.9 * enough).train.streams
        lines = capsys.readouterr().err.splitlines()
        assert said in lines and lines[-1].startswith(f"{text}: the ") and "they stream from" in lines[-1]
        assert f"take {enough:.3g} GB, more than the {0.9 * enough:.3g} GB that data may take in memory" in lines[-1]
    assert not reader.load_sentences(str(text), cache_gb=enough).train.streams  # although a file is there


def test_what_is_announced_is_announced_from_the_file_too(text, capsys):
    for _ in range(2):
        reader.load_sentences(str(text), cache_gb=STREAM)
        unspaced, blank, *_ = capsys.readouterr().err.splitlines()
        assert "script without spaces" in unspaced and "lines without a word are passed over" in blank


def test_a_text_is_tokenised_once_and_again_when_it_changes(text, own_cache, monkeypatch):
    reader.load_sentences(str(text), cache_gb=STREAM)
    first = set(own_cache.iterdir())
    assert {file.suffix for file in first} == {".ids", ".npz"}
    read = reader.lines
    monkeypatch.setattr(reader, "lines", None)
    for size, longest in ((50, 5), (100, 100)):  # one file serves all sizes and limits
        reader.load_sentences(str(text), None, size, longest, cache_gb=STREAM)
    monkeypatch.setattr(reader, "lines", read)
    text.write_text("\n".join(prose(500, 1)))
    same(*both(reader.load_sentences, text))
    again = set(own_cache.iterdir())
    assert len(again) == 2 and not again & first  # the outdated ones are gone
    reader.load_paragraphs(str(text), cache_gb=STREAM)
    assert len(set(own_cache.iterdir())) == 4  # paragraphs are another file


@pytest.mark.parametrize("suffix", ["ids", "npz"])
@pytest.mark.parametrize("kept", [None, 0, 100])
def test_a_damaged_file_is_made_anew(text, own_cache, suffix, kept):
    reader.load_sentences(str(text), cache_gb=STREAM)
    (file,) = own_cache.glob(f"*.{suffix}")
    if kept is None:
        file.unlink()
    else:
        os.truncate(file, kept)
    same(*both(reader.load_sentences, text))


def test_a_file_that_is_cut_while_it_is_read_is_named(text, own_cache):
    train = reader.load_sentences(str(text), cache_gb=STREAM).train
    (file,) = own_cache.glob("*.ids")
    os.truncate(file, 100)
    with pytest.raises(DataError, match=f"{file} is cut short: delete it"):
        train.joined()


def test_an_error_leaves_no_file_behind(text, own_cache, monkeypatch):
    monkeypatch.setattr(sequences, "BUFFER", 64)
    text.write_bytes(text.read_bytes() + b"\nbad \xff")
    with pytest.raises(InputError, match="x.txt, line 601: byte 0xff is not UTF-8"):
        reader.load_sentences(str(text), cache_gb=STREAM)
    assert not list(own_cache.iterdir())


def test_a_disk_without_room_is_an_error_with_ways_out(text, own_cache, monkeypatch):
    monkeypatch.setattr(streaming.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(DataError, match="ids of words do not fit .*: make room, or .*INFOBIGBIGAN_CACHE.*cache_gb"):
        reader.load_sentences(str(text), cache_gb=STREAM)
    assert not list(own_cache.iterdir())


def test_little_memory_is_taken_for_a_large_text(tmp_path, monkeypatch):
    """2 MB of text, of which no more than some lines are in memory at a time."""
    monkeypatch.setattr(sequences, "SLICE", 2**12)
    monkeypatch.setattr(sequences, "BUFFER", 2**14)
    random = np.random.default_rng(0)
    lines = (" ".join(random.choice(WORDS, 1000)) for _ in range(400))
    (tmp_path / "x.txt").write_text("\n".join(lines))

    def work(limit):
        train = reader.load_sentences(str(tmp_path / "x.txt"), max_length=2000, cache_gb=limit).train
        digest = hashlib.sha256()
        for ids in train.slices():
            digest.update(ids)
        for rows in np.split(random.permutation(len(train)), 64):
            assert len(train[rows].joined()) == train[rows].lengths.sum()

    _, memory, disk, again = (
        peak_memory(work, limit) for limit in (MEMORY, MEMORY, STREAM, STREAM)
    )  # the first imports
    assert memory > 4 * 400_000  # the ids alone
    assert max(disk, again) < 800_000, (disk, again)


# Sequences


def test_sequences_stand_where_a_list_stands():
    texts = [np.arange(10 * i, 10 * i + length, dtype=np.int32) for i, length in enumerate([3, 0, 2, 5, 1])]
    found = Sequences.of(texts)
    assert len(found) == 5 and [ids.tolist() for ids in found] == [ids.tolist() for ids in texts]
    assert found[-1].tolist() == found[np.int64(4)].tolist() == [40] and found[1].dtype == np.int32
    assert [ids.tolist() for ids in found[::-2]] == [ids.tolist() for ids in texts[::-2]]
    assert [ids.tolist() for ids in found[np.array([3, 0])]] == [texts[3].tolist(), texts[0].tolist()]
    assert found[1:4].joined().tolist() == np.concatenate(texts[1:4]).tolist()
    assert Sequences.of(found) is found and len(found[:0]) == 0 and found[:0].joined().dtype == np.int32
    with pytest.raises(IndexError):
        found[5]


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_slices_join_to_the_whole(monkeypatch, size):
    monkeypatch.setattr(sequences, "SLICE", size)
    texts = Sequences.of([np.full(length, length, np.int32) for length in [3, 0, 2, 9, 1, 1]])
    assert (
        np.concatenate(list(texts.slices())).tolist() == texts.joined().tolist() == [3] * 3 + [2] * 2 + [9] * 9 + [1, 1]
    )


def test_ranges():
    assert ranges(np.array([5, 0, 9]), np.array([2, 3, 0])).tolist() == [5, 6, 0, 1, 2]
