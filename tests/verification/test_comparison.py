"""Two runs held against each other; each check is tested by breaking what it checks."""

import copy
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from synthetic import history, timings

from digit_vae.base.errors import UserError
from digit_vae.base.files import json_bytes
from digit_vae.verification.comparison import (
    FILES,
    Compared,
    Deviation,
    Evidence,
    Tolerance,
    certificate,
    certificate_text,
    compare,
    compare_arrays,
    compare_committed,
    md5,
    repeats,
    tensors,
)

ROOT = Path(__file__).parent.parent
TOLERANCE = Tolerance(epoch=30, loss=12, kl=3, share=0.3)
TENSORS = {"layers/dense/vars/0": np.arange(6.0).reshape(2, 3), "layers/dense/vars/1": np.zeros(3)}


def write_weights(path, **changes):
    with h5py.File(path, "w") as file:
        for name, values in (TENSORS | changes).items():
            file[name] = values
    return path


@pytest.fixture
def evidence(tmp_path):
    """What was published of a run on a machine called `cpu`."""
    measured = {"images": 12, "elbo": -155.0, "kl_loss": 6.0, "reconstruction_loss": 149.0, "dead_units": 11}
    measured |= {"log_likelihood": -150.0, "iw_bound": {"k10": -152.0}, "mutual_information": 5.0, "nmi": 0.5}
    measured |= {"frechet": 200.0}
    return Evidence(
        history=history("baseline-0"),
        metrics={"validation": measured, "test": copy.deepcopy(measured)},
        machine=timings("baseline-0")["machine"],
        md5={name: f"md5 of {name}" for name in FILES},
        bytes=1234,
        weights=write_weights(tmp_path / "published.h5"),
    )


def elsewhere(evidence):
    return evidence._replace(machine=evidence.machine | {"cpu": "Another CPU"}, md5=dict.fromkeys(FILES, "other"))


def with_value(evidence, value, part, *keys):
    """A copy of `evidence` with one number of its JSON files replaced."""
    changed = copy.deepcopy(getattr(evidence, part))
    inner = changed
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return evidence._replace(**{part: changed})


def deviations(*pair):
    return compare("baseline-0", *pair, TOLERANCE).deviations


def test_the_same_bytes_hold(evidence):
    compared = compare("baseline-0", evidence, evidence, TOLERANCE)
    assert compared == Compared("baseline-0", "5 files byte for byte, 1,234 bytes", [])


def test_another_machine_has_to_lie_within_tolerances(evidence):
    compared = compare("baseline-0", evidence, elsewhere(evidence), TOLERANCE)
    assert compared == Compared("baseline-0", "3 epochs and 18 of 20 metrics within tolerances", [])


@pytest.mark.parametrize("key", ["cpu", "gpu", "device", "precision"])
def test_only_the_number_of_cores_leaves_the_bits_alone(evidence, key):
    assert repeats(evidence.machine, evidence.machine | {"cores": 64})
    assert not repeats(evidence.machine, evidence.machine | {key: "other"})
    assert not repeats(evidence.machine, {name: value for name, value in evidence.machine.items() if name != key})


def test_one_changed_weight_is_named_with_its_place_and_size(evidence, tmp_path):
    changed = TENSORS["layers/dense/vars/0"].copy()
    changed[1, 2] += 0.25
    weights = write_weights(tmp_path / "anew.h5", **{"layers/dense/vars/0": changed})
    anew = evidence._replace(weights=weights, md5=evidence.md5 | {"model.weights.h5": "other"})
    assert deviations(evidence, anew) == [
        Deviation("baseline-0", "tensor layers/dense/vars/0[1, 2]", 5.0, 5.25, 0.25),
        Deviation("baseline-0", "MD5 of model.weights.h5", "md5 of model.weights.h5", "other"),
    ]


