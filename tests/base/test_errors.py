"""How a command ends, and what it never shows."""

import pytest

from digit_vae.base.errors import UserError, exit_status, masked


def failing(error: BaseException):
    def command():
        raise error

    return command


MISSING = "error: the package torch is missing: `make setup` installs what is needed into .venv\n"


@pytest.mark.parametrize(
    ("command", "status", "shown"),
    [
        (lambda: None, 0, ""),
        (failing(UserError("x: expected 1; received 2")), 1, "error: x: expected 1; received 2\n"),
        (failing(UserError("no http://me:secret@host")), 1, "error: no http://me:***@host\n"),
        (failing(PermissionError(13, "Permission denied", "data/x.npy")), 1, "error: data/x.npy: Permission denied\n"),
        (failing(OSError(28, "No space left on device")), 1, "error: [Errno 28] No space left on device\n"),
        (failing(ModuleNotFoundError("No module named 'torch'", name="torch")), 1, MISSING),
        (failing(BrokenPipeError()), 141, ""),
        (failing(KeyboardInterrupt()), 130, "interrupted\n"),
    ],
)
def test_a_command_ends_with_a_status_and_at_most_one_line(capsys, command, status, shown):
    assert exit_status(command) == status
    assert capsys.readouterr().err == shown


@pytest.mark.parametrize("error", [ZeroDivisionError(), ModuleNotFoundError(name="digit_vae.none")])
def test_another_exception_is_a_fault_of_ours_and_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        exit_status(failing(error))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:secret@host:5000/x", "https://me:***@host:5000/x"),
        ("at postgresql://me:s%40cret@db/runs?sslmode=on", "at postgresql://me:***@db/runs?sslmode=on"),
        ("postgresql://me:s@cr/et@db/runs and more", "postgresql://me:***@db/runs and more"),
        ("https://ghp_secret@host/x", "https://***@host/x"),
        ("https://:secret@host", "https://:***@host"),
        ("mysql://db/runs?user=me&password=secret&ssl=1", "mysql://db/runs?user=me&password=***&ssl=1"),
        ("mysql://db/runs?passwd=secret&ssl=1", "mysql://db/runs?passwd=***&ssl=1"),
        ("mssql://?odbc_connect=UID%3Dme%3BPWD%3Dsecret", "mssql://?odbc_connect=UID%3Dme%3BPWD%3D***"),
        ("http://host/x?api_key=secret and more", "http://host/x?api_key=*** and more"),
        ("https://me:se cret@host/x", "https://me:***@host/x"),
        ("at http://host:5000/a, said me@host", "at http://host:5000/a, said me@host"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("http://host:5000/a", "http://host:5000/a"),
    ],
)
def test_passwords_and_tokens_are_masked(text, expected):
    assert masked(text) == expected
