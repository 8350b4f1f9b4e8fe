"""What a version must show before it becomes the champion: params.yaml, section promote."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from digit_vae.analysis.results import Results
from digit_vae.analysis.statistics import Difference, corrected_t_test, holm, no_spread
from digit_vae.base.files import sha256
from digit_vae.base.paths import RunFiles
from digit_vae.config.runs import GRAPHS, Run
from digit_vae.config.schema import FULL, PromoteParams
from digit_vae.serving.trained import PARTS
from digit_vae.verification.evidence import LOCKS, md5, read_lock, read_stages

FEWEST_FOLDS = 2  # have a spread


class Gain(NamedTuple):
    """A variant's ELBO above another's on the same folds, in nats per image.

    p: two-sided, of the corrected t-test (Nadeau & Bengio 2003), adjusted by Holm's method over all `variants` that
    have folds in common with the other. without: folds that are left out, since their validation images chose one of
    the two.
    """

    difference: Difference
    p: float
    folds: int
    variants: int
    without: tuple[str, ...] = ()


def gains(results: Results, over: str) -> dict[str, Gain]:
    """The gain of each variant over the variant `over`, where they have folds in common that chose neither."""
    elbos: dict[str, dict[str, float]] = {}
    for each in results.runs.values():
        if each.run.split != FULL:
            elbos.setdefault(each.run.variant, {})[each.run.split_name] = each.number("validation", "elbo")
    theirs, chose = elbos.pop(over, {}), results.params.compare.chose
    shared = {name: [fold for fold in ours if fold in theirs] for name, ours in elbos.items()}
    choosing = {name: {*chose.get(name, ()), *chose.get(over, ())} for name in elbos}
    differences = {
        name: [elbos[name][fold] - theirs[fold] for fold in folds if fold not in choosing[name]]
        for name, folds in shared.items()
    }
    differences = {name: found for name, found in differences.items() if len(found) >= FEWEST_FOLDS}
    share = 1 / (results.params.preprocess.folds - 1)
    tested = {name: corrected_t_test(found, share) for name, found in differences.items()}
    adjusted = holm([each.p for each in tested.values()])
    return {
        name: Gain(
            each.difference,
            p,
            len(differences[name]),
            len(tested),
            tuple(fold for fold in shared[name] if fold in choosing[name]),
        )
        for (name, each), p in zip(tested.items(), adjusted, strict=True)
    }


def unlocked(run: Run, recorded: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the weights and the history of a version's run: `recorded` are its tags."""
    files = run.files
    lock, digests = LOCKS[run.graph], read_lock(run.graph).get(run.stages[0], {})
    for part in PARTS:
        trained = getattr(files, part)
        here = [path for path in (trained, files.published / trained.name) if path.is_file()]
        expected = digests.get(str(trained))
        if expected is None:
            yield f"{lock} has no {trained}"
        elif not here or md5(here[0]) != expected:
            yield f"{here[0] if here else trained} is not that of {lock}, MD5 {expected}"
        elif sha256(Path(here[0])) != recorded.get(f"{part}_sha256"):
            yield f"the version was made of another {here[0]}: register the run again"
    if not files.history.is_file() or md5(files.history) != digests.get(str(files.history)):
        yield f"{files.history} is not that of {lock}"


def unlocked_folds() -> Iterator[str]:
    """What is wrong with the results of the runs: they have to be those that stage `compare` read."""
    lock = LOCKS["beyond"]
    stages = read_stages(lock) if lock.is_file() else {}
    read = stages["compare"].deps if "compare" in stages else {}
    for folder in (RunFiles(graph, "any").reports.parent for graph in GRAPHS):
        if md5(folder) != read.get(str(folder)):
            yield f"{folder} is not what stage compare of {lock} read: `make repro` brings it up to date"


def complaints(
    rule: PromoteParams, *, unlocked: list[str], collapsed: int, gain: Gain | None, over: str | None
) -> list[str]:
    """Why a version does not pass, in words; empty where it does.

    unlocked: as above. collapsed: its collapsed latent dimensions. over: what the champion is called; None
    where there is none, and so nothing to be better than. gain: the variant's over the champion's; None where they
    share no folds.
    """
    found = list(unlocked) if rule.locked_weights else []
    if collapsed > rule.collapsed_dimensions:
        found.append(f"expected at most {rule.collapsed_dimensions} collapsed latent dimensions; received {collapsed}")
    if over is None or rule.level is None:
        return found
    if gain is None:
        folds = f"{FEWEST_FOLDS} folds that both have and that chose neither"
        expected = f"expected another variant than the champion's, {over}, with {folds}"
        return [*found, f"{expected}; received the same one, or one without such folds"]
    if not is_tested(gain):
        return [*found, f"expected finite ELBOs, whose difference varies over the folds; received {told(gain)}"]
    if gain.difference.mean <= 0 or gain.p >= rule.level:
        expected = f"expected an ELBO above that of the champion {over} with p below {rule.level:g}"
        found.append(f"{expected}; received {told(gain)}")
    return found


def is_tested(gain: Gain) -> bool:
    """Whether the test says anything: of NaN it gives NaN, and p 0 of equal differences, as copied files have."""
    mean, low, high = gain.difference
    return all(map(math.isfinite, (*gain.difference, gain.p))) and not no_spread(mean, high - low)


def told(gain: Gain) -> str:
    mean, low, high = gain.difference
    without = f" (without {', '.join(gain.without)}, which chose one of the two)" if gain.without else ""
    folds, among = f"over {gain.folds} folds{without}", f"adjusted over {gain.variants} variants"
    return f"{mean:+.2f} nats [{low:+.2f}, {high:+.2f}] {folds}, p {gain.p:.2g} {among}"
