"""Taking a rating in: checked, placed on its metric's scale, durable before it is acknowledged."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict, Gone, Unprocessable
from service.domain.records import Feedback, Key
from service.feedback.learner import Learner
from service.feedback.trust import Trust, Weighing
from service.storage.cases import Case
from service.storage.event_log import EventLog

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Scale:
    """A metric: ``unit`` 0 to 1 (thumbs allowed), ``stars`` 1 to 5, or ``labels``."""

    kind: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller gave."""

    metric: str
    value: bool | float | str
    kind: str
    idempotency_key: str | None
    reason: str
    tags: tuple[str, ...]
    user: str = ""  # the end user behind the key, as the caller names it


@dataclass(frozen=True, slots=True)
class Taken:
    """The durable feedback, whether the policy learns from it, and where not, why: in a word."""

    feedback: Feedback
    applied: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Weights:
    """What ratings count; ``hashed``: the keyed hash of a user of a key, as decisions carry it."""

    trust: Trust
    hashed: Callable[[str, str], str]
    weighed: Callable[[str], None] = lambda reason: None

    def weigh(self, case: Case, rating: Feedback, key: Key, user: str) -> Weighing | None:
        """What one counts. Of whom no user is told, the one that asked is meant: as its request
        names it, or its session.
        """
        caller = case.decision.caller
        rater = self.hashed(key.id, user) if user else ""
        if not rater and caller.key_id == key.id:
            rater = caller.unit
        made = self.trust.weigh(case, rating, key, rater)
        if made is not None:
            self.weighed(made.row.reason)
        return made


class Intake:
    """Checks, appends durably, then hands to the learner."""

    def __init__(
        self,
        metrics: Mapping[str, Scale],
        expires_days: float,
        log: EventLog,
        learner: Learner,
        clock: Clock,
        weights: Weights | None = None,
    ) -> None:
        self.weights = weights
        self._metrics = metrics
        self._expires_us = int(expires_days * DAY_US)
        self._log, self._learner, self._clock = log, learner, clock

    async def take(self, case: Case, given: Given, key: Key, along: Sequence[object] = ()) -> Taken:
        """One rating of a case, durable together with what comes ``along``; raises HeadgateError,
        and then nothing was kept.
        """
        now_us = self._clock.wall_us()
        age_us = float(now_us - case.decision.at_us)
        if case.made_s is not None:  # a wall clock that jumps does not close the window
            age_us = min(age_us, (self._clock.monotonic_s() - case.made_s) * 1e6)
        if age_us > self._expires_us:
            days = self._expires_us / DAY_US
            raise Gone(f"this answer is older than {days:g} days; its ratings are closed")
        value, label, quality = self._place(given)
        repeat = _repeated(case, given, value, label, key)
        if repeat is not None:
            if along:
                await asyncio.wrap_future(self._log.append_durable(*along))
            return Taken(repeat, False, "repeated")
        slot = (given.metric, given.kind, key.id)
        before = case.feedback.get(slot)
        feedback = Feedback(
            id=new_id(),
            decision_id=case.decision.id,
            at_us=now_us,
            metric=given.metric,
            kind=given.kind,
            author=key.id,
            value=value,
            label=label,
            quality=quality,
            deployment=case.answered_by if case.outcome else case.decision.deployment,
            revises=before.id if before else None,
            idempotency_key=given.idempotency_key,
            reason=given.reason,
            tags=given.tags,
        )
        teaches = quality is not None and self._learner.learns_from(case, feedback)
        weighing = self.weights.weigh(case, feedback, key, given.user) if (
            teaches and self.weights is not None) else None  # fmt: skip
        more = weighing.records if weighing else ()
        try:
            await asyncio.wrap_future(self._log.append_durable(*along, feedback, *more))
        except Exception:  # not where the caller left: then it may be durable yet
            if weighing is not None and self.weights is not None:
                self.weights.trust.undo(weighing)
            raise
        case.rated(feedback)
        if weighing is not None:
            case.weights[feedback.id] = weighing.weight
            case.raters[feedback.id] = weighing.row.rater
        self._learner.rated(case, feedback)
        if weighing is not None and weighing.row.reason:
            return Taken(feedback, False, weighing.row.reason)
        return Taken(feedback, teaches, "" if teaches else "not_learned_from")

    def _place(self, given: Given) -> tuple[float | None, str | None, float | None]:
        """The value, or the label, and its place in [0, 1]."""
        scale = self._metrics.get(given.metric)
        if scale is None:
            raise Unprocessable(
                f"unknown metric; the plan has {', '.join(self._metrics)}", param="metric"
            )
        if scale.kind == "labels":
            if given.value not in scale.labels:
                raise Unprocessable(
                    f"value must be one of {', '.join(scale.labels)}", param="value"
                )
            return None, str(given.value), None
        if isinstance(given.value, str):
            raise Unprocessable(
                f"{given.metric} is a number; a text is only for a metric of labels", param="value"
            )
        try:
            number = float(given.value)
        except OverflowError:
            number = math.inf
        low, high = (0.0, 1.0) if scale.kind == "unit" else (1.0, 5.0)
        if scale.kind == "stars" and isinstance(given.value, bool):
            number = high if given.value else low
        if not math.isfinite(number) or not low <= number <= high:
            raise Unprocessable(
                f"{given.metric} lies in {low:g} to {high:g} and is finite", param="value"
            )
        return number, None, (number - low) / (high - low)


def _repeated(
    case: Case, given: Given, value: float | None, label: str | None, key: Key
) -> Feedback | None:
    """The earlier feedback that this one repeats; raises Conflict for another content."""
    if given.idempotency_key is None:
        latest = case.feedback.get((given.metric, given.kind, key.id))
        same = latest is not None and (latest.value, latest.label) == (value, label)
        return latest if same and latest is not None and latest.reason == given.reason else None
    earlier = case.once.get((key.id, given.idempotency_key))
    if earlier is None:
        return None
    content = (earlier.metric, earlier.kind, earlier.value, earlier.label)
    if content != (given.metric, given.kind, value, label):
        raise Conflict("this idempotency_key was used for another rating", param="idempotency_key")
    return earlier
