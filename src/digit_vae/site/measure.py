"""Measures the explorer in Chromium without a window: the first picture, a decode, frames a second with all points.

python -m digit_vae.site.measure [folder of the built site]
"""

import argparse
import platform
import shutil
import socket
import statistics
import threading
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from digit_vae.base.command import run
from digit_vae.base.errors import UserError
from digit_vae.base.ports import HOST
from digit_vae.site.build import SITE
from digit_vae.site.serve import server

VISITS = 5
ADDRESSES = {"one model": "", "two models": "#model=baseline-full-0&beside=improved-full-0"}
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


def main() -> None:
    """Raises: UserError where there is no Chromium or no site."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=SITE)
    folder = parser.parse_args().folder
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise UserError("expected chromium on the PATH, to measure the site in; received none")
    if not (folder / "explorer.html").is_file():
        raise UserError(f"{folder}/explorer.html is missing: `digit-vae site --build-only` makes it")
    serving = server(socket.create_server((HOST, 0)), folder)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        print(f"{platform.processor() or platform.machine()}, Chromium {browser.version} without a graphics processor")
        for name, mark in ADDRESSES.items():
            address = f"http://{HOST}:{serving.server_address[1]}/explorer.html{mark}"
            firsts = [
                _first_picture(browser.new_context(viewport={"width": 1440, "height": 900}), address)
                for _ in range(VISITS)
            ]
            print(f"{name}: first picture {_shown(firsts)} ms")
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(address)
            _print_of(page, name)
            page.close()
        browser.close()
    serving.shutdown()


def _first_picture(context: Any, address: str) -> float:  # noqa: ANN401 - Playwright's context
    """Milliseconds from the start of the navigation, with an empty cache."""
    page = context.new_page()
    page.goto(address)
    page.evaluate("explorer.ready.then(() => explorer.shown)")
    found = float(page.evaluate("explorer.firstPicture"))
    context.close()
    return found


def _print_of(page: Page, name: str) -> None:
    decodes = page.evaluate(DECODES)
    print(f"{name}: a decode {_shown(decodes)} ms, {page.evaluate('explorer.backend')}")
    for background in ("plain", "density", "decoded"):
        between, scripts = page.evaluate(FRAMES, background)
        rate, late = 1000 / statistics.mean(between), sum(each > 25 for each in between) / len(between)
        said = f"{rate:.0f} frames a second, {late:.0%} late; the page's script takes {_shown(scripts)} ms of each"
        print(f"{name}, background {background}: {said}")


def _shown(values: list[float]) -> str:
    """The median, and the ninth tenth."""
    return f"{statistics.median(values):.1f} (of ten, nine below {statistics.quantiles(values, n=10)[-1]:.1f})"


if __name__ == "__main__":
    run(main)
