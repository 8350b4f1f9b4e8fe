import time

import pytest

from digit_vae.base.errors import UserError
from digit_vae.config.schema import RunParams
from digit_vae.speed import steps


@pytest.mark.usefixtures("cpu")
def test_a_step_with_xla_and_one_without_take_turns(make_params, digits):
    params, started = make_params(batch_size=8), time.perf_counter()
    found = steps.step_milliseconds(params, digits, rounds=2, steps=3)
    assert {name: len(milliseconds) for name, milliseconds in found.items()} == {"xla": 2, "no_xla": 2}
    milliseconds = [each for both in found.values() for each in both]
    assert min(milliseconds) > 0
    assert 3 * sum(milliseconds) < 1000 * (time.perf_counter() - started)  # tracing is in none of them


def test_without_a_gpu_none_is_measured(make_params, digits, monkeypatch):
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda *_: [])
    with pytest.raises(UserError, match=r"train\.device: expected a GPU"):
        steps.step_milliseconds(RunParams(**vars(make_params()) | {"device": "gpu"}), digits, rounds=1, steps=1)
