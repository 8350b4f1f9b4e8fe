import io
from statistics import NormalDist

import matplotlib as mpl
import numpy as np
import pytest
from example_metrics import health
from matplotlib.image import imread
from sklearn.decomposition import PCA

from digit_vae.report import figures

EPOCHS = [
    {name: float(10 * epoch + place) for place, name in enumerate(
        ("loss", "reconstruction_loss", "kl_loss", "val_loss", "val_reconstruction_loss", "val_kl_loss"))}
    | {"epoch": epoch} for epoch in (1, 2, 3)
]  # fmt: skip

SWEEP = [
    (0.5, np.array([7.0, 9.0]), np.array([149.0, 151.0]), np.array([False, False])),
    (1.0, np.full(2, 6.0), np.full(2, 151.0), np.array([False, False])),
    (4.0, np.full(2, 4.0), np.full(2, 160.0), np.array([False, True])),
]
NUMERALS = tuple("0123456789")


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def chunks(png):
    """The types of a PNG's chunks, read as its specification says."""
    position, found = 8, []
    while position < len(png):
        found.append(png[position + 4 : position + 8])
        position += 12 + int.from_bytes(png[position : position + 4], "big")
    return found


def test_png_is_the_same_twice_and_names_no_software_or_time():
    first, second = (
        figures.png_bytes(figures.digits(noise(4, 28, 28), noise(4, 28, 28), noise(4, 28, 28), title="a"))
        for _ in range(2)
    )
    assert first == second
    assert not {b"tEXt", b"iTXt", b"zTXt", b"tIME"} & set(chunks(first))
    assert imread(io.BytesIO(first)).shape[1] == round(150 * figures.WIDTH)


def test_the_style_does_not_depend_on_the_settings_outside_nor_change_them():
    expected = figures.png_bytes(figures.rate_distortion(SWEEP))
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "savefig.dpi": 40, "figure.dpi": 40}):
        before = dict(mpl.rcParams)
        assert figures.png_bytes(figures.rate_distortion(SWEEP)) == expected
        assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(("count", "rows"), [(3, 1), (10, 1), (25, 3)])
def test_digits_shows_originals_reconstructions_and_generated_dark_on_white(count, rows):
    blocks = [noise(count, 28, 28) for _ in range(3)]
    figure = figures.digits(*blocks, title="baseline-full")
    assert [axes.get_ylabel() for axes in figure.axes] == ["original", "reconstruction", "generated"]
    for axes, images in zip(figure.axes, blocks, strict=True):
        shown = axes.images[0].get_array()
        assert shown.shape == (30 * rows - 2, 30 * 10 - 2)
        np.testing.assert_array_equal(shown[:28, 30:58], 255 - images[1])


def test_latent_scatter_shows_every_point_in_its_digits_colour_and_names_each_class():
    z_mean, labels = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 10
    axes = figures.latent_scatter(z_mean, labels, NUMERALS, title="a").axes[0]
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), z_mean)
    colours = axes.collections[0].get_facecolors()[:, :3]
    assert all((colours[labels == digit] == colours[digit]).all() for digit in range(10))
    assert len(np.unique(colours, axis=0)) == 10
    assert [text.get_text() for text in axes.texts] == [str(digit) for digit in range(10)]
    medians = np.array([np.median(z_mean[labels == digit], axis=0) for digit in range(10)])
    distance = 0.05 * np.ptp(z_mean, axis=0)
    np.testing.assert_array_equal([text.xy for text in axes.texts], figures.apart(medians, distance))


def test_numerals_that_are_near_each_other_are_pushed_apart_and_the_others_stay():
    places, distance = np.array([[0.0, 0.0], [0.1, 0.0], [9.0, 10.0]]), np.array([0.5, 2.0])
    moved = figures.apart(places, distance)
    np.testing.assert_allclose(moved, [[-0.2, 0.0], [0.3, 0.0], [9.0, 10.0]], atol=1e-3)
    equal = np.full((3, 2), 7.0)
    np.testing.assert_array_equal(figures.apart(equal, np.zeros(2)), equal)


