"""Stage `compare`: what each variant is worth over the folds, and how far it is from the baseline on the same folds.

Reads the metrics of the runs that params.yaml declares and writes one JSON a variant that was trained on folds. In it
each number of the metrics is a mean and a standard deviation over folds and, for all but the baseline, its difference
with what digit_vae.analysis.statistics says of it. The p-values of variants that ask the same question are adjusted together.

    python -m pipeline.compare
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from digit_vae.base.errors import exit_status
from digit_vae.base.files import json_bytes, read_json, write_folder
from digit_vae.config.params import BASELINE, load_params, runs
from digit_vae.analysis.results import question
from digit_vae.analysis.statistics import add_holm, by_fold, summary
from digit_vae.analysis.publish import EVALUATED, METRICS, reported

VARIANTS = Path("reports/metrics/variants")


def compare(folds: Mapping[str, list[Mapping]], questions: Mapping[str, str]) -> dict[str, dict]:
    """What is to be said of each variant. folds: by variant the metrics of its runs, in the order of the folds;
    questions: what each asks.
    """
    baseline = folds.get(BASELINE)
    summaries = {name: summary(values, None if name == BASELINE else baseline) for name, values in folds.items()}
    for family in set(questions.values()) if baseline else ():
        add_holm([each for name, each in summaries.items() if name != BASELINE and questions[name] == family])
    return {name: {"folds": len(folds[name])} | each for name, each in summaries.items()}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    params = reported(load_params())
    declared = runs(params)
    metrics = {
        run.name: read_json(METRICS / f"{run.name}.json", made_by=f"evaluate@{run.name}", keys=EVALUATED)
        for run in declared
    }
    folds = by_fold(declared, metrics)
    comparisons = compare(folds, {name: question(params, name) for name in folds})
    write_folder(VARIANTS, {f"{variant}.json": json_bytes(value) for variant, value in comparisons.items()})


if __name__ == "__main__":
    sys.exit(exit_status(main))
