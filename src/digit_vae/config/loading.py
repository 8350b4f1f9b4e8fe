"""Reads and checks params.yaml. A mistake ends in one sentence with key, expectation and value."""

import json
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from digit_vae.base.errors import UserError
from digit_vae.base.paths import PARAMS
from digit_vae.config.runs import check_references
from digit_vae.config.schema import LARGEST_FLOAT, Params, RunParams, TrainParams

JsonSchema = dict[str, Any]
T = TypeVar("T")


def load_params(path: Path = PARAMS) -> Params:
    """Reads and checks the whole file. Raises: UserError with key, expectation and value."""
    params = parsed(Params, _content(path))
    for name, options in params.variants.items():
        parsed(TrainParams, asdict(params.train) | dict(options), f"variants.{name}")
    check_references(params)
    return params


def read_run_params(content: object, where: str) -> RunParams:
    """The "params" of a run's history.json. Raises: UserError that names `where` and the key."""
    return parsed(RunParams, content, where)


def parsed(section: type[T], content: object, where: str = "") -> T:
    """`content`, plain values of JSON, as a section of params.yaml.

    Raises: UserError that begins with the key, prefixed by `where`.
    """
    adapter: TypeAdapter[T] = TypeAdapter(section)
    try:
        return adapter.validate_json(json.dumps(content))
    except ValidationError as error:
        raise UserError(_explained(error, schema_of(section), where)) from error


def json_schema() -> JsonSchema:
    """The JSON schema of params.yaml (Draft 2020-12), for editors. A variant may have any key of the train section."""
    schema = schema_of(Params)
    options = {
        "additionalProperties": False,
        "properties": schema["properties"]["train"]["properties"],
        "type": "object",
    }
    names = schema["properties"]["variants"]["patternProperties"]
    variants = schema["properties"]["variants"] | {"patternProperties": dict.fromkeys(names, options)}
    properties = schema["properties"] | {"variants": variants}
    return {"$schema": GenerateJsonSchema.schema_dialect} | schema | {"properties": properties}


def schema_of(section: type[object]) -> JsonSchema:
    """The JSON schema of one section, without references and titles."""
    schema = TypeAdapter(section).json_schema()
    definitions = schema.pop("$defs", {})
    return {key: _inlined(value, definitions) for key, value in schema.items() if key != "title"}


def _inlined(found: Any, definitions: Mapping[str, JsonSchema]) -> Any:  # noqa: ANN401 - any part of a schema
    """`found` with every reference replaced by its target, and without the titles that pydantic makes of names."""
    if isinstance(found, list):
        return [_inlined(each, definitions) for each in found]
    if not isinstance(found, dict):
        return found
    if "$ref" in found:
        found = definitions[found["$ref"].rpartition("/")[2]]
    return {key: _inlined(value, definitions) for key, value in found.items() if key != "title"}


def _content(path: Path) -> object:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - derived from SafeLoader
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run this in the project's root folder") from error
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _explained(error: ValidationError, schema: JsonSchema, where: str) -> str:
    """The first mistake in words; an unknown key comes first, since it explains a missing one."""
    problem = min(error.errors(), key=lambda each: each["type"] != "unexpected_keyword_argument")
    *path, last = problem["loc"] or ("",)
    received = problem["input"]
    match problem["type"]:
        case "unexpected_keyword_argument":
            known = ", ".join(_at(schema, path)["properties"])
            return f"{_name(where, path)}: unknown key {last!r}; expected one of {known}"
        case "missing" if received:
            return f"{_name(where, path)}: the key {last!r} is missing; received only {', '.join(received)}"
        case "string_pattern_mismatch" if last == "[key]":  # pydantic's mark of what is wrong with a key itself
            path, expected = path[:-1], "names of the characters a-z, 0-9 and _"
        case kind:
            path = path if kind == "missing" else list(problem["loc"])
            expected = _described(_at(schema, path))
    return f"{_name(where, path)}: expected {expected}; received {reprlib.repr(received)} ({type(received).__name__})"


def _name(where: str, path: Iterable[int | str]) -> str:
    return ".".join([where, *map(str, path)]).removeprefix(".") or str(PARAMS)


def _at(schema: JsonSchema, path: Iterable[int | str]) -> JsonSchema:
    """The part of `schema` that describes what lies at `path`."""
    for key in path:
        schema = schema.get("anyOf", [schema])[0]  # of what may be null as well, the other
        if isinstance(key, int):
            schema = schema["items"]
        elif "properties" in schema:
            schema = schema["properties"][key]
        else:
            [schema] = schema["patternProperties"].values()
    return schema


def _described(schema: JsonSchema) -> str:
    """What a JSON schema expects, in words."""
    match schema:
        case {"type": "object"}:
            return "a section with keys and values"
        case {"description": str(description)}:
            return description
        case {"anyOf": [kind, {"type": "null"}]}:
            return f"{_described(kind)}, or null"
        case {"enum": choices}:
            return f"one of {', '.join(choices)}"
        case {"type": "boolean"}:
            return "true or false"
        case {"type": "integer", "minimum": least, "maximum": most}:
            return f"a whole number from {least} to {most}"
        case {"type": "array", "items": item}:
            least = f" of at least {schema['minItems']}" if "minItems" in schema else ""
            return f"a list{least}, without repetitions, each {_described(item)}"
        case _:
            return _described_number(schema)


def _described_number(schema: JsonSchema) -> str:
    words = {
        "minimum": "of at least {:g}",
        "exclusiveMinimum": "above {:g}",
        "exclusiveMaximum": "below {:g}",
        "maximum": "at most {:g}",
    }
    bounds = [text.format(schema[key]) for key, text in words.items() if schema.get(key, LARGEST_FLOAT) < LARGEST_FLOAT]
    return f"a finite number {' and '.join(bounds)}"


class _StrictLoader(yaml.SafeLoader):
    """Reads plain values as YAML 1.2 and DVC do: null, true, false, decimal numbers, printable texts; keys are texts.

    Other notations (010, 0x10, 1:30, yes, 2020-01-01) give a text. Tags, aliases and repeated keys are
    refused: plain values need none.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own way

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it untyped
        if event.anchor is not None or getattr(event, "tag", None) is not None:
            raise yaml.composer.ComposerError(None, None, "expected no tag, anchor or alias", event.start_mark)
        return super().compose_node(parent, index)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        if not str(node.value).isprintable():
            raise yaml.constructor.ConstructorError(None, None, "expected a printable text", node.start_mark)
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(None, None, "expected a text as key", key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _kind, _pattern in {
    "null": r"(~|null|Null|NULL|)$",
    "bool": r"(true|True|TRUE|false|False|FALSE)$",
    "int": r"[-+]?(0|[1-9][0-9]*)$",
    "float": r"[-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|(?i:\.inf|\.nan))$",
}.items():
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), None)
