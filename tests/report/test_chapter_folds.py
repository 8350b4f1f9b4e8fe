import numpy as np
import pytest
from example_project import FOLDS, STUDIES, compared, example_results, study

from digit_vae.report import chapter_folds
from digit_vae.report.pages import rendered


def test_the_differences_of_every_fold_stand_with_their_tests(results):
    ablation = compared(results, "ablation")
    row = next(row for row in chapter_folds.fold_by_fold(ablation).rows if row[:2] == ("dropout", "ELBO"))
    metric = ablation.variants["dropout"]["validation"]["elbo"]
    assert np.mean(row[2:5]) == pytest.approx(metric["difference"])
    assert row[5] == (metric["difference"], metric["difference_low"], metric["difference_high"])
    assert row[6:9] == (metric["p"], metric["p_holm"], metric["hedges_g"])
    assert row[9] == (metric["bootstrap_low"], metric["bootstrap_high"])


def test_the_variant_that_others_are_compared_with_has_no_difference(results):
    baseline, dropout = chapter_folds.losses(compared(results, "ablation")).rows
    assert (baseline[0], baseline[1], baseline[3], baseline[5], baseline[7]) == ("baseline", 3, None, None, None)
    assert dropout[0] == "dropout"
    assert None not in dropout


def test_folds_of_several_seeds_have_a_column_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = STUDIES | {"ablation": study(["baseline", "dropout"], FOLDS, [0, 1], against="baseline")}
    found = compared(example_results(tmp_path, "paper", studies=more), "ablation")
    header = chapter_folds.fold_by_fold(found).header
    assert header[2:8] == tuple(f"Fold {fold}, seed {seed}" for fold in range(3) for seed in (0, 1))
    assert "(1/6 + 1/2)" in rendered("ablation", chapter_folds.page([found]))


def test_the_page_tells_each_study_its_tests_and_its_folds(results):
    page = chapter_folds.page([compared(results, "ablation")])
    text = rendered("ablation", page)
    assert "(1/3 + 1/2)" in text
    assert "family-wise level of 0.05" in text
    assert "Equivalence is tested at a single level of 0.05" in text
    assert (set(page.tables), set(page.figures)) == ({"ablation", "ablation_by_fold"}, {"ablation"})


@pytest.mark.parametrize(("p", "word"), [(0.01, "higher than `baseline`"), (0.2, "no detectable difference")])
def test_the_page_says_what_the_adjusted_p_says(results, p, word):
    found = compared(results, "ablation")
    for key in ("elbo", "reconstruction_loss"):
        found.variants["dropout"]["validation"][key] |= {"difference": 1.0, "p_holm": p}
    line = next(
        line for line in rendered("ablation", chapter_folds.page([found])).splitlines() if "- `dropout`" in line
    )
    assert line.count(word) == 2


def test_several_machines_are_warned_of(results):
    text = rendered("ablation", chapter_folds.page([compared(results, "ablation")]))
    machine = results.runs["dropout-fold0-0"].timings["machine"]
    results.runs["dropout-fold0-0"].timings["machine"] = machine | {"cpu": "Another"}
    assert "2 machines" in rendered("ablation", chapter_folds.page([compared(results, "ablation")]))
    assert "machines" not in text


def test_a_graph_without_a_study_on_folds_has_a_page_all_the_same():
    assert "compares" in rendered("ablation", chapter_folds.page([]))
