import pytest
from jinja2 import UndefinedError

from digit_vae.report.pages import TEMPLATES, Page, rendered, tidy
from digit_vae.report.paper import TABLE_1
from digit_vae.report.tables import Table


def test_paragraphs_and_points_become_a_line_each():
    text = "# A\n\nfirst\nline\n\n\n- a\n b\n- c\n\n| x |\n| --- |\n\n![a](b)\n"
    assert tidy(text) == "# A\n\nfirst line\n\n- a b\n- c\n\n| x |\n| --- |\n\n![a](b)\n"


def test_what_stands_in_details_stays_as_it_is():
    text = "<details><summary>t</summary>\n\n| x |\n| --- |\n\n</details>\n"
    assert tidy(text) == text


def test_a_value_that_a_template_lacks_is_an_error_and_not_a_gap():
    with pytest.raises(UndefinedError):
        rendered("speed", Page({}))


def test_a_page_shows_its_tables():
    table = Table(("Machine",), (("some CPU",),))
    ends = {"float32": None, "mixed_bfloat16": None}
    values = {"measured": True, "paper": TABLE_1, "compared": False, "full_epochs": [], "ends": ends}
    text = rendered("speed", Page(values, {"benchmarks": table}))
    assert table.markdown() in text
    assert "(tables/benchmarks.csv)" in text


def test_every_template_but_the_shared_phrases_is_a_page():
    names = {path.name.removesuffix(".md.j2") for path in TEMPLATES.glob("*.j2")}
    paper = {"paper", "speed", "ablation", "likelihood", "latent", "runs"}
    assert names == paper | {
        "studies",
        "seeds",
        "recipe",
        "beta",
        "repetitions",
        "longer",
        "summary",
        "readme",
        "macros",
    }
