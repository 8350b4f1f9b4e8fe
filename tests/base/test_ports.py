import argparse
import socket

import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.ports import HOST, listening, port_number


@pytest.mark.parametrize("port", ["0", "65536", "x"])
def test_an_impossible_port_is_refused(port):
    with pytest.raises(argparse.ArgumentTypeError, match=f"from 1 to 65535; received '{port}'"):
        port_number(port)


def test_a_taken_port_is_one_sentence_with_the_example():
    with socket.create_server((HOST, 0)) as taken, pytest.raises(UserError, match=r"taken.*make ui") as raised:
        listening(taken.getsockname()[1], example="make ui PORT=5001")
    assert "\n" not in str(raised.value)


def test_a_free_port_is_open_on_this_machine_alone():
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    with listening(port, example="make ui PORT=5001") as connection:
        assert connection.getsockname() == (HOST, port)
        with socket.create_connection((HOST, port), timeout=5):
            pass
