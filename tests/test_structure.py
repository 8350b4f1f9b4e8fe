"""What the layout promises: rooms import one way, stages name what they run, locks are complete without addresses."""

import ast
import functools
import importlib
import inspect
import io
import os
import re
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest
import yaml

import digit_vae
from digit_vae.base.files import json_bytes
from digit_vae.cli.main import COMMANDS
from digit_vae.config.loading import json_schema

ROOT = Path(__file__).parent.parent
SOURCES = {"digit_vae": ROOT / "src", "pipeline": ROOT}
# A room imports rooms that stand before it; those in one pair of brackets do not know each other.
ORDER = (
    *(("base",), ("config",), ("data", "model"), ("training", "evaluation"), ("speed", "search"), ("analysis",)),
    *(("report",), ("tracking",), ("serving", "driver"), ("exports",), ("site",), ("verification",), ("registry",)),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
BESIDE = {("speed", "evaluation")}  # though one stands before the other
# Rooms or modules that may import a package; what is not named here may be imported anywhere in the library.
ALLOWED = {
    "tensorflow": {"model", "training", "evaluation", "speed", "serving"},
    "keras": {"model", "training", "evaluation", "speed", "serving"},
    "mlflow": {"tracking", "registry"},
    "ray": {"driver"},
    "dvc": {"driver.ledger"},
    "matplotlib": {"report", "tracking"},
    "onnx": {"exports"},
    "onnxruntime": {"registry.served_model", "site"},
    "jinja2": {"report"},
    "joblib": {"base.cores"},
    "optuna": {"search.proposals"},
    "sklearn": {"data.splits", "evaluation", "analysis"},
    "pydantic": {
        "base.errors",
        "config",
        "search.record",
        "speed.operations",
        "speed.processors",
        "speed.records",
        "verification.evidence",
    },
}
# The rooms whose code computes the numbers that a stage writes. The others read, check, write, show or record: an edit
# there outdates nothing, also where it changes bytes, as one of base/files.py can; `make verify QUICK=1` compares them.
DECIDING = {
    "fetch": set(),  # brings files whose hashes are known
    "preprocess": {"data"},
    "classifier": {"model", "evaluation"},
    "train": {"model", "training"},
    "evaluate": {"model", "evaluation"},
    "compare": {"analysis"},
    "power": {"analysis"},
    "draw": {"report"},
    "report": {"analysis", "report", "model.units", "search.record", "speed.records", "training.health"},
    "publish": {"model", "serving.typical"},
}
NUMERIC = {"model", "training", "evaluation"}
# Of these rooms, what a stage imports but does not run: the classifier's module also judges what a VAE makes.
APART = {
    "classifier": ("model.losses", "model.layers", "model.units", "model.vae", "model.weights", "evaluation.coding")
}
LONGEST_STAGE = 60
# Lines of code, without blank lines, comments and docstrings, of all that decides a weight.
CORE = ("config", "data", "model", "training")
NO_CORE = (
    *("data.datasets", "data.download", "data.mnist", "data.own", "data.sources"),  # bring files of known hashes
    "config.search",
)
LARGEST_CORE = 1300
GRAPHS = {
    name: yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["stages"]
    for name, file in {"paper": "dvc.yaml", "beyond": "beyond/dvc.yaml"}.items()
}
STAGES = {f"{graph}:{name}": stage for graph, stages in GRAPHS.items() for name, stage in stages.items()}
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
STUDIES = [
    (study, "beyond" if section.get("beyond") else "paper", work)
    for study, section in PARAMS["studies"].items()
    for work in ("train", "evaluate")
]
LOCKS = ("requirements.lock", "requirements-gpu.lock")


def find_modules():
    """Path by name, at any depth; a package has the name of its folder."""
    for package, source in SOURCES.items():
        for path in sorted((source / package).rglob("*.py")):
            parts = path.relative_to(source).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(find_modules())


def room(module):
    """ "model" for digit_vae.model.vae, "" for what stands in no room."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "digit_vae" and rest.partition(".")[0] in LEVEL else ""


@functools.cache
def tree(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@functools.cache
def imported(module):
    """The modules and names that `module` imports anywhere in it: `from a import b` gives a and a.b."""
    found = []
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


@functools.cache
def closure(module):
    """`module` and all modules of this repository that it imports, directly or through others."""
    found, waiting = set(), [module]
    while waiting:
        if (current := waiting.pop()) not in found:
            found.add(current)
            waiting += [name for name in imported(current) if name in MODULES]
    return found


def is_in(module, places):
    """Whether a module is one of these, or in one of these rooms."""
    return any(f"{module}.".startswith(f"digit_vae.{place}.") for place in places)


def stage_module(stage):
    """The module of pipeline/ that a stage runs; None for one that only copies."""
    found = re.match(
        r"exec env PYTHONPATH=src PYTHONUTF8=1 python -m (pipeline\.\w+)( \$\{key\}| paper| beyond)?$", stage["cmd"]
    )
    return found and found[1]


RUNNING = {name: module for name, stage in STAGES.items() if (module := stage_module(stage))}


def paths(items):
    """The paths of outs or metrics, which may have options."""
    return [next(iter(item)) if isinstance(item, dict) else item for item in items]


def made(stage):
    return [path for kind in ("outs", "metrics", "plots") for path in paths(stage.get(kind, ()))]


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True)
    return [path for name in listed.stdout.decode("utf-8").split("\0") if (path := ROOT / name).is_file()]


def lines_of_code(path):
    text = path.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [node.body[0] for node in ast.walk(ast.parse(text)) if isinstance(node, documented) and node.body]
    told = {
        line
        for first in docstrings
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        for line in range(first.lineno, first.end_lineno + 1)
    }
    layout = {*(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)}
    tokens = (each for each in tokenize.generate_tokens(io.StringIO(text).readline) if each.type not in layout)
    return len({line for each in tokens for line in range(each.start[0], each.end[0] + 1)} - told)


@pytest.mark.parametrize("module", [name for name in MODULES if room(name)])
def test_rooms_are_imported_one_way(module):
    here = room(module)
    for name in imported(module):
        assert name.partition(".")[0] != "pipeline", f"{module} imports {name}"
        there = room(name)
        allowed = there in ("", here) or (LEVEL[there] < LEVEL[here] and (here, there) not in BESIDE)
        assert allowed, f"{module} imports {name}"


def test_every_module_of_the_library_stands_in_a_room():
    outside = {name for name in MODULES if name.startswith("digit_vae") and not room(name)}
    assert outside == {"digit_vae", "digit_vae.__main__"}
    assert {path.name for path in (ROOT / "src/digit_vae").iterdir() if path.is_dir()} - {"__pycache__"} == set(LEVEL)


def test_no_module_imports_itself_through_others():
    for module in MODULES:
        for name in set(imported(module)) & set(MODULES) - {module}:
            assert module == "digit_vae" or module not in closure(name), f"{module} imports {name}, which leads back"


@pytest.mark.parametrize("module", MODULES)
def test_packages_are_imported_only_where_they_belong(module):
    for name in imported(module):
        places = ALLOWED.get(name.partition(".")[0])
        assert places is None or is_in(module, places), f"{module} imports {name}"


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("pipeline.")])
def test_a_stage_is_thin(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) < LONGEST_STAGE
    packages = {name.partition(".")[0] for name in imported(module)}
    assert packages <= {"digit_vae", "numpy", *sys.stdlib_module_names}


def test_packages_run_no_code_but_to_set_what_others_read_when_they_are_loaded():
    """TensorFlow and Keras do so, and MLflow."""
    setting = {"digit_vae", "digit_vae.tracking", "digit_vae.registry"}
    for module, path in MODULES.items():
        if path.name == "__init__.py" and module not in setting:
            assert all(isinstance(node, ast.Expr) for node in tree(module).body), module
    for module in setting:
        others = {name for name in imported(module) if not name.startswith("digit_vae.base.")}
        assert others <= {"os", "sys", "digit_vae.tracking"}


def test_the_core_is_small(record_property):
    files = [path for name, path in MODULES.items() if is_in(name, CORE) and not is_in(name, NO_CORE)]
    code = sum(lines_of_code(path) for path in files)
    record_property("lines of code in the core", code)
    print(f"{code} lines of code in the core's {len(files)} files")
    assert 500 < code < LARGEST_CORE


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_its_module_with_the_code_beside_it(stage):
    name = stage.partition(":")[2]
    if stage in RUNNING:
        module = RUNNING[stage]
        assert name.partition("_")[0] == module.removeprefix("pipeline.")
        assert module in MODULES
    else:
        assert "python" not in STAGES[stage]["cmd"]


@pytest.mark.parametrize("stage", RUNNING)
def test_a_stage_depends_on_the_code_that_decides_what_it_writes(stage):
    module, deps = RUNNING[stage], [Path(dep) for dep in STAGES[stage].get("deps", ())]
    name = module.removeprefix("pipeline.")
    code = [dep for dep in deps if dep.is_relative_to("src")]
    run = {each: MODULES[each].relative_to(ROOT) for each in closure(module)}
    decisive = [path for each, path in run.items() if is_in(each, DECIDING[name]) and path.name != "__init__.py"]
    apart = [run[each] for each in run if is_in(each, APART.get(name, ()))]
    for path in set(decisive) - set(apart):
        assert any(path.is_relative_to(dep) for dep in code), f"{stage} runs {path}"
    for dep in code:
        assert any(path.is_relative_to(dep) for path in decisive), f"{stage} does not run {dep}"


@pytest.mark.parametrize("name", ["train", "evaluate", "classifier"])
def test_no_other_room_of_numbers_is_run(name):
    rooms = {room(each) for each in closure(f"pipeline.{name}")}
    assert rooms & NUMERIC == DECIDING[name]


def test_whoever_made_the_results_is_named_by_each_stage_but_fetch():
    """fetch brings files whose hashes are known: no code decides their bytes."""
    for stage, module in RUNNING.items():
        expected = [] if module == "pipeline.fetch" else [f"{module.replace('.', '/')}.py"]
        assert [dep for dep in STAGES[stage].get("deps", ()) if dep.startswith("pipeline/")] == expected, stage


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_params_that_exist(stage):
    for name in STAGES[stage].get("params", []):
        value = PARAMS
        for key in name.replace(".${item.variant}", "").split("."):
            assert key in value, name
            value = value[key]


@pytest.mark.parametrize(("study", "graph", "work"), STUDIES)
def test_a_study_has_its_stages_in_its_graph(study, graph, work):
    stage = GRAPHS[graph][f"{work}_{study}"]
    axes = {"variant": "variants", "split": "splits", "seed": "seeds"}
    assert list(stage["matrix"].items()) == [(axis, f"${{studies.{study}.{key}}}") for axis, key in axes.items()]


def test_the_page_on_studies_shows_their_stages_and_names_those_on_folds():
    page = (ROOT / "docs/add_a_variant.md").read_text(encoding="utf-8")
    graph = (ROOT / "beyond/dvc.yaml").read_text(encoding="utf-8")
    for work in ("train", "evaluate"):
        stage = re.search(rf"^  {work}_beta:\n(    .*\n)+", graph, re.MULTILINE)
        assert stage[0].replace("beta", "batch") in page
    [named] = re.findall(r"every study on folds \(([^)]*)\)", page)
    on_folds = {study for study, section in PARAMS["studies"].items() if section["splits"] != ["full"]}
    assert set(re.findall(r"`(\w+)`", named)) == on_folds


def test_stages_of_studies_belong_to_studies():
    declared = {f"{graph}:{work}_{study}" for study, graph, work in STUDIES}
    assert {name for name in STAGES if re.search(r":(train|evaluate)_", name)} == declared


@pytest.mark.parametrize("work", ["train", "evaluate"])
def test_all_runs_are_made_in_one_way(work):
    """Whatever their study, and in both graphs, but for the folder of the results."""
    bodies = []
    for study, graph, each in STUDIES:
        if each == work:
            body = {key: value for key, value in GRAPHS[graph][f"{work}_{study}"].items() if key != "matrix"}
            assert body.pop("wdir", None) == (".." if graph == "beyond" else None)
            bodies.append(yaml.safe_dump(body).replace(f"reports/{graph}/", "reports/GRAPH/"))
    assert len(bodies) == len(PARAMS["studies"])
    assert len(set(bodies)) == 1


def test_nothing_that_is_made_beyond_the_paper_is_a_dependency_of_the_papers_graph():
    beyond = [Path(out) for stage in GRAPHS["beyond"].values() for out in made(stage) if "models/" not in out]
    deps = [Path(dep) for stage in GRAPHS["paper"].values() for dep in stage.get("deps", ())]
    assert beyond
    assert not [(out, dep) for out in beyond for dep in deps if out.is_relative_to(dep) or dep.is_relative_to(out)]
    # Runs of both graphs have their models side by side: none of the paper's stages depends on the folder.
    assert not [dep for dep in deps if Path("models").is_relative_to(dep)]


def test_no_other_graph_is_started_by_all_pipelines():
    found = {path.relative_to(ROOT).as_posix() for path in tracked_files() if path.name == "dvc.yaml"}
    assert found == {"dvc.yaml", "beyond/dvc.yaml"}


def test_every_section_of_the_params_belongs_to_a_stage_or_to_a_command():
    named = {name.split(".")[0] for stage in STAGES.values() for name in stage.get("params", [])}
    matrices = set(re.findall(r"\$\{(\w+)\.", yaml.safe_dump(GRAPHS)))
    assert (named | matrices | {"benchmark", "health", "promote", "report", "repro", "search", "verify"}) - {
        "item"
    } == set(PARAMS)


def test_the_schema_for_editors_is_current():
    first, *_ = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    assert first.endswith("$schema=params.schema.json")
    assert (ROOT / "params.schema.json").read_bytes() == json_bytes(json_schema())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_there_and_takes_the_rest_of_the_line(name):
    main = importlib.import_module(COMMANDS[name].module).main
    assert len(inspect.signature(main).parameters) == 1


def test_make_starts_commands_that_exist():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    started = set(re.findall(r"\$\(DIGIT_VAE\) ([a-z-]+)", text))
    assert {"repro", "smoke"} <= started <= set(COMMANDS)


def test_the_version_is_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == digit_vae.__version__
    heading = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert heading.split()[0] == digit_vae.__version__
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    assert cited == (heading if heading.endswith("(unreleased)") else digit_vae.__version__)


def test_nothing_is_unpickled():
    """MLflow's own reader of models may be called: digit_vae.tracking tells it to unpickle nothing. Of joblib only the
    count of cores may be imported.
    """
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        readers = {name for name in imported(module) if name.split(".")[0] in {"pickle", "joblib", "dill"}}
        assert readers in (set(), {"joblib", "joblib.cpu_count"}), module
        assert not re.search(
            r"allow_pickle=True|(?<!pyfunc\.)\bload_model\(|unsafe_load|torch\.load\(|\byaml\.load\((?!.*_StrictLoader)"
            r"|\bimport joblib\b",
            text,
        ), module
        loads = re.findall(r"np\.load\(.*", text)
        assert all("allow_pickle=False" in call for call in loads), module


def test_ci_shows_no_certificate_but_that_of_its_own_run(tmp_path):
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    [step] = [step for step in workflow["jobs"]["verify"]["steps"] if "GITHUB_STEP_SUMMARY" in step.get("run", "")]
    assert step["if"] == "always()"
    certificate, summary = tmp_path / "reports/certificate.md", tmp_path / "summary"
    certificate.parent.mkdir()
    certificate.write_text("committed", encoding="utf-8")
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "a"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)

    def shown():
        summary.unlink(missing_ok=True)
        environment = os.environ | {"GITHUB_STEP_SUMMARY": str(summary)}
        subprocess.run(["bash", "-ec", step["run"]], cwd=tmp_path, env=environment, check=True)
        return summary.read_text(encoding="utf-8")

    without = shown()
    assert "without a certificate" in without
    certificate.write_text("anew", encoding="utf-8")
    assert shown() == "anew"
    certificate.unlink()
    assert shown() == without
    for command in (["rm", "-q", "--cached", "reports/certificate.md"], [*author, "commit", "-qm", "none"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert shown() == without
    certificate.write_text("the first", encoding="utf-8")
    assert shown() == "the first"


def test_ci_verifies_the_results_also_where_a_slow_test_fails():
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["verify"]["steps"]
    commands = [step.get("run") for step in steps]
    assert commands.index("make test-slow") < commands.index("make verify")
    assert steps[commands.index("make verify")]["if"] == "${{ !cancelled() }}"


def test_workflows_pin_their_actions():
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        used = re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))
        assert used, path
        assert all(re.search(r"@(v\d+\.\d+\.\d+|[0-9a-f]{40})$", action) for action in used), path


def test_no_file_names_a_package_registry_or_a_folder_of_somebodys_machine():
    names = ["pypi." + "org", "python" + "hosted", "pypi." + "nvidia", "registry." + "npmjs", "--index" + "-url"]
    names += ["--extra-index" + "-url", "--find" + "-links", "/wo" + "rk/", "/ro" + "ot/", "/Us" + "ers/"]
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in tracked_files()
        for name in names
        if name.encode() in path.read_bytes()
    }
    assert not found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_has_a_version_and_a_hash(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    requirements = text.replace("\\\n", " ").splitlines()
    assert requirements
    for requirement in requirements:
        assert re.match(
            r"[a-z0-9][a-z0-9.-]*(\[[a-z0-9,-]+\])?==[\w.+!]+( ;.*?)?( +--hash=sha256:[0-9a-f]{64})+ *$", requirement
        )
    assert "://" not in text


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_locked(lock):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.sub(r"[._]", "-", re.match(r"[A-Za-z0-9._-]+", each)[0]).lower() for each in wanted}
    locked = set(re.findall(r"^([a-z0-9.-]+)(?:\[\S+\])?==", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))
    assert names <= locked | {re.sub(r"\.", "-", name) for name in locked}


def test_both_locks_agree_on_what_they_share():
    cpu, gpu = (
        dict(re.findall(r"^([a-z0-9.-]+)(?:\[\S+\])?==(\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))
        for lock in LOCKS
    )
    assert {name: gpu.get(name) for name in cpu} == cpu
