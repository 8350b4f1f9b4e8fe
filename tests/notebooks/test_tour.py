"""The notebook: it runs from a clean state on few images, and what is committed of it was made so."""

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from synthetic import write_processed

from digit_vae.config.loading import load_params

ROOT = Path(__file__).parents[2]
TOUR = Path("notebooks/tour.ipynb")
READ = ("params.yaml", "reports/paper/runs", "reports/beyond", "src")  # besides the data
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": sys.argv[2]}}).execute()
nbformat.write(notebook, sys.argv[1])
"""
LARGEST = 700_000  # bytes, most of them pictures


def committed():
    return nbformat.read(ROOT / TOUR, as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def pictures(notebook):
    return [output["data"]["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})]


@pytest.mark.integration
def test_it_runs_from_a_clean_state(tmp_path, digits):
    for name in READ:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    write_processed(tmp_path, digits, load_params(ROOT / "params.yaml"))
    notebook = committed()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / TOUR)
    subprocess.run([sys.executable, "-c", EXECUTE, TOUR, "notebooks"], cwd=tmp_path, check=True)
    made = nbformat.read(tmp_path / TOUR, as_version=4)
    assert len(pictures(made)) == len(pictures(committed()))


def test_its_outputs_were_made_in_one_go():
    code = [cell for cell in committed().cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(cell.outputs for cell in code[2:])


def test_its_outputs_are_small_and_name_no_machine():
    text = (ROOT / TOUR).read_text(encoding="utf-8")
    assert len(text) < LARGEST
    assert not [output for output in outputs(committed()) if output.get("name") == "stderr"]
    shown = pictures(committed())
    assert len(shown) >= 5
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in shown)
    assert not [name for name in ("/ho" + "me/", "/tm" + "p/") if name in text]


def test_its_printed_numbers_are_those_of_the_comparison():
    """It fails after `make beyond` changed the comparison, until the notebook is executed anew."""
    compared = json.loads((ROOT / "reports/beyond/comparisons/recipe_folds.json").read_text(encoding="utf-8"))
    elbo, folds = compared["improved"]["validation"]["elbo"], compared["improved"]["folds"]
    printed = "".join(output["text"] for output in outputs(committed()) if output.get("name") == "stdout")
    mean, difference = re.findall(r"^improved.*", printed, re.MULTILINE)
    assert mean == f"improved: ELBO {elbo['mean']:.2f}, standard deviation {elbo['std']:.2f}, over {folds} folds"
    interval = f"[{elbo['difference_low']:+.2f}, {elbo['difference_high']:+.2f}]"
    assert difference == f"improved - baseline: {elbo['difference']:+.2f} nats {interval}, p {elbo['p_holm']:.2g}"


def test_it_says_whether_colab_was_tried():
    assert "Colab was not tried" in "".join(cell.source for cell in committed().cells if cell.cell_type == "markdown")
