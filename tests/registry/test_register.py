"""Runs become versions with their evidence, and a version becomes the champion."""

import json
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from example_project import change

from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import sha256, write_json
from digit_vae.base.paths import CERTIFICATE, RunFiles, comparisons
from digit_vae.config.runs import find_run
from digit_vae.registry import promote as promoting
from digit_vae.registry import register as registering
from digit_vae.registry import serve
from digit_vae.registry.promote import promote
from digit_vae.registry.versions import CHAMPION, NAME, champion, version_of, versions
from digit_vae.tracking.audit import PRESENT, audit
from digit_vae.tracking.reading import read_run
from digit_vae.tracking.record import with_comparisons

CHOSE = {"improved": ("fold0-0",)}
BASELINE, IMPROVED = "baseline-full-0", "improved-full-0"


def crowned(registry, name):
    return promote(registry.store, registry.params, find_run(registry.params, name))


def better_on_folds(registry, variant, gain):
    """Gives a variant on each fold about this gain over the baseline in ELBO on the validation images."""
    for fold, more in enumerate((-0.1, 0.0, 0.1)):
        for name, elbo in ((f"baseline-fold{fold}-0", -155.0), (f"{variant}-fold{fold}-0", -155.0 + gain + more)):
            metrics = json.loads(RunFiles(*graph_of(registry, name)).metrics.read_text(encoding="utf-8"))
            change(name, "metrics", validation=metrics["validation"] | {"elbo": elbo})
    registry.lock(find_run(registry.params, BASELINE))


def graph_of(registry, name):
    return find_run(registry.params, name).graph, name


def test_a_version_has_its_evidence_and_belongs_to_its_run(registry):
    registry.train(BASELINE)
    write_json(comparisons("paper") / "ablation.json", {"baseline": of_folds(mean=-155.25, std=1.5)})
    registry.register(BASELINE)
    version = version_of(registry.store, BASELINE)
    files = RunFiles("paper", BASELINE)
    assert version.tags["git_commit"] == "0" * 40
    assert version.tags["data_sha256"] == "a" * 64
    assert version.tags["encoder_sha256"] == sha256(files.encoder)
    assert version.tags["certificate"].startswith("none")
    assert all(word in version.tags["folds"] for word in ("-155.25", "1.50", "3 folds"))
    assert BASELINE in version.description
    [model] = registry.store.client.search_logged_models([registry.store.experiment_id])
    run = registry.store.client.get_run(version.run_id)
    assert (run.info.run_name, [each.model_id for each in run.outputs.model_outputs]) == (BASELINE, [model.model_id])


def of_folds(**elbo):
    return {"folds": 3, "validation": {"elbo": elbo}}


def test_the_evidence_names_the_difference_and_the_certificate(registry):
    registry.train(IMPROVED)
    found = {"difference": 7.5, "difference_low": 5.0, "difference_high": 10.0, "p": 0.002, "p_holm": 0.004}
    found |= {"bootstrap_low": 5.5, "bootstrap_high": 9.5}
    write_json(comparisons("beyond") / "recipe_folds.json", {"improved": of_folds(mean=-148.0, std=1.0, **found)})
    compared = [{"of": f"committed weights of {IMPROVED}", "how": "measured", "deviations": []}]
    told = {"holds": True, "deviations": 0, "made": "2026-01-02", "commit": "abc", "machine": {}}
    write_json(CERTIFICATE, told | {"compared": compared})
    registry.params = replace(registry.params, compare=replace(registry.params.compare, chose=CHOSE))
    registry.register(IMPROVED)
    tags = version_of(registry.store, IMPROVED).tags
    assert tags["folds"].endswith("; chosen by the validation images of fold0-0")
    assert all(word in tags["folds"] for word in ("+7.50", "+5.00", "+10.00", "baseline", "0.004"))
    assert tags["certificate"].startswith("holds")
    write_json(CERTIFICATE, told | {"compared": [compared[0] | {"deviations": [1]}]})
    registry.register(IMPROVED)
    assert version_of(registry.store, IMPROVED).tags["certificate"].startswith("does not hold")
    assert len(versions(registry.store)) == 1


def test_other_weights_are_another_version(registry):
    registry.train(BASELINE)
    registry.register(BASELINE)
    registry.train(BASELINE, seed=1)
    registry.register(BASELINE)
    assert [int(version.version) for version in versions(registry.store)] == [2, 1]
    assert int(version_of(registry.store, BASELINE).version) == 2


def test_a_registered_run_is_what_its_files_say(registry):
    registry.train(BASELINE)
    registry.register(BASELINE)
    record = read_run(find_run(registry.params, BASELINE))
    audited = audit(registry.store, [record], with_comparisons([record], {}))
    assert {each.state for each in audited} == {PRESENT}
    assert not [claim for each in audited for claim in each.false_claims]