def test_tensors_of_another_shape_or_none_at_all_are_named(evidence, tmp_path):
    weights = write_weights(tmp_path / "anew.h5", **{"layers/dense/vars/1": np.zeros(4), "new": np.zeros(1)})
    found = deviations(evidence, evidence._replace(weights=weights))
    assert [each[1:] for each in found] == [
        ("tensor layers/dense/vars/1", "float64 (3,)", "float64 (4,)", None),
        ("tensor new", "nothing", "float64 (1,)", None),
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.int64, ">f8"])
def test_tensors_of_another_dtype_are_named(evidence, tmp_path, dtype):
    weights = write_weights(tmp_path / "anew.h5", **{"layers/dense/vars/1": np.zeros(3, dtype)})
    [found] = deviations(evidence, evidence._replace(weights=weights))
    assert found[1:] == ("tensor layers/dense/vars/1", "float64 (3,)", f"{np.dtype(dtype)} (3,)", None)


NO_NUMBERS = {"texts": ["a", "b"], "nothing": h5py.Empty("f4"), "pairs": np.zeros(3, "f4,f4"), "opaque": np.void(b"ab")}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_tensors_without_numbers_are_damage(evidence, tmp_path, kind):
    weights = write_weights(tmp_path / "anew.h5", **{"layers/dense/vars/1": NO_NUMBERS[kind]})
    for pair in ((evidence, evidence._replace(weights=weights)), (evidence._replace(weights=weights), evidence)):
        [found] = deviations(*pair)
        assert "anew.h5 is damaged (layers/dense/vars/1 holds no numbers, but " in found.received


@pytest.mark.parametrize("error", [TypeError, MemoryError, OverflowError])
def test_whatever_h5py_raises_for_a_file_is_damage(evidence, monkeypatch, error):
    def read(*_):
        raise error("unreadable")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", read)
    assert [each.received for each in deviations(evidence, evidence)] == ["published.h5 is damaged (unreadable)"] * 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_named(evidence, tmp_path, value):
    changed = TENSORS["layers/dense/vars/0"].copy()
    changed[0] = 7
    changed[1, 0] = value
    weights = write_weights(tmp_path / "anew.h5", **{"layers/dense/vars/0": changed})
    [found] = deviations(evidence, evidence._replace(weights=weights))
    assert (found.what, found.expected) == ("tensor layers/dense/vars/0[1, 0]", 3.0)
    np.testing.assert_equal((found.received, found.size), (value, abs(value)))
    assert deviations(*[evidence._replace(weights=weights)] * 2) == []


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:100], lambda _: b"no HDF5"])
def test_a_damaged_weights_file_is_named_whichever_it_is(evidence, tmp_path, damage):
    weights = tmp_path / "damaged.h5"
    weights.write_bytes(damage(evidence.weights.read_bytes()))
    damaged = evidence._replace(weights=weights)
    for pair, origin in (((damaged, evidence), "published"), ((evidence, damaged), "trained anew")):
        [found] = deviations(*pair)
        assert (found.what, found.expected) == (f"weights as {origin}", "a file that can be read")
        assert found.received.startswith("damaged.h5 is damaged (Unable to ")


def test_without_the_published_weights_their_hash_is_compared(evidence):
    anew = evidence._replace(md5=evidence.md5 | {"model.weights.h5": "other"})
    assert [each.what for each in deviations(evidence._replace(weights=None), anew)] == ["MD5 of model.weights.h5"]


@pytest.mark.parametrize("machine", [lambda same: same, elsewhere])
def test_another_seed_is_named_on_every_machine(evidence, machine):
    other = machine(with_value(evidence, 7, "history", "params", "seed"))
    assert deviations(evidence, other) == [Deviation("baseline-0", "params seed", 0, 7)]


@pytest.mark.parametrize("machine", [lambda same: same, elsewhere])
def test_a_swapped_fold_index_is_named_on_every_machine(evidence, machine):
    other = machine(with_value(evidence, "b" * 64, "history", "data", "validation"))
    assert [each.what for each in deviations(evidence, other)] == ["data validation"]
    assert list(compare_arrays({"folds/0.npy": "a", "folds/1.npy": "b"}, {"folds/0.npy": "a", "folds/1.npy": "c"})) == [
        Deviation("preprocess", "SHA-256 of folds/1.npy", "b", "c")
    ]


def test_an_edited_metric_is_named_with_its_size(evidence):
    other = with_value(evidence, -154.0, "metrics", "test", "elbo")
    assert deviations(evidence, other) == [Deviation("baseline-0", "metric test.elbo", -155.0, -154.0, 1.0)]


