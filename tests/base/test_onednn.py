"""Where oneDNN is switched on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import digit_vae
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


@pytest.mark.parametrize("value", ["0", "1"])
def test_what_the_user_has_set_stays(value):
    assert switched_on(described("avx2"), {SWITCH: value}) == {}


def test_tensorflow_uses_onednn_wherever_the_package_is_imported():
    """Its own word for it is the one public sign."""
    code = "import digit_vae; from tensorflow.python.framework import test_util; print(test_util.IsMklEnabled())"
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    environment["PYTHONPATH"] = str(Path(digit_vae.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    has_avx2 = "avx2" in Path("/proc/cpuinfo").read_text(encoding="utf-8") if sys.platform == "linux" else False
    assert done.stdout.strip() == str(has_avx2)
