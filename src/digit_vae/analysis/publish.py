"""Stage `publish`: what it takes to check and to report a run without having made it, copied to where git keeps it.

    python -m digit_vae.analysis.publish             # the stage of dvc.yaml
    python -m digit_vae.analysis.publish --extended  # the stage of extended/dvc.yaml: the extended runs

reports/published/<run>.history.json, .timings.json      byte for byte those of models/<run>/
reports/published/<run>.model.weights.h5                 likewise, of plot.first_run alone: half a megabyte
reports/published/manifest.json                          that of data/processed/: the hash of every array and fold
reports/extended/runs/<run>.history.json, .timings.json  byte for byte those of extended/models/<run>/
reports/extended/runs/<run>.digits.npz                   likewise, of the runs that are shown beside others
reports/metrics/runs/<run>.json                          likewise, of extended/models/<run>/metrics.json
reports/extended/evaluated.json                          with which params and which classifier these were made

To DVC the copies of extended runs are made by no stage: the report has them as sources and never trains for them.
"""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

from digit_vae.base.errors import exit_status
from digit_vae.base.files import existing, read_json, sha256, write_bytes, write_folder, write_json
from digit_vae.config.params import Params, Run, load_params, run_params, runs

MANIFEST = Path("data/processed/manifest.json")
METRICS = Path("reports/metrics/runs")
PUBLISHED = Path("reports/published")
EXTENDED = Path("reports/extended/runs")
EVALUATION = Path("reports/extended/evaluated.json")
CLASSIFIER = Path("reports/metrics/classifier.json")
TRAINED = ("history.json", "timings.json")
DIGITS = "digits.npz"
EXTENDED_STAGE = "extended/dvc.yaml:publish"
EVALUATED = ("validation", "test", "likelihood", "latent", "quality")  # the sections of a run's metrics


def originals(params: Params) -> dict[Path, tuple[Path, str]]:
    """What each published file of the runs that are not extended is a copy of, and the stage that makes that."""
    names = [(run, file) for run in runs(params, extended=False) for file in TRAINED]
    names += [(run, "model.weights.h5") for run in runs(params) if run.name == params.plot.first_run]
    return {copy_of(run, file): (run.folder / file, f"train@{run.name}") for run, file in names} | {
        PUBLISHED / MANIFEST.name: (MANIFEST, "preprocess")
    }


def extended_originals(params: Params) -> dict[Path, tuple[Path, str]]:
    """The same of the extended runs."""
    declared = runs(params, extended=True)
    graph = "extended/dvc.yaml"
    evaluated = {METRICS / f"{run.name}.json": (run.metrics, f"{graph}:evaluate@{run.name}") for run in declared}
    evaluated |= {
        copy_of(run, DIGITS): (run.folder / DIGITS, f"{graph}:evaluate@{run.name}")
        for run in shown_beside(params)
        if run.extended
    }
    return evaluated | {
        copy_of(run, file): (run.folder / file, f"{graph}:train@{run.name}") for run in declared for file in TRAINED
    }


def shown_beside(params: Params) -> list[Run]:
    """One run for each model that differs from the others in more than its seed: on the first fold where it can be."""
    chosen = {}
    for run in sorted(runs(params), key=lambda run: run.split != "0"):
        chosen.setdefault(replace(run_params(params, run), seed=0), run)
    return [run for run in runs(params) if run in chosen.values()]


def copy_of(run: Run, file: str) -> Path:
    """The published copy of `file` in the run's folder."""
    return (EXTENDED if run.extended else PUBLISHED) / f"{run.name}.{file}"


def reported_file(run: Run, file: str) -> Path:
    """Where the report reads a file of the run: an extended run's is the published copy."""
    return copy_of(run, file) if run.extended else run.folder / file


def reported(params: Params) -> Params:
    """`params` with those extended variants alone whose runs are all published, as trained with these params and data
    and as evaluated with these params and this classifier.

    Says on standard output which are left out.
    """
    extended = runs(params, extended=True)
    comparable = (
        bool(extended) and EVALUATION.is_file() and evaluation(params) == read_json(EVALUATION, made_by=EXTENDED_STAGE)
    )
    unpublished = [run for run in extended if not (comparable and _is_published(params, run))]
    left_out = list(dict.fromkeys(run.variant for run in unpublished))
    if left_out:
        print(f"not in the report before `make extended` makes them as params.yaml has them: {', '.join(left_out)}")
    return replace(params, variants={name: each for name, each in params.variants.items() if name not in left_out})


def evaluation(params: Params, classifier: Path = CLASSIFIER) -> dict:
    """With what a run's metrics are made; those of another classifier, or of fewer images, do not compare."""
    judge = sha256(existing(classifier, made_by="classifier"))
    return {"params": asdict(params.evaluate), "classifier_metrics_sha256": judge}


def _is_published(params: Params, run: Run) -> bool:
    names = (*TRAINED, DIGITS) if run in shown_beside(params) else TRAINED
    files = (METRICS / f"{run.name}.json", *(copy_of(run, file) for file in names))
    if not all(path.is_file() for path in files):
        return False
    history = read_json(copy_of(run, "history.json"), made_by=EXTENDED_STAGE, keys=("params", "data"))
    arrays = read_json(MANIFEST, made_by="preprocess", keys=("sha256",))["sha256"]
    data = {"train_images": arrays.get("train_images.npy"), "validation": arrays.get(run.validation_file)}
    return (history["params"], history["data"]) == (asdict(run_params(params, run)), data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extended", action="store_true", help="the extended runs, instead of the others")
    extended, params = parser.parse_args().extended, load_params()
    files = extended_originals(params) if extended else originals(params)
    contents = {copy: existing(path, made_by=stage).read_bytes() for copy, (path, stage) in files.items()}
    folder = EXTENDED if extended else PUBLISHED
    write_folder(folder, {copy.name: content for copy, content in contents.items() if copy.parent == folder})
    for copy, content in contents.items():
        if copy.parent == METRICS:
            write_bytes(copy, content)
    if extended:
        write_json(EVALUATION, evaluation(params))


if __name__ == "__main__":
    sys.exit(exit_status(main))
