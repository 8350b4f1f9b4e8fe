"""A good params.yaml, what becomes of it with one mistake at a time, and with whatever hypothesis thinks of."""

import dataclasses
import re
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from synthetic import SMALL_PARAMS

from digit_vae.base.errors import UserError
from digit_vae.base.files import json_bytes
from digit_vae.base.paths import PARAMS, SCHEMA
from digit_vae.config.loading import json_schema, load_params, read_run_params
from digit_vae.config.runs import run_params, runs

ROOT = Path(__file__).parents[2]
SMALL = SMALL_PARAMS.read_text(encoding="utf-8")


@pytest.fixture
def load(tmp_path):
    """Loads the given text, or the small params.yaml with one passage replaced where it stands first."""

    def load_text(*passages):
        text = passages[0]
        if len(passages) == 2:
            assert passages[0] in SMALL
            text = SMALL.replace(*passages, 1)
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        return load_params(tmp_path / "params.yaml")

    return load_text


def test_values_arrive_as_they_are_written(load):
    params = load(SMALL)
    assert (params.train.epochs, params.train.batch_size, params.train.learning_rate) == (2, 64, 0.001)
    assert params.preprocess.train_images is params.preprocess.test_images is None
    assert params.variants["l1_l2"] == {"kernel_l1": 1e-5, "kernel_l2": 1e-4}
    assert params.variants["baseline"] == {}
    study = params.studies["recipe"]
    assert (study.variants, study.splits, study.seeds) == (("improved",), ("full",), (0, 1))
    assert (study.beside, study.against, study.beyond) == (("paper", "seeds"), "baseline", True)
    assert (params.studies["paper"].beside, params.studies["paper"].against) == ((), None)
    assert len(params.fetch.mirrors) == 2


def test_sections_are_frozen(load):
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(SMALL).train.epochs = 1


def test_the_projects_own_file_is_sound():
    assert runs(load_params(ROOT / PARAMS))


def test_the_committed_schema_is_what_the_classes_say():
    assert (ROOT / SCHEMA).read_bytes() == json_bytes(json_schema())


@pytest.mark.parametrize("path", [ROOT / PARAMS, SMALL_PARAMS])
def test_the_schema_accepts_what_is_loaded(path):
    Draft202012Validator.check_schema(json_schema())
    Draft202012Validator(json_schema()).validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("passage", "mistake"),
    [
        ("  epochs: 2\n", "  epoch: 2\n"),
        ("  epochs: 2\n", "  epochs: 0\n"),
        ("dropout: 0.2", "drop_out: 0.2"),
        ("dropout: 0.2", "dropout: 1.0"),
        ("  dropout:\n", "  Drop-out:\n"),
        ("splits: [full]", "splits: [half]"),
        ("splits: [full]", "splits: [full, full]"),
        ("splits: [full]", "splits: []"),
        ("device: cpu", "device: tpu"),
        ("https://one", "http://one"),
        ("gpus_per_run: 1", "gpus_per_run: 1.5"),
        ("question: Do two runs end alike?", "question: ' '"),
    ],
)
def test_the_schema_shows_an_editor_the_same_mistakes(passage, mistake):
    content = yaml.safe_load(SMALL.replace(passage, mistake, 1))
    assert not Draft202012Validator(json_schema()).is_valid(content)


def test_the_options_of_a_stored_run_are_read_back_or_refused(make_params):
    params = make_params(dropout=0.2, seed=7)
    stored = dataclasses.asdict(params)
    assert read_run_params(stored, "history.json: params") == params
    with pytest.raises(UserError, match=r"^history\.json: params\.epochs: expected a whole .*; received 0 \(int\)"):
        read_run_params(stored | {"epochs": 0}, "history.json: params")
    for content in (None, [], {}, "text"):
        with pytest.raises(UserError, match=r"^history\.json: expected a section with keys and values; received"):
            read_run_params(content, "history.json")
    del stored["epochs"]
    with pytest.raises(UserError, match=r"^history\.json: params: the key 'epochs' is missing"):
        read_run_params(stored, "history.json: params")


