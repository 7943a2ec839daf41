"""What the fuzz tests share: the number of inputs, a mutator of bytes, and the rules that each input is checked by.

Each fuzz test runs twice: on few inputs in the ordinary suite, and on many under the marker `torture`. Seeds are fixed, so
that a failure comes again.
"""

import contextlib
import io
import random
import re
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

from data.errors import InputError
from data.images import MOST_PIXELS
from tests.tasks.conftest import answers_folder, documents_folder, paragraphs_file, sentences_file  # noqa: F401

FEW, MANY = 200, 10_000
SECONDS = 0.2  # for opening files and calling libraries such as Keras, whatever the size, on a busy machine
SECONDS_PER_MB = 1.0
MEMORY = 4 * 2**20  # bytes for the buffers of NumPy, zip and Pillow, whatever the size of the input
MEMORY_PER_BYTE = 10
SAMPLED = 50  # memory is traced for one input in so many, since tracing is slow

EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1]
NUMBERS = [b"-1", b"0", b"2", b"99999999", b"9" * 19, b"1.5", b"1e9", b"9" * 400]
PIECES = [
    b"",
    b"\0",
    b"\n",
    b"\r",
    b"\t",
    b" ",
    b"nan",
    b"1e999",
    b"9" * 5000,
    b"null",
    b"{",
    b"[" * 5000,
    b'"',
    b"<",
    b":",
    b"\xef\xbb\xbf",  # marks of UTF-8 and UTF-16
    b"\xff\xfe",
    b"\xed\xa0\x80",  # half of a surrogate pair
    "\U0001f600\u200b\u0301".encode() * 9,
]


def mutated(content: bytes, others: list[bytes], source: random.Random) -> bytes:
    """Return a content with one to four random changes."""
    made = bytearray(content)
    for _ in range(source.choice([1, 1, 1, 2, 4])):
        start = source.randrange(len(made) + 1)
        stop = min(len(made), start + source.choice([1, 2, 4, 8, 30, 1000]))
        kind = source.randrange(9)
        if kind == 0:  # flip a bit
            made[start : start + 1] = bytes(byte ^ 1 << source.randrange(8) for byte in made[start : start + 1])
        elif kind == 1:  # cut off
            del made[start:]
        elif kind == 2:  # leave out
            del made[start:stop]
        elif kind == 3:  # repeat
            made[start:start] = made[start:stop] * source.choice([1, 2, 50])
        elif kind == 4:  # noise
            made[start:stop] = source.randbytes(stop - start)
        elif kind == 5:  # an extreme number in binary
            width = source.choice([1, 2, 4, 8])
            number = source.choice(EXTREMES) % 256**width
            made[start : start + width] = number.to_bytes(width, source.choice(["little", "big"]))
        elif kind == 6:  # a piece that formats of text may stumble over
            made[start : source.choice([start, stop])] = source.choice(PIECES)
        elif kind == 7:  # another number in the place of one in digits
            if numbers := list(re.finditer(rb"-?\d+", made)):
                start, stop = source.choice(numbers).span()
                made[start:stop] = source.choice(NUMBERS)
        else:  # a part of another content
            other = source.choice(others)
            begin = source.randrange(len(other) + 1)
            made[start:stop] = other[begin : begin + source.choice([1, 4, 30, 1000])]
    return bytes(made)


def refused(read, content, size: int) -> InputError | None:
    """Return the error if a reader refuses a content of `size` bytes, else None.

    Any other error fails, and so does a slow reader, or a message that is no short line.
    """
    limit = max(SECONDS, SECONDS_PER_MB * size / 2**20)
    for _ in range(3):  # once, garbage may be collected
        start, error = time.thread_time(), None
        try:
            read(content)
        except InputError as raised:
            error = raised
        if (seconds := time.thread_time() - start) <= limit:
            break
    else:
        pytest.fail(f"{seconds:.2f} s for {size} bytes: {content[:300]!r}")
    if error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 3000, str(error)
    return error


def traced_memory(read, content) -> int:
    """Return the most memory, in bytes, that Python and NumPy took to read a content."""
    tracemalloc.start()
    try:
        read(content)
    except InputError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def kilobytes(name: str) -> int:
    """Return a number of this process, such as VmRSS, from Linux."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])


def measure(read, *arguments):
    """Return the error of a reader, its seconds, and the most memory in bytes that the process took for it.

    Unlike tracing, this sees what decoders of pictures and HDF5 take. But memory that was freed may be taken again unseen,
    so it is for inputs that take much.
    """
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux tells the most memory of a process")
    Path("/proc/self/clear_refs").write_text("5")  # the most memory starts anew
    before, start, error = kilobytes("VmRSS"), time.process_time(), None
    try:
        read(*arguments)
    except InputError as raised:
        error = raised
    return error, time.process_time() - start, (kilobytes("VmHWM") - before) * 1024


@pytest.fixture
def measured():
    """`measure` for tests of single inputs: the least of three times, since garbage of other tests counts too."""

    def least(read, *arguments):
        errors, seconds, memory = zip(*(measure(read, *arguments) for _ in range(3)), strict=True)
        return errors[-1], min(seconds), min(memory)

    return least


@pytest.fixture(params=[pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.torture)])
def count(request):
    """The number of inputs."""
    return request.param


@pytest.fixture
def picture_size():
    """A function that returns the bytes of a picture's pixels: a picture packs well without being a bomb."""

    def size(content):
        with contextlib.suppress(Exception), Image.open(io.BytesIO(content)) as image:
            return max(len(content), 3 * min(image.width * image.height, MOST_PIXELS))
        return len(content)

    return size


@pytest.fixture
def fuzz(count):
    """A function that gives a reader `count` mutations of contents, and checks that some are read and some refused.

    With `pack`, the mutations are packed before they are read, so that no checksum keeps them out. `size` returns the size
    of a content that time and memory may grow with.
    """

    def run(read, contents, pack=lambda content: content, size=len):
        for content in contents:
            read(pack(content))  # the contents themselves are read
        source, refusals = random.Random(0), 0
        for number in range(count):
            content = pack(mutated(source.choice(contents), contents, source))
            refusals += refused(read, content, size(content)) is not None
            if number % SAMPLED == 0:
                most = MEMORY + MEMORY_PER_BYTE * size(content)
                assert traced_memory(read, content) <= most, f"more than {most} bytes of memory for {content[:300]!r}"
        assert 0 < refusals < count

    return run


@pytest.fixture
def examine(count):
    """A function that gives a reader structured contents, which Hypothesis draws from a strategy, more slowly."""

    def run(read, strategy):
        found = set()

        def check(content):
            found.add(refused(read, content, len(content)) is None)

        options = {"max_examples": count // 4, "derandomize": True, "database": None, "deadline": None}
        settings(**options, suppress_health_check=list(HealthCheck))(given(strategy)(check))()
        assert found  # something was drawn

    return run
