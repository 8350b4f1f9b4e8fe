"""The whole graph at smoke size; that it gives the same bytes either way takes minutes."""

import hashlib
import re
from pathlib import Path

import pytest

from digit_vae.verification import smoke

ROOT = Path(__file__).parents[2]
KEPT = (
    *("data/processed/splits/full-0.npy", "models/a-full-0/decoder.weights.h5", "reports/classifier.json"),
    "reports/paper/runs/a-full-0/digits.npz",
    *("reports/paper/runs/a-full-0/history.json", "reports/paper/runs/a-full-0/metrics.json"),
    *("reports/paper/comparisons/ablation.json", "reports/paper/figures/a.png", "reports/paper/pictures/a.png"),
)
OF_THE_MACHINE = ("timings.json", "evaluation.json")


def test_hashes_leave_out_what_the_machine_decides(tmp_path):
    for name in (*KEPT, *(f"reports/paper/runs/a-full-0/{name}" for name in OF_THE_MACHINE)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert smoke.hashes(tmp_path) == {name: hashlib.sha256(name.encode()).hexdigest() for name in KEPT}


@pytest.mark.parametrize(("arguments", "module"), [((), "digit_vae"), (("--serial",), "dvc")])
@pytest.mark.usefixtures("project")
def test_one_hash_stands_for_all_outputs(monkeypatch, capsys, arguments, module):
    started = []

    def reproduce(folder, command):
        started.append(command[0])
        (folder / "models/a-full-0").mkdir(parents=True)
        (folder / "models/a-full-0/samples.npz").write_bytes(b"samples")

    monkeypatch.setattr(smoke, "reproduce", reproduce)
    smoke.main(arguments)
    listed = f"{hashlib.sha256(b'samples').hexdigest()}  models/a-full-0/samples.npz\n"
    out = capsys.readouterr().out
    assert started == [module]
    assert re.search(r"\b8 runs\b", out)
    assert hashlib.sha256(listed.encode()).hexdigest() in out


@pytest.mark.integration
@pytest.mark.slow
def test_driver_and_dvc_make_the_same_bytes(monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    found = []
    for arguments in ((), ("--serial",)):
        smoke.main(arguments)
        found.append(re.search(r"SHA-256 .*", capfd.readouterr().out)[0])
    assert found[0] == found[1]
