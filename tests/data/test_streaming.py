"""Images that stream are the same, to the bit, as the same images in memory."""

import os
import shutil
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from data import images as reader
from data import streaming
from data.errors import DataError, InputError
from data.shapes import SHAPES, write_shapes
from data.streaming import StreamedImages
from tests.conftest import peak_memory

STREAM, MEMORY = 0.0, 1.0  # limits, in GB


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("INFOBIGBIGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def shapes(tmp_path):
    write_shapes(tmp_path / "shapes", 60, 16)
    return tmp_path / "shapes"


def same_parts(one, other):
    assert (one.class_names, one.image_shape) == (other.class_names, other.image_shape)
    for own, part in zip(one[1:4], other[1:4], strict=True):
        assert isinstance(own.images, StreamedImages) and isinstance(part.images, np.ndarray)
        assert own.images.shape == part.images.shape and own.images.dtype == part.images.dtype
        np.testing.assert_array_equal(own.images[:], part.images)
        np.testing.assert_array_equal(own.labels, part.labels)
    assert reader.digest(one.train.images) == reader.digest(other.train.images)


def taken(images, steps, first_epoch=0):
    return np.stack([x.numpy() for x in islice(reader.batches(images, 8, 3, first_epoch), steps)])


def test_the_maker_draws_classes_of_colour_images(tmp_path):
    write_shapes(tmp_path / "a", 30, 32)
    write_shapes(tmp_path / "b", 30, 32)
    a, b = (reader.load(str(tmp_path / name)) for name in "ab")
    assert a.image_shape == (32, 32, 3) and a.class_names == SHAPES
    np.testing.assert_array_equal(a.train.images, b.train.images)
    assert all(len(np.unique(x.reshape(-1, 3), axis=0)) == 2 for x in a.train.images)  # a colour on a colour


@pytest.mark.parametrize("size", [None, 8])
def test_a_streamed_folder_has_the_parts_and_batches_of_one_in_memory(shapes, size):
    one, other = (reader.load(str(shapes), image_size=size, cache_gb=limit) for limit in (STREAM, MEMORY))
    same_parts(one, other)
    np.testing.assert_array_equal(taken(one.train.images, 15), taken(other.train.images, 15))  # an epoch has 5 steps


def test_streamed_batches_after_a_resume_are_those_of_an_uninterrupted_run(shapes):
    images = reader.load(str(shapes), cache_gb=STREAM).train.images
    whole = taken(images, 15)
    again = reader.load(str(shapes), cache_gb=STREAM).train.images
    np.testing.assert_array_equal(taken(again, 5, first_epoch=2), whole[10:])
    np.testing.assert_array_equal(taken(reader.load(str(shapes)).train.images, 5, first_epoch=2), whole[10:])


@pytest.mark.parametrize("colour_at", [None, 0, 30])
def test_gray_images_stream_and_one_of_colour_makes_all_rgb(tmp_path, colour_at):
    (tmp_path / "x").mkdir()
    random = np.random.default_rng(0)
    for i in range(40):
        shape = (8, 8, 3) if i == colour_at else (8, 8)
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(tmp_path / "x" / f"{i:02d}.png")
    one, other = (reader.load(str(tmp_path / "x"), cache_gb=limit) for limit in (STREAM, MEMORY))
    same_parts(one, other)
    assert one.image_shape == (8, 8, 1 if colour_at is None else 3)


def test_what_is_announced_of_a_folder_is_announced_where_it_streams(shapes, capsys):
    image = Image.new("RGBA", (16, 16), (9, 9, 9, 0))
    image.save(shapes / "circle/clear.png")
    reader.load(str(shapes))
    (said,) = capsys.readouterr().err.splitlines()
    for _ in range(2):
        reader.load(str(shapes), cache_gb=1e-6)
        *_, own, why = capsys.readouterr().err.splitlines()
        assert own == said == f"{shapes}: 1 images are transparent: they stand on white"
        assert why.startswith(f"{shapes}: the 61 images take 4.36e-05 GB, more than the 1e-06 GB that data may take")


def test_pixels_are_decoded_once_and_again_when_a_file_changes(shapes, own_cache, monkeypatch):
    reader.load(str(shapes), cache_gb=STREAM)
    first = set(own_cache.iterdir())
    assert {file.suffix for file in first} == {".pixels", ".npz"}
    decode = reader._read_pixels
    monkeypatch.setattr(reader, "_read_pixels", None)
    reader.load(str(shapes), cache_gb=STREAM)
    monkeypatch.setattr(reader, "_read_pixels", decode)
    shutil.copyfile(shapes / "circle/000000.png", shapes / "circle/000003.png")
    one, other = (reader.load(str(shapes), cache_gb=limit) for limit in (STREAM, MEMORY))
    same_parts(one, other)
    again = set(own_cache.iterdir())
    assert len(again) == 2 and not again & first  # the outdated ones are gone
    reader.load(str(shapes), image_size=8, cache_gb=STREAM)
    assert len(set(own_cache.iterdir())) == 4  # another size is another file


@pytest.mark.parametrize("suffix", ["pixels", "npz"])
@pytest.mark.parametrize("kept", [None, 0, 100])
def test_a_damaged_file_is_made_anew(shapes, own_cache, suffix, kept):
    reader.load(str(shapes), cache_gb=STREAM)
    (file,) = own_cache.glob(f"*.{suffix}")
    if kept is None:
        file.unlink()
    else:
        os.truncate(file, kept)
    one, other = (reader.load(str(shapes), cache_gb=limit) for limit in (STREAM, MEMORY))
    same_parts(one, other)


def test_a_file_that_is_cut_while_it_is_read_is_named(shapes, own_cache):
    images = reader.load(str(shapes), cache_gb=STREAM).train.images
    (file,) = own_cache.glob("*.pixels")
    os.truncate(file, 100)
    with pytest.raises(DataError, match=f"{file} is cut short: delete it"):
        images[:]


def test_an_error_leaves_no_file_behind(shapes, own_cache):
    os.truncate(shapes / "square/000001.png", 50)
    with pytest.raises(InputError, match="000001.png cannot be read as an image"):
        reader.load(str(shapes), cache_gb=STREAM)
    assert not list(own_cache.iterdir())


def test_a_disk_without_room_is_an_error_with_ways_out(shapes, monkeypatch):
    monkeypatch.setattr(streaming.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(DataError, match="do not fit into .*: make room, or .*INFOBIGBIGAN_CACHE.*image_size.*cache_gb"):
        reader.load(str(shapes), cache_gb=STREAM)


def test_half_of_the_free_memory_is_the_limit_if_none_is_given(monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 6e9}))
    assert streaming.memory_limit(None) == 3e9 and streaming.memory_limit(0.5) == 2**29


