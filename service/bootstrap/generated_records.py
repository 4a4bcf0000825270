"""The single records of a made-up past: versions, checkpoints, experiments, overrides, acts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.design_json import to_json
from experiments.guardrails import Verdict
from experiments.offline.past_cast import Cast
from experiments.offline.past_columns import id_text, ids_at
from experiments.offline.past_events import EJECTED_S, Happenings, Will
from experiments.offline.past_trials import Trial
from experiments.states import Signed, Standing, State, Step
from service.domain.experiments import ExperimentRecord, ExperimentStep, How, Promotion
from service.domain.records import (
    Act,
    Checkpoint,
    Key,
    Override,
    OverrideEnd,
    Version,
)
from service.feedback.versions import Wanted, policy_of
from service.storage.frames import evidence_query

HEADGATE, PERSON = "headgate", "mira"
BUCKETS = 10_000
SHIPPED_AFTER_US = 60_000_000


class Names:
    """Ids of single records: of their time and the seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 7])

    def at(self, at_us: int) -> str:
        """One more id."""
        return id_text(ids_at(np.array([at_us]), self._rng)[0])

    def digest(self) -> str:
        """A digest that no key is known to have: the callers of the past cannot come back."""
        return self._rng.bytes(32).hex()


@dataclass(frozen=True, slots=True)
class Lineage:
    """The plan's first version, the one that was tried and shipped, and that one at today's
    prices; and the promotions that made them live.
    """

    versions: tuple[Version, Version, Version]
    since_us: tuple[int, int, int]


def lineage(wanted: Wanted, happened: Happenings, shipped_us: int, names: Names) -> Lineage:
    """``wanted``: what the plan asks for, at the prices of the end."""
    event, start_us = happened.price, happened.start_us
    arms = list(wanted.setup.arms)
    changed = arms[event.deployment]
    arms[event.deployment] = replace(
        changed,
        price_input_usd_mtok=round(changed.price_input_usd_mtok / event.size, 9),
        price_output_usd_mtok=round(changed.price_output_usd_mtok / event.size, 9),
    )
    before = replace(wanted, setup=replace(wanted.setup, arms=tuple(arms)))
    tried = Wanted(wanted.name, "linear", _sharper(wanted), before.setup, PERSON)
    now = replace(tried, setup=wanted.setup)
    first = _version(before, names.at(start_us), start_us, None, "first start")
    made_us = start_us + (happened.end_us - start_us) // 10
    second = _version(tried, names.at(made_us), made_us, first.id, "explores less")
    third = _version(
        now, names.at(event.begins_us), event.begins_us, second.id,
        f"{second.id} carried over to today's deployments",
    )  # fmt: skip
    return Lineage((first, second, third), (start_us, shipped_us, event.begins_us))


def _sharper(wanted: Wanted) -> dict[str, Any]:
    own = dict(wanted.parameters) if wanted.kind == "linear" else {}
    return {**own, "temper": 0.05}


def _version(wanted: Wanted, id_: str, at_us: int, parent: str | None, reason: str) -> Version:
    return Version(
        id_, at_us, wanted.name, wanted.kind, wanted.description(), parent, wanted.author, reason
    )


def checkpoint(version: Version, at_us: int, names: Names) -> tuple[Checkpoint, bytes]:
    """A checkpoint of the untaught policy; its place in the updates is told when it is written."""
    data = policy_of(version).freeze()
    digest = hashlib.sha256(data).hexdigest()
    return Checkpoint(names.at(at_us), at_us, version.id, 0, digest, len(data)), data


def promotions(line: Lineage, begun: Sequence[Checkpoint], names: Names) -> list[Any]:
    """How each version became the live one, with the acts that tell of it."""
    hows = (How.PLAN, How.SHIPPED, How.PLAN)
    reasons = ("first start", "better answers for the same money", line.versions[2].reason)
    before: str | None = None
    made: list[Any] = []
    for version, at_us, first, how, reason in zip(
        line.versions, line.since_us, begun, hows, reasons, strict=True
    ):
        author = PERSON if how is How.SHIPPED else version.author
        made.append(
            Promotion(names.at(at_us), at_us, version.id, before, first.id, None, how, author,
                      reason, "{}")
        )  # fmt: skip
        before = version.id
    second = line.versions[1]
    made.append(_act(names, second.at_us, PERSON, "policy.created", (second.id, second.reason)))
    made.append(_act(names, line.since_us[1], PERSON, "policy.shipped", (second.id, reasons[1])))
    return made


def _act(
    names: Names, at_us: int, actor: str, act: str, told: tuple[str, str], detail: Any = None
) -> Act:
    """``told``: the subject and the reason."""
    return Act(names.at(at_us), at_us, actor, act, *told, json.dumps(detail or {}))


