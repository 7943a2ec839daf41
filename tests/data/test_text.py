import codecs
import gzip
import os
import random
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from data import text
from data.errors import InputError


def raises(match):
    """Expect an InputError whose message is one line and matches."""
    return pytest.raises(InputError, match=rf"^.*(?:{match}).*\Z")


def test_a_packed_file_that_unpacks_too_far(tmp_path):
    (tmp_path / "x.txt.gz").write_bytes(gzip.compress(bytes(20_000_000)))
    with raises("x.txt.gz unpacks to more than 100 times its size: unpack it yourself, if you trust it"):
        text.read_text(tmp_path / "x.txt.gz")


def test_marks_beyond_thirty_on_a_letter_are_dropped():
    """To sort many marks takes quadratic time."""
    (word,) = text.tokenise("a" + "\u0315" * 100)
    assert word == "a" + "\u0315" * 30
    assert text.tokenise("a" + "\u0323" * 30) == ["\u1ea1" + "\u0323" * 29]


# Where a corpus lies


def locate(dataset, data_dir=None):
    return text.locate(dataset, ("docstrings", "ptb", "brown"), ("ptb", "brown"), data_dir)


def test_a_name_is_a_folder_of_data_dir_or_of_the_environment(tmp_path, monkeypatch):
    for parent in ("given", "environment"):
        (tmp_path / parent / "ptb").mkdir(parents=True)
    monkeypatch.setenv("INFOBIGBIGAN_DATA", str(tmp_path / "environment"))
    assert locate("ptb") == tmp_path / "environment" / "ptb"
    assert locate("ptb", str(tmp_path / "given")) == tmp_path / "given" / "ptb"
    with raises(f"folder {tmp_path}/given/brown does not exist: .*data_dir"):
        locate("brown", str(tmp_path / "given"))
    with raises(f"folder {tmp_path}/gone does not exist"):
        locate("ptb", str(tmp_path / "gone"))


def test_a_prepared_corpus_without_a_place_to_look(monkeypatch):
    monkeypatch.delenv("INFOBIGBIGAN_DATA", raising=False)
    with raises("ptb is not built in: .*INFOBIGBIGAN_DATA.*data_dir.*, or use docstrings .dataset."):
        locate("ptb")


def test_what_may_never_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.txt")
    os.symlink("/dev/zero", "zeros.txt")
    os.symlink("loop.txt", "loop.txt")
    for name in ("pipe.txt", "zeros.txt"):
        for read in (locate, lambda name: text.read_text(Path(name))):
            with raises(f"{name} is a pipe or a device: save its content in a file"):
                read(name)
    with raises("'loop.txt' is neither a data set .* nor an existing path"):
        locate("loop.txt")


def test_a_name_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("ptb", "all/ptb"):
        (tmp_path / path).mkdir(parents=True)
    assert locate("ptb", "all").as_posix() == "all/ptb"
    assert locate("./ptb", "all").as_posix() == "ptb"


@pytest.mark.parametrize("wrong, right", [("pbt", "ptb"), ("Brown", "brown"), ("docstring", "docstrings")])
def test_unknown_name(wrong, right):
    with raises(f"neither a data set .* nor an existing path.*did you mean {right}"):
        locate(wrong)


# Lines


def write(tmp_path, content: bytes):
    (tmp_path / "x.txt").write_bytes(content)
    return tmp_path / "x.txt"


ENDS = {"unix": "a b\n\né\n", "windows": "a b\r\n\r\né\r\n", "old Mac": "a b\r\ré\r", "no last end": "a b\n\né"}


@pytest.mark.parametrize(
    "content",
    [
        *(ends.encode() for ends in ENDS.values()),
        ENDS["unix"].encode("utf-8-sig"),
        ENDS["windows"].encode("utf-16"),
        codecs.BOM_UTF16_BE + ENDS["unix"].encode("utf-16-be"),
        gzip.compress(ENDS["old Mac"].encode("utf-16"), mtime=0),
    ],
    ids=[*ENDS, "byte order mark", "UTF-16", "UTF-16, big end first", "compressed"],
)
def test_lines(tmp_path, content):
    assert text.read_lines(write(tmp_path, content)) == ["a b", "", "é"]


