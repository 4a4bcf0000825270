"""What one request may spend: its budgets at each of its calls, and those of the request itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from service.domain.budgets import AtCap, Budget, Scope
from service.domain.catalog import Amounts, Deployment, dearest_in, dearest_out, worst_micro_usd
from service.domain.chat import ChatRequest
from service.domain.errors import BudgetExceeded
from service.domain.modalities import EMBEDDING
from service.domain.periods import Period
from service.domain.records import Decision
from service.routing.budgets import Budgets, Counted, Hold

ITS_OWN = "headgate.max_cost_usd"
BYTES_PER_TOKEN = 3  # of a prompt as JSON, at least: English has four and more
MOST_CHOICES = 128
_BULKY = frozenset({"images", "audio", "files"})
_count = msgspec.json.Decoder(int).decode


class Dearest:
    """More than any call may cost at whoever of a catalogue, whatever the day: one look for all."""

    __slots__ = ("_characters", "_fixed", "_images", "_in", "_most", "_out", "names")

    def __init__(self, catalog: Sequence[Deployment]) -> None:
        prices = [price for each in catalog for price in each.prices]
        self.names = tuple(each.name for each in catalog)
        self._in = max(dearest_in(each) for each in prices)
        self._out = max(dearest_out(each) for each in prices)
        self._characters = 4 * max(each.mchar_micro_usd for each in prices)
        self._images = max(each.image_micro_usd for each in prices)
        self._fixed = max(each.request_micro_usd for each in prices) + 1
        self._most = max(each.max_output_tokens for each in catalog)

    def of(self, worst: Worst) -> int:
        """Micro-dollars that no call of a request costs more than."""
        tokens_in, choices = worst.tokens_in, worst.choices
        out = (worst.limit or max(self._most, worst.reserve)) * choices
        total = tokens_in * (self._in + self._characters) + out * self._out
        return total // 1_000_000 + self._fixed + choices * self._images


class Worst:
    """The most that a call of a request may cost at each deployment, at list prices now.

    The prompt is taken at our count, or at a token for every three bytes of it where that is
    more; the answer at the caller's limit, else the deployment's, else the plan's reserve, once
    for each choice that is asked for, and within the context window.
    """

    __slots__ = ("_at_us", "_batch", "_known", "choices", "limit", "reserve", "tokens_in")

    def __init__(
        self, request: ChatRequest, tokens_in: int, reserve_out: int, at_us: int,
        batch: bool = False,
    ) -> None:  # fmt: skip
        fields, needs = request.fields, request.needs
        if "messages" in fields and not (needs and needs & _BULKY):
            size = memoryview(fields["messages"]).nbytes
            if "tools" in fields:
                size += memoryview(fields["tools"]).nbytes
            tokens_in = max(tokens_in, -(-size // BYTES_PER_TOKEN))
        elif request.modality == EMBEDDING:
            tokens_in = max(tokens_in, -(-memoryview(fields["input"]).nbytes // BYTES_PER_TOKEN))
        self.tokens_in = tokens_in
        self.choices = _choices(fields["n"]) if "n" in fields else 1
        self.limit, self.reserve = request.shape.tokens_out_limit, reserve_out
        self._at_us, self._batch = at_us, batch
        self._known: dict[str, int] = {}

    def of(self, target: Deployment) -> int:
        """Micro-dollars of one call, rounded up."""
        found = self._known.get(target.name)
        if found is None:
            most = target.max_output_tokens
            out = self.limit or most or self.reserve
            out = min(out, most) if most else out
            out = min(out, max(target.context_window - self.tokens_in, 1)) * self.choices
            price = target.price_at(self._at_us)
            characters = 4 * self.tokens_in if price.mchar_micro_usd else 0
            used = Amounts(self.tokens_in, out, images=self.choices, characters=characters,
                           batch=self._batch)  # fmt: skip
            found = self._known[target.name] = worst_micro_usd(price, used)
        return found


def _choices(raw: msgspec.Raw) -> int:
    try:
        return min(max(_count(raw), 1), MOST_CHOICES)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return 1  # whoever is asked refuses it


class Purse:
    """One request's. ``spent`` and ``reserved`` are of the calls that its caller pays for."""

    __slots__ = ("_book", "_caller", "_holds", "_own_cap", "_task", "reserved", "spent", "worst")

    def __init__(
        self, book: Budgets, decision: Decision, request: ChatRequest, batch: bool = False
    ) -> None:
        self._book, self._caller, self._task = book, decision.caller, decision.task
        self._own_cap = own_cap(request)
        self.worst = Worst(
            request, decision.tokens_in, book.rules.reserve_out, book.clock.wall_us(), batch
        )
        self._holds: list[Hold] = []
        self.spent = self.reserved = 0

    def reserve(self, target: Deployment, beside: bool) -> Hold | None:
        """Keep room for a call that is about to be made; raises BudgetExceeded. None where no
        budget counts it.
        """
        amount = self.worst.of(target)
        if not beside:
            refused = self._over(amount)
            if refused is not None:
                raise over_request(refused)
        counted = self._counted(target.name, beside)
        if counted is None and (beside or self._own_cap is None):
            return None
        hold = self._book.reserve(counted or _NOBODYS, amount)
        if not beside:
            self.reserved += amount
        self._holds.append(hold)
        return hold

    def fits(self, target: Deployment) -> bool:
        """Whether a further call, to this deployment, could be reserved now."""
        amount = self.worst.of(target)
        if self._over(amount) is not None:
            return False
        counted = self._counted(target.name, False)
        return counted is None or self._book.blocked(counted, amount) is None

    def settle(self, hold: Hold | None, micro_usd: int, beside: bool) -> None:
        """A call has ended and cost so much."""
        released = hold.release() if hold is not None else 0
        if not beside:
            self.reserved -= released
            self.spent += micro_usd

    def close(self) -> None:
        """Let go of what calls that were never made had reserved."""
        for hold in self._holds:
            hold.release()
        self._holds.clear()
        self.reserved = 0

    def _counted(self, target: str, beside: bool) -> Counted | None:
        if self._book.idle:
            return None
        return self._book.lines(self._caller, self._task).calls(target, beside)

    def _over(self, amount: int) -> Budget | None:
        """The budget of one request that has no room for so much more."""
        total = self.spent + self.reserved + amount
        if self._own_cap is not None and total > self._own_cap:
            return _OWN
        if self._book.idle:
            return None
        requests = self._book.lines(self._caller, self._task).requests
        return over(requests, total)


def purse_of(book: Budgets | None, decision: Decision, request: ChatRequest) -> Purse | None:
    """What a request may spend, where anything bounds it."""
    if book is None or (book.idle and request.options.max_cost_usd is None):
        return None
    return Purse(book, decision, request)


def own_cap(request: ChatRequest) -> int | None:
    """The cap that a request sets itself, micro-dollars; rounded down."""
    usd = request.options.max_cost_usd
    return None if usd is None or usd > 1e12 else int(usd * 1e6 + 1e-9)


def over(requests: Sequence[Budget], total: int) -> Budget | None:
    """The first budget of one request that is less than a total."""
    for budget in requests:
        if budget.hard_micro_usd is not None and total > budget.hard_micro_usd:
            return budget
    return None


def over_request(budget: Budget) -> BudgetExceeded:
    """The refusal of a request that may cost more than one may."""
    return BudgetExceeded(
        f"this request may cost more than the budget {budget.name} gives to one; ask for a "
        "shorter answer (max_completion_tokens), or for a cheaper deployment"
    )


_NOBODYS = Counted((), ())
_OWN = Budget(ITS_OWN, Scope.GLOBAL, Period.REQUEST, hard_micro_usd=0, at_cap=AtCap.CHEAPER)
