"""The outcome of `digit-vae verify`, for a machine and for a person."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from digit_vae.base.errors import UserError
from digit_vae.base.nested import flat
from digit_vae.verification.comparison import Deviation, Outcome


def certificate(compared: Sequence[Outcome], facts: Mapping[str, object]) -> dict[str, Any]:
    """The outcome for a machine to read. facts: what else stands in it, such as the machine and the commit.

    NaN and infinities, for which JSON has no number, become the texts "NaN", "Infinity" and "-Infinity".
    """
    found = [deviation for each in compared for deviation in each.deviations]
    outcomes = [
        {"of": each.of, "how": each.how, "deviations": [deviation._asdict() for deviation in each.deviations]}
        for each in compared
    ]
    content = {**facts, "holds": not found, "deviations": len(found), "compared": outcomes}
    plain: dict[str, Any] = json.loads(json.dumps(content), parse_constant=str)
    return plain


def certificate_text(compared: Sequence[Outcome], facts: Mapping[str, object]) -> str:
    """The same for a person, in Markdown."""
    found = [deviation for each in compared for deviation in each.deviations]
    lines = [
        "# Certificate of reproduction",
        f"**{'Everything holds.' if not found else f'Does not hold: {_count(found)}.'}**",
        "\n".join(f"- {name}: {value}" for name, value in flat(facts).items()),
        "\n".join(["| Compared | How | Outcome |", "| --- | --- | --- |", *map(_row, compared)]),
        "\n".join(f"- {deviation}" for deviation in found),
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def append_text(path: Path, text: str) -> None:
    """Adds `text` to a file that others write, too; a missing folder is made.

    Raises: UserError when it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror or error}") from error


def _row(compared: Outcome) -> str:
    outcome = f"**{_count(compared.deviations)}**" if compared.deviations else "holds"
    return f"| {compared.of} | {compared.how} | {outcome} |"


def _count(deviations: Sequence[Deviation]) -> str:
    return f"{len(deviations)} deviation{'' if len(deviations) == 1 else 's'}"