@pytest.mark.parametrize(
    ("key", "value", "holds"),
    [
        ("elbo", -166.9, True),
        ("elbo", -167.1, False),
        ("reconstruction_loss", 160.9, True),
        ("reconstruction_loss", 161.1, False),
        ("kl_loss", 8.9, True),
        ("kl_loss", 9.1, False),
        ("log_likelihood", -161.9, True),
        ("log_likelihood", -162.1, False),
        ("iw_bound.k10", -163.9, True),
        ("iw_bound.k10", -164.1, False),
        ("mutual_information", 7.9, True),
        ("mutual_information", 8.1, False),
        ("nmi", 0.79, True),
        ("nmi", 0.81, False),
        ("frechet", 259.0, True),
        ("frechet", 261.0, False),
        ("dead_units", 14, True),
        ("images", 13, False),
        ("elbo", float("nan"), False),
        ("elbo", "-155", False),
    ],
)
def test_on_another_machine_each_metric_has_its_tolerance(evidence, key, value, holds):
    found = deviations(evidence, elsewhere(with_value(evidence, value, "metrics", "test", *key.split("."))))
    assert [each.what for each in found] == ([] if holds else [f"metric test.{key}"])


def test_the_first_epoch_that_deviates_is_named_with_its_largest_deviation(evidence):
    other = evidence
    for epoch, loss, step in ((1, "val_loss", 0.25), (1, "kl_loss", 0.5), (2, "loss", 9)):
        value = other.history["epochs"][epoch][loss] + step
        other = with_value(other, value, "history", "epochs", epoch, loss)
    [found] = deviations(evidence, other)
    assert (found.what, round(found.size, 6)) == ("epoch 2, kl_loss", 0.5)


@pytest.mark.parametrize(
    ("loss", "epoch", "off", "holds"),
    [
        *(("loss", 0, 29, True), ("loss", 0, 31, False), ("loss", 2, 11, True), ("loss", 2, 13, False)),
        *(("val_kl_loss", 0, 2.9, True), ("val_kl_loss", 0, 3.1, False), ("kl_loss", 2, -3.1, False)),
    ],
)
def test_on_another_machine_each_epoch_has_its_tolerances(evidence, loss, epoch, off, holds):
    value = evidence.history["epochs"][epoch][loss] + off
    other = elsewhere(with_value(evidence, value, "history", "epochs", epoch, loss))
    assert [each.what for each in deviations(evidence, other)] == ([] if holds else [f"epoch {epoch + 1}, {loss}"])


HEALTH = {"dead_units": {"conv_1": 3, "dense": 1000}, "collapsed_dimensions": 0, "kl_per_dimension": {"z0": 3.5}}


@pytest.mark.parametrize("machine", [lambda same: same, elsewhere])
def test_the_health_of_an_epoch_is_held_exactly_where_bytes_are(evidence, machine):
    evidence = with_value(evidence, HEALTH, "history", "epochs", 1, "health")
    other = machine(with_value(evidence, 5, "history", "epochs", 1, "health", "dead_units", "conv_1"))
    expected = (
        [Deviation("baseline-0", "epoch 2, health.dead_units.conv_1", 3, 5, 2)] if machine(evidence) == evidence else []
    )
    assert deviations(evidence, other) == expected
    without = machine(with_value(evidence, {}, "history", "epochs", 1, "health"))
    assert deviations(evidence, without)[0].what.startswith("epoch 2, health.")


def test_a_loss_is_named_before_the_health(evidence):
    evidence = with_value(evidence, HEALTH, "history", "epochs", 1, "health")
    other = with_value(evidence, 1, "history", "epochs", 1, "health", "dead_units", "dense")
    other = with_value(other, evidence.history["epochs"][1]["loss"] + 0.5, "history", "epochs", 1, "loss")
    assert [each.what for each in deviations(evidence, other)] == ["epoch 2, loss"]


def test_a_missing_epoch_and_a_missing_loss_are_named(evidence):
    shorter = with_value(evidence, evidence.history["epochs"][:2], "history", "epochs")
    assert deviations(evidence, shorter) == [Deviation("baseline-0", "number of epochs", 3, 2, 1)]
    without = [{"epoch": 1}, *evidence.history["epochs"][1:]]
    assert deviations(evidence, with_value(evidence, without, "history", "epochs"))[0].what.startswith("epoch 1, ")