@pytest.mark.parametrize("number", ["1e-5", "1.0e-5", "1E-5", "0.00001", "+1e-5", ".1e-4"])
def test_every_way_to_write_a_number_is_a_number(load, number):
    assert load("kernel_l1: 1.0e-5", f"kernel_l1: {number}").variants["l1_l2"]["kernel_l1"] == 1e-5


def test_a_text_of_other_languages_is_read_whatever_the_locale(load):
    question = "Wie ähnlich enden zwei Läufe?"
    assert load("Do two runs end alike?", question).studies["paper"].question == question


@pytest.mark.parametrize(
    ("passage", "mistake", "message"),
    [
        ("train:\n", "traim:\n", r"params\.yaml: unknown key 'traim'; expected one of fetch, preprocess, train, "),
        ("  epochs: 2\n", "  epoch: 2\n", r"train: unknown key 'epoch'; expected one of epochs, batch_size, "),
        ("  epochs: 2\n", "", r"train: the key 'epochs' is missing; received only batch_size, "),
        ("    splits: [full]\n", "", r"studies\.paper: the key 'splits' is missing; received only question, "),
        ("    splits:", "    split:", r"studies\.paper: unknown key 'split'; expected one of question, variants"),
        ("  baseline: {}\n", "  baseline:\n", r"variants\.baseline: expected a section .*; received None"),
        ("  baseline: {}\n", "  baseline: [1]\n", r"variants\.baseline: expected a section .*; received \[1\] \(list"),
        ("dropout: 0.2", "drop_out: 0.2", r"variants\.dropout: unknown key 'drop_out'; expected one of epochs, "),
        ("dropout: 0.2", "seed: 1", r"variants\.dropout: unknown key 'seed'; expected one of epochs, "),
        (
            "dropout: 0.2",
            "dropout: 1.0",
            r"variants\.dropout\.dropout: expected .* and below 1; received 1\.0 \(float\)",
        ),
        ("devices: [cpu]", "devices: []", r"benchmark\.devices: expected a list of at least 1, .*one of cpu, gpu; "),
        ("epochs_compared: 2", "epochs_compared: 1", r"benchmark\.epochs_compared: expected a whole number from 2 .*"),
        ("epochs: 2", "epochs: 0", r"train\.epochs: expected a whole number from 1 .*; received 0 \(int\)"),
        ("epochs: 2", "epochs: 2.0", r"train\.epochs: expected a whole number .*; received 2\.0 \(float\)"),
        ("epochs: 2", "epochs: '2'", r"train\.epochs: expected a whole number .*; received '2' \(str\)"),
        ("epochs: 2", "epochs: true", r"train\.epochs: expected a whole number .*; received True \(bool\)"),
        ("epochs: 2", "epochs:", r"train\.epochs: expected a whole number .*; received None \(NoneType\)"),
        ("epochs: 2", "epochs: [2]", r"train\.epochs: expected a whole number .*; received \[2\] \(list\)"),
        ("epochs: 2", "epochs: 2020-01-01", r"train\.epochs: expected a whole number .*; received '2020-01-01' "),
        ("epochs: 2", "epochs: 010", r"train\.epochs: expected a whole number .*; received '010' \(str\)"),  # 8 or 10
        ("epochs: 2", "epochs: 1:30", r"train\.epochs: expected a whole number .*; received '1:30' \(str\)"),
        ("epochs: 2", "epochs: ٢", r"train\.epochs: expected a whole number .*; received '٢' \(str\)"),
        ("epochs: 2", f"epochs: 0x{'F' * 4000}", r"train\.epochs: expected .*; received '0xF+\.\.\.F+' \(str\)"),
        ("folds: 3", "folds: 1", r"preprocess\.folds: expected a whole number from 2 to 20; received 1 \(int\)"),
        (
            "train_images: null",
            "train_images: 99",
            r"preprocess\.train_images: .* from 100 to 2147483647, or null; received 99",
        ),
        (
            "beta: 2.0",
            "beta: -0.1",
            r"variants\.beta_2\.beta: expected a finite number of at least 0 and at most 1e\+06; received -0\.1 ",
        ),
        ("beta: 2.0", "beta: .nan", r"variants\.beta_2\.beta: expected a finite number .*; received nan \(float\)"),
        ("beta: 2.0", "beta: .inf", r"variants\.beta_2\.beta: expected a finite number .*; received inf \(float\)"),
        ("beta: 2.0", "beta: 1e999", r"variants\.beta_2\.beta: expected a finite number .*; received inf \(float\)"),
        ("beta: 2.0", f"beta: 1{'0' * 400}", r"variants\.beta_2\.beta: expected a finite number .*; received "),
        ("beta: 2.0", "beta: two", r"variants\.beta_2\.beta: expected .*; received 'two' \(str\)"),
        ("kl_nats: 4.0", "kl_nats: -1", r"verify\.kl_nats: expected a finite number of at least 0; received"),
        ("later: 19.3", "later: -1", r"verify\.nats\.later: expected a finite number of at least 0; received"),
        ("nats: {first: 0.8, ", "nats: {", r"verify\.nats: .*first"),
        ("learning_rate: 0.001", f"learning_rate: {'1:' * 300}1.0", r"train\.learning_rate: expected .*\.0' \(str\)"),
        ("active_unit_variance: 0.01", "active_unit_variance: 0", r"evaluate\..*: expected .* above 0; received 0"),
        ("batch_norm: false", "batch_norm: 1", r"train\.batch_norm: expected true or false; received 1 "),
        ("batch_norm: false", "batch_norm: no", r"train\.batch_norm: expected true or false; received 'no' "),
        ("device: cpu", "device: tpu", r"train\.device: expected one of cpu, gpu; received 'tpu' \(str\)"),
        ("clip_norm: null", "clip_norm: 0", r"train\.clip_norm: expected .* above 0, or null; received 0"),
        ("adam_beta_2: 0.999", "adam_beta_2: 0", r"train\.adam_beta_2: expected .* above 0 and below 1; received 0"),
        ("adam_beta_2: 0.999", "adam_beta_2: 1", r"train\.adam_beta_2: expected .* above 0 and below 1; received 1"),
        ("gpus_per_run: 1", "gpus_per_run: 1.5", r"repro\.gpus_per_run: expected a number above 0 .*; received 1\.5 "),
        ("gpus_per_run: 1", "gpus_per_run: 0", r"repro\.gpus_per_run: expected .* whole number up to 8; received 0"),
        ("gpus_per_run: 1", "gpus_per_run: 9", r"repro\.gpus_per_run: expected .* whole number up to 8; received 9"),
        ("power: 0.8", "power: 0.8\n  chose: {baseline: [fold0]}", r"compare\.chose\.baseline\.0: .*seed.*'fold0'"),
        ("power: 0.8", "power: 0.8\n  chose: {baseline: []}", r"compare\.chose\.baseline: .*at least 1.*\[\]"),
        ("power: 0.8", "power: 0.8\n  chose: {nobody: [fold0-0]}", r"compare\.chose: .*variants.*'nobody'"),
        ("splits: [full]", "splits: [full, half]", r"studies\.paper\.splits\.1: expected full, or fold0.*'half'"),
        ("splits: [full]", "splits: [fold01]", r"studies\.paper\.splits\.0: expected .*; received 'fold01'"),
        ("splits: [full]", "splits: [full, full]", r"studies\.paper\.splits: .* without repetitions, .*, 'full'\]"),
        ("splits: [full]", "splits: []", r"studies\.paper\.splits: expected a list of at least 1, .*received \[\] \("),
        ("splits: [full]", "splits: full", r"studies\.paper\.splits: expected a list .*; received 'full' \(str\)"),
        ("splits: [full]", "splits: {full: 1}", r"studies\.paper\.splits: expected a list .*; received \{'full': 1\}"),
        ("seeds: [0, 1]", "seeds: [0, -1]", r"studies\.paper\.seeds\.1: expected a whole number from 0 .*received -1"),
        ("seeds: [0, 1]", "seeds: [0, 0]", r"studies\.paper\.seeds: .* without repetitions, .*received \[0, 0\]"),
        ("beyond: true", "beyond: yes", r"studies\.seeds\.beyond: expected true or false; received 'yes'"),
        ("  paper:\n", "  The paper:\n", r"studies: expected names of the characters .*; received 'The paper'"),
        ("  dropout:\n", "  Drop-out:\n", r"variants: expected names of the characters .*; received 'Drop-out'"),
        ("  dropout:\n", "  ../out:\n", r"variants: expected names of the characters .*; received '\.\./out'"),
        ("  dropout:\n", '  "":\n', r"variants: expected names of the characters .*; received ''"),
        (
            "question: Do two",
            'question: ""  # Do two',
            r"studies\.paper\.question: expected a printable text; ",
        ),
        ("  folder: null", "  folder: ''", r"fetch\.folder: expected a printable text, or null; received '' "),
        ("https://one", "http://one", r"fetch\.mirrors\.0: expected an https:// address .*; received 'http://one"),
        ("some-data@1.2.3", "some-data", r"fetch\.npm_package: expected name@version .*; received 'some-data'"),
        ("some-data@1.2.3", "../x@1.2.6", r"fetch\.npm_package: expected name@version .*; received '\.\./x@1\.2\.6'"),
        ("some-data@1.2.3", "--pack@1.2.6", r"fetch\.npm_package: expected .*; received '--pack@1\.2\.6'"),
        ("timeout_seconds: 60", "timeout_seconds: 0", r"fetch\.timeout_seconds: expected .* above 0 .*; received 0"),
    ],
)
def test_a_mistake_is_refused_with_key_expectation_and_value(load, passage, mistake, message):
    with pytest.raises(UserError, match=f"^{message}"):
        load(passage, mistake)


