"""The whole graph of the paper on a small part of the data, in a temporary copy of this folder.

    digit-vae smoke           # through the driver, as `make repro`
    digit-vae smoke --serial  # through plain `dvc repro`

The copy has its own DVC cache and MLflow store; this folder stays as it was. At the end it prints the SHA-256 over all
reproducible outputs: on one machine it is always the same, either way.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from digit_vae.base.arguments import parser_of
from digit_vae.base.files import sha256
from digit_vae.config.loading import load_params
from digit_vae.config.runs import runs
from digit_vae.verification.scratch import DRIVER, SERIAL, reproduce, scratch_copy, small

REPRODUCIBLE = (
    "data/processed/**/*",
    "models/*/*",
    "reports/classifier.json",
    "reports/paper/runs/*/digits.npz",
    "reports/paper/runs/*/history.json",
    "reports/paper/runs/*/metrics.json",
    "reports/paper/comparisons/*",
    "reports/paper/figures/*",
    "reports/paper/pictures/*",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises: UserError when the graph fails."""
    parser = parser_of("smoke", __doc__)
    parser.add_argument("--serial", action="store_true", help="one stage after the other, by DVC itself")
    module = SERIAL if parser.parse_args(arguments).serial else DRIVER
    params, started = small(load_params()), time.monotonic()
    with scratch_copy("digit-vae-smoke-", params) as folder:
        reproduce(folder, module)
        outputs = hashes(folder)
    listed = "".join(f"{value}  {path}\n" for path, value in outputs.items())
    print(f"smoke passed: {len(runs(params))} runs in {time.monotonic() - started:.0f} s")
    print(f"SHA-256 over {len(outputs)} reproducible outputs: {hashlib.sha256(listed.encode()).hexdigest()}")


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each reproducible output by its path in `folder`, sorted."""
    files = {path for pattern in REPRODUCIBLE for path in folder.glob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(files)}
