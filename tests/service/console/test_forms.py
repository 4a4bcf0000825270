"""Every form filled in on a running service: who may, what is told, and what is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.console.forms import FORMS
from service.console.looker import Gone, Looker
from service.console.shell import over
from service.domain.alerts import AlertEvent, Severity, Step
from service.domain.clock import new_id
from service.domain.refusals import Review
from service.plan.approvals import ApprovalPlan
from service.storage.cases import rows_of
from tests.conftest import Service
from tests.service.console.looking import (
    AUTH,
    CANARY,
    REASON,
    act,
    acts_offered,
    drawn,
    page,
    texts,
    walk,
)
from tests.service.experimentation.rig import design_of

pytestmark = pytest.mark.slow


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
    store.put(replace(key, revoked=True))
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


@pytest.mark.parametrize("four_eyes", [False, True])
async def test_a_second_click_does_nothing_more(
    busy: Service, look: Callable[..., Looker], four_eyes: bool
) -> None:
    looker, kept, before = look(), busy.runtime.kept, busy.runtime.plan
    asked, holding = len(kept.approvals.open()), len(kept.overrides.holding())
    busy.runtime.plan = before.model_copy(update={"approvals": ApprovalPlan(four_eyes=four_eyes)})
    try:
        await act(looker, "ask", "override")
        await act(looker, "next", action="force", deployment="mill", lasts="900", reason=REASON)
        assert looker.open is not None
        dialog = looker.open.id
        shown = [each for tree in over(looker) for each in walk(tree)]
        assert ["confirm", dialog] in [n[1].get("act") for n in shown if not isinstance(n, str)]
        await asyncio.gather(*(act(looker, "confirm", dialog) for _ in range(4)))
        told = looker.told
        await act(looker, "confirm", dialog)  # late
        assert looker.open is None and looker.told == told and told
        assert len(kept.approvals.open()) - asked == four_eyes
        assert len(kept.overrides.holding()) - holding == (not four_eyes)
        await act(looker, "ask", "override")
        await act(looker, "confirm", "another dialog", reason=REASON)
        assert looker.open is not None and "closed meanwhile" in looker.open.problem
    finally:
        busy.runtime.plan = before
        for each in kept.overrides.holding():
            await act(looker, "ask", f"lift:{each.id}")
            await act(looker, "confirm", reason=REASON)
        for waiting in kept.approvals.open():
            await act(looker, "ask", f"reject:{waiting.id}")
            await act(looker, "confirm", reason=REASON)
    assert not kept.overrides.holding() and not kept.approvals.open()


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


def post(busy: Service, path: str, **body: Any) -> Any:
    signed = {"author": "ann", "reason": REASON, **body}
    answer = httpx.post(busy.url + path, json=signed, headers=AUTH, timeout=60)
    assert answer.status_code < 300, answer.text
    return answer.json()


def offered(looker: Looker, name: str) -> list[str]:
    """What a choice of the open dialog offers."""
    nodes = [n for tree in over(looker) for n in walk(tree) if not isinstance(n, str)]
    (choice,) = (n for n in nodes if n[0] == "select" and n[1]["name"] == name)
    return [option[1]["value"] for option in choice[2]]


async def test_a_version_is_pinned_and_an_experiment_killed_for_now(
    busy: Service, look: Callable[..., Looker]
) -> None:
    looker, kept = look(), busy.runtime.kept
    version = post(busy, "/admin/policies", kind="uniform", parameters={})["id"]
    name = post(busy, "/admin/experiments", design=design_of(slug="shown"))["id"]
    await act(looker, "ask", "override")
    assert version in offered(looker, "version") and offered(looker, "experiment") == [""]
    assert busy.runtime.learner.version.id not in offered(looker, "version")
    post(busy, f"/admin/experiments/{name}/start")
    assert offered(looker, "experiment") == ["", name]
    for action, field, target in (("pin", "version", version),
                                  ("kill_experiment", "experiment", name)):  # fmt: skip
        await act(looker, "ask", "override")
        given = {"action": action, "deployment": "mill", "lasts": "900", "reason": REASON}
        await act(looker, "next", **given)
        assert looker.open is not None and f"needs the {field}" in looker.open.problem
        await act(looker, "next", version=version, experiment=name, **given)
        assert looker.open.step == 2, looker.open.problem
        await act(looker, "confirm")
        assert looker.told.startswith("In effect"), looker.open
        [made] = kept.overrides.holding()
        assert (made.action, made.target, made.deployment) == (action, target, "")
        await drawn(page("/"), looker)
        await act(looker, "ask", f"lift:{made.id}")
        await act(looker, "confirm", reason=REASON)
        assert not kept.overrides.holding() and looker.told.startswith("Lifted")
    post(busy, f"/admin/experiments/{name}/rollback")


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


async def test_what_raises_exposure_waits_for_a_second_person(
    busy: Service, look: Callable[..., Looker]
) -> None:
    runtime, one, two = busy.runtime, look(), look()
    runtime.kept.keys.put(replace(two.key, name="second"))
    before = runtime.plan
    runtime.plan = before.model_copy(update={"approvals": ApprovalPlan(four_eyes=True)})
    try:
        given = {"action": "force", "deployment": "mill", "lasts": "900", "reason": REASON}
        await act(one, "ask", "override")
        await act(one, "next", **given)
        shown = texts([each for tree in over(one) for each in walk(tree)])
        assert "waits for a second person" in shown
        await act(one, "confirm")
        assert one.told.startswith("Not yet in effect") and not runtime.operating.holding
        assert "second person" in one.told
        ways = [n[1].get("href") for n in walk(over(one)[0]) if not isinstance(n, str)]
        assert "/console/approvals" in ways
        [waiting] = runtime.kept.approvals.open()
        assert (waiting.act, waiting.actor) == ("override.force", one.key.name)
        assert waiting.ip == "127.0.0.9"
        await act(one, "ask", f"approve:{waiting.id}")
        await act(one, "confirm", reason=REASON)
        assert one.open is not None and "second person" in one.open.problem
        assert {"approve", "reject"} <= acts_offered(await drawn(page("/approvals"), two))
        await act(two, "ask", f"approve:{waiting.id}")
        await act(two, "confirm", reason=REASON)
        assert two.told.startswith("Approved")
        [made] = runtime.operating.holding
        assert (made.action, made.author) == ("force", one.key.name)
        await act(two, "ask", f"lift:{made.id}")
        await act(two, "confirm", reason=REASON)
        assert not runtime.operating.holding
        assert "approved" in texts(await drawn(page("/approvals"), look()))
    finally:
        runtime.plan = before


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
