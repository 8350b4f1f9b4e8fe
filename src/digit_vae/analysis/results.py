"""What the stages wrote about the declared runs, and which of these runs answer which question."""

import functools
import operator
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from digit_vae.training.health import complaints
from digit_vae.config.params import BASELINE, FULL, Params, Run, RunParams, run_params, runs

IMPROVED = "improved"  # the variant with the better recipe
FEWEST_SEEDS = 3  # that say something of a distribution
RECIPE = (  # how a training starts and steps; neither what the model is nor what it learns from
    *("learning_rate", "initializer", "hidden_bias"),
    *("warmup_steps", "final_learning_rate", "kl_warmup_steps", "clip_norm"),
)


def changes(params: Params, variant: str) -> dict[str, tuple[object, object]]:
    """What is different from the baseline: by param, its value there and here."""
    theirs, ours = (asdict(run_params(params, Run(name, FULL))) for name in (BASELINE, variant))
    return {key: (theirs[key], ours[key]) for key in ours if ours[key] != theirs[key]}


def question(params: Params, variant: str) -> str:
    """What a variant asks, by what it changes: "beta" or the "recipe" where that is all, or else the "model"."""
    changed = changes(params, variant).keys()
    return "beta" if changed == {"beta"} else "recipe" if changed and changed <= set(RECIPE) else "model"


def at(metrics: Mapping, path: Iterable[str]) -> object:
    """What the keys of `path` lead to, one after the other."""
    return functools.reduce(operator.getitem, path, metrics)


@dataclass(frozen=True, kw_only=True)
class Results:
    """Contents of the runs' JSON files by run name; `variants` by variant; `benchmarks`, `comparisons` by file name;
    `classifier` of the one that there is.

    params: with the variants that are reported; `missing` are those of params.yaml that are not.
    """

    params: Params
    histories: Mapping[str, Mapping]
    timings: Mapping[str, Mapping]
    metrics: Mapping[str, Mapping]
    variants: Mapping[str, Mapping]
    classifier: Mapping
    benchmarks: Mapping[str, Mapping]
    comparisons: Mapping[str, Mapping]
    missing: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[str, str]:
        """The runs that stand for the paper's two."""
        return self.params.plot.first_run, self.params.plot.second_run

    @property
    def compared(self) -> list[str]:
        """The variants that share their folds with the baseline."""
        return [name for name, variant in self.variants.items() if "difference" in variant["validation"]["elbo"]]

    @property
    def judged(self) -> list[str]:
        """The compared variants without those of the sweep over beta, which has a section of its own."""
        return [name for name in self.compared if question(self.params, name) != "beta"]

    def settings(self, variant: str) -> RunParams:
        return run_params(self.params, Run(variant, FULL))

    def runs_of(self, variant: str) -> list[str]:
        return [run.name for run in runs(self.params) if run.variant == variant]

    def fold_runs(self, variant: str) -> list[str]:
        return [name for name in self.runs_of(variant) if name != f"{variant}-{FULL}"]

    def on_folds(self, variant: str, *path: str) -> np.ndarray:
        """The number of the metrics that `path` leads to, on each fold: (folds,) float64."""
        return np.array([at(self.metrics[name], path) for name in self.fold_runs(variant)], np.float64)

    def fold_differences(self, metric: str) -> dict[str, np.ndarray]:
        """For each compared variant its difference from the baseline on the validation images of each fold."""
        baseline = self.on_folds(BASELINE, "validation", metric)
        return {name: self.on_folds(name, "validation", metric) - baseline for name in self.compared}

    def varied(self, variant: str, key: str, among: Iterable[str] | None = None) -> dict[str, float]:
        """`variant` and those that differ from it in `key` alone, with its values in rising order; none twice.

        among: the variants to look at (None: all).
        """
        eligible = [*self.params.variants] if among is None else list(among)
        if variant not in eligible:
            return {}
        base = self.settings(variant)
        found: dict[float, str] = {}
        for name in (variant, *eligible):
            settings = self.settings(name)
            if replace(settings, **{key: getattr(base, key)}) == base:
                found.setdefault(getattr(settings, key), name)
        return {name: value for value, name in sorted(found.items())}

    def betas(self) -> dict[str, float]:
        """The baseline and the variants that differ from it in nothing but beta, on folds; empty where it is alone."""
        swept = self.varied(BASELINE, "beta", self.variants)
        return swept if len(swept) > 1 else {}

    def seeds(self, variant: str) -> dict[str, int]:
        """The runs on `full` that differ from the variant's in nothing but their seed, and their seeds."""
        on_full = [name for name in self.params.variants if f"{name}-{FULL}" in self.histories]
        return {f"{name}-{FULL}": seed for name, seed in self.varied(variant, "seed", on_full).items()}

    def cures(self) -> list[str]:
        """The variants on `full` that differ from the baseline in nothing but their recipe; the better one last."""
        on_full = [name for name in self.params.variants if f"{name}-{FULL}" in self.histories]
        cures = [name for name in on_full if question(self.params, name) == "recipe"]
        return sorted(cures, key=lambda name: name == IMPROVED)

    def last_losses(self, names: Iterable[str]) -> dict[str, float]:
        """Validation loss after the last epoch by run name; on `full` it is that of the test images."""
        return {name: self.histories[name]["epochs"][-1]["val_loss"] for name in names}

    def last_health(self, name: str) -> Mapping:
        return self.histories[name]["epochs"][-1]["health"]

    def epochs_asleep(self, name: str) -> int:
        """After how many epochs of a run a latent dimension was collapsed."""
        return sum(epoch["health"]["collapsed_dimensions"] > 0 for epoch in self.histories[name]["epochs"])

    def complaints(self, name: str) -> list[str]:
        """What the thresholds of params.yaml, section health, say of a run after its last epoch."""
        warning_only = replace(self.params.health, fail_dead_share=None, fail_collapsed=None)
        return complaints(self.histories[name]["epochs"][-1], warning_only)
