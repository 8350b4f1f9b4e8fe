"""Keeps libraries from writing notes that help nobody: TensorFlow's while it is loaded, Matplotlib's of its folder."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
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
    try:
        reader = subprocess.Popen(["grep", "-a", "-v", "-E", pattern], stdin=read, stdout=shown)
    except OSError:  # a machine without grep shows everything
        for each in (shown, read, write):
            os.close(each)
        yield
        return
    with reader:
        os.close(read)
        os.dup2(write, 2)
        os.close(write)
        try:
            yield
        finally:
            os.dup2(shown, 2)
            os.close(shown)


def writable_folder(environment: Mapping[str, str]) -> dict[str, str]:
    """The setting by which Matplotlib keeps its files in the temporary folder; none where it can write at home."""
    home = Path(environment.get("HOME", "/"))
    if "MPLCONFIGDIR" in environment or os.access(home, os.W_OK):
        return {}
    return {"MPLCONFIGDIR": str(Path(tempfile.gettempdir()) / f"digit-vae-matplotlib-{os.getuid()}")}
