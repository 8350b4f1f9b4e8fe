"""What vouches for a registered run: its weights, commit, data and certificate, and its variant's worth on folds."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from digit_vae.analysis.fold_comparison import OVER_FOLDS
from digit_vae.base.files import read_json, sha256
from digit_vae.base.paths import CERTIFICATE, addressed, comparisons
from digit_vae.base.shapes import CERTIFIED, HISTORY, NUMBERS, All, Every
from digit_vae.config.runs import Run, graph_of
from digit_vae.config.schema import Params
from digit_vae.exports.graphs import onnx_files
from digit_vae.registry.package import CODE
from digit_vae.serving.trained import PARTS, TrainedRun

NONE = "none"
COMPARED = Every(All(NUMBERS, {"folds": int, "validation": {"elbo": OVER_FOLDS}}))


def evidence(params: Params, run: Run, trained: TrainedRun) -> dict[str, str]:
    """The tags of a version. Raises: UserError when a file is missing or damaged."""
    files, (train, _) = run.files, run.stages
    history = read_json(files.history, made_by=train, keys=HISTORY)
    timings = read_json(files.timings, made_by=train, keys={"git_commit": (str, NoneType)})
    return {
        "run": run.name,
        "variant": run.variant,
        "seed": str(run.seed),
        "git_commit": str(timings["git_commit"] or NONE),
        "data_sha256": str(history["data"]["train_images"]),
        **{f"{part}_sha256": sha256(getattr(trained, part)) for part in PARTS},
        "model_sha256": model_sha256(trained),
        "certificate": certified(run.name),
        "folds": on_folds(params, run.variant),
    }


def model_sha256(trained: TrainedRun) -> str:
    """Of all that decides what the model answers: its ONNX files and its code."""
    return hashlib.sha256(b"".join((CODE.read_bytes(), *onnx_files(trained).values()))).hexdigest()


def stored_sha256(folder: Path) -> str:
    """The same of a model's folder. Raises: OSError when a file is missing."""
    files = (folder / CODE.name, *(folder / "artifacts" / f"{part}.onnx" for part in PARTS))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def certified(run: str) -> str:
    """What reports/certificate.json says of a run, in words."""
    if not CERTIFICATE.is_file():
        return f"{NONE}: {CERTIFICATE} is missing, `make verify` makes it"
    content = read_json(CERTIFICATE, made_by="make verify", keys=CERTIFIED)
    its = [each for each in content["compared"] if each["of"] in (run, f"committed weights of {run}")]
    of = f"the certificate of {content['made']}, commit {content['commit']}"
    if not its:
        return f"{NONE}: {of} says nothing of this run"
    deviating = [each["of"] for each in its if each["deviations"]]
    compared = "; ".join(f"{each['of']}: {each['how']}" for each in its)
    return f"does not hold for {', '.join(deviating)}: {of}" if deviating else f"holds ({compared}): {of}"


def on_folds(params: Params, variant: str) -> str:
    """The variant's ELBO on the validation images of folds, from the comparisons, in words."""
    chose = params.compare.chose.get(variant, ())
    said = [_said(study, content) for study, content in _compared(params, variant)]
    if said and chose:
        said.append(f"chosen by the validation images of {', '.join(chose)}")
    return "; ".join(dict.fromkeys(said)) or f"{NONE}: no study has the variant on folds"


def _compared(params: Params, variant: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The variant a study compares with others, and what its file says of the variant."""
    for name, study in params.studies.items():
        graph = graph_of(study)
        path = comparisons(graph) / f"{name}.json"
        if path.is_file() and variant in (
            content := read_json(path, made_by=addressed("compare", graph), keys=COMPARED)
        ):
            yield str(study.against), content[variant]


def _said(against: str, content: Mapping[str, Any]) -> str:
    elbo = content["validation"]["elbo"]
    text = f"ELBO {elbo['mean']:.2f}, standard deviation {elbo['std']:.2f}, over {content['folds']} folds"
    if "difference" not in elbo:
        return text
    interval = f"[{elbo['difference_low']:+.2f}, {elbo['difference_high']:+.2f}]"
    return f"{text}, {elbo['difference']:+.2f} {interval} from {against}, p {elbo['p_holm']:.2g} (Holm)"
