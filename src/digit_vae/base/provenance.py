"""Which code a result comes from."""

from pathlib import Path

from digit_vae.base import git
from digit_vae.base.files import sha256

CODE = ("pipeline", "src")
# Packages whose versions the bytes of a training depend on; those of an evaluation depend on the others, too.
TRAINED_WITH = ("tensorflow", "keras", "numpy", "h5py")
EVALUATED_WITH = ("scipy", "scikit-learn")
MADE = ("reports", "dvc.lock", "beyond/dvc.lock")  # the code makes them: they do not count as changes of it


def git_commit() -> str | None:
    """The commit of the working folder; None unless that is the root of a checkout.

    It ends in "-dirty" when tracked files other than results differ from the commit, or there is code that git neither
    tracks nor ignores; also when git cannot tell.
    """
    root = git.said("rev-parse", "--show-toplevel")
    if not root or Path(root).resolve() != Path.cwd().resolve():  # an archive, maybe within somebody's repository
        return None
    if commit := git.said("rev-parse", "--verify", "--quiet", "HEAD"):
        changed = git.said("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{made}" for made in MADE))
        untracked = git.said("ls-files", "--others", "--exclude-standard", "--", *CODE)
        return commit if changed == untracked == "" else f"{commit}-dirty"
    return None


def code_hashes(*folders: str) -> dict[str, str]:
    """SHA-256 of each module in or below these folders of the imported package, by its path in the package."""
    package = Path(__file__).parent.parent
    files = sorted(file for folder in folders for file in (package / folder).rglob("*.py"))
    return {file.relative_to(package).as_posix(): sha256(file) for file in files}
