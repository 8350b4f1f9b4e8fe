"""The site of other images than MNIST's calls them by their own words: in its pages, and in what scripts show there."""

import contextlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from digit_vae.data.datasets import KNOWN
from digit_vae.site import build
from digit_vae.site.pages import read_project

DIGIT = re.compile(r"\bdigits?\b(?!-vae)", re.IGNORECASE)
HEARD = ("alt", "aria-label", "content", "title", "placeholder")
CLOTHES = KNOWN["fashion_mnist"]


@pytest.fixture(scope="module")
def own_site(site_project, tmp_path_factory):
    """The site of the committed results, as if they were of clothes."""
    folder = tmp_path_factory.mktemp("own")
    with contextlib.chdir(site_project), pytest.MonkeyPatch.context() as patch:
        project = read_project()
        patch.setattr(
            build, "read_project", lambda: replace(project, results=replace(project.results, dataset=CLOTHES))
        )
        build.build(folder)
    return folder


class Said(HTMLParser):
    """texts: what a page shows and what a screen reader hears."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.within = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.within.append(tag)
        self.texts += [value for name, value in attrs if name in HEARD and value]

    def handle_data(self, data):
        if self.within and self.within[-1] not in ("script", "style"):
            self.texts.append(data)


def test_no_page_says_digit(own_site):
    said = {path.name: Said(path.read_text(encoding="utf-8")).texts for path in own_site.glob("*.html")}
    assert {name: found for name, texts in said.items() if (found := list(filter(DIGIT.search, texts)))} == {}
    assert any("item" in text for text in said["explorer.html"])


def test_no_data_that_scripts_show_say_digit(own_site):
    for path in own_site.glob("data/*.json"):
        content = re.sub(r'"[\w/.-]*digits/[\w/.-]*"', '""', path.read_text(encoding="utf-8"))  # addresses of pictures
        assert not DIGIT.search(content), path


def test_a_class_is_called_by_its_name(own_site):
    page = (own_site / "explorer.html").read_text(encoding="utf-8")
    assert re.findall(r'data-digit="9"[^>]*aria-label="Points of ([^"]+)">([^<]+)<', page) == [("Ankle boot",) * 2]
    [text] = re.findall(r'id="explorer-data">(.*?)</script>', page)
    data = json.loads(text)
    assert (data["noun"], data["nouns"], data["classes"]) == ("item", "items", list(CLOTHES.classes))


@pytest.mark.integration
def test_what_scripts_show_of_an_image_is_the_name_of_its_class(own_site, served, visit_at):
    page = visit_at(served(own_site)).open("explorer.html#background=plain")
    page.evaluate("explorer.ready.then(() => explorer.shown)")
    page.evaluate("""() => {
      const { model } = explorer.planes[0];
      const values = new Uint8Array(16).fill(9);
      Object.assign(model.arrays, { map_classes: { shape: [4, 4], values }, map_percent: { shape: [4, 4], values } });
      model.regions_reach = 9;
      explorer.choose(0, [0, 0]);
      explorer.set({ from: [-1, 0], to: [1, 0] });
    }""")
    name = CLOTHES.classes[int(page.evaluate("explorer.data.labels[0]"))]
    page.get_by_role("heading", name=f"Test image 0, {name}").wait_for()
    page.get_by_text("the classifier says Ankle boot (9 %)", exact=True).wait_for()
    page.get_by_role("img", name="items along the path").wait_for()
    heard = page.evaluate("""() => [...document.querySelectorAll("[aria-label]")].map((each) => each.ariaLabel)""")
    assert list(filter(DIGIT.search, [page.locator("body").inner_text(), *heard])) == []
