"""`digit-vae promote`: makes a registered run the champion, which `make serve` uses, if it passes the gate.

The gate's rule is in params.yaml, section promote: the run's files are those of the locks, no latent dimension has
collapsed and, over folds, its variant's ELBO is detectably above that of the champion's variant. The first champion has
none to be better than.
"""

from collections.abc import Sequence

from mlflow.entities.model_registry import ModelVersion

from digit_vae.analysis.results import read_results
from digit_vae.base.arguments import parser_of
from digit_vae.base.errors import UserError
from digit_vae.base.files import read_json
from digit_vae.base.progress import say
from digit_vae.base.shapes import HEALTH
from digit_vae.config.loading import load_params
from digit_vae.config.runs import Run, find_run
from digit_vae.config.schema import Params
from digit_vae.registry.gate import Gain, complaints, gains, told, unlocked, unlocked_folds
from digit_vae.registry.versions import CHAMPION, champion, crown, set_tags, stored_model, tag, version_of
from digit_vae.tracking.store import Store, project_root


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of("promote", __doc__)
    parser.add_argument("run", metavar="RUN", help="a registered run; its newest version is promoted")
    params = load_params()
    run = find_run(params, parser.parse_args(arguments).run)
    say(f"{run.name}: looking for its newest version in MLflow")
    say(promote(Store(project_root(), making=False), params, run))


def promote(store: Store, params: Params, run: Run) -> str:
    """Gives the run's newest version the alias, and says what it showed. Raises: UserError that says why not."""
    version, current = version_of(store, run.name), champion(store)
    if current is not None and int(current.version) == int(version.version):
        return f"{run.name} (version {version.version}) is the {CHAMPION} already"
    say(f"{run.name} (version {version.version}): the gate reads its files, the locks and the folds")
    rival = None if current is None or has_same_weights(version, current) else current
    over = f"{tag(rival, 'run')} (version {rival.version})" if rival else None
    gain = gain_over(params, run.variant, tag(rival, "variant")) if rival else None
    unlike = [*unlocked(run, version.tags), *(unlocked_folds() if gain else ())]
    found = complaints(params.promote, unlocked=unlike, collapsed=collapsed(run), gain=gain, over=over)
    if found:
        raise UserError(f"{run.name} (version {version.version}) does not pass the gate: {'; '.join(found)}")
    say(f"{run.name} (version {version.version}): hashing the model that MLflow stores")
    with stored_model(store, version):  # raises where it is not what was registered
        pass
    shown = (
        f"ELBO {told(gain)} above {over}" if gain else "it has the champion's weights" if current else "the first one"
    )
    set_tags(store, version, {"gate": f"passed: {shown}"})
    crown(store, version)
    return f"{run.name} (version {version.version}) is the {CHAMPION}: {shown}"


def has_same_weights(version: ModelVersion, other: ModelVersion) -> bool:
    """Whether they differ in their code and evidence alone: neither is better than the other."""
    return all(tag(version, key) == tag(other, key) for key in ("encoder_sha256", "decoder_sha256"))


def gain_over(params: Params, variant: str, other: str) -> Gain | None:
    """The variant's gain over another; None where they have no folds in common, or where nobody asks."""
    if params.promote.level is None:
        return None
    return gains(read_results(params, "beyond"), other).get(variant)


def collapsed(run: Run) -> int:
    """The run's collapsed latent dimensions after its last epoch."""
    history = read_json(run.files.history, made_by=run.stages[0], keys={"epochs": [{"health": HEALTH}]})
    return int(history["epochs"][-1]["health"]["collapsed_dimensions"])
