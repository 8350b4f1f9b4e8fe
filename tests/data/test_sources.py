"""What is fetched from where: a folder, a local server as mirror, a stand-in for npm."""

import gzip
import hashlib
import io
import tarfile

import pytest

from digit_vae.base.errors import UserError
from digit_vae.config.schema import FetchParams
from digit_vae.data.download import Limits, SourceError
from digit_vae.data.mnist import RawFile
from digit_vae.data.sources import Source, fetch, folder_source, mirror_source, npm_source
from digit_vae.data.sources import sources as named

CONTENT = bytes(range(256)) * 4  # what the server delivers
LIMIT = 100_000
LIMITS = Limits(LIMIT, 20)


def raw_file(name: str, content: bytes = CONTENT) -> RawFile:
    return RawFile(name, len(content), hashlib.sha256(content).hexdigest())


FILE = raw_file("file")
OTHER = raw_file("other", b"other content")


def delivering(content: bytes) -> Source:
    return lambda _: content


def refusing(reason: str) -> Source:
    def source(_):
        raise SourceError(reason)

    return source


def test_a_missing_file_comes_from_the_next_source(tmp_path):
    lines = []
    contents = {"file": CONTENT, "other": b"other content"}

    def only_other(file):
        if file.name == "file":
            raise SourceError("lost")
        return contents[file.name]

    sources = {"a": only_other, "b": lambda file: contents[file.name]}
    fetch(tmp_path, sources, files=(OTHER, FILE), report=lines.append)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == contents
    assert lines == ["other: 0.00 MB from a", "file: not from a: lost", "file: 0.00 MB from b"]


