"""The budgets in force: looked up, reserved before each call and settled after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from zoneinfo import ZoneInfo

from service.domain.budgets import AtCap, AtSoft, Budget, BudgetStanding, Scope
from service.domain.clock import Clock
from service.domain.errors import BudgetExceeded
from service.domain.periods import Period
from service.domain.records import Caller, Decision, Role, Usage
from service.routing.counters import Counter, Name

MOST_VALUES = 5_000  # of a scope in a period: those beyond it share one counter
MOST_KNOWN = 4_096  # callers whose budgets are remembered; then all are looked up anew
OTHERS = "(others)"
ROOMY = 2**63
UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class BudgetRules:
    """The plan's budgets. ``reserve_out``: tokens that are reserved for an answer that nothing
    bounds.
    """

    budgets: tuple[Budget, ...] = ()
    zone: ZoneInfo = UTC
    reserve_out: int = 1_024


class Spent(NamedTuple):
    """Logged calls of one caller, task and deployment together. ``beside``: no caller paid."""

    caller: Caller
    task: str
    deployment: str
    beside: bool
    micro_usd: int
    calls: int
    squares: float


class Hold:
    """What a call has reserved, and of whom; let go once."""

    __slots__ = ("amount", "counters")

    def __init__(self, counters: Sequence[Counter], amount: int) -> None:
        self.counters, self.amount = counters, amount

    def release(self) -> int:
        """Let it go; what it was, 0 the second time."""
        amount, self.amount = self.amount, 0
        for counter in self.counters:
            counter.reserved -= amount
        return amount


Line = tuple[Budget, Counter]


@dataclass(slots=True)
class Counted:
    """What a call to one deployment is counted in, and the hard caps that it must keep."""

    counters: tuple[Counter, ...]
    caps: tuple[tuple[int, Budget, Counter], ...]


class Lines:
    """The budgets of one caller and task. ``requests``: those of one request; ``soft``: those that
    do something from their soft limits on.
    """

    __slots__ = (
        "_all", "_beside", "_book", "_by_target", "_caller", "_task", "paced", "requests", "soft",
    )  # fmt: skip

    def __init__(self, book: Budgets, caller: Caller, task: str) -> None:
        self._book, self._caller, self._task = book, caller, task
        self._by_target: dict[str, Counted] = {}
        self._beside: dict[str, Counted] = {}
        self._all: tuple[Sequence[str], tuple[tuple[int, Counter], ...]] = ((), ())
        found = list(book.matching(caller, task, None))
        self.requests = tuple(b for b, value in found if b.period is Period.REQUEST)
        self.paced = tuple(
            (b, book.counter(b, value)) for b, value in found
            if b.at_cap is AtCap.PACE and b.period is not Period.REQUEST
        )  # fmt: skip

        self.soft = tuple(
            (b, book.counter(b, value)) for b, value in found
            if b.at_soft is not AtSoft.TELL and b.soft_micro_usd is not None
        )  # fmt: skip

    def calls(self, target: str, beside: bool = False) -> Counted:
        """Of calls to a deployment."""
        kept = self._beside if beside else self._by_target
        found = kept.get(target)
        if found is None:
            found = kept[target] = self._find(target, beside)
        return found

    def room(self, targets: Sequence[str], now_us: int) -> int:
        """What every hard cap leaves, whoever of the targets is called; a great number where there
        is none.
        """
        if self._all[0] is not targets:
            caps = {(cap, id(c)): (cap, c) for t in targets for cap, _, c in self.calls(t).caps}
            self._all = targets, tuple(caps.values())
        least = ROOMY
        for cap, counter in self._all[1]:
            if not counter.starts_us <= now_us < counter.ends_us:
                counter.turn(now_us)
            left = cap - counter.spent - counter.reserved
            if left < least:
                least = left
        return least

    def _find(self, target: str, beside: bool) -> Counted:
        counters: dict[int, Counter] = {}
        caps = []
        for budget, value in self._book.matching(self._caller, self._task, target):
            if budget.period is Period.REQUEST or (beside and not budget.scope.of_the_house):
                continue
            counter = self._book.counter(budget, value)
            counters[id(counter)] = counter
            if budget.hard_micro_usd is not None:
                caps.append((budget.hard_micro_usd, budget, counter))
        return Counted(tuple(counters.values()), tuple(caps))


@dataclass(slots=True)
class Budgets:
    """All budgets, on the event loop alone: nothing between a look and a reservation can come in
    between, and nothing waits.
    """

    clock: Clock
    key_name: Callable[[str], str] = lambda key_id: key_id
    rules: BudgetRules = field(default_factory=BudgetRules)
    of_keys: dict[str, Budget] = field(default_factory=dict)
    idle: bool = True
    _counters: dict[Name, Counter] = field(default_factory=dict)
    _retired: dict[Name, Counter] = field(default_factory=dict)  # calls under way still hold them
    _values: dict[tuple[Scope, Period], int] = field(default_factory=dict)
    _lines: dict[tuple[str, str, str, tuple[str, ...], str], Lines] = field(default_factory=dict)

    # what is in force ---------------------------------------------------------------------------

    def follow(self, rules: BudgetRules) -> None:
        """Go on under another plan. What is counted stays, whatever the limits; in another time
        zone the periods begin anew, so their spend is to be taken in again.
        """
        if rules.zone != self.rules.zone:
            held = {name: each for name, each in self._counters.items() if each.reserved}
            self._retired.update(held)
            self._counters.clear()
            self._values.clear()
        self.rules = rules
        self._renew()

    def of_key(self, key_id: str, budget: Budget | None) -> None:
        """The budget that a key carries, from the next call on; None: none."""
        if budget is None:
            self.of_keys.pop(key_id, None)
        else:
            self.of_keys[key_id] = budget
        self._renew()

    def _renew(self) -> None:
        """What no budget counts any more is forgotten: it would miss what is spent from now on, and
        is taken from the log where one counts it again.
        """
        self._lines.clear()
        self.idle = not self.rules.budgets and not self.of_keys
        for name in [each for each in self._counters if not self._wanted(each)]:
            gone = self._counters.pop(name)
            self._values[name[:2]] = self._values.get(name[:2], 1) - 1
            if gone.reserved:
                self._retired[name] = gone
        for name in [each for each in self._retired if self._wanted(each)]:
            again = self._counters[name] = self._retired.pop(name)  # its calls let go of this one
            again.anew(self.rules.zone, self.clock.wall_us())
            self._values[name[:2]] = self._values.get(name[:2], 0) + 1

    def _wanted(self, name: Name) -> bool:
        return any(name[:2] == (b.scope, b.period) and self._is_of(b, name[2]) for b in self.all)

    @property
    def all(self) -> tuple[Budget, ...]:
        """The plan's, then the keys'."""
        return (*self.rules.budgets, *self.of_keys.values())

    def known(self) -> frozenset[Name]:
        """What is counted already."""
        return frozenset(self._counters)

    def take_in(self, spent: Iterable[Spent], period: Period, but: frozenset[Name]) -> None:
        """What the log knows of calls that ended in the present one of a period, to the counters
        of it that were not there before.
        """
        for each in spent:
            found = self.lines(each.caller, each.task)
            for counter in found.calls(each.deployment, each.beside).counters:
                if counter.period is period and counter.name not in but:
                    counter.add(each.micro_usd, each.calls, each.squares)

    # of a call ----------------------------------------------------------------------------------

    def lines(self, caller: Caller, task: str) -> Lines:
        """The budgets of a caller's requests of a task."""
        name = caller.key_id, caller.tenant, caller.feature, caller.tags, task
        found = self._lines.get(name)
        if found is None:
            if len(self._lines) >= MOST_KNOWN:
                self._lines.clear()
            found = self._lines[name] = Lines(self, caller, task)
        return found

    def matching(
        self, caller: Caller, task: str, target: str | None
    ) -> Iterator[tuple[Budget, str]]:
        """Each budget that a call counts in, with the value of its scope."""
        for budget in self.all:
            for value in _values(budget.scope, caller, task, target):
                named = budget.of in (value, "")
                if budget.scope is Scope.KEY and not named:
                    named = self.key_name(value) == budget.of
                if named:
                    yield budget, value

    def counter(self, budget: Budget, value: str) -> Counter:
        """Of one value; those beyond the bound share one, so that names that a caller makes up
        take no room, and no cap is passed by making up more.
        """
        scope, period = budget.scope, budget.period
        name = scope, period, value
        found = self._counters.get(name)
        if found is not None:
            return found
        count = self._values.get((scope, period), 0)
        if count >= MOST_VALUES and not budget.of:
            self._sweep(scope, period)
            count = self._values.get((scope, period), 0)
            if count >= MOST_VALUES and value != OTHERS:
                return self.counter(budget, OTHERS)
        found = self._counters[name] = Counter(name, self.rules.zone, self.clock.wall_us())
        self._values[scope, period] = count + 1
        return found

    def _sweep(self, scope: Scope, period: Period) -> None:
        """Let go of values of which nothing was spent in the present period."""
        now_us = self.clock.wall_us()
        gone = [
            name for name, each in self._counters.items()
            if name[:2] == (scope, period) and now_us >= each.ends_us and not each.reserved
        ]  # fmt: skip
        for name in gone:
            del self._counters[name]
        self._values[scope, period] = self._values.get((scope, period), 0) - len(gone)
        if gone:
            self._lines.clear()

    def reserve(self, calls: Counted, micro_usd: int) -> Hold:
        """Keep room for one call in every budget that it counts in; raises BudgetExceeded where
        one has none, and then nothing is kept.
        """
        now_us = self.clock.wall_us()
        for counter in calls.counters:
            if not counter.starts_us <= now_us < counter.ends_us:
                counter.turn(now_us)
        for cap, budget, counter in calls.caps:
            if counter.spent + counter.reserved + micro_usd > cap:
                raise exceeded(budget, counter.ends_us - now_us)
        for counter in calls.counters:
            counter.reserved += micro_usd
        return Hold(calls.counters, micro_usd)

    def blocked(self, calls: Counted, micro_usd: int) -> tuple[Budget, int] | None:
        """The first budget without room for so much and the microseconds until its period ends."""
        if not calls.caps:
            return None
        now_us = self.clock.wall_us()
        for cap, budget, counter in calls.caps:
            counter.turn(now_us)
            if counter.spent + counter.reserved + micro_usd > cap:
                return budget, counter.ends_us - now_us
        return None

    def paid(self, decision: Decision, target: str, role: Role, usage: Usage) -> None:
        """A call has ended and cost so much: counted in the period in which it ended."""
        self.cost(decision.caller, decision.task, target, role, usage.cost_micro_usd)

    def cost(self, caller: Caller, task: str, target: str, role: Role, micro_usd: int) -> None:
        """The same by whom and what it was for."""
        if self.idle:
            return
        now_us = self.clock.wall_us()
        counted = self.lines(caller, task).calls(target, role.beside)
        for counter in counted.counters:
            if not counter.starts_us <= now_us < counter.ends_us:
                counter.turn(now_us)
            counter.add(micro_usd)

    def hold(self, caller: Caller, task: str, target: str, micro_usd: int) -> Hold | None:
        """Keep room for a call that was begun before this process: whether there is any is not
        asked.
        """
        if self.idle:
            return None
        counted = self.lines(caller, task).calls(target)
        for counter in counted.counters:
            counter.turn(self.clock.wall_us())
            counter.reserved += micro_usd
        return Hold(counted.counters, micro_usd)

    # shown --------------------------------------------------------------------------------------

    def standings(self) -> list[BudgetStanding]:
        """Every budget for every value that has been seen; those of one request have none."""
        now_us, shown = self.clock.wall_us(), []
        by_scope: dict[tuple[Scope, Period], list[tuple[str, Counter]]] = {}
        for (scope, period, value), counter in self._counters.items():
            counter.turn(now_us)
            by_scope.setdefault((scope, period), []).append((value, counter))
        for budget in self.all:
            if budget.period is Period.REQUEST:
                continue
            known = by_scope.get((budget.scope, budget.period), [])
            mine = [(v, c) for v, c in known if self._is_of(budget, v)]
            if not mine and (budget.of or budget.scope is Scope.GLOBAL):
                name = budget.scope, budget.period, budget.of
                mine = [(budget.of, Counter(name, self.rules.zone, now_us))]
            shown += [_standing(budget, value, counter, now_us) for value, counter in mine]
        return shown

    def _is_of(self, budget: Budget, value: str) -> bool:
        if budget.of in ("", value):
            return True
        return budget.scope is Scope.KEY and self.key_name(value) == budget.of


