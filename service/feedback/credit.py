"""From outcomes and feedback to what the policy is told: what is learned from which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.escalation import SELECTED
from service.domain.records import (
    Attempt,
    Decision,
    ErrorKind,
    Feedback,
    Mode,
    Outcome,
    Role,
    Update,
)
from service.storage.cases import Case

JUDGE = "judge"  # the kind of update that tells only whether a judge's call failed
RATED_MODES = (Mode.RANDOMISED, Mode.STICKY)


@dataclass(frozen=True, slots=True)
class CreditRules:
    """The metric that is quality, and whether pinned answers teach too."""

    metric: str
    learn_from_pinned: bool = False

    def teaches(self, mode: Mode, metric: str) -> bool:
        """Whether a rating by ``metric`` of an answer decided in ``mode`` teaches the policy."""
        opted_in = mode is Mode.PINNED and self.learn_from_pinned
        return metric == self.metric and (mode in RATED_MODES or opted_in)


def from_outcome(
    decision: Decision, attempts: Sequence[Attempt], outcome: Outcome, version_id: str
) -> list[Update]:
    """What the calls showed: latency, cost and errors of every deployment that was called.

    All modes but the cache feed these estimators. A call that the caller left, or that failed
    for the request's own sake, says nothing of the deployment. The whole spend is told once,
    with the last call, so that pacing counts each dollar once. A call that lost to its hedge would
    have taken at least as long as it was waited for: that is told, or only quick answers would
    count; what was left of the race for a hedge that lost says nothing.

    Calls beside the answer are left out where there are calls for it: they are told by themselves,
    when they end. What they cost is no spend of the request's. A judge answers one letter: how soon
    and how long says nothing of answers, so of it only is told whether it failed; so of a fuser,
    who reads all candidates. An ensemble's member that was cancelled when enough had answered is
    told as one that lost to its hedge. What a provider answered in a batch tells nothing: nobody
    waited for it, and its price is another.
    """
    if Mode.CACHE is decision.mode or outcome.mode is Mode.BATCH:
        return []
    updates = []
    attempts = [each for each in attempts if not each.role.beside] or attempts
    answered = outcome.error_kind is None
    raced = answered and any(each.role in (Role.HEDGE, Role.ENSEMBLE) for each in attempts)
    for attempt in attempts:
        last = attempt is attempts[-1]
        kind = attempt.error_kind
        blames = kind is not None and kind.blames_deployment
        silent = kind is not None and not blames
        judge = attempt.role in (Role.JUDGE, Role.FUSION)
        told = last and not attempt.role.beside
        cost_usd = outcome.usage.cost_micro_usd / 1e6 if told else None
        lost = raced and kind is ErrorKind.CANCELLED and attempt.role is not Role.HEDGE
        if silent and not cost_usd and not lost:
            continue
        timed = (kind is None and not judge) or kind in (ErrorKind.TIMEOUT, ErrorKind.STALLED)
        updates.append(
            Update(
                seq=0,
                at_us=outcome.at_us,
                decision_id=decision.id,
                decided_us=decision.at_us,
                arm=attempt.deployment,
                kind=JUDGE if judge else "outcome",
                quality=None,
                revises_quality=None,
                cost_usd=cost_usd,
                latency_s=attempt.latency_s if lost or (timed and not silent) else None,
                tokens_out=(attempt.usage.tokens_out if kind is None and not judge else 0) or None,
                failed=None if silent else blames,
                feedback_id=None,
                version_id=version_id,
            )
        )
    return updates


def rated_quality(feedback: Mapping[tuple[str, str, str], Feedback], metric: str) -> float | None:
    """The quality that the ratings give together: the mean over the authors' latest ones."""
    values = [f.quality for f in feedback.values() if f.metric == metric and f.quality is not None]
    return sum(values) / len(values) if values else None


@dataclass(frozen=True, slots=True)
class Weighed:
    """What the ratings of an answer give together, and what that counts beside others."""

    quality: float | None
    weight: float = 1.0


class Ratings:
    """A case's ratings in force as they stood, with what each counts by its id (1 where that is not
    told).
    """

    __slots__ = ("_feedback", "_weights")

    def __init__(
        self, feedback: Mapping[tuple[str, str, str], Feedback], weights: Mapping[str, float]
    ) -> None:
        self._feedback, self._weights = dict(feedback), dict(weights)

    def weighed(self, metric: str) -> Weighed:
        """The authors' mean, weighted, which counts as much as the one of them that counts most: so
        many authors of little weight are not one of much, and no rating moves the sums by more
        than its own weight.
        """
        if not self._weights:
            return Weighed(rated_quality(self._feedback, metric))
        found = [
            (f.quality, self._weights.get(f.id, 1.0))
            for f in self._feedback.values()
            if f.metric == metric and f.quality is not None
        ]
        total = sum(weight for _, weight in found)
        if not total:
            return Weighed(None)
        mean = sum(quality * weight for quality, weight in found) / total
        return Weighed(min(1.0, max(0.0, mean)), max(weight for _, weight in found))


def from_feedback(
    case: Case, latest: Feedback, told: Weighed, rules: CreditRules, version_id: str
) -> Update | None:
    """What a rating teaches: the deployment that answered is credited, revisions undo first.

    ``told`` is what all ratings of the case give together (``weighed``).

    None where the table says that nothing is learned: pinned and forced answers (unless the
    plan opts in), failures, other metrics, and answers of ensembles, which were chosen for being
    good.
    """
    if not rules.teaches(case.learned_as, latest.metric) or latest.quality is None:
        return None
    if case.decision.reason in SELECTED:  # who answered was chosen by how good answers looked
        return None
    arm = case.answered_by if case.outcome else case.decision.deployment
    if arm is None:
        return None
    before, trusted = case.learned.get(arm), case.weighed.get(arm, 1.0)
    quality = told.quality
    if quality is None or (quality, told.weight) == (before, trusted):
        return None
    return Update(
        seq=0,
        at_us=latest.at_us,
        decision_id=case.decision.id,
        decided_us=case.decision.at_us,
        arm=arm,
        kind="rating" if before is None else "revision",
        quality=quality,
        revises_quality=before,
        cost_usd=None,
        latency_s=None,
        tokens_out=None,
        failed=None,
        feedback_id=latest.id,
        version_id=version_id,
        weight=told.weight,
        revises_weight=1.0 if before is None else trusted,
    )
