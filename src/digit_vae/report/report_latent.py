"""What the latent space of the first run tells and what comes out of it, in words; and runs beside each other."""

from collections.abc import Mapping

from digit_vae.analysis.results import Results
from digit_vae.report.tables import signed
from digit_vae.report.wording import image, metrics_files


def section(results: Results, mapped: bool) -> list[str]:
    """mapped: whether there is a figure of the latent plane."""
    name = results.shown[0]
    numbers = f" Numbers: {metrics_files([name])}, [classifier.json](metrics/classifier.json)."
    return [
        "## What the latent space tells, and what is generated from it",
        *(_map(name) if mapped else ()),
        _information(name, results.metrics[name]),
        _judgement(results.metrics[name]["quality"], results.classifier) + numbers,
        image("digits_beside", "What runs make of the same test images and of the same latent points"),
        "A run of each variant that differs in more than its seed. Left: the first test image of each digit, and its "
        "reconstructions. Right: what is decoded at ten points of the latent space, the same for all, evenly on the "
        "circle that holds half of the prior in the first two dimensions (radius 1.18). Nothing fixes which digit a "
        "run puts where. Runs on folds learnt from fewer images than those on `full`. From `digits.npz` in the folder "
        "of each run, of extended ones in `reports/extended/runs`.",
    ]


def _map(name: str) -> tuple[str, str]:
    return (
        image("latent_map", f"The latent plane of {name} by what the classifier sees there"),
        "The latent plane in the colours of the digits that the classifier sees in what is decoded there, paler where "
        "it is less sure. Contours hold 50 % and 90 % of the aggregate posterior, where test images are encoded to, "
        "dashed circles 50 % and 90 % of the prior, where generated digits are decoded from: inside the circles and "
        "outside the contours they come from points that the decoder hardly learnt from. "
        f"From `models/{name}/samples.npz`.",
    )


def _information(name: str, metrics: Mapping) -> str:
    latent = metrics["latent"]
    return (
        f"Of the {metrics['test']['kl_loss']:.2f} nats of KL of `{name}` on the test images, "
        f"{latent['mutual_information']:.2f} are information about the image, and {latent['aggregate_divergence']:.2f} "
        f"the divergence of the aggregate posterior from the prior (± {latent['information_error']:.2f}). No label was "
        f"shown to the model; the ten nearest training images name the digit of "
        f"{_percent(latent['knn_accuracy'])} of the test images and a linear probe that of "
        f"{_percent(latent['probe_accuracy'])}. The clusters of a mixture of ten Gaussians and the digits have a "
        f"normalised mutual information of {latent['nmi']:.2f} (1: they are the same); the silhouette of the digits is "
        f"{signed(latent['silhouette'])} (1: far apart, 0: they overlap)."
    )


def _judgement(quality: Mapping, judge: Mapping) -> str:
    samples, rebuilt = quality["samples"], quality["reconstructions"]
    return (
        f"The classifier is right on {_percent(judge['accuracy'])} of the test images, and agrees with the label on "
        f"{_percent(rebuilt['agreement'])} of their reconstructions. Its confidence is {judge['confidence']:.2f} in "
        f"test images, {rebuilt['confidence']:.2f} in reconstructions and {samples['confidence']:.2f} in digits from "
        f"the prior, whose classes have a balance of {samples['class_balance']:.2f} (1: all equally many). In its "
        f"features the Frechet distance from the test images is {samples['frechet']:.1f} for digits from the prior and "
        f"{rebuilt['frechet']:.1f} for reconstructions; for as many training images it is {judge['frechet_train']:.1f}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
