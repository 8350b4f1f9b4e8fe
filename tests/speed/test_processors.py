"""Which records of processors count, and what is refused."""

import re
from pathlib import Path

import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.speed.processors import machines_with_bytes, read_processor

RECORD = {"bytes_seen": True, "machine": {"cpu": "A CPU"}, "operations": {"one": "0" * 16}}
FOLDER = Path("reports/processors")
ROOT = Path(__file__).parents[2]
AMD = "amd-epyc-avx512-bf16.json"
PAGE = ROOT / "docs/portable_bits.md"


@pytest.mark.usefixtures("project")
def test_those_count_on_which_bytes_were_seen():
    assert machines_with_bytes() == []
    write_json(FOLDER / "a.json", RECORD)
    write_json(FOLDER / "b.json", RECORD | {"bytes_seen": False, "machine": {"cpu": "B CPU"}})
    assert machines_with_bytes() == [{"cpu": "A CPU"}]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    "change",
    [{"bytes_seen": "yes"}, {"machine": None}, {"machine": {}}, {"operations": {"one": 1}}, {"more": 1}],
)
def test_a_record_of_another_shape_is_refused_by_name(change):
    write_json(FOLDER / "a.json", RECORD | change)
    with pytest.raises(UserError, match=r"processors/a\.json is damaged .*digit-vae operations"):
        machines_with_bytes()


def differing(path):
    """How many of the operations that the AMD record has are others in this one, and how many there are."""
    amd, other = (read_processor(ROOT / FOLDER / name).operations for name in (AMD, path))
    assert amd.keys() == other.keys()
    return sum(amd[name] != other[name] for name in amd), len(amd)


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("ONEDNN_MAX_CPU_ISA=AVX2", "onednn-max-cpu-isa-avx2.json"),
        ("TF_ENABLE_ONEDNN_OPTS=0", "tf-enable-onednn-opts-0.json"),
        ("OPENBLAS_CORETYPE=HASWELL", "openblas-coretype-haswell.json"),
        ("NPY_DISABLE_CPU_FEATURES=X86_V4", "npy-disable-cpu-features-x86-v4.json"),
    ],
)
def test_the_page_tells_how_many_operations_a_setting_changes(setting, path):
    found, _ = differing(f"settings/{path}")
    assert re.search(rf"`{setting}`: (\d+)", PAGE.read_text(encoding="utf-8"))[1] == str(found)


def test_the_page_tells_how_many_operations_intel_and_amd_share():
    assert differing("settings/onednn-max-cpu-isa-avx512-core.json") == (0, 89)
    found, there = differing("intel-r-xeon-r-processor-amx-bf16.json")
    assert f"{there - found} of {there} operations are equal" in PAGE.read_text(encoding="utf-8")


def test_the_page_tells_which_settings_give_the_operations_of_a_processor_with_avx2_alone():
    settings = ("onednn-max-cpu-isa-avx2", "openblas-coretype-haswell", "npy-disable-cpu-features-x86-v4")
    paths = ("amd-epyc-avx2.json", AMD, *(f"settings/{each}.json" for each in settings))
    narrow, wide, *limited = (read_processor(ROOT / FOLDER / path).operations for path in paths)
    other = [name for name in narrow if narrow[name] != wide[name]]
    by_setting = [{name for name in other if each[name] == narrow[name]} for each in limited]
    given = list(map(len, by_setting))
    assert sorted(name for each in by_setting for name in each) == sorted(other)
    for each in limited:  # a setting changes nothing else
        assert {name for name in wide if each[name] != wide[name]} <= set(other)
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"gives {len(narrow) - len(other)} of the {len(narrow)} operations" in page
    assert re.search(rf"The other {len(other)} are.* {given[0]} with .* {given[1]} with .* {given[2]} with", page)
    assert narrow["3 training steps"] == limited[0]["3 training steps"]
    eigen = read_processor(ROOT / FOLDER / "settings/amd-epyc-avx2-onednn-off.json").operations
    off = read_processor(ROOT / FOLDER / "settings/tf-enable-onednn-opts-0.json").operations
    assert f"differs from that machine in {sum(off[name] != eigen[name] for name in off)} operations" in page
