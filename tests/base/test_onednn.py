"""Where oneDNN is switched on."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import digit_vae
from digit_vae.base import onednn
from digit_vae.base.onednn import SWITCH, switched_on


def described(*flags):
    return f"processor\t: 0\nvendor_id\t: A\nflags\t\t: fpu {' '.join(flags)}\n\nprocessor\t: 1\n"


def test_a_processor_without_instructions_for_networks_needs_the_setting():
    assert switched_on(described("avx2"), {}) == {SWITCH: "1"}
    assert switched_on(described("avx2", "avx512f"), {}) == {SWITCH: "1"}


@pytest.mark.parametrize("flags", [("avx",), ("avx2", "avx512f", "avx512_vnni"), ("avx2", "avx_vnni"), ("amx_tile",)])
def test_others_are_left_as_they_are(flags):
    assert switched_on(described(*flags), {}) == {}


@pytest.mark.parametrize("said", ["", "Features\t: asimd sve\n"])
def test_so_are_those_that_are_no_x86(said):
    assert switched_on(said, {}) == {}


def test_so_is_one_that_says_nothing_of_itself(monkeypatch):
    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert onednn.cpuinfo() == ""


@pytest.mark.parametrize("value", ["0", "1"])
def test_what_the_user_has_set_stays(value):
    assert switched_on(described("avx2"), {SWITCH: value}) == {}


@pytest.mark.parametrize(("flags", "expected"), [(("avx2",), "1"), (("avx2", "avx512_vnni"), None)])
def test_the_package_sets_it_when_it_is_imported(monkeypatch, flags, expected):
    monkeypatch.setattr(onednn, "cpuinfo", lambda: described(*flags))
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name != SWITCH})
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    importlib.reload(digit_vae)
    assert os.environ.get(SWITCH) == expected


def test_tensorflow_uses_onednn_wherever_the_package_is_imported():
    """Its own tests ask it in this way; nothing public tells."""
    code = "import digit_vae; from tensorflow.python.framework import test_util; print(test_util.IsMklEnabled())"
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    environment["PYTHONPATH"] = str(Path(digit_vae.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    has_avx2 = "avx2" in Path("/proc/cpuinfo").read_text(encoding="utf-8") if sys.platform == "linux" else False
    assert done.stdout.strip() == str(has_avx2)
