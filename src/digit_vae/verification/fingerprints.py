"""What the fingerprints of two machines say of the bytes of a run; docs/portable_bits.md says why."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from digit_vae.base.onednn import SWITCH

UNDECISIVE = ("cpu", "cores", "instruction_sets", "python")


class Bytes(IntEnum):
    """What two fingerprints say of the bytes of one run."""

    OPEN = 0  # they may differ: tolerances decide
    EXPECTED = 1  # they should be equal, which nobody has seen on one of the processors: reported, tolerances decide
    DEMANDED = 2


def repeats(published: Mapping[str, Any], anew: Mapping[str, Any], seen: Sequence[Mapping[str, Any]] = ()) -> Bytes:
    """What is to be asked of the bytes. seen: fingerprints of machines on which they held.

    All but the number of cores is the same: the same bytes. Else in float32 on CPUs with AVX-512 where all that still
    matters is the same (docs/portable_bits.md): the same bytes too, once they were seen on both processors.
    """
    if {**published, "cores": 0} == {**anew, "cores": 0}:
        return Bytes.DEMANDED
    if not (_is_portable(published) and _is_portable(anew) and _matters(published) == _matters(anew)):
        return Bytes.OPEN
    return Bytes.DEMANDED if all(is_seen(each, seen) for each in (published, anew)) else Bytes.EXPECTED


def _is_portable(machine: Mapping[str, Any]) -> bool:
    """An evaluation's machine names no precision: its training's decides."""
    return (
        machine.get("device") == "cpu"
        and machine.get("precision", "float32") == "float32"
        and "avx512f" in machine.get("instruction_sets", ())
    )


def _matters(machine: Mapping[str, Any]) -> dict[str, Any]:
    """What of a fingerprint still decides bits there: neither the processor nor the release of Python.

    A switch that turns on what other processors have on by themselves is none.
    """
    switches = {name: value for name, value in machine.get("switches", {}).items() if (name, value) != (SWITCH, "1")}
    return {name: value for name, value in machine.items() if name not in UNDECISIVE} | {"switches": switches}


def is_seen(machine: Mapping[str, Any], seen: Sequence[Mapping[str, Any]]) -> bool:
    """Whether bytes held on such a processor with the same versions. Virtual machines may call several by one name."""
    return any(
        all(each.get(name) == machine.get(name) for name in ("cpu", "instruction_sets"))
        and _matters(each).items() <= _matters(machine).items()
        for each in seen
    )
