"""`digit-vae site`: builds the site of committed files and the fetched data, and serves it on 127.0.0.1.

It trains nothing, and it is part of no graph: its pages show the results of both.
"""

from collections.abc import Sequence
from contextlib import suppress

from digit_vae.base.arguments import parser_of
from digit_vae.base.orphans import die_with_parent
from digit_vae.base.ports import listening, port_number
from digit_vae.site.build import SITE, build
from digit_vae.site.serve import server

PORT = 8000


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises: UserError where results are missing, or the port is taken."""
    parser = parser_of("site", __doc__)
    parser.add_argument("--port", type=port_number, default=PORT, help=f"where the site is served (default: {PORT})")
    parser.add_argument("--build-only", action="store_true", help="write the site and do not serve it")
    parsed = parser.parse_args(arguments)
    if parsed.build_only:
        say_built()
        return
    with listening(parsed.port, example="make site PORT=8001") as connection:
        say_built()
        die_with_parent()
        host, port = connection.getsockname()
        print(f"the site is at http://{host}:{port} (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            server(connection, SITE).serve_forever()


def say_built() -> None:
    print(f"wrote {SITE}, {build(SITE) / 1e6:.1f} MB", flush=True)
