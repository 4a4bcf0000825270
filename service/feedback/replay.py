"""A decision made again from the log alone, and held bit for bit against what was logged."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from learning import exploration
from learning.errors import SnapshotError
from learning.policies.base import Chooser
from service.domain.records import Checkpoint, Decision, Mode, PolicyMark
from service.domain.will import NO_WILL, Will, limits, will_for
from service.feedback.apply import context_of
from service.feedback.versions import restored
from service.storage.audits import Between, updates_between
from service.storage.cases import read_case
from service.storage.database import Cursor
from service.storage.overrides import bounds_around
from service.storage.versions import VersionStore

VARIANT_NAMES = ("experiment", "holdout")
MOST_UPDATES = 200_000  # taken for one replay; half a minute's work


class Verdict(StrEnum):
    """What a replay comes to."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NOT_DRAWN = "not_drawn"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a state cannot be had again."""

    reason: str


@dataclass(frozen=True, slots=True)
class State:
    """A policy's view as it was published, and what it was made of again."""

    chooser: Chooser
    features: int
    checkpoint_id: str  # empty: from the version's beginning
    checkpoint_seq: int
    updates: int


@dataclass(frozen=True, slots=True)
class Replay:
    """The verdict; ``reason`` says what is missing, why nothing was drawn, or what makes a
    difference doubtful. ``propensities`` is
    parallel to ``names``, the deployments that were eligible. ``different`` names the fields of
    the logged decision that are not what the state gives.
    """

    decision_id: str
    verdict: Verdict
    reason: str = ""
    names: tuple[str, ...] = ()
    propensities: tuple[float, ...] = ()
    deployment: str | None = None
    different: tuple[str, ...] = ()
    state: State | None = None


def replay(decision_id: str, store: VersionStore, cursor: Callable[[], Cursor]) -> Replay:
    """What would have been drawn, by the log; blocks, so call it off the loop."""
    case = read_case(cursor(), decision_id)
    if case is None:
        return Replay(decision_id, Verdict.MISSING, "the decision is not in the live file")
    decision = case.decision
    why = not_drawn(decision)
    if why:
        return Replay(decision_id, Verdict.NOT_DRAWN, why)
    state = state_of(decision.policy, store, cursor)
    if isinstance(state, Missing):
        return Replay(decision_id, Verdict.MISSING, state.reason)
    who, found = decision.caller, []
    for bounds in bounds_around(cursor(), decision):
        will = will_for(decision.task, bounds, who.tenant, who.tier)
        found.append(drawn_again(decision, state, will))
        if found[-1].verdict is Verdict.EQUAL:
            return found[-1]
    return found[0]


def not_drawn(decision: Decision) -> str:
    """Why a decision was not drawn by a policy; empty where it was."""
    if decision.mode is not Mode.RANDOMISED:
        return f"it was not drawn: its mode is {decision.mode.value}"
    if not decision.candidates.utility:
        return "no policy was asked: the whole probability was laid on one deployment"
    if decision.reason in VARIANT_NAMES:
        return "a variant named its deployment, and an operator's bounds what was left"
    return ""


def state_of(
    mark: PolicyMark, store: VersionStore, cursor: Callable[[], Cursor]
) -> State | Missing:
    """The state that a mark names: the version's nearest checkpoint, of those at or before the one
    that it stood on, and the updates after it.
    """
    through, version = mark.update_seq, store.find(mark.version_id)
    if version is None:
        return Missing(f"the version {mark.version_id} is not in the log")
    nearest = _nearest(mark, store)
    begun = [each for each in store.promotions if each.version_id == version.id]
    if nearest is None and (version.parent is not None or len(begun) > 1):
        return Missing(
            f"no checkpoint that the version {version.id} stood on at update {through} is left, "
            "and it did not begin there with nothing"
        )
    start = nearest.update_seq if nearest else 0
    between = updates_between(cursor(), start, through)
    missing = _missing(between, (start, through), store)
    if missing is not None:
        return missing
    resumed = restored(version, store, cursor, through, standing_on=mark.checkpoint_id)
    policy = resumed.policy
    return State(
        policy.chooser(resumed.last_at_us / 1e6), len(policy.setup.features),
        resumed.checkpoint_id, start, between.updates,
    )  # fmt: skip