@pytest.mark.parametrize("content", ["", "# nothing\n", "[]", "- train", "train", "1", "null", "{}"])
def test_a_file_that_is_no_mapping_is_refused(load, content):
    with pytest.raises(UserError, match=r"^params\.yaml: expected a section with keys and values; received"):
        load(content)


@pytest.mark.parametrize("content", ["", "[]", "{}", "1", "text"])
@pytest.mark.parametrize("section", ["verify", "variants", "studies"])
def test_a_section_that_is_no_mapping_is_refused(load, section, content):
    values = yaml.safe_load(SMALL)
    del values[section]
    with pytest.raises(UserError, match=rf"^{section}: expected a section with keys and values; received "):
        load(yaml.safe_dump(values) + f"\n{section}: {content}\n")


@pytest.mark.parametrize(
    ("passage", "mistake", "message"),
    [
        ("  epochs: 2\n", "  epochs: 2\n  epochs: 20\n", r"the key 'epochs' stands twice .*: epochs: 20 \^"),
        ("  dropout:\n", "  baseline:\n", r"the key 'baseline' stands twice"),
        ("  dropout:\n", "  7:\n", r"expected a text as key .* 7: \^"),
        ("  dropout:\n", "  true:\n", r"expected a text as key .* true: \^"),
        ("  epochs: 2\n", "  epochs: 2\n  ~: 2\n", r"expected a text as key"),
        ("  epochs: 2\n", "\tepochs: 2\n", r"found character '\\t'"),
        ("  folder: null", '  folder: "\\uD800"', r"expected a printable text"),
        ("  folder: null", '  folder: "a\\nb"', r"expected a printable text"),
        (
            "epochs: 2",
            "epochs: !!python/object/apply:os.getpid []",
            r"expected no tag, anchor or alias .*: epochs: !!python",
        ),
        ("epochs: 2", 'epochs: !!int ""', r"expected no tag, anchor or alias"),
        ("epochs: 2", "epochs: &loop [*loop]", r"expected no tag, anchor or alias"),
        ("epochs: 2", "epochs: *unknown", r"expected no tag, anchor or alias"),
        ("epochs: 2", "? [epochs]\n  : 10", r"expected a text as key"),
        ("epochs: 2", f"epochs: {'1' * 5000}", r"4300 digits"),
        ("epochs: 2", f"epochs: {'[' * 2000}", r"recursion"),
        ("epochs: 2", "epochs: [10", r"expected ',' or ']'"),
        ("epochs: 2", "epochs: 10: 10", r"mapping values are not allowed here"),
        ("epochs: 2", "epochs: \x00", r"special characters are not allowed"),
        ("epochs: 2", "epochs: 10\n---\n", r"expected a single document"),
    ],
)
def test_what_yaml_cannot_or_must_not_read_is_refused_in_one_line(load, passage, mistake, message):
    with pytest.raises(UserError, match=rf"^[^\n]*params\.yaml cannot be read: [^\n]*{message}[^\n]*$"):
        load(passage, mistake)


