"""The records of reports/processors/: what a processor computes, and whether bytes were seen to hold on it."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from digit_vae.base.errors import first_misfit
from digit_vae.base.files import damaged, read_json
from digit_vae.base.paths import PROCESSORS
from digit_vae.base.shapes import FINGERPRINT, misfits

MADE_BY = "digit-vae operations"


class Processor(BaseModel):
    """One record.

    bytes_seen: whether trainings and evaluations gave the published bytes on it. machine: its fingerprint, with the
    versions that the record is of. operations: a hash of each one's result, by its name.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    bytes_seen: bool
    machine: dict[str, Any]
    operations: dict[str, str]

    @model_validator(mode="after")
    def _of_a_machine(self) -> Self:
        for problem in misfits(self.machine, FINGERPRINT, "machine"):
            raise ValueError(problem)
        return self


def read_processor(path: Path) -> Processor:
    """Raises: UserError when `path` is no such record."""
    try:
        return Processor.model_validate(read_json(path, made_by=MADE_BY))
    except ValidationError as error:
        raise damaged(path, MADE_BY, first_misfit(error)) from error


def machines_with_bytes() -> list[dict[str, Any]]:
    """The fingerprints of the processors on which bytes were seen to hold. Raises: UserError when one is damaged."""
    return [each.machine for each in map(read_processor, sorted(PROCESSORS.glob("*.json"))) if each.bytes_seen]
