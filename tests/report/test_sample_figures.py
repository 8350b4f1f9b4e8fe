import numpy as np
import pytest
from example_project import TEST_IMAGES, samples, write_arrays, write_project

from digit_vae.analysis.results import read_results
from digit_vae.base.errors import UserError
from digit_vae.base.files import npz_bytes, read_npz, write_bytes
from digit_vae.base.paths import RunFiles
from digit_vae.config.runs import runs
from digit_vae.report.sample_figures import digits_beside, paper_figures, read_digits, shown_beside

LABELS, NUMERALS = np.arange(TEST_IMAGES) % 10, tuple("0123456789")


@pytest.fixture
def params(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = write_project(tmp_path)
    write_arrays(tmp_path, found)
    return found


def test_the_papers_figures_show_its_two_runs(params):
    drawn = paper_figures(params, LABELS, NUMERALS)
    assert set(drawn) == {
        "figure_1_reconstructions", "figure_2_reconstructions", "figure_3_latent", "figure_4_latent",
        "latent_plane", "latent_map",
    }  # fmt: skip
    second = read_npz(RunFiles("paper", "baseline-full-1").samples, made_by="test")
    shown = drawn["figure_2_reconstructions"].axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown[:28, :28], 255 - second["originals"][0])
    offsets = drawn["figure_4_latent"].axes[0].collections[0].get_offsets()
    np.testing.assert_array_equal(offsets, second["z_mean"])


def test_a_run_of_each_variant_is_shown_on_a_fold_where_it_can_be(params):
    results = read_results(params, "beyond")
    assert [run.name for run in shown_beside(results, "paper").runs] == ["baseline-fold0-0", "dropout-fold0-0"]
    beyond = shown_beside(results, "beyond")
    names = [run.name for run in beyond.runs]
    assert names == ["baseline-full-2", "improved-fold0-0", "warmup-full-0", "beta_0_5-fold0-0", "beta_2-fold0-0"]
    assert (shown_beside(results, "paper").mixed, beyond.mixed) == (False, True)


def test_the_kind_of_split_that_more_variants_have_comes_first(params):
    for run in runs(params, "beyond"):
        if run.variant == "beta_2":
            RunFiles("beyond", run.name).digits.unlink(missing_ok=True)
    beyond = shown_beside(read_results(params, "beyond"), "beyond")
    names = [run.name for run in beyond.runs]
    assert names == ["baseline-full-2", "improved-full-0", "warmup-full-0", "beta_0_5-fold0-0"]
    assert beyond.missing == ["beta_2"]


def test_samples_of_other_test_images_are_refused(params):
    with pytest.raises(
        UserError, match=r"baseline-full-0/samples.npz.*100 test images.*evaluate_paper@baseline-full-0"
    ):
        paper_figures(params, LABELS[:100], NUMERALS)


def test_a_latent_space_without_a_plane_has_no_picture_of_one(params):
    found = samples(params, np.random.default_rng(0))
    found.pop("plane")
    write_bytes(RunFiles("paper", "baseline-full-0").samples, npz_bytes(found))
    assert not {"latent_plane", "latent_map"} & set(paper_figures(params, LABELS, NUMERALS))


def test_runs_whose_images_are_not_here_are_not_shown(params):
    RunFiles("beyond", "beta_2-fold0-0").digits.unlink()
    shown = shown_beside(read_results(params, "beyond"), "beyond").runs
    assert "beta_2-fold0-0" not in [run.name for run in shown]
    assert list(digits_beside(shown)) == ["digits_beside", "samples_beside"]
    assert digits_beside([]) == {}


def test_digits_of_prior_and_mixture_are_shown_of_each_run(params):
    shown = shown_beside(read_results(params, "beyond"), "beyond").runs
    figure = digits_beside(shown)["samples_beside"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [run.name for run in shown]
    first = read_npz(RunFiles("beyond", names[0]).digits, made_by="test")
    for axes, key in zip(figure.axes, ("prior", "mixture"), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array()[:28, 28:56], 255 - first[key][1])


def test_fewer_classes_than_points_leave_their_places_empty(params):
    run = runs(params, "paper")[0]
    path = RunFiles("paper", run.name).digits
    found = read_npz(path, made_by="test")
    write_bytes(path, npz_bytes(found | {key: found[key][:3] for key in ("originals", "reconstructions")}))
    axes = digits_beside([run])["digits_beside"].axes[0]
    shown = 255 - axes.images[0].get_array()
    np.testing.assert_array_equal(shown[:28, 56:84], found["originals"][2])
    assert not shown[:, 84:].any()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("decoded", lambda _: None),
        ("decoded", lambda images: images[:5]),
        ("originals", lambda images: images[:0]),
        ("originals", lambda images: images.reshape(10, 784)),
        ("reconstructions", lambda images: images / 255),
        ("prior", lambda images: images[..., :27]),
    ],
)
def test_images_of_another_shape_are_refused_with_file_and_array(params, name, change):
    run = runs(params, "paper")[0]
    path = RunFiles("paper", run.name).digits
    found = read_digits(run)
    changed = change(found.pop(name))
    write_bytes(path, npz_bytes(found if changed is None else found | {name: changed}))
    with pytest.raises(UserError, match=rf"{path} is damaged \(.*\b{name}\b"):
        digits_beside([run])