def _nearest(mark: PolicyMark, store: VersionStore) -> Checkpoint | None:
    """The nearest checkpoint that can be read. What a promotion or a rollback began with is not
    passed by: what lies before it is another state.
    """
    known = store.checkpoints_of(mark.version_id)
    ids = [each.id for each in known]
    if mark.checkpoint_id in ids:
        known = known[: ids.index(mark.checkpoint_id) + 1]
    begun = {each.checkpoint_id for each in store.promotions}
    for checkpoint in reversed(known):
        if checkpoint.update_seq > mark.update_seq:
            continue
        if store.read(checkpoint) is not None:
            return checkpoint
        if checkpoint.id in begun:
            return None
    return None


def _missing(between: Between, span: tuple[int, int], store: VersionStore) -> Missing | None:
    """What lacks of the updates after the first number through the second."""
    start, through = span
    told = f"of the updates {start + 1} to {through}"
    if between.updates < through - start:
        return Missing(f"{through - start - between.updates} {told} are not in the log")
    if between.updates > MOST_UPDATES:
        return Missing(
            f"the nearest checkpoint is {between.updates} updates before it, and at most "
            f"{MOST_UPDATES} are taken again for one decision"
        )
    if between.orphans:
        return Missing(f"{between.orphans} {told} are about decisions that are gone")
    for model_id in between.models:
        try:
            store.models.prior(model_id)
        except SnapshotError:
            return Missing(f"the quality model {model_id}, taken by one {told}, is gone")
    return None


def drawn_again(decision: Decision, state: State, will: Will = NO_WILL) -> Replay:
    """The same eligible deployments and bounds, the logged draw, another choice from the state."""
    chooser, names = state.chooser, decision.candidates.names
    unknown = [name for name in names if name not in chooser.arms]
    if unknown or decision.features.shape[0] != state.features:
        what = f"deployments {', '.join(unknown)}" if unknown else "features"
        return Replay(
            decision.id, Verdict.MISSING, f"the version does not know the decision's {what}",
            names, state=state,
        )  # fmt: skip
    eligible = [chooser.arms.index(name) for name in names]
    scores = chooser.scores(context_of(decision), eligible)
    probabilities = chooser.propensities(scores)
    bounds = limits(names, will.bounds)
    if bounds is not None:
        probabilities = exploration.between(probabilities, *bounds)
    at = exploration.draw(probabilities, decision.draw) if 0.0 <= decision.draw < 1.0 else None
    logged = decision.candidates
    pairs: dict[str, tuple[Sequence[float], Sequence[float]]] = {
        "propensities": (logged.propensities, probabilities.tolist()),
        "quality": (logged.quality, scores.quality.tolist()),
        "cost_usd": (logged.cost_usd, scores.cost_usd.tolist()),
        "latency_s": (logged.latency_s, scores.latency_s.tolist()),
        "error_rate": (logged.error_rate, scores.error_rate.tolist()),
        "utility": (logged.utility, scores.utility.tolist()),
    }
    if at is None:
        pairs["draw"] = ((decision.draw,), ())
    else:
        pairs["propensity"] = ((decision.propensity,), (float(probabilities[at]),))
    different = [name for name, (was, now) in pairs.items() if _bits(was) != _bits(now)]
    deployment = None if at is None else names[at]
    if deployment != decision.deployment:
        different.append("deployment")
    reason = ""
    if different and bounds is not None:
        reason = "bounds were in force, and none that may have been at that moment give the same"
    if different and state.checkpoint_id != decision.policy.checkpoint_id:
        reason = (
            "the checkpoint that it stood on is gone, and this began from one before it: a version "
            "that was parked may have passed over what lies between"
        )
    return Replay(
        decision.id, Verdict.DIFFERENT if different else Verdict.EQUAL, reason, names,
        tuple(probabilities.tolist()), deployment, tuple(different), state,
    )  # fmt: skip


def _bits(numbers: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)
