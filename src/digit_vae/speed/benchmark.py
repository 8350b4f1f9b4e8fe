"""The paper's run on each device in each precision, repeated with nothing beside it.

The paper's run is its base model on all training images, validated on the test images. Each repetition has
another seed and a process of its own, which first measures the rate of a matrix product. One seed runs on all devices
and precisions before the next does, so that a slow minute of the machine affects all of them. For each, a training step
compiled by XLA is timed beside one that is not.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

from digit_vae.base.errors import UserError
from digit_vae.config.schema import FULL, Params, RunParams
from digit_vae.config.values import Device
from digit_vae.data.arrays import read_listed
from digit_vae.speed.records import Measurement, summary
from digit_vae.speed.worker import measure


def machines(params: Params, devices: Sequence[Device]) -> list[Measurement]:
    """Fingerprint and commit for each device and precision. Raises: UserError when a device is absent."""
    settings = product(devices, params.benchmark.precisions)
    try:
        found = [
            measure({"work": "machine", "device": device, "precision": precision}) for device, precision in settings
        ]
    except UserError as error:
        raise UserError(f"nothing was measured, since a device is missing: {error}") from error
    return [{key: each[key] for key in ("machine", "git_commit")} for each in found]


def benchmark(
    params: Params, devices: Sequence[Device], on_epoch: Callable[[str, Measurement], object]
) -> list[Measurement]:
    """A record for each device and precision. on_epoch is told the repetition's name and each of its epochs.

    Raises: UserError when a device is absent, before anything is measured.
    """
    images, digest = read_listed("train_images.npy")
    shared: Measurement = {
        "started_at": time.time(),
        "images": len(images),
        "data": {"train_images": digest, "validation": read_listed("test_images.npy")[1]},
    }
    records = [shared | found | {"runs": []} for found in machines(params, devices)]
    for seed in range(params.benchmark.seeds):
        for record in records:
            chosen = {key: record["machine"][key] for key in ("device", "precision")}
            settings = asdict(RunParams(**asdict(params.train) | chosen | {"seed": seed}))
            record["runs"].append(_repetition(settings, on_epoch))
            record["params"] = {key: value for key, value in settings.items() if key != "seed"}
            if "step_milliseconds" not in record:
                job = {"work": "steps", "params": settings, "rounds": params.benchmark.rounds}
                record["step_milliseconds"] = measure(job)["step_milliseconds"]
    finished = [record | {"finished_at": time.time()} for record in records]
    return [record | {"summary": summary(record)} for record in finished]


def _repetition(settings: dict[str, Any], on_epoch: Callable[[str, Measurement], object]) -> Measurement:
    """One run of a benchmark, as the record has it."""
    device, precision, seed = (settings[key] for key in ("device", "precision", "seed"))
    rate = measure({"work": "machine", "device": device, "precision": precision})
    job = {"work": "train", "params": settings, "splits": [FULL]}
    (run,) = measure(job, lambda epoch: on_epoch(f"{device} {precision} seed {seed}", epoch))["runs"]
    return {**run, "seed": seed, "matrix_gflops": rate["matrix_gflops"]}
