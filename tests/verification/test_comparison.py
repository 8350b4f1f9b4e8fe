"""Two runs held against each other; each check is tested by breaking what it checks."""

import copy
import re

import h5py
import numpy as np
import pytest
from fingerprints import LISTED, OTHER, WIDE
from synthetic import evaluation, history, timings

from digit_vae.base.errors import UserError
from digit_vae.verification.comparison import (
    Deviation,
    compare,
    compare_files,
    compare_metrics,
    tensors,
)
from digit_vae.verification.evidence import EVALUATED_FILES, TRAINED_FILES, Evidence, md5
from digit_vae.verification.tolerance import EXACT, Tolerance

RUN = "baseline-fold0-0"
TOLERANCE = Tolerance(first=5, second=10, later=30, last=12, kl=3, share=0.3)
TENSORS = {"layers/dense/vars/0": np.arange(6.0).reshape(2, 3), "layers/dense/vars/1": np.zeros(3)}
FILES = (*TRAINED_FILES, *EVALUATED_FILES)
MEASURED = {
    "images": 12,
    "elbo": -155.0,
    "kl_loss": 6.0,
    "reconstruction_loss": 149.0,
    "dead_units": 11,
    "log_likelihood": -150.0,
    "iw_bound": {"k10": -152.0},
    "mutual_information": 5.0,
    "nmi": 0.5,
    "frechet": 200.0,
}


def write_weights(path, **changes):
    with h5py.File(path, "w") as file:
        for name, values in (TENSORS | changes).items():
            file[name] = values
    return path


@pytest.fixture
def evidence(tmp_path):
    """What was published of a run on a machine called "A CPU"."""
    content, judged = history(RUN), evaluation(RUN)
    return Evidence(
        **{key: content[key] for key in ("params", "data", "epochs")},
        metrics={"validation": copy.deepcopy(MEASURED), "test": copy.deepcopy(MEASURED)},
        machine=timings(RUN)["machine"],
        evaluated_on=judged["machine"],
        classifier_sha256=judged["classifier_sha256"],
        md5={name: f"md5 of {name}" for name in FILES},
        weights={name: write_weights(tmp_path / name) for name in ("encoder.weights.h5", "decoder.weights.h5")},
    )


def evaluated_elsewhere(evidence):
    """The same run, whose evaluation alone was on another machine with another classifier."""
    other = evidence.md5 | dict.fromkeys(EVALUATED_FILES, "other")
    machine = evidence.evaluated_on | {"cpu": "Another CPU"}
    return evidence._replace(evaluated_on=machine, classifier_sha256="d" * 64, md5=other)


def elsewhere(evidence):
    """The same run, trained and evaluated on another machine."""
    machine = evidence.machine | {"cpu": "Another CPU"}
    return evaluated_elsewhere(evidence)._replace(machine=machine, md5=dict.fromkeys(FILES, "other"))


def with_value(evidence, value, part, *keys):
    """A copy of `evidence` with one number of its JSON files replaced."""
    changed = copy.deepcopy(getattr(evidence, part))
    inner = changed
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return evidence._replace(**{part: changed})


def with_weights(evidence, tmp_path, part="encoder", **changes):
    weights = write_weights(tmp_path / "anew.h5", **changes)
    return evidence._replace(weights=evidence.weights | {f"{part}.weights.h5": weights})


def deviations(*pair):
    return compare(RUN, *pair, TOLERANCE).deviations


def named(*pair):
    return [each.what for each in deviations(*pair)]


def test_the_same_bytes_hold(evidence):
    compared = compare(RUN, evidence, evidence, TOLERANCE)
    assert (compared.of, compared.deviations) == (RUN, [])
    assert compared.how.startswith("6 files byte for byte")


def test_another_machine_has_to_lie_within_tolerances(evidence):
    compared = compare(RUN, evidence, elsewhere(evidence), TOLERANCE)
    assert compared.deviations == []
    assert compared.how.startswith("3 epochs and 18 of 20 metrics within ")
    value = evidence.epochs[1]["val_loss"] + 2.5
    apart = compare(RUN, evidence, elsewhere(with_value(evidence, value, "epochs", 1, "val_loss")), TOLERANCE)
    assert (apart.deviations, "at most 2.5 nats apart (val_loss of epoch 2)" in apart.how) == ([], True)


