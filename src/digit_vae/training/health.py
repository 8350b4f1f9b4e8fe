"""The health of a model in training: units that no image makes positive, latent dimensions that carry nothing.

A dead unit has no gradient and hardly ever comes back. A collapsed dimension (Burda et al. 2016, section 5) costs no KL
and tells nothing of the image. Both explain why one run ends worse than another.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from digit_vae.base.errors import UserError
from digit_vae.config.schema import HealthParams
from digit_vae.model.units import UNITS

COLLAPSED_NATS = 0.1  # a latent dimension with a mean KL below this has collapsed


def complaints(epoch: Mapping[str, Any], limits: HealthParams) -> list[str]:
    """What is beyond the limits that warn after an epoch of history.json, a few words each.

    Raises: UserError when something is beyond the limits that fail.
    """
    if epoch["epoch"] < limits.epochs:
        return []
    return [*_dead(epoch["health"]["dead_units"], limits), *_collapsed(epoch["health"], limits)]


def _dead(dead_units: Mapping[str, int], limits: HealthParams) -> Iterator[str]:
    for layer, dead in dead_units.items():
        what = f"{dead} of {UNITS[layer]} units of layer {layer} are dead"
        if _beyond(dead / UNITS[layer], what, "dead_share", limits.warn_dead_share, limits.fail_dead_share):
            yield what


def _collapsed(health: Mapping[str, Any], limits: HealthParams) -> Iterator[str]:
    collapsed = health["collapsed_dimensions"]
    what = f"{collapsed} of {len(health['kl_per_dimension'])} latent dimensions have collapsed"
    if _beyond(collapsed, what, "collapsed", limits.warn_collapsed, limits.fail_collapsed):
        yield what


def _beyond(value: float, what: str, key: str, warn: float | None, fail: float | None) -> bool:
    if fail is not None and value >= fail:
        raise UserError(f"{what}: expected less than health.fail_{key}, which is {fail:g}; received {value:g}")
    return warn is not None and value >= warn
