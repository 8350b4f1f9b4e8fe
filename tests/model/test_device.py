import json
import os
import platform
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from digit_vae.base.errors import UserError
from digit_vae.model import device as machine

X86 = """processor\t: 0
model name\t: Some CPU @ 2.00GHz
flags\t\t: fpu sse4_2 avx avx2 fma avx512f amx_tile unknown

processor\t: 1
model name\t: Some CPU @ 2.00GHz
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd evtstrm sve\n"


def is_in_the_fingerprint(monkeypatch, name, value):
    """Whether a variable of the environment changes it."""
    monkeypatch.delenv(name, raising=False)
    before = machine.fingerprint()
    monkeypatch.setenv(name, value)
    return machine.fingerprint() != before


def test_the_device_is_deterministic_and_has_one_thread(cpu):
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1
    assert tf.config.get_visible_devices("GPU") == []
    with pytest.raises(RuntimeError, match="determinism is enabled"):
        tf.random.get_global_generator()
    assert (cpu["device"], cpu["gpu"], cpu["threads"]) == ("cpu", None, 1)


def test_selecting_the_device_again_changes_nothing(cpu):
    tf.ones((2,)) + 1  # TensorFlow is in use by now
    assert machine.select_device("cpu") == cpu


def test_a_users_settings_of_keras_are_not_taken_over(tmp_path):
    settings = {"backend": "jax", "image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.1}
    (tmp_path / "keras.json").write_text(json.dumps(settings), encoding="utf-8")
    code = """
from digit_vae.model.device import select_device
import keras
select_device("cpu")
found = keras.config.backend(), keras.config.image_data_format(), keras.config.floatx(), keras.config.epsilon()
assert found == ("tensorflow", "channels_last", "float32", 1e-7), found
"""
    environment = os.environ | {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "jax"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


@pytest.mark.usefixtures("cpu")
def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])
    with pytest.raises(UserError, match=r"train.device: expected a GPU"):
        machine.select_device("gpu")


def test_the_fingerprint_is_plain_and_names_the_versions(cpu):
    assert json.loads(json.dumps(cpu)) == cpu
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    assert {name: cpu[name] for name in versions} == versions
    assert cpu["python"] == platform.python_version()
    assert cpu["cores"] >= 1
    assert cpu["tensorflow_build"].startswith(tf.version.GIT_VERSION)


@pytest.mark.parametrize(
    ("cpuinfo", "cpu", "instruction_sets"),
    [
        (X86, "Some CPU @ 2.00GHz", ["sse4_2", "avx", "avx2", "fma", "avx512f", "amx_tile"]),
        (ARM, platform.processor() or platform.machine(), ["asimd", "sve"]),
        (None, platform.processor() or platform.machine(), []),
    ],
)
def test_the_processor_is_read_from_cpuinfo(tmp_path, monkeypatch, cpuinfo, cpu, instruction_sets):
    path = tmp_path / "cpuinfo"
    if cpuinfo:
        path.write_text(cpuinfo, encoding="utf-8")
    monkeypatch.setattr(machine, "Path", {"/proc/cpuinfo": path}.__getitem__)
    found = machine.fingerprint()
    assert (found["cpu"], found["instruction_sets"]) == (cpu, instruction_sets)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NPY_DISABLE_CPU_FEATURES", "AVX512F AVX2"),
        ("NPY_ENABLE_CPU_FEATURES", "AVX2"),
        ("OPENBLAS_CORETYPE", "Haswell"),
        ("MKL_CBWR", "COMPATIBLE"),
        ("ONEDNN_MAX_CPU_ISA", "AVX2"),
        ("DNNL_DEFAULT_FPMATH_MODE", "BF16"),
        ("TF_ENABLE_ONEDNN_OPTS", "0"),
        ("XLA_FLAGS", "--xla_cpu_enable_fast_math=true"),
        ("TF_XLA_FLAGS", "--tf_xla_auto_jit=2"),
        ("NVIDIA_TF32_OVERRIDE", "0"),
        ("TF_SET_ONEDNN_FPMATH_MODE", "BF16"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),
        ("OPENBLAS_L2_SIZE", "512"),
        ("MKL_DEBUG_CPU_TYPE", "5"),
        ("BLIS_ARCH_TYPE", "haswell"),
        ("FLEXIBLAS", "netlib"),
        ("TF_CUDNN_DETERMINISTIC", "1"),
        ("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
    ],
)
def test_what_chooses_kernels_is_in_the_fingerprint(monkeypatch, name, value):
    before = machine.fingerprint()
    monkeypatch.setenv(name, value)
    assert machine.fingerprint() == before | {"switches": before["switches"] | {name: value}}


@pytest.mark.parametrize(
    "name",
    [
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
        *("OPENBLAS_DEFAULT_NUM_THREADS", "MKL_DOMAIN_NUM_THREADS", "MKL_DYNAMIC", "BLIS_JC_NT"),
        *("TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_GPU_THREAD_MODE"),
    ],
)
def test_the_number_of_threads_is_set_here_and_no_part_of_the_fingerprint(monkeypatch, name):
    assert not is_in_the_fingerprint(monkeypatch, name, "3")


@pytest.mark.parametrize(
    "name",
    [
        *("ONEDNN_VERBOSE", "OPENBLAS_VERBOSE", "MKL_VERBOSE", "CUDNN_LOGLEVEL_DBG", "CUBLAS_LOGINFO_DBG"),
        *("TF_CPP_MIN_LOG_LEVEL", "TF_CPP_MAX_VLOG_LEVEL", "TF_CPP_VMODULE", "TF_DUMP_GRAPH_PREFIX", "ONEDNN_JIT_DUMP"),
        *("ONEDNN_JIT_PROFILE", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR"),
        *("TF_CLI_CONFIG_FILE", "TF_VAR_password", "TF_LOG"),  # Terraform's
    ],
)
def test_messages_memory_and_caches_are_no_part_of_the_fingerprint(monkeypatch, name):
    assert not is_in_the_fingerprint(monkeypatch, name, "1")


def test_of_glibcs_tunables_those_that_choose_kernels_are_in_the_fingerprint(monkeypatch):
    cpu = "glibc.cpu.hwcaps=-AVX2_Usable"
    monkeypatch.setenv("GLIBC_TUNABLES", f"glibc.malloc.check=3:{cpu}:glibc.pthread.rseq=0")
    assert machine.fingerprint()["switches"]["GLIBC_TUNABLES"] == cpu
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=3")
    assert "GLIBC_TUNABLES" not in machine.fingerprint()["switches"]
