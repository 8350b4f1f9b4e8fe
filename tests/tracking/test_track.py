import re
import shutil

import measured
import pytest
from mirrored import artifacts_of, client_of, logged, stored
from synthetic import history, timings, write_evaluation, write_run

from digit_vae.base.errors import exit_status
from digit_vae.base.files import write_json
from digit_vae.base.paths import BENCHMARKS, RunFiles, comparisons
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run, runs
from digit_vae.tracking.reading import readers
from digit_vae.tracking.record import of_run, read_by
from digit_vae.tracking.store import PARENT, Store
from digit_vae.tracking.sync import Live
from digit_vae.tracking.track import main, verify_main

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

RUN, OTHER = "baseline-fold0-0", "baseline-fold1-0"


def track():
    return exit_status(lambda: main([]))


def verify():
    return exit_status(lambda: verify_main([]))


def test_all_runs_with_files_are_brought_in_once(mlflow_project, capsys):
    names = [run.name for run in runs(load_params(), "paper")]
    for name in names[:2]:
        write_run(mlflow_project, name)
    write_json(mlflow_project / comparisons("paper") / "ablation.json", {"baseline": {"folds": 2}})
    assert track() == 0
    assert logged(mlflow_project).keys() == set(names[:2])
    summary = capsys.readouterr().out
    assert "2 runs and 0 of benchmarks, 2 of them brought in just now" in summary
    assert f"not trained yet: {', '.join(names[2:])}" in summary

    before = stored(mlflow_project)
    assert track() == 0
    assert stored(mlflow_project) == before
    assert "0 of them brought in" in capsys.readouterr().out


def test_a_clone_without_models_has_all_but_those_and_gets_them_later(mlflow_project, capsys):
    write_run(mlflow_project, RUN)
    write_evaluation(mlflow_project, RUN, elbo=-151.5)
    models = RunFiles("paper", RUN).models
    models.rename("away")
    assert track() == verify() == 0
    assert "0 incomplete" in capsys.readouterr().out
    run = logged(mlflow_project)[RUN]
    assert run.data.metrics["validation/elbo"] == -151.5
    in_git = {"history.json", "metrics.json", "evaluation.json", "timings.json"}
    assert {path.name for path in artifacts_of(run).iterdir() if path.is_file()} == in_git

    (mlflow_project / "away").rename(models)
    assert track() == verify() == 0
    models_files = {"encoder.weights.h5", "decoder.weights.h5", "samples.npz"}
    assert {path.name for path in artifacts_of(run).iterdir() if path.is_file()} == in_git | models_files
    assert {path.name for path in (artifacts_of(run) / "figures").iterdir()} > {"loss_curves.png", "digits.png"}
    models.rename("away")
    assert verify() == track() == verify() == 0


def test_figures_that_were_deleted_are_lacking_until_track_draws_them_again(mlflow_project, capsys):
    write_run(mlflow_project, RUN)
    assert track() == 0
    before = stored(mlflow_project)[1]
    (figures,) = mlflow_project.glob("mlartifacts/*/artifacts/figures/loss_curves.png")
    shutil.rmtree(figures.parent)
    capsys.readouterr()
    assert verify() == 0
    assert "lacks artifact figures" in capsys.readouterr().out
    assert track() == track() == 0
    assert re.findall(r", (\d) of them brought", capsys.readouterr().out) == ["1", "0"]
    assert stored(mlflow_project)[1] == before


def test_recorded_benchmarks_are_brought_in_only_once(mlflow_project, capsys):
    write_json(mlflow_project / BENCHMARKS / "a-cpu.json", measured.benchmark(seeds=2))
    assert track() == 0
    assert "2 of benchmarks, 2 of them brought in just now" in capsys.readouterr().out
    found = logged(mlflow_project)
    client = client_of(mlflow_project)
    parents = {client.get_run(run.data.tags[PARENT]).info.run_name for run in found.values()}
    assert parents == {"benchmark/a-cpu"}
    before = stored(mlflow_project)
    assert track() == 0
    assert stored(mlflow_project) == before
    assert verify() == 0
    assert "3 present\n" in capsys.readouterr().out


def test_verify_looks_where_there_is_no_store_and_makes_none(project, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_run(project, RUN)
    before = {*project.rglob("*")}
    assert verify() == 0
    assert {*project.rglob("*")} == before
    assert "1 not there, `make track` brings them in\n" in capsys.readouterr().out


def test_verify_makes_no_experiment_in_a_store_without_one(mlflow_project, capsys):
    write_run(mlflow_project, RUN)
    before = stored(mlflow_project)
    assert verify() == 0
    assert stored(mlflow_project) == before
    assert "1 not there, `make track` brings them in\n" in capsys.readouterr().out


def test_verify_says_what_belongs_and_fails_for_what_the_files_do_not_say(mlflow_project, capsys):
    for name in (RUN, OTHER):
        write_run(mlflow_project, name)
        write_evaluation(mlflow_project, name)
        assert track() == 0
    capsys.readouterr()
    assert verify() == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "3 present\n" in out
    assert "0 incomplete\n0 superseded\n0 training\n0 of experiments\n0 not there" in out

    write_evaluation(mlflow_project, OTHER, elbo=-1.0)
    write_run(mlflow_project, RUN, started_at=1_800_000_000.0)
    assert verify() == 1
    out, err = capsys.readouterr()
    run_id = logged(mlflow_project)[OTHER].info.run_id
    assert f"{OTHER} ({run_id}) claims metric test/elbo -155.0, the files say -1.0\n" in out
    assert "claims to be the run of the present files, which are another attempt's" in out
    assert f"1 not there, `make track` brings them in: {RUN}\n" in out
    assert "2 of 3 runs" in err

    assert track() == verify() == 0


def test_verify_says_what_a_run_lacks_and_track_completes_it(mlflow_project, capsys):
    write_run(mlflow_project, RUN)
    run = find_run(load_params(), RUN)
    begun = of_run(run, history(RUN) | {"epochs": []}, timings(RUN) | {"epochs": []})
    live = Live(Store(mlflow_project))
    live.start(RUN, read_by(begun, readers(load_params(), run)))
    live.epoch(RUN, history(RUN)["epochs"][0], timings(RUN)["epochs"][0])
    live.kill(RUN)
    assert verify() == 0
    out = capsys.readouterr().out
    run_id = logged(mlflow_project)[RUN].info.run_id
    assert f"1 incomplete: {RUN} ({run_id[:8]})\n" in out
    lacks = r"metric seconds/train of epoch 2, metric seconds/train of epoch 3, metric \S+ of epoch 2 and \d+ more"
    assert re.search(rf"^{RUN} \({run_id}\) lacks {lacks}: ", out, re.MULTILINE)
    assert track() == verify() == 0
    assert "0 incomplete\n" in capsys.readouterr().out


def test_a_renamed_run_is_there_under_a_false_name_until_track_names_it(mlflow_project, capsys):
    write_run(mlflow_project, RUN)
    assert track() == 0
    run_id = logged(mlflow_project)[RUN].info.run_id
    client_of(mlflow_project).update_run(run_id, name="the best")
    assert verify() == 1
    out = capsys.readouterr().out
    assert "0 not there\n" in out
    assert f"{RUN} ({run_id}) claims run name the best, the files say {RUN}\n" in out
    assert track() == verify() == 0


def test_a_damaged_file_is_one_line(mlflow_project, capsys):
    write_run(mlflow_project, RUN)
    RunFiles("paper", RUN).timings.write_text("{")
    assert track() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{RUN}/timings.json is damaged" in line
