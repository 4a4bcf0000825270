"""No cap is passed by more than calls under way took beyond their reserve, in any interleaving."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.domain.budgets import AtCap, Budget, Scope
from service.domain.errors import BudgetExceeded
from service.domain.periods import Period
from service.domain.records import Caller, Decision, Role, Usage
from service.routing.budgets import MOST_VALUES, OTHERS, BudgetRules, Budgets, Hold, Spent
from tests.conftest import HandClock
from tests.service.routing.world import KEY, World, ask

CALLERS = [
    Caller("k1", "acme", "", "chat", ("red",)), Caller("k2", "acme", "", "mail", ("red", "blue")),
    Caller("k3", "umbrella", "", "chat", ()), Caller("k1", "acme", "", "chat", ("blue",)),
]  # fmt: skip
TARGETS, TASKS = ("small", "wide"), ("other", "code")
BUDGETS = (
    Budget("all", Scope.GLOBAL, Period.DAY, hard_micro_usd=3_000),
    Budget("acme-day", Scope.TENANT, Period.DAY, "acme", 1_000),
    Budget("each-key", Scope.KEY, Period.HOUR, hard_micro_usd=600),
    Budget("chat", Scope.FEATURE, Period.MONTH, "chat", 2_500),
    Budget("tags", Scope.TAG, Period.DAY, hard_micro_usd=900),
    Budget("wide", Scope.DEPLOYMENT, Period.HOUR, "wide", 700),
    Budget("code", Scope.TASK, Period.DAY, "code", 800, at_cap=AtCap.CHEAPER),
    Budget("told", Scope.GLOBAL, Period.MONTH, soft_micro_usd=10),
)


def decided(caller: Caller, task: str = "other") -> Decision:
    return replace(_DECISION, caller=caller, task=task)


_DECISION = World().router.decide(ask(), KEY)


def made(budgets: tuple[Budget, ...], clock: HandClock | None = None) -> Budgets:
    book = Budgets(clock or HandClock())
    book.follow(BudgetRules(budgets))
    return book


class Machine(RuleBasedStateMachine):
    """Requests that reserve, settle, cancel and crash, over many budgets at once. The model knows
    every call: by period, what it cost beyond its reserve is all that a cap may be passed by.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.book = made(BUDGETS, self.clock)
        self.open: list[tuple[Hold, Decision, str, bool, int]] = []
        self.ended: list[tuple[int, Decision, str, bool, int, int]] = []

    @rule(who=st.integers(0, 3), task=st.sampled_from(TASKS), to=st.sampled_from(TARGETS),
          amount=st.integers(0, 400), beside=st.booleans())  # fmt: skip
    def reserve(self, who: int, task: str, to: str, amount: int, beside: bool) -> None:
        target = to
        decision = decided(CALLERS[who], task)
        counted = self.book.lines(decision.caller, task).calls(target, beside)
        fits = self.book.blocked(counted, amount) is None
        try:
            hold = self.book.reserve(counted, amount)
        except BudgetExceeded as error:
            assert not fits and error.retry_after_s is not None and error.retry_after_s > 0.0
            return
        assert fits
        self.open.append((hold, decision, target, beside, amount))

    @precondition(lambda self: self.open)
    @rule(at=st.integers(0, 50), share=st.sampled_from([0.0, 0.3, 1.0, 1.0, 1.4]))
    def settle(self, at: int, share: float) -> None:
        hold, decision, target, beside, amount = self.open.pop(at % len(self.open))
        cost = int(amount * share)
        hold.release()
        hold.release()  # letting go twice changes nothing
        role = Role.SHADOW if beside else Role.FIRST
        self.book.paid(decision, target, role, Usage(1, 1, 0, cost))
        self.ended.append((self.clock.wall, decision, target, beside, cost, amount))

    @precondition(lambda self: self.open)
    @rule(at=st.integers(0, 50))
    def cancel(self, at: int) -> None:
        self.open.pop(at % len(self.open))[0].release()

    @rule(hours=st.sampled_from([0.1, 0.6, 5.0, 30.0]))
    def wait(self, hours: float) -> None:
        self.clock.advance(hours * 3_600.0)

    @rule()
    def crash(self) -> None:
        """What was under way counts as spent at its reserve; the rest is read from the log."""
        for _, decision, target, beside, amount in self.open:
            self.ended.append((self.clock.wall, decision, target, beside, amount, amount))
        self.open.clear()
        self.book = made(BUDGETS, self.clock)
        self._take_in(frozenset())

    @rule(spare=st.sampled_from(["acme-day", "tags", "all", "wide", "every"]),
          who=st.integers(0, 3), cost=st.sampled_from([0, 30]))  # fmt: skip
    def reload(self, spare: str, who: int, cost: int) -> None:
        """A plan without a budget, or any, then with it again: what is spent stays, what was spent
        meanwhile is known, and what calls under way have reserved is reserved still.
        """
        kept = tuple(b for b in BUDGETS if b.name != spare and spare != "every")
        self.book.follow(BudgetRules(kept))
        decision = decided(CALLERS[who])
        self.book.paid(decision, "wide", Role.FIRST, Usage(1, 1, 0, cost))
        self.ended.append((self.clock.wall, decision, "wide", False, cost, 0))
        known = self.book.known()
        self.book.follow(BudgetRules(BUDGETS))
        self._take_in(known)

    def _take_in(self, known: frozenset) -> None:  # type: ignore[type-arg]
        now = self.clock.wall
        for period in (Period.HOUR, Period.DAY, Period.MONTH):
            begins, ends = _bounds(period, now)
            spent = [
                Spent(d.caller, d.task, t, beside, cost, 1, float(cost) ** 2)
                for at, d, t, beside, cost, _ in self.ended if begins <= at < ends
            ]  # fmt: skip
            self.book.take_in(spent, period, known)

    @invariant()
    def no_cap_is_passed_and_every_sum_is_exact(self) -> None:
        now = self.clock.wall
        for standing in self.book.standings():
            budget = standing.budget
            begins, ends = _bounds(budget.period, now)
            mine = [
                (cost, reserve) for at, d, t, beside, cost, reserve in self.ended
                if begins <= at < ends and _counts(budget, standing.value, d, t, beside)
            ]  # fmt: skip
            held = sum(
                amount for _, d, t, beside, amount in self.open
                if _counts(budget, standing.value, d, t, beside)
            )  # fmt: skip
            assert standing.spent_micro_usd == sum(cost for cost, _ in mine)
            assert standing.reserved_micro_usd == held
            if budget.hard_micro_usd is not None:
                beyond = sum(max(cost - reserve, 0) for cost, reserve in mine)
                assert standing.spent_micro_usd <= budget.hard_micro_usd + beyond


