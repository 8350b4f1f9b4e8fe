"""README.md and docs/ claim nothing that the project does not hold: commands, links, counts, examples, tests."""

import itertools
import re
from pathlib import Path

import pytest
import yaml

from digit_vae.cli.main import COMMANDS
from digit_vae.config.loading import load_params
from digit_vae.config.runs import runs

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
MOST_WORDS = 800  # beside the results, which are generated, and blocks of code
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def code(text):
    """What stands in code, in the line or in blocks of the shell."""
    return "\n".join(
        [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"```(?:console|sh|bash)\n(.*?)```", text, re.DOTALL)]
    )


@each_page
def test_its_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", code(page.read_text(encoding="utf-8")))) <= targets


@each_page
def test_its_commands_exist(page):
    named = set(re.findall(r"\bdigit-vae ([a-z][a-z-]*)", code(page.read_text(encoding="utf-8"))))
    assert named <= set(COMMANDS)


@each_page
def test_its_links_and_pictures_exist(page):
    linked = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    files = [target for target in linked if not re.match(r"https?://|\.\./\.\./actions/", target)]
    assert [target for target in files if not (page.parent / target).exists()] == []


def test_the_readme_is_short_and_says_how_to_start():
    written = re.sub(
        r"<!-- results:begin -->.*<!-- results:end -->|^```.*?^```$", "", README, flags=re.DOTALL | re.MULTILINE
    )
    assert len(written.split()) < MOST_WORDS
    assert not re.search(r"\d+ (of its )?runs", README.partition("<!-- results:begin -->")[0])  # the results count them
    assert {"setup", "repro", "beyond"} <= set(re.findall(r"\bmake ([a-z]+)", code(README)))


def test_its_example_of_stock_keras_is_the_one_that_is_explained():
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert example in (ROOT / "docs/use_a_model.md").read_text(encoding="utf-8")


def test_its_example_of_a_variant_is_accepted(tmp_path):
    [example] = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    before = len(runs(load_params(ROOT / "params.yaml")))
    for section, entries in yaml.safe_load(example).items():
        for name, entry in entries.items():
            params[section][name] = params[section].get(name, {}) | entry
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    assert len(runs(load_params(path))) > before


def test_every_promise_names_tests_that_exist():
    page = (ROOT / "docs/promises.md").read_text(encoding="utf-8")
    promises = re.findall(r"^\| (?!Promise \||---).*", page, re.MULTILINE)
    named = [re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", promise) for promise in promises]
    assert promises
    assert all(named)
    assert sum(map(len, named)) == page.count("::")  # none is written in another way
    for file, test in itertools.chain(*named):
        assert f"\ndef {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
