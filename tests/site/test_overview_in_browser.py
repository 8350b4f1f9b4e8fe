import pytest

from digit_vae.report.paper import TABLE_1

pytestmark = pytest.mark.integration


def losses(page):
    """The last column of the paper's two rows."""
    return page.eval_on_selector_all(
        "#losses tr.paper", "rows => rows.map(row => row.cells[row.cells.length - 1].textContent)"
    )


def test_the_switch_shows_the_losses_of_any_epoch(visit):
    page = visit().open("index.html")
    page.wait_for_selector("#epoch[data-ready]", state="attached")
    assert losses(page) == ["158.62", "175.61"]
    page.locator("#epoch").focus()
    page.keyboard.press("Home")
    assert losses(page) == [f"{TABLE_1[device][0].val_loss:.2f}" for device in ("CPU", "GPU")]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert losses(page) == [f"{TABLE_1[device][3].val_loss:.2f}" for device in ("CPU", "GPU")]
    assert page.locator("#epoch-shown").text_content() == "4"


def test_the_table_is_there_without_scripts(visit):
    page = visit(java_script_enabled=False).open("index.html")
    assert page.locator("#losses tr.paper td:last-child").all_text_contents() == ["158.62", "175.61"]


def test_the_first_stop_of_the_keyboard_skips_to_the_content(visit):
    page = visit().open("index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
