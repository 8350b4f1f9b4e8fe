"""How far numbers of another machine may be from the published ones; docs/portable_bits.md shows both errors of it.

Where the bits of one operation differ, two trainings drift apart: by little in the first epoch, by most while a latent
dimension wakes up, which one machine may do an epoch before the other, and by less once both have settled. Another
seed is far off from the first epoch on. So the tolerance of a loss goes with the epoch.
"""

import math
import re
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from digit_vae.config.schema import VerifyParams

# What a metric is held to, by its name "likelihood.grey.iw_bound.k10": the first line that fits decides.
KINDS = (
    (r"images", "exact"),
    # On another machine other units and dimensions die, and a mixture may have other components; errors of estimates
    # are estimates themselves.
    (r"(active|dead)_units(\.\w+)?|components|kl_per_dimension\.\w+|\w*_error(_maximum)?(\.\w+)?", "rest"),
    (r"elbo|reconstruction_loss|log_likelihood|inference_gap|iw_bound\.\w+", "loss"),
    (r"kl_loss|mutual_information|aggregate_divergence", "kl"),
)
PATTERNS = tuple((re.compile(rf"(.*\.)?({pattern})"), kind) for pattern, kind in KINDS)


class Tolerance(NamedTuple):
    """How far a number may be from the published one.

    In nats per image: `first`, `second`, `later` and `last` for a loss after such an epoch, `last` also for the losses,
    log-likelihoods and bounds in the metrics; `kl` for a KL where that is less. `share` for every metric that has no
    rule of its own, such as accuracies and distances: a share of 1, or of the published number where that is larger.
    `rest` for counts of units, the KL of single dimensions and errors of estimates.
    """

    first: float
    second: float
    later: float
    last: float
    kl: float
    share: float
    rest: float = math.inf

    def after(self, epoch: int, epochs: int) -> float:
        """The tolerance of a loss after an epoch, counted from 1, of a training of so many."""
        return {1: self.first, 2: self.second}.get(epoch, self.last if epoch == epochs else self.later)

    def of_loss(self, name: str, epoch: int, epochs: int) -> float:
        """The same for a number of an epoch by its name, "val_kl_loss" or "health.dead_units.dense"."""
        if name.startswith("health."):
            return self.rest
        limit = self.after(epoch, epochs)
        return min(limit, self.kl) if name.endswith("kl_loss") else limit

    def of_metric(self, name: str, published: object) -> float:
        """The tolerance of a metric by its name, "likelihood.grey.iw_bound.k10"."""
        kind = kind_of(name)
        size = abs(published) if is_number(published) else 0.0
        kinds = {"exact": 0.0, "rest": self.rest, "loss": self.last, "kl": self.kl}
        return kinds.get(kind, self.share * max(1.0, size))


def kind_of(metric: str) -> str:
    """What a metric is held to, one of KINDS, or "share" where that has no rule for it."""
    return next((kind for pattern, kind in PATTERNS if pattern.fullmatch(metric)), "share")


EXACT = Tolerance(0, 0, 0, 0, 0, 0, 0)


def of_run(limits: VerifyParams, run: Mapping[str, Any]) -> Tolerance:
    """The tolerances of a run of full size. run: its params, as in history.json."""
    nats = limits.batch_norm_nats if run.get("batch_norm") else limits.nats
    return Tolerance(nats.first, nats.second, nats.later, nats.last, limits.kl_nats, limits.share)


def of_smoke(limits: VerifyParams) -> Tolerance:
    """The tolerances of a run of smoke size."""
    nats = limits.smoke_nats
    return Tolerance(nats, nats, nats, nats, nats, limits.share)


def of_weights(limits: VerifyParams) -> Tolerance:
    """The tolerances of weights that are measured once more: nothing is trained, so that even counts stay."""
    nats = limits.weights_nats
    return EXACT._replace(last=nats, kl=nats, share=nats, rest=nats)


def is_number(value: object) -> TypeGuard[float]:
    """Whether differences can be taken: JSON may also hold whole numbers beyond what a float does."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < sys.float_info.max / 2)
