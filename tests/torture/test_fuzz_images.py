"""Damaged pictures, folders of images and .npz files."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from data import images

pytestmark = pytest.mark.filterwarnings("ignore")  # of Pillow and NumPy, about what is damaged
RANDOM = np.random.default_rng(0)
EXIF = Image.Exif()
EXIF[0x0112] = 6  # turned


def picture(kind, mode="RGB", **options):
    """Return the bytes of a random picture of 8x8 pixels."""
    drawn, content = Image.fromarray(RANDOM.integers(0, 256, (8, 8, 3), np.uint8)).convert(mode), io.BytesIO()
    drawn.save(content, kind, **options)
    return content.getvalue()


PICTURES = [
    *(picture("PNG", mode) for mode in ("L", "RGB", "RGBA", "P", "1", "LA")),
    picture("PNG", exif=EXIF),
    *(picture("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    picture("JPEG", exif=EXIF, progressive=True),
    *(picture("BMP", mode) for mode in ("L", "RGB", "P")),
    picture("WEBP"),
    picture("WEBP", "RGBA", lossless=True),
    picture("GIF", "P"),
    *(picture("TIFF", compression=packed) for packed in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg")),
    picture("TIFF", "1", compression="group4"),
]
SEVERAL = [
    picture("GIF", "P", save_all=True, append_images=[Image.new("P", (8, 8), 1)]),
    picture("PNG", save_all=True, append_images=[Image.new("RGB", (8, 8), 1)]),
]


def packed(compression=zipfile.ZIP_DEFLATED, **members):
    """Return an .npz file of members that are arrays or the bytes of a member."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member if isinstance(member, bytes) else npy(member))
    return content.getvalue()


def npy(array):
    """Return the bytes of an .npy file."""
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


GRAY = RANDOM.integers(0, 256, (20, 4, 4), np.uint8)
IMAGES = [GRAY, GRAY / 255, (GRAY / 127.5 - 1).astype(np.float32), *(np.stack([GRAY] * n, -1) for n in (2, 3, 4))]
LABELS = [np.arange(20) % 2, np.array(["a", "b"] * 10), np.array([b"a", b"b"] * 10)]


@pytest.fixture
def read_npz(tmp_path):
    def read(content):
        (tmp_path / "x.npz").write_bytes(content)
        images.load(str(tmp_path / "x.npz"))

    return read


def test_a_picture(tmp_path, fuzz, picture_size):
    def read(content):
        (tmp_path / "x.png").write_bytes(content)
        assert images.read_picture(tmp_path / "x.png").shape[2] == 3

    fuzz(read, PICTURES, size=picture_size)


def test_a_folder_of_pictures(tmp_path, fuzz, picture_size):
    for i in range(images.MIN_IMAGES):
        (tmp_path / f"{i:02d}.png").write_bytes(PICTURES[0])

    def read(content):
        (tmp_path / "07.png").write_bytes(content)
        assert len(images.load(str(tmp_path), image_size=8).train.images) == 14

    fuzz(read, PICTURES + SEVERAL, size=picture_size)


def test_an_npz_file(read_npz, fuzz):
    contents = [packed(images=own, labels=labels) for own, labels in zip(IMAGES, LABELS * 2, strict=True)]
    fuzz(read_npz, contents + [packed(zipfile.ZIP_STORED, images=GRAY)])


def test_the_images_of_an_npz_file(read_npz, fuzz):
    fuzz(read_npz, list(map(npy, IMAGES)), lambda content: packed(images=content))


def test_the_labels_of_an_npz_file(read_npz, fuzz):
    fuzz(read_npz, list(map(npy, LABELS)), lambda content: packed(images=GRAY, labels=content))


def test_arrays_of_any_shape_and_type(read_npz, examine):
    shapes = st.sampled_from(
        [(20, 4, 4), (20, 4, 4, 3), (20, 4, 4, 2), (20, 4), (20, 0, 4), (0, 4, 4), (1, 4, 4), (20,), ()]
    )
    anything = arrays.arrays(arrays.scalar_dtypes(), shapes)
    labels = arrays.arrays(st.one_of(arrays.scalar_dtypes(), arrays.unicode_string_dtypes()), (20,))
    examine(read_npz, st.builds(lambda own, names: packed(images=own, labels=names), anything, labels))
