"""What both graphs found, in short: reports/README.md and the rows of results in README.md.

Command `digit-vae summary` makes it from the committed files, outside of the graphs.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from digit_vae.analysis import repetitions
from digit_vae.analysis.power import Share
from digit_vae.analysis.results import FEWEST_SEEDS, Json, Results, at, read_results
from digit_vae.analysis.statistics import Spread, placed, spread
from digit_vae.base.errors import UserError
from digit_vae.base.files import read_bytes_if_any, write_text
from digit_vae.base.paths import BENCHMARKS, REPORTS
from digit_vae.config.loading import load_params
from digit_vae.config.runs import GRAPHS, runs
from digit_vae.report import chapter_beta, chapter_recipe
from digit_vae.report.chapter_beta import Highest
from digit_vae.report.chapter_full import collapsed_share, over_runs
from digit_vae.report.chapter_recipe import Recipe, better, recipe
from digit_vae.report.chapter_seeds import baseline_seeds
from digit_vae.report.chapter_studies import studies
from digit_vae.report.origins import origins
from digit_vae.report.pages import Page, rendered
from digit_vae.report.paper import paper_losses
from digit_vae.report.verdicts import Compared, Verdict, compared_studies
from digit_vae.speed.records import Range, machine_name, read_benchmarks

README = Path("README.md")
SUMMARY = REPORTS / "README.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
ELBO = ("validation", "elbo")
LIKELIHOOD = ("likelihood", "binarised", "log_likelihood")


@dataclass(frozen=True)
class Seeds:
    """Test loss over the baseline's seeds, and the ends of where one more is expected."""

    runs: int
    losses: Spread
    low: float
    high: float

    def inside(self, losses: Mapping[str, float]) -> list[str]:
        """The names of those losses with which one more seed is expected to end."""
        return [name for name, loss in losses.items() if self.low <= loss <= self.high]


@dataclass(frozen=True)
class Regularisers:
    """What is said of the ELBO with each of the paper's regularisers, over how many folds drawn with how many seeds.

    likelihood: those whose log p(x) of the binarised test images differs. collapsed: the share of runs that ended with
    a collapsed dimension, of each variant with such.
    """

    against: str
    verdicts: Sequence[Verdict]
    likelihood: Sequence[Verdict]
    collapsed: Mapping[str, Share]
    folds: int
    seeds: int


def write_summary(root: Path) -> None:
    """Writes reports/README.md, and the results between the marks of README.md, below `root`.

    Raises: UserError where a result is missing or README.md lacks the marks.
    """
    with contextlib.chdir(root):
        for path, text in _texts().items():
            write_text(path, text)


def is_current(root: Path) -> bool:
    """Whether both files are as `write_summary` writes them."""
    with contextlib.chdir(root):
        return all(read_bytes_if_any(path) == text.encode() for path, text in _texts().items())


def between_marks(text: str, content: str) -> str:
    """`text` with `content` between the two marks. Raises: UserError where they are not there once each, in order."""
    parts = text.split(BEGIN)
    if len(parts) != 2 or text.count(END) != 1 or END not in parts[1]:
        raise UserError(f"{README}: expected {BEGIN} and then {END}, once each; received another text")
    return f"{parts[0]}{BEGIN}\n\n{content}\n{END}{parts[1].partition(END)[2]}"


def page(results: Results) -> Page:
    """Of both graphs; a study that is left out has None for its values."""
    compared = compared_studies(results)
    beyond = {each.name: each for each in compared["beyond"]}
    report = results.params.report
    values = {
        "shown": [results.runs[report.first_run], results.runs[report.second_run]],
        "paper": paper_losses(),
        "seeds": seeds(results),
        "ablation": compared["paper"],
        "regularisers": regularisers(compared["paper"], beyond.get(repetitions.STUDY)),
        "recipe": _recipe(results),
        "folds": compared["beyond"],
        "beta": _beta(beyond.get(chapter_beta.STUDY)),
        "speed": speed(),
        "classifier": results.classifier,
        "dataset": results.dataset,
        "origins": origins(results.runs.values()),
        "runs": {graph: len(results.in_graph(graph)) for graph in GRAPHS},
        "declared_beyond": len(runs(results.params, "beyond")),
        "there": lambda path: (REPORTS / path).is_file(),
        "left_out": [each for each in studies(results) if each.left_out],
    }
    return Page(values)


def seeds(results: Results) -> Seeds | None:
    losses = [each.loss for each in baseline_seeds(results)]
    if len(losses) < FEWEST_SEEDS:
        return None
    place = placed(losses[0], losses)
    return Seeds(len(losses), spread(losses), place.low, place.high)


def regularisers(ablation: Sequence[Compared], repeated: Compared | None) -> Regularisers | None:
    """Of the variants of the paper's ablation, by the study with most folds: the repetitions, once there are any."""
    if not ablation:
        return None
    its = ablation[0].others
    widest = repeated if repeated and its.keys() <= repeated.others.keys() else ablation[0]
    known = [each for each in widest.verdicts(*ELBO) if each.variant in its]
    pairs = set.intersection(*(set(widest.study.pairs(name)) for name in its))
    shares = {name: collapsed_share(widest.study.runs[name].values()) for name in its}
    return Regularisers(
        against=widest.against,
        verdicts=known,
        likelihood=[each for each in _likelihoods(widest) if each.variant in its],
        collapsed={name: each for name, each in shares.items() if each.found},
        folds=len(pairs),
        seeds=len({seed for _, seed in pairs}),
    )


def _likelihoods(compared: Compared) -> list[Verdict]:
    """The variants whose log p(x) of the binarised test images differs; none where there is no latent plane."""
    if "log_likelihood" not in at(compared.variants[compared.against], LIKELIHOOD[:-1]):
        return []
    return [each for each in compared.verdicts(*LIKELIHOOD) if each.outcome != "same"]


def speed() -> list[tuple[str, str, Range]]:
    """By machine and precision the seconds of an epoch."""
    found: Sequence[Json] = list(read_benchmarks(BENCHMARKS).values())
    return [
        (machine_name(each["machine"]), each["machine"]["precision"], Range(**each["summary"]["epoch_seconds"]))
        for each in found
    ]


def _texts() -> dict[Path, str]:
    known = page(read_results(load_params(), "beyond"))
    readme = (read_bytes_if_any(README) or b"").decode(errors="replace")
    return {SUMMARY: rendered("summary", known), README: between_marks(readme, rendered("readme", known))}


def _recipe(results: Results) -> tuple[Recipe, Spread] | None:
    if chapter_recipe.STUDY not in results.studies("beyond"):
        return None
    found = recipe(results, better(results))
    losses = [each.loss for each in results.on_full(chapter_recipe.STUDY)[found.name]]
    return found, over_runs(losses)


def _beta(compared: Compared | None) -> tuple[Highest, Verdict | None, dict[float, tuple[int, int]]] | None:
    """The beta with the highest ELBO, how it stands to the baseline's, and by beta on how many of how many folds a
    dimension collapsed, where any did.
    """
    if compared is None:
        return None
    highest, swept = chapter_beta.highest(compared, ELBO), chapter_beta.betas(compared)
    verdict = next((each for each in compared.verdicts(*ELBO) if swept[each.variant] == highest.beta), None)
    ill = {
        beta: (len(names), len(compared.study.pairs(name)))
        for name, beta in swept.items()
        if (names := chapter_beta.collapsed(compared, name))
    }
    return highest, verdict, ill
