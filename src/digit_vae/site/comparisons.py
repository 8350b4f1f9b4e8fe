"""Page `comparisons`: what the runs say of each question, to look at, with every number as CSV and its source."""

from collections.abc import Callable, Sequence

from digit_vae.site import (
    chapter_beta,
    chapter_folds,
    chapter_health,
    chapter_likelihood,
    chapter_longer,
    chapter_power,
    chapter_samples,
    chapter_search,
    chapter_seeds,
)
from digit_vae.site.chapters import Chapter
from digit_vae.site.charts import charts_json
from digit_vae.site.pages import Project, SitePage

DATA = "data/comparisons.json"
CHAPTERS: Sequence[Callable[[Project], Sequence[Chapter]]] = (
    chapter_folds.chapters,
    chapter_power.chapters,
    chapter_beta.chapters,
    chapter_seeds.chapters,
    chapter_longer.chapters,
    chapter_search.chapters,
    chapter_health.chapters,
    chapter_likelihood.chapters,
    chapter_samples.chapters,
)


def page(project: Project) -> SitePage:
    chapters = [chapter for make in CHAPTERS for chapter in make(project)]
    charts = {name: chart for chapter in chapters for name, (_, chart) in chapter.charts.items()}
    files = {each.file: each.table.csv() for chapter in chapters for each in chapter.numbers}
    sources = list(dict.fromkeys(path for chapter in chapters for path in chapter.sources))
    return SitePage({"chapters": chapters, "data": DATA}, {DATA: charts_json(charts), **files}, sources)
