"""What an operator does at the console, through the same doors as the API."""

from __future__ import annotations

import asyncio
import json

from service.domain.clock import new_id
from service.domain.errors import NotFound, Unprocessable
from service.domain.experiments import Promotion
from service.domain.records import Act, Key, Override, OverrideEnd
from service.experimentation.promotions import Back
from service.feedback.promoting import Signature
from service.monitoring.audit import alarm_notice
from service.routing.refusals import Ruling
from service.runtime import Runtime
from service.storage.reviews import Reviewed

MOST_S = 7 * 86_400.0


async def override(
    runtime: Runtime, key: Key, wanted: tuple[str, str, str], lasts_s: float, reason: str
) -> Override:
    """Force or exclude a deployment; durable, then in effect. ``wanted``: action, deployment, task
    (empty: everywhere).
    """
    action, deployment, task = wanted
    checked(runtime, wanted, lasts_s)
    now_us = runtime.clock.wall_us()
    made = Override(
        new_id(), now_us, action, deployment, task, reason, key.name, now_us,
        now_us + int(lasts_s * 1e6),
    )  # fmt: skip
    detail = {"key": key.id, "task": task or None, "expires_in_s": lasts_s,
              "deployment": deployment, "from": "console"}  # fmt: skip
    act = Act(new_id(), now_us, key.name, f"override.{action}", made.id, reason, json.dumps(detail))
    await asyncio.wrap_future(runtime.kept.log.append_durable(made, act))
    runtime.kept.overrides.put(made)
    return made


def checked(runtime: Runtime, wanted: tuple[str, str, str], lasts_s: float) -> None:
    """Raises Unprocessable where there is no such deployment, task or time."""
    action, deployment, task = wanted
    if action not in ("force", "exclude"):
        raise Unprocessable("Choose what to do with the deployment.", param="action")
    if deployment not in {each.name for each in runtime.catalog}:
        raise Unprocessable("Choose a deployment.", param="deployment")
    if task and task not in runtime.plan.task_names:
        raise Unprocessable("There is no task of that name any more.", param="task")
    if not 0.0 < lasts_s <= MOST_S:
        raise Unprocessable("It may last for at most seven days.", param="lasts")


async def lift(runtime: Runtime, key: Key, override_id: str, reason: str) -> Override:
    """End an override before its time."""
    found = runtime.kept.overrides.find(override_id)
    if found is None:
        raise NotFound("This override is not in force any more: it has expired or was lifted.")
    now_us = runtime.clock.wall_us()
    end = OverrideEnd(found.id, now_us, "lifted", key.name, reason)
    detail = json.dumps({"key": key.id, "deployment": found.deployment, "from": "console"})
    act = Act(new_id(), now_us, key.name, "override.lifted", found.id, reason, detail)
    await asyncio.wrap_future(runtime.kept.log.append_durable(end, act))
    runtime.kept.overrides.remove(found.id)
    return found


async def roll_back(runtime: Runtime, key: Key, to: str, reason: str) -> Promotion:
    """Return to a version with its last good checkpoint."""
    by = Signature(key.name, reason)
    return await runtime.experiments.promotions.roll_back(by, Back(to or None))


async def end_experiments(runtime: Runtime, key: Key, reason: str) -> list[str]:
    """Roll every running experiment back; which these were. One that meanwhile ended is none."""
    by, ended = Signature(key.name, reason), []
    for each in runtime.experiments.desk.running():
        await runtime.experiments.promotions.roll_back_experiment(each.id, by)
        ended.append(each.id)
    return ended


async def forgive(runtime: Runtime, key: Key, deployment: str, reason: str) -> None:
    """End a deployment's ejection and cool-down."""
    checked(runtime, ("exclude", deployment, ""), 1.0)
    act = Act(
        new_id(), runtime.clock.wall_us(), key.name, "deployment.reset", deployment, reason,
        json.dumps({"key": key.id, "from": "console"}),
    )  # fmt: skip
    await asyncio.wrap_future(runtime.kept.log.append_durable(act))
    runtime.fleet.forgive(deployment)


async def acknowledge(runtime: Runtime, key: Key, reason: str) -> None:
    """The alarm of the propensities has been looked into."""
    was = runtime.propensities.current
    await asyncio.to_thread(runtime.propensities.acknowledge, key.name, reason, key.id)
    if runtime.notifier is not None:
        runtime.notifier.announce(alarm_notice(was, key.name))


async def decide(runtime: Runtime, key: Key, review_id: str, verdict: str, note: str) -> Reviewed:
    """Close a review."""
    if verdict not in ("uphold", "allow", "dismiss"):
        raise Unprocessable("Choose what is to become of the request.", param="verdict")
    ruling = Ruling(verdict, key.name, note, key.id)
    return await runtime.refusals.decide(review_id, ruling, key.tenant)
