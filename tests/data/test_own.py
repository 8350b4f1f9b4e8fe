"""Own images as their owners may have them, and each mistake as one sentence."""

import gzip
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from digit_vae.base.errors import UserError
from digit_vae.data.download import Limits
from digit_vae.data.idx import decoded
from digit_vae.data.mnist import NAMES
from digit_vae.data.own import own_description, read_own

LIMITS = Limits(10_000_000, 20)
TRAIN, TRAIN_LABELS, TEST, TEST_LABELS = NAMES


def write_png(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def grey(value=100, shape=(28, 28)):
    return np.full(shape, value, np.uint8)


@pytest.fixture
def classes(tmp_path):
    """Three classes; the brightness of an image is its class and number."""
    for part, count in (("train", 10), ("test", 4)):
        for label, name in enumerate(("2", "10", "cat")):
            for number in range(count):
                write_png(tmp_path / f"mine/{part}/{name}/{number}.png", grey(50 * label + number))
    return tmp_path / "mine"


@pytest.fixture
def idx(tmp_path, idx_bytes):
    folder = tmp_path / "mine"
    folder.mkdir()
    random = np.random.default_rng(0)
    for images, labels, count in ((TRAIN, TRAIN_LABELS, 30), (TEST, TEST_LABELS, 12)):
        (folder / images).write_bytes(idx_bytes(random.integers(0, 256, (count, 28, 28))))
        (folder / labels).write_bytes(idx_bytes(np.arange(count) % 3 + 1))
    return folder


def read(folder):
    return read_own(folder, LIMITS)


def refused(folder, match):
    with pytest.raises(UserError, match=match) as error:
        read(folder)
    assert "\n" not in str(error.value)


def test_a_folder_a_class_gives_its_name_and_every_image_its_label(classes):
    own = read(classes)
    assert own.classes == ("2", "10", "cat")  # numbers by their value
    for images, labels, count in (
        (own.arrays.train_images, own.arrays.train_labels, 30),
        (own.arrays.test_images, own.arrays.test_labels, 12),
    ):
        assert (images.shape, images.dtype, labels.dtype) == ((count, 28, 28, 1), np.uint8, np.uint8)
        np.testing.assert_array_equal(images[:, 0, 0, 0] // 50, labels)
        assert (np.bincount(labels) == count / 3).all()
        assert sorted(labels.tolist()) != labels.tolist()  # the first ones are of all classes


def test_the_same_pictures_give_the_same_files(classes, tmp_path):
    shutil.copytree(classes, tmp_path / "again")
    first, again = (own_description(read(folder), None) for folder in (classes, tmp_path / "again"))
    assert first == again
    np.testing.assert_array_equal(decoded(first[1][TEST], (28, 28)), read(classes).arrays.test_images[..., 0])


def test_hidden_files_are_left_out_and_counted(classes):
    (classes / "train/.DS_Store").write_bytes(b"of another system")
    (classes / "test/cat/.hidden.png").write_bytes(b"")
    own = read(classes)
    assert (len(own.arrays.train_images), len(own.arrays.test_images), own.hidden) == (30, 12, 2)


def test_pictures_without_class_folders_have_no_labels(tmp_path):
    for number in range(20):
        write_png(tmp_path / f"train/{number}.PNG", grey(number))
        write_png(tmp_path / f"test/{number}.png", grey(30 + number))
    own = read(tmp_path)
    assert sorted(own.arrays.train_images[:, 0, 0, 0].tolist()) == list(range(20))
    assert (own.arrays.train_labels.shape, own.arrays.test_labels.shape, own.classes) == ((0,), (0,), ())
    description, contents = own_description(own, None)
    assert not description.labelled
    assert decoded(contents[TRAIN_LABELS], ()).shape == (0,)


def test_idx_files_may_be_packed_have_gaps_in_their_labels_and_get_names(idx):
    (idx / f"{TEST}.gz").write_bytes(gzip.compress((idx / TEST).read_bytes()))
    (idx / TEST).unlink()
    own = read(idx)
    assert (len(own.arrays.train_images), len(own.arrays.test_images)) == (30, 12)
    assert own_description(own, None)[0].classes == ("0", "1", "2", "3")
    (idx / "classes.txt").write_text("none\nä\nb\nc\n", encoding="utf-8")
    named, contents = own_description(read(idx), None)
    assert named.classes == ("none", "ä", "b", "c")
    (idx / "classes.txt").unlink()
    assert own_description(read(idx), named)[0] == named  # the names that were recorded of the same files
    assert contents[TRAIN] == (idx / TRAIN).read_bytes()


def test_idx_images_alone_have_no_labels(idx):
    for name in (TRAIN_LABELS, TEST_LABELS):
        (idx / name).unlink()
    own = read(idx)
    assert (len(own.arrays.train_images), own.arrays.train_labels.size, own.classes) == (30, 0, ())
    own, (_, contents) = own, own_description(own, None)
    for name, content in contents.items():
        (idx / name).write_bytes(content)
    assert read(idx).arrays.train_labels.size == 0  # as stage fetch leaves them


def remove_class(folder):
    shutil.rmtree(folder / "test/cat")


def add_class(folder):
    write_png(folder / "test/cow/0.png", grey())


def link(folder):
    (folder / "train/cat/99.png").symlink_to(folder / "train/cat/0.png")


def link_folder(folder):
    (folder / "train/dog").symlink_to(folder / "train/cat")


def many(folder):
    for part in ("train", "test"):
        for number in range(60):
            write_png(folder / f"{part}/more{number}/0.png", grey())


def one_class(folder):
    for part in ("train", "test"):
        for name in ("2", "10"):
            shutil.rmtree(folder / part / name)


def empty_class(folder):
    for path in (folder / "train/cat").iterdir():
        path.unlink()


def break_name(folder):
    for part in ("train", "test"):
        (folder / part / "cat").rename(folder / part / "c\nt")


def png(side, rows, interlace=0):
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, interlace)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bomb(folder):
    """A file of a hundred bytes that says it is 60000 x 60000 pixels."""
    (folder / "train/cat/0.png").write_bytes(png(60_000, bytes(1000)))


def link_part(folder):
    (folder / "train").rename(folder / "elsewhere")
    (folder / "train").symlink_to(folder / "elsewhere")


def alike(first, second):
    def add(folder):
        for part in ("train", "test"):
            for name in (first, second):
                write_png(folder / part / name / "0.png", grey())

    return add


def truncated(folder):
    path = folder / "train/cat/0.png"
    write_png(path, np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda mine: write_png(mine / "train/cat/0.png", grey(shape=(28, 27))),
            r"cat/0.png: .*28x28.*27x28 of mode L",
        ),
        (
            lambda mine: write_png(mine / "train/cat/0.png", grey(shape=(28, 28, 3))),
            "8-bit grey; received 28x28 of mode RGB",
        ),
        (
            lambda mine: write_png(mine / "train/cat/0.png", grey().astype(np.uint16)),
            "8-bit grey; received .* of mode I;16",
        ),
        (
            lambda mine: (mine / "test/2/0.png").write_bytes(b"no picture"),
            "2/0.png: expected a PNG file; received something",
        ),
        (
            lambda mine: (mine / "test/2/0.png").write_bytes(b""),
            "2/0.png: expected a PNG file; received something else",
        ),
        (truncated, "cat/0.png cannot be read as a PNG file"),
        (bomb, "cat/0.png: expected 28x28 pixels; received far more"),
        (
            lambda mine: (mine / "test/2/0.png").write_bytes(png(28, bytes(5 * 29))),
            "2/0.png .* expected 812 bytes of pixels; received 145",
        ),
        (
            lambda mine: (mine / "test/2/0.png").write_bytes(png(28, bytes(10**6))),
            "expected 812 bytes of pixels; received 813 or more",
        ),
        (
            lambda mine: (mine / "test/2/0.png").write_bytes(png(28, bytes(812)) + bytes(2**20)),
            "2/0.png: expected a PNG file of at most 1048576 bytes",
        ),
        (lambda mine: (mine / "test/2/0.png").rename(mine / "test/2/0.jpg"), "nothing but PNG files; received .*0.jpg"),
        (lambda mine: (mine / "test/2/deep.png").mkdir(), "nothing but PNG files; received .*deep.png"),
        (lambda mine: write_png(mine / "train/stray.png", grey()), "either class folders or PNG files; received both"),
        (remove_class, "the same class folders in train and test; received 'cat' in train alone"),
        (add_class, "received 'cow' in test alone"),
        (
            lambda mine: shutil.rmtree(mine / "test"),
            "expected the folders train and test, or train-images.* received neither",
        ),
        (one_class, "expected 2 to 62 classes; received 1"),
        (many, "expected 2 to 62 classes; received 63"),
        (link, "9.png: expected the file or folder itself; received a symbolic link"),
        (link_folder, "dog: expected the file or folder itself; received a symbolic link"),
        (link_part, "train: expected the file or folder itself; received a symbolic link"),
        (alike("caf\u00e9", "cafe\u0301"), "a name of its own for each class; received two that look alike"),
        (alike("cow", "cow "), "a name of its own for each class; received two that look alike"),
        (empty_class, "each class in the test images; received none of class 2"),
        (break_name, r"printable names of classes; received 'c\\nt'"),
    ],
)
def test_a_mistake_in_class_folders_is_one_sentence(classes, spoil, reason):
    spoil(classes)
    refused(classes, reason)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (TRAIN, np.zeros((30, 28, 20)), r"idx3-ubyte: expected items shaped \(28, 28\); received \(28, 20\)"),
        (TRAIN, np.zeros((2, 28, 28)), "at least 3 training images; received 2"),
        (TEST, np.zeros((1, 28, 28)), "at least 2 test images; received 1"),
        (TRAIN_LABELS, np.arange(29) % 3, "one label for each of the 30 training images; received 29"),
        (TEST_LABELS, np.full(12, 62), "labels of test images from 0 to 61; received 62"),
        (TEST_LABELS, np.zeros(12), "training images of each class in the test images; received none of class 0"),
        (TRAIN_LABELS, np.ones(30), "images of two classes at least; received those of one"),
        (TEST_LABELS, np.zeros(0), "labels of both training and test images, or of neither"),
    ],
)
def test_a_mistake_in_idx_files_is_one_sentence(idx, idx_bytes, name, content, reason):
    (idx / name).write_bytes(idx_bytes(content))
    refused(idx, reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a\nb\n", "labels of training images from 0 to 1; received 3"),
        (b"a\nb\nc\nc\n", "a name of its own for each class"),
        (b"a\n\nc\nd\n", "printable names"),
        (b"\xff\xfe", "classes.txt: expected a text in UTF-8"),
    ],
)
def test_a_mistake_in_the_class_table_is_one_sentence(idx, content, reason):
    (idx / "classes.txt").write_bytes(content)
    refused(idx, reason)


