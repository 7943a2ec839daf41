import pytest

from data import text
from data.errors import InputError


def raises(match):
    """Expect an InputError whose message is one line and matches."""
    return pytest.raises(InputError, match=rf"^.*(?:{match}).*\Z")


# Where a corpus lies


def locate(dataset, data_dir=None):
    return text.locate(dataset, ("docstrings", "ptb", "brown"), ("ptb", "brown"), data_dir)


def test_a_name_is_a_folder_of_data_dir_or_of_the_environment(tmp_path, monkeypatch):
    for parent in ("given", "environment"):
        (tmp_path / parent / "ptb").mkdir(parents=True)
    monkeypatch.setenv("INFOBIGBIGAN_DATA", str(tmp_path / "environment"))
    assert locate("ptb") == tmp_path / "environment" / "ptb"
    assert locate("ptb", str(tmp_path / "given")) == tmp_path / "given" / "ptb"
    with raises(f"folder {tmp_path}/given/brown does not exist: .*--data-dir"):
        locate("brown", str(tmp_path / "given"))
    with raises(f"folder {tmp_path}/gone does not exist"):
        locate("ptb", str(tmp_path / "gone"))


def test_a_prepared_corpus_without_a_place_to_look(monkeypatch):
    monkeypatch.delenv("INFOBIGBIGAN_DATA", raising=False)
    with raises("ptb is not built in: .*--data-dir or INFOBIGBIGAN_DATA, or use --dataset docstrings"):
        locate("ptb")


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


@pytest.mark.parametrize(
    "content",
    [b"a b\n\n\xc3\xa9\n", b"a b\r\n\r\n\xc3\xa9\r\n", b"a b\n\n\xc3\xa9", b"\xef\xbb\xbfa b\n\n\xc3\xa9\n"],
    ids=["unix", "windows", "no last end", "byte order mark"],
)
def test_lines(tmp_path, content):
    assert text.read_lines(write(tmp_path, content)) == ["a b", "", "é"]


def test_only_line_ends_end_lines(tmp_path):
    assert text.read_lines(write(tmp_path, "a\x0cb\u2028c\x85d\n".encode())) == ["a\x0cb\u2028c\x85d"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_not_utf8(tmp_path, mark):
    with raises("x.txt, line 3: byte 0xe9 is not UTF-8: save"):
        text.read_lines(write(tmp_path, mark + b"a\n\xc3\xa9\ncaf\xe9 au lait\nb\n"))


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
    ],
)
def test_tokens(line, tokens):
    assert text.tokenise(line) == tokens.split()


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
