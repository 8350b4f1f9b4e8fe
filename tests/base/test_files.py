"""Writing that is whole or not at all and always gives the same bytes; reading that says what is wrong."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from digit_vae.base import files
from digit_vae.base.errors import UserError


def test_what_the_block_wrote_replaces_the_file_and_its_folder_is_made(tmp_path):
    path = tmp_path / "new" / "folder" / "model.weights.h5"
    with files.replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffixes == path.suffixes or temporary.name.endswith(path.name)
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mistake", [RuntimeError, KeyboardInterrupt, UserError])
def test_an_exception_leaves_the_old_file_and_nothing_beside_it(tmp_path, mistake):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail_half_way():
        with files.replacing(path) as temporary:
            temporary.write_bytes(b"ne")
            raise mistake

    with pytest.raises(mistake):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_error_for_the_user_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fill_the_disk():
        with files.replacing(path):
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="file could not be written: No space left on device"):
        fill_the_disk()
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]


def test_a_file_that_the_block_cannot_read_is_not_called_one_that_could_not_be_written(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"old")

    def copy():
        with files.replacing(path) as temporary:
            temporary.write_bytes(other.read_bytes())

    with pytest.raises(FileNotFoundError) as raised:
        copy()
    assert raised.value.filename == str(other)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"file": b"old"}


def test_a_temporary_file_that_the_block_cannot_write_is_told_by_the_name_of_the_file(tmp_path):
    path = tmp_path / "file"

    def write():
        with files.replacing(path) as temporary:
            temporary.unlink()
            temporary.mkdir()
            try:
                temporary.write_bytes(b"new")
            finally:
                temporary.rmdir()

    with pytest.raises(UserError, match="file could not be written: Is a directory"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_leaves_the_last_good_file(tmp_path, full_disk):
    path = tmp_path / "file"
    files.write_bytes(path, b"good")
    with full_disk(1000), pytest.raises(UserError, match="file could not be written: File too large"):
        files.write_bytes(path, bytes(2000))
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"file": b"good"}
    files.write_bytes(path, bytes(2000))
    assert path.read_bytes() == bytes(2000)


SRC = str(Path(files.__file__).parents[2])
WRITE = """
import os, sys
from pathlib import Path
from digit_vae.base import files
from digit_vae.base.errors import exit_status
if os.getuid() == 0:
    os.setuid(65534)  # root may write anywhere
