"""A conversation leaves where the gain outweighs the cache that is lost, and says so honestly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learning.interaction import Context, Vector
from learning.policies.base import Chooser, Scores
from service.domain.catalog import Price
from service.domain.errors import CapabilityMissing
from service.domain.records import Attempt, Decision, Mode, Role, Usage
from service.domain.staying import HELD_OUT, LEFT, STAYED
from service.routing.caching import PromptCaches
from service.routing.leaving import NOTE, LeaveRules, Leaving
from tests.service.routing.world import KEY, World, ask, deployment

RULES = LeaveRules(2.0, 0.0, 5_000.0, 0.1, 60.0)
CACHED = Price(1_000_000, 2_000_000, 100_000)
DEAR = Price(20_000_000, 20_000_000, 2_000_000)
LONG = "the long tale of a river " * 2_000


class Told(Chooser):
    """Says what it is told to."""

    arms = ("one", "two")

    def __init__(
        self, utility: Sequence[float], spread: float | None = 0.001, cost: float = 0.0
    ) -> None:
        self.utility, self.spread, self.cost = np.array(utility), spread, cost

    def scores(self, context: Context, eligible: Sequence[int]) -> Scores:
        at, zeros = list(eligible), np.zeros(len(eligible))
        spread = None if self.spread is None else zeros + self.spread
        return Scores(zeros + 0.5, zeros + self.cost, zeros, zeros, self.utility[at], spread)

    def propensities(self, scores: Scores) -> Vector:
        weights = np.exp(8.0 * scores.utility)
        return np.asarray(weights / weights.sum())


class Stage(World):
    """Two deployments; the session is first drawn to ``one``."""

    def __init__(self, rules: LeaveRules = RULES, price: Price = CACHED) -> None:
        catalog = tuple(
            deployment(name, prices=(price,), context_window=10**6) for name in ("one", "two")
        )
        super().__init__(of=(catalog, ()))
        self.leaving = Leaving(rules, catalog, PromptCaches(), self.clock)
        self.router._parts = replace(self.router._parts, leaving=self.leaving)

    def think(self, *utility: float, spread: float | None = 0.001) -> None:
        self.live.current = replace(self.live.current, chooser=Told(utility, spread))

    def turn(self, text: str = "And?", session: str = "s", **more: Any) -> Decision:
        self.clock.advance(1.0)
        return self.router.decide(ask(text, headgate={"session_id": session}, **more), KEY)

    def begun(self, session: str = "s", text: str = "Hello.") -> Decision:
        self.think(5.0, 0.0)
        made = self.turn(text, session)
        assert made.deployment == "one" and made.mode is Mode.RANDOMISED and made.stay is None
        return made

    def cached(self, share: float, name: str = "one") -> None:
        """Its provider was seen to take such a share from its cache."""
        sticky = replace(self.begun("other"), mode=Mode.STICKY)
        usage = Usage(100_000, 10, int(share * 100_000), 1)
        seen = Attempt("d", 1, 0, name, "p", Role.FIRST, 200, None, None, 0.1, usage)
        for _ in range(50):
            self.leaving.caches.saw(sticky, seen)


def test_it_stays_where_little_is_to_be_gained_and_leaves_where_much_is() -> None:
    stage = Stage()
    first = stage.begun()
    stage.think(0.50, 0.501)
    stayed = stage.turn()
    assert stayed.mode is Mode.STICKY and stayed.session_decision_id == first.id
    assert stayed.stay is not None and stayed.stay.verdict == STAYED and stayed.stay.value < 0
    assert stayed.stay.session_decision_id == first.id and stayed.stay.best == "two"
    stage.think(0.5, 0.9)
    left = stage.turn()
    assert left.mode is Mode.RANDOMISED and left.reason == NOTE and left.stay is not None
    assert left.stay.verdict == LEFT and left.stay.probability == 1.0
    assert left.session_decision_id is None and left.caller.unit == first.caller.unit
    assert sum(left.candidates.propensities) == pytest.approx(1.0)
    assert left.propensity == left.candidates.propensities[
        left.candidates.names.index(left.deployment)] < 1.0  # fmt: skip
    after = stage.turn()
    assert after.mode is Mode.STICKY or after.reason == NOTE
    if after.mode is Mode.STICKY:
        assert after.session_decision_id == left.id, "held by the new draw from then on"


def test_the_draw_of_who_leaves_follows_its_propensities() -> None:
    """400 sessions leave; a binomial count further off than four deviations comes once in 15,000;
    the draws are seeded.
    """
    stage, drawn = Stage(), Counter[str]()
    for number in range(400):
        stage.begun(f"s{number}")
        stage.think(0.5, 0.7)
        made = stage.turn(session=f"s{number}")
        assert made.reason == NOTE
        drawn[made.deployment] += 1
        p = made.candidates.propensities[1]
    assert abs(drawn["two"] - 400 * p) < 4 * (400 * p * (1 - p)) ** 0.5


def test_a_warm_cache_keeps_it_and_a_cold_one_does_not() -> None:
    verdicts = {}
    for warm in (True, False):
        stage = Stage(price=DEAR)
        stage.cached(0.9)
        stage.begun(text=LONG)
        stage.think(0.50, 0.60)
        if not warm:
            stage.clock.advance(400.0)
            stage.sessions.idle_s = 1e6
        made = stage.turn(LONG)
        assert made.stay is not None
        verdicts[warm] = made.stay
    warm_stay, cold = verdicts[True], verdicts[False]
    assert warm_stay.verdict == STAYED and warm_stay.cached_share > 0.8
    assert warm_stay.cache_usd > 0.1 and warm_stay.reread_s > 1.0
    assert cold.cached_share == 0.0 and cold.lost < warm_stay.lost


def test_doubt_keeps_it() -> None:
    for spread, verdict in ((0.001, LEFT), (0.2, STAYED)):
        stage = Stage()
        stage.begun()
        stage.think(0.5, 0.7, spread=spread)
        made = stage.turn()
        assert made.stay is not None and made.stay.verdict == verdict
    stage.think(0.5, 0.9, spread=None)
    assert stage.turn().stay is None, "a policy that does not say how sure it is leaves nobody"


def test_some_are_held_out_by_lot() -> None:
    stage, found = Stage(replace(RULES, held_out=0.3)), Counter[str]()
    for number in range(300):
        stage.begun(f"s{number}")
        stage.think(0.5, 0.9)
        made = stage.turn(session=f"s{number}")
        assert made.stay is not None
        found[made.stay.verdict] += 1
        held_out = made.stay.verdict == HELD_OUT
        assert made.mode is (Mode.STICKY if held_out else Mode.RANDOMISED)
        assert made.stay.probability == pytest.approx(0.3 if held_out else 0.7)
    assert set(found) == {LEFT, HELD_OUT} and 50 < found[HELD_OUT] < 130


def test_nobody_leaves_between_a_call_and_its_result_or_under_an_override() -> None:
    stage = Stage()
    stage.begun()
    stage.think(0.5, 0.9)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [{"role": "user", "content": "x"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "y"}]  # fmt: skip
    made = stage.turn(messages=messages)
    assert made.mode is Mode.STICKY and made.stay is None
    stage.override("exclude", "nobody")
    assert stage.turn().stay is None


def test_expected_turns_are_learned_from_sessions() -> None:
    short, long = Stage(), Stage()
    for stage, turns in ((short, 2), (long, 12)):
        for number in range(60):
            stage.begun(f"s{number}")
            stage.think(5.0, 0.0)
            for _ in range(turns - 1):
                stage.turn(session=f"s{number}")
    assert long.leaving.turns_left(2) > 8 > 2 > short.leaving.turns_left(2)


def test_a_dry_run_changes_nothing() -> None:
    stage = Stage()
    stage.begun()
    stage.think(0.5, 0.9)
    seen = dict(stage.leaving._seen)
    request = ask("And?", headgate={"session_id": "s"})
    assert stage.router.decide(request, KEY, dry_run=True).reason == NOTE
    assert stage.leaving._seen == seen


def test_shares_are_learned_from_held_sessions_alone() -> None:
    stage = Stage()
    caches = stage.leaving.caches
    assert caches.share("one") == 0.0, "nothing is expected before it was seen"
    stage.cached(0.8)
    assert 0.7 < caches.share("one") < 0.8 and caches.share("two") == 0.0
    one = stage.router.table.catalog[0]
    expected = caches.share("one") * 10_000 * 900_000 / 1e12
    assert caches.discount_usd(one, 10_000, 0) == pytest.approx(expected)
    assert caches.discount_usd(replace(one, prices=(Price(1, 1),)), 10_000, 0) == 0.0


def test_the_cost_of_a_held_session_counts_its_warm_cache() -> None:
    """A bound on cost that the full price breaks is kept by what is read from the cache."""
    stage = Stage(price=DEAR)
    stage.router._parts = replace(stage.router._parts, leaving=None, caches=stage.leaving.caches)
    stage.cached(0.9)
    stage.begun(text=LONG)
    full = 0.25
    stage.live.current = replace(stage.live.current, chooser=Told((5.0, 0.0), cost=full))
    options = {"session_id": "s", "max_cost_usd": full - 0.05}
    stage.clock.advance(1.0)
    made = stage.router.decide(ask(LONG, headgate=options), KEY)
    assert made.mode is Mode.STICKY and made.deployment == "one"
    stage.sessions.idle_s = 1e6
    stage.clock.advance(400.0)
    with pytest.raises(CapabilityMissing, match="max_cost_usd"):
        stage.router.decide(ask(LONG, headgate=options), KEY)
