"""Whatever a server, an archive or npm may do: the bytes arrive within the limits, or there is one reason."""

import gzip
import io
import tarfile
import tracemalloc

import pytest

from digit_vae.data.download import Limits, SourceError, download, gunzip, npm_archive, tar_member

CONTENT = bytes(range(256)) * 4  # what the server delivers
LIMIT = 100_000
LIMITS = Limits(LIMIT, 20)
USTAR = b"ustar\x0000"
NONE = b"%011o\0" % 0


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
        gunzip(content, LIMITS)


def test_a_bomb_takes_no_more_memory_than_the_limit_allows():
    bomb = gzip.compress(bytes(50 * LIMIT))
    tracemalloc.start()
    with pytest.raises(SourceError, match="larger than"):
        gunzip(bomb, LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * LIMIT


def tar_of(name: str, content: bytes = CONTENT, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.size, member.linkname = kind, len(content), name
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_a_member_is_read_by_its_exact_name():
    assert tar_member(tar_of("package/data/file"), "package/data/file", LIMITS) == CONTENT


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
        (tar_of("package/data/file", b"", tarfile.DIRTYPE), "holds no package/data/file"),
        (tar_of("package/data/file", bytes(LIMIT + 1)), "larger than"),
        (tar_of("package/data/file")[:700], "damaged"),
        (b"no archive" * 100, "damaged"),
        (b"", "holds no package/data/file"),
        (header(NONE) + header(b"\xff" * 10 + b"\xfe\x00"), "damaged"),  # a size of -512
        (header(NONE) + header(b"-0000001000\0"), "damaged"),
        (header(b"\x80" + b"\xff" * 11), "damaged"),
        (
            header(NONE) + header(b"%011o\0" % 14, b"x") + b"14 size=-1536\n".ljust(512, b"\0") + header(NONE),
            "holds no package/data/file",
        ),
    ],
    ids=[
        *("outside", "root", "roundabout", "hard link", "pipe", "link", "folder", "large", "cut", "garbage", "empty"),
        *("backwards", "octal backwards", "endless", "extended backwards"),
    ],
)
def test_tar_member_refuses(archive, reason):
    with pytest.raises(SourceError, match=reason):
        tar_member(archive, "package/data/file", LIMITS)


@pytest.mark.parametrize("behaviour", ["good", "moved"])
def test_a_body_arrives(server, behaviour):
    assert gunzip(download(f"{server}{behaviour}/file.gz", LIMITS, scheme="http"), LIMITS) == CONTENT


@pytest.mark.parametrize("behaviour", ["silent", "stalled", "dripping_body", "dripping_headers"])
def test_the_time_limit_holds_for_the_whole_download(server, behaviour):
    with pytest.raises(SourceError, match=r"not complete within fetch\.timeout_seconds \(0\.2\)|timed out"):
        download(f"{server}{behaviour}/file.gz", Limits(LIMIT, 0.2), scheme="http")


@pytest.mark.parametrize("scheme", ["http", "ftp", "file", "data"])
def test_only_https_is_asked_unless_told_otherwise(server, scheme):
    address = f"{server}good/file.gz".replace("http", scheme)
    with pytest.raises(SourceError, match=f"unknown url type: {scheme}"):
        download(address, LIMITS)


def test_a_proxy_for_another_scheme_opens_no_way_around(server, monkeypatch):
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", "https://127.0.0.1:1")
    with pytest.raises(SourceError, match="unknown url type: http"):
        download(f"{server}good/file.gz", LIMITS)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/", "http://[/", "http://a\0b/", "http://..é./", "http://:x/"])
def test_an_address_that_leads_nowhere_is_a_source_error(address):
    with pytest.raises(SourceError):
        download(address, LIMITS, scheme="http")


def test_npm_is_asked_for_the_package_and_runs_no_scripts(npm):
    calls = npm("printf packed > data-1.2.3.tgz")
    assert npm_archive("data@1.2.3", LIMITS) == b"packed"
    assert calls.read_text(encoding="utf-8") == "pack data@1.2.3 --ignore-scripts --cache cache\n"


@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        ("echo 'npm warn old' >&2; echo 'npm error code E404' >&2; exit 1", {}, "^code E404$"),
        ("echo 'npm ERR! code ETARGET' >&2; echo 'npm ERR! A complete log: /x' >&2; exit 1", {}, "^code ETARGET$"),
        ("exit 3", {}, "npm pack failed"),
        ("exit 0", {}, "no single archive"),
        ("echo > a.tgz; echo > b.tgz", {}, "no single archive"),
        ("echo far too much > a.tgz", {"maximum_bytes": 5}, "larger than"),
        ("exec sleep 60", {"timeout_seconds": 0.2}, "not complete within"),
        ("exec head -c 1000000 /dev/zero > cached", {}, "npm pack failed"),  # LIMIT holds for its own files, too
    ],
)
def test_npm_that_fails_is_refused_with_its_reason(npm, script, limits, reason):
    npm(script)
    with pytest.raises(SourceError, match=reason):
        npm_archive("data@1.2.3", LIMITS._replace(**limits))


def test_a_machine_without_npm_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm cannot be run"):
        npm_archive("data@1.2.3", LIMITS)
