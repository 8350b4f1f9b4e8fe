"""A plain web server for the built site, on this machine alone."""

import socket
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Handler(SimpleHTTPRequestHandler):
    """Serves files with the types that browsers ask of scripts, whatever this machine's list of types says."""

    extensions_map = {  # noqa: RUF012 - as the class above has it
        **SimpleHTTPRequestHandler.extensions_map,
        ".css": "text/css; charset=utf-8",
        ".csv": "text/csv; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
    }

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # a site that is built anew is seen at once
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - as the class above has it
        """Says nothing: a page asks for dozens of files."""


def server(connection: socket.socket, folder: Path) -> ThreadingHTTPServer:
    """Serves `folder` on a socket that listens; `serve_forever` runs it."""
    made = ThreadingHTTPServer(connection.getsockname(), partial(Handler, directory=str(folder)), False)
    made.socket.close()
    made.socket = connection
    return made
