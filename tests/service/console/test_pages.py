"""Every page drawn from a running service, and every form filled in, without a browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from service.console.forms import FORMS, HANDLERS
from service.console.gate import Visit
from service.console.looker import Gone, Looker, Page
from service.console.nodes import Node
from service.console.overriding import moved
from service.console.pages.registry import PAGES
from service.console.sessions import SessionRules, Sessions
from service.console.shell import over, top, ways
from service.domain.alerts import AlertEvent, Severity, Step
from service.domain.clock import SystemClock, new_id
from service.domain.errors import NotFound
from service.domain.records import Weight
from service.domain.refusals import Review
from service.storage.cases import rows_of
from tests.conftest import KEY, Service
from tests.service.api.test_auth import make_key

pytestmark = pytest.mark.slow

CANARY = "<img src=x onerror=alert(1)>"
AUTH = {"Authorization": f"Bearer {KEY}"}
REASON = "the tests of the console say so"
ATTRIBUTES = {
    "class", "act", "key", "id", "href", "title", "role", "tabindex", "type", "name", "value",
    "for", "rows", "maxlength", "required", "checked", "selected", "autofocus", "placeholder",
    "spellcheck", "scope", "data-label", "method", "action", "at", "mode", "spec", "label", "width",
}  # fmt: skip


@pytest.fixture(scope="module")
def busy(service: Service) -> Iterator[Service]:
    """With a few requests answered and rated."""
    for i in range(6):
        body = {"model": "auto", "messages": [{"role": "user", "content": f"Tell me of {i}."}]}
        answer = httpx.post(service.url + "/v1/chat/completions", json=body, headers=AUTH).json()
        rated = {"id": answer["id"], "value": 0.5, "reason": CANARY, "tags": [CANARY]}
        httpx.post(service.url + "/v1/feedback", json=rated, headers=AUTH).raise_for_status()
    runtime = service.runtime
    for weight in runtime.weights.evaluate():
        runtime.kept.log.append(weight)
    runtime.kept.log.flush().result(10)
    yield service


@pytest.fixture
def look(busy: Service) -> Callable[..., Looker]:
    sessions = Sessions(busy.runtime.kept.keys, SystemClock(), SessionRules())

    def made(of: str = "", role: str = "operator", **query: str) -> Looker:
        session = sessions.open(make_key(busy, role), "here")
        return Looker(Visit(busy.runtime, sessions, session), query, of)

    return made


def walk(node: Node) -> Iterator[Any]:
    """Every node and text, the attributes checked on the way."""
    yield node
    if isinstance(node, str):
        return
    tag, attrs, children = node
    assert isinstance(tag, str) and isinstance(children, list)
    unknown = {name for name in attrs if name not in ATTRIBUTES and not name.startswith("aria-")}
    assert not unknown, unknown
    assert attrs.get("href", "/console/").startswith(("/console/", "#", "?"))
    for child in children:
        yield from walk(child)


async def drawn(page: Page, looker: Looker) -> list[Any]:
    parts = await page.draw(looker)
    trees = [*(n for part in parts.values() for n in part), *top(looker), *over(looker)]
    json.dumps(trees)
    return [each for tree in trees for each in walk(tree)]


def texts(found: list[Any]) -> str:
    return " ".join(each for each in found if isinstance(each, str))


def page(path: str) -> Page:
    return next(each for each in PAGES if each.path == path)


def acts_offered(found: list[Any]) -> set[str]:
    given = [each[1]["act"] for each in found if not isinstance(each, str) and "act" in each[1]]
    return {of.partition(":")[0] for name, of in given if name == "ask"}


def of_page(busy: Service, path: str) -> str:
    if path.startswith("/decisions/"):
        return busy.runtime.kept.cases.latest(1)[0].decision.id
    return "brook" if path.startswith("/deployments/") else ""


@pytest.mark.parametrize("role", ["analyst", "operator", "administrator"])
@pytest.mark.parametrize("path", [each.path for each in PAGES if "experiments/" not in each.path])
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


# forms ------------------------------------------------------------------------------------------


async def act(looker: Looker, name: str, of: str = "", **fields: str) -> None:
    """On the service's own loop, as from a browser."""
    task = next(iter(looker.runtime.scheduler._tasks.values()))
    done = asyncio.run_coroutine_threadsafe(looker.do(HANDLERS[name], of, fields), task.get_loop())
    await asyncio.wrap_future(done)