def test_latent_scatter_of_more_dimensions_shows_the_principal_components_and_says_so():
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.normal(size=(5, 5)))[0]
    z_mean = random.normal(size=(200, 5)) * [1, 5, 0.1, 3, 0.5] @ directions
    axes = figures.latent_scatter(z_mean, np.arange(200) % 10, NUMERALS, title="a").axes[0]
    shown, expected = axes.collections[0].get_offsets(), PCA(2).fit(z_mean)
    told = (axes.get_xlabel(), axes.get_ylabel())
    for place, (component, label) in enumerate(zip(expected.transform(z_mean).T, told, strict=True)):
        assert np.abs(np.corrcoef(shown[:, place], component)[0, 1]) == pytest.approx(1)
        assert f"principal component {place + 1} of 5 dimensions" in label
        assert f"{expected.explained_variance_ratio_[place]:.0%}" in label
    again = figures.latent_scatter(-z_mean[::-1], np.arange(200) % 10, NUMERALS, title="a").axes[0]
    np.testing.assert_allclose(again.collections[0].get_offsets(), -shown[::-1], atol=1e-9)  # the sign is of the model


def test_latent_scatter_of_collapsed_dimensions_is_drawn():
    assert figures.latent_scatter(np.zeros((10, 5)), np.arange(10), NUMERALS, title="a").axes


def test_latent_scatter_of_one_dimension_shows_it_by_class():
    z_mean, labels = np.linspace(-1, 1, 20)[:, None], np.arange(20) % 10
    axes = figures.latent_scatter(z_mean, labels, NUMERALS, title="a").axes[0]
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), np.column_stack([z_mean[:, 0], labels]))
    assert [text.get_text() for text in axes.get_yticklabels()] == list(NUMERALS)


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_latent_scatter_without_labels_names_no_class(latent_dim):
    z_mean = np.random.default_rng(0).normal(size=(50, latent_dim))
    axes = figures.latent_scatter(z_mean, np.zeros(0, np.uint8), (), title="a").axes[0]
    assert not axes.texts
    if latent_dim == 1:
        assert sum(bar.get_height() for bar in axes.patches) == 50
    else:
        assert len(axes.collections[0].get_offsets()) == 50


def test_many_classes_have_a_colour_and_a_name_each():
    z_mean, labels = np.random.default_rng(0).normal(size=(620, 2)), np.arange(620) % 62
    names = [f"class {label}" for label in range(62)]
    figure = figures.latent_scatter(z_mean, labels, names, title="a")
    assert len(np.unique(figure.axes[0].collections[0].get_facecolors(), axis=0)) == 62
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names


@pytest.mark.parametrize("epochs", [1, 3])
def test_loss_curves_show_the_history_and_what_was_published(epochs):
    figure = figures.loss_curves(EPOCHS[:epochs], title="a", published=[9.0, 8.0], source="the paper")
    for axes, key in zip(figure.axes, ("loss", "reconstruction_loss", "kl_loss"), strict=True):
        training, validation = axes.lines[:2]
        assert list(training.get_ydata()) == [epoch[key] for epoch in EPOCHS[:epochs]]
        assert list(validation.get_ydata()) == [epoch[f"val_{key}"] for epoch in EPOCHS[:epochs]]
        assert list(validation.get_xdata()) == [epoch["epoch"] for epoch in EPOCHS[:epochs]]
    assert [list(line.get_ydata()) for line in figure.axes[0].lines[2:]] == [[9.0, 8.0]]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["training", "validation", "validation, the paper"]


def test_latent_plane_keeps_rows_and_columns_and_ticks_stand_at_the_priors_quantiles():
    plane = noise(4, 4, 28, 28)
    axes = figures.latent_plane(plane, title="a").axes[0]
    np.testing.assert_array_equal(255 - axes.images[0].get_array()[28:56, 84:112], plane[1, 3])
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert (left, right, bottom, top) == (0, 4, 0, 4)
    names = [text.get_text() for text in axes.get_yticklabels()]
    ticks = dict(zip(names, axes.get_yticks(), strict=True))
    assert ticks["0"] == 2.0
    assert NormalDist().inv_cdf(ticks["\N{MINUS SIGN}1"] / 4) == pytest.approx(-1.0)


