"""The machine under a run: its device made deterministic, and the fingerprint within which bits repeat."""

import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from digit_vae.base.errors import UserError
from digit_vae.base.provenance import TRAINED_WITH

THREADS = 1
# Those that change how oneDNN and Eigen order their sums, and so the last bits.
INSTRUCTION_SETS = (
    *("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16"),
    *("asimd", "sve"),
)
# Environment variables of TensorFlow, oneDNN, XLA, CUDA, NumPy, BLAS libraries, SciPy and scikit-learn, most of which
# choose among kernels, and so the last bits. Eigen reads none. Not all that begins with TF_: Terraform's do, too.
SWITCHES = re.compile(
    "TF_(XLA|ENABLE|DISABLE|DETERMINISTIC|OVERRIDE|USE|ONEDNN|SET_ONEDNN|MKL|CUDNN|CUBLAS|MATMUL|CONV|AUTO)|"
    "(ONEDNN|DNNL|NPY|OPENBLAS|GOTO|MKL|BLIS|CUBLAS|CUBLASLT|CUDNN|SCIPY|SKLEARN)_|"
    "(XLA_FLAGS|NVIDIA_TF32_OVERRIDE|FLEXIBLAS)$"
)
# Not those that set threads, which are set here, messages, dumps, memory or caches.
NO_SWITCHES = re.compile(".*(THREAD|VERBOSE|LOG|DUMP|PROFILE|ALLOC|CACHE)|BLIS_[A-Z]+_NT$|MKL_DYNAMIC$")


def select_device(device: str) -> dict[str, Any]:
    """Makes TensorFlow deterministic, single-threaded and bound to `device` ("cpu" or "gpu").

    Returns: the fingerprint of what the runs of this process run on. To be called before anything else uses
    TensorFlow; calling it again with the same device changes nothing.
    Raises: UserError when `device` is "gpu" and TensorFlow sees none.
    """
    # What a user's keras.json may have otherwise; the backend was chosen in __init__.py, before Keras was imported.
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise UserError(
            "train.device: expected a GPU that TensorFlow can see, received none: install the GPU build with "
            "`make setup GPU=1` and check the driver with `nvidia-smi` (TF_CPP_MIN_LOG_LEVEL=0 shows TensorFlow's own "
            "reasons), or set train.device to cpu"
        )
    if device == "cpu" and gpus:
        tf.config.set_visible_devices([], "GPU")
    for gpu in gpus if device == "gpu" else ():
        tf.config.experimental.set_memory_growth(gpu, True)  # several runs may share it
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    tf.config.experimental.enable_op_determinism()
    build = tf.sysconfig.get_build_info()
    return fingerprint() | {
        "device": device,
        "gpu": tf.config.experimental.get_device_details(gpus[0]).get("device_name") if device == "gpu" else None,
        "threads": THREADS,
        "tensorflow_build": f"{tf.version.GIT_VERSION}, CUDA {build.get('cuda_version', 'none')}",
    }


def fingerprint() -> dict[str, Any]:
    """Processor, cores, instruction sets, operating system and versions, as plain values for JSON."""
    cpuinfo = Path("/proc/cpuinfo")
    described = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", described, re.MULTILINE)
    listed = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", described, re.MULTILINE)
    flags = listed.group(1).split() if listed else []
    return {
        "cpu": model.group(1).strip() if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in flags],
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: version(package) for package in TRAINED_WITH},
        "switches": _switches(os.environ),
    }


def _switches(environment: Mapping[str, str]) -> dict[str, str]:
    """Those that are set; of glibc's tunables the ones that choose its kernels."""
    names = sorted(name for name in environment if SWITCHES.match(name) and not NO_SWITCHES.match(name))
    found = {name: environment[name] for name in names}
    tunables = [each for each in environment.get("GLIBC_TUNABLES", "").split(":") if each.startswith("glibc.cpu.")]
    return found | ({"GLIBC_TUNABLES": ":".join(tunables)} if tunables else {})
