"""The explorer in a real browser: its numbers are TensorFlow's and the preparation's, and it does what it says."""

import io
import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from site_truth import scanned_digits, truth

from digit_vae.serving.preparing import fitted

pytestmark = pytest.mark.integration
READY = "explorer.ready.then(() => explorer.shown)"
STATE = "JSON.stringify(explorer.state)"


@pytest.fixture
def explorer(visit):
    """Makes a page with the explorer, once its first picture is there."""

    def make(mark="", **options):
        page = visit(**({"viewport": {"width": 1280, "height": 900}} | options)).open(f"explorer.html{mark}")
        page.evaluate(READY)
        return page

    return make


def numbers(page, expression, argument=None, of=np.float32):
    """The typed array that a function of JavaScript gives, as text on the way: as a list it takes seconds."""
    packed = f"""async (argument) => {{
      const bytes = new Uint8Array((await ({expression})(argument)).slice().buffer);
      return bytes.reduce((text, byte) => text + byte.toString(16).padStart(2, "0"), "");
    }}"""
    return np.frombuffer(bytes.fromhex(page.evaluate(packed, argument)), of)


def models(page):
    return page.evaluate("explorer.runs")


def put_beside(page, run):
    """Chooses a second model, and waits until its plane is there: what stands below moves down to make room for it."""
    page.get_by_label("Beside it").select_option(run)
    page.wait_for_function("() => explorer.planes.length === 2")


def seven(page):
    """Draws a seven with the mouse."""
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    points = [(0.25, 0.2), (0.75, 0.2), (0.6, 0.5), (0.45, 0.85)]
    for number, (right, down) in enumerate(points):
        page.mouse.move(box["x"] + right * box["width"], box["y"] + down * box["height"], steps=8)
        if number == 0:
            page.mouse.down()
    page.mouse.up()
    assert page.evaluate("explorer.state.strokes.length") == 1  # it was drawn on the pad


def posterior_of_drawing(page):
    """What the first model's encoder said of the whole drawing, not of a part of its last stroke: [mean, log_var]."""
    pad = "explorer.cards.find((card) => card.pad)"
    page.wait_for_function(f"""() => {{
      const {{ inked, fitted, PAD }} = explorer.prepare;
      const image = fitted(inked(explorer.state.strokes), PAD, PAD);
      return {pad}.posterior(explorer.planes[0]) && image.every((value, place) => value === {pad}.image[place]);
    }}""")
    found = page.evaluate(f"{pad}.posterior(explorer.planes[0])")
    return [found["mean"], found["log_var"]]


def test_decoded_digits_are_tensorflows(explorer):
    page = explorer()
    z = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32) * 1.5
    for run in models(page):
        page.evaluate("async (run) => void (await explorer.model(run))", run)
        pixels = numbers(page, "([run, z]) => explorer.network.decode(run, z)", [run, z.ravel().tolist()])
        pixels = pixels.reshape(-1, 28, 28)
        expected = 1 / (1 + np.exp(-np.asarray(truth(run).decoder(z), np.float64)[..., 0]))
        np.testing.assert_allclose(pixels, expected, atol=1e-4, err_msg=run)


def test_encoded_images_are_tensorflows(explorer):
    page = explorer()
    images = scanned_digits()[0][:100]
    for run in models(page):
        page.evaluate("async (run) => void (await explorer.model(run))", run)
        encode = """async (run) => {
          const images = Float32Array.from((await explorer.images).subarray(0, 78400), (value) => value / 255);
          const { mean, log_var } = await explorer.network.encode(run, images);
          return [Array.from(mean), Array.from(log_var)];
        }"""
        found = np.array(page.evaluate(encode, run)).reshape(2, 100, 2)
        np.testing.assert_allclose(found, truth(run).encoder(images / np.float32(255)), atol=1e-4, err_msg=run)


def test_without_webassembly_the_numbers_are_the_same(browser, address):
    page = browser.new_page()
    page.route("**/*.wasm", lambda route: route.abort())
    page.goto(f"{address}explorer.html#background=plain")
    page.evaluate(READY)
    assert page.evaluate("explorer.backend") == "cpu"
    run = models(page)[0]
    pixels = page.evaluate("async (run) => Array.from(await explorer.network.decode(run, [0.5, -1]))", run)
    expected = 1 / (1 + np.exp(-np.asarray(truth(run).decoder(np.array([[0.5, -1]], np.float32))).ravel()))
    np.testing.assert_allclose(pixels, expected, atol=1e-4)
    page.close()


