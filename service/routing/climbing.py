"""Where a request that may climb begins: at the first rung, the last, or above the last time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.domain.catalog import Deployment
from service.domain.clock import Clock
from service.domain.ensembles import NAMED as ENSEMBLE
from service.domain.escalation import (
    EARLIER_RUNG,
    IN_NO_RUNG,
    LATER_RUNG,
    WAY,
    Began,
    ClimbStart,
)
from service.domain.hashing import keyed_hash
from service.domain.lots import lot_for
from service.domain.records import Decision, Disqualified
from service.routing.again import Again, sketch_of
from service.routing.narrowing import Draft

PURPOSE = "escalation"  # of the lot by which it is settled where a request begins
NAMED = f"auto:{WAY}"


@dataclass(frozen=True, slots=True)
class ClimbRules:
    """``rungs``: of a task's own, cheap first; ``""``: of all others. ``tasks``: whose requests
    climb without being asked to. ``explore``: each of the two shares that are drawn by lot.
    """

    rungs: Mapping[str, tuple[str, ...]]
    tasks: frozenset[str] = field(default_factory=frozenset)
    explore: float = 0.05

    def of(self, task: str) -> tuple[str, ...]:
        """The rungs of a task."""
        return self.rungs.get(task) or self.rungs.get("", ())


class Climbing:
    """Acts on drafts. Never against what operators want or what an experiment has drawn."""

    def __init__(
        self, catalog: Sequence[Deployment], rules: ClimbRules, clock: Clock, secret: bytes
    ) -> None:
        self.rules, self._clock, self._secret = rules, clock, secret
        self._index = {each.name: at for at, each in enumerate(catalog)}
        self._names = tuple(each.name for each in catalog)
        self.again: Again | None = None
        self.bypassed: frozenset[str] = frozenset()  # tasks in which climbing does not pay now

    def act(self, draft: Draft) -> bool:
        """Leave only the rung at which this request begins; whether it is one that may climb."""
        asked, rules = draft.asked, self.rules
        named = asked.request.model == NAMED
        if not named and (asked.task not in rules.tasks or asked.request.model == ENSEMBLE):
            return False
        if draft.will.bounds or draft.pinned is not None or draft.drawn.treatment:
            return False
        rungs = tuple(n for n in rules.of(asked.task) if self._index[n] in draft.eligible)
        if len(rungs) < (1 if named else 2):
            return False
        asker: tuple[str, ...] = ()
        sketch, level = frozenset[int](), None
        if self.again is not None:
            asker, sketch = self._asker(draft), sketch_of(asked.request.shape.text)
            level = self._above(rungs, self.again.before(asker, sketch, draft.now_s))
        if level is not None:
            began, probability = Began.AGAIN, 1.0
        else:
            began, probability = self._drawn(draft)
            level = 1 if began.climbs else len(rungs)
        draft.climb = ClimbStart(
            draft.id, self._clock.wall_us(), asked.task, began, probability, rungs, level,
            asker, sketch,
        )  # fmt: skip
        draft.note = began.value
        self._narrow(draft, rungs, level)
        return True

    def begun(self, decision: Decision) -> None:
        """A request was decided, and is going to be answered by its first rung or a later one."""
        if decision.climb is not None:
            self.answered(decision.climb, decision.deployment)

    def answered(self, start: ClimbStart, deployment: str) -> None:
        """Who answered it in the end."""
        if self.again is not None and start.sketch:
            now_s = self._clock.monotonic_s()
            self.again.answered(start.asker, start.sketch, deployment, now_s)

    def _drawn(self, draft: Draft) -> tuple[Began, float]:
        lot, share = lot_for(PURPOSE, draft.id), self.rules.explore
        if draft.asked.task in self.bypassed:
            return (Began.TRIED, share) if lot < share else (Began.BYPASSED, 1.0 - share)
        if lot < share:
            return Began.DIRECT, share
        if lot < 2.0 * share:
            return Began.BY_LOT, share
        return Began.CASCADE, 1.0 - 2.0 * share

    def _above(self, rungs: Sequence[str], before: str | None) -> int | None:
        """The rung above the one that answered, the last at most; None where nobody did."""
        if before is None or before not in rungs:
            return None
        return min(rungs.index(before) + 2, len(rungs))

    def _asker(self, draft: Draft) -> tuple[str, ...]:
        """The session and the user of a request, each hashed with its key; so of one tenant."""
        caller, user = draft.asked.caller, draft.asked.request.user
        found = [caller.session] if caller.session else []
        if user:
            found.append(keyed_hash(self._secret, "user", caller.key_id, user))
        return tuple(found)

    def _narrow(self, draft: Draft, rungs: Sequence[str], level: int) -> None:
        kept = self._index[rungs[level - 1]]
        for at in draft.eligible:
            if at == kept:
                continue
            name = self._names[at]
            reason = IN_NO_RUNG
            if name in rungs:
                reason = LATER_RUNG if rungs.index(name) >= level else EARLIER_RUNG
            draft.out.append(Disqualified(name, reason))
        draft.eligible = [kept]
