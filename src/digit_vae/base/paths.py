"""Every path of the project, once, relative to its root folder."""

from dataclasses import dataclass
from pathlib import Path

PARAMS = Path("params.yaml")
SCHEMA = Path("params.schema.json")

RAW = Path("data/raw")
PROCESSED = Path("data/processed")
MANIFEST = PROCESSED / "manifest.json"

MODELS = Path("models")
CHECKPOINTS = Path("checkpoints")
CLASSIFIER_WEIGHTS = MODELS / "classifier/model.weights.h5"

REPORTS = Path("reports")
DATASET = REPORTS / "dataset.json"  # what the images are called, and the hashes of their files
CLASSIFIER_METRICS = REPORTS / "classifier.json"
BENCHMARKS = REPORTS / "benchmarks"
CERTIFICATE = REPORTS / "certificate.json"
SMOKE = REPORTS / "smoke.json"
PROCESSORS = REPORTS / "processors"  # what each one computes, and whether bytes were seen to hold there

GRAPH_FILES = {"paper": Path("dvc.yaml"), "beyond": Path("beyond/dvc.yaml")}  # by the name of the graph
LEFTOVERS = Path("leftovers")  # where `digit-vae tidy` moves what params.yaml no longer declares


def addressed(stage: str, graph: str) -> str:
    """What DVC calls a stage of a graph in the project's root, and `dvc repro` takes."""
    return stage if graph == "paper" else f"{GRAPH_FILES[graph]}:{stage}"


def split_file(split_name: str) -> str:
    """The file below data/processed with the images that the split "fold2-0" holds out of learning."""
    return f"splits/{split_name}.npy"


@dataclass(frozen=True)
class RunFiles:
    """Where a run's files are. DVC caches those below models/; git has those below reports/.

    graph: "paper" or "beyond".
    """

    graph: str
    run: str

    @property
    def models(self) -> Path:
        return MODELS / self.run

    @property
    def reports(self) -> Path:
        return REPORTS / self.graph / "runs" / self.run

    @property
    def encoder(self) -> Path:
        return self.models / "encoder.weights.h5"

    @property
    def decoder(self) -> Path:
        return self.models / "decoder.weights.h5"

    @property
    def samples(self) -> Path:
        """Arrays for the figures of this run alone."""
        return self.models / "samples.npz"

    @property
    def history(self) -> Path:
        """The losses, params and hashes of a training: what repeats bit for bit."""
        return self.reports / "history.json"

    @property
    def timings(self) -> Path:
        """The seconds, machine and commit of a training: what differs from call to call."""
        return self.reports / "timings.json"

    @property
    def metrics(self) -> Path:
        """The numbers of an evaluation: what repeats bit for bit."""
        return self.reports / "metrics.json"

    @property
    def evaluation(self) -> Path:
        """The seconds, machine and commit of an evaluation, and the hash of the classifier."""
        return self.reports / "evaluation.json"

    @property
    def digits(self) -> Path:
        """Some 30 small images, to show the run beside others, and a map of what the classifier sees in its plane."""
        return self.reports / "digits.npz"

    @property
    def checkpoint(self) -> Path:
        return CHECKPOINTS / self.run

    @property
    def published(self) -> Path:
        """The folder with the committed copy of the weights, for the runs of params.yaml, section publish."""
        return REPORTS / self.graph / "weights" / self.run


SEARCH = REPORTS / "beyond/search.json"  # the trials of the search of a better recipe: `digit-vae search`
POWER = REPORTS / "beyond/power.json"  # what repetitions of the folds can tell


def comparisons(graph: str) -> Path:
    """The folder with one JSON file a study: the metrics of its variants over the folds, and their differences."""
    return REPORTS / graph / "comparisons"


def figures(graph: str) -> Path:
    return REPORTS / graph / "figures"


def tables(graph: str) -> Path:
    return REPORTS / graph / "tables"


def pictures(graph: str) -> Path:
    """The figures that are drawn from arrays of trained runs. (Those in `figures` are drawn from files in git.)"""
    return REPORTS / graph / "pictures"
