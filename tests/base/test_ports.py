import socket

import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.ports import HOST, listening


@pytest.mark.parametrize("port", ["0", "65536", "80000", "-1", "x", "", "5000.0", "\u0665000", "9" * 5000])
def test_an_impossible_port_is_refused(port):
    with pytest.raises(UserError, match="PORT: expected a number from 1 to 65535"):
        listening(port, example="make ui PORT=5001")


def test_a_taken_port_is_one_sentence_with_the_example():
    with socket.create_server((HOST, 0)) as taken, pytest.raises(UserError, match=r"taken.*make ui") as raised:
        listening(str(taken.getsockname()[1]), example="make ui PORT=5001")
    assert "\n" not in str(raised.value)


def test_a_free_port_is_open_on_this_machine_alone():
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    with listening(str(port), example="make ui PORT=5001") as connection:
        assert connection.getsockname() == (HOST, port)
        with socket.create_connection((HOST, port), timeout=5):
            pass