def test_a_number_that_no_float_holds_is_named(evidence):
    for pair in ((10**400, 1.5), (1.5, 10**400)):
        old, new = (with_value(evidence, value, "history", "epochs", 1, "loss") for value in pair)
        assert deviations(old, new) == [Deviation("baseline-0", "epoch 2, loss", *pair)]


def test_every_tensor_of_a_weights_file_is_read(tmp_path):
    found = tensors(write_weights(tmp_path / "weights.h5"))
    assert found.keys() == TENSORS.keys()
    np.testing.assert_array_equal(found["layers/dense/vars/0"], TENSORS["layers/dense/vars/0"])


def test_tensors_of_a_file_with_any_bit_flipped_are_read_or_refused(tmp_path):
    content = write_weights(tmp_path / "weights.h5").read_bytes()
    refusals = []
    for place in range(0, len(content), 5):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        (tmp_path / "flipped.h5").write_bytes(flipped)
        try:
            tensors(tmp_path / "flipped.h5")
        except UserError as error:
            refusals.append(str(error))
    assert len(refusals) > 10
    assert all(refusal.startswith("flipped.h5 is damaged (") for refusal in refusals)


def test_what_a_killed_process_left_half_written_is_no_part_of_a_folder(tmp_path):
    (tmp_path / "0.npy").write_text("whole")
    before = md5(tmp_path)
    (tmp_path / ".abc123.tmp.0.npy").write_text("wh")
    assert md5(tmp_path) == before
    (tmp_path / "1.npy").write_text("whole")
    assert md5(tmp_path) != before


def test_hashes_are_those_of_dvc_itself():
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]["plot"]["outs"]
    digests = {out["path"]: out["md5"] for out in locked}
    assert {path: md5(ROOT / path) for path in digests} == digests
    assert any(digest.endswith(".dir") for digest in digests.values())


def test_an_edited_file_and_a_missing_one_are_named(tmp_path):
    for name in ("a.json", "folder/b.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    digests = {name: md5(tmp_path / name) for name in ("a.json", "folder")}
    assert list(compare_committed(tmp_path, digests)) == []
    (tmp_path / "folder/b.json").write_text("edited")
    (tmp_path / "a.json").unlink()
    assert [(each.of, each.received is None) for each in compare_committed(tmp_path, digests)] == [
        ("a.json", True),
        ("folder", False),
    ]


@pytest.mark.parametrize(("value", "text"), [("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")])
def test_a_certificate_has_a_text_for_what_json_has_no_number_for(value, text):
    value = float(value)
    deviation = Deviation("baseline-0", "epoch 2, loss", 155.0, value, abs(value - 155.0))
    written = json.loads(json_bytes(certificate([Compared("baseline-0", "4 files", [deviation])], {})))
    [found] = written["compared"][0]["deviations"]
    assert (found["received"], found["size"]) == (text, text.removeprefix("-"))


def test_a_certificate_says_what_holds_and_names_what_does_not():
    deviation = Deviation("baseline-0", "epoch 2, loss", 155.0, 155.5, 0.5)
    compared = [Compared("arrays", "SHA-256 of 9", []), Compared("baseline-0", "4 files", [deviation])]
    facts = {"machine": {"cpu": "A CPU"}}
    assert certificate(compared[:1], facts) == facts | {
        "holds": True,
        "deviations": 0,
        "compared": [{"of": "arrays", "how": "SHA-256 of 9", "deviations": []}],
    }
    assert certificate(compared, facts)["compared"][1]["deviations"] == [deviation._asdict()]
    assert certificate_text(compared, facts) == (
        "# Certificate of reproduction\n\n"
        "**Does not hold: 1 deviation.**\n\n"
        "- machine.cpu: A CPU\n\n"
        "| Compared | How | Outcome |\n| --- | --- | --- |\n"
        "| arrays | SHA-256 of 9 | holds |\n"
        "| baseline-0 | 4 files | **1 deviation** |\n\n"
        "- baseline-0: epoch 2, loss: expected 155.0, received 155.5, 0.5 apart\n"
    )
    assert "**Everything holds.**" in certificate_text(compared[:1], facts)