def test_an_evaluation_elsewhere_leaves_the_training_to_its_bytes(evidence):
    published = evaluated_elsewhere(evidence)
    compared = compare(RUN, published, evidence, TOLERANCE)
    assert compared.deviations == []
    assert "18 of 20 metrics" in compared.how
    assert "3 files byte for byte" in compared.how
    assert named(published, evidence._replace(md5=dict.fromkeys(FILES, "wrong"))) == [
        f"MD5 of {name}" for name in sorted(TRAINED_FILES)
    ]


def test_another_classifier_on_the_same_machine_is_named(evidence):
    assert named(evidence, evidence._replace(classifier_sha256="d" * 64)) == ["classifier"]


def test_what_no_lock_vouches_for_is_held_by_its_numbers_alone(evidence):
    published = evidence._replace(md5={}, weights={})
    compared = compare(RUN, published, evidence, TOLERANCE)
    assert compared.deviations == []
    assert "no lock vouches" in compared.how
    assert named(published, with_value(evidence, -154.9, "metrics", "test", "elbo")) == ["metric test.elbo"]


def on(evidence, machine):
    return evidence._replace(machine=machine, evaluated_on=machine)


def test_on_a_listed_processor_of_the_class_other_bytes_are_deviations(evidence):
    here, there = on(evidence, WIDE), on(evidence, OTHER)
    assert compare(RUN, here, there, TOLERANCE, LISTED)[1:] == ("6 files byte for byte", [])
    compared = compare(RUN, here, there._replace(md5=dict.fromkeys(FILES, "other")), TOLERANCE, LISTED)
    assert [each.what for each in compared.deviations] == [f"MD5 of {name}" for name in sorted(FILES)]


def test_on_a_processor_that_is_not_listed_bytes_are_reported_and_tolerances_decide(evidence):
    here, there = on(evidence, WIDE), on(evidence, OTHER)
    compared = compare(RUN, here, there, TOLERANCE, LISTED[:1])
    assert compared.deviations == []
    assert re.search(r"within tolerances.*; .*6 files hold on Another CPU.*add this processor", compared.how)
    others = there._replace(md5=there.md5 | {"digits.npz": "other", "samples.npz": "other"})
    compared = compare(RUN, here, others, TOLERANCE, LISTED[:1])
    assert compared.deviations == []
    assert re.search(r"within tolerances.*; .*Another CPU.*2 of 6 files differ", compared.how)
    far = with_value(others, 500.0, "epochs", 2, "loss")
    assert [each.what for each in compare(RUN, here, far, TOLERANCE, LISTED[:1]).deviations] == ["epoch 3, loss"]


def test_an_evaluation_elsewhere_leaves_the_bytes_of_the_training_to_be_reported(evidence):
    here, there = on(evidence, WIDE), on(evidence, OTHER)._replace(evaluated_on=OTHER | {"device": "gpu"})
    others = there._replace(md5=there.md5 | dict.fromkeys(EVALUATED_FILES, "other"))
    for seen, named in (([], "A CPU and Another CPU"), (LISTED[:1], "Another CPU"), (LISTED[1:], "A CPU")):
        compared = compare(RUN, here, others, TOLERANCE, seen)
        assert (compared.deviations, f"3 files hold on {named} too" in compared.how) == ([], True)


def test_where_bytes_are_not_compared_it_is_said_why(evidence):
    here, there = on(evidence, WIDE), on(evidence, OTHER | {"instruction_sets": ["avx2"], "tensorflow": "2.20.0"})
    compared = compare(RUN, here, there, TOLERANCE, LISTED)
    assert compared.how.endswith("not compared: other cpu, instruction_sets, python, tensorflow")


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_one_changed_weight_is_named_with_its_place_and_size(evidence, tmp_path, part):
    changed = TENSORS["layers/dense/vars/0"].copy()
    changed[1, 2] += 0.25
    anew = with_weights(evidence, tmp_path, part, **{"layers/dense/vars/0": changed})
    name = f"{part}.weights.h5"
    assert deviations(evidence, anew._replace(md5=evidence.md5 | {name: "other"})) == [
        Deviation(RUN, f"{name} layers/dense/vars/0[1, 2]", 5.0, 5.25, 0.25),
        Deviation(RUN, f"MD5 of {name}", f"md5 of {name}", "other"),
    ]


