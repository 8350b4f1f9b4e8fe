"""Every page in a real browser: no error, no request outside, nothing that axe finds; in both themes, at any width."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from digit_vae.site.build import PAGES

pytestmark = pytest.mark.integration
WIDTHS = {"phone": 390, "tablet": 820, "wide": 1440}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation(visit, name, theme):
    page = visit(color_scheme=theme, viewport={"width": 1024, "height": 900}).open(f"{name}.html")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found] == []


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_no_wider_than_the_screen(visit, name, width):
    page = visit(viewport={"width": width, "height": 844}).open(f"{name}.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_theme_is_chosen_and_kept(visit):
    page = visit(color_scheme="light").open("index.html")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate(background)
    page.get_by_role("link", name="Runs", exact=True).click()
    page.wait_for_url("**/runs.html")
    assert page.evaluate(background) == dark != light
