"""Builds the site: a folder of HTML, CSS, scripts and JSON, of committed files and the fetched data alone.

A page is a function below `PAGES`, and a template of the same name in templates/. The first is the one that opens.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_folder
from digit_vae.base.provenance import git_commit
from digit_vae.site import comparisons, explorer, overview, runs
from digit_vae.site.pages import Project, SitePage, copied, html, read_project

SITE = Path("build/site")
ASSETS = Path(__file__).parent / "assets"
LARGEST = 15 * 10**6  # bytes, of the whole site


class Entry(NamedTuple):
    """A page in the navigation: its title there, and what computes it."""

    title: str
    page: Callable[[Project], SitePage]


PAGES: Mapping[str, Entry] = {
    "index": Entry("Overview", overview.page),
    "explorer": Entry("Explorer", explorer.page),
    "comparisons": Entry("Comparisons", comparisons.page),
    "runs": Entry("Runs", runs.page),
}


def build(folder: Path) -> int:
    """Writes the site of the project in the working folder to `folder`, and nothing else remains there.

    Returns the bytes of all its files. Raises: UserError where results are missing, or where it is too large.
    """
    contents = site_files(read_project())
    size = sum(map(len, contents.values()))
    if size > LARGEST:
        raise UserError(f"{folder}: expected a site of at most {LARGEST:,} bytes; received {size:,}")
    write_folder(folder, contents)
    return size


def site_files(project: Project) -> dict[str, bytes]:
    """The contents of every file of the site, by its path there."""
    made = {name: entry.page(project) for name, entry in PAGES.items()}
    assets = sorted(path for path in ASSETS.rglob("*") if path.is_file())
    files = {f"assets/{path.relative_to(ASSETS).as_posix()}": path.read_bytes() for path in assets}
    shared: dict[str, object] = {"pages": {name: entry.title for name, entry in PAGES.items()}, "commit": git_commit()}
    for name, page in made.items():
        files[f"{name}.html"] = html(name, {**shared, **page.values, "current": name})
        files |= page.files
        files |= {copied(path): path.read_bytes() for path in page.copies}
    return files
