"""Page `runs`: every declared run."""

from digit_vae.config.runs import runs
from digit_vae.site.pages import Project, SitePage


def page(project: Project) -> SitePage:
    found = project.results.runs
    return SitePage({"declared": [(run, found.get(run.name)) for run in runs(project.params)]})