def test_names_without_labels_half_of_the_labels_and_a_missing_folder_are_refused(idx, tmp_path):
    (idx / TEST_LABELS).unlink()
    refused(idx, "expected both train-labels-idx1-ubyte and t10k-labels-idx1-ubyte, or neither")
    (idx / TRAIN_LABELS).unlink()
    (idx / "classes.txt").write_text("a\nb\n", encoding="utf-8")
    refused(idx, "expected no classes.txt where there are no labels")
    (idx / TEST).unlink()
    refused(idx, "neither .*t10k-images-idx3-ubyte nor")
    refused(tmp_path / "nowhere", "received neither")
    refused(tmp_path / ("x" * 5000), "fetch.folder: .* cannot be read: File name too long")


def test_an_interlaced_picture_is_read_and_a_short_one_is_not(classes):
    # The seven passes of Adam7, each a number of rows times their bytes: a filter's, and one for each pixel.
    rows = 4 * 5 + 4 * 4 + 3 * 8 + 7 * 8 + 7 * 15 + 14 * 15 + 14 * 29
    path = classes / "train/cat/0.png"
    path.write_bytes(png(28, bytes(rows), interlace=1))
    assert (read(classes).arrays.train_images.max(axis=(1, 2, 3)) == 0).sum() == 2  # with the first of class 2
    path.write_bytes(png(28, bytes(rows - 1), interlace=1))
    refused(classes, f"expected {rows} bytes of pixels; received {rows - 1}")


def test_a_class_table_may_have_the_mark_that_other_editors_put_before_utf_8(idx):
    (idx / "classes.txt").write_bytes("\ufeffa\nb\nc\nd\n".encode())
    assert read(idx).classes == ("a", "b", "c", "d")


def test_more_pictures_than_may_be_read_are_refused_before_they_are(classes):
    with pytest.raises(UserError, match=r"fetch.maximum_bytes: expected room for 30 images; received room for 5"):
        read_own(classes, Limits(5 * 784, 20))
