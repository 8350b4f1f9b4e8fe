"""What of the ledger needs no graph; the rest is in test_pipeline_repro.py."""

import signal

import pytest

from pipeline.ledger import uninterrupted


def test_ctrl_c_waits_for_the_end_of_an_uninterrupted_block():
    done = []

    def work():
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]