class Chronicle:
    """An experiment's record and steps as time goes by."""

    def __init__(self, trial: Trial, names: Names, author: str) -> None:
        self.trial, self._names, self._author = trial, names, author
        self._standing = Standing(tuple(each.name for each in trial.design.variants))
        self._taken = 0

    def created(self) -> list[Any]:
        """The draft, two hours before it starts."""
        trial, at_us = self.trial, self.trial.starts_us - 7_200_000_000
        design, reason = trial.design, trial.design.hypothesis
        record = ExperimentRecord(
            trial.id, at_us, design.slug, design.version, trial.layer, 0, BUCKETS,
            to_json(design), self._author, reason,
        )  # fmt: skip
        act = _act(self._names, at_us, self._author, "experiment.created", (trial.id, reason))
        return [record, act]

    def until(self, at_us: int) -> list[Any]:
        """The steps of the ramp before that time."""
        found: list[Any] = []
        steps = [(at, share) for at, share in self.trial.steps if at < self.trial.ends_us]
        while self._taken < len(steps) and steps[self._taken][0] < at_us:
            at, _ = steps[self._taken]
            step = Step.START if self._taken == 0 else Step.RAMP
            reason = "nothing stands against it" if self._taken else "as planned"
            found += self.step(step, at, self._author, reason)
            self._taken += 1
        return found

    def step(
        self,
        step: Step,
        at_us: int,
        author: str,
        reason: str,
        more: tuple[str | None, Any] = (None, None),
    ) -> list[Any]:
        """One step, with its act; ``more``: the variant that is shipped, and the cause."""
        variant, cause = more
        before = self._standing.state
        self._standing = self._standing.take(step, Signed(author, reason, at_us), variant)
        taken = self._standing.history[-1]
        told = json.dumps(cause or {})
        record = ExperimentStep(
            self._names.at(at_us), self.trial.id, at_us, step.value, before.value,
            taken.after.value, taken.percent, variant, author, reason, told,
        )  # fmt: skip
        detail = {**(cause or {}), "percent": taken.percent, "variant": variant, "unproven": True}
        act = f"experiment.{step.value.replace(' ', '_')}"
        return [record, _act(self._names, at_us, author, act, (self.trial.id, reason), detail)]

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self._standing.state is State.RUNNING


def breach(trial: Trial, verdict: Verdict, live: Version, checkpoint_id: str) -> dict[str, Any]:
    """The cause of a rollback: what the guardrail found in the rows before it."""
    guardrail = next(g for g in trial.design.guardrails if g.metric == verdict.metric)
    return {
        "metric": verdict.metric, "treatment": verdict.treatment, "e_value": verdict.e_value,
        "log_e": verdict.log_e, "threshold": verdict.threshold, "n": list(verdict.units),
        "n_of": "units", "failed_units": None, "tolerance": guardrail.tolerance,
        "onset_us": trial.starts_us, "live_version": live.id, "live_checkpoint": checkpoint_id,
        "query": evidence_query(trial.id, verdict.metric),
    }  # fmt: skip


def overrides(cast: Cast, happened: Happenings, names: Names) -> tuple[list[Any], tuple[str, ...]]:
    """What operators set and how it ended, and the overrides' ids."""
    made: list[Any] = []
    ids = []
    for will in happened.wills:
        override = _override(cast, will, names.at(will.starts_us))
        ids.append(override.id)
        about = {"deployment": override.deployment}
        expired = will.how == "expired"
        ended = (HEADGATE, "expiry") if expired else (will.author, "it is well again")
        made += [
            override,
            _act(names, will.starts_us, will.author, f"override.{will.action}",
                 (override.id, will.reason), about),
            OverrideEnd(override.id, will.ended_us, will.how, *ended),
            _act(names, will.ended_us, ended[0], f"override.{will.how}",
                 (override.id, ended[1]), about),
        ]  # fmt: skip
    return made, tuple(ids)


def _override(cast: Cast, will: Will, id_: str) -> Override:
    task = "" if will.task < 0 else cast.tasks[will.task]
    return Override(
        id_, will.starts_us, will.action, cast.names[will.deployment], task, will.reason,
        will.author, will.starts_us, will.expires_us,
    )  # fmt: skip


def others(cast: Cast, happened: Happenings, names: Names) -> list[Any]:
    """The keys, the start, the breaker's acts, and the plan that was loaded with new prices."""
    start_us, event = happened.start_us, happened.price
    made: list[Any] = [
        Key(each.key_id, start_us, each.name, "caller", each.name, cast.tiers[each.tier],
            names.digest())
        for each in cast.tenants
    ]  # fmt: skip
    made.append(_act(names, start_us, HEADGATE, "service.started", ("generated", "")))
    name = cast.names[happened.outage.deployment]
    for number, (opens_us, ends_us) in enumerate(happened.ejections):
        why = "the probe failed: server" if number else "5 calls in a row failed, the last: server"
        detail = {"why": why, "for_s": float(EJECTED_S[min(number, len(EJECTED_S) - 1)])}
        made.append(_act(names, opens_us, HEADGATE, "breaker.open", (name, why), detail))
        if number == len(happened.ejections) - 1:
            why = "the probe was answered"
            made.append(_act(names, ends_us + 1_000_000, HEADGATE, "breaker.closed", (name, why),
                             {"why": why, "for_s": 0.0}))  # fmt: skip
    detail = {"reason": f"the price of {cast.names[event.deployment]} changed"}
    made.append(_act(names, event.begins_us, PERSON, "plan.loaded", ("generated", ""), detail))
    return made