def test_tensors_of_another_shape_or_none_at_all_are_named(evidence, tmp_path):
    anew = with_weights(evidence, tmp_path, **{"layers/dense/vars/1": np.zeros(4), "new": np.zeros(1)})
    assert [each[1:] for each in deviations(evidence, anew)] == [
        ("encoder.weights.h5 layers/dense/vars/1", "float64 (3,)", "float64 (4,)", None),
        ("encoder.weights.h5 new", "nothing", "float64 (1,)", None),
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.int64, ">f8"])
def test_tensors_of_another_dtype_are_named(evidence, tmp_path, dtype):
    [found] = deviations(evidence, with_weights(evidence, tmp_path, **{"layers/dense/vars/1": np.zeros(3, dtype)}))
    assert found[2:] == ("float64 (3,)", f"{np.dtype(dtype)} (3,)", None)


NO_NUMBERS = {"texts": ["a", "b"], "nothing": h5py.Empty("f4"), "pairs": np.zeros(3, "f4,f4"), "opaque": np.void(b"ab")}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_tensors_without_numbers_are_damage(evidence, tmp_path, kind):
    damaged = with_weights(evidence, tmp_path, **{"layers/dense/vars/1": NO_NUMBERS[kind]})
    for pair in ((evidence, damaged), (damaged, evidence)):
        [found] = deviations(*pair)
        assert "anew.h5 is damaged (layers/dense/vars/1 holds no numbers" in found.received


@pytest.mark.parametrize("error", [TypeError, MemoryError, OverflowError])
def test_whatever_h5py_raises_for_a_file_is_damage(evidence, monkeypatch, error):
    def read(*_):
        raise error("unreadable")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", read)
    assert ["is damaged (unreadable)" in each.received for each in deviations(evidence, evidence)] == [True, True]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_named(evidence, tmp_path, value):
    changed = TENSORS["layers/dense/vars/0"].copy()
    changed[0] = 7
    changed[1, 0] = value
    other = with_weights(evidence, tmp_path, **{"layers/dense/vars/0": changed})
    [found] = deviations(evidence, other)
    assert (found.what, found.expected) == ("encoder.weights.h5 layers/dense/vars/0[1, 0]", 3.0)
    np.testing.assert_equal((found.received, found.size), (value, abs(value)))
    assert deviations(other, other) == []


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:100], lambda _: b"no HDF5"])
def test_a_damaged_weights_file_is_named_whichever_it_is(evidence, tmp_path, damage):
    damaged = with_weights(evidence, tmp_path)
    (tmp_path / "anew.h5").write_bytes(damage((tmp_path / "anew.h5").read_bytes()))
    for pair in ((damaged, evidence), (evidence, damaged)):
        [found] = deviations(*pair)
        assert "anew.h5 is damaged (Unable to " in found.received


def test_without_the_published_weights_their_hash_is_compared(evidence):
    anew = evidence._replace(md5=evidence.md5 | {"encoder.weights.h5": "other"})
    assert named(evidence._replace(weights={}), anew) == ["MD5 of encoder.weights.h5"]


@pytest.mark.parametrize("machine", [lambda same: same, elsewhere])
def test_another_seed_is_named_on_every_machine(evidence, machine):
    other = machine(with_value(evidence, 7, "params", "seed"))
    assert deviations(evidence, other) == [Deviation(RUN, "params seed", 0, 7)]


@pytest.mark.parametrize("machine", [lambda same: same, elsewhere])
def test_a_swapped_fold_index_is_named_on_every_machine(evidence, machine):
    other = machine(with_value(evidence, "b" * 64, "data", "validation"))
    assert named(evidence, other) == ["data validation"]


def test_an_edited_metric_is_named_with_its_size(evidence):
    other = with_value(evidence, -154.0, "metrics", "test", "elbo")
    assert deviations(evidence, other) == [Deviation(RUN, "metric test.elbo", -155.0, -154.0, 1.0)]


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
    other = elsewhere(with_value(evidence, value, "metrics", "test", *key.split(".")))
    assert named(evidence, other) == ([] if holds else [f"metric test.{key}"])


