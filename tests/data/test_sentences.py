import gzip
import os
import subprocess
import sys
import unicodedata
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from data import sentences as reader
from data.docstrings import Docstring
from data.documents import load_documents
from data.errors import InputError
from data.vocabulary import EOS, PAD, RESERVED, UNK


def raises(match):
    """Expect an InputError whose message is one line and matches."""
    return pytest.raises(InputError, match=rf"^.*(?:{match}).*\Z")


def write(folder, **parts):
    """Write a folder of .txt files, given the lines of each, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in parts.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return str(folder)


def printed(corpus, sentences):
    return [" ".join(corpus.vocabulary.decode(ids)) for ids in sentences]


def sentences_of(corpus, paragraph):
    return printed(corpus, reader.split(paragraph))


LINES = [f"sentence number {i}" for i in range(50)]


# The user's own text


def test_file_is_cut_at_random_and_keeps_every_sentence(tmp_path):
    write(tmp_path, mine=[*LINES, "", "  "])
    corpus = reader.load_sentences(str(tmp_path / "mine.txt"))
    assert corpus.name == str(tmp_path / "mine.txt")
    assert [len(part) for part in corpus[1:4]] == [40, 5, 5]
    assert all(ids.dtype == np.int32 and ids.shape == (3,) for part in corpus[1:4] for ids in part)
    train = printed(corpus, corpus.train)
    assert len(set(train)) == 40 and set(train) < set(LINES) and train != sorted(train)
    assert printed(corpus, corpus.test) == ["sentence number <unk>"] * 5  # no training sentence has their numbers
    again = reader.load_sentences(str(tmp_path / "mine.txt"))
    assert again.vocabulary == corpus.vocabulary
    np.testing.assert_array_equal(again.train, corpus.train)


def test_validation_is_cut_from_train_and_never_from_test(tmp_path):
    test = [f"test {i}" for i in range(20)]
    corpus = reader.load_sentences(write(tmp_path, train=[f"train {i}" for i in range(30)], test=test))
    assert [len(part) for part in corpus[1:4]] == [27, 3, 20]
    assert all(line.startswith("train") for line in printed(corpus, [*corpus.train, *corpus.validation]))
    numbers = {line.split()[1] for line in printed(corpus, corpus.train)}
    expected = [f"<unk> {line[5:]}" if line[5:] in numbers else "<unk> <unk>" for line in test]
    assert printed(corpus, corpus.test) == expected


def test_folder_with_all_parts_keeps_them_and_their_order(tmp_path):
    folder = write(tmp_path, train=["a b c"] * 3 + ["b"], valid=["b a", "c"], test=["c c"])
    corpus = reader.load_sentences(folder)
    assert [printed(corpus, part) for part in corpus[1:4]] == [["a b c"] * 3 + ["b"], ["b a", "c"], ["c c"]]


def test_vocabulary_never_sees_validation_or_test(tmp_path):
    folder = write(tmp_path, train=["a a a b b <unk>"], valid=["v v v v a"], test=["t t t t t b <unk>"])
    corpus = reader.load_sentences(folder)
    assert corpus.vocabulary.words == (*RESERVED, "a", "b")
    np.testing.assert_array_equal(corpus.validation[0], [UNK] * 4 + [4])
    assert corpus.facts["train"] == {
        "sentences": 1, "tokens": 6, "unknown": 1, "unknown_share": 1 / 6, "left_out": 0
    }  # fmt: skip
    assert corpus.facts["validation"]["unknown"] == 4 and corpus.facts["test"]["unknown_share"] == 6 / 7


def test_vocabulary_size_counts_what_a_model_predicts(tmp_path):
    folder = write(tmp_path, train=["a a a b b c"], valid=["a"], test=["a"])
    assert reader.load_sentences(folder, vocabulary_size=4).vocabulary.words == (*RESERVED, "a", "b")  # + UNK, EOS
    with raises("no room for words"):
        reader.load_sentences(folder, vocabulary_size=2)


def test_long_sentences_are_left_out_whole_and_counted(tmp_path, capsys):
    folder = write(tmp_path, train=["a b c", "a b c d", "a"], valid=["a"], test=["a b c d e", "b", "a b c d"])
    corpus = reader.load_sentences(folder, max_length=3)
    assert ": 3 of 7 " in capsys.readouterr().err
    assert printed(corpus, corpus.train) == ["a b c", "a"] and "d" not in corpus.vocabulary.words
    assert [corpus.facts[part]["left_out"] for part in reader.PARTS] == [1, 0, 2]
    with raises("the train part of .* has no sentences of 1 to 0 words"):
        reader.load_sentences(folder, max_length=0)


def test_own_text_is_tokenised_and_prepared_text_is_not(tmp_path):
    parts = {"train": ["The n't <unk> Cat."], "valid": ["The"], "test": ["The"]}
    own = reader.load_sentences(write(tmp_path / "ptb", **parts))
    assert printed(own, own.train) == ["the n't <unk> cat ."]
    prepared = reader.load_sentences("ptb", str(tmp_path))
    assert printed(prepared, prepared.train) == ["The n't <unk> Cat."]
    assert own.train[0].size == 5 and prepared.train[0].size == 4


def test_compressed_parts_are_read_and_other_files_are_announced(tmp_path, capsys):
    folder = Path(write(tmp_path, train=["a b c"] * 9, dev=["d"]))
    for name, line in (("valid", b"b"), ("test", b"c")):
        (folder / f"{name}.txt.gz").write_bytes(gzip.compress(line))
    corpus = reader.load_sentences(str(folder))
    assert [printed(corpus, part) for part in corpus[1:4]] == [["a b c"] * 9, ["b"], ["c"]]
    assert ": 1 files" in (err := capsys.readouterr().err) and "dev.txt" in err


def test_bad_text(tmp_path):
    with raises("has no train.txt"):
        reader.load_sentences(write(tmp_path / "a", test=["x"]))
    with raises("has no test.txt"):
        reader.load_sentences(write(tmp_path / "e", train=["x"], valid=["x"]))
    with raises("valid.txt is empty"):
        reader.load_sentences(write(tmp_path / "b", train=["x"], valid=[], test=["x"]))
    with raises("holds 9 examples, too few to cut"):
        reader.load_sentences(write(tmp_path / "c", text=LINES[:9]) + "/text.txt")
    with raises("the validation part of .* has no sentences"):
        reader.load_sentences(write(tmp_path / "d", train=LINES[:9], test=["x"]))
    (tmp_path / "d" / "test.txt").write_bytes(b"good\nbad \xff\n")
    with raises("test.txt, line 2: byte 0xff is not UTF-8"):
        reader.load_sentences(str(tmp_path / "d"))
    with raises("'pbt' is neither a data set .*did you mean ptb"):
        reader.load_sentences("pbt")


# Other scripts

ENGLISH = "fish cod owl ant bee eel hen cow pig cat".split()
TRANSLATIONS = {
    "Hindi": "मछली हिन्दी उल्लू चींटी में क़लम मुर्गी गाय सूअर बिल्ली",
    "Arabic with vowels": "سَمَكَةٌ قِدٌّ بُومَةٌ نَمْلَةٌ نَحْلَةٌ ثُعْبَانٌ دَجَاجَةٌ بَقَرَةٌ خِنْزِيرٌ قِطٌّ",
    "Hebrew with points": "דָּג בַּקָּלָה יַנְשׁוּף נְמָלָה דְּבוֹרָה צְלוֹפָח תַּרְנְגֹלֶת פָּרָה חֲזִיר חָתוּל",
    "decomposed Greek": unicodedata.normalize("NFD", "ψάρι γάδος γλαύξ ζώο μέλισσα χέλι κότα αγελάδα γουρούνι γάτα"),
    "Turkish": "İstavrit Işık baykuş karınca arı yılan tavuk inek domuz kedi",
    "Persian": "می\u200cخواهم می\u200cروم جغد مورچه\u200cها زنبور مار مرغ گاو خوک گربه\u200cای",
    "Bengali": "মাছ কড পেঁচা পিঁপড়া মৌমাছি বান মুরগি গরু শূকর বিড়াল",
}  # fmt: skip


@pytest.mark.parametrize("script", TRANSLATIONS)
def test_a_corpus_in_another_script_keeps_its_tokens_and_its_vocabulary_in_every_reader(tmp_path, script):
    draw = np.random.default_rng(0)
    lines = [" ".join(draw.choice(ENGLISH, 6)) for _ in range(40)]
    other = dict(zip(ENGLISH, TRANSLATIONS[script].split(), strict=True))
    translated = [" ".join(other[word] for word in line.split()) for line in lines]
    write(tmp_path, english=lines, other=translated)
    write(
        tmp_path / "paragraphs",
        english=[f"{line}\n{line}\n" for line in lines],
        other=[f"{line}\n{line}\n" for line in translated],
    )

    def facts(load, folder):
        corpora = [load(str(tmp_path / folder / f"{name}.txt")) for name in ("english", "other")]
        return [(corpus.facts, len(getattr(corpus, "words", ()) or corpus.vocabulary.words)) for corpus in corpora]

    for load, folder in (
        (reader.load_sentences, ""),
        (reader.load_paragraphs, "paragraphs"),
        (load_documents, ""),
    ):
        english, found = facts(load, folder)
        assert found == english


def test_unspaced_lines_and_unknown_words_are_announced(tmp_path, capsys):
    write(tmp_path, mine=[f"我爱你{chr(0x4E00 + i)}" for i in range(20)] + [""])
    corpus = reader.load_sentences(str(tmp_path / "mine.txt"))
    assert all(ids.shape == (4,) for part in corpus[1:4] for ids in part)
    unspaced, blank = capsys.readouterr().err.splitlines()[:2]
    assert ": 20 " in unspaced and ": 1 " in blank
    write(tmp_path, words=[f"w{i} x{i} same" for i in range(20)])
    reader.load_sentences(str(tmp_path / "words.txt"))
    (rare,) = capsys.readouterr().err.splitlines()
    assert "97%" in rare and "67%" in rare


# Docstrings


@pytest.fixture
def docstrings(monkeypatch):
    """Replace the corpus by forty docstrings of three sentences, and one docstring of one sentence."""
    found = [Docstring("p", "p.q", f"p.q.f{i}", f"Summary {i}.", [f"First {i}. Second {i}."]) for i in range(40)]
    found.append(Docstring("p", "p.q", "p.q.g", "Alone.", []))
    monkeypatch.setattr(reader, "read_docstrings", lambda: tuple(found))
    monkeypatch.setattr(reader, "versions", lambda: {"p": "1.2"})


def test_sentences_of_one_docstring_stay_in_one_part(docstrings):
    corpus = reader.load_sentences("docstrings")
    assert sum(map(len, corpus[1:4])) == 121 and len(corpus.test) in (10, 12)
    train = printed(corpus, corpus.train)
    assert all(f"second {line.split()[1]} ." in train for line in train if line.startswith("summary"))
    assert corpus.facts["versions"] == {"p": "1.2"}


def test_a_docstring_is_a_paragraph(docstrings):
    corpus = reader.load_paragraphs("docstrings")
    assert sum(map(len, corpus[1:4])) == 40 and sum(corpus.facts[part]["left_out"] for part in reader.PARTS) == 1
    first, second, third = sentences_of(corpus, corpus.train[0])
    number = first.split()[1]
    assert (first, second, third) == (f"summary {number} .", f"first {number} .", f"second {number} .")


# Paragraphs


def test_paragraphs_by_their_empty_lines(tmp_path):
    train = ["a", "b b", "", "", "alone", "", "c", "d", "e", " ", *"f g h i".split(), "", "j", "k"]
    folder = write(tmp_path / "brown", train=train, valid=["a", "b"], test=["c", "d", "", "z"])
    corpus = reader.load_paragraphs("brown", str(tmp_path), max_sentences=3)
    assert [sentences_of(corpus, p) for p in corpus.train] == [["a", "b b"], ["c", "d", "e"], ["j", "k"]]
    assert set(corpus.vocabulary.words[4:]) == set("abcdejk")
    assert corpus.facts["train"] == {
        "paragraphs": 3, "left_out": 2, "sentences": 7, "tokens": 8, "unknown": 0, "unknown_share": 0.0
    }  # fmt: skip
    assert [len(reader.split(p)) for p in reader.load_paragraphs(folder, min_sentences=1).train] == [2, 1, 3, 4, 2]


def test_a_paragraph_with_a_long_sentence_is_left_out_whole(tmp_path):
    folder = write(tmp_path, train=["a", "b c d", "", "e", "f"], valid=["a", "b"], test=["a", "b"])
    corpus = reader.load_paragraphs(folder, max_length=2)
    assert [sentences_of(corpus, p) for p in corpus.train] == [["e", "f"]] and corpus.facts["train"]["left_out"] == 1


def test_file_is_cut_by_paragraph(tmp_path):
    write(tmp_path, mine=[line for i in range(20) for line in (f"a{i}", f"b{i}", "")])
    corpus = reader.load_paragraphs(str(tmp_path / "mine.txt"))
    assert [len(part) for part in corpus[1:4]] == [16, 2, 2]
    assert all(first[1:] == second[1:] for first, second in (sentences_of(corpus, p) for p in corpus.train))


def test_without_empty_lines_a_line_is_a_paragraph(tmp_path):
    write(tmp_path, mine=[f"A{i} is. B{i}, too! C{i}?" for i in range(20)])
    corpus = reader.load_paragraphs(str(tmp_path / "mine.txt"))
    assert [len(part) for part in corpus[1:4]] == [16, 2, 2]
    first, second, third = sentences_of(corpus, corpus.train[0])
    assert (first, second, third) == (f"a{first[1:-5]} is .", f"b{first[1:-5]} , too !", f"c{first[1:-5]} ?")


def test_empty_lines_around_a_text_do_not_end_a_paragraph(tmp_path):
    write(tmp_path, mine=["", *(f"A{i} is. B{i}, too!" for i in range(20)), " ", ""])
    assert [len(part) for part in reader.load_paragraphs(str(tmp_path / "mine.txt"))[1:4]] == [16, 2, 2]


def test_texts_without_paragraphs(tmp_path):
    for name in ("ptb", "multi30k"):
        with raises(f"{name} has sentences but no paragraphs: use brown"):
            reader.load_paragraphs(name)
    with raises("the train part of .* has no paragraphs of 2 to 8 sentences .*empty line"):
        reader.load_paragraphs(write(tmp_path, train=LINES, valid=LINES[:2], test=LINES[:2]))


# Batches


def numbered(count, seed=0):
    """Return sentences of 1 to 30 words. The first word is the number of the sentence plus 10; the others are 9."""
    lengths = np.random.default_rng(seed).integers(1, 31, count)
    return [np.array([10 + i] + [9] * (length - 1), np.int32) for i, length in enumerate(lengths)]


def take(sentences, steps, batch_size=4, seed=0, **kwargs):
    stream = reader.batches(sentences, batch_size, seed, **kwargs)
    return [{key: value.numpy() for key, value in batch.items()} for batch in islice(stream, steps)]


def order(batches):
    return np.concatenate([batch["tokens"][:, 0] - 10 for batch in batches])


def test_a_batch_is_words_then_end_then_padding():
    (batch,) = take([np.array(ids, np.int32) for ids in ([5, 6, 7], [8])], 1, batch_size=2)
    assert batch["tokens"].dtype == batch["lengths"].dtype == np.int32
    rows = np.argsort(batch["lengths"])
    np.testing.assert_array_equal(batch["tokens"][rows], [[8, EOS, PAD, PAD], [5, 6, 7, EOS]])
    np.testing.assert_array_equal(batch["lengths"][rows], [2, 4])


def test_the_spec_leaves_the_length_open():
    spec = reader.batches(numbered(8), 4, seed=0).element_spec
    assert spec["tokens"].shape.as_list() == [4, None] and spec["lengths"].shape.as_list() == [4]
    assert spec["tokens"].dtype == spec["lengths"].dtype == "int32"


def test_every_sentence_once_an_epoch_whole(monkeypatch):
    monkeypatch.setattr(reader, "POOL", 3)
    sentences = numbered(40)
    epochs = take(sentences, 30)
    for epoch in (epochs[:10], epochs[10:20], epochs[20:]):
        np.testing.assert_array_equal(np.sort(order(epoch)), np.arange(40))
        for row, length in ((r, n) for b in epoch for r, n in zip(b["tokens"], b["lengths"], strict=True)):
            np.testing.assert_array_equal(row[: length - 1], sentences[row[0] - 10])
            assert row[length - 1] == EOS and not row[length:].any()
    assert not np.array_equal(order(epochs[:10]), order(epochs[10:20]))


def test_remainder_is_dropped_and_differs_from_epoch_to_epoch():
    sentences = numbered(43)
    assert reader.steps_per_epoch(sentences, 4) == 10
    dropped = [set(range(43)) - set(order(take(sentences, 10, first_epoch=epoch))) for epoch in range(4)]
    assert all(len(rest) == 3 for rest in dropped) and len(set(map(frozenset, dropped))) > 1


def test_order_is_a_function_of_the_seed():
    sentences = numbered(40)
    np.testing.assert_array_equal(order(take(sentences, 12)), order(take(sentences, 12)))
    assert not np.array_equal(order(take(sentences, 12)), order(take(sentences, 12, seed=1)))


def test_first_epoch_equals_skipping_epochs():
    sentences = numbered(43)
    np.testing.assert_array_equal(order(take(sentences, 45)[30:]), order(take(sentences, 15, first_epoch=3)))


def padding(batches):
    """Return the share of PAD among all tokens of batches."""
    return 1 - sum(b["lengths"].sum() for b in batches) / sum(b["tokens"].size for b in batches)


def test_lengths_are_alike_in_a_batch_and_mixed_along_the_epoch():
    batches = take(numbered(4000), 250, batch_size=16)
    assert padding(batches) < 0.05
    means = np.array([batch["lengths"].mean() for batch in batches])
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2  # not sorted
    first = {tuple(sorted(batch["tokens"][:, 0])) for batch in batches}
    second = {tuple(sorted(b["tokens"][:, 0])) for b in take(numbered(4000), 250, batch_size=16, first_epoch=1)}
    assert not first & second  # each epoch has other neighbours


@pytest.mark.parametrize("batch_size", [0, 11])
def test_batch_size_must_fit(batch_size):
    with raises(f"batch size {batch_size} does not fit 10 training texts"):
        reader.batches(numbered(10), batch_size, seed=0)


def test_evaluation_batches_hold_every_sentence_once_by_length():
    sentences = numbered(43)
    batches = [{k: v.numpy() for k, v in b.items()} for b in reader.evaluation_batches(sentences, 8)]
    assert [len(batch["lengths"]) for batch in batches] == [8] * 5 + [3]
    indices, lengths = (np.concatenate([batch[key] for batch in batches]) for key in ("indices", "lengths"))
    np.testing.assert_array_equal(np.sort(indices), np.arange(43))
    assert (np.diff(lengths) >= 0).all()
    np.testing.assert_array_equal(order(batches), indices)
    results = np.empty(43)
    results[indices] = lengths
    np.testing.assert_array_equal(results, [len(ids) + 1 for ids in sentences])
    with raises("batch size 0 is too small"):
        reader.evaluation_batches(sentences, 0)


def test_a_joined_paragraph_ends_with_an_empty_sentence():
    paragraph = [np.array(ids, np.int32) for ids in ([5, 6], [7], [8, 9, 5])]
    joined = reader.join(paragraph)
    np.testing.assert_array_equal(joined, [5, 6, EOS, 7, EOS, 8, 9, 5, EOS])
    assert joined.dtype == np.int32
    (batch,) = take([joined, reader.join(paragraph[1:2])], 1, batch_size=2)
    row = batch["tokens"][np.argmax(batch["lengths"])]
    np.testing.assert_array_equal(row, [*joined, EOS])
    for ids in (row, joined, np.append(row, [PAD, PAD])):
        split = reader.split(ids)
        assert [list(sentence) for sentence in split] == [list(sentence) for sentence in paragraph]
    assert [list(sentence) for sentence in reader.split(row[:4])] == [[5, 6], [7]]  # cut before its end
    assert reader.split(np.array([EOS, 5, EOS])) == []


def test_import_is_light():
    heavy = ["tensorflow", "tensorflow_datasets", "sklearn"]
    code = f"import sys, data.sentences, data.documents; sys.exit(str([m for m in {heavy} if m in sys.modules] or ''))"
    result = subprocess.run([sys.executable, "-c", code], cwd=Path(reader.__file__).parents[1], capture_output=True)
    assert result.stderr.strip() == b""


# The prepared corpora


@pytest.fixture(scope="module")
def data_dir():
    folder = os.environ.get("INFOBIGBIGAN_DATA")
    if folder is None or not Path(folder, "ptb").is_dir():
        pytest.skip("INFOBIGBIGAN_DATA does not name a folder that holds ptb, brown and multi30k")
    return folder


@pytest.fixture(scope="module")
def ptb(data_dir):
    return reader.load_sentences("ptb", data_dir)


def test_ptb(ptb):
    assert [len(part) for part in ptb[1:4]] == [42_068, 3_370, 3_761]  # no sentence exceeds the limit
    assert [ptb.facts[part]["tokens"] for part in reader.PARTS] == [887_521, 70_390, 78_669]
    assert ptb.vocabulary.size == 10_002  # 9,998 words, <unk> and </s>, as published, and two unpredicted ids
    unknown = [ptb.facts[part]["unknown"] for part in reader.PARTS]
    assert unknown == [45_020, 3_485, 4_794]  # only the <unk> of the files
    text = Path(os.environ["INFOBIGBIGAN_DATA"], "ptb", "test.txt").read_text().splitlines()
    assert printed(ptb, ptb.test) == [" ".join(line.split()) for line in text]


def test_ptb_padding(ptb):
    batches = take(ptb.train, reader.steps_per_epoch(ptb.train, 32), batch_size=32)
    assert padding(batches) < 0.1


@pytest.mark.parametrize(
    "name, sizes",
    [
        ("brown", [47_241, 5_001, 5_098]),
        ("multi30k", [29_000, 1_014, 1_000]),
        ("reuters", [64_201, 5_960, 25_393]),
    ],
)
def test_sizes_of_the_other_corpora(data_dir, name, sizes):
    facts = reader.load_sentences(name, data_dir).facts
    assert [facts[part]["sentences"] + facts[part]["left_out"] for part in reader.PARTS] == sizes
    assert facts["test"]["left_out"] <= (42 if name == "reuters" else 1)


@pytest.mark.parametrize(("name", "sizes"), [("brown", [12_853, 1_431, 1_383]), ("reuters", [10_069, 915, 4_198])])
def test_paragraphs_of_the_prepared_corpora(data_dir, name, sizes):
    corpus = reader.load_paragraphs(name, data_dir)
    facts = corpus.facts
    assert [facts[part]["paragraphs"] + facts[part]["left_out"] for part in reader.PARTS] == sizes
    assert padding(take(corpus.train, reader.steps_per_epoch(corpus.train, 32), batch_size=32)) < 0.05