def test_an_intact_file_is_left_alone_and_a_damaged_one_is_replaced(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    (tmp_path / "other").write_bytes(b"other damage")
    untouched = (tmp_path / "file").stat()
    asked = []

    def source(file):
        asked.append(file.name)
        return b"other content"

    fetch(tmp_path, {"a": source}, files=(FILE, OTHER), report=asked.append)
    fetch(tmp_path, {"a": source}, files=(FILE, OTHER), report=asked.append)

    assert asked == ["other", "other: 0.00 MB from a"]
    assert (tmp_path / "file").stat() == untouched
    assert (tmp_path / "other").read_bytes() == b"other content"


def test_when_all_sources_fail_the_error_names_each_with_its_reason(tmp_path):
    sources = {"a": refusing("unreachable"), "b": delivering(b"other bytes")}
    with pytest.raises(
        UserError, match=r"^file could not be fetched \(a: unreachable; b: expected 1024 bytes"
    ) as error:
        fetch(tmp_path, sources, files=(FILE,), report=len)
    assert "received 11 with " + hashlib.sha256(b"other bytes").hexdigest() in str(error.value)
    assert not list(tmp_path.iterdir())


def test_without_a_source_the_error_points_to_the_params(tmp_path):
    with pytest.raises(UserError, match=r"fetch of params\.yaml names no source"):
        fetch(tmp_path, {}, files=(FILE,), report=len)


def test_a_disk_that_refuses_is_no_fault_of_the_source(tmp_path):
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises(UserError, match="could not be written"):
        fetch(tmp_path / "folder", {"a": delivering(CONTENT)}, files=(FILE,), report=len)


def params(**changes) -> FetchParams:
    values = {"dataset": "mnist", "folder": "mine", "mirrors": ("https://a.example/", "https://b.example/")}
    values |= {"fashion_mirrors": ("https://c.example/",), "npm_package": "p@1.0.0"}
    return FetchParams(**(values | {"timeout_seconds": 1, "maximum_bytes": LIMIT} | changes))


def test_the_sources_stand_in_the_order_of_the_params_and_are_those_of_the_data_set():
    assert list(named(params())) == ["folder mine", "https://a.example/", "https://b.example/", "npm p@1.0.0"]
    assert list(named(params(dataset="fashion_mnist", folder=None))) == ["https://c.example/"]


def packed_file(packed: bytes) -> RawFile:
    return RawFile("file", len(CONTENT), "", hashlib.sha256(packed).hexdigest())


def test_a_packed_file_whose_hash_is_published_is_checked_before_it_is_unpacked(tmp_path):
    packed = gzip.compress(CONTENT)
    (tmp_path / "file.gz").write_bytes(packed)
    assert folder_source(tmp_path, LIMITS)(packed_file(packed)) == CONTENT
    fetch(tmp_path / "raw", {"a": folder_source(tmp_path, LIMITS)}, files=(packed_file(packed),), report=len)
    assert (tmp_path / "raw/file").read_bytes() == CONTENT
    with pytest.raises(SourceError, match="expected a gzip file with SHA-256"):
        folder_source(tmp_path, LIMITS)(packed_file(packed + b"more"))
    (tmp_path / "file").write_bytes(CONTENT)
    with pytest.raises(SourceError, match=r"expected file\.gz, whose hash is published; received it unpacked"):
        folder_source(tmp_path, LIMITS)(packed_file(packed))


def test_a_mirror_with_other_packed_bytes_is_refused(server):
    with pytest.raises(SourceError, match="expected a gzip file with SHA-256"):
        mirror_source(f"{server}good/", LIMITS, scheme="http")(packed_file(b"other"))


@pytest.mark.parametrize(("name", "content"), [("file", CONTENT), ("file.gz", gzip.compress(CONTENT))])
def test_a_folder_holds_files_plain_or_gzipped(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert folder_source(tmp_path, LIMITS)(FILE) == CONTENT


def test_a_folder_without_the_file_and_one_that_is_too_large_are_refused(tmp_path):
    source = folder_source(tmp_path, Limits(len(CONTENT) - 1, 20))
    with pytest.raises(SourceError, match=r"neither .*file nor .*file\.gz can be read"):
        source(FILE)
    (tmp_path / "file").write_bytes(CONTENT)
    with pytest.raises(SourceError, match=r"larger than fetch\.maximum_bytes \(1023\)"):
        source(FILE)


def mirror(address: str) -> Source:
    return mirror_source(address, LIMITS, scheme="http")


@pytest.mark.parametrize("behaviour", ["good", "moved"])
def test_a_mirror_delivers(server, behaviour):
    assert mirror(f"{server}{behaviour}/")(FILE) == CONTENT


MISBEHAVIOUR = {
    "missing": "HTTP Error 404",
    "broken": "HTTP Error 500",
    "truncated": "no intact gzip",
    "html": "no intact gzip",
    "no_http": "220 mail server",
    "bomb": "larger than",
    "endless": "larger than",
    "to_file": "'file:///etc/hostname' is not allowed",
    "to_ftp": "unknown url type: ftp",
    "to_https": "unknown url type: https",
    "in_circles": "infinite loop",
}


@pytest.mark.parametrize(("behaviour", "reason"), MISBEHAVIOUR.items())
def test_a_mirror_that_misbehaves_is_refused(server, behaviour, reason):
    with pytest.raises(SourceError, match=reason):
        mirror(f"{server}{behaviour}/")(FILE)


@pytest.mark.parametrize("behaviour", [*MISBEHAVIOUR, "wrong"])
def test_after_a_mirror_that_misbehaves_the_next_one_delivers(server, tmp_path, behaviour):
    lines = []
    sources = {name: mirror(f"{server}{name}/") for name in (behaviour, "good")}
    fetch(tmp_path, sources, files=(FILE,), report=lines.append)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [line.partition(": ")[2].split(":")[0] for line in lines] == [f"not from {behaviour}", "0.00 MB from good"]


def test_a_mirror_that_recovers_delivers_at_the_next_call(server, tmp_path):
    source = {"mirror": mirror(f"{server}recovering/")}
    with pytest.raises(UserError, match="HTTP Error 500"):
        fetch(tmp_path, source, files=(FILE,), report=len)
    fetch(tmp_path, source, files=(FILE,), report=len)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_wrong_bytes_never_reach_the_disk(server, tmp_path):
    with pytest.raises(UserError, match="expected 1024 bytes with SHA-256"):
        fetch(tmp_path, {"mirror": mirror(f"{server}wrong/")}, files=(FILE,), report=len)
    assert not list(tmp_path.iterdir())


def test_a_mirror_has_to_be_asked_by_https(server):
    with pytest.raises(SourceError, match="unknown url type: http"):
        mirror_source(f"{server}good/", LIMITS)(FILE)


def test_npm_is_asked_once_for_all_files(tmp_path, npm):
    with tarfile.open(tmp_path / "data.tgz", "w:gz") as tar:
        member = tarfile.TarInfo("package/data/file")
        member.size = len(CONTENT)
        tar.addfile(member, io.BytesIO(CONTENT))
    calls = npm(f"cat {tmp_path}/data.tgz > data-1.2.3.tgz")
    source = npm_source("data@1.2.3", LIMITS)
    assert [source(FILE), source(FILE)] == [CONTENT, CONTENT]
    assert len(calls.read_text(encoding="utf-8").splitlines()) == 1
    with pytest.raises(SourceError, match="holds no package/data/other"):
        source(OTHER)


def test_a_package_that_is_no_archive_is_refused(npm):
    npm("echo no archive > a.tgz")
    with pytest.raises(SourceError, match="no intact gzip"):
        npm_source("data@1.2.3", LIMITS)(FILE)