def test_ablation_shows_folds_mean_and_both_intervals_of_each_variant():
    dropout = ([1.0, 2.0, 6.0], [False, True, False], (3.0, -1.0, 7.0), (1.5, 5.0))
    l1_l2 = ([0.0, 0.5, 1.0], [False, False, False], (0.5, -0.5, 1.5), (0.2, 0.8))
    figure = figures.ablation({"ELBO": {"dropout": dropout, "l1_l2": l1_l2}})
    axes = figure.axes[0]
    folds, collapsed, interval, bootstrap, mean = axes.lines[:5]
    np.testing.assert_array_equal(folds.get_xdata(), [1.0, np.nan, 6.0])
    np.testing.assert_array_equal(collapsed.get_xdata(), [np.nan, 2.0, np.nan])
    assert figures.COLLAPSED in [text.get_text() for text in figure.legends[0].get_texts()]
    whole = figures.ablation({"ELBO": {"l1_l2": l1_l2}})
    assert figures.COLLAPSED not in [text.get_text() for text in whole.legends[0].get_texts()]
    assert list(interval.get_xdata()) == [-1.0, 7.0]
    assert list(bootstrap.get_xdata()) == [1.5, 5.0]
    assert list(mean.get_xdata()) == [3.0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["dropout", "l1_l2"]
    assert axes.get_ylim() == (1.5, -0.5)


def test_rate_distortion_shows_each_fold_over_beta_and_means_and_draws_equal_elbo_through_the_best():
    axes = figures.rate_distortion(SWEEP).axes[0]
    first, second, means, collapsed, equal_elbo = axes.lines
    np.testing.assert_array_equal(collapsed.get_xydata(), [(4, 160)])
    np.testing.assert_array_equal(first.get_xydata(), [(7, 149), (6, 151), (4, 160)])
    np.testing.assert_array_equal(second.get_xydata(), [(9, 151), (6, 151), (4, 160)])
    np.testing.assert_array_equal(means.get_xydata(), [(8, 150), (6, 151), (4, 160)])
    names = {text.get_text(): tuple(text.xy) for text in axes.texts}
    assert names == {"β = 0.5": (8.0, 150.0), "β = 1": (6.0, 151.0), "β = 4": (4.0, 160.0)}
    assert (tuple(equal_elbo.get_xy1()), equal_elbo.get_slope()) == ((6.0, 151.0), -1)


def test_seeds_shows_every_loss_the_papers_two_and_loss_against_dead_units():
    losses = {"baseline": [154.0, 156.0, 158.0], "improved": [149.0], "searched": [145.0]}
    figure = figures.seeds(losses, (150.0, 162.0), {"CPU": 158.6, "GPU": 175.6}, [(11, 154.0), (13, 158.0)], units=16)
    left, right = figure.axes
    baseline, mean, improved, _, searched, _, cpu, gpu = left.lines
    assert (list(baseline.get_xdata()), list(mean.get_xdata())) == ([154.0, 156.0, 158.0], [156.0])
    assert (list(improved.get_xdata()), list(improved.get_ydata())) == ([149.0], [1])
    assert (list(searched.get_xdata()), list(searched.get_ydata())) == ([145.0], [2])
    assert (list(cpu.get_xdata()), list(gpu.get_xdata())) == ([158.6], [175.6])
    assert [text.get_text() for text in left.get_yticklabels()] == ["baseline", "improved", "searched", "paper"]
    band = left.patches[0].get_extents().transformed(left.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((150.0, 162.0))
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [(11, 154.0), (13, 158.0)])


def test_recipes_shows_loss_and_dead_units_of_every_run_beside_the_target():
    runs = {"baseline": [(154.0, 11), (158.0, 14)], "warmup": [(149.0, 3)]}
    loss, dead = figures.recipes(runs, (150.0, 162.0), target=150.0, units=16).axes
    target, baseline, warmup = loss.lines
    assert list(target.get_xdata()) == [150.0, 150.0]
    assert (list(baseline.get_xdata()), list(baseline.get_ydata())) == ([154.0, 158.0], [0, 0])
    assert (list(warmup.get_xdata()), list(warmup.get_ydata())) == ([149.0], [1])
    assert [list(line.get_xdata()) for line in dead.lines] == [[11, 14], [3]]
    assert [text.get_text() for text in loss.get_yticklabels()] == ["baseline", "warmup"]
    assert loss.get_ylim() == (1.5, -0.5)


def test_health_shows_a_line_for_each_run_and_the_papers_losses():
    epochs = [epoch | {"health": health(10 + epoch["epoch"], 6.0, 2, asleep=epoch["epoch"] == 1)} for epoch in EPOCHS]
    figure = figures.health(
        {"baseline": [epochs, epochs], "improved": [epochs]}, {"CPU": [9.0], "GPU": [8.0, 7.0]}, units=16
    )
    loss, dead, least = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines[3:]] == [[9.0], [8.0, 7.0]]
    elbos = [epoch["val_reconstruction_loss"] + epoch["val_kl_loss"] for epoch in EPOCHS]
    assert list(loss.lines[0].get_ydata()) == elbos
    assert list(dead.lines[2].get_ydata()) == [11, 12, 13]
    assert list(least.lines[1].get_ydata()) == [0.01, 3.0, 3.0]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["baseline", "improved", "paper, CPU", "paper, GPU"]