sys.exit(exit_status(lambda: files.write_bytes(Path(sys.argv[1]), b"new")))
"""


def test_a_read_only_folder_is_one_line_and_leaves_the_last_good_file():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        path = Path(name) / "file"
        path.write_bytes(b"good")
        path.parent.chmod(0o555)
        command = [sys.executable, "-c", WRITE, path]
        environment = os.environ | {"PYTHONPATH": SRC}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        path.parent.chmod(0o755)
        assert (done.returncode, done.stderr) == (1, f"error: {path} could not be written: Permission denied\n")
        assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == {"file": b"good"}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(UserError, match="file/below could not be written"):
        files.write_text(tmp_path / "file" / "below", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="folder could not be written"):
        files.write_text(tmp_path / "folder", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_an_output_is_written_to_what_a_link_leads_to(tmp_path):
    (tmp_path / "folder").mkdir()
    link, target = tmp_path / "link", tmp_path / "folder/target"
    link.symlink_to(target)
    for content in (b"made", b"replaced"):
        files.write_output(link, content)
        assert (link.is_symlink(), target.read_bytes()) == (True, content)
    assert list(target.parent.iterdir()) == [target]


def test_an_output_that_is_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_bytes)
        files.write_output(pipe, b"content")
        assert read.result(timeout=10) == b"content"
    assert pipe.is_fifo()


def test_an_output_that_is_a_device_is_written_to_and_stays_one():
    before = Path(os.devnull).stat()
    files.write_output(Path(os.devnull), b"content")
    assert (Path(os.devnull).stat().st_ino, Path(os.devnull).is_char_device()) == (before.st_ino, True)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in "ab":
        folder = tmp_path / name
        files.write_json(folder / "j", {"b": 1, "a": 0.1} if name == "a" else {"a": 0.1, "b": 1})
        files.write_npy(folder / "n.npy", np.arange(3))
        files.write_bytes(folder / "z.npz", files.npz_bytes({"x": np.arange(3), "y": np.ones(2)}))
        files.write_bytes(folder / "c", files.csv_bytes(["x", "y"], [[1, "a,b"], [0.1, None]]))
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()
    }
    assert (tmp_path / "a/j").read_bytes() == b'{\n  "a": 0.1,\n  "b": 1\n}\n'
    assert (tmp_path / "a/c").read_bytes() == b'x,y\n1,"a,b"\n0.1,\n'


def test_an_npz_has_the_bytes_that_every_release_of_python_gives():
    content = files.npz_bytes({"x": np.arange(3, dtype=np.uint8)})
    # The zip format's own layout: a local header without extra fields, the array, the directory, its end.
    assert content.startswith(b"PK\x03\x04\x14\x00\x00\x00\x00\x00\x00\x00\x21\x00")
    assert len(content) == (30 + 5) + (128 + 3) + (46 + 5) + 22
    np.testing.assert_array_equal(np.load(io.BytesIO(content), allow_pickle=False)["x"], np.arange(3))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_without_a_number_for_it_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "j", {"loss": value})
    assert not list(tmp_path.iterdir())


def test_a_written_folder_holds_what_it_was_given_and_nothing_else(tmp_path):
    folder, elsewhere = tmp_path / "folds", tmp_path / "elsewhere"
    (elsewhere / "kept").mkdir(parents=True)
    files.write_folder(folder, {"0": b"a", "1": b"b", "2": b"c", "old/deep/3": b"d", "4/5": b"e", "6": b"f"})
    (folder / "link").symlink_to(elsewhere)
    files.write_folder(folder, {"1": b"B", "0": b"a", "4": b"a file now", "6/7": b"a folder now"})
    left = {path.relative_to(folder).as_posix(): path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    assert left == {"0": b"a", "1": b"B", "4": b"a file now", "6": False, "6/7": b"a folder now"}
    assert (elsewhere / "kept").is_dir()
    files.write_folder(folder, {})
    assert (folder.is_dir(), list(folder.iterdir())) == (True, [])


def test_a_folder_that_cannot_be_cleared_is_named(tmp_path):
    (tmp_path / "folds").write_bytes(b"a file")
    with pytest.raises(UserError, match="folds could not be cleared"):
        files.write_folder(tmp_path / "folds", {})


def test_what_was_written_is_read_back(tmp_path):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    files.write_npy(tmp_path / "n.npy", array)
    files.write_bytes(tmp_path / "z.npz", files.npz_bytes({"x": array}))
    files.write_json(tmp_path / "j", {"a": [1, 2.5]})
    mapped = files.read_npy(tmp_path / "n.npy", made_by="preprocess")
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    np.testing.assert_array_equal(mapped, array)
    np.testing.assert_array_equal(files.read_npz(tmp_path / "z.npz", made_by="evaluate")["x"], array)
    assert files.read_json(tmp_path / "j", made_by="evaluate") == {"a": [1, 2.5]}


READERS = [files.read_json, files.read_npy, files.read_npz]


@pytest.mark.parametrize("read", READERS)
def test_a_missing_file_names_the_stage_that_makes_it(tmp_path, read):
    with pytest.raises(UserError, match=r"file is missing: `dvc repro train@baseline-full` makes it$"):
        read(tmp_path / "file", made_by="train@baseline-full")


NPY = files.npy_bytes(np.arange(8.0))
UNCLOSED = NPY.replace(b"(8,)", b"(8, ")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "content",
    [b"", b"\x80garbage", b"PK\x03\x04", b"[1, 2]", b"{", b"[" * 50_000, NPY[:40], NPY[:-1], UNCLOSED],
    ids=["empty", "garbage", "zip", "list", "cut json", "deep", "cut header", "cut npy", "unclosed header"],
)
def test_a_damaged_file_names_the_stage_that_makes_it_again(tmp_path, read, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UserError, match=r"(?s)file is damaged \(.+\): delete it and run `dvc repro plot` to make"):
        read(tmp_path / "file", made_by="plot")


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"{")])
def test_of_a_file_that_git_has_it_is_said_how_git_brings_it_back(tmp_path, monkeypatch, damage):
    monkeypatch.chdir(tmp_path)
    path = Path("reports/a.json")
    files.write_json(path, {})
    for command in (["init", "-q"], ["add", "reports"]):
        subprocess.run(["git", *command], check=True)
    damage(path)
    with pytest.raises(UserError, match=r"a\.json is (missing|damaged).*`git checkout HEAD -- reports/a\.json`"):
        files.read_json(path, made_by="plot")


def test_of_a_file_that_a_command_makes_the_command_is_said(tmp_path):
    with pytest.raises(UserError, match="`make bench`"):
        files.read_json(tmp_path / "file", made_by="make bench")


def test_a_value_of_another_kind_is_damage(tmp_path):
    files.write_json(tmp_path / "file", {"epochs": [{"loss": "1"}]})
    with pytest.raises(UserError, match=r"file is damaged \(epochs\[0\]\.loss: .*'1'\): "):
        files.read_json(tmp_path / "file", made_by="plot", keys={"epochs": [{"loss": float}]})


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 400, "-" + "9" * 5000])
def test_what_is_no_number_is_damage_wherever_it_stands(tmp_path, number):
    (tmp_path / "file").write_text(f'{{"a": [1, {{"b": {number}}}]}}', encoding="utf-8")
    with pytest.raises(UserError, match=r"file is damaged \(a\[1\]\.b: .*(nan|inf)\): "):
        files.read_json(tmp_path / "file", made_by="plot")


def test_numbers_of_64_bits_are_read_as_they_stand():
    assert files.parse_json(b"[-1.5, 1e308, 999999999999999999, true, null]") == [-1.5, 1e308, 10**18 - 1, True, None]
    assert isinstance(files.parse_json("9" * 30), float)


def test_an_array_of_another_kind_is_damage(tmp_path):
    files.write_bytes(tmp_path / "file", files.npz_bytes({"x": np.zeros(3)}))
    with pytest.raises(UserError, match=r"file is damaged \(x: .*float64.*\): .*`dvc repro plot`"):
        files.read_npz(tmp_path / "file", made_by="plot", shapes={"x": (np.uint8, (3,))})


READ = """
import os, sys
from pathlib import Path
from digit_vae.base import files
from digit_vae.base.errors import exit_status
if os.getuid() == 0:
    os.setuid(65534)  # root may read anything
