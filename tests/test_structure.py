"""What the layout promises: stages name what they run, imports run downwards, locks are complete without addresses."""

import ast
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SOURCES = {"digit_vae": ROOT / "src", "pipeline": ROOT}
GRAPHS = ("dvc.yaml", "extended/dvc.yaml", "benchmark/dvc.yaml")
STAGES = {
    f"{graph}:{name}": stage
    for graph in GRAPHS
    for name, stage in yaml.safe_load((ROOT / graph).read_text())["stages"].items()
}
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
LOCKS = ("requirements.lock", "requirements-gpu.lock")
TENSORFLOW = (
    *("classifier", "evaluation", "examination", "layers", "likelihood", "losses", "machine", "model", "quality"),
    *("stock_keras", "training"),
)
# Every other dependency may be imported anywhere.
ALLOWED = {
    "tensorflow": {f"digit_vae.{name}" for name in TENSORFLOW},
    "keras": {f"digit_vae.{name}" for name in TENSORFLOW} | {f"pipeline.{name}" for name in ("classifier", "evaluate")},
    "torch": {"digit_vae.speed.torch_fit"},
    "mlflow": {"digit_vae.tracking.store"},
    "sklearn": {"digit_vae.evaluation.latent", "digit_vae.data.splits"},
    "ray": {"digit_vae.driver.scheduler"},
    "dvc": {"digit_vae.driver.ledger", "digit_vae.driver.scheduler"},
    "matplotlib": {"digit_vae.report.figures", "digit_vae.tracking.track"},
}


def path_of(module):
    return SOURCES[module.split(".")[0]] / f"{module.replace('.', '/')}.py"


MODULES = sorted(
    f"{package}.{path.stem}"
    for package, source in SOURCES.items()
    for path in (source / package).glob("*.py")
    if path.stem != "__init__"
)