def test_epoch_seconds_shows_every_epoch_and_the_median_of_the_runs_medians():
    axes = figures.epoch_seconds({"a CPU": [[10.0, 12.0, 20.0], [14.0]], "paper, GPU": [[16, 3, 5]]}).axes[0]
    epochs, median, _, paper = axes.lines
    assert list(epochs.get_xdata()) == [10.0, 12.0, 20.0, 14.0]
    assert (list(median.get_xdata()), list(median.get_ydata())) == ([13.0], [0])
    assert list(paper.get_xdata()) == [5]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a CPU", "paper, GPU"]
    assert axes.get_xscale() == "log"


def test_latent_map_places_colours_contours_and_numerals_on_the_plane():
    """Ones to the left, sevens to the right; all of the aggregate posterior in one cell below them."""
    edges = np.linspace(-4, 4, 9)
    classes = np.full((8, 8), 7)
    classes[:, :3] = 1
    confidence, mass = np.ones((8, 8)), np.full((8, 8), 1e-6)
    confidence[0, 0] = 0.1
    mass[6, 5] = 1
    samples = {"map_classes": classes, "map_confidence": confidence, "map_mass": mass, "map_edges": edges}
    axes = figures.latent_map(samples, NUMERALS, title="a").axes[0]
    picture = axes.images[0]
    assert picture.get_extent() == [-4, 4, -4, 4]
    np.testing.assert_array_equal(picture.get_array()[0, 0], [1, 1, 1])  # no digit more likely than another: white
    assert len(np.unique(picture.get_array().reshape(-1, 3), axis=0)) == 3
    numerals = {text.get_text(): text.xy for text in axes.texts}
    assert numerals.keys() == {"1", "7"}
    assert numerals["1"][0] < -1 < numerals["7"][0]
    assert len(axes.collections) == 2
    for contour in axes.collections:
        [path] = contour.get_paths()
        np.testing.assert_allclose((path.vertices.min(axis=0) + path.vertices.max(axis=0)) / 2, [1.5, -2.5])
    radii = sorted({circle.get_radius() for circle in axes.patches})
    np.testing.assert_allclose([1 - np.exp(-(radius**2) / 2) for radius in radii], [0.5, 0.9])


def test_latent_map_without_a_classifier_has_contours_alone():
    mass = np.full((8, 8), 1 / 64)
    mass[3, 3] = 0.5
    axes = figures.latent_map({"map_mass": mass, "map_edges": np.linspace(-4, 4, 9)}, (), title="a").axes[0]
    assert (axes.images[0].get_array() == 1).all()
    assert len(axes.collections) == 2
    assert not axes.texts


def test_digits_beside_has_a_row_for_each_run_under_the_test_images():
    originals, first, second = noise(10, 28, 28), noise(10, 28, 28) // 2, noise(10, 28, 28) // 3
    figure = figures.digits_beside(originals, {"a-0": (first, second), "b-0": (second, first)})
    left, right = (255 - axes.images[0].get_array() for axes in figure.axes)
    assert left.shape == right.shape == (3 * 28, 10 * 28)
    np.testing.assert_array_equal(left[:28, 28:56], originals[1])
    np.testing.assert_array_equal(left[28:56, :28], first[0])
    np.testing.assert_array_equal(right[56:, -28:], first[9])
    assert not right[:28].any()
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["test images", "a-0", "b-0"]
