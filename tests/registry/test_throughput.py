"""Calls are counted and timed, by as many clients as asked."""

import threading
import time

import pytest

from digit_vae.registry.throughput import measured


def test_calls_of_known_length_are_counted_and_timed():
    together, most, lock = [], 0, threading.Lock()

    def call():
        nonlocal most
        with lock:
            together.append(1)
            most = max(most, len(together))
        time.sleep(0.02)
        with lock:
            together.pop()

    found = measured(call, 4, 0.5)
    assert most == 4
    assert 20 <= found.median <= found.p95
    assert found.rate == pytest.approx(4 * 1000 / found.median, rel=0.5)
