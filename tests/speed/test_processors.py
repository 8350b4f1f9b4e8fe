"""Which records of processors count, and what is refused."""

from pathlib import Path

import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.speed.processors import machines_with_bytes

RECORD = {"bytes_seen": True, "machine": {"cpu": "A CPU"}, "operations": {"one": "0" * 16}}
FOLDER = Path("reports/processors")


@pytest.mark.usefixtures("project")
def test_those_count_on_which_bytes_were_seen():
    assert machines_with_bytes() == []
    write_json(FOLDER / "a.json", RECORD)
    write_json(FOLDER / "b.json", RECORD | {"bytes_seen": False, "machine": {"cpu": "B CPU"}})
    assert machines_with_bytes() == [{"cpu": "A CPU"}]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("change", [{"bytes_seen": "yes"}, {"machine": None}, {"operations": {"one": 1}}, {"more": 1}])
def test_a_record_of_another_shape_is_refused_by_name(change):
    write_json(FOLDER / "a.json", RECORD | change)
    with pytest.raises(UserError, match=r"processors/a\.json is damaged .*digit-vae operations"):
        machines_with_bytes()