def test_neighbours_of_streamed_images_are_refused(shapes):
    images = reader.load(str(shapes), cache_gb=STREAM).train.images
    with pytest.raises(DataError, match="neighbours are found in memory alone"):
        reader.batches(images, 8, 0, 0, 3)


def test_little_memory_is_taken_for_many_images(tmp_path):
    """49 MB of images, of which no more than some hundred are in memory at a time."""
    write_shapes(tmp_path / "x", 1000, 128)

    def work(limit):
        data = reader.load(str(tmp_path / "x"), cache_gb=limit)
        reader.digest(data.train.images)
        for rows in np.split(np.random.default_rng(0).permutation(700), 100):
            assert data.train.images[rows].shape == (7, 128, 128, 3)

    peaks = {limit: peak_memory(work, limit) for limit in (STREAM, MEMORY)}
    assert peaks[MEMORY] > 49e6
    assert peaks[STREAM] < 20e6, peaks  # modules that are imported meanwhile count too


@pytest.mark.parametrize("size", [None, pytest.param(8, marks=pytest.mark.slow)])
def test_a_streamed_prepared_set_has_the_parts_of_one_in_memory(tfds_dir, size):
    for name in ("mnist", "mnist_unequal"):  # the second is made of the first
        one, other = (reader.load(name, str(tfds_dir), size, cache_gb=limit) for limit in (0.002, MEMORY))
        same_parts(one, other)
