import json
import re
import socket
import threading
import urllib.request
from html.parser import HTMLParser

import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.ports import HOST
from digit_vae.site import build, command
from digit_vae.site.serve import server


def test_a_site_that_is_too_large_is_not_written(site_project, tmp_path, monkeypatch):
    monkeypatch.chdir(site_project)
    monkeypatch.setattr(build, "PAGES", {})  # styles and scripts alone
    monkeypatch.setattr(build, "LARGEST", 1000)
    with pytest.raises(UserError, match="at most 1,000 bytes"):
        build.build(tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_the_site_is_small_and_has_every_page(site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) <= 15e6
    assert {path.stem for path in site.glob("*.html")} == set(build.PAGES)


class Page(HTMLParser):
    """links: what a page loads or leads to. marks: the places in it that a link may lead to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.marks = [], []
        self.feed(text)

    def handle_starttag(self, _, attrs):
        values = dict(attrs)
        self.links += [values[name] for name in ("href", "src") if values.get(name)]
        self.marks += [values["id"]] if "id" in values else []


def test_every_link_is_relative_and_leads_to_something(site):
    pages = {path.name: Page(path.read_text(encoding="utf-8")) for path in site.glob("*.html")}
    for name, page in pages.items():
        for link in page.links:
            path, _, mark = re.sub(r"\?[^#]*", "", link).partition("#")
            assert not re.match(r"/|\w+:", path), link
            assert (site / (path or name)).is_file(), link
            assert not mark or mark in pages[path or name].marks, link
    for run in json.loads((site / "data/runs.json").read_text(encoding="utf-8"))["runs"].values():
        for file in (*run["files"].values(), *(each["file"] for each in run["figures"])):
            assert (site / file).is_file(), file


def test_nothing_in_the_site_names_another_host(site):
    """But for the namespace of SVG, which no browser asks for, and what pages link for people to follow."""
    for path in site.rglob("*"):
        if path.suffix in (".html", ".css") or (path.suffix == ".js" and "vendor" not in path.parts):
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"(src|href|url|import|fetch)\W{1,3}(https?:)?//", text), path


def test_the_same_files_give_the_same_site(site_project, tmp_path, monkeypatch, site):
    monkeypatch.chdir(site_project)
    build.build(tmp_path)
    for path in site.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(site)).read_bytes() == path.read_bytes(), path


def test_a_taken_port_is_said_before_anything_is_built(monkeypatch):
    monkeypatch.setattr(command, "say_built", lambda: pytest.fail("built"))
    with socket.create_server((HOST, 0)) as taken, pytest.raises(UserError, match=r"taken.*make site PORT="):
        command.main(["--port", str(taken.getsockname()[1])])


def test_the_server_names_the_types_that_browsers_ask_of_scripts(tmp_path):
    for name in ("page.html", "script.js", "data.json", "style.css"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    connection = socket.create_server((HOST, 0))
    serving = server(connection, tmp_path)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    try:
        address = f"http://{HOST}:{connection.getsockname()[1]}"
        types = {}
        for name in ("page.html", "script.js", "data.json", "style.css"):
            with urllib.request.urlopen(f"{address}/{name}", timeout=10) as answer:
                types[name.partition(".")[2]] = answer.headers.get_content_type()
    finally:
        serving.shutdown()
        thread.join()
        serving.server_close()
    assert types == {"html": "text/html", "js": "text/javascript", "json": "application/json", "css": "text/css"}