def test_a_drawing_is_prepared_to_the_bytes_of_python(explorer):
    page = explorer("#background=plain")
    rng = np.random.default_rng(1)
    drawings = [
        [[[140, 140]]],
        [[[0, 0], [279, 279]], [[279, 0], [0, 279]]],
        [[[3, 200], [270, 204]]],
        [[[5, 5], [9, 9]]],
    ]
    for strokes in range(1, 9):
        starts, scale = rng.integers(0, 280, (strokes, 1, 2)), rng.integers(5, 120)
        wandering = starts + rng.normal(0, scale, (strokes, 12, 2)).cumsum(axis=1) / 3
        drawings.append(wandering.clip(0, 279).round().astype(int).tolist())
    for strokes in drawings:
        ink = numbers(page, "explorer.prepare.inked", strokes, np.uint8).reshape(280, 280)
        prepare = "(strokes) => explorer.prepare.fitted(explorer.prepare.inked(strokes), 280, 280)"
        image = numbers(page, prepare, strokes, np.uint8).reshape(28, 28)
        np.testing.assert_array_equal(image, fitted(ink))


def test_ink_of_any_shape_is_prepared_to_the_bytes_of_python(explorer):
    page = explorer("#background=plain")
    rng = np.random.default_rng(2)
    for height, width in [(1, 1), (1, 40), (33, 2), (19, 21), (20, 20), (64, 7), (90, 121)]:
        ink = rng.integers(0, 256, (height, width), np.uint8)
        ink[rng.integers(height), rng.integers(width)] = 255
        call = "([ink, height, width]) => Array.from(explorer.prepare.fitted(Uint8Array.from(ink), height, width))"
        image = page.evaluate(call, [ink.ravel().tolist(), height, width])
        np.testing.assert_array_equal(np.array(image).reshape(28, 28), fitted(ink), err_msg=f"{height}x{width}")
    faint = "explorer.prepare.fitted(new Uint8Array(100).fill(127), 10, 10)"
    assert page.evaluate(faint) is None


def test_a_stroke_changes_the_encoding(explorer):
    page = explorer("#background=plain")
    seven(page)
    first = posterior_of_drawing(page)
    image = page.evaluate("Array.from(explorer.cards.find((card) => card.pad).image)")
    x = np.array(image, np.float32).reshape(1, 28, 28, 1) / 255
    np.testing.assert_allclose(first, np.concatenate(truth(models(page)[0]).encoder(x)), atol=1e-4)
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.55 * box["height"], steps=8)
    page.mouse.up()
    page.wait_for_function(
        "(before) => explorer.cards.find((card) => card.pad).posterior(explorer.planes[0]).mean[0] !== before",
        arg=first[0][0],
    )
    page.get_by_role("button", name="Clear").first.click()
    page.wait_for_function("() => !explorer.cards.find((card) => card.pad).posterior(explorer.planes[0])")


def test_the_address_restores_the_view(explorer):
    page = explorer()
    runs = models(page)
    put_beside(page, runs[1])
    page.get_by_role("radio", name="Density").check()
    page.get_by_role("button", name="Points of 3").click()
    seven(page)
    plane = page.locator(".latent").first
    plane.scroll_into_view_if_needed()
    plane.focus()
    for key in ["ArrowLeft", "a", "Shift+ArrowUp", "b", "+", "+", "Enter"]:
        page.keyboard.press(key)
    page.evaluate("explorer.keepNow()")
    state, mark = page.evaluate(STATE), page.evaluate("location.hash")
    assert all(each in mark for each in ("beside=", "background=density", "hidden=3", "view=", "image=", "strokes="))
    digit = "Array.from(explorer.planes[1].decoded.pixels)"
    page.wait_for_function("() => explorer.planes.every((plane) => plane.decoded?.place.join() === plane.asked.join())")
    again = explorer(mark)
    assert rounded(again.evaluate(STATE)) == rounded(state)
    again.wait_for_function(
        "() => explorer.planes.every((plane) => plane.decoded?.place.join() === plane.asked.join())"
    )
    np.testing.assert_allclose(again.evaluate(digit), page.evaluate(digit), atol=1e-6)
    np.testing.assert_allclose(posterior_of_drawing(again), posterior_of_drawing(page), atol=1e-6)


