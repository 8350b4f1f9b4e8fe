import numpy as np
import pytest

from digit_vae.serving import photographs
from digit_vae.serving.photographs import Damage, Row, drawn_damage, photograph, prepared_photographs, table
from digit_vae.serving.preparing import fitted


def test_every_kind_of_damage_covers_its_range():
    generator = np.random.default_rng(0)
    damages = [drawn_damage(generator) for _ in range(2000)]
    for name, (low, high) in {
        "height": (0.08, 0.9),
        "gradient": (0.0, 0.7),
        "noise": (0.0, 0.1),
        "angle": (-10.0, 10.0),
    }.items():
        values = [getattr(damage, name) for damage in damages]
        assert low <= min(values) < low + 0.01 * (high - low)
        assert high >= max(values) > high - 0.01 * (high - low)
    assert 0.45 < np.mean([damage.dark for damage in damages]) < 0.55
    assert {damage.transparency for damage in damages} == set(photographs.TRANSPARENCIES)


def damage(**changes):
    plain = Damage((200, 300), 0.5, 0.4, 0.0, 0.0, 0.0, dark=False, transparency="opaque")
    return plain._replace(**changes)


def test_a_digit_has_its_height_and_contrast_whatever_the_polarity(digits):
    generator = np.random.default_rng(0)
    for dark in (False, True):
        pixels = np.asarray(photograph(digits[0, ..., 0], damage(dark=dark), generator).picture).astype(float)
        paper = np.median(pixels)
        assert np.abs(pixels - paper).max() == pytest.approx(0.4 * 255, abs=1)
        assert (paper > pixels.mean()) == dark
        rows = np.flatnonzero((np.abs(pixels - paper) > 20).any(axis=1))
        assert np.ptp(rows) + 1 == pytest.approx(100, abs=3)


def test_the_light_changes_by_its_share_of_the_contrast(digits):
    blank = np.zeros_like(digits[0, ..., 0])
    blank[0, 0] = 1
    pixels = np.asarray(photograph(blank, damage(gradient=0.7), np.random.default_rng(1)).picture).astype(float)
    assert np.ptp(pixels) == pytest.approx(0.7 * 0.4 * 255, abs=2)


def test_the_margin_is_from_the_digit_to_the_nearest_edge(digits):
    filling = damage(height=0.9, size=(200, 200))
    picture, margin = photograph(digits[0, ..., 0], filling, np.random.default_rng(2))
    drawn = np.abs(np.asarray(picture).astype(float) - np.asarray(picture)[0, 0]) > 20
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    seen = min(rows[0], columns[0], 199 - rows[-1], 199 - columns[-1]) / 200
    assert margin == pytest.approx(seen, abs=0.02)


def test_only_ink_or_paper_is_visible_where_it_is_transparent(digits):
    generator = np.random.default_rng(0)
    ink = np.asarray(photograph(digits[0, ..., 0], damage(transparency="ink alone"), generator).picture)[..., 1]
    paper = np.asarray(photograph(digits[0, ..., 0], damage(transparency="paper cut out"), generator).picture)[..., 1]
    assert 0 < (ink > 0).mean() < 0.25
    assert 0.5 < (paper > 0).mean() < 1


def test_photographs_are_prepared_into_what_the_digits_are_like(digits):
    """Turned at most a little, nearly all look like the digit itself, fitted without any damage."""
    damages, margins, images = prepared_photographs(digits[:60], np.random.default_rng(0))
    assert len(damages) == len(margins) == 60
    likeness = [
        np.corrcoef(image.ravel(), fitted(digit[..., 0]).ravel())[0, 1] if image.any() else 0
        for image, digit in zip(images, digits, strict=False)
    ]
    assert np.mean(np.array(likeness) > 0.7) >= 0.95


def test_the_table_counts_what_is_found_by_kind():
    damages = [damage(), damage(dark=True, height=0.1), damage(dark=True, gradient=0.6)]
    rows = table(damages, [0.0, 0.03, 0.2], [True, False, True])
    assert rows[0] == Row("all", 3, 2)
    counted = {row.kind: (row.photographs, row.found) for row in rows}
    assert counted["dark on light"] == (2, 1)
    assert counted["light on dark"] == (1, 1)
    assert sorted(its for kind, its in counted.items() if "margin" in kind) == [(1, 0), (1, 1), (1, 1)]
    (small,) = (row for row in rows if "height" in row.kind and row.photographs == 1)
    assert (small.found, "8 to 15" in small.kind) == (0, True)
    assert "| all | 3 | 66.7 % |" in photographs.markdown(rows)
