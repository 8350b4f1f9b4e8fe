"""What a search of a better recipe may try: the points of its space, and those that it begins with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields

from digit_vae.base.errors import UserError
from digit_vae.config.loading import parsed
from digit_vae.config.runs import splits
from digit_vae.config.schema import FULL, Params, TrainParams
from digit_vae.config.search import NumberRange, SearchParams, WholeRange

Value = int | float | str
Limits = NumberRange | WholeRange | Sequence[Value]
Options = Mapping[str, Value]  # a point: by option of the train section


def space(search: SearchParams) -> dict[str, Limits]:
    """The limits of each option that varies, by its name; a sequence has the values to choose from."""
    limits = {field.name: getattr(search.space, field.name) for field in fields(search.space)}
    return {option: its for option, its in limits.items() if its is not None}


def first_points(params: Params) -> list[Options]:
    """The points that the search begins with: what its first variants have of each option that varies."""
    return [_point(params, name) for name in params.search.first]


def check_search(params: Params) -> None:
    """Checks section search beside the other sections. Raises: UserError with key, expectation and value."""
    for option, limits in space(params.search).items():
        for value in _ends(limits):
            parsed(TrainParams, asdict(params.train) | {option: value}, "search.space")
    for message in _wrong(params):
        raise UserError(message)


def _wrong(params: Params) -> Iterator[str]:
    search = params.search
    if (search.fold, search.seed) not in (known := splits(params)):
        folds = ", ".join(split for split, seed in known if seed == search.seed and split != FULL) or "none"
        yield f"search.fold: expected a fold of a run with seed {search.seed} ({folds}); received {search.fold!r}"
    if not space(search):
        yield "search.space: expected at least one option with limits; received none"
    for option, limits in space(search).items():
        if isinstance(limits, NumberRange | WholeRange):
            yield from _wrong_range(f"search.space.{option}", limits)
    drawn = search.startup_rounds * search.a_round
    if len(search.first) > drawn:
        yield f"search.first: expected at most the {drawn} trials of the startup rounds; received {len(search.first)}"
    for name in search.first:
        yield from _wrong_first(params, name)


def _wrong_range(key: str, limits: NumberRange | WholeRange) -> Iterator[str]:
    if limits.low >= limits.high:
        yield f"{key}: expected low below high; received {limits.low:g} and {limits.high:g}"
    if isinstance(limits, NumberRange) and limits.log and limits.low <= 0:
        yield f"{key}.low: expected a number above 0, as log is true; received {limits.low:g}"


def _wrong_first(params: Params, name: str) -> Iterator[str]:
    if name not in params.variants:
        yield f"search.first: expected names of variants ({', '.join(params.variants)}); received {name!r}"
        return
    limits, train = space(params.search), asdict(params.train)
    for option, value in params.variants[name].items():
        if option not in limits and value != train[option]:
            yield f"search.first: expected variants that vary what search.space has; received {name!r} with {option}"
    for option, value in _point(params, name).items():
        if not _admits(limits[option], value):
            yield f"search.first: expected variants within search.space; received {name!r} with {option} {value}"


def _point(params: Params, name: str) -> Options:
    values = asdict(params.train) | dict(params.variants[name])
    return {option: values[option] for option in space(params.search)}


def _admits(limits: Limits, value: Value) -> bool:
    if isinstance(limits, NumberRange | WholeRange):
        return limits.low <= float(value) <= limits.high
    return value in limits


def _ends(limits: Limits) -> Sequence[Value]:
    """The least and the greatest value, or all that there are to choose from."""
    return (limits.low, limits.high) if isinstance(limits, NumberRange | WholeRange) else limits
