"""Page `index`: what was asked, what came out, and Table I beside the paper's."""

from digit_vae.report.summary import page as summary
from digit_vae.site.pages import Project, SitePage


def page(project: Project) -> SitePage:
    return SitePage(dict(summary(project.results).values))
