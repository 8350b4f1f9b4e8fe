"""What was forged with more care than one edit: numbers, and the files beside them that ought to betray it."""

import hashlib
import json
from pathlib import Path

import pytest

from digit_vae.config.runs import Run
from digit_vae.verification.before import Change
from digit_vae.verification.unfounded import unfounded

RUN = Run("baseline", "full", 0, "paper", "paper")
ITS = "reports/paper/runs/baseline-full-0"
HISTORY, TIMINGS, METRICS, EVALUATION = (
    f"{ITS}/{name}.json" for name in ("history", "timings", "metrics", "evaluation")
)
ENCODER, DECODER = (f"models/baseline-full-0/{part}.weights.h5" for part in ("encoder", "decoder"))
PUBLISHED = Path("reports/paper/weights/baseline-full-0/encoder.weights.h5")
WEIGHTS = {ENCODER: "1", DECODER: "2"}
OTHER_WEIGHTS = {ENCODER: "3", DECODER: "4"}


def history(loss, encoder):
    digest = hashlib.sha256(encoder).hexdigest()
    return {"epochs": [{"epoch": 1, "val_loss": loss}], "weights_sha256": {"encoder": digest}}


@pytest.fixture
def tell(tmp_path, monkeypatch):
    """Which files are unfounded, of changes from what was to what is there."""
    monkeypatch.chdir(tmp_path)

    def run(before, now, *, locked_before=None, locked=None, weights=None):
        changes = {}
        for path in now:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(json.dumps(now[path]), encoding="utf-8")
            old = json.dumps(before[path]).encode() if path in before else None
            changes[path] = Change(path, old, Path(path).read_bytes())
        # A forger brings the locks up to date.
        digests = {path: hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest() for path in now}
        now_locked = digests | (weights or WEIGHTS) if locked is None else locked
        found = unfounded([RUN], changes, locked_before or WEIGHTS, now_locked)
        return {each.path: each.why for each in found}

    return run


@pytest.mark.parametrize("epochs", [3, [7], "many"])
def test_a_history_of_another_shape_is_held_to_its_lock_alone(tell, epochs):
    before, now = {HISTORY: history(150, b"a")}, {HISTORY: {"epochs": epochs}}
    assert tell(before, now) == {}
    assert tell(before, now, locked=WEIGHTS | {HISTORY: "other"}).keys() == {HISTORY}


def test_a_stage_that_left_its_lock_does_not_take_its_check_with_it(tell):
    before = {METRICS: {"test": {"elbo": -150}}, EVALUATION: {"started_at": 1}}
    now = {METRICS: {"test": {"elbo": -145}}, EVALUATION: {"started_at": 2}}
    locked = WEIGHTS | {METRICS: "a", EVALUATION: "b"}
    assert tell(before, now, locked_before=locked, locked=WEIGHTS).keys() == {METRICS, EVALUATION}


def test_a_file_in_a_folder_that_left_its_lock_is_named(tell):
    table = "reports/paper/tables/losses.json"
    found = tell({table: 1}, {table: 2}, locked_before={"reports/paper/tables": "a.dir"}, locked={})
    assert found.keys() == {table}


def test_a_page_that_left_its_lock_is_named_and_one_that_people_write_is_not(tell):
    made, written = "reports/paper/paper.md", "reports/benchmarks/README.md"
    pages = {made: 1, written: 1}
    assert tell(pages, {made: 2, written: 2}, locked_before={made: "a"}, locked={}).keys() == {made}


def test_a_result_that_no_lock_ever_named_is_held_to_one(tell):
    power = "reports/beyond/power.json"
    assert tell({power: 1}, {power: 2}, locked={}).keys() == {power}
    assert tell({power: 1}, {power: 2}) == {}


def test_a_benchmark_with_other_numbers_began_at_another_time(tell):
    path = "reports/benchmarks/side_by_side/a.json"
    before = {path: {"summary": {"seconds": 2}, "started_at": 1, "epochs": 2}}
    faster = {"summary": {"seconds": 1}, "epochs": 2}
    assert tell(before, {path: faster | {"started_at": 1}}, locked={}).keys() == {path}
    assert tell(before, {path: faster | {"started_at": 2}}, locked={}) == {}


@pytest.mark.parametrize("again", [{"started_at": 1}, {"started_at": 1, "more": 2}, {}, {"started_at": "later"}])
def test_numbers_beside_a_file_of_the_same_evaluation_are_named(tell, again):
    before = {METRICS: {"test": {"elbo": -150}}, EVALUATION: {"started_at": 1}}
    now = {METRICS: {"test": {"elbo": -145}}, EVALUATION: again}
    assert tell(before, now).keys() == {METRICS}
    assert tell(before, now | {EVALUATION: {"started_at": 2}}) == {}


@pytest.mark.parametrize(
    ("begun", "locked", "reason"),
    [(2, WEIGHTS, "weights"), (1, OTHER_WEIGHTS, "timings.json"), (2, OTHER_WEIGHTS, None)],
)
def test_losses_need_another_training_and_other_weights_in_the_lock(tell, begun, locked, reason):
    before = {HISTORY: history(150, b"old"), TIMINGS: {"started_at": 1}}
    now = {HISTORY: history(145, b"made up"), TIMINGS: {"started_at": begun, "more": 1}}
    found = tell(before, now, weights=locked)
    assert (HISTORY in found) == (reason is not None)
    assert reason is None or reason in found[HISTORY]


def test_losses_that_tell_of_other_weights_than_are_committed_are_named(tell):
    PUBLISHED.parent.mkdir(parents=True)
    PUBLISHED.write_bytes(b"old")
    before = {HISTORY: history(150, b"old"), TIMINGS: {"started_at": 1}}
    now = {HISTORY: history(145, b"made up"), TIMINGS: {"started_at": 2}}
    assert str(PUBLISHED) in tell(before, now, weights=OTHER_WEIGHTS)[HISTORY]
    PUBLISHED.write_bytes(b"made up")
    assert HISTORY not in tell(before, now, weights=OTHER_WEIGHTS)
