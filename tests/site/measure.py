"""Measures the explorer of build/site in Chromium: the first picture, a decode, frames a second with all points.

$ make site BUILD=1; python -m pytest -s tests/site/measure.py

No test: its name keeps it out of those, and a busy machine fails nothing.
"""

import platform
import statistics
from pathlib import Path

import pytest

from digit_vae.site.build import SITE

BUILT = Path(__file__).parents[2] / SITE
VISITS = 5
SCREEN = {"viewport": {"width": 1440, "height": 900}}
# In the page: 200 decodes one after the other; and 4 seconds in which the view moves and zooms with every frame.
DECODES = """async () => {
  await explorer.shown;
  await new Promise((resolve) => setTimeout(resolve, 4000));  // the background is whole by then
  const seconds = [];
  for (let turn = 0; turn < 200; turn++) {
    const before = performance.now();
    await explorer.network.decode(explorer.state.model, [3 * Math.cos(turn), 3 * Math.sin(turn)]);
    seconds.push(performance.now() - before);
  }
  return seconds;
}"""
FRAMES = """(background) => new Promise((resolve) => {
  explorer.set({ background });
  const [times, scripts] = [[], []];
  const frame = explorer.frame;
  explorer.frame = () => {
    const before = performance.now();
    frame();
    scripts.push(performance.now() - before);
  };
  const step = (now) => {
    times.push(now);
    const turn = (now - times[0]) / 1000;
    explorer.set({ centre: [Math.cos(turn), Math.sin(turn)], span: 6 + 3 * Math.sin(2 * turn) });
    if (turn < 4) requestAnimationFrame(step);
    else resolve([times.slice(1).map((time, number) => time - times[number]), scripts]);
  };
  requestAnimationFrame(step);
})"""


@pytest.mark.skipif(not (BUILT / "explorer.html").is_file(), reason="`make site BUILD=1` makes what is measured")
@pytest.mark.parametrize(
    ("name", "mark"),
    [("one model", ""), ("two models", "#model=baseline-full-0&beside=improved-full-0")],
)
def test_speed(name, mark, browser, served):
    address = f"{served(BUILT)}explorer.html{mark}"
    machine = platform.processor() or platform.machine()
    print(f"\n{machine}, Chromium {browser.version} without a graphics processor")
    print(f"{name}: first picture {shown([first_picture(browser, address) for _ in range(VISITS)])} ms")
    page = browser.new_page(**SCREEN)
    page.goto(address)
    print(f"{name}: a decode {shown(page.evaluate(DECODES))} ms, {page.evaluate('explorer.backend')}")
    for background in ("plain", "density", "decoded"):
        between, scripts = page.evaluate(FRAMES, background)
        rate, late = 1000 / statistics.mean(between), sum(each > 25 for each in between) / len(between)
        said = f"{rate:.0f} frames a second, {late:.0%} late; the page's script takes {shown(scripts)} ms of each"
        print(f"{name}, background {background}: {said}")
    page.close()


def first_picture(browser, address):
    """Milliseconds from the start of the navigation, with an empty cache."""
    context = browser.new_context(**SCREEN)
    page = context.new_page()
    page.goto(address)
    page.evaluate("explorer.ready.then(() => explorer.shown)")
    found = page.evaluate("explorer.firstPicture")
    context.close()
    return found


def shown(values):
    """The median, and the ninth tenth."""
    return f"{statistics.median(values):.1f} (of ten, nine below {statistics.quantiles(values, n=10)[-1]:.1f})"
