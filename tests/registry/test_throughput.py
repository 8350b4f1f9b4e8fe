"""Calls are counted and timed, by as many clients as asked."""

import threading
import time

import pytest

from digit_vae.registry.throughput import main, measured


@pytest.mark.parametrize("clients", ["0", "-1", "32", "1000000", "1.5", ""])
def test_clients_that_the_server_would_not_take_are_one_sentence(capsys, clients):
    with pytest.raises(SystemExit) as stopped:
        main([f"--clients={clients}"])
    assert stopped.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(f"argument --clients: expected a whole number from 1 to 31; received '{clients}'")


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
