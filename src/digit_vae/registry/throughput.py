"""`digit-vae measure-serving`: requests a second of `digit-vae serve` with several clients, beside plain `predict`.

Server and clients share this machine's cores. Each request and each call has one image. Prints a table in Markdown.
"""

import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from digit_vae.base.arguments import number, parser_of, whole
from digit_vae.base.errors import UserError
from digit_vae.base.ports import HOST, port_number
from digit_vae.registry.package import input_example
from digit_vae.registry.serve import MOST_CONNECTIONS, PORT, load_champion

MOST_CLIENTS = MOST_CONNECTIONS - 1  # the server refuses a connection when there are so many with it
TASKS = ("encode", "reconstruct")
PATIENCE_SECONDS = 60.0
JSON = {"Content-Type": "application/json"}


class Pace(NamedTuple):
    """Calls a second, and milliseconds of a call: the median, and what 95 % of the calls stay below."""

    rate: float
    median: float
    p95: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of("measure-serving", __doc__)
    clients = f"at once, 1 to {MOST_CLIENTS}; default: 8"
    parser.add_argument("--clients", type=whole(1, MOST_CLIENTS), default=8, help=clients)
    parser.add_argument("--seconds", type=number(1, 3600), default=10, help="of each measurement; default: 10")
    parser.add_argument("--port", type=port_number, default=PORT, help=f"default: {PORT}")
    parsed = parser.parse_args(arguments)
    name, model = load_champion()
    image = input_example()
    print(f"{name}\n\n| | calls a second | median ms | p95 ms |\n| --- | --- | --- | --- |")
    for task in TASKS:
        row(f"`predict`, {task}", measured(partial(model.predict, image, {"task": task}), 1, parsed.seconds))
    with served(parsed.port) as port:
        for task in TASKS:
            body = json.dumps({"inputs": image.tolist(), "params": {"task": task}}).encode()
            of = f"served, {parsed.clients} clients, {task}"
            row(of, measured(partial(ask, port, body), parsed.clients, parsed.seconds))


def measured(call: Callable[[], object], clients: int, seconds: float) -> Pace:
    """Calls for so many seconds, as many at once as there are clients, each one after the other."""
    call()  # what is slow once
    end = time.perf_counter() + seconds

    def client(_: int) -> list[float]:
        took = []
        while (started := time.perf_counter()) < end:
            call()
            took.append(time.perf_counter() - started)
        return took

    with ThreadPoolExecutor(clients) as pool:
        took = np.concatenate(list(pool.map(client, range(clients))))
    median, p95 = 1000 * np.percentile(took, (50, 95))
    return Pace(len(took) / seconds, float(median), float(p95))


def ask(port: int, body: bytes) -> bytes:
    """The answer to a request. Raises: UserError when it is not 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request("POST", "/invocations", body, JSON)
        answer = connection.getresponse()
        content = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise UserError(f"expected the server to answer 200; received {answer.status}: {content[:200]!r}")
    return content


@contextlib.contextmanager
def served(port: int) -> Iterator[int]:
    """`digit-vae serve` in a process of its own, from its first line on until the end of the block."""
    command = [sys.executable, "-m", "digit_vae", "serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise UserError("expected `digit-vae serve` to start; received its end, see above")
            yield port
        finally:
            process.terminate()


def row(name: str, of: Pace) -> None:
    print(f"| {name} | {of.rate:,.0f} | {of.median:.1f} | {of.p95:.1f} |", flush=True)