def test_the_champion_is_the_first_until_a_variant_is_better(registry):
    for name in (BASELINE, IMPROVED):
        registry.train(name)
        registry.register(name)
    crowned(registry, BASELINE)
    assert champion(registry.store).tags["run"] == BASELINE
    better_on_folds(registry, "improved", 0.05)
    with pytest.raises(UserError) as refused:
        crowned(registry, IMPROVED)
    assert all(word in str(refused.value) for word in ("+0.05", "3 folds", "0.05", BASELINE))
    assert champion(registry.store).tags["run"] == BASELINE
    better_on_folds(registry, "improved", 8.0)
    crowned(registry, IMPROVED)
    version = champion(registry.store)
    assert version.tags["run"] == IMPROVED
    assert "+8.00" in version.tags["gate"]
    assert IMPROVED in crowned(registry, IMPROVED)


def test_weights_that_are_not_those_of_the_lock_do_not_pass(registry):
    registry.train(BASELINE)
    registry.register(BASELINE)
    registry.train(BASELINE, seed=1)
    with pytest.raises(UserError, match="register"):
        crowned(registry, BASELINE)
    registry.register(BASELINE)
    registry.locked["paper"].clear()
    registry.train("baseline-full-1")
    with pytest.raises(UserError, match=r"dvc\.lock has no"):
        crowned(registry, BASELINE)
    assert champion(registry.store) is None


def test_a_collapsed_dimension_does_not_pass(registry):
    registry.train(BASELINE)
    registry.register(BASELINE)
    history = json.loads(RunFiles("paper", BASELINE).history.read_text(encoding="utf-8"))
    history["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    change(BASELINE, "history", epochs=history["epochs"])
    with pytest.raises(UserError, match=r"history\.json is not that of dvc\.lock"):
        crowned(registry, BASELINE)
    registry.lock(find_run(registry.params, BASELINE))
    with pytest.raises(UserError, match="collapsed"):
        crowned(registry, BASELINE)


def test_results_that_no_lock_vouches_for_do_not_pass(registry):
    for name in (BASELINE, IMPROVED):
        registry.train(name)
        registry.register(name)
    crowned(registry, BASELINE)
    better_on_folds(registry, "improved", 8.0)
    change("improved-fold1-0", "metrics", forged=1.0)
    with pytest.raises(UserError, match="reports/beyond/runs is not what stage compare"):
        crowned(registry, IMPROVED)


@pytest.mark.parametrize("file", ["encoder.onnx", "decoder.onnx", "served_model.py"])
def test_a_stored_model_that_was_changed_is_neither_promoted_nor_served(registry, file):
    registry.train(BASELINE)
    registry.register(BASELINE)
    crowned(registry, BASELINE)
    [stored] = registry.store.client.search_logged_models([registry.store.experiment_id])
    [path] = Path(stored.artifact_location).rglob(file)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(UserError, match="SHA-256"):
        serve.load_champion()
    registry.store.client.delete_registered_model_alias(NAME, CHAMPION)
    with pytest.raises(UserError, match="SHA-256"):
        crowned(registry, BASELINE)


@pytest.mark.parametrize("key", ["run", "variant", "encoder_sha256"])
def test_a_champion_without_its_tags_is_refused(registry, key):
    for name in (BASELINE, IMPROVED):
        registry.train(name)
        registry.register(name)
    crowned(registry, BASELINE)
    registry.store.client.delete_model_version_tag(NAME, champion(registry.store).version, key)
    with pytest.raises(UserError, match=f"tag {key}"):
        crowned(registry, IMPROVED)


def test_what_is_not_registered_is_not_promoted(registry, capsys):
    assert exit_status(lambda: promoting.main([BASELINE])) == 1
    assert f"digit-vae register {BASELINE}" in capsys.readouterr().err
    assert exit_status(lambda: promoting.main(["nobody"])) == 1
    assert registry.store.client.search_registered_models() == []


def test_both_commands_say_what_they_are_at(registry, capsys, monkeypatch):
    registry.train(BASELINE)
    registry.register(BASELINE)
    monkeypatch.setattr(registering, "track", lambda: print("MLflow is brought up to date"))
    registering.main([BASELINE])
    first, last = capsys.readouterr().out.splitlines()
    assert first == "MLflow is brought up to date"
    assert last.startswith(f"{BASELINE} is version 1 of {NAME}")
    promoting.main([BASELINE])
    *steps, last = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2].split()[0] for line in steps] == ["looking", "the", "hashing"]
    assert last == f"{BASELINE} (version 1) is the champion: the first one"


def test_the_champion_is_what_is_served(registry):
    with pytest.raises(UserError, match="digit-vae promote"):
        serve.load_champion()
    registry.train(BASELINE)
    registry.register(BASELINE)
    crowned(registry, BASELINE)
    before = mlflow.get_tracking_uri()
    name, model = serve.load_champion()
    mlflow.set_tracking_uri(before)
    assert BASELINE in name
    assert model.metadata.run_id == champion(registry.store).run_id
    assert model.predict(np.ones((2, 28, 28), np.float32))["z_mean"].shape == (2, registry.params.train.latent_dim)
    assert NAME == "digit-vae"
