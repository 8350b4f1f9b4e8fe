"""Reads and validates params.yaml. A mistake ends in one sentence with key, expectation and value."""

import functools
import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from digit_vae.base.errors import UserError
from digit_vae.base.paths import PARAMS
from digit_vae.config.runs import check_references
from digit_vae.config.schema import LARGEST_FLOAT, Params, RunParams, TrainParams

JsonSchema = Mapping[str, Any]
T = TypeVar("T")


def load_params(path: Path = PARAMS) -> Params:
    """Reads and validates the whole file. Raises: UserError with key, expectation and value."""
    params = parsed(Params, _content(path), "")
    for name, options in params.variants.items():
        parsed(TrainParams, asdict(params.train) | dict(options), f"variants.{name}")
    check_references(params)
    return params


def read_run_params(content: object, where: str) -> RunParams:
    """The "params" of a run's history.json. Raises: UserError that names `where` and the key."""
    return parsed(RunParams, content, where)


def parsed(section: type[T], content: object, where: str) -> T:
    """`content`, as JSON or YAML have it, as a section of params.yaml. Raises: UserError that names `where` and the key."""
    try:
        return _adapter(section).validate_json(json.dumps(content, default=str))
    except (ValidationError, ValueError, TypeError, RecursionError) as error:
        if not isinstance(error, ValidationError):
            raise UserError(f"{where or PARAMS}: expected plain values; received {_shown(content)}") from error
        raise UserError(_explained(error, _adapter(section).json_schema(), content, where)) from error


def json_schema() -> dict[str, Any]:
    """The schema of params.yaml, for editors: a variant may have any key of the train section."""
    schema = _adapter(Params).json_schema()
    options = {key: value for key, value in schema["$defs"]["TrainParams"]["properties"].items()}
    variant = {"type": "object", "properties": options, "additionalProperties": False}
    schema["properties"]["variants"]["additionalProperties"] = variant
    schema["properties"]["variants"].pop("patternProperties", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


@functools.cache
def _adapter(section: type) -> TypeAdapter[Any]:
    return TypeAdapter(section)


def _content(path: Path) -> object:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - derived from SafeLoader
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run this in the project's root folder") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _explained(error: ValidationError, schema: JsonSchema, content: object, where: str) -> str:
    """The first mistake in words. Of a key with several types (a number, or null) pydantic names one a type."""
    problem = error.errors()[0]
    path = [part for part in problem["loc"] if _is_key(content, problem["loc"], part)]
    kind = problem["type"]
    name = ".".join([*([where] if where else []), *map(str, path)])
    parent = ".".join([*([where] if where else []), *map(str, path[:-1])]) or str(PARAMS)
    if kind == "missing":
        return (
            f"{parent}: the key {path[-1]!r} is missing; received only {', '.join(map(str, _at(content, path[:-1])))}"
        )
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _resolved(schema, path[:-1])["properties"]
        return f"{parent}: unknown key {path[-1]!r}; expected one of {', '.join(known)}"
    expected = _described(_resolved(schema, path), schema)
    return f"{name or PARAMS}: expected {expected}; received {_shown(_at(content, path))}"


def _is_key(content: object, loc: Sequence[int | str], part: int | str) -> bool:
    """Whether a part of pydantic's location is a key of the content, and not the name of a type that it tried."""
    return part != "[key]" and not (
        isinstance(part, str) and re.search(r"[\[(]|^(int|float|str|bool|none|literal)$", part)
    )


def _at(content: Any, path: Sequence[int | str]) -> Any:
    for key in path:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def _resolved(schema: JsonSchema, path: Sequence[int | str]) -> JsonSchema:
    """The schema of what lies at `path`."""
    found: JsonSchema = schema
    for key in path:
        found = _followed(found, schema)
        if isinstance(key, int):
            found = found["items"]
        elif key in found.get("properties", {}):
            found = found["properties"][key]
        elif "additionalProperties" in found and isinstance(found["additionalProperties"], Mapping):
            found = found["additionalProperties"]
        else:
            found = next(iter(found.get("patternProperties", {}).values()), {})
    return _followed(found, schema)


def _followed(found: JsonSchema, schema: JsonSchema) -> JsonSchema:
    reference = found.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else found


def _described(found: JsonSchema, schema: JsonSchema) -> str:
    """A JSON schema in words."""
    found = _followed(found, schema)
    if "anyOf" in found:
        kinds = [_described(each, schema) for each in found["anyOf"] if each.get("type") != "null"]
        return f"{', or '.join(kinds)}{', or null' if len(kinds) < len(found['anyOf']) else ''}"
    if "enum" in found or "const" in found:
        return f"one of {', '.join(found.get('enum', [found.get('const')]))}"
    match found.get("type"):
        case "integer":
            return f"a whole number from {found['minimum']} to {found['maximum']}"
        case "number":
            return _described_number(found)
        case "boolean":
            return "true or false"
        case "array":
            least = f" of at least {found['minItems']}" if "minItems" in found else ""
            return f"a list{least}, without repetitions, each {_described(found['items'], schema)}"
        case "string":
            return str(found.get("description", "a text"))
        case _:
            return "a section with keys and values"


def _described_number(found: JsonSchema) -> str:
    above, below = found.get("exclusiveMinimum"), found.get("exclusiveMaximum")
    lower = (
        f"a finite number {f'above {above:g}' if above is not None else 'of at least {:g}'.format(found['minimum'])}"
    )
    if below is not None:
        return f"{lower} and below {below:g}"
    return lower if found["maximum"] == LARGEST_FLOAT else f"{lower} and at most {found['maximum']:g}"


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

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it untyped
        if event.anchor is not None or getattr(event, "tag", None) is not None:
            raise yaml.composer.ComposerError(None, None, "expected no tag, anchor or alias", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: list[object] = []
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
