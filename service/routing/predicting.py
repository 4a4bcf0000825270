"""What is done by the chances foreseen: begin at a higher tier, take out who is unlikely to do."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.lots import lot_for
from service.domain.prediction import EARLY, ESCALATED, HELD_OUT, NARROWED, UNLIKELY, Predicted
from service.domain.records import Disqualified
from service.routing.foreseeing import FITTED, Ahead, Foreseer
from service.routing.ladder import Ladders
from service.routing.narrowing import LATER_TIER, Draft

SURE = 1.64  # deviations: one side, 95 %
PURPOSE = "prediction"  # of the lot by which an act is held out


class Prediction:
    """Acts on drafts. Only where a fit is believed, and never against what operators want or what
    an experiment has drawn.
    """

    def __init__(self, foreseer: Foreseer, ladders: Ladders) -> None:
        self.foreseer, self._ladders = foreseer, ladders
        self._names = foreseer.names

    def act(self, draft: Draft) -> None:
        """Do to a draft what its chances say, or note that it was held out, by lot."""
        ahead, rules = draft.asked.ahead, self.foreseer.rules
        if ahead is None or ahead.by.state != FITTED:
            return
        if draft.will.bounds or draft.pinned is not None or draft.drawn.treatment:
            return
        eligible, out, act = draft.eligible, draft.out, ""
        if rules.below is not None:
            eligible, out, act = self._higher(ahead, draft)
        if rules.margin is not None:
            unlikely = self._unlikely(ahead, draft, eligible)
            if unlikely:
                eligible = [at for at in eligible if at not in unlikely]
                out = out + [Disqualified(self._names[at], UNLIKELY) for at in unlikely]
                act = act or NARROWED
        if not act:
            return
        taken = tuple([each.deployment for each in out if each.reason == UNLIKELY])
        if rules.held_out and lot_for(PURPOSE, draft.id) < rules.held_out:
            draft.foreseen = HELD_OUT, taken
            return
        draft.foreseen = act, taken
        draft.eligible, draft.out = eligible, out
        if act == ESCALATED:
            draft.note = EARLY

    def wants_stronger(
        self, ahead: Ahead, draft: Draft, first: Sequence[int], later: Sequence[int]
    ) -> bool:
        """Whether a request should not begin at the tier of ``first``: even the best of them is
        surely unlikely to answer acceptably, and the best of ``later`` is better by the gain.
        """
        rules, chances = self.foreseer.rules, ahead.chances
        if rules.below is None or not first or not later:
            return False
        best = max(first, key=chances.__getitem__)
        if chances[best] >= rules.below:
            return False
        if max(chances[at] for at in later) < chances[best] + rules.gain:
            return False
        deviation = _deviations(ahead, draft, [best])[0]
        return chances[best] + SURE * deviation < rules.below

    def record(self, draft: Draft, at_us: int) -> Predicted | None:
        """What is logged of it; None where nothing was foreseen."""
        ahead = draft.asked.ahead
        if ahead is None:
            return None
        act, taken = draft.foreseen
        share = self.foreseer.rules.held_out
        probability = 1.0 if not act else share if act == HELD_OUT else 1.0 - share
        of, by = ahead.demand, ahead.by
        return Predicted(
            draft.id, at_us, by.model_id, by.state, of.complexity, of.ambiguity, of.difficulty,
            self._names, ahead.chances, act, probability, taken,
        )  # fmt: skip

    def _higher(self, ahead: Ahead, draft: Draft) -> tuple[list[int], list[Disqualified], str]:
        """Who may answer where the request begins at a later tier; else as it was."""
        eligible, out, act = draft.eligible, draft.out, ""
        ladder = self._ladders.of(draft.asked.task)
        if ladder is None:
            return eligible, out, act
        while True:
            waiting = [each.deployment for each in out if each.reason == LATER_TIER]
            after, _ = ladder.first(waiting)
            later = [at for at, name in enumerate(self._names) if name in after]
            if not self.wants_stronger(ahead, draft, eligible, later):
                return eligible, out, act
            out = [each for each in out if each.deployment not in after]
            out += [Disqualified(self._names[at], UNLIKELY) for at in eligible]
            eligible, act = later, ESCALATED

    def _unlikely(self, ahead: Ahead, draft: Draft, eligible: Sequence[int]) -> list[int]:
        """Who lies surely further below the best than the margin allows; never the best."""
        margin, chances = self.foreseer.rules.margin or 0.0, ahead.chances
        least = max([chances[at] for at in eligible]) - margin
        below = [at for at in eligible if chances[at] < least]
        if not below:
            return []
        deviations = _deviations(ahead, draft, below)
        return [
            at for at, each in zip(below, deviations, strict=True)
            if chances[at] + SURE * each < least
        ]  # fmt: skip


def _deviations(ahead: Ahead, draft: Draft, of: Sequence[int]) -> list[float]:
    """How unsure the chances of some are."""
    return ahead.by.foresight.deviations_of(of, draft.asked.context.features, ahead.of_text)
