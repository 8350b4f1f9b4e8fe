"""What values of params.yaml may be, as the classes of several sections say it."""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field

Device = Literal["cpu", "gpu"]
Initializer = Literal["glorot_uniform", "glorot_normal", "he_uniform", "he_normal"]
LARGEST_INT = 2**31 - 1
T = TypeVar("T")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("expected no repetition")
    return values


# A description says what is expected, where the bounds alone do not.
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", description="a name of the characters a-z, 0-9 and _")]
Fold = Annotated[str, Field(pattern=r"^fold(0|[1-9][0-9]?)$", description="fold0, fold1, ...")]
Whole = Annotated[int, Field(ge=0, le=LARGEST_INT)]
ListOf = Annotated[tuple[T, ...], Field(json_schema_extra={"uniqueItems": True}), AfterValidator(_distinct)]
AtLeastOne = Annotated[
    tuple[T, ...], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_distinct)
]

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
