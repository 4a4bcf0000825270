"""Alerts, made as the plan says and joined to the runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from service.domain.minutes import MINUTE_US, Facts
from service.monitoring.alert_book import AlertBook
from service.monitoring.alerting import Alerting, Past
from service.monitoring.audit import in_words
from service.monitoring.channels import Channels, Result, Target
from service.monitoring.mail import Mailbox
from service.monitoring.notify import Address, Notice
from service.monitoring.watch import AlertWatch, WatchParts
from service.operating.raising import RaisedCaching
from service.operating.shifting import ShareShift
from service.plan.alerts import AlertsPlan, ChannelPlan
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.alerts import logged
from service.storage.minutes import counts_of, minutes_of, records_of

TURN_S = 0.5
REBUILT = 120  # minutes before a start that are made anew from the log
COUNTED = 4_320  # minutes of which requests and spend are counted anew
REMEMBERED_US = 7 * 86_400_000_000
SHAPES = {"webhook": "plain", "slack": "slack", "pagerduty": "pagerduty", "email": "plain"}


def attach_alerts(runtime: Runtime, environment: Mapping[str, str]) -> None:
    """Give a runtime its alerts; what fired before a restart is known from the log."""
    kept, clock = runtime.kept, runtime.clock
    now_us = clock.wall_us()
    book = AlertBook(clock, logged(kept.database.cursor(), now_us - REMEMBERED_US, now_us))

    def announce(notice: Notice) -> None:
        if runtime.notifier is not None:
            runtime.notifier.announce(notice)

    parts = WatchParts(
        kept.log, clock, lambda: runtime.plan.alerts, lambda: runtime.plan.slo.availability,
        announce, ShareShift(runtime.operating, lambda name: share_of(runtime, name),
                             lambda: float(runtime.plan.policy.parameters.get("floor", 0.0))),
        RaisedCaching(runtime.operating, lambda: runtime.plan.alerts.latency.shift_s,
                      lambda: runtime.plan.cache is not None
                      and runtime.plan.cache.raised is not None),
    )  # fmt: skip
    runtime.alerts = Alerting(
        runtime.ledger.windows, AlertWatch(parts, book), Channels([], clock, _result(runtime)),
        lambda: facts(runtime), _past(runtime), runtime.telemetry.firing, runtime.notices,
    )  # fmt: skip
    renew_channels(runtime, environment)
    runtime.scheduler.put(Job("alerts", TURN_S, runtime.alerts.turn))


def renew_channels(runtime: Runtime, environment: Mapping[str, str]) -> None:
    """The channels of the plan in force; one that stays as it was goes on with what it has."""
    plan = runtime.plan.alerts
    runtime.alerts.channels.renew([target(each, plan, environment) for each in plan.channels])
    if runtime.notifier is not None:
        runtime.notifier.also = runtime.alerts.channels.send


def target(plan: ChannelPlan, alerts: AlertsPlan, environment: Mapping[str, str]) -> Target:
    """A channel with its secrets."""
    values = {key: environment.get(variable, "") for key, variable in plan.variables}
    address = Address(
        values.get("url_env", ""), SHAPES[plan.kind], values.get("routing_key_env", ""),
        alerts.runbook_url or "",
    )  # fmt: skip
    mailbox = None
    if plan.kind == "email":
        mailbox = Mailbox(
            plan.smtp_host or "", plan.smtp_port, plan.tls, plan.sender or "",
            tuple(plan.recipients), values.get("username_env", ""), values.get("password_env", ""),
        )  # fmt: skip
    severities = frozenset(plan.severities)
    secret = values.get("secret_env", "")
    return Target(plan.name, plan.kind, severities, address, secret, mailbox)


def _result(runtime: Runtime) -> Result:
    def result(channel: str, notice: Notice, how: str) -> None:
        runtime.telemetry.notified(channel, how)
        if how != "repeated":
            runtime.alerts.watch.told(notice.id, channel, how)

    return result


def _past(runtime: Runtime) -> Callable[[], Past]:
    """Reads what was logged before this start; what comes after is counted as it comes."""
    kept, first_us = runtime.kept, runtime.ledger.windows.first_us
    through = kept.log.last_seq

    def read() -> Past:
        cursor = kept.database.cursor()
        return Past(
            minutes_of(cursor, first_us - REBUILT * MINUTE_US, first_us, through),
            counts_of(cursor, first_us - COUNTED * MINUTE_US, first_us, through),
            records_of(cursor, first_us, first_us + MINUTE_US, through),
        )

    return read


def share_of(runtime: Runtime, deployment: str) -> float:
    """The greatest share of any task that a deployment has now."""
    weights = runtime.weights.current
    return max((each.share for each in weights if each.deployment == deployment), default=0.0)


def facts(runtime: Runtime) -> Facts:
    """What stands now; cheap, on the event loop."""
    waiting, oldest_s = 0, 0.0
    if runtime.queue is not None:
        counts = runtime.queue.desk.counts
        waiting, oldest_s = counts.waiting, counts.oldest_s
    states = runtime.live.current.states()
    outage = runtime.outage.current
    audit = runtime.propensities.current
    return Facts(
        tuple(each.name for each in runtime.catalog),
        tuple(each.id for each in runtime.experiments.desk.running()),
        waiting,
        oldest_s,
        runtime.refusals.reviews.counts()[1],
        tuple(name for name, state in states.items() if state == "re-exploring"),
        runtime.experiments.guard.invalid(),
        in_words(audit) if audit.alarmed_us is not None else "",
        f"no deployment can answer ({outage.code}): {outage.reason}" if outage else "",
        runtime.responses.current.warning(),
        runtime.people.unsure(),
        tuple(each for each in runtime.budgets.book.standings() if each.telling),
    )