def test_a_merge_is_no_more_than_a_key(load):
    with pytest.raises(UserError, match=r"^train: unknown key '<<'"):
        load("  epochs: 2\n", "  epochs: 2\n  <<: {beta: 2.0}\n")


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"params\.yaml is missing"):
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
SMALL_VALUES = yaml.safe_load(SMALL)
numbers = st.integers(-(10**400), 10**400) | st.integers(-5, 70_000) | st.floats()
words = st.text() | st.sampled_from(["full", "fold1", "cpu", "gpu", "baseline-full-0", "https://a/", "1e5", "yes", "~"])
words |= st.sampled_from(["baseline", "dropout", "paper", "beta_2", "epochs"])
scalars = st.none() | st.booleans() | numbers | words | st.binary() | st.dates()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | numbers, inner, max_size=3)
)
# What another section may say about a value that is right by itself.
BY_REFERENCE = r"report\.|publish\.|studies|preprocess\.train_images|variants: expected an entry"


@settings(cases, max_examples=400)
@given(st.sampled_from(every_path(SMALL_VALUES)), values)
def test_any_value_anywhere_runs_or_is_refused_with_key_expectation_and_value(path, value):
    content = yaml.safe_load(SMALL)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    refusal = load_or_refuse(yaml.safe_dump(content, allow_unicode=True).encode())
    if refusal is not None and not re.match(r"params\.yaml cannot be read: [^\n]+$", refusal):
        assert re.match(rf"{re.escape('.'.join(path))}\b|{BY_REFERENCE}", refusal)
        assert re.search(
            r": (expected [^\n]+; received [^\n]+|unknown key [^\n]+; expected [^\n]+|.+ is missing; .+)$", refusal
        )