def test_the_first_epoch_that_deviates_is_named_with_its_largest_deviation(evidence):
    other = evidence
    for epoch, loss, step in ((1, "val_loss", 0.25), (1, "kl_loss", 0.5), (2, "loss", 9)):
        value = other.epochs[epoch][loss] + step
        other = with_value(other, value, "epochs", epoch, loss)
    [found] = deviations(evidence, other)
    assert (found.what, round(found.size, 6)) == ("epoch 2, kl_loss", 0.5)


@pytest.mark.parametrize(
    ("loss", "epoch", "off", "holds"),
    [
        *(("loss", 0, 4.9, True), ("loss", 0, 5.1, False), ("loss", 1, 9.9, True), ("val_loss", 1, 10.1, False)),
        *(("loss", 2, 11, True), ("loss", 2, 13, False)),
        *(("val_kl_loss", 0, 2.9, True), ("val_kl_loss", 0, 3.1, False), ("kl_loss", 2, -3.1, False)),
    ],
)
def test_on_another_machine_each_epoch_has_its_tolerances(evidence, loss, epoch, off, holds):
    value = evidence.epochs[epoch][loss] + off
    other = elsewhere(with_value(evidence, value, "epochs", epoch, loss))
    assert named(evidence, other) == ([] if holds else [f"epoch {epoch + 1}, {loss}"])


HEALTH = {"dead_units": {"conv_1": 3, "dense": 1000}, "collapsed_dimensions": 0, "kl_per_dimension": {"z0": 3.5}}


@pytest.mark.parametrize("machine", [lambda same: same, elsewhere])
def test_the_health_of_an_epoch_is_held_exactly_where_bytes_are(evidence, machine):
    evidence = with_value(evidence, HEALTH, "epochs", 1, "health")
    other = machine(with_value(evidence, 5, "epochs", 1, "health", "dead_units", "conv_1"))
    expected = [Deviation(RUN, "epoch 2, health.dead_units.conv_1", 3, 5, 2)] if machine(evidence) == evidence else []
    assert deviations(evidence, other) == expected
    without = machine(with_value(evidence, {}, "epochs", 1, "health"))
    assert deviations(evidence, without)[0].what.startswith("epoch 2, health.")


def test_a_loss_is_named_before_the_health(evidence):
    evidence = with_value(evidence, HEALTH, "epochs", 1, "health")
    other = with_value(evidence, 1, "epochs", 1, "health", "dead_units", "dense")
    other = with_value(other, evidence.epochs[1]["loss"] + 0.5, "epochs", 1, "loss")
    assert named(evidence, other) == ["epoch 2, loss"]


def test_a_missing_epoch_and_a_missing_loss_are_named(evidence):
    shorter = evidence._replace(epochs=evidence.epochs[:2])
    assert deviations(evidence, shorter) == [Deviation(RUN, "number of epochs", 3, 2, 1)]
    without = evidence._replace(epochs=[{"epoch": 1}, *evidence.epochs[1:]])
    assert deviations(evidence, without)[0].what.startswith("epoch 1, ")


def test_a_number_that_no_float_holds_is_named(evidence):
    for pair in ((10**400, 1.5), (1.5, 10**400)):
        old, new = (with_value(evidence, value, "epochs", 1, "loss") for value in pair)
        assert deviations(old, new) == [Deviation(RUN, "epoch 2, loss", *pair)]


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
    assert all("flipped.h5 is damaged (" in refusal for refusal in refusals)


def test_an_edited_file_and_a_missing_one_are_named(tmp_path):
    for name in ("a.json", "folder/b.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    digests = {name: md5(tmp_path / name) for name in ("a.json", "folder")}
    assert compare_files("files", tmp_path, digests).deviations == []
    (tmp_path / "folder/b.json").write_text("edited", encoding="utf-8")
    (tmp_path / "a.json").unlink()
    assert [
        (each.of, each.what, each.received is None) for each in compare_files("files", tmp_path, digests).deviations
    ] == [
        ("files", "MD5 of a.json", True),
        ("files", "MD5 of folder", False),
    ]


def test_numbers_measured_anew_are_held_to_what_is_allowed():
    allowed = EXACT._replace(last=0.001, kl=0.001, rest=0.001)
    assert list(compare_metrics("weights", MEASURED, MEASURED | {"elbo": -155.0009, "dead_units": 11}, allowed)) == []
    assert [each.what for each in compare_metrics("weights", MEASURED, MEASURED | {"elbo": -155.01}, allowed)] == [
        "metric elbo"
    ]