def rounded(state):
    """As the address has it, which gives places four digits; a test image has a place of its own."""
    return re.sub(r'"z":\[.*?\],', "", re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.4f}", state))


@pytest.mark.parametrize(
    "mark", ["#model=nothing&view=a,b,c&image=-1&z=1", "#image=99999999&strokes=zzz.!&background=x"]
)
def test_an_address_that_means_nothing_shows_what_is_usual(explorer, mark):
    page = explorer(mark)
    assert page.evaluate("[explorer.state.model, explorer.state.image, explorer.state.background]") == [
        models(page)[0], None, "decoded",
    ]  # fmt: skip


@pytest.mark.parametrize(("span", "shown"), [("1e-300", 0.02), ("999", 40)])
def test_an_address_zooms_no_further_than_the_wheel(explorer, span, shown):
    page = explorer(f"#view=5,5,{span}")
    assert page.evaluate("[...explorer.planes[0].view.centre, explorer.planes[0].view.span]") == [5, 5, shown]


def test_the_pointer_decodes_and_a_click_keeps_a_test_image(explorer):
    page = explorer("#background=plain")
    plane = page.locator(".latent")
    box = plane.bounding_box()
    place = page.evaluate("[...explorer.planes[0].view.pixel(explorer.planes[0].posterior(7).mean)]")
    page.mouse.move(box["x"] + 1 + place[0], box["y"] + 1 + place[1])
    page.wait_for_function("() => explorer.hovered && explorer.image !== null")
    page.mouse.down()
    page.mouse.up()
    image = page.evaluate("explorer.state.image")
    label = scanned_digits()[1][image]
    name = f"Test image {image}, {'an' if label == 8 else 'a'} {label}"
    page.get_by_role("heading", name=name).wait_for()
    assert name in page.locator("#spoken").inner_text()
    losses = page.locator("#image-body dd").all_inner_texts()
    measured = page.evaluate(
        "(image) => ['reconstruction_loss', 'kl'].map((name) => explorer.planes[0].model.arrays[name].values[image])",
        image,
    )
    assert [float(each) for each in losses[:2]] == pytest.approx(measured, abs=0.051)
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.wait_for_function("() => explorer.planes[0].decoded.place[0] < explorer.planes[0].posterior(7).mean[0]")


def test_the_map_of_the_classifier_has_its_highest_row_first(explorer):
    page = explorer("#background=plain&z=-2.5,2.5")
    page.evaluate("""() => {
      const { model } = explorer.planes[0];
      const values = Uint8Array.from({ length: 16 }, (_, cell) => cell % 10);
      Object.assign(model.arrays, { map_classes: { shape: [4, 4], values }, map_percent: { shape: [4, 4], values } });
      model.regions_reach = 4;
      explorer.set({ background: "regions" });
    }""")
    for place, digit in {(-3, 3): 0, (3, 3): 3, (-3, 1): 4, (3, -3): 15 % 10, (-1, -3): 13 % 10}.items():
        assert page.evaluate("(place) => explorer.planes[0].seen(place).digit", place) == digit
    assert page.evaluate("explorer.planes[0].seen([4.5, 0])") is None
    # In the cell of the 5: near its middle, near its left and its lower edge.
    others = [
        page.evaluate("(place) => explorer.planes[0].seen(place).other", at) for at in [(-1.1, 1), (-1.9, 1), (-1, 0.1)]
    ]
    assert others == [None, 4, 9]


def test_the_mouse_moves_and_zooms_the_view(explorer):
    page = explorer("#background=plain")
    view = "JSON.parse(JSON.stringify(explorer.view))"
    box = page.locator(".latent").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = page.evaluate(view)
    page.mouse.move(*middle)
    page.mouse.wheel(0, -400)
    page.wait_for_function("(before) => explorer.view.span < before / 2", arg=before["span"])
    zoomed = page.evaluate(view)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1], steps=4)
    page.mouse.up()
    moved = page.evaluate(view)
    scale = zoomed["span"] / (box["width"] - 2)
    assert moved["centre"][0] == pytest.approx(zoomed["centre"][0] - 60 * scale, abs=scale * 1.5)
    assert page.evaluate("explorer.state.image") is None
    page.get_by_role("button", name="Whole").click()
    assert page.evaluate(view) == before


