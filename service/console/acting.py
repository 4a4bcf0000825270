"""What an operator does at the console, through the same doors as the API."""

from __future__ import annotations

import asyncio
import json

from service.domain.alerts import Alert
from service.domain.clock import new_id
from service.domain.errors import Conflict, NotFound, Unprocessable
from service.domain.experiments import Promotion
from service.domain.records import Act, Key, Override
from service.experimentation.promotions import Back
from service.feedback.promoting import Signature
from service.monitoring.audit import alarm_notice
from service.operating.wanted import Wanted, check
from service.routing.refusals import Ruling
from service.runtime import Runtime
from service.storage.reviews import Reviewed

FROM = "console"


def signature(key: Key, reason: str) -> Signature:
    """Who does it and why, with the key that did and from where."""
    return Signature(key.name or key.id, reason, json.dumps({"key": key.id, "from": FROM}))


async def override(
    runtime: Runtime, key: Key, wanted: Wanted, reason: str, looked_at: str = ""
) -> Override:
    """Lay an override. ``looked_at``: the tag of what was in force at the look; where something
    else is now, it is refused.
    """
    return await runtime.operating.lay(wanted, signature(key, reason), looked_at or None)


def checked(runtime: Runtime, wanted: Wanted) -> Wanted:
    """As it would be laid; raises HeadgateError that says what is wrong with it."""
    return check(wanted, runtime.plan)


async def lift(runtime: Runtime, key: Key, override_id: str, reason: str) -> Override:
    """End an override before its time."""
    return await runtime.operating.lift(override_id, signature(key, reason))


async def renew(
    runtime: Runtime, key: Key, override_id: str, lasts_s: float, reason: str
) -> Override:
    """Go on with an override as a new record."""
    return await runtime.operating.renew(override_id, lasts_s, signature(key, reason))


async def roll_back(runtime: Runtime, key: Key, to: str, reason: str) -> Promotion:
    """Return to a version with its last good checkpoint."""
    promotions = runtime.experiments.promotions
    return await promotions.roll_back(signature(key, reason), Back(to or None))


async def end_experiments(runtime: Runtime, key: Key, reason: str) -> list[str]:
    """Roll every running experiment back; which these were."""
    by, ended = signature(key, reason), []
    for each in runtime.experiments.desk.running():
        await runtime.experiments.promotions.roll_back_experiment(each.id, by)
        ended.append(each.id)
    return ended


async def forgive(runtime: Runtime, key: Key, deployment: str, reason: str) -> None:
    """End a deployment's ejection and cool-down."""
    if deployment not in {each.name for each in runtime.catalog}:
        raise NotFound("There is no deployment of that name any more.")
    act = _act(runtime, key, "deployment.reset", deployment, reason)
    await asyncio.wrap_future(runtime.kept.log.append_durable(act))
    runtime.fleet.forgive(deployment)


async def acknowledge(runtime: Runtime, key: Key, reason: str) -> None:
    """The alarm of the propensities has been looked into."""
    was = runtime.propensities.current
    await asyncio.to_thread(runtime.propensities.acknowledge, key.name, reason, key.id)
    if runtime.notifier is not None:
        runtime.notifier.announce(alarm_notice(was, key.name))


async def see_to(runtime: Runtime, key: Key, alert_id: str, reason: str) -> Alert:
    """Somebody sees to an alert: nobody is called any more."""
    alert = runtime.alerts.watch.book.find(alert_id)
    if alert is None:
        raise NotFound("There is no open or recent alert of that id.")
    if alert.resolved_us is not None:
        raise Conflict("This alert has ended already.")
    act = _act(runtime, key, "alert.acknowledged", alert_id, reason)
    return await runtime.alerts.watch.acknowledge(alert, act)


async def decide(runtime: Runtime, key: Key, review_id: str, verdict: str, note: str) -> Reviewed:
    """Close a review."""
    if verdict not in ("uphold", "allow", "dismiss"):
        raise Unprocessable("Choose what is to become of the request.", param="verdict")
    ruling = Ruling(verdict, key.name, note, key.id)
    return await runtime.refusals.decide(review_id, ruling, key.tenant)


def _act(runtime: Runtime, key: Key, act: str, subject: str, reason: str) -> Act:
    by = signature(key, reason)
    return Act(new_id(), runtime.clock.wall_us(), by.author, act, subject, reason, by.cause)
