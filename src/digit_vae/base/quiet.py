"""Hides the notes that TensorFlow's libraries write while they are loaded, before any log level takes effect."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

NOTES = r"^(WARNING: All log messages before absl::InitializeLog|[IW][0-9]{4} )"  # I and W: information and warnings


class QuietStart(MetaPathFinder):
    """Finds TensorFlow where Python finds it, and shows only errors while it is loaded."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec and spec.loader and os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "0":
            load = spec.loader.exec_module

            def load_quietly(module: ModuleType) -> None:
                with _filtered(NOTES):
                    load(module)

            spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec


@contextmanager
def _filtered(pattern: str) -> Iterator[None]:
    """Within the block, lines that match `pattern` do not reach standard error, whoever writes them.

    Another process reads the lines: should this one crash, its last words are shown all the same.
    """
    try:
        shown = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    read, write = os.pipe()
    with subprocess.Popen(["grep", "-a", "-v", "-E", pattern], stdin=read, stdout=shown):
        os.close(read)
        os.dup2(write, 2)
        os.close(write)
        try:
            yield
        finally:
            os.dup2(shown, 2)
            os.close(shown)
