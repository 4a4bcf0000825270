"""Alerts in words: what is sent, what the status says, what the day's digest lists."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from service.domain.alerts import Alert, Severity, Step
from service.monitoring.notify import Notice
from service.monitoring.rules import ALERT_RULES, Finding
from service.plan.alerts import AlertsPlan

LISTED = 20  # alerts in a digest; the rest are counted


def link_to(plan: AlertsPlan, alert_id: str = "") -> str:
    """Where to look: the console's page of it, else the runbook."""
    if plan.console_url is not None:
        at = f"/{alert_id}" if alert_id else ""
        return f"{plan.console_url.rstrip('/')}/alerts{at}"
    return plan.runbook_url or ""


def notice_of(alert: Alert, plan: AlertsPlan, said: str = "") -> Notice:
    """What people are told of an alert as it now stands; ``said``: what is new of it."""
    rule = ALERT_RULES.get(alert.rule)
    first = rule.severity if rule else alert.severity
    severities = tuple(dict.fromkeys((alert.severity.value, first.value)))
    where = f" ({alert.scope})" if alert.scope else ""
    if alert.resolved_us is not None:
        event, text = "alert.resolved", f"over: {alert.rule}{where}: {said or alert.text}"
    elif said and alert.paged_us is not None:
        event, text = "alert.paged", f"PAGE: {alert.rule}{where} {said}"
        severities = (Severity.PAGE.value,)
    else:
        done = [each.text for each in alert.events if each.step is Step.ACTED]
        event, text = "alert.fired", "; ".join([f"{alert.rule}{where}: {alert.text}", *done])
    return Notice(
        event, alert.id, alert.fired_us, text, alert.resolved_us is not None, severities,
        link_to(plan, alert.id),
    )  # fmt: skip


def warning(alert: Alert, finding: Finding | None) -> str:
    """An alert that lasts, for the status."""
    since = datetime.fromtimestamp(alert.fired_us / 1e6, UTC).strftime("%H:%M")
    seen = f", acknowledged by {alert.acknowledged_by}" if alert.acknowledged_by else ""
    words = finding.words if finding and finding.words else alert.text
    return f"alert {alert.rule} since {since} UTC{seen}: {words} (headgate alerts show {alert.id})"


def digest_notice(alerts: Iterable[Alert], at_us: int, plan: AlertsPlan) -> Notice:
    """The day in a notice: what fired, each rule and scope once, and how often."""
    groups: dict[tuple[str, str], list[Alert]] = {}
    for each in alerts:
        groups.setdefault(each.key, []).append(each)
    in_order = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    lines = []
    for (rule, scope), found in in_order[:LISTED]:
        where = f" ({scope})" if scope else ""
        lasts = ", lasts" if any(each.resolved_us is None for each in found) else ""
        times = "once" if len(found) == 1 else f"{len(found)} times"
        lines.append(f"{rule}{where} {times}{lasts}: {found[-1].text}")
    if len(in_order) > LISTED:
        lines.append(f"and {len(in_order) - LISTED} more")
    day = datetime.fromtimestamp(at_us / 1e6, UTC).date().isoformat()
    total = sum(len(found) for found in groups.values())
    text = f"{total} alerts in the day to {day}" + "".join(f"\n- {line}" for line in lines)
    return Notice(
        "alerts.digest", f"digest-{day}", at_us, text, severities=("info",), link=link_to(plan)
    )
