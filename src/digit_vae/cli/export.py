"""`digit-vae export`: encoder.onnx and decoder.onnx of trained runs, for programs without TensorFlow."""

from collections.abc import Sequence
from pathlib import Path

from digit_vae.base.arguments import parser_of
from digit_vae.base.errors import UserError
from digit_vae.base.paths import MODELS
from digit_vae.cli.models import write
from digit_vae.config.loading import load_params
from digit_vae.serving.trained import TrainedRun, find_trained, with_committed_weights

EXAMPLES = """\
  digit-vae export                                      # every run whose weights are committed, into models/
  digit-vae export baseline-full-0 --output elsewhere   # elsewhere/baseline-full-0/{encoder,decoder}.onnx
  digit-vae export baseline-full-0 --mlflow             # models/baseline-full-0/mlflow/"""


def main(arguments: Sequence[str] | None = None) -> None:
    about = "Encoder and decoder of trained runs as ONNX files, the same weights in the same bytes."
    parser = parser_of("export", about, examples=EXAMPLES)
    parser.add_argument("runs", metavar="RUN", nargs="*", help="default: the runs whose weights are committed")
    parser.add_argument("--output", metavar="FOLDER", type=Path, default=MODELS, help="default: models")
    parser.add_argument("--mlflow", action="store_true", help="a model of MLflow instead: a folder mlflow for each run")
    parsed = parser.parse_args(arguments)
    names = dict.fromkeys(parsed.runs or with_committed_weights(load_params()))
    if not names:
        raise UserError(
            "expected committed weights of at least one run of params.yaml, publish; received none: name a RUN"
        )
    export = mlflow_folder if parsed.mlflow else onnx
    for run in [find_trained(name) for name in names]:
        export(run, parsed.output / run.name)


def onnx(run: TrainedRun, folder: Path) -> None:
    from digit_vae.exports.graphs import onnx_files

    for name, content in onnx_files(run).items():
        write(folder / name, content)


def mlflow_folder(run: TrainedRun, folder: Path) -> None:
    from digit_vae.registry.package import save

    save(run, folder / "mlflow")
    print(f"wrote {folder / 'mlflow'}")
