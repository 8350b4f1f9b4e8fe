"""`digit-vae bench`: measures this machine's speed into reports/benchmarks/, each file named by the machine.

    digit-vae bench              # the paper's run on each device and in each precision, and beside Keras' own fit
    digit-vae bench --gpu        # on the CPU and on the GPU, whatever benchmark.devices in params.yaml says
    digit-vae bench --data 16    # whether an epoch on 16 times the images takes 16 times as long

It takes an hour; run nothing beside it. Copy in and commit the files of other machines, too. Each file has
the params, the data's hashes and the commit that it was measured with.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digit_vae.base.arguments import parser_of, whole
from digit_vae.base.files import write_json
from digit_vae.base.paths import BENCHMARKS, PROCESSED
from digit_vae.base.progress import Elapsed, epoch_line
from digit_vae.config.loading import load_params
from digit_vae.config.schema import DEVICES, Params, RunParams
from digit_vae.config.values import Device
from digit_vae.data.arrays import read_listed
from digit_vae.speed.benchmark import benchmark
from digit_vae.speed.comparison import comparison, contestants
from digit_vae.speed.records import Measurement, file_name, value_range
from digit_vae.speed.worker import measure

COMPARISONS = BENCHMARKS / "side_by_side"
MORE_DATA = BENCHMARKS / "more_data"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of("bench", __doc__)
    parser.add_argument("--gpu", action="store_true", help="on the CPU and on the GPU")
    parser.add_argument(
        "--data", metavar="TIMES", type=whole(2, 1000), help="only an epoch on so many times the images"
    )
    parsed = parser.parse_args(arguments)
    params = load_params()
    if parsed.data:
        measure_more_data(params, parsed.data)
    else:
        measure_runs(params, DEVICES if parsed.gpu else params.benchmark.devices)


def measure_runs(params: Params, devices: Sequence[Device]) -> None:
    """Writes the benchmarks of all devices, then a comparison for each. Raises: UserError when one is missing."""
    epochs = params.train.epochs
    progress = Elapsed(epochs * params.benchmark.seeds * len(devices) * len(params.benchmark.precisions))

    def on_epoch(name: str, epoch: Measurement) -> None:
        progress.step(epoch_line(name, epoch, epoch, epochs))

    for record in benchmark(params, devices, on_epoch):
        machine = record["machine"]
        _write(BENCHMARKS / f"{file_name(machine, machine['device'], machine['precision'])}.json", record)
    for device in devices:
        record = comparison(params, device, _shown_turns(params, device))
        _write(COMPARISONS / f"{file_name(record['machine'])}.json", record)


def _shown_turns(params: Params, device: Device) -> Callable[[int, str, float], None]:
    rounds = params.benchmark.rounds
    progress = Elapsed(rounds * len(contestants(params, device)))
    return lambda number, name, seconds: progress.step(f"round {number}/{rounds}  {name:<24} {seconds:.1f} s")


def measure_more_data(params: Params, times: int) -> None:
    """Writes what an epoch on `times` as many images takes, in microseconds an image, beside one on the images.

    The images are written `times` over to a temporary file. It is streamed if it is larger than train.resident_bytes.
    Its parts and the small epochs take turns, so that the machine's drift is in both.
    """
    settings = asdict(RunParams(**asdict(params.train) | {"epochs": 1, "seed": 0}))
    images, digest = read_listed("train_images.npy")
    found = measure({"work": "machine", "device": params.train.device, "precision": params.train.precision})
    progress, started_at = Elapsed(times), time.time()

    def on_epoch(pair: Measurement) -> None:
        progress.step(f"a part of the large epoch {pair['large']:.1f} s, a small epoch {pair['small']:.1f} s")

    with tempfile.TemporaryDirectory(dir=PROCESSED, prefix=".bench-") as folder:
        large = Path(folder) / "images.npy"
        write_repeated(images, times, large)
        job = {"work": "more_data", "params": settings, "times": times, "large": str(large)}
        result = measure(job, on_epoch)
    content = more_data_record(result, times) | {"machine": found["machine"], "git_commit": found["git_commit"]}
    seconds = {"started_at": started_at, "finished_at": time.time()}
    path = MORE_DATA / f"{file_name(found['machine'])}.json"
    write_json(path, content | seconds | {"params": settings, "data": digest})
    ratio = content["ratio"]
    ends = f"{ratio['low']:.2f} to {ratio['high']:.2f} in {times} turns"
    print(f"{path} is written: an image takes {ratio['median']:.2f} times as long ({ends})")


def more_data_record(result: Measurement, times: int) -> Measurement:
    """The result of the worker's `more_data`, with what an image takes in each array (microseconds) and their ratio."""
    rounds, images = result["rounds"], result["images"]
    each = {name: 1e6 * statistics.fmean(pair[name] for pair in rounds) / images for name in ("large", "small")}
    return {
        "times": times,
        "images": images,
        "rounds": rounds,
        "peak_bytes": result["peak_bytes"],
        "microseconds_an_image": each,
        "ratio": value_range([pair["large"] / pair["small"] for pair in rounds])._asdict(),
    }


def write_repeated(images: npt.NDArray[np.uint8], times: int, path: Path) -> None:
    """Writes `images` (N, ...) `times` times over to the .npy file `path`, through a map of it instead of memory."""
    shape = (times * len(images), *images.shape[1:])
    written = np.lib.format.open_memmap(path, mode="w+", dtype=images.dtype, shape=shape)
    for start in range(0, len(written), len(images)):
        written[start : start + len(images)] = images
    written.flush()


def _write(path: Path, record: Measurement) -> None:
    write_json(path, record)
    print(f"{path} is written; `make repro` brings it into the report, `make track` into MLflow")
