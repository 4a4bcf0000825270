"""Every page drawn from a running service, without a browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.console.looker import Looker
from service.console.overriding import moved
from service.console.pages.registry import PAGES
from service.console.shell import ways
from service.domain.budgets import AtCap, Budget, Scope
from service.domain.clock import new_id
from service.domain.errors import NotFound
from service.domain.periods import Period
from service.domain.records import Weight
from service.routing.budgets import BudgetRules
from service.storage.cases import rows_of
from tests.conftest import KEY, Service
from tests.service.console.looking import (
    CANARY,
    REASON,
    act,
    acts_offered,
    drawn,
    of_page,
    page,
    texts,
    walk,
)

pytestmark = pytest.mark.slow

MADE = ("/experiments/{of}", "/workflows/runs/{of}")  # of what a test makes first


@pytest.mark.parametrize("role", ["analyst", "operator", "administrator"])
@pytest.mark.parametrize("path", [each.path for each in PAGES if each.path not in MADE])
async def test_every_page_and_every_role(
    busy: Service, look: Callable[..., Looker], path: str, role: str
) -> None:
    found = await drawn(page(path), look(of_page(busy, path), role))
    headings = [each for each in found if not isinstance(each, str) and each[0] == "h1"]
    assert len(headings) == 1
    if role == "analyst":
        assert not acts_offered(found)
    else:
        assert "kill" in acts_offered(found)
    assert KEY not in texts(found) and "Tell me of" not in texts(found)


async def test_what_people_wrote_stays_a_text(busy: Service, look: Callable[..., Looker]) -> None:
    identity = busy.runtime.kept.cases.latest(1)[0].decision.id
    found = await drawn(page("/decisions/{of}"), look(identity))
    assert found.count(CANARY) == 2  # the reason and the tag, each the whole of a text node


async def test_the_page_of_what_is_not_there(look: Callable[..., Looker]) -> None:
    for path, of in (("/deployments/{of:path}", "nobody"), ("/decisions/{of}", new_id()),
                     ("/decisions/{of}", CANARY), ("/experiments/{of}", "none")):  # fmt: skip
        with pytest.raises(NotFound):
            await page(path).draw(look(of))


async def test_now_serving_tells_shares_and_wills(look: Callable[..., Looker]) -> None:
    found = texts(await drawn(page("/"), look()))
    assert "Nobody overrides anything" in found and "Policy in force" in found
    assert "Shares over the last hour" in found and "brook" in found


async def test_budgets_tell_what_is_spent_reserved_left_and_foretold(
    busy: Service, look: Callable[..., Looker]
) -> None:
    book = busy.runtime.budgets.book
    assert "Hard cap" not in texts(await drawn(page("/budgets"), look()))
    book.follow(BudgetRules((Budget("all-day", Scope.GLOBAL, Period.DAY, hard_micro_usd=7_000_000,
                                    at_cap=AtCap.CHEAPER),)))  # fmt: skip
    try:
        found = texts(await drawn(page("/budgets"), look()))
    finally:
        book.follow(BudgetRules())
    assert "all-day" in found and "day, at the cap cheaper" in found and "$7" in found
    assert all(each in found for each in ("Reserved", "Left", "By its end", "Hard cap"))


async def test_search_and_audit(busy: Service, look: Callable[..., Looker]) -> None:
    case = busy.runtime.kept.cases.latest(1)[0].decision
    decisions, looker = page("/decisions"), look()
    await looker.do(decisions.handlers["search"], "", {"deployment": case.deployment})
    assert case.id[-8:] in texts(await drawn(decisions, looker))
    await looker.do(decisions.handlers["search"], "", {"tenant": "' OR 1=1 --"})
    assert "None found" in texts(await drawn(decisions, looker))
    await looker.do(decisions.handlers["search"], "", {"id": "nonsense"})
    assert looker.open is not None and "32 hexadecimal" in looker.open.problem
    await looker.do(decisions.handlers["search"], "", {"id": "chatcmpl-" + case.id})
    assert looker.go == f"/console/decisions/{case.id}"
    await act(looker, "ask", "reset:brook")
    await act(looker, "confirm", reason=REASON)
    audit, looker = page("/audit"), look(q=f"{REASON.split()[1]} RESET")
    found = texts(await drawn(audit, looker))
    assert "reset" in found and REASON in found
    await looker.do(audit.handlers["search"], "", {"words": "nobody-ever", "hours": "24"})
    assert "No act holds these words" in texts(await drawn(audit, looker))


async def test_the_ways_tell_what_waits() -> None:
    found = [
        each for tree in ways("/console/alerts", {"/console/alerts": 2}) for each in walk(tree)
    ]
    assert "2" in found
    marked = [e for e in found if not isinstance(e, str) and e[1].get("aria-current") == "page"]
    assert [each[1]["href"] for each in marked] == ["/console/alerts"]


def test_what_an_override_would_move() -> None:
    def weight(name: str, share: float, cost: float) -> Weight:
        return Weight(0, "t", name, share, 0.5, cost, 1.0, 0.0, 0.0, 9, 0, "")

    rows = [weight("a", 0.5, 1.0), weight("b", 0.3, 2.0), weight("c", 0.2, 4.0)]
    [out] = moved(rows, "exclude", "a", "")
    assert out.share == 0.5 and out.cost_usd == pytest.approx((1.9, 0.6 * 2 + 0.4 * 4))
    [forced] = moved(rows, "force", "a", "t")
    assert forced.share == 0.5 and forced.cost_usd == pytest.approx((1.9, 1.0))
    assert moved(rows, "force", "a", "other") == [] and moved(rows, "exclude", "z", "") == []


async def test_the_chain_is_verified_and_acts_tell_their_person(
    busy: Service, look: Callable[..., Looker]
) -> None:
    looker, audit = look(), page("/audit")
    await act(looker, "ask", "reset:mill")
    await act(looker, "confirm", reason=REASON)
    await looker.do(audit.handlers["verify"], "", {})
    shown = texts(await drawn(audit, looker))
    assert looker.kept["chain"] in shown and "127.0.0.9" in shown
    rows = rows_of(
        busy.runtime.kept.database.cursor(),
        "SELECT actor, role, ip, key_id FROM acts WHERE act = 'deployment.reset' "
        "ORDER BY log_seq DESC LIMIT 1",
    )
    key = looker.key
    assert tuple(rows[0].values()) == (key.name, "operator", "127.0.0.9", key.id)