read = (files.read_json, files.read_npy, files.read_npz)
sys.exit(max(exit_status(lambda: each(Path(sys.argv[1]), made_by="x")) for each in read))
"""


def test_a_file_that_may_not_be_read_is_not_called_damaged():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        path = Path(name) / "file"
        path.write_bytes(b"{}")
        path.parent.chmod(0o755)
        path.chmod(0)
        command = [sys.executable, "-c", READ, path]
        environment = os.environ | {"PYTHONPATH": SRC}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, 3 * f"error: {path} could not be read: Permission denied\n")


def test_an_array_of_objects_is_never_unpickled(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"o\.npy is damaged"):
        files.read_npy(tmp_path / "o.npy", made_by="preprocess")
    with pytest.raises(UserError, match=r"o\.npy is damaged"):
        files.read_npz(tmp_path / "o.npy", made_by="evaluate")


def test_hashes_are_those_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert files.sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    canonical = (json.dumps({"a": 1, "b": [2]}, indent=2, sort_keys=True) + "\n").encode()
    assert files.sha256_of({"b": [2], "a": 1}) == hashlib.sha256(canonical).hexdigest()


LOCALES = r"""
from pathlib import Path
from digit_vae.base import files
size = "Gr\u00f6\u00dfe"
files.write_text(Path("t"), size)
files.write_bytes(Path("j"), f'{{"a": "{size}"}}'.encode())
assert files.read_json(Path("j"), made_by="x") == {"a": size}
"""


@pytest.mark.parametrize("locale", ["C", "de_DE.ISO-8859-1"])
def test_texts_are_utf_8_whatever_the_locale(tmp_path, locale):
    environment = os.environ | {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": SRC}
    subprocess.run([sys.executable, "-c", LOCALES], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "t").read_bytes() == "Größe".encode()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 990 + "1" + "}" * 990, "NaN", "-Infinity", "1e999", "9" * 5000]
)
def test_json_that_cannot_be_read_as_it_stands_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"\w"):
        files.parse_json(text)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0, 10**17])
def test_whole_numbers_of_64_bits_are_read_exactly_and_larger_ones_as_floats(number):
    assert files.parse_json(str(number)) == number
    assert isinstance(files.parse_json(str(number)), int)
    assert isinstance(files.parse_json(str(2**63)), float)
