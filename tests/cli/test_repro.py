"""The command line of `make repro`: what it refuses before anything runs, and when it outlives its parent."""

import re
import shlex
import signal
import subprocess
import sys

import pytest
import yaml
from synthetic import write_params

from digit_vae.base.errors import UserError
from digit_vae.cli import launching, repro


@pytest.fixture
def asked(project, monkeypatch):  # noqa: ARG001 - its working folder
    """What the driver was asked for."""
    calls = []
    monkeypatch.setattr(launching, "die_with_parent", lambda: None)
    monkeypatch.setattr(repro, "reproduce", lambda _, chosen, **options: calls.append((chosen, options)))
    before = signal.getsignal(signal.SIGTERM)
    yield calls
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("main", "arguments", "graphs", "options"),
    [
        (repro.main, [], {"paper"}, {"whole": True, "anew": False, "jobs": None, "address": None}),
        (
            repro.beyond_main,
            ["--anew"],
            {"paper", "beyond"},
            {"whole": True, "anew": True, "jobs": None, "address": None},
        ),
        (repro.main, ["--jobs", "3"], {"paper"}, {"whole": True, "anew": False, "jobs": 3, "address": None}),
    ],
)
def test_whole_graphs_are_made(asked, main, arguments, graphs, options):
    main(arguments)
    [(chosen, given)] = asked
    assert ({run.graph for run in chosen}, given) == (graphs, options)


@pytest.mark.parametrize("main", [repro.main, repro.beyond_main])
def test_runs_that_are_named_are_made_here_and_nothing_else(asked, main):
    main(["--runs", "baseline-full-1", "improved-full-0", "baseline-full-1"])
    [(chosen, given)] = asked
    assert [run.name for run in chosen] == ["baseline-full-1", "improved-full-0"]
    assert (given["whole"], given["anew"]) == (False, True)


@pytest.mark.parametrize(("command", "all_of"), [("repro", "the paper's graph"), ("beyond", "both graphs")])
def test_each_command_has_a_help_of_its_own(command, all_of):
    said = " ".join(repro.parser(command).format_help().split())
    assert said.startswith(f"usage: digit-vae {command} ")
    assert f"(default: all of {all_of})" in said
    assert "--beyond" not in said
    assert set(re.findall(r"digit-vae (\w+)", said)) == {command}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "baseline-full-0", "baseline-fold9-0"], "'baseline-fold9-0'"),
        (["--address", "10.0.0.1:80000"], "--address: .*80000"),
    ],
)
def test_mistakes_end_it_before_anything_runs(asked, arguments, message):
    with pytest.raises(UserError, match=message):
        repro.main(arguments)
    assert asked == []


@pytest.mark.parametrize("jobs", ["0", "abc", "-1", "1.5"])
def test_how_many_at_once_is_a_whole_number(asked, capsys, jobs):
    with pytest.raises(SystemExit):
        repro.main(["--jobs", jobs])
    assert re.search(f"--jobs: expected .* from 1 .*received '{jobs}'", capsys.readouterr().err)
    assert asked == []


def test_a_mistake_in_params_ends_it_before_anything_runs(asked, project):
    write_params(project)
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["train"]["epochs"] = 0
    (project / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"train\.epochs"):
        repro.main([])
    assert asked == []


OUTLIVES = "from digit_vae.cli import launching; print(launching.is_to_outlive_its_parent())"


@pytest.mark.parametrize(
    ("around", "inside", "outlives"),
    [
        (signal.SIG_DFL, [], False),
        (signal.SIG_DFL, ["nohup"], True),
        (signal.SIG_IGN, [], False),
        (signal.SIG_DFL, ["setsid"], True),
    ],
)
def test_a_driver_dies_with_its_parent_unless_it_was_asked_not_to(around, inside, outlives):
    """around: what the parent, a shell, does at a hangup, whatever these tests themselves were told."""
    command = shlex.join([*inside, sys.executable, "-c", OUTLIVES])
    done = subprocess.run(
        ["bash", "-c", f"{command}; true"],
        preexec_fn=lambda: signal.signal(signal.SIGHUP, around),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == f"{outlives}\n"


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("outlives", [True, False])
def test_only_a_driver_that_is_to_outlive_its_parent_does_so(monkeypatch, outlives):
    tied = []
    monkeypatch.setattr(launching, "is_to_outlive_its_parent", lambda: outlives)
    monkeypatch.setattr(launching, "die_with_parent", lambda: tied.append(True))
    repro.main([])
    assert tied == ([] if outlives else [True])