def _values(scope: Scope, caller: Caller, task: str, target: str | None) -> Sequence[str]:
    """The values of a scope that a call has; a label that is not given has none."""
    match scope:
        case Scope.GLOBAL:
            return ("",)
        case Scope.KEY:
            return (caller.key_id,) if caller.key_id else ()
        case Scope.TENANT:
            return (caller.tenant,) if caller.tenant else ()
        case Scope.FEATURE:
            return (caller.feature,) if caller.feature else ()
        case Scope.TAG:
            return tuple(dict.fromkeys(caller.tags))
        case Scope.TASK:
            return (task,) if task else ()
        case Scope.DEPLOYMENT:
            return (target,) if target else ()


def _standing(budget: Budget, value: str, counter: Counter, now_us: int) -> BudgetStanding:
    return BudgetStanding(
        budget, value, counter.spent, counter.reserved, counter.calls, counter.starts_us,
        counter.ends_us, counter.forecast(now_us),
    )  # fmt: skip


def waits(budget: Budget, left_us: int) -> BudgetExceeded:
    """What a request is told that can wait, once a soft limit is spent."""
    error = BudgetExceeded(
        f"the budget {budget.name} of this {budget.period} is spent to its soft limit: what can "
        "wait waits until it begins anew",
        retry_after_s=left_us / 1e6,
    )
    error.queued = True
    return error


def exceeded(budget: Budget, left_us: int) -> BudgetExceeded:
    """The refusal that names the budget, and nothing of anybody else's."""
    error = BudgetExceeded(
        f"the budget {budget.name} of this {budget.period} has no room for what this request may "
        "cost; ask for a shorter answer (max_completion_tokens), or come back when it begins anew",
        retry_after_s=left_us / 1e6,
    )
    error.queued = budget.at_cap is AtCap.QUEUE
    return error
