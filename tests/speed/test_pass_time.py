"""The sum of a pass's time, of runs whose seconds are made up."""

import os

import pytest
from synthetic import EPOCH_SECONDS, STARTED, timings, write_params

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.base.paths import RunFiles
from digit_vae.config.runs import runs
from digit_vae.speed import pass_time

TRAINED = 4 * EPOCH_SECONDS  # what synthetic.timings says of three epochs and what is around them


def evaluated(started_at, seconds=20.0):
    return {"started_at": started_at, "finished_at": started_at + seconds, "seconds": seconds}


def write_times(run, change_timings=(), change_evaluation=(), later=0.0):
    """The files of a run. later: by how many seconds they are younger than the end that they tell of."""
    files = RunFiles("paper", run.name)
    made = {
        files.timings: timings(run.name) | dict(change_timings),
        files.evaluation: evaluated(STARTED + TRAINED) | dict(change_evaluation),
    }
    for path, times in made.items():
        write_json(path, times)
        if isinstance(ended := times["finished_at"], float):
            os.utime(path, (ended + later, ended + later))


def two_runs():
    return [timings("baseline-full-0"), timings("baseline-full-1")], [evaluated(STARTED + TRAINED)] * 2


def test_the_parts_and_the_rest_are_the_pass():
    done = pass_time.last_pass(*two_runs(), wall=200.0)
    assert done.parts == pytest.approx((2 * 3 * (EPOCH_SECONDS - 2), 2 * 3 * 2.0, 2 * 1.5, 2 * 20.0))
    assert (done.cores, done.trained, done.evaluated) == (2, 2, 2)
    assert sum(done.parts) + done.rest == pytest.approx(2 * 200)
    assert done.rest == pytest.approx(400 - 6 * EPOCH_SECONDS - 3 - 40)


def test_what_an_earlier_pass_made_does_not_count():
    """One run is a day older; another one was begun then, and has one epoch in the pass."""
    trained, evaluations = two_runs()
    yesterday = STARTED - 86400
    begun = timings("dropout-fold0-0")
    for epoch in begun["epochs"][:2]:
        epoch["finished_at"] -= 86400
    done = pass_time.last_pass(
        [*trained, timings("dropout-fold1-0", started_at=yesterday), begun], [*evaluations, evaluated(yesterday)], 200.0
    )
    assert (done.trained, done.evaluated) == (3, 2)
    assert done.parts.validation == pytest.approx((3 + 3 + 1) * 2.0)


def test_a_pass_is_longer_than_its_parts():
    with pytest.raises(
        UserError, match=r"expected at least the 2:00 .* received 1:59"
    ):  # on one core of a slow machine
        pass_time.last_pass([timings("a-full-0")] * 2, [evaluated(STARTED + TRAINED, 27.0)] * 2, wall=119.0)


def test_a_pass_is_of_one_machine():
    trained, evaluations = two_runs()
    trained[1] = trained[1] | {"machine": trained[1]["machine"] | {"cpu": "Another CPU"}}
    with pytest.raises(UserError, match="received 2 machines"):
        pass_time.last_pass(trained, evaluations, wall=200.0)


def test_the_command_shows_the_sum_of_the_runs_files(project, capsys):
    params = write_params(project)
    for run in runs(params, "paper"):
        write_times(run, later=1.0)
    count = len(runs(params, "paper"))
    pass_time.main(["--wall", "1:00:00"])
    shown = capsys.readouterr().out
    assert f"| training steps | {count * 3 * (EPOCH_SECONDS - 2):,.0f} |" in shown
    assert f"| evaluation | {count * 20:,.0f} |" in shown
    assert "| all | 7,200 | 100.0 | 1:00:00 |" in shown


def test_runs_whose_results_git_brought_are_of_no_pass_here(project, capsys):
    """A checkout writes a file long after the end that it tells of."""
    first, *others = runs(write_params(project), "paper")
    for run in (first, *others):
        write_times(run, later=3600.0)
    with pytest.raises(UserError, match="no pass was made here"):
        pass_time.main(["--wall", "1:00:00"])
    write_times(first)
    pass_time.main(["--wall", "1:00:00"])
    assert "1 runs trained, 1 evaluated." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "change"),
    [("timings", {"finished_at": "now"}), ("timings", {"epochs": [7]}), ("evaluation", {"seconds": None})],
)
def test_a_damaged_time_is_named_with_its_file(project, file, change):
    for run in runs(write_params(project), "paper"):
        write_times(run, **{f"change_{file}": change})
    with pytest.raises(UserError, match=rf"{file}\.json is damaged \({next(iter(change))}"):
        pass_time.main(["--wall", "1:00:00"])


@pytest.mark.parametrize("value", ["", "1:2:3:4", "1.5", "-3", "an hour", "9" * 400])
def test_a_time_is_in_hours_minutes_and_seconds(value, capsys):
    with pytest.raises(SystemExit):
        pass_time.main([f"--wall={value}"])
    assert "expected H:MM:SS" in capsys.readouterr().err
