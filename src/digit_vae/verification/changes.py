"""`digit-vae changes`: what the working folder changes since it left a branch, as a page for who reviews it.

    digit-vae changes --base main                          # Markdown
    digit-vae changes --base main --page changes.html      # with every number, and figures old beside new
    digit-vae changes --base main --summary FILE           # appends the Markdown to FILE, as CI does

Shows `dvc params diff` and `dvc metrics diff`, the figures that changed, and what the graph makes at its small size.
The exit status is 0 only when no number changed without its run: see digit_vae.verification.unfounded.
"""

import argparse
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from digit_vae.base.arguments import parser_of
from digit_vae.base.errors import UserError
from digit_vae.base.files import write_output
from digit_vae.base.paths import REPORTS, SMOKE
from digit_vae.config.loading import load_params
from digit_vae.config.runs import runs
from digit_vae.report.pages import environment
from digit_vae.report.summary import README, SUMMARY, is_current
from digit_vae.verification.before import Change, branched_off, changes_since, content, head, project_folder
from digit_vae.verification.certificate import append_text
from digit_vae.verification.derived import REQUIREMENTS, forged_smoke, other_outputs
from digit_vae.verification.evidence import LOCKS, lock_stages, read_locks, read_stages, smoke_runs
from digit_vae.verification.tolerance import is_number, kind_of
from digit_vae.verification.unfounded import Unfounded, unfounded

TEMPLATES = Path(__file__).parent / "templates"
SHOWN = 100  # rows of a table in the Markdown: GitHub shows a summary of at most a megabyte
PICTURES = (".png", ".svg")
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


class Row(NamedTuple):
    """A param or metric that changed. None: it was not there, or is not there now."""

    path: str
    name: str
    before: object
    now: object

    @property
    def size(self) -> float:
        """By how much, as a share of 1 or of what it was; 0 where nothing is held to such a difference, or none is."""
        if kind_of(self.name) != "rest" and is_number(self.before) and is_number(self.now):
            return abs(self.now - self.before) / max(1.0, abs(self.before))
        return 0.0