@pytest.mark.parametrize("ends", [["\r\n"], ["\r"], ["\r\n", "\n"]])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_that_lie_across_the_pieces_of_a_file(tmp_path, encoding, ends):
    """Pieces have 65,536 bytes, so characters, CR LF and lines are cut in two."""
    draw = random.Random(0)
    own = ["".join(draw.choices("ab\u00e9\u4e2d\U0001f600", k=draw.choice([0, 1, 7, 300]))) for _ in range(4000)]
    content = "".join(f"{line}{draw.choice(ends)}" for line in [*own, "\u00e9"]).encode(encoding)
    for packed in (content, gzip.compress(content)):
        assert list(text.lines(write(tmp_path, packed))) == [*own, "\u00e9"]
    file = write(tmp_path, content)
    assert text.read_text(file) == "\n".join([*own, "\u00e9", ""])


def test_the_first_error_of_a_file_is_the_one_that_says_most(tmp_path):
    with raises("line 3 holds a NUL byte"):
        text.read_lines(write(tmp_path, b"a\n\xff\n\0\n"))
    with raises("line 2 is 2,500,001 bytes long"):
        text.read_lines(write(tmp_path, b"a\n" + b"b" * 2_500_001 + b"\n\0"))
    with raises("line 2 holds a NUL byte"):
        text.read_lines(write(tmp_path, b"a\n" + b"b" * 2_500_001 + b"\0"))
    with raises("x.txt is damaged"):
        text.read_lines(write(tmp_path, gzip.compress(b"\0\n" * 9)[:-9]))


