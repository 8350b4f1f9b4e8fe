"""Page `explorer`: the latent plane of the published models, decoded in the visitor's browser by their own weights.

For each model one binary file: the weights, and what its encoder says of every test image. That is computed here from
the committed weights, by ONNX Runtime, and kept in build/ by the hashes of what it is made of.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from onnxruntime import InferenceSession

from digit_vae.base.files import npz_bytes, read_json, read_npz, sha256, sha256_of, write_bytes
from digit_vae.base.paths import addressed
from digit_vae.base.shapes import NUMBER
from digit_vae.config.runs import Run, find_run
from digit_vae.config.schema import Params
from digit_vae.data.arrays import read_listed
from digit_vae.evaluation.latent import Posterior, aggregate_mass
from digit_vae.exports.graphs import decoder_graph, encoder_graph, read_layers
from digit_vae.report.sample_figures import MAP_SHAPE, read_digits
from digit_vae.site.pages import Project, SitePage
from digit_vae.site.vendored import VERSION, tensorflow_js

KEPT, VENDORED = Path("build/explorer"), Path("build/vendored")
BATCH = 500  # images at a time: what a layer makes of them stays small
CELLS = 160  # of the density, along each axis
COLOURS = 10  # that the page has for classes
EDGE = 0.001  # of the test images lie beyond each side of the first view
# The layers that the page's script builds, in their order: those of model/vae.py without batch normalisation.
LAYERS = {
    "encoder": ("conv_1", "conv_2", "hidden", "z_mean", "z_log_var"),
    "decoder": ("dense", "conv_transpose_1", "conv_transpose_2", "logits"),
}

KEPT_ARRAYS = dict.fromkeys(("z_mean", "z_log_var"), (np.float32, ("images", 2))) | dict.fromkeys(
    ("reconstruction_loss", "kl"), (np.float32, ("images",))
)

Layers = dict[str, list[np.ndarray]]


class Encodings(NamedTuple):
    """Of N images, float32: q(z|x) as (N, 2), and the losses of each in nats as (N,).

    reconstruction_loss: of the image decoded from z_mean; the mean over draws of z, which metrics have, is above it.
    """

    z_mean: np.ndarray
    z_log_var: np.ndarray
    reconstruction_loss: np.ndarray
    kl: np.ndarray


def page(project: Project) -> SitePage:
    """Raises: UserError when the test images or TensorFlow.js are not here, or a published file is damaged."""
    (images, digest), (labels, _) = read_listed("test_images.npy"), read_listed("test_labels.npy")
    scripts = tensorflow_js(VENDORED, project.params.fetch, report=print)
    files = {f"explorer/vendored/{name}": content for name, content in scripts.items()}
    files["explorer/images.bin"] = zlib.compress(images.tobytes(), 9)
    models = []
    for run in published(project.params):
        layers = read_weights(run)
        if not can_be_shown(layers):
            continue
        arrays, about = model_arrays(run, layers, images[..., 0], digest)
        content, places = packed(arrays)
        files[f"explorer/{run.name}.bin"] = content
        about |= {"run": run.name, "file": f"explorer/{run.name}.bin", "arrays": places}
        models.append(about | {"title": title(project.params, run), "summary": _summary(run)})
    dataset = project.results.dataset
    data = {"models": models, "images": "explorer/images.bin", "count": len(images)}
    data |= {"noun": dataset.noun, "nouns": dataset.nouns, "classes": list(dataset.classes)}
    data["labels"] = "".join(map(str, labels.tolist())) if labels.size and labels.max() < COLOURS else None
    regions = any("map_classes" in model["arrays"] for model in models)
    return SitePage({"explorer": data, "dataset": dataset, "regions": regions, "tensorflow_js": VERSION}, files)


def published(params: Params) -> list[Run]:
    """The runs of section publish whose weights are there, in its order."""
    declared = [find_run(params, name) for name in (*params.publish.paper, *params.publish.beyond)]
    return [run for run in declared if run.files.published.is_dir()]


def read_weights(run: Run) -> dict[str, Layers]:
    """The committed weights of a run by part and layer. Raises: UserError when they are missing or damaged."""
    folder = run.files.published
    stage = addressed(f"publish@{run.name}", run.graph)
    return {part: read_layers(folder / f"{part}.weights.h5", part, made_by=stage) for part in LAYERS}


def can_be_shown(layers: Mapping[str, Layers]) -> bool:
    """Whether a model has two latent dimensions and the layers that the page's script builds."""
    known = all(set(found) == set(LAYERS[part]) for part, found in layers.items())
    return known and layers["encoder"]["z_mean"][1].shape == (2,)


