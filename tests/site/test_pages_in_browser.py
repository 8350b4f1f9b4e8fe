"""Every page in a real browser: no error, no request outside, nothing that axe finds; in both themes, at any width."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from digit_vae.site.build import PAGES

pytestmark = pytest.mark.integration
PHONE = 390


def assert_no_wider(page, width):
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 820)], ids=["light, wide", "dark, tablet"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation_and_no_page_is_wider_than_the_screen(visit, name, theme, width):
    page = visit(color_scheme=theme, viewport={"width": width, "height": 900}).open(f"{name}.html")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found] == []
    assert_no_wider(page, width)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_no_wider_than_a_phone(visit, name):
    assert_no_wider(visit(viewport={"width": PHONE, "height": 844}).open(f"{name}.html"), PHONE)


def test_the_theme_is_chosen_and_kept(visit):
    page = visit(color_scheme="light").open("index.html")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate(background)
    page.get_by_role("link", name="Runs", exact=True).click()
    page.wait_for_url("**/runs.html")
    assert page.evaluate(background) == dark != light
