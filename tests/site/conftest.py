"""The site, built once of the committed results and served, and pages of it in a real browser.

The browser is Chromium of the distribution. Where there is none, the tests that need one are skipped and say so.
"""

import contextlib
import functools
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import sync_playwright
from site_truth import scanned_digits
from synthetic import write_manifest

from digit_vae.base.files import write_npy
from digit_vae.base.paths import PROCESSED, RunFiles
from digit_vae.base.ports import HOST
from digit_vae.config.loading import read_run_params
from digit_vae.site.build import build
from digit_vae.site.explorer import VENDORED
from digit_vae.site.serve import server

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# What a graphics driver says of its own speed, which no page can do anything about.
OF_THE_DRIVER = "GL Driver Message"
PATIENCE = 30_000  # milliseconds that a page has for what a test expects of it, also on a busy machine


@pytest.fixture(scope="session")
def site_project(tmp_path_factory) -> Path:
    """A folder with the committed results, other digits in the place of the test images, and TensorFlow.js where this
    checkout has it already; nothing else of the project.
    """
    project = tmp_path_factory.mktemp("project")
    (project / "reports").symlink_to(ROOT / "reports")
    (ROOT / VENDORED).mkdir(parents=True, exist_ok=True)
    (project / VENDORED.parent).mkdir()
    (project / VENDORED).symlink_to(ROOT / VENDORED)
    images, labels = scanned_digits()
    write_npy(project / PROCESSED / "test_images.npy", images)
    write_npy(project / PROCESSED / "test_labels.npy", labels)
    write_manifest(project / PROCESSED)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["train"] = trained_with(params["report"]["first_run"])
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return project


def trained_with(run: str) -> dict:
    """The section `train` that the committed results of the base model are of: that of params.yaml may be edited."""
    path = ROOT / RunFiles("paper", run).history
    recorded = asdict(read_run_params(json.loads(path.read_text(encoding="utf-8"))["params"], str(path)))
    return {key: value for key, value in recorded.items() if key != "seed"}


@pytest.fixture(scope="session")
def site(site_project, tmp_path_factory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    with contextlib.chdir(site_project):
        build(folder)
    return folder


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Callable[[Path], str]]:
    """Serves a site below a path, as on GitHub's pages; gives its address, which ends in a slash."""
    started = []

    def serve(site: Path) -> str:
        folder = tmp_path_factory.mktemp("below")
        (folder / "a-path").symlink_to(site)
        connection = socket.create_server((HOST, 0))
        started.append(server(connection, folder))
        threading.Thread(target=started[-1].serve_forever, daemon=True).start()
        return f"http://{HOST}:{connection.getsockname()[1]}/a-path/"

    yield serve
    for each in started:
        each.shutdown()
        each.server_close()


@pytest.fixture(scope="session")
def address(site, served) -> str:
    return served(site)


@pytest.fixture(scope="module")
def browser():
    """Chromium. It ends with the module: while it runs, no test in this thread could start an event loop."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on the PATH: `apt-get install chromium` brings it")
    with sync_playwright() as playwright:
        # Tests may run as root, for whom Chromium has no sandbox. The pages are our own.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Visit:
    """A visitor's view of the site. faults: what went wrong: errors of scripts, and requests that left the site."""

    def __init__(self, context, address: str) -> None:
        self.address = address
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.faults: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", self._see)
        self.page.on("response", self._get)

    def open(self, name: str):
        """The page called `name`, loaded: a file name in the site, with whatever stands behind it."""
        self.page.goto(self.address + name, wait_until="load")
        return self.page

    def _hear(self, message) -> None:
        if message.type in ("error", "warning") and OF_THE_DRIVER not in message.text:
            self.faults.append(f"{message.type}: {message.text}")

    def _see(self, request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.faults.append(f"request outside: {request.url}")

    def _get(self, response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status}: {response.url}")


@pytest.fixture
def visit(visit_at, address):
    """Makes a `Visit` of the site with options of a browser's context."""
    return functools.partial(visit_at, address)


@pytest.fixture
def visit_at(browser):
    """Makes a `Visit` of a site at an address; at the test's end none of them may have seen a fault."""
    contexts, visits = [], []

    def make(address: str, **options) -> Visit:
        contexts.append(browser.new_context(**options))
        visits.append(Visit(contexts[-1], address))
        return visits[-1]

    yield make
    for context in contexts:
        context.close()
    assert [fault for each in visits for fault in each.faults] == []
