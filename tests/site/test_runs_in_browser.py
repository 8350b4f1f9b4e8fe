import json
from pathlib import Path

import pytest

from digit_vae.config.loading import load_params
from digit_vae.config.runs import runs

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


@pytest.fixture
def open_runs(visit):
    made = visit(viewport={"width": 1280, "height": 900})

    def go(asked=""):
        page = made.open(f"runs.html{asked}")
        page.wait_for_selector("#runs[data-ready]")
        return page

    return go


def names(page):
    """The runs that the table shows, from top to bottom."""
    return page.eval_on_selector_all("#runs tbody tr:not([hidden])", "rows => rows.map(row => row.dataset.run)")


def values(page, column):
    """The numbers of a column from top to bottom, None where there is none."""
    script = """(rows, title) => {
        const titles = [...document.querySelectorAll("#runs thead th")].map((cell) => cell.textContent.trim());
        const place = titles.indexOf(title);
        return rows.map((row) => row.cells[place].dataset.value ?? null);
    }"""
    return [
        None if each is None else float(each) for each in page.eval_on_selector_all("#runs tbody tr", script, column)
    ]


def loss(run, graph="paper"):
    history = json.loads((ROOT / f"reports/{graph}/runs/{run}/history.json").read_text(encoding="utf-8"))
    return history["epochs"][-1]["val_loss"]


def test_all_declared_runs_are_listed_and_missing_ones_said(open_runs):
    page = open_runs()
    declared = runs(load_params(ROOT / "params.yaml"))
    assert names(page) == [run.name for run in declared]
    missing = page.eval_on_selector_all('#runs tr[data-state="missing"]', "rows => rows.map(row => row.dataset.run)")
    assert missing == [
        run.name for run in declared if not (ROOT / f"reports/{run.graph}/runs/{run.name}/metrics.json").is_file()
    ]
    assert page.locator('#runs tr[data-state="missing"] input').count() == 0


def test_a_click_on_a_header_sorts_and_another_turns_it_round(open_runs):
    page = open_runs()
    page.get_by_role("button", name="Val loss").click()
    there = [each for each in values(page, "Val loss") if each is not None]
    assert there == sorted(there)
    assert values(page, "Val loss")[: len(there)] == there  # what is missing stands last
    assert page.locator('th[aria-sort="ascending"]').text_content().strip() == "Val loss"
    page.get_by_role("button", name="Val loss").click()
    assert values(page, "Val loss")[: len(there)] == sorted(there, reverse=True)


def test_filters_keep_what_they_say(open_runs):
    page = open_runs()
    page.get_by_label("Study").select_option("ablation")
    page.get_by_label("Name contains").fill("fold3")
    assert names(page) == [f"{name}-fold3-0" for name in ("baseline", "l1_l2", "dropout", "batch_norm")]
    assert page.locator("#count").text_content().startswith("4 of ")


def test_curves_of_chosen_runs_lie_over_one_another(open_runs):
    page = open_runs()
    page.get_by_role("button", name="Choose none").click()
    page.get_by_label("Show improved-full-0").check()
    page.get_by_label("Show baseline-full-1").check()
    assert page.locator("#curves .legend li").all_text_contents() == [
        *("baseline-full-1", "improved-full-0", "paper, CPU", "paper, GPU"),
    ]
    shown = page.locator('#curves .mark[aria-label^="improved-full-0, epoch 10:"]').get_attribute("aria-label")
    assert f"{loss('improved-full-0', 'beyond'):.2f} nats" in shown
    assert page.locator("#chosen .card h3").all_text_contents() == ["baseline-full-1", "improved-full-0"]


def test_a_card_has_params_metrics_and_figures(open_runs):
    page = open_runs("?runs=improved-full-0")
    card = page.locator("#chosen .card")
    card.get_by_text("Params", exact=True).click()
    assert "0.003 (of the variant)" in card.locator("dl").nth(1).text_content()
    metrics = json.loads((ROOT / "reports/beyond/runs/improved-full-0/metrics.json").read_text(encoding="utf-8"))
    card.get_by_text("Metrics: latent").click()
    shown = dict(card.locator("details[open]").last.locator("dl > div").evaluate_all(
        "found => found.map(each => [...each.children].map(child => child.textContent))"
    ))  # fmt: skip
    assert float(shown["knn_accuracy"]) == pytest.approx(metrics["latent"]["knn_accuracy"], rel=1e-4)
    assert (
        card.locator("img").first.evaluate("async image => { await image.decode(); return image.naturalWidth }") == 280
    )


def test_the_address_restores_the_view(open_runs):
    page = open_runs()
    page.get_by_role("button", name="Test KL").click()
    page.get_by_label("Variant").select_option("dropout")
    page.locator("#curve").select_option("Validation KL")
    page.get_by_label("Show dropout-fold0-0").check()
    address, shown = page.url.rpartition("runs.html")[2], names(page)
    page = open_runs(address)
    assert names(page) == shown
    assert page.get_by_label("Show dropout-fold0-0").is_checked()
    assert page.locator("#curves .axis-title").last.text_content() == "Validation KL (nats)"


def test_no_more_runs_are_chosen_than_can_be_told_apart(open_runs):
    page = open_runs()
    page.get_by_label("Split").select_option("full")
    for seed in range(2, 6):
        page.get_by_label(f"Show baseline-full-{seed}").check()
    assert page.get_by_label("Show baseline-full-6").is_disabled()
    page.get_by_label("Show baseline-full-2").uncheck()
    assert page.get_by_label("Show baseline-full-6").is_enabled()
