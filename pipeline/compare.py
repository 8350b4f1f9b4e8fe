"""Stage `compare`: what each variant is worth over the folds, and how far it is from the baseline on the same folds.

Reads the metrics of the runs that params.yaml declares and writes one JSON a variant that was trained on folds.

    python -m pipeline.compare
"""

import argparse
import sys
from pathlib import Path

from digit_vae.errors import exit_status
from digit_vae.files import json_bytes, read_json, write_folder
from digit_vae.params import BASELINE, load_params, runs
from digit_vae.statistics import by_fold, summary
from pipeline.publish import METRICS, reported

VARIANTS = Path("reports/metrics/variants")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    declared = runs(reported(load_params()))
    metrics = {
        run.name: read_json(METRICS / f"{run.name}.json", made_by=f"evaluate@{run.name}", keys=("validation", "test"))
        for run in declared
    }
    folds = by_fold(declared, metrics)
    comparisons = {
        variant: {"folds": len(values)} | summary(values, None if variant == BASELINE else folds.get(BASELINE))
        for variant, values in folds.items()
    }
    write_folder(VARIANTS, {f"{variant}.json": json_bytes(value) for variant, value in comparisons.items()})


if __name__ == "__main__":
    sys.exit(exit_status(main))
