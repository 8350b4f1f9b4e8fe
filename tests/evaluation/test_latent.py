"""What the latent space tells, against SciPy's densities, closed forms, and clouds of points made by hand."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.metrics import silhouette_score

from digit_vae.evaluation import latent
from digit_vae.evaluation.latent import Posterior


def posterior(images, latent_dim=2, *, seed=0, spread=1.0):
    random = np.random.default_rng(seed)
    return Posterior(spread * random.normal(size=(images, latent_dim)), random.normal(-2, 0.5, (images, latent_dim)))


def kl(each):
    return 0.5 * (each.mean**2 + np.exp(each.log_var) - 1 - each.log_var).sum(axis=1).mean()


def ten_spots(images, *, apart):
    """Points around ten places on a circle, and which of them each is of."""
    random, labels = np.random.default_rng(images), np.arange(images) % 10
    angle = 2 * np.pi * labels / 10
    return apart * np.stack([np.cos(angle), np.sin(angle)], axis=1) + random.normal(size=(images, 2)), labels


def test_log_aggregate_is_the_log_density_of_the_mixture_of_scipys_gaussians():
    mixture, z = posterior(30, 3), np.random.default_rng(1).normal(size=(45, 3))
    densities = [
        multivariate_normal(mean, np.diag(np.exp(log_var))).logpdf(z) for mean, log_var in zip(*mixture, strict=True)
    ]
    expected = logsumexp(densities, axis=0) - np.log(30)
    np.testing.assert_allclose(latent.log_aggregate(mixture, z), expected, rtol=1e-10)


def test_sharp_posteriors_far_from_the_origin_lose_no_digits():
    sharp = Posterior(np.array([[4.0, -4.0], [-4.0, 4.0]]), np.full((2, 2), 2 * np.log(1e-4)))
    at_the_mean = -2 * np.log(1e-4) - np.log(2 * np.pi) - np.log(2)
    np.testing.assert_allclose(latent.log_aggregate(sharp, sharp.mean), at_the_mean, atol=1e-6)


def test_a_mixture_of_one_has_no_information_and_the_closed_form_divergence():
    one = posterior(1, 4)
    measured = latent.information(one, draws=3, seed=0)
    assert measured["mutual_information"] == pytest.approx(0, abs=1e-12)
    assert measured["aggregate_divergence"] == pytest.approx(kl(one))
    assert measured["information_error"] == pytest.approx(0, abs=1e-12)


def test_equal_posteriors_carry_no_information():
    equal = Posterior(np.full((50, 2), 0.7), np.full((50, 2), -1.0))
    measured = latent.information(equal, draws=2, seed=0)
    assert measured["mutual_information"] == pytest.approx(0, abs=1e-12)
    assert measured["aggregate_divergence"] == pytest.approx(kl(equal))


def test_far_apart_posteriors_tell_every_image():
    apart = Posterior(np.arange(200.0).reshape(100, 2), np.full((100, 2), -12.0))
    measured = latent.information(apart, draws=2, seed=0)
    assert measured["mutual_information"] == pytest.approx(np.log(100))
    assert measured["aggregate_divergence"] == pytest.approx(kl(apart) - np.log(100))


def test_information_agrees_with_an_integral_to_its_stated_error():
    two = Posterior(np.array([[-1.0], [0.8]]), np.log([[0.3], [0.5]]))

    def integrand(z):
        q = np.mean([norm(mean[0], np.exp(log_var[0] / 2)).pdf(z) for mean, log_var in zip(*two, strict=True)])
        return q * (np.log(q) - norm.logpdf(z))

    divergence, _ = quad(integrand, -8, 8, epsabs=1e-10)
    measured = latent.information(two, draws=20_000, seed=3)
    found = [latent.information(two, draws=200, seed=seed) for seed in range(100)]
    spread = np.std([each["mutual_information"] for each in found], ddof=1)
    assert found[0]["information_error"] == pytest.approx(spread, rel=0.3)
    assert measured["aggregate_divergence"] == pytest.approx(divergence, abs=4 * measured["information_error"])
    assert measured["mutual_information"] == pytest.approx(kl(two) - divergence, abs=4 * measured["information_error"])


def test_information_is_repeatable_and_follows_its_seed():
    each = posterior(100)
    first, same, other = (latent.information(each, draws=2, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first["mutual_information"] != other["mutual_information"]


def test_cells_have_the_probability_of_the_mixture_with_the_highest_z1_first():
    edges = latent.plane_edges(4)
    np.testing.assert_array_equal(edges, [-4, -2, 0, 2, 4])
    two = Posterior(
        np.array([[1.0, 3.0], [-1.0, 0.5]], np.float32), np.log([[0.5, 0.04], [1.0, 2.0]]).astype(np.float32)
    )
    mass = latent.aggregate_mass(two, edges)
    for row, column in ((0, 2), (1, 1), (3, 0)):
        box = [(edges[column], edges[column + 1]), (edges[3 - row], edges[4 - row])]
        share = [
            np.prod(
                [np.diff(norm(m, np.exp(v / 2)).cdf(side))[0] for m, v, side in zip(mean, log_var, box, strict=True)]
            )
            for mean, log_var in zip(*two, strict=True)
        ]
        assert mass[row, column] == pytest.approx(np.mean(share), rel=1e-5)
    assert latent.aggregate_mass(two, np.linspace(-20, 20, 9)).sum() == pytest.approx(1)


def test_classes_that_lie_apart_are_found_by_all_and_noise_by_none():
    (train, train_labels), (test, test_labels) = ten_spots(2000, apart=60), ten_spots(500, apart=60)
    settings = {"draws": 2, "seed": 0}
    still = Posterior(test.astype(np.float32), np.zeros(test.shape, np.float32))
    found = latent.measure(train.astype(np.float32), train_labels, still, test_labels, **settings)
    assert (found["knn_accuracy"], found["probe_accuracy"]) == (1, 1)
    assert found["nmi"] == pytest.approx(1)
    assert found["silhouette"] > 0.9

    (train, _), (test, _) = ten_spots(2000, apart=0), ten_spots(500, apart=0)
    lost = latent.measure(train, train_labels, Posterior(test, np.zeros_like(test)), test_labels, **settings)
    assert lost["knn_accuracy"] == pytest.approx(0.1, abs=0.07)  # five deviations of 500 guesses
    assert lost["probe_accuracy"] == pytest.approx(0.1, abs=0.07)
    assert lost["nmi"] < 0.1
    assert lost["silhouette"] < 0


def test_the_probe_draws_straight_lines_and_the_neighbours_do_not():
    """Two rings of digits around each other."""
    random = np.random.default_rng(0)
    angle, labels = random.uniform(0, 2 * np.pi, 1000), np.arange(1000) % 2
    rings = (1 + labels)[:, np.newaxis] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = latent.label_accuracy(rings[:800], labels[:800], rings[800:], labels[800:])
    assert found["knn_accuracy"] == 1
    assert found["probe_accuracy"] < 0.7


def test_clusters_are_compared_whatever_their_numbers_and_places():
    """Four digits of one place each and six that share three: 2 I / (H(U) + H(V)) by hand."""
    spots, labels = ten_spots(2000, apart=100)
    shared = np.where(labels < 4, labels, 4 + (labels - 4) // 2)
    shared_share = np.array([0.1] * 4 + [0.2] * 3)
    entropy = -(shared_share * np.log(shared_share)).sum()
    assert latent.clustering_agreement(spots, shared, 10, seed=0) == pytest.approx(2 * entropy / (entropy + np.log(10)))


def test_silhouette_is_scikit_learns_on_all_images_and_on_a_seeded_part_of_many(monkeypatch):
    spots, labels = ten_spots(300, apart=3)
    assert latent.class_silhouette(spots, labels, seed=0) == pytest.approx(silhouette_score(spots, labels))
    monkeypatch.setattr(latent, "SILHOUETTE_IMAGES", 100)
    part = latent.class_silhouette(spots, labels, seed=0)
    assert part == latent.class_silhouette(spots, labels, seed=0)
    assert part != pytest.approx(silhouette_score(spots, labels))
    assert part == pytest.approx(silhouette_score(spots, labels), abs=0.1)


def test_without_labels_the_information_is_left_and_with_one_class_in_the_test_images_no_silhouette():
    test, none = posterior(50), np.empty(0, np.uint8)
    settings = {"draws": 2, "seed": 0}
    assert latent.measure(test.mean, none, test, none, **settings) == latent.information(test, **settings)
    (train, train_labels), one = ten_spots(200, apart=60), np.full(50, 4)
    found = latent.measure(
        train, train_labels, Posterior(train[train_labels == 4], np.zeros((20, 2))), one[:20], **settings
    )
    assert "silhouette" not in found
    assert (found["knn_accuracy"], found["nmi"]) == (1, 0)


def test_fewer_images_than_neighbours_and_clusters_are_enough():
    (train, train_labels), (test, test_labels) = ten_spots(8, apart=60), ten_spots(4, apart=60)
    found = latent.measure(train, train_labels, Posterior(test, np.zeros((4, 2))), test_labels, draws=2, seed=0)
    assert 0 <= found["knn_accuracy"] <= 1
    assert found["nmi"] == pytest.approx(1)  # a cluster for each image, and a class for each
