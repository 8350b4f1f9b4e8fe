"""A local server and a stand-in for npm that misbehave as a test wants."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

LIMIT = 100_000
CONTENT = bytes(range(256)) * 4


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


@pytest.fixture(scope="session")
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