async def test_an_override_set_looked_at_renewed_and_lifted(
    busy: Service, look: Callable[..., Looker]
) -> None:
    looker, kept = look(), busy.runtime.kept
    await act(looker, "ask", "override:exclude/brook")
    assert looker.open is not None and looker.open.fields["deployment"] == "brook"
    await act(looker, "confirm", reason=REASON, action="exclude", deployment="brook", lasts="900")
    assert "Look at what it would do first" in looker.open.problem  # never in one step
    await act(looker, "next", reason="short", action="exclude", deployment="brook", lasts="900")
    assert "at least 10" in looker.open.problem and looker.open.step == 1
    await act(looker, "next", reason=REASON, action="exclude", deployment="brook", lasts="900",
              task="")  # fmt: skip
    assert looker.open.step == 2 and not kept.overrides.holding()
    shown = texts([each for tree in over(looker) for each in walk(tree)])
    assert "gets no request" in shown and REASON in shown
    await act(looker, "confirm")
    assert looker.open is None and looker.told.startswith("In effect: brook")
    [made] = kept.overrides.holding()
    assert (made.action, made.deployment, made.reason) == ("exclude", "brook", REASON)
    assert made.author == looker.key.name
    assert "lift" in acts_offered(await drawn(page("/"), looker))
    await act(looker, "ask", f"renew:{made.id}")
    await act(looker, "confirm", reason=REASON, lasts="3600")
    [again] = kept.overrides.holding()
    assert again.id != made.id and again.expires_us > made.expires_us
    await act(looker, "ask", f"lift:{again.id}")
    await act(looker, "confirm", reason=REASON)
    assert not kept.overrides.holding() and looker.told.startswith("Lifted")
    await act(looker, "ask", f"lift:{again.id}")
    await act(looker, "confirm", reason=REASON)
    assert looker.open is not None and "no override of that id is in force" in looker.open.problem
    kept.log.flush().result(10)
    rows = rows_of(kept.database.cursor(), "SELECT act, actor, reason FROM acts ORDER BY log_seq")
    done = [row["act"] for row in rows if row["actor"] == looker.key.name]
    assert done == ["override.exclude", "override.renewed", "override.lifted"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"action": "destroy"}, "no action"), ({"action": ""}, "Choose what to do"),
     ({"deployment": CANARY}, "no deployment of that name"), ({"task": "nothing"}, "no task"),
     ({"lasts": "soon"}, "how long"), ({"lasts": "9999999"}, "seven days"),
     ({"lasts": "-1"}, "seven days"), ({"lasts": "nan"}, "seven days"),
     ({"action": "bounds", "least": "much"}, "not a number"),
     ({"action": "bounds", "least": "80", "greatest": "20"}, "least"),
     ({"action": "cost_cap", "usd": "-1"}, "usd"), ({"reason": "x" * 501}, "at most 500")],
)  # fmt: skip
async def test_what_is_wrong_is_told_in_place(
    look: Callable[..., Looker], fields: dict[str, str], told: str
) -> None:
    looker = look()
    await act(looker, "ask", "override")
    given = {"action": "force", "deployment": "brook", "lasts": "900", "reason": REASON}
    await act(looker, "next", **(given | fields))
    assert looker.open is not None and told in looker.open.problem and looker.open.step == 1
    assert not looker.runtime.kept.overrides.holding()


@pytest.mark.parametrize("form", sorted(FORMS))
async def test_an_analyst_is_refused_every_form(look: Callable[..., Looker], form: str) -> None:
    looker = look(role="analyst")
    await act(looker, "ask", f"{form}:x")
    assert looker.open is not None and "needs the role operator" in looker.open.problem
    await act(looker, "close")
    for name in ("next", "confirm"):  # as a browser might send them without asking
        await act(looker, name, reason=REASON)
        assert looker.open is not None and looker.open.form == "problem"
        await act(looker, "close")


async def test_a_role_that_was_taken_away_acts_no_more(
    busy: Service, look: Callable[..., Looker]
) -> None:
    looker = look()
    await act(looker, "ask", "kill")
    key, store = looker.key, busy.runtime.kept.keys
    await act(looker, "next", what="exclude", deployment="mill", lasts="900", reason=REASON)
    store._by_digest.pop(key.digest)
    with pytest.raises(Gone):
        await act(looker, "confirm")
    assert not busy.runtime.kept.overrides.holding()
    with pytest.raises(Gone):
        await page("/").draw(looker)


async def test_the_kill_switch(busy: Service, look: Callable[..., Looker]) -> None:
    looker, kept = look(), busy.runtime.kept
    await act(looker, "ask", "kill")
    await act(looker, "next", what="experiments", reason=REASON)
    assert looker.open is not None and "No experiment runs" in looker.open.problem
    await act(looker, "next", what="policy", reason=REASON)
    assert "no version before" in looker.open.problem
    for what in ("exclude", "kill"):
        given = {"what": what, "deployment": "mill", "lasts": "900", "reason": REASON}
        await act(looker, "ask", "kill")
        await act(looker, "next", **given)
        assert looker.open is not None and looker.open.step == 2
        await act(looker, "back")
        assert looker.open.step == 1
        await act(looker, "next", **given)
        await act(looker, "confirm")
        [made] = kept.overrides.holding()
        assert (made.action, made.deployment, made.task) == (what, "mill", "")
        await drawn(page("/"), looker)
        await act(looker, "ask", f"lift:{made.id}")
        await act(looker, "confirm", reason=REASON)
        assert not kept.overrides.holding()