def imported(module):
    """The modules and names that `module` imports anywhere in it: `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(path_of(module).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def closure(module):
    """`module` and all modules of this repository that it imports, directly or through others."""
    found, waiting = set(), [module]
    while waiting:
        if (current := waiting.pop()) not in found:
            found.add(current)
            waiting += [name for name in imported(current) if name in MODULES]
    return found


def body(stage):
    return stage.get("do", stage)


def tracked_files():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_modules_that_it_runs(stage):
    module = re.match(r"(?:exec )?python -m (pipeline\.\w+)", body(STAGES[stage])["cmd"])[1]
    assert module == f"pipeline.{stage.rpartition(':')[2]}"
    code = {name for name in body(STAGES[stage])["deps"] if name.endswith(".py")}
    assert code == {str(path_of(name).relative_to(ROOT)) for name in closure(module)}


def test_a_checkpoint_names_all_code_that_the_bytes_of_a_training_depend_on():
    """Params are in its origin as values; files and errors change no number."""
    [names] = re.findall(r"^CODE = \((.+)\)$", path_of("pipeline.train").read_text(), re.MULTILINE)
    trained = closure("digit_vae.training.loop") | closure("digit_vae.training.examination")
    apart = {f"digit_vae.{name}" for name in ("errors", "files", "params", "commit")}
    assert trained - apart <= {f"digit_vae.{name}" for name in names.split(", ")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_params_that_exist(stage):
    for name in body(STAGES[stage]).get("params", []):
        value = PARAMS
        for key in name.replace(".${item.variant}", "").split("."):
            assert key in value, name
            value = value[key]


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_extended_runs_are_made_as_the_others_are_in_another_folder(name):
    usual, extended = (STAGES[f"{graph}:{name}"] for graph in GRAPHS[:2])
    assert (usual["foreach"], extended["foreach"]) == ("${runs}", "${extended}")
    expected = json.loads(json.dumps(body(usual)).replace('"models/${key}', '"extended/models/${key}')) | {"wdir": ".."}
    if "metrics" in expected:
        expected["metrics"] = ["extended/models/${key}/metrics.json"]
    assert body(extended) == expected


def test_nothing_that_an_extended_stage_makes_is_a_dependency_of_dvc_yaml():
    """DVC would train the extended runs before `dvc repro` makes the report."""
    extended = [body(stage) for name, stage in STAGES.items() if name.startswith("extended/")]
    outs = [Path(out) for stage in extended for out in (*stage.get("outs", ()), *stage.get("metrics", ()))]
    deps = {dep for name, stage in STAGES.items() if name.startswith("dvc.yaml:") for dep in body(stage)["deps"]}
    assert len(outs) == 6
    assert not [(str(out), dep) for out in outs for dep in deps if out.is_relative_to(dep)]


def test_every_section_of_the_params_belongs_to_a_stage_or_to_a_command():
    named = {name.split(".")[0] for stage in STAGES.values() for name in body(stage).get("params", [])}
    assert named | {"health", "repro", "verify"} == set(PARAMS)
    assert path_of("digit_vae.verification.verify").is_file()


def test_the_closure_follows_imports_through_other_modules():
    assert {"pipeline.train", "digit_vae.training.loop", "digit_vae.model.losses"} <= closure("pipeline.train")
    assert "digit_vae.training.loop" not in closure("pipeline.preprocess")


@pytest.mark.parametrize("module", MODULES)
def test_packages_are_imported_only_where_they_belong(module):
    for name in imported(module):
        assert module in ALLOWED.get(name.split(".")[0], {module}), f"{module} imports {name}"


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("digit_vae.")])
def test_the_library_does_not_know_the_pipeline(module):
    assert not [name for name in imported(module) if name.split(".")[0] == "pipeline"]


def test_no_module_imports_itself_through_others():
    for module in MODULES:
        for name in set(imported(module)) & set(MODULES):
            assert module not in closure(name), f"{module} imports {name}, which leads back to it"


@pytest.mark.parametrize("package", SOURCES)
def test_packages_run_no_code_of_the_project(package):
    init = ast.parse((SOURCES[package] / package / "__init__.py").read_text())
    names = {alias.name for node in ast.walk(init) if isinstance(node, ast.Import) for alias in node.names}
    assert names <= {"os"}
    assert not [node for node in ast.walk(init) if isinstance(node, ast.ImportFrom | ast.FunctionDef | ast.ClassDef)]


def test_nothing_is_unpickled():
    for module in MODULES:
        text = path_of(module).read_text()
        assert not {"pickle", "joblib", "dill"} & {name.split(".")[0] for name in imported(module)}, module
        assert not re.search(
            r"allow_pickle=True|\bload_model\(|unsafe_load|torch\.load\(|\byaml\.load\((?!.*_StrictLoader)", text
        ), module
        loads = re.findall(r"np\.load\(.*", text)
        assert all("allow_pickle=False" in call for call in loads), module


def test_the_ui_listens_on_this_machine_alone_and_does_not_unpickle():
    [recipe] = re.findall(r"^ui:.*\n(?:\t.*\n)+", (ROOT / "Makefile").read_text(), re.M)
    assert "mlflow ui --host 127.0.0.1 " in recipe
    assert "MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false" in recipe


def test_ci_shows_no_certificate_but_that_of_its_own_run(tmp_path):
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    [step] = [step for step in workflow["jobs"]["verify"]["steps"] if "GITHUB_STEP_SUMMARY" in step.get("run", "")]
    assert step["if"] == "always()"
    certificate, summary = tmp_path / "reports/certificate.md", tmp_path / "summary"
    certificate.parent.mkdir()
    certificate.write_text("committed")
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "a"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)

    def shown():
        summary.unlink(missing_ok=True)
        environment = os.environ | {"GITHUB_STEP_SUMMARY": str(summary)}
        subprocess.run(["bash", "-ec", step["run"]], cwd=tmp_path, env=environment, check=True)
        return summary.read_text()

    assert shown() == "The verification ended without a certificate.\n"
    certificate.write_text("anew")
    assert shown() == "anew"
    certificate.unlink()
    assert shown() == "The verification ended without a certificate.\n"


def test_ci_verifies_the_results_also_where_a_slow_test_fails():
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["verify"]["steps"]
    commands = [step.get("run") for step in steps]
    assert commands.index("make test-slow") < commands.index("make verify")
    assert steps[commands.index("make verify")]["if"] == "${{ !cancelled() }}"


def test_no_file_names_a_package_index():
    hosts = ["pypi." + "org", "python" + "hosted", "pypi." + "nvidia", "registry." + "npmjs", "--index" + "-url"]
    hosts += ["--extra-index" + "-url", "--find" + "-links"]
    found = {
        (str(path.relative_to(ROOT)), host)
        for path in tracked_files()
        for host in hosts
        if host.encode() in path.read_bytes()
    }
    assert not found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_has_a_version_and_a_hash(lock):
    text = (ROOT / lock).read_text()
    requirements = text.replace("\\\n", " ").splitlines()
    assert requirements
    for requirement in requirements:
        assert re.match(
            r"[a-z0-9][a-z0-9.-]*(\[[a-z0-9,-]+\])?==[\w.+!]+( ;.*?)?( +--hash=sha256:[0-9a-f]{64})+ *$", requirement
        )
    assert "://" not in text


def test_both_locks_agree_on_what_they_share():
    cpu, gpu = (
        dict(re.findall(r"^([a-z0-9.-]+)(?:\[\S+\])?==(\S+)", (ROOT / lock).read_text(), re.M)) for lock in LOCKS
    )
    assert {name: gpu.get(name) for name in cpu} == cpu
