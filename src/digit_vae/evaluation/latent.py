"""What the latent space is worth, in numbers: what its points tell of the classes, and how far they are from the prior.

Labels are used here and by the classifier, never in training. All sums are in float64.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score, silhouette_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

NEIGHBOURS = 10
SILHOUETTE_IMAGES = 5000  # the distances of all pairs must fit in memory
PLANE = 4.0  # the map of the plane reaches so many standard deviations of the prior to each side
BLOCK = 20  # draws at a time: their densities under 10,000 posteriors stay in the processor's cache


class Posterior(NamedTuple):
    """q(z|x) = N(mean, exp(log_var)) of N images: each (N, latent_dim)."""

    mean: np.ndarray
    log_var: np.ndarray


def measure(
    train_mean: np.ndarray, train_labels: np.ndarray, test: Posterior, test_labels: np.ndarray, *, draws: int, seed: int
) -> dict[str, Any]:
    """The numbers of one run, all of the test images; shares are from 0 to 1, information is in nats.

    train_mean: (M, latent_dim), z_mean of the training images. draws: of z for each test image. Without labels (0,) it
    is the information alone; a silhouette takes two classes in the test images at least.
    """
    test = Posterior(*(part.astype(np.float64) for part in test))
    found = information(test, draws, seed)
    if not train_labels.size:
        return found
    found |= label_accuracy(train_mean.astype(np.float64), train_labels, test.mean, test_labels)
    found["nmi"] = clustering_agreement(test.mean, test_labels, len(np.unique(train_labels)), seed)
    if 1 < len(np.unique(test_labels)) < len(test_labels):
        found["silhouette"] = class_silhouette(test.mean, test_labels, seed)
    return found


def label_accuracy(
    train_mean: np.ndarray, train_labels: np.ndarray, test_mean: np.ndarray, test_labels: np.ndarray
) -> dict[str, float]:
    """The share of test images whose class is found from z_mean by what was fitted to the training images.

    knn_accuracy: by the majority of the 10 nearest, or of all where there are fewer (Cover & Hart 1967).
    probe_accuracy: by multinomial logistic regression on standardised z_mean, a linear probe (Alain & Bengio 2017);
    with scikit-learn's usual L2 penalty of C = 1 its loss is strictly convex, and Newton's method goes to its one
    minimum without any randomness.
    """
    neighbours = KNeighborsClassifier(min(NEIGHBOURS, len(train_mean)))
    probe = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky", max_iter=1000))
    return {
        f"{name}_accuracy": float(fitted.fit(train_mean, train_labels).score(test_mean, test_labels))
        for name, fitted in (("knn", neighbours), ("probe", probe))
    }


def clustering_agreement(z_mean: np.ndarray, labels: np.ndarray, classes: int, seed: int) -> float:
    """Normalised mutual information of the classes and the clusters that a mixture of as many Gaussians finds without
    them. z_mean: (N, latent_dim); with fewer images than classes, a Gaussian for each image.

    2 I(U; V) / (H(U) + H(V)) (Vinh et al. 2010, table 2, "NMI sum"): 1 where clusters and classes are the same, 0 where
    they have nothing in common.
    """
    gaussians = min(classes, len(z_mean))
    clusters = GaussianMixture(gaussians, max_iter=1000, random_state=seed).fit_predict(z_mean)
    return float(normalized_mutual_info_score(labels, clusters))


def class_silhouette(z_mean: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Mean silhouette of the classes (Rousseeuw 1987), over 5,000 of the images where there are more.

    (b - a) / max(a, b) with the mean distances a to the own class and b to the nearest other one: from -1 to 1.
    """
    sample = min(SILHOUETTE_IMAGES, len(labels))
    return float(silhouette_score(z_mean, labels, sample_size=sample, random_state=seed))


def information(posterior: Posterior, draws: int, seed: int) -> dict[str, float]:
    """How the KL term divides (Hoffman & Johnson 2016, "ELBO surgery"), in nats per image:

    E_x KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || p(z)),   q(z) = 1/N sum_n q(z|x_n),   p(z) = N(0, I)

    mutual_information: E [log q(z|x) - log q(z)] over `draws` of z for each image, with q(z) exact, the mixture of all
    N posteriors; at most log N. aggregate_divergence: KL(q(z) || p(z)), what that leaves of the KL term, which has a
    closed form. information_error: the standard error of either, which comes from the draws alone. draws: two at least.
    """
    mean, log_var = posterior
    noise = np.random.default_rng(seed).standard_normal((draws, *mean.shape))
    z = (mean + np.exp(log_var / 2) * noise).reshape(-1, mean.shape[1])
    conditional = -0.5 * (noise**2 + log_var + np.log(2 * np.pi)).sum(axis=-1).ravel()
    gained = (conditional - log_aggregate(posterior, z)).reshape(draws, -1)
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1).mean()
    return {
        "mutual_information": float(gained.mean()),
        "aggregate_divergence": float(kl - gained.mean()),
        "information_error": float((gained.var(axis=0, ddof=1).sum() / draws) ** 0.5 / len(mean)),
    }


def log_aggregate(posterior: Posterior, z: np.ndarray) -> np.ndarray:
    """log q(z) under the mixture of all posteriors, in nats. z: (M, latent_dim). Returns: (M,).

    A Gaussian's log-density is linear in z^2 and z, and so all of them are one product of matrices.
    """
    mean, log_var = posterior
    precision = np.exp(-log_var)
    constant = -0.5 * (mean**2 * precision + log_var + np.log(2 * np.pi)).sum(axis=1, keepdims=True)
    coefficients = np.concatenate([-0.5 * precision, mean * precision, constant], axis=1).T
    terms = np.concatenate([z**2, z, np.ones((len(z), 1))], axis=1)
    blocks = (terms[start : start + BLOCK] @ coefficients for start in range(0, len(z), BLOCK))
    return np.concatenate([_log_sum_exp(block) for block in blocks]) - np.log(len(mean))


def plane_edges(cells: int) -> np.ndarray:
    """The edges of the cells into which the map of the latent plane is divided along each axis: (cells + 1,)."""
    return np.linspace(-PLANE, PLANE, cells + 1)


def aggregate_mass(posterior: Posterior, edges: np.ndarray) -> np.ndarray:
    """The probability of each cell of the latent plane under the aggregate posterior q(z), exactly.

    edges: (cells + 1,), along both axes. Returns: (cells, cells); z0 rises along a row, z1 from the last row
    to the first.
    """
    mean, log_var = (part.astype(np.float64)[..., np.newaxis] for part in posterior)
    within = np.diff(ndtr((edges - mean) * np.exp(-log_var / 2)))  # (N, 2, cells)
    return (within[:, 1].T @ within[:, 0] / len(mean))[::-1]


def _log_sum_exp(rows: np.ndarray) -> np.ndarray:
    """As scipy.special.logsumexp along the rows, in place and in a tenth of its time."""
    largest = rows.max(axis=1, keepdims=True)
    rows -= largest
    return largest[:, 0] + np.log(np.exp(rows, out=rows).sum(axis=1))