def _bounds(period: Period, now: int) -> tuple[int, int]:
    from service.domain.periods import bounds_us

    return bounds_us(period, now, ZoneInfo("UTC"))


def _counts(budget: Budget, value: str, decision: Decision, target: str, beside: bool) -> bool:
    who = decision.caller
    if beside and not budget.scope.of_the_house:
        return False
    found = {
        Scope.GLOBAL: ("",), Scope.TENANT: (who.tenant,), Scope.KEY: (who.key_id,),
        Scope.FEATURE: (who.feature,), Scope.TAG: who.tags, Scope.TASK: (decision.task,),
        Scope.DEPLOYMENT: (target,),
    }[budget.scope]  # fmt: skip
    return value in found and budget.of in ("", value)


Machine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=40, derandomize=True, deadline=None
)
TestMachine = pytest.mark.slow(Machine.TestCase)


def test_a_budget_of_nothing_lets_nothing_pass_that_costs() -> None:
    book = made((Budget("none", Scope.GLOBAL, Period.DAY, hard_micro_usd=0),))
    counted = book.lines(CALLERS[0], "other").calls("wide")
    with pytest.raises(BudgetExceeded, match="budget none of this day"):
        book.reserve(counted, 1)
    assert book.reserve(counted, 0).release() == 0


def test_the_refusal_names_the_budget_and_nobody_else() -> None:
    book = made((Budget("acme-day", Scope.TENANT, Period.DAY, "acme", 10, at_cap=AtCap.QUEUE),))
    with pytest.raises(BudgetExceeded) as caught:
        book.reserve(book.lines(CALLERS[0], "other").calls("wide"), 11)
    error = caught.value
    assert (error.status, error.code, error.queued) == (429, "budget_exceeded", True)
    assert error.willed and error.retry_after_s is not None
    assert 0.0 < error.retry_after_s <= 86_400.0
    assert "umbrella" not in error.message and "10" not in error.message


def test_names_that_callers_make_up_take_bounded_room_and_pass_no_cap() -> None:
    book = made((Budget("features", Scope.FEATURE, Period.DAY, hard_micro_usd=5),))
    for number in range(MOST_VALUES + 20):
        caller = replace(CALLERS[0], feature=f"f{number}")
        counted = book.lines(caller, "other").calls("wide")
        if number >= MOST_VALUES + 5:  # the first five beyond the bound took all of the shared one
            with pytest.raises(BudgetExceeded):
                book.reserve(counted, 1)
        else:
            book.reserve(counted, 1)
    values = [each.value for each in book.standings()]
    assert len(values) == MOST_VALUES + 1 and values[-1] == OTHERS


def test_a_key_is_named_by_its_name_or_its_id() -> None:
    book = Budgets(HandClock(), lambda key_id: {"k1": "shop"}.get(key_id, ""))
    named = Budget("shop", Scope.KEY, Period.DAY, "shop", 100)
    book.follow(BudgetRules((named, replace(named, name="by-id", of="k1"))))
    book.paid(decided(CALLERS[0]), "wide", Role.FIRST, Usage(1, 1, 0, 60))
    assert [s.spent_micro_usd for s in book.standings()] == [60, 60]
    assert [s.left_micro_usd for s in book.standings()] == [40, 40]


def test_the_budget_that_a_key_carries_comes_and_goes() -> None:
    book = made(())
    assert book.idle
    book.of_key("k1", Budget("key/k1", Scope.KEY, Period.DAY, "k1", 5))
    assert not book.idle
    with pytest.raises(BudgetExceeded):
        book.reserve(book.lines(CALLERS[0], "other").calls("wide"), 6)
    book.of_key("k1", None)
    assert book.idle and book.lines(CALLERS[0], "other").calls("wide").caps == ()


def test_another_time_zone_begins_its_periods_anew() -> None:
    book = made(BUDGETS)
    book.paid(decided(CALLERS[0]), "wide", Role.FIRST, Usage(1, 1, 0, 60))
    book.follow(BudgetRules(BUDGETS, ZoneInfo("Asia/Kolkata")))
    assert not book.known()
