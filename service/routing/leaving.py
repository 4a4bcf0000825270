"""When a conversation should leave its deployment: the gain against the prompt cache that is lost.

Over the turns that are still expected, another deployment may bring more; but the one that holds
the conversation reads most of it from its provider's cache, and the other would read it anew. The
conversation is drawn anew where the first outweighs the second beyond doubt.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from learning.policies.base import Scores
from service.domain.catalog import Deployment
from service.domain.clock import Clock
from service.domain.lots import lot_for
from service.domain.staying import HELD_OUT, LEFT, STAYED, Stay
from service.domain.will import NO_WILL
from service.routing.caching import PromptCaches
from service.routing.narrowing import Draft
from service.routing.sessions import Held

NOTE = "session_left"  # the reason of the draw of who left
MOST_TURNS = 64
MOST_SESSIONS = 100_000
PRIOR_SESSIONS, PRIOR_LEFT = 4.0, 2.0  # that are believed to have gone on for so many more turns


@dataclass(frozen=True, slots=True)
class LeaveRules:
    """The plan's: see LeavePlan; and what a point of reward is worth, in dollars and seconds."""

    sureness: float
    held_out: float
    reread_tokens_per_s: float
    worth_usd: float
    patience_s: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """A session's turns, the tokens of its last prompt, and when that was."""

    turns: int
    tokens: int
    at_s: float


class Leaving:
    """Remembers the sessions' lengths; reckons a break-even a turn. Never waits."""

    def __init__(
        self, rules: LeaveRules, catalog: Sequence[Deployment], caches: PromptCaches, clock: Clock
    ) -> None:
        self.rules, self.caches = rules, caches
        self._catalog, self._clock = catalog, clock
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._reached = [0] * (MOST_TURNS + 2)

    def inherit(self, before: Leaving) -> None:
        """What is known of the sessions outlives a change of the plan."""
        self._seen, self._reached = before._seen, before._reached

    def turns_left(self, turn: int) -> float:
        """Turns that are expected from this one on, itself among them: of sessions that came so
        far, how many went further. Those that are still going on count as if they ended now.
        """
        turn = min(turn, MOST_TURNS)
        further = sum(self._reached[turn + 1 :])
        mean = (further + PRIOR_SESSIONS * PRIOR_LEFT) / (self._reached[turn] + PRIOR_SESSIONS)
        return 1.0 + mean

    def began(self, draft: Draft) -> None:
        """A session was drawn for the first time."""
        if draft.stay is None or draft.stay.verdict != LEFT:
            self._took(draft, 1)

    def leaves(self, draft: Draft, held: Held, index: int, dry_run: bool) -> bool:
        """Whether a held session is to be drawn anew; the break-even is put to the draft."""
        seen = self._seen.get(draft.asked.caller.session)
        turn = seen.turns + 1 if seen is not None else 2
        stay = None
        if seen is not None and self._may_leave(draft, held):
            stay = self._reckoned(draft, held, index, seen)
        if not dry_run:
            self._took(draft, turn)
        draft.stay = stay
        if stay is None or stay.verdict != LEFT:
            return False
        draft.note = NOTE
        return True

    def _took(self, draft: Draft, turn: int) -> None:
        session = draft.asked.caller.session
        self._seen[session] = _Seen(turn, draft.asked.context.tokens_in, draft.now_s)
        self._seen.move_to_end(session)
        self._reached[min(turn, MOST_TURNS)] += 1
        if len(self._seen) > MOST_SESSIONS:
            self._seen.popitem(last=False)

    @staticmethod
    def _may_leave(draft: Draft, held: Held) -> bool:
        """Nothing else wants a word in it: no operator, no experiment of its own, no tool that the
        deployment itself has called.
        """
        messages = draft.asked.request.messages
        return (
            len(draft.eligible) > 1
            and draft.will is NO_WILL
            and draft.version is None
            and held.override_id is None
            and draft.drawn.assigned == held.assigned
            and not (messages and messages[-1].role == "tool")
        )

    def _reckoned(self, draft: Draft, held: Held, index: int, seen: _Seen) -> Stay | None:
        scores = draft.published.chooser.scores(draft.asked.context, draft.eligible)
        if scores.spread is None:
            return None  # a policy that does not say how sure it is leaves nobody
        at = draft.eligible.index(index)
        turns = self.turns_left(seen.turns + 1)
        found = [
            self._against(draft, scores, (at, other), seen, turns)
            for other in range(len(draft.eligible))
            if other != at
        ]
        best = max(found, key=lambda each: each.value)
        return self._ruled(replace(best, session_decision_id=held.decision_id))

    def _against(
        self, draft: Draft, scores: Scores, pair: tuple[int, int], seen: _Seen, turns: float
    ) -> Stay:
        """The break-even of one that may be gone to."""
        at, other = pair
        rules, now_us = self.rules, self._clock.wall_us()
        here, there = (self._catalog[draft.eligible[i]] for i in pair)
        assert scores.spread is not None
        gain = float(scores.utility[other] - scores.utility[at])
        spread = math.hypot(float(scores.spread[at]), float(scores.spread[other]))
        warm = draft.now_s - seen.at_s <= here.prompt_cache_s
        share = self.caches.share(here.name) if warm else 0.0
        saved = self.caches.discount_usd(here, seen.tokens, now_us) if warm else 0.0
        regained = self.caches.discount_usd(there, seen.tokens, now_us)
        # The cache that is warm now saves from this turn on, the other's from the next one on; one
        # that is cold now is warm by the next turn too.
        again = self.caches.discount_usd(here, seen.tokens, now_us)
        cache_usd = saved + (turns - 1.0) * (again - regained)
        reread_s = share * seen.tokens / rules.reread_tokens_per_s
        per_usd = draft.asked.context.cost_dial / rules.worth_usd
        lost = per_usd * cache_usd + reread_s / rules.patience_s
        value = turns * (gain - rules.sureness * spread) - lost
        return Stay(
            draft.id, now_us, "", here.name, there.name, gain, spread, turns, seen.tokens, share,
            cache_usd, reread_s, lost, value, STAYED, 1.0,
        )  # fmt: skip

    def _ruled(self, stay: Stay) -> Stay:
        """The verdict: who would leave is held back by lot at times."""
        if not (np.isfinite(stay.value) and stay.value > 0.0):
            return stay
        out = self.rules.held_out
        verdict, probability = (
            (HELD_OUT, out) if lot_for("stay", stay.decision_id) < out else (LEFT, 1.0 - out)
        )
        return replace(stay, verdict=verdict, probability=probability)
