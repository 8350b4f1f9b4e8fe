"""What decides the trials of a search, so that none is added to those of another one."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from digit_vae.base.errors import UserError
from digit_vae.base.files import json_bytes, sha256_of
from digit_vae.base.paths import SEARCH
from digit_vae.base.provenance import code_hashes
from digit_vae.config.schema import Params
from digit_vae.search.record import ANEW, Search
from digit_vae.search.space import first_points

CODE = ("model", "training")  # the folders of code that decide a training
UNDECISIVE = ("trials", "first")  # of section search: the number of trials; what the first ones are stands beside it


def inputs_of(params: Params, data: Mapping[str, str]) -> dict[str, Any]:
    """By what a sentence calls it. data: SHA-256 of the training images and of the split."""
    section = asdict(params.search)
    found = {f"search.{key}": value for key, value in section.items() if key not in UNDECISIVE}
    found |= {"search.first": first_points(params), "train": asdict(params.train), "data": dict(data)}
    return _as_json(found | {"code": sha256_of(code_hashes(*CODE))})


def check_inputs(search: Search, inputs: Mapping[str, Any]) -> None:
    """Raises: UserError that names what changed since the recorded trials."""
    names = sorted(search.inputs.keys() | inputs.keys())
    if changed := [name for name in names if search.inputs.get(name) != inputs.get(name)]:
        trials = f"{len(search.trials)} trial{'s' if len(search.trials) != 1 else ''}"
        raise UserError(f"{SEARCH}: {', '.join(changed)} changed since its {trials}; {ANEW}")


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    """As the record has it when it is read: tuples are lists."""
    read: dict[str, Any] = json.loads(json_bytes(value))
    return read