def test_fingers_point_and_pinch(explorer):
    page = explorer("#background=plain", has_touch=True, viewport={"width": 390, "height": 844})
    box = page.locator(".latent").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.touchscreen.tap(x + 40, y + 30)
    tapped = page.evaluate("explorer.place(explorer.planes[0])")
    assert tapped != [0, 0]
    span = page.evaluate("explorer.view.span")
    fingers = page.context.new_cdp_session(page)

    def touch(kind, apart):
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}] if apart else []
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 30)
    for apart in (40, 60, 90):
        touch("touchMove", apart)
    touch("touchEnd", 0)
    assert page.evaluate("explorer.view.span") == pytest.approx(span / 3, rel=0.05)
    assert page.evaluate("explorer.place(explorer.planes[0])") == tapped


def test_a_path_plays_from_one_end_to_the_other(explorer):
    page = explorer("#background=plain&from=-1,0.5&to=1,-0.5")
    page.wait_for_function("() => document.querySelectorAll('#path-strips canvas').length === 11")
    page.evaluate("""() => {
      window.places = [];
      const look = () => { places.push(explorer.place(explorer.planes[0])); requestAnimationFrame(look); };
      look();
    }""")
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    first = np.array([place for place in page.evaluate("places") if place != [0, 0]])
    assert first[0] == pytest.approx([-1, 0.5], abs=0.2)
    assert first[-1] == pytest.approx([1, -0.5], abs=0.2)
    assert (np.diff(first[:, 0]) >= 0).all()
    np.testing.assert_allclose(first[:, 1], -first[:, 0] / 2, atol=1e-9)


def test_on_a_phone_the_digit_of_a_path_moves_beside_play(explorer):
    page = explorer("#background=plain&from=-1,0.5&to=1,-0.5", viewport={"width": 390, "height": 844})
    page.wait_for_function("() => document.querySelectorAll('#path-strips canvas').length === 11")
    play, digit = page.get_by_role("button", name="Play"), page.locator("#path-moving canvas")
    play.scroll_into_view_if_needed()
    picture = "document.querySelector('#path-moving canvas').toDataURL()"
    first = page.evaluate(picture)
    play.click()
    page.get_by_role("button", name="Stop").wait_for()
    assert digit.bounding_box()["y"] - page.locator("#path-play").bounding_box()["y"] < 200
    page.wait_for_function(f"(first) => {picture} !== first", arg=first)


@pytest.mark.parametrize("way", ["slider", "play"])
def test_an_address_without_a_path_ends_the_one_that_is_travelled(explorer, way):
    page = explorer("#background=plain&from=-1,0.5&to=1,-0.5")
    page.wait_for_function("() => document.querySelectorAll('#path-strips canvas').length === 11")
    if way == "slider":
        page.locator("#path-slider").focus()
        page.keyboard.press("ArrowRight")
    else:
        page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => explorer.travelling !== null")
    page.evaluate("location.hash = '#background=plain&z=0.5,0.25'")
    page.wait_for_function("() => explorer.planes[0].decoded?.place.join() === '0.5,0.25'")
    assert page.locator("#path-play").inner_text() == "Play"
    assert page.evaluate("explorer.travelling") is None


def test_traversals_change_one_dimension(explorer):
    page = explorer("#background=plain&z=0.5,1")
    page.get_by_role("button", name=re.compile(r"go to z1 = \u22122\.25")).click()
    assert page.evaluate("explorer.state.z") == [0.5, -2.25]


def test_the_view_is_saved_as_a_png(explorer):
    page = explorer("#background=density")
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="Save PNG").click()
    assert downloaded.value.suggested_filename.endswith(".png")
    with Image.open(io.BytesIO(downloaded.value.path().read_bytes())) as picture:
        assert min(picture.size) > 900
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 500  # points and density are in it


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_in_a_page_at_work(explorer, theme):
    page = explorer("#background=plain&image=5&from=0,0&to=1,1", color_scheme=theme)
    put_beside(page, models(page)[1])
    seven(page)
    posterior_of_drawing(page)
    page.locator("summary").click()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found] == []


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_two_models_are_no_wider_than_the_screen(explorer, width):
    page = explorer("#background=plain&image=3&from=0,0&to=1,1", viewport={"width": width, "height": 844})
    put_beside(page, models(page)[1])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
