import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(visit):
    page = visit(viewport={"width": 1000, "height": 900}).open("comparisons.html")
    page.wait_for_selector("[data-chart] svg .mark")
    return page


def tip(page, chart):
    return page.locator(f'[data-chart="{chart}"] .tip').text_content()


def test_every_chart_has_a_mark_for_each_point(page, site):
    charts = json.loads((site / "data/comparisons.json").read_text(encoding="utf-8"))
    for name, chart in charts.items():
        page.wait_for_selector(f'[data-chart="{name}"] .mark', state="attached")
        points = sum(
            len(each["points"]) for panel in chart["panels"] for each in panel["series"] if each["style"] != "guide"
        )
        assert page.locator(f'[data-chart="{name}"] .panels .mark').count() == points, name


def test_the_chapter_that_the_address_names_is_what_is_seen(visit):
    page = visit(viewport={"width": 1000, "height": 900}).open("comparisons.html#health")
    page.wait_for_selector('[data-chart="seeds"] .mark', state="attached")
    page.wait_for_function("Math.abs(document.getElementById('health').getBoundingClientRect().top - 72) < 20")


def test_the_pointer_shows_the_numbers_of_a_dot(page):
    run = "baseline-full-0"
    loss = json.loads((ROOT / f"reports/paper/runs/{run}/history.json").read_text(encoding="utf-8"))["epochs"][-1][
        "val_loss"
    ]
    mark = page.locator(f'[data-chart="seeds"] .mark[aria-label^="{run}:"]')
    mark.scroll_into_view_if_needed()
    place = mark.bounding_box()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    assert f"{loss:.2f}" in tip(page, "seeds")
    assert page.locator('[data-chart="seeds"] .tip').is_visible()
    page.mouse.move(5, 5)
    assert not page.locator('[data-chart="seeds"] .tip').is_visible()


def test_arrows_go_from_dot_to_dot_in_the_order_of_their_numbers(page):
    marks = page.locator('[data-chart="seeds"] .mark')
    assert page.locator('[data-chart="seeds"] .mark[tabindex="0"]').count() == 1
    page.locator('[data-chart="seeds"] .mark[tabindex="0"]').focus()
    said = [tip(page, "seeds")]
    for _ in range(marks.count() - 1):
        page.keyboard.press("ArrowRight")
        said.append(tip(page, "seeds"))
    losses = [float(text.split(": ")[1].removesuffix(" nats")) for text in said]
    assert losses == sorted(losses)
    assert len(set(said)) == marks.count()
    page.keyboard.press("Escape")
    assert not page.locator('[data-chart="seeds"] .tip').is_visible()


def test_a_touch_shows_the_numbers(visit):
    page = visit(has_touch=True, viewport={"width": 390, "height": 844}).open("comparisons.html")
    mark = page.locator('[data-chart="ablation"] .mark').first
    mark.scroll_into_view_if_needed()
    mark.tap(force=True)
    assert "nats" in tip(page, "ablation")


def test_the_csv_files_are_those_of_the_report(page, site):
    links = page.eval_on_selector_all("a[download]", "found => found.map(each => each.getAttribute('href'))")
    assert len(links) >= 10
    for link in links:
        _, _, graph, name = link.split("/")
        committed = ROOT / "reports" / graph / "tables" / name
        assert (site / link).read_bytes() == committed.read_bytes(), link


def test_a_chapter_links_the_file_that_its_numbers_come_from(page, site):
    link = page.locator("#ablation .files a").last.get_attribute("href")
    assert link == "files/reports/paper/comparisons/ablation.json"
    assert (site / link).read_bytes() == (ROOT / "reports/paper/comparisons/ablation.json").read_bytes()
