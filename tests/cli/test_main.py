"""The command line as a whole: what it finds, and that it answers at once."""

import subprocess
import sys

import pytest

from digit_vae import __version__
from digit_vae.cli import main as cli


def ended(capsys, *arguments):
    """Exit status, standard output and standard error of a call in this process."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    said = capsys.readouterr()
    return stopped.value.code, said.out, said.err


def test_it_says_its_version(capsys):
    assert ended(capsys, "--version") == (0, f"digit-vae {__version__}\n", "")


def test_help_lists_every_command(capsys):
    status, said, _ = ended(capsys, "--help")
    assert status == 0
    assert all(f"  {name} " in said for name in cli.COMMANDS)


@pytest.mark.parametrize("arguments", [(), ("frobnicate",), ("--frobnicate",)])
def test_what_there_is_not_is_refused(capsys, arguments):
    status, _, said = ended(capsys, *arguments)
    assert status == 2
    assert "usage: digit-vae" in said


@pytest.mark.parametrize("name", ["generate", "reconstruct", "encode", "tidy", "schema"])
def test_a_command_is_called_by_its_name_in_its_help(capsys, monkeypatch, name):
    monkeypatch.chdir(cli.__file__.partition("/src/")[0])
    status, said, _ = ended(capsys, name, "--help")
    assert status == 0
    assert said.startswith(f"usage: digit-vae {name} ")


def test_help_and_mistakes_do_not_wait_for_what_takes_seconds_to_load(project):
    script = """
import sys
from digit_vae.cli.main import main
for arguments in (["--help"], ["generate", "nobody"], ["encode", "baseline-full-0", "--all-test"], ["smoke"]):
    try:
        main(arguments)
    except SystemExit:
        slow = {"tensorflow", "keras", "mlflow", "ray", "dvc", "sklearn", "matplotlib"} & sys.modules.keys()
        assert not slow, (arguments, slow)
"""
    subprocess.run([sys.executable, "-c", script], cwd=project, check=True, capture_output=True)