class Changed(NamedTuple):
    """Everything that the pages show. commit: where HEAD left `base`. record: by run of
    the small graph the files that are recorded as others.
    """

    base: str
    commit: str
    head: str
    unfounded: list[Unfounded]
    params: list[Row]
    metrics: list[Row]
    figures: list[Change]
    record: dict[str, list[str]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises: UserError when a number changed without its run."""
    parser = parser_of("changes", __doc__)
    parser.add_argument("--base", required=True, help="a branch or commit to compare with")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="append the Markdown to this file")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write everything to this HTML file")
    parser.add_argument(
        "--images", metavar="URL", type=_images, help="where /<commit>/<path> shows a committed picture"
    )
    parsed = parser.parse_args(arguments)
    changed = changed_since(parsed.base)
    page = parsed.page.name if parsed.page else None
    text = rendered("changes.md.j2", changed, page=page, images=parsed.images or "", folder=project_folder())
    try:  # written first: nobody may be there any more to read what is printed
        if parsed.page:
            write_output(parsed.page, rendered("changes.html.j2", changed).encode())
        if parsed.summary:
            append_text(parsed.summary, text)
    finally:
        print(text)
    if changed.unfounded:
        named = ", ".join(each.path for each in changed.unfounded)
        raise UserError(f"numbers changed without their run, or cannot be checked (see above): {named}")


def _images(address: str) -> str:
    if not re.match(r"https?://[^/\s]+(/\S*)?$", address):
        raise argparse.ArgumentTypeError(f"expected an address that begins with https://; received {address!r}")
    return address.rstrip("/")


def changed_since(reference: str) -> Changed:
    """Raises: UserError where git has no such reference, or DVC cannot compare with it."""
    commit = branched_off(reference)
    changes = {change.path: change for change in changes_since(commit, _is_shown)}
    params = load_params()
    before: dict[str, str] = {}
    derived: list[Unfounded] = []
    for lock in LOCKS.values():
        there = content(commit, str(lock))
        stages = {} if there is None else lock_stages(there.decode(errors="replace"), lock, commit)
        before |= {path: digest for stage in stages.values() for path, digest in stage.outputs.items()}
        if lock.is_file() and REQUIREMENTS not in changes:
            derived += starmap(Unfounded, other_outputs(stages, read_stages(lock)))
    now = {path: digest for outputs in read_locks(params).values() for path, digest in outputs.items()}
    derived += _forged(changes, commit)
    found = {each.path: each for each in (*derived, *unfounded(runs(params), changes, before, now))}
    return Changed(
        base=reference,
        commit=commit,
        head=head(),
        unfounded=sorted(found.values()),
        params=sorted(dvc_diff("params", commit), key=lambda row: row[:2]),
        metrics=sorted(dvc_diff("metrics", commit), key=lambda row: -row.size),
        figures=[each for each in changes.values() if Path(each.path).suffix in PICTURES],
        record=other_records(changes.get(str(SMOKE)), commit),
    )


def _is_shown(path: Path) -> bool:
    """Whether a new file can be on the page, or make a number unfounded."""
    return path == README or path.is_relative_to(REPORTS) or path.suffix in PICTURES


def _forged(changes: Mapping[str, Change], commit: str) -> Iterator[Unfounded]:
    """What no lock has: the summaries, and the record of the small graph."""
    smoke = changes.get(str(SMOKE))
    if smoke and (forged := list(forged_smoke(smoke_runs(smoke.before, commit), smoke_runs(smoke.now)))):
        yield Unfounded(str(SMOKE), f"of {forged[0]} it has numbers that are not those of the hashes beside them")
    told = [path for path in map(str, (README, SUMMARY)) if path in changes]
    if told or any(path.startswith("reports/") for path in changes):
        try:
            why = "" if is_current(Path()) else f"{README} and {SUMMARY} are not both as `make summary` writes them"
        except UserError as error:  # the page shows all that can be compared nevertheless
            why = f"`make summary` cannot write it: {error}"
        yield from (Unfounded(path, why) for path in told or [str(SUMMARY)] if why)


def dvc_diff(kind: str, commit: str) -> list[Row]:
    """`dvc params diff` or `dvc metrics diff`. Raises: UserError when DVC fails."""
    command = [sys.executable, "-m", "dvc", kind, "diff", "--json", commit]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    try:
        if done.returncode:
            raise ValueError(done.stderr.strip())
        found = json.loads(done.stdout or "{}")
    except ValueError as error:
        raise UserError(f"`dvc {kind} diff {commit}` failed: {error}") from error
    return [
        Row(path, name, each.get("old"), each.get("new"))
        for path, names in found.items()
        for name, each in names.items()
    ]


def other_records(smoke: Change | None, commit: str) -> dict[str, list[str]]:
    """By run of the small graph the files that are recorded as others than before; of all others nothing.

    Raises: UserError when one of the two records is damaged.
    """
    if smoke is None:
        return {}
    recorded = smoke_runs(smoke.before, commit), smoke_runs(smoke.now)
    before, now = ({name: run.md5 for name, run in each.items()} for each in recorded)
    return {
        name: files
        for name in sorted(before.keys() | now.keys())
        if (files := _differing(before.get(name, {}), now.get(name, {})))
    }


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def rendered(template: str, changed: Changed, **more: object) -> str:
    """The page as its template has it; HTML is escaped."""
    made = environment(TEMPLATES, html=template.endswith(".html.j2"))
    made.filters |= {"number": _number, "picture": _picture, "cell": _cell, "address": _address}
    text = made.get_template(template).render(changed._asdict() | more, shown=SHOWN)
    return text.encode(errors="backslashreplace").decode()  # a file's name may be any bytes


def _address(path: str) -> str:
    return quote(os.fsencode(path))


def _number(value: object) -> str:
    """A value as a reader wants it: floats with six digits, texts as they are."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _cell(value: object) -> str:
    """The same within a table of Markdown."""
    return _number(value).replace("\n", " ").replace("|", "\\|")


def _picture(change: Change, which: str) -> str:
    """A picture as the address that holds all of it; nothing where there is none."""
    content = getattr(change, which)
    kind = TYPES[Path(change.path).suffix]
    return f"data:{kind};base64,{base64.b64encode(content).decode()}" if content else ""