def model_arrays(
    run: Run, layers: Mapping[str, Layers], images: np.ndarray, digest: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What the page's script reads of a model, and how far the maps and the first view reach.

    images: (N, 28, 28) uint8, with the SHA-256 `digest`.
    """
    measured = _measured_once(run, layers, images, digest)
    reach = float(np.abs(measured.z_mean).max()) + 1
    mass = aggregate_mass(Posterior(measured.z_mean, measured.z_log_var), np.linspace(-reach, reach, CELLS + 1))
    weights = {
        f"{part}/{layer}/{number}": values
        for part, names in LAYERS.items()
        for layer in names
        for number, values in enumerate(layers[part][layer])
    }
    about = {"density_reach": reach, "box": np.quantile(measured.z_mean, (EDGE, 1 - EDGE), axis=0).round(2).tolist()}
    regions, regions_reach = _regions(run)
    arrays = weights | measured._asdict() | {"density": _shades(mass)} | regions
    return arrays, about | regions_reach


def measure(layers: Mapping[str, Layers], images: np.ndarray) -> Encodings:
    """images: (N, 28, 28) uint8. The losses are those of model/losses.py: the cross-entropy of a pixel from its
    log-odds l is log(1 + e^l) - x l, and the KL is that of Kingma & Welling 2014, appendix B.
    """
    encoder, decoder = (
        InferenceSession(build(layers[part]).SerializeToString(), providers=["CPUExecutionProvider"])
        for part, build in (("encoder", encoder_graph), ("decoder", decoder_graph))
    )
    parts = []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH, ..., np.newaxis] / np.float32(255)
        mean, log_var = encoder.run(["z_mean", "z_log_var"], {"images": batch})
        [logits] = decoder.run(["logits"], {"z": mean})
        losses = np.logaddexp(0, logits) - batch * logits
        kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1)
        parts.append((mean, log_var, losses.sum(axis=(1, 2, 3)), kl))
    return Encodings(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def packed(arrays: Mapping[str, np.ndarray]) -> tuple[bytes, dict[str, dict[str, Any]]]:
    """Arrays one after the other, little-endian; where each is, with its type and shape. Bytes come last, since a
    browser reads numbers of four bytes only where a multiple of four is.
    """
    content, places = bytearray(), {}
    for name, values in sorted(arrays.items(), key=lambda item: -item[1].itemsize):
        places[name] = {"type": values.dtype.name, "shape": list(values.shape), "offset": len(content)}
        content += np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return bytes(content), places


def title(params: Params, run: Run) -> str:
    """What people call a model: its variant, or its beta where that alone is its own."""
    options = params.variants[run.variant]
    if set(options) == {"beta"}:
        return f"Beta {options['beta']:g}"
    return run.variant.replace("_", " ").capitalize()


def _summary(run: Run) -> str:
    """One line on a model, of its committed metrics."""
    metrics = read_json(run.files.metrics, made_by=run.stages[1], keys={"test": {"elbo": NUMBER, "kl_loss": NUMBER}})[
        "test"
    ]
    elbo, kl = f"{metrics['elbo']:.1f}".replace("-", "\u2212"), f"{metrics['kl_loss']:.2f}"
    return f"{run.name}: ELBO {elbo}, KL {kl} nats per test image"


def _measured_once(run: Run, layers: Mapping[str, Layers], images: np.ndarray, digest: str) -> Encodings:
    """`measure`, or what it gave for the same weights and images."""
    folder = run.files.published
    of = {part: sha256(folder / f"{part}.weights.h5") for part in LAYERS}
    of |= {"images": digest, "code": sha256(Path(__file__))}
    path = KEPT / f"{sha256_of(of)}.npz"
    if not path.is_file():
        print(f"encoding {len(images):,} test images with {run.name}", flush=True)
        write_bytes(path, npz_bytes(measure(layers, images)._asdict()))
    return Encodings(**read_npz(path, made_by="make site", shapes=KEPT_ARRAYS))


def _regions(run: Run) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The map of what the classifier sees, and how far it reaches.

    Empty where the run's evaluation left none, or one of more classes than the page has colours for.
    """
    found = read_digits(run, MAP_SHAPE) if run.files.digits.is_file() else {}
    if "map_classes" not in found or found["map_classes"].max() >= COLOURS:
        return {}, {}
    return {key: found[key] for key in ("map_classes", "map_percent")}, {"regions_reach": float(found["map_edges"][-1])}


def _shades(mass: np.ndarray) -> np.ndarray:
    """Probabilities of cells as bytes of opacity. The power lets thin regions be seen beside dense ones."""
    return np.asarray(np.rint(240 * (mass / mass.max()) ** 0.4), np.uint8)
