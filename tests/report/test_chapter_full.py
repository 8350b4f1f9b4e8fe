import dataclasses

import pytest

from digit_vae.report import chapter_recipe
from digit_vae.report.chapter_full import beside_seeds, full_section
from digit_vae.report.pages import rendered

LOSSES = {"baseline": (155.0, 154.0, 157.0, 159.0, 155.0), "improved": (149.5, 150.5, 150.0), "warmup": (149.0,)}


@pytest.fixture
def seeded(results):
    """Runs with these losses; the dead hidden units are the loss less 143."""
    for variant, losses in LOSSES.items():
        for seed, loss in enumerate(losses):
            last = results.runs[f"{variant}-full-{seed}"].history["epochs"][-1]
            last["val_loss"] = loss
            last["health"]["dead_units"]["hidden"] = int(loss) - 143
    return results


def test_variants_stand_beside_the_seeds(seeded):
    baseline, warmup, improved = beside_seeds(seeded, "cures").rows
    assert baseline[:8] == (
        "baseline",
        "",
        5,
        (156.0, 2.0),
        None,
        None,
        (pytest.approx(13.0), pytest.approx(2.0)),
        (0, 0),
    )
    assert warmup[:8] == ("warmup", "warmup_steps 5", 1, (149.0, None), -3.5, 0, (6, None), (0, None))
    assert improved[:4] == (
        "improved",
        "hidden_bias 1.0, warmup_steps 5, final_learning_rate 0.0, learning_rate 0.003",
        3,
        (150.0, 0.5),
    )
    of_warmup = seeded.runs["warmup-full-0"].metrics["likelihood"]
    assert warmup[8:] == (
        (of_warmup["grey"]["elbo"], None, "grey"),
        (of_warmup["binarised"]["log_likelihood"], None, "binarised"),
    )


@pytest.mark.parametrize(
    ("loss", "better", "worse"), [(149.0, True, False), (156.5, False, False), (163.0, False, True)]
)
def test_only_what_another_seed_would_not_give_is_called_better_or_worse(seeded, loss, better, worse):
    """One more seed is expected between 149.92 and 162.08."""
    seeded.runs["warmup-full-0"].history["epochs"][-1]["val_loss"] = loss
    reading = full_section(seeded, "cures").readings[0]
    assert (reading.run, reading.better, reading.worse) == ("warmup-full-0", better, worse)


def test_another_variant_whose_seeds_end_alike_is_named(seeded):
    """One more seed of `improved` is expected between 147.5 and 152.5."""
    assert full_section(seeded, "cures").readings[0].like == ["improved"]
    seeded.runs["warmup-full-0"].history["epochs"][-1]["val_loss"] = 156.0
    section = full_section(seeded, "cures")
    assert section.readings[0].like == []
    assert (section.seeds, section.dead, section.readings[0].asleep) == (5, (11, 16), 1)


@pytest.mark.parametrize("like", [[], ["improved"]])
@pytest.mark.parametrize("asleep", [0, 2])
def test_what_is_said_of_a_run_is_one_point_of_a_list(seeded, like, asleep):
    found = chapter_recipe.page(seeded, {})
    section = full_section(seeded, "cures")
    readings = [dataclasses.replace(each, like=like, asleep=asleep) for each in section.readings]
    cures = dataclasses.replace(section, readings=readings)
    text = rendered("recipe", dataclasses.replace(found, values={**found.values, "cures": cures}))
    points = next(block for block in text.split("\n\n") if block.startswith("- `warmup-full-0`")).splitlines()
    assert len(points) == len(readings)
    assert all(point.startswith("- ") and "hidden units are dead" in point for point in points)
    assert all((f"{asleep} epochs" in point) == bool(asleep) for point in points)


def test_other_latent_dimensions_have_no_integral(seeded):
    seeded.runs["warmup-full-0"].metrics["likelihood"]["binarised"].pop("log_likelihood")
    assert beside_seeds(seeded, "cures").rows[1][-1] is None


def test_a_study_that_compares_nothing_on_all_images_has_no_section(seeded):
    assert full_section(seeded, "seeds") is None
    assert full_section(seeded, "recipe_folds") is None