@pytest.mark.parametrize(
    ("given", "told"),
    [({"action": "bounds", "deployment": "mill", "greatest": "20"}, "0% - 20%"),
     ({"action": "cost_cap", "usd": "0.01", "tenant": "acme"}, "tenant acme"),
     ({"action": "freeze"}, "freeze")],
)  # fmt: skip
async def test_other_wills(
    busy: Service, look: Callable[..., Looker], given: dict[str, str], told: str
) -> None:
    looker = look()
    await act(looker, "ask", "override")
    await act(looker, "next", reason=REASON, lasts="900", **given)
    await act(looker, "confirm")
    assert told in looker.told
    [made] = busy.runtime.kept.overrides.holding()
    await drawn(page("/"), looker)
    await act(looker, "ask", f"lift:{made.id}")
    await act(looker, "confirm", reason=REASON)
    assert looker.told.startswith("Lifted"), looker.open


async def test_what_changed_since_the_look_is_looked_at_again(
    busy: Service, look: Callable[..., Looker]
) -> None:
    one, other = look(), look()
    for looker in (one, other):
        await act(looker, "ask", "override:exclude/fall")
        await act(looker, "next", reason=REASON, action="exclude", deployment="fall", lasts="900")
    await act(one, "confirm")
    await act(other, "confirm")
    assert other.open is not None and "something else is in force" in other.open.problem
    [made] = busy.runtime.kept.overrides.holding()
    await act(one, "ask", f"lift:{made.id}")
    await act(one, "confirm", reason=REASON)


async def test_an_override_is_tried_on_the_log(busy: Service, look: Callable[..., Looker]) -> None:
    looker = look()
    await act(looker, "ask", "override:exclude/mill")
    await act(looker, "next", reason=REASON, action="exclude", deployment="mill", lasts="900")
    await act(looker, "try")
    assert looker.open is not None and not looker.open.problem, looker.open
    shown = texts([each for tree in over(looker) for each in walk(tree)])
    assert "On the log: of" in shown and "quality" in shown
    assert not busy.runtime.kept.overrides.holding()
    await act(looker, "close")


async def test_an_alert_is_seen_to(busy: Service, look: Callable[..., Looker]) -> None:
    book, looker = busy.runtime.alerts.watch.book, look()
    now_us = busy.runtime.clock.wall_us()
    fired = AlertEvent(
        new_id(), now_us, new_id(), Step.FIRED, "error_rate", "brook", Severity.PAGE, 0.5, 0.1,
        CANARY, "headgate", "", "{}",
    )  # fmt: skip
    busy.runtime.kept.log.append_durable(fired).result(10)
    book.take(fired)
    found = await drawn(page("/alerts"), looker)
    assert "alert" in acts_offered(found) and CANARY in found
    await act(looker, "ask", f"alert:{fired.alert_id}")
    await act(looker, "confirm", reason=REASON)
    assert looker.told.startswith("Acknowledged: error_rate")
    assert f"seen to by {looker.key.name}" in texts(await drawn(page("/alerts"), looker))
    await act(looker, "ask", "alert:none")
    await act(looker, "confirm", reason=REASON)
    assert looker.open is not None and "no open or recent alert" in looker.open.problem


async def test_a_review_is_decided(busy: Service, look: Callable[..., Looker]) -> None:
    runtime, looker = busy.runtime, look()
    now_us = runtime.clock.wall_us()
    review = Review(
        new_id(), now_us, "incident", new_id(), "hash", "key", "", "premium", "", "code", "brook",
        "sim", "refusal", now_us + 3_600_000_000,
    )  # fmt: skip
    runtime.kept.log.append_durable(review).result(10)
    runtime.refusals.reviews.put(review)
    assert "review" in acts_offered(await drawn(page("/reviews"), looker))
    await act(looker, "ask", f"review:{review.id}")
    await act(looker, "confirm", reason=REASON)
    assert looker.open is not None and "Choose what" in looker.open.problem
    await act(looker, "confirm", reason=REASON, verdict="uphold")
    assert looker.told == "Decided: uphold the refusal."
    shown = texts(await drawn(page("/reviews"), looker))
    assert "Nothing waits" in shown and REASON in shown


async def test_a_breaker_is_reset_and_no_alarm_is_none(look: Callable[..., Looker]) -> None:
    looker = look()
    await act(looker, "ask", "reset:brook")
    await act(looker, "confirm", reason=REASON)
    assert looker.told.startswith("Reset")
    await act(looker, "ask", "acknowledge")
    await act(looker, "confirm", reason=REASON)
    assert looker.open is not None and "no alarm" in looker.open.problem


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
    audit, looker = page("/audit"), look(q=f"{REASON.split()[1]} lifted")
    found = texts(await drawn(audit, looker))
    assert "lifted" in found and REASON in found
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
