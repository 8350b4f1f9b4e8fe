"""A port of this machine for pages that a browser on it opens, and no other machine."""

import errno
import socket

from digit_vae.base.arguments import whole
from digit_vae.base.errors import UserError

HOST = "127.0.0.1"
port_number = whole(1, 65535)  # `type=` of an argument


def listening(port: int, *, example: str) -> socket.socket:
    """A socket that is bound to the port on 127.0.0.1.

    example: a command with another port, for the message. Raises: UserError when it is taken.
    """
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        connection.bind((HOST, port))
        connection.listen()
    except OSError as error:
        connection.close()
        reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise UserError(f"port {port} of {HOST} {reason}: choose another one, such as `{example}`") from error
    return connection
