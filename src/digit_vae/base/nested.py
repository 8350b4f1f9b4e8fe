"""Mappings within mappings, as JSON files have them."""

from collections.abc import Mapping
from typing import Any


def flat(values: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """{"test": {"elbo": -150.2}} -> {"test.elbo": -150.2}"""
    found: dict[str, Any] = {}
    for name, value in values.items():
        inner = flat(value, separator) if isinstance(value, Mapping) else None
        found |= {name: value} if inner is None else {f"{name}{separator}{key}": each for key, each in inner.items()}
    return found
