"""`digit-vae schema`: writes params.schema.json, which the first line of params.yaml names for editors."""

from collections.abc import Sequence

from digit_vae.base.arguments import parser_of
from digit_vae.base.files import write_json
from digit_vae.base.paths import SCHEMA
from digit_vae.config.loading import json_schema


def main(arguments: Sequence[str] | None = None) -> None:
    parser_of("schema", __doc__).parse_args(arguments)
    write_json(SCHEMA, json_schema())
    print(f"wrote {SCHEMA}")
