"""Budgets and prices, made as the plan says and joined to the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from service.domain.catalog import Deployment
from service.domain.money import tariffs
from service.operating.budgets import BudgetDesk, DeskParts
from service.plan.whole import Plan
from service.routing.budgets import BudgetRules, Budgets
from service.runtime import Runtime
from service.storage.batch_file import posted_decisions
from service.storage.spent import priced_from, unsaid


def budget_rules(plan: Plan) -> BudgetRules:
    """What the plan says of budgets."""
    wanted = plan.budgets
    return BudgetRules(
        tuple(each.budget() for each in wanted.named), ZoneInfo(wanted.time_zone),
        wanted.reserve_output_tokens,
    )  # fmt: skip


def attach_budgets(runtime: Runtime, book: Budgets) -> None:
    """Give a runtime its budgets, with what is spent already; prices that are new are logged."""
    kept = runtime.kept
    runtime.budgets = BudgetDesk(book, DeskParts(kept.database, kept.log, runtime.clock))
    runtime.budgets.open(
        budget_rules(runtime.plan), runtime.catalog, posted_decisions(kept.state_dir)
    )
    if runtime.budgets.cut_off:
        runtime.notices.append(
            f"{runtime.budgets.cut_off} requests were under way when the service was killed: "
            "budgets count what these may have cost at most"
        )
    log_tariffs(runtime, runtime.catalog)


def log_tariffs(runtime: Runtime, catalog: Sequence[Deployment]) -> None:
    """Log the prices of a catalogue that the log does not say yet, and that one which an earlier
    plan gave from some day on no longer holds.
    """
    cursor = runtime.kept.database.cursor()
    found = tariffs(catalog, runtime.clock.wall_us(), priced_from(cursor))
    for each in unsaid(cursor, found):
        runtime.kept.log.append(each)