hostile = [*"\t{}[]\"'|>%@`\r\0\x85\ufeff", "&a ", "*a", "!!python/name:os.system ", "!!binary ", "!x ", "<<: ", "? "]
hostile += ["0x" + "F" * 4000, "010", ":".join("1" * 3000), ":".join("1" * 300) + ".0", '"\\uD800"', '"\\0"']
hostile += ["- ", ": ", " #", "---\n", "...\n", ".nan", "-.inf", "1e999", "9" * 5000, "[" * 3000, "{a: " * 1000]


@settings(cases, max_examples=300)
@given(st.data(), st.sampled_from(hostile) | st.text(max_size=5))
def test_any_text_inserted_anywhere_runs_or_is_refused(data, text):
    place = data.draw(st.integers(0, len(SMALL)))
    refusal = load_or_refuse((SMALL[:place] + text + SMALL[place:]).encode(errors="surrogatepass"))
    assert refusal is None or re.fullmatch(r"[^\n]+", refusal)


@settings(cases, max_examples=100)
@given(st.data())
def test_any_line_that_stands_twice_or_is_lost_runs_or_is_refused(data):
    lines = SMALL.splitlines(keepends=True)
    line, place = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    twice, lost = [*lines[:place], lines[line], *lines[place:]], [*lines[:line], *lines[line + 1 :]]
    refusals = [load_or_refuse("".join(each).encode()) for each in (twice, lost)]
    assert all(refusal is None or re.fullmatch(r"[^\n]+", refusal) for refusal in refusals)


@settings(cases, max_examples=100)
@given(st.binary())
def test_any_bytes_are_refused(content):
    assert load_or_refuse(content)
