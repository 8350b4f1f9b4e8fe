"""README.md claims nothing that the project does not hold: numbers, commands, files."""

import re
from dataclasses import fields
from pathlib import Path

from digit_vae.speed.records import read_comparisons
from digit_vae.config.params import VariantParams, load_params, runs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def rows(text: str) -> list[str]:
    """The rows of Markdown tables."""
    return [line for line in text.splitlines() if line.startswith("|")]


def test_every_row_of_its_tables_stands_in_a_table_of_the_report():
    made = {row for table in (ROOT / "reports/tables").glob("*.md") for row in rows(table.read_text())}
    assert rows(README)
    assert set(rows(README)) <= made


def test_its_ratios_are_those_measured():
    """A ratio in its text reads "1.57 times as fast"."""
    measured = {
        f"{contestant['times_as_fast']['median']:.2f}"
        for comparison in read_comparisons(ROOT / "reports/benchmarks/side_by_side").values()
        for contestant in comparison["summary"].values()
    }
    assert set(re.findall(r"(\d[\d.]*) times as fast", README)) <= measured


def test_its_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)\b(?= |`|$)", README, re.MULTILINE))
    assert {"repro", "test"} <= named <= targets


def test_its_links_and_pictures_exist():
    linked = [target for target in re.findall(r"\]\(([^)#]+)", README) if not target.startswith("https://")]
    assert linked
    assert [target for target in linked if not (ROOT / target).exists()] == []


def test_its_counts_of_runs_are_those_of_params():
    params = load_params(ROOT / "params.yaml")
    counts = [int(re.search(pattern, README).group(1)) for pattern in (r"train (\d+) models", r"repro`: (\d+) runs of")]
    assert counts == [len(runs(params, extended=False)), len(runs(params, extended=True))]


def test_its_variant_options_are_those_of_params():
    listed = re.search(r"Options:([^.]+)\.", README).group(1)
    assert set(re.findall(r"`([a-z0-9_]+)`", listed)) == {each.name for each in fields(VariantParams)} - {
        "splits",
        "extended",
    }


def test_every_promise_names_tests_that_exist():
    promises = rows((ROOT / "docs/promises.md").read_text())[2:]
    assert promises
    for promise in promises:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", promise)
        assert named, promise
        for file, test in named:
            assert f"def {test}(" in (ROOT / "tests" / file).read_text(), promise
