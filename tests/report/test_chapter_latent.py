import pytest
from example_project import compared

from digit_vae.report import chapter_latent
from digit_vae.report.pages import rendered


@pytest.fixture
def beta(results):
    found = compared(results, "beta")
    for variant in found.others.values():
        for metric in (*variant["latent"].values(), *variant["quality"]["samples"].values()):
            metric["p_holm"] = 0.5
    found.variants["beta_0_5"]["latent"]["knn_accuracy"]["detectable"] = 0.07
    found.variants["beta_2"]["latent"]["knn_accuracy"] |= {"difference": -0.05, "p_holm": 0.01}
    return found


def test_numbers_of_the_latent_space_are_judged_one_by_one(beta):
    said = chapter_latent.readings(beta)
    outcomes = {each.variant: each.outcome for each in said["apart"]["latent"]["kNN accuracy"]}
    assert outcomes == {"beta_0_5": "same", "beta_2": "lower"}
    assert list(said["apart"]["latent"]) == ["kNN accuracy"]
    assert "silhouette" in said["same"]["latent"]


def test_the_page_names_who_differs_and_who_does_not(results, beta):
    text = rendered("latent", chapter_latent.page(results, "beyond", [beta]))
    line = next(line for line in text.splitlines() if line.startswith("- kNN accuracy"))
    assert line.index("lower than `baseline`") < line.index("`beta_2`") < line.index("`beta_0_5`")
    assert "smallest detectable" in line
    assert "nats" not in line  # an accuracy has no unit
    assert "information error" not in text
    assert "latent_map" not in text


def test_the_latent_table_has_the_ends_of_the_kl(results, beta):
    for fold, values in enumerate(((1.0, 5.0), (6.0, 2.0), (3.0, 4.0))):
        kl = dict(zip(("z0", "z1"), values, strict=True))
        results.runs[f"baseline-fold{fold}-0"].metrics["test"]["kl_per_dimension"] = kl
    row = chapter_latent.latent(beta).rows[0]
    assert (row[0], row[-3].mean, row[-2].mean) == ("baseline", 2.0, 5.0)


def test_the_first_runs_latent_space_is_told_in_the_papers_graph(results):
    results.runs["baseline-full-0"].metrics["latent"]["knn_accuracy"] = 0.6789
    page = chapter_latent.page(results, "paper", [compared(results, "ablation")])
    text = rendered("latent", page)
    assert "67.9 %" in text
    assert "latent_map.png" in text
    names = {f"ablation_{section}{suffix}" for section in ("latent", "quality") for suffix in ("", "_differences")}
    assert set(page.tables) == names | {"ablation_mixture", "first_samples"}
    quality = results.runs["baseline-full-0"].metrics["quality"]
    rows = {row[0]: row[1:] for row in page.tables["first_samples"].rows}
    assert rows["mixture"][2:] == tuple(quality["mixture"][key] for key in ("frechet", "precision", "recall"))
    assert rows["prior"][0] == quality["samples"]["confidence"]
    assert rows["real images"] == (0.99, 1.0, 0.8, 0.86, 0.87)
