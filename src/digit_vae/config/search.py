"""Section `search` of params.yaml. It decides no byte of a declared run."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from digit_vae.config.values import STRICT, AtLeastOne, Device, Fold, Initializer, ListOf, Name, Whole


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NumberRange:
    """The numbers from low to high. log: whether it is their logarithms that are spread evenly."""

    low: Annotated[float, Field(ge=-1e6, le=1e6)]
    high: Annotated[float, Field(ge=-1e6, le=1e6)]
    log: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WholeRange:
    """The whole numbers from low to high."""

    low: Whole
    high: Whole


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SpaceParams:
    """What a search may vary of the train section (null: it stays): what keeps layers, optimizer and epochs."""

    learning_rate: NumberRange | None = None
    warmup_steps: WholeRange | None = None
    final_learning_rate: NumberRange | None = None
    hidden_bias: NumberRange | None = None
    initializer: AtLeastOne[Initializer] | None = None
    kl_warmup_steps: WholeRange | None = None
    adam_beta_2: NumberRange | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SearchParams:
    """How a recipe is searched: single runs on one fold with one seed, in rounds, judged by its validation images.

    device: where the trials are trained; the runs of studies follow `train`. a_round: trials that are proposed at once.
    startup_rounds: so many are drawn at random; later ones follow from those before. first: variants that are tried
    ahead of all others.
    """

    fold: Fold
    seed: Whole
    device: Device
    trials: Annotated[int, Field(ge=1, le=1000)]
    a_round: Annotated[int, Field(ge=1, le=1000)]
    startup_rounds: Annotated[int, Field(ge=1, le=1000)]
    first: ListOf[Name] = ()
    space: SpaceParams
