import json

import pytest
from example_project import write_project

from digit_vae.config.params import load_params
from digit_vae.report.report_latent import section
from pipeline import compare, plot


@pytest.fixture
def evaluated(tmp_path, monkeypatch, no_arguments):  # noqa: ARG001 - for what it does
    monkeypatch.chdir(tmp_path)
    variants = {"baseline": {"splits": ["full"]}, "second_run": {"splits": ["full"], "seed": 1}}
    write_project(tmp_path, evaluate={"digits": 4, "grid": 3}, variants=variants)
    compare.main()
    return tmp_path


def test_its_numbers_are_those_of_the_files(evaluated):
    path = evaluated / "reports/metrics/runs/baseline-full.json"
    content = json.loads(path.read_text())
    content["latent"] |= {"knn_accuracy": 0.6784, "silhouette": -0.0312, "mutual_information": 5.123}
    content["quality"]["samples"]["frechet"] = 123.45
    path.write_text(json.dumps(content))
    judge = {"accuracy": 0.9931, "confidence": 0.99, "frechet_train": 0.77}
    (evaluated / "reports/metrics/classifier.json").write_text(json.dumps(judge))
    text = " ".join(section(plot.load_results(load_params()), mapped=True))
    assert "5.12 are information about the image" in text
    assert "name the digit of 67.8 % of the test images" in text
    assert "silhouette of the digits is \N{MINUS SIGN}0.03 " in text
    assert "The classifier is right on 99.3 % of the test images" in text
    assert "123.5 for digits from the prior" in text
    assert "for as many training images it is 0.8." in text


@pytest.mark.usefixtures("evaluated")
def test_the_map_is_there_only_where_it_was_drawn():
    results = plot.load_results(load_params())
    assert "](figures/latent_map.png)" in " ".join(section(results, mapped=True))
    assert "latent_map" not in " ".join(section(results, mapped=False))
