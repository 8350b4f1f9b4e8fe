"""TensorFlow's kernels of oneDNN, also on processors where TensorFlow by itself leaves them off."""

import re
from collections.abc import Mapping
from pathlib import Path

SWITCH = "TF_ENABLE_ONEDNN_OPTS"
# With one of these TensorFlow uses oneDNN by itself (DefaultOneDnnPolicy in its core/util/port.cc).
ON_BY_ITSELF = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}


def cpuinfo() -> str:
    """What Linux says of the processors; nothing elsewhere, where TensorFlow knows best."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def switched_on(described: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The setting that an x86 processor needs which lacks them all; none for others, or where the user has set it.

    described: by `cpuinfo`. With the setting a step is faster there, and its operations have bits that processors with
    AVX-512 give under other settings (docs/portable_bits.md).
    """
    listed = re.search(r"^flags\s*:\s*(.+)$", described, re.MULTILINE)
    flags = set(listed[1].split()) if listed else set()
    if SWITCH in environment or "avx2" not in flags or flags & ON_BY_ITSELF:
        return {}
    return {SWITCH: "1"}
