"""Makes a picture of a digit like MNIST's images: light ink on black, 20 pixels large, centred in 28x28.

MNIST's digits were black and white, were fitted into 20x20 pixels with their proportions kept, grey where a pixel is
only partly ink, and were centred in 28x28 by their centre of mass (LeCun et al. 1998, section III.A).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from digit_vae.base.errors import UserError

SIZE, BOX = 28, 20  # pixels of an image along each side, and of the digit in it along the longer one
LONGEST = 512  # a larger picture is reduced to this many pixels along its longer side first: enough for any digit in it
NARROWEST = 20  # a picture may be at most this many times as long as wide: it gets a margin of half its length
GRID = 64  # pixels along the longer side of the reduced picture that the light is estimated on
FEWEST = 36  # of those, to fit a surface to
ROUNDS = 12  # of the robust fit, which hardly moves after the first few
SMOOTHING = 0.7  # pixels: standard deviation of the Gaussian that noise is held down with, to find the digit
NOISES = 5.0  # what is not so many standard deviations of the noise from the paper is paper
FAINTEST = 0.15  # nor what has less than this share of the strongest ink
PAPER_END, INK_START = 0.15, 0.75  # shares of the ink's level: below is none, above is full
NEAR = 0.25  # parts no farther from the largest than this share of its size belong to the digit,
HEAVY = 0.02  # where they have at least this share of its ink
ALONG_EDGE = 0.5  # a part that lies along the picture's edge for this share of its longer side is no digit
SMALLEST = 5  # pixels along the longer side: less is no digit
SPLITS = 4  # rounds of telling ink from paper by their brightness, which hardly changes after the first
APART = 0.77  # ink and paper are two shades where they explain this share of the variance; noise has 0.64, a ramp 0.75
MISTAKEN = 0.5  # the paper was taken from ink where it is wrong by more than this share of what ink differs by

# Of an empty picture, and of one with so much in it, such as many digits, that what is paper cannot be told.
NOTHING_STANDS_OUT = "expected a digit; received a picture in which no single one stands out from its paper"

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Found = tuple[Bytes, bool, tuple[str, ...]]  # a digit cut out, whether it is dark, and what was done, in words


class Prepared(NamedTuple):
    """image: (28, 28, 1) uint8. done: what was done to the picture, in words."""

    image: Bytes
    done: tuple[str, ...]


def prepare(brightness: Floats, visible: Mask) -> Prepared:
    """Finds the digit in a picture, whatever its light and polarity, and makes an image of it as MNIST has them.

    brightness: (H, W), of any range. visible: (H, W), where the picture is not transparent.
    Raises: UserError when nothing is drawn, or the picture is a narrow strip.
    """
    if max(brightness.shape) > NARROWEST * min(brightness.shape):
        height, width = brightness.shape
        raise UserError(f"expected a digit; received a strip of {width}x{height} pixels")
    if not visible.any():
        raise UserError("expected a digit; received a picture that is transparent everywhere")
    step = -(-max(brightness.shape) // LONGEST)
    brightness, visible = _reduced(brightness, step), _reduced(visible.astype(np.float64), step) > 0.5
    paper, shades = light(brightness, visible), _shades(brightness, visible)
    ink, dark, done = _evened(brightness, visible, paper, shades) or _widened(brightness, visible, shades)
    polarity = "inverted, since its ink is darker than its border" if dark else "not inverted: its ink is light"
    height, width = ink.shape
    found = f"found a digit of {width * step}x{height * step} pixels"
    return Prepared(fitted(ink)[..., np.newaxis], (*done, polarity, found, "fitted and centred"))


def _evened(brightness: Floats, visible: Mask, paper: Floats, shades: "Shades | None") -> Found | None:
    """The digit where the border is paper; None where it is ink instead: nothing is found, or the paper is mistaken.

    Raises: UserError when there is no digit, and no two shades to look for one in.
    """
    if shades is not None and np.abs(paper - shades.paper)[visible].max() > MISTAKEN * shades.apart:
        return None
    try:
        return *_found(np.where(visible, brightness - paper, 0), visible), ("evened out the light",)
    except UserError:
        if shades is None:
            raise
        return None


def _widened(brightness: Floats, visible: Mask, shades: "Shades | None") -> Found:
    """The digit that fills the picture: a margin of paper is added all around first."""
    if shades is None:
        raise UserError(NOTHING_STANDS_OUT)
    contrast = np.pad(np.where(visible, brightness - shades.paper, 0), max(brightness.shape) // 2)
    return *_found(contrast, np.ones(contrast.shape, np.bool_)), ("evened out the light", "added a margin")


def _found(contrast: Floats, visible: Mask) -> tuple[Bytes, bool]:
    """The digit in what differs from the paper, as `_digit` has it, and whether it is dark.

    Raises: UserError when there is none.
    """
    smooth = ndimage.gaussian_filter(contrast, SMOOTHING)
    noise = _noise(smooth[visible])
    dark = _is_dark(smooth, noise)
    return _digit(-contrast if dark else contrast, -smooth if dark else smooth, noise), dark


def light(brightness: Floats, visible: Mask) -> Floats:
    """What the paper's brightness would be everywhere: a quadratic surface, fitted to all that is not ink.

    It starts as the surface through the picture's border, which is mostly paper; then every visible pixel counts, the
    less the farther it is from the surface (Tukey's biweight). Returns: (H, W).
    """
    step = -(-max(brightness.shape) // GRID)
    reduced, seen = _reduced(brightness, step), _reduced(visible.astype(np.float64), step) == 1
    if seen.sum() < FEWEST:
        return np.full_like(brightness, np.median(brightness[visible]))
    all_terms = _terms(brightness.shape)
    terms = _reduced(all_terms, step)
    border = seen & ~ndimage.binary_erosion(seen, iterations=max(1, min(seen.shape) // 12))
    surface = _fit(terms[border], reduced[border], np.zeros(6), biweight=False)
    surface = _fit(terms[seen], reduced[seen], surface, biweight=True)
    return np.asarray(all_terms @ surface)


class Shades(NamedTuple):
    """A picture of two shades. paper: (H, W), what its brightness would be without ink. apart: of ink from paper."""

    paper: Floats
    apart: float


def _shades(brightness: Floats, visible: Mask) -> Shades | None:
    """Tells ink from paper where the digit may fill the picture, so that much of its border is ink.

    Otsu's threshold parts them by their brightness, together with a quadratic surface of light below both; the paper is
    what most of the outermost pixels have. Returns: None where there are no two shades.
    """
    step = -(-max(brightness.shape) // GRID)
    reduced, seen = _reduced(brightness, step), _reduced(visible.astype(np.float64), step) == 1
    all_terms = _terms(brightness.shape)
    terms, values = _reduced(all_terms, step)[seen], reduced[seen]
    if len(values) < FEWEST:
        return None
    slopes, flat = np.zeros(terms.shape[1] - 1), values
    for _ in range(SPLITS):
        fit = np.linalg.lstsq(np.column_stack([terms, flat > _threshold(flat)]), values, rcond=1e-9)[0]
        slopes = fit[1:-1]
        flat = values - terms[:, 1:] @ slopes
    bright = flat > _threshold(flat)
    if not _are_two_shades(flat, bright, float(np.ptp(values))):
        return None
    outermost = (seen & ~ndimage.binary_erosion(seen))[seen]
    paper = bright if bright[outermost].mean() > 0.5 else ~bright
    level, ink = (float(np.median(flat[each])) for each in (paper, ~paper))
    return Shades(all_terms[..., 1:] @ slopes + level, abs(ink - level))


def _threshold(values: Floats) -> float:
    """Otsu's: the two sides of it differ the most, for their sizes."""
    rising = np.sort(values)
    below = np.arange(1, len(rising))
    sums = rising.cumsum()
    means = sums[:-1] / below, (sums[-1] - sums[:-1]) / (len(rising) - below)
    place = int(np.argmax(below * (len(rising) - below) * (means[1] - means[0]) ** 2))
    return float(rising[place] + rising[place + 1]) / 2


def _are_two_shades(values: Floats, bright: Mask, extent: float) -> bool:
    """Whether the values are two heaps, as noise and uneven light are not. extent: of the values with their light."""
    if bright.all() or not bright.any() or np.ptp(values) <= 1e-3 * extent:
        return False
    within = np.where(bright, values[bright].mean(), values[~bright].mean())
    return bool(within.var() >= APART * values.var())


def fitted(ink: Bytes) -> Bytes:
    """The last steps: fits the digit into 20x20 and centres it by its centre of mass, in whole numbers only.

    ink: (h, w) uint8, 0 for paper; h and w at most 4096. The same in any language, to the last bit:
    1. Crop to the box around all pixels of at least 128: h x w remain.
    2. The longer side gets 20 pixels, the shorter one (40 * shorter + longer) // (2 * longer), but at least 1: H x W.
    3. Average areas. Pixel y of h covers [y * H, (y + 1) * H), pixel i of H covers [i * h, (i + 1) * h); their overlap
       is a whole number, and so is t[i, j], the sum over y and x of overlap(i, y) * ink[y, x] * overlap(j, x).
    4. v[i, j] = (510 * t[i, j] + m) // (2 * m), where m is the largest t: the brightest pixel becomes 255.
    5. With S the sum of v and M the sum of v[i, j] * (2 * i + 1), row 0 of v goes to row (29 * S - M) // (2 * S), kept
       within 0 and 28 - H; columns likewise. All else is 0.

    Returns: (28, 28) uint8. Raises: UserError when no pixel has 128.
    """
    rows, columns = (np.flatnonzero((ink >= 128).any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        raise UserError("expected a digit; received an empty picture")
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.int64)
    height, width = ((2 * BOX * side + max(cut.shape)) // (2 * max(cut.shape)) for side in cut.shape)
    areas = _overlaps(max(1, height), cut.shape[0]) @ cut @ _overlaps(max(1, width), cut.shape[1]).T
    values = (510 * areas + areas.max()) // (2 * areas.max())
    top, left = (_start(values.sum(axis=axis)) for axis in (1, 0))
    image = np.zeros((SIZE, SIZE), np.uint8)
    image[top : top + values.shape[0], left : left + values.shape[1]] = values
    return image


def _overlaps(to: int, of: int) -> NDArray[np.int64]:
    """How much of each of `of` pixels lies in each of `to` pixels over the same length: (to, of) whole numbers."""
    starts, places = np.arange(to)[:, np.newaxis] * of, np.arange(of) * to
    shared = np.minimum(starts + of, places + to) - np.maximum(starts, places)
    return np.asarray(shared.clip(0), np.int64)


def _start(profile: NDArray[np.int64]) -> int:
    """Where a side's first pixel goes, so that the centre of mass is in the middle; profile: sums along the side."""
    mass, moment = int(profile.sum()), int((profile * (2 * np.arange(len(profile)) + 1)).sum())
    return min(max(((SIZE + 1) * mass - moment) // (2 * mass), 0), SIZE - len(profile))


def _reduced(values: Floats, step: int) -> Floats:
    """Means over squares of `step` pixels of (H, W, ...); what fills no square at the lower and right end is lost."""
    if step == 1 or min(values.shape[:2]) < step:
        return values
    height, width = (side // step for side in values.shape[:2])
    squares = values[: height * step, : width * step].reshape(height, step, width, step, *values.shape[2:])
    return np.asarray(squares.mean(axis=(1, 3)))


def _terms(shape: tuple[int, ...]) -> Floats:
    """1, y, x, y^2, xy, x^2 of each pixel, with y and x from -1 to 1: (H, W, 6)."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    return np.stack([np.ones_like(x), y, x, y * y, x * y, x * x], axis=-1)


def _fit(terms: Floats, values: Floats, surface: Floats, *, biweight: bool) -> Floats:
    """Weighted least squares: the farther a pixel is from the surface, the less it counts. Returns: (6,).

    biweight: pixels beyond 4.685 deviations do not count. Otherwise each counts by one over its distance, which gives
    the least sum of distances.
    """
    smallest = 1e-3 * max(float(np.ptp(values)), 1e-9)
    weights = np.ones(len(values))
    for number in range(ROUNDS):
        if number or biweight:
            distance = np.abs(values - terms @ surface)
            reach = 4.685 * (1.4826 * float(np.median(distance)) + smallest)
            near = np.clip(1 - (distance / reach) ** 2, 0, None) ** 2
            weights = near if biweight else 1 / np.maximum(distance, smallest)
        weighted = terms * weights[:, np.newaxis]
        surface = np.asarray(np.linalg.lstsq(weighted.T @ terms, weighted.T @ values, rcond=1e-9)[0], np.float64)
    return surface


def _noise(values: Floats) -> float:
    """The standard deviation of the paper's noise, from the median: most values are the paper's."""
    return float(1.4826 * np.median(np.abs(values)))


def _is_dark(smooth: Floats, noise: float) -> bool:
    """Whether what stands out from the paper is darker than it."""
    far = np.abs(smooth) > max(NOISES * noise, FAINTEST * float(np.abs(smooth).max()))
    return bool(smooth[far].sum() < 0)


def _digit(contrast: Floats, smooth: Floats, noise: float) -> Bytes:
    """The digit alone, cut out: (h, w) uint8, 255 where the ink is full. Raises: UserError when there is none."""
    floor = max(NOISES * noise, FAINTEST * float(smooth.max()))
    candidates = smooth[smooth > floor]
    if not candidates.size or floor <= 1e-6:
        raise UserError(NOTHING_STANDS_OUT)
    level = float(np.quantile(candidates, 0.75))
    digit = _parts(smooth > max(floor, level / 2), smooth)
    around = ndimage.binary_dilation(digit, iterations=2)
    shares = (contrast / level - PAPER_END) / (INK_START - PAPER_END)
    ink = np.where(around, np.rint(255 * shares.clip(0, 1)), 0).astype(np.uint8)
    rows, columns = (np.flatnonzero(digit.any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _parts(mask: Mask, smooth: Floats) -> Mask:
    """The part with the most ink that is no rim of the picture, and the parts near it."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    boxes = ndimage.find_objects(labels)
    masses = ndimage.sum_labels(smooth, labels, range(1, count + 1))
    rims = np.array([_is_rim(labels == number + 1, box) for number, box in enumerate(boxes)])
    main = int(np.argmax(np.where(rims & ~rims.all(), 0, masses)))
    size = max(side.stop - side.start for side in boxes[main])
    if size < SMALLEST:
        raise UserError(f"expected a digit; received a picture with nothing larger than {size} pixels in it")
    near = ndimage.distance_transform_edt(labels != main + 1) <= NEAR * size
    inside = [number + 1 for number in range(count) if masses[number] >= HEAVY * masses[main] and not rims[number]]
    chosen = {main + 1} | {int(label) for label in inside if near[labels == label].any()}
    return np.isin(labels, list(chosen))


def _is_rim(part: Mask, box: tuple[slice, ...]) -> bool:
    """Whether a part lies along the picture's edge, as a table beside the paper does."""
    along = max(int(edge.sum()) for edge in (part[0], part[-1], part[:, 0], part[:, -1]))
    return along >= ALONG_EDGE * max(int(side.stop - side.start) for side in box)