def test_only_line_ends_end_lines(tmp_path):
    assert text.read_lines(write(tmp_path, "a\x0cb\u2028c\x85d\n".encode())) == ["a\x0cb\u2028c\x85d"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_not_utf8(tmp_path, mark):
    with raises("x.txt, line 3: byte 0xe9 is not UTF-8: save"):
        text.read_lines(write(tmp_path, mark + b"a\n\xc3\xa9\ncaf\xe9 au lait\nb\n"))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_without_its_mark_is_told_from_text(tmp_path, encoding):
    with raises("x.txt, line 1 holds a NUL byte: .*UTF-16.* save the file as UTF-8"):
        text.read_lines(write(tmp_path, "a b\nसेब\n".encode(encoding)))


def test_a_stray_nul_byte_has_its_line(tmp_path):
    with raises("x.txt, line 2 holds a NUL byte"):
        text.read_lines(write(tmp_path, b"a b\nc\0d\n"))


@pytest.mark.parametrize(
    "content, match",
    [
        (b"PK\3\4\0\0", "is a zip archive or an office document: save its text"),
        (b"%PDF-1.4", "is a PDF"),
        (gzip.compress(b"a b c" * 99, mtime=0)[:-9], "is damaged"),
        (b"\x1f\x8b\x08 nothing else", "is damaged|cannot be read"),
        (codecs.BOM_UTF16_LE + b"a\0b", "is damaged"),
    ],
)
def test_other_files_and_damaged_ones(tmp_path, content, match):
    with raises(f"x.txt {match}"):
        text.read_lines(write(tmp_path, content))


def test_a_compressed_file_stands_in_for_a_missing_one(tmp_path):
    (tmp_path / "a.txt.gz").touch()
    assert text.text_file(tmp_path, "a.txt").name == "a.txt.gz"
    (tmp_path / "a.txt").touch()
    assert text.text_file(tmp_path, "a.txt").name == "a.txt"
    assert text.text_file(tmp_path, "b.txt").name == "b.txt"


def test_unread_files_are_counted(tmp_path, capsys):
    for name in ("a.txt", "b.doc", "sub/deep/c.txt", ".hidden", ".git/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    text.report_unread(tmp_path, [tmp_path / "a.txt"], "only a.txt is")
    (line,) = capsys.readouterr().err.splitlines()
    assert ": 2 files" in line and "b.doc" in line and "only a.txt is" in line
    text.report_unread(tmp_path / "sub", [tmp_path / "sub/deep/c.txt"], "")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\n"])
def test_empty_file(tmp_path, content):
    with raises("x.txt is empty"):
        text.read_lines(write(tmp_path, content))


def test_a_line_of_a_megabyte(tmp_path):
    assert len(text.read_lines(write(tmp_path, b"a\n" + b"b" * 999_999 + b"\n"))) == 2
    with raises("x.txt, line 2 is 1,000,000 bytes long: break it into lines"):
        text.read_lines(write(tmp_path, b"a\n" + b"b" * 1_000_000 + b"\nc\n"))


def test_missing_file_and_folder(tmp_path):
    with raises(f"{tmp_path} has no train.txt"):
        text.read_lines(tmp_path / "train.txt")
    with raises("cannot be read .*Is a directory"):
        text.read_lines(tmp_path)


# Tokens and sentences


@pytest.mark.parametrize(
    "line, tokens",
    [
        ("The Cat, sat.", "the cat , sat ."),
        ("don't say 'no'", "don't say ' no '"),
        ("1,000.5 of 20%...", "1,000.5 of 20 % . . ."),
        ("n_samples conv2d tf.Tensor", "n_samples conv2d tf . tensor"),
        ("a <unk> b <UNK>", "a <unk> b <unk>"),
        ("cafe\u0301 Ça", "café ça"),
        (" \t", ""),
        ("हिन्दी में लिखा।", "हिन्दी में लिखा ।"),
        ("বাংলা ভাষা", "বাংলা ভাষা"),
        ("اَلْعَرَبِيَّةُ لُغَةٌ؟", "اَلْعَرَبِيَّةُ لُغَةٌ ؟"),
        ("שָׁלוֹם צה״ל", "שָׁלוֹם צה״ל"),
        ("می\u200cخواهم کتاب\u200c ۱۲٫۵", "می\u200cخواهم کتاب ۱۲٫۵"),
        ("İstanbul'da I\u0307ZMİR ışık", "istanbul'da izmir ışık"),
        ("U\u0308bung ΚΑΛΟ\u0301Σ", "übung καλός"),
        ("x\u0301y_\u0301 m\u0331m", "x\u0301y_\u0301 m\u0331m"),
        ("Do\u00adnau\u200e a\u200bb \ufeff", "donau a b"),
        ("我爱iPhone15。コーヒー", "我 爱 iphone15 。 コ ー ヒ ー"),
        ("กำลัง ๑๒", "กำ ลั ง ๑๒"),
        ("ລາວ ខ្មែរ မြန်မာ", "ລ າ ວ ខ្មែ រ မြ န် မာ"),
        ("❤\ufe0f 👩\u200d👩", "❤\ufe0f 👩 👩"),
    ],
)
def test_tokens(line, tokens):
    assert text.tokenise(line) == tokens.split()


@pytest.mark.parametrize("word", ["हिन्दी", "اَلْعَرَبِيَّةُ", "שָׁלוֹם", "می\u200cخواهم", "güneşli", "u\u0308bung", "में", "我"])
def test_a_content_word_keeps_its_marks(word):
    assert text.content_words(f"{word}, 12 {word}_x") == [unicodedata.normalize("NFC", word)] * 2


def test_content_words_have_two_letters_and_nothing_but_letters():
    assert text.content_words("Don't say 'x' to conv2d_ops, 1,000 times!") == [
        "don",
        "say",
        "to",
        "conv",
        "ops",
        "times",
    ]


def test_a_word_is_made_of_letters_and_marks():
    assert all(map(text.is_word, ["a", "हिन्दी", "می\u200cخواهم"]))
    assert not any(map(text.is_word, ["n't", "x1", "2", ".", "", "\u0301"]))


@pytest.mark.parametrize("alphabet", [range(128), [*range(32, 0xAD), *range(0xAE, 0x130), *range(0x131, 0x250)]])
def test_english_has_the_tokens_of_a_plain_expression(alphabet):
    plain = re.compile(r"<unk>|[^\W\d]\w*(?:['’]\w+)*|\d+(?:[.,]\d+)*|[^\w\s]")
    drawn = random.Random(0)
    for _ in range(500):
        line = "".join(
            chr(drawn.choice(alphabet)) if drawn.random() < 0.6 else drawn.choice("ab '1,._") for _ in range(40)
        )
        assert text.tokenise(line) == plain.findall(unicodedata.normalize("NFC", line).lower())
        assert text.content_words(line) == re.findall(r"[^\W\d_]{2,}", unicodedata.normalize("NFC", line).lower())


@pytest.mark.parametrize(
    "prose, count",
    [
        ("यह है। वह था। क्या?", 3),
        ("我爱你。他说：“好。”然后走了！真的？", 4),
        ("هل هذا؟ نعم هذا. ثم هذا", 3),
        ("שלום. מה שלומך? טוב", 3),
        ("Es ist gut. Über uns. ok. über", 2),
        ("¿Qué? ¡Sí! Él dijo «No.» Ésta", 4),
        ("Ωραία. Έλα", 2),
    ],
)
def test_sentences_of_other_scripts(prose, count):
    sentences = text.split_sentences(prose)
    assert len(sentences) == count and "".join(sentences).replace(" ", "") == prose.replace(" ", "")


def test_english_is_told_by_its_commonest_words():
    assert text.is_english({"the": 1, "fish": 49}) and not text.is_english({"the": 1, "fish": 50})
    assert (
        text.is_english({"the": 1, "of": 1, "fish": 98})
        and not text.is_english({"fish": 9})
        and not text.is_english({})
    )


def test_rare_and_unknown_words_are_announced(capsys):
    text.report_rare("x", np.array([2, 2, 1, 1, 0]), np.array([1, 1, 1, 0, 1]))
    assert capsys.readouterr().err == ""
    text.report_rare("x", np.array([2, 1, 1, 1]), np.array([1, 1, 0, 0]))
    assert capsys.readouterr().err == ""
    text.report_rare("x", np.array([2, 1, 1, 1, 1]), np.array([1, 1, 0, 0, 0]))
    (line,) = capsys.readouterr().err.splitlines()
    assert "80%" in line and "0%" in line
    text.report_rare("x", np.array([2, 0, 0]), np.array([1, 1, 1]))
    (line,) = capsys.readouterr().err.splitlines()
    assert "67%" in line


def test_texts_without_spaces_are_counted_while_they_pass():
    tally = text.Tally()
    assert list(tally.passed(["plain", "हिन्दी ١ 。"])) == ["plain", "हिन्दी ١ 。"]
    assert tally.texts == 2 and tally.said == []
    assert len(list(tally.passed(["plain", "我爱", "see ไทย"]))) == 3
    (line,) = tally.said
    assert tally.texts == 5 and line.startswith("2 texts are in a script without spaces")


def test_sentences():
    prose = "One sentence. It has, e.g. Adam et al. Two, no? Yes! (Or not.) See version 2.0 of it. lower stays."
    assert text.split_sentences(prose) == [
        "One sentence.",
        "It has, e.g. Adam et al. Two, no?",
        "Yes!",
        "(Or not.)",
        "See version 2.0 of it. lower stays.",
    ]


# Cuts


def test_cuts_are_disjoint_fixed_and_random():
    parts = text.cut_three(range(105), "x")
    assert [len(part) for part in parts] == [85, 10, 10]
    assert sorted(sum(parts, [])) == list(range(105))
    assert parts == text.cut_three(range(105), "x")
    assert parts[1] != sorted(parts[1]) and max(parts[2]) > 50 > min(parts[2])
    with raises("x holds 9 examples, too few to cut: give at least 10"):
        text.cut_three(range(9), "x")
