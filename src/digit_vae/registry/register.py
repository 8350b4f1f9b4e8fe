"""`digit-vae register`: a version of the registered model in MLflow for each run, with its evidence as tags."""

from collections.abc import Sequence

from digit_vae.base.arguments import parser_of
from digit_vae.base.progress import Elapsed, say
from digit_vae.config.loading import load_params
from digit_vae.config.runs import Run, find_run
from digit_vae.config.schema import Params
from digit_vae.registry.evidence import evidence
from digit_vae.registry.versions import NAME, add_version, set_tags, versions
from digit_vae.serving.trained import find_trained
from digit_vae.tracking.reading import read_run
from digit_vae.tracking.store import Store, project_root
from digit_vae.tracking.track import track


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of("register", __doc__)
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a run on all images, such as baseline-full-0")
    names = dict.fromkeys(parser.parse_args(arguments).runs)
    params = load_params()
    found = [find_run(params, name) for name in names]
    track()
    store = Store(project_root())
    elapsed = Elapsed(len(found))
    for run in found:
        say(register(store, params, run))
        elapsed.step()


def register(store: Store, params: Params, run: Run) -> str:
    """Registers a run that MLflow has, and says as which version.

    The same weights and code are one version: only its evidence is brought up to date.
    Raises: UserError for a run without weights here, or that is on a fold.
    """
    trained = find_trained(run.name)
    tags = evidence(params, run, trained)
    for version in versions(store):
        if version.tags.get("run") == run.name and version.tags.get("model_sha256") == tags["model_sha256"]:
            set_tags(store, version, tags)
            return f"{run.name} is version {version.version} of {NAME} already; its evidence is up to date"
    record = read_run(run)
    [logged] = [
        each for each in store.runs(f"tags.run = '{run.name}'") if record.identity.items() <= each.data.tags.items()
    ]
    version = add_version(store, logged, trained, tags, note(run, tags))
    return f"{run.name} is version {version.version} of {NAME}"


def note(run: Run, tags: dict[str, str]) -> str:
    """The version's description, in Markdown."""
    return (
        f"Run `{run.name}`. On folds: {tags['folds']}. Certificate: {tags['certificate']}.\n\n"
        f"The command that trains it again:\n\n    dvc repro {run.stages[0]}\n"
    )
