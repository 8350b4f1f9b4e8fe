"""Files that no longer follow from those that they are made of."""

import hashlib

import pytest

from digit_vae.base.files import json_bytes
from digit_vae.verification.derived import forged_smoke, other_outputs
from digit_vae.verification.evidence import Stage, smoke_runs

DEP, OUT = "reports/runs.json", "reports/beyond/power.json"


def smoke(elbo, loss, *, history, metrics=None):
    content = {"test": {"elbo": elbo}}
    digest = metrics or hashlib.md5(json_bytes(content), usedforsecurity=False).hexdigest()
    md5 = {"history.json": history, "metrics.json": digest}
    return smoke_runs(json_bytes({"runs": {"a": {"metrics": content, "epochs": [{"loss": loss}], "md5": md5}}}))


def test_numbers_of_the_small_graph_need_the_hashes_of_their_files():
    before = smoke(-1, 1, history="1")
    assert list(forged_smoke(before, smoke(-2, 2, history="2"))) == []
    assert list(forged_smoke(before, smoke(-2, 1, history="1", metrics="made up"))) == ["a"]
    assert list(forged_smoke(before, smoke(-1, 2, history="1"))) == ["a"]


def stages(name, settings, dep, out):
    return {name: Stage({"cmd": settings}, {DEP: dep}, {OUT: out})}


@pytest.mark.parametrize("name", ["compare", "draw", "power", "report"])
def test_a_stage_that_only_computes_needs_other_inputs_for_other_outputs(name):
    before = stages(name, "a", "1", "2")
    assert [path for path, _ in other_outputs(before, stages(name, "a", "1", "3"))] == [OUT]
    assert list(other_outputs(before, stages(name, "b", "1", "3"))) == []
    assert list(other_outputs(before, stages(name, "a", "2", "3"))) == []
    assert list(other_outputs(before, before)) == []


def test_inputs_that_the_lock_makes_up_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / DEP).write_bytes(b"here")
    here = hashlib.md5(b"here", usedforsecurity=False).hexdigest()
    before = stages("report", "a", "1", "2")
    assert list(other_outputs(before, stages("report", "a", here, "3"))) == []
    ((path, why),) = other_outputs(before, stages("report", "a", "made up", "3"))
    assert path == OUT
    assert DEP in why


def test_a_stage_that_measures_may_find_otherwise():
    assert list(other_outputs(stages("classifier", "a", "1", "2"), stages("classifier", "a", "1", "3"))) == []
