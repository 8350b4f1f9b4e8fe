"""The data sets by name: what they are called, what their classes are called, and how their files are recognised.

Stage `fetch` writes this of the images in use into reports/dataset.json, which git has: whoever shows images takes the
words from there. What nobody has pinned, a folder of the user's own, is recorded there and has to stay as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, read_json, sha256
from digit_vae.base.paths import DATASET
from digit_vae.data.mnist import FASHION_MNIST, MNIST, NAMES, SIDE, DataSet, RawFile

FOLDER = "folder"  # the data set that is anybody's own
STAGE = "fetch"
RECORDED = dict.fromkeys(("dataset", "noun", "nouns"), str) | {
    "classes": list,
    "files": {name: {"size": int, "sha256": str} for name in NAMES},
}


@dataclass(frozen=True)
class Description:
    """A data set. noun, nouns: what one of its images shows, and several. classes: the name of each label, from 0 on;
    none without labels.
    """

    dataset: str
    noun: str
    nouns: str
    classes: tuple[str, ...]
    files: DataSet

    @property
    def labelled(self) -> bool:
        return bool(self.classes)

    @property
    def train_images(self) -> int:
        """How many there are, whatever `preprocess` keeps of them."""
        return _images(self.files.train_images)

    @property
    def test_images(self) -> int:
        return _images(self.files.test_images)

    def with_recorded(self, recorded: "Description | None") -> "Description":
        """With the hashes of the uncompressed files that were recorded of the same data set, where none are pinned."""
        if recorded is None or recorded.dataset != self.dataset:
            return self
        files = (
            replace(file, sha256=file.sha256 or its.sha256)
            for file, its in zip(self.files, recorded.files, strict=True)
        )
        return replace(self, files=DataSet(*files))

    def measured(self, folder: Path) -> "Description":
        """With the hashes of the files in `folder`, where none are pinned."""
        files = (replace(file, sha256=file.sha256 or sha256(folder / file.name)) for file in self.files)
        return replace(self, files=DataSet(*files))

    def content(self) -> dict[str, Any]:
        """As reports/dataset.json has it."""
        files = {file.name: {"size": file.size, "sha256": file.sha256} for file in self.files}
        words = {"dataset": self.dataset, "noun": self.noun, "nouns": self.nouns}
        return words | {"classes": list(self.classes), "files": files}


CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
KNOWN: Mapping[str, Description] = {
    "mnist": Description("mnist", "digit", "digits", tuple("0123456789"), MNIST),
    "fashion_mnist": Description("fashion_mnist", "item", "items", CLOTHES, FASHION_MNIST),
}


def read_description(path: Path = DATASET) -> Description:
    """What stage `fetch` wrote. Raises: UserError when it is missing or damaged."""
    content = read_json(path, made_by=STAGE, keys=RECORDED)
    hashed = {name: content["files"][name] for name in NAMES}
    files = DataSet(*(RawFile(name, its["size"], its["sha256"]) for name, its in hashed.items()))
    words = {key: content[key] for key in ("dataset", "noun", "nouns")}
    found = Description(**words, classes=tuple(map(str, content["classes"])), files=files)
    known = KNOWN.get(found.dataset)
    if known and known.with_recorded(found).content() != found.content():
        raise damaged(path, STAGE, f"it is not what is known of {found.dataset}")
    return found


def described() -> Description:
    """The images in use; MNIST where nothing else was fetched. Raises: UserError when that file is damaged."""
    return read_description() if DATASET.is_file() else KNOWN["mnist"]


def check_recorded(recorded: Description | None, found: Description) -> None:
    """Refuses own images that are not those which were recorded when they were fetched first. Raises: UserError."""
    if recorded is None or recorded.dataset != FOLDER:
        return
    changed = [now.name for now, then in zip(found.files, recorded.files, strict=True) if now != then]
    if changed or found.classes != recorded.classes:
        what = f"others ({', '.join(changed)})" if changed else f"other classes ({', '.join(found.classes)})"
        raise UserError(
            f"fetch.folder: expected the images that {DATASET} recorded when they were fetched first; received {what}: "
            f"if that is meant, delete {DATASET}"
        )


def _images(file: RawFile) -> int:
    return (file.size - 16) // SIDE**2
