"""All pages."""

from __future__ import annotations

from service.console.looker import Page
from service.console.pages import (
    alerts,
    approvals,
    audit,
    budgets,
    capabilities,
    decisions,
    deployments,
    experiments,
    reviews,
    savings,
    serving,
    timeline,
    workflows,
)

PAGES: tuple[Page, ...] = (
    serving.PAGE, deployments.PAGE, deployments.ONE, capabilities.PAGE, decisions.PAGE,
    decisions.ONE, experiments.PAGE, experiments.ONE, alerts.PAGE, reviews.PAGE, approvals.PAGE,
    budgets.PAGE, savings.PAGE, workflows.PAGE, workflows.ONE, workflows.RUN, timeline.PAGE,
    audit.PAGE,
)  # fmt: skip
