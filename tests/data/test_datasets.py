"""What is said of a data set: it comes back from its file, and is not believed where the code knows better."""

from dataclasses import replace

import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.base.paths import DATASET
from digit_vae.data.datasets import KNOWN, Description, check_recorded, described, read_description
from digit_vae.data.mnist import NAMES, DataSet, RawFile

FILES = DataSet(*(RawFile(name, 16 + 784 * count, str(count) * 64) for count, name in enumerate(NAMES, start=3)))
OWN = Description("folder", "image", "images", ("cat", "dog"), FILES)


def test_a_description_comes_back_from_its_file(project):
    write_json(project / DATASET, OWN.content())
    assert read_description() == described() == OWN
    assert (OWN.labelled, OWN.train_images, OWN.test_images) == (True, 3, 5)
    assert not replace(OWN, classes=()).labelled


@pytest.mark.usefixtures("project")
def test_where_nothing_was_fetched_it_is_mnist():
    assert described() == KNOWN["mnist"]
    with pytest.raises(UserError, match=r"dataset\.json is missing: `dvc repro fetch` makes it"):
        read_description()


@pytest.mark.parametrize(
    "change",
    [
        *({"files": {}}, {"files": 3}, {"files": {name: {"size": 1} for name in NAMES}}, {"classes": 3}, {"noun": 3}),
        {"files": {name: {"size": "1", "sha256": "a"} for name in NAMES}},
    ],
)
def test_a_damaged_description_names_its_stage(project, change):
    write_json(project / DATASET, OWN.content() | change)
    with pytest.raises(UserError, match=r"dataset\.json is damaged .*`dvc repro fetch`"):
        read_description()


def test_other_hashes_of_mnist_than_the_pinned_ones_are_not_believed(project):
    write_json(project / DATASET, replace(KNOWN["mnist"], files=FILES).content())
    with pytest.raises(UserError, match="it is not what is known of mnist"):
        read_description()


def test_hashes_that_nobody_pinned_are_those_that_were_measured_first(tmp_path):
    fashion = KNOWN["fashion_mnist"]
    for name in NAMES:
        (tmp_path / name).write_bytes(name.encode())
    measured = fashion.measured(tmp_path)
    assert all(len(file.sha256) == 64 for file in measured.files)
    assert fashion.with_recorded(measured) == measured
    assert fashion.with_recorded(OWN) == fashion.with_recorded(None) == fashion
    write_json(tmp_path / "dataset.json", measured.content())
    assert fashion.with_recorded(read_description(tmp_path / "dataset.json")) == measured


def test_own_images_have_to_stay_as_they_were_recorded():
    for fine in (None, OWN, KNOWN["mnist"]):
        check_recorded(fine, OWN)
    others = replace(OWN, files=FILES._replace(test_images=RawFile(NAMES[2], 16, "f" * 64)))
    with pytest.raises(UserError, match=r"received others \(t10k-images-idx3-ubyte\): .*delete reports/dataset.json"):
        check_recorded(OWN, others)
    with pytest.raises(UserError, match=r"received other classes \(cat, cow\)"):
        check_recorded(OWN, replace(OWN, classes=("cat", "cow")))
