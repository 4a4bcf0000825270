"""S13: a tenant's operator sees and moves that tenant's traffic alone, also by an approval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.api import four_eyes
from service.domain.clock import new_id
from service.operating.wanted import MOST, MOST_OF_A_TENANT
from tests.conftest import KEY, Service
from tests.service.api.test_auth import make_key
from tests.service.api.test_four_eyes import EXCLUDE, FORCE, WHY, YES, asked, four, get, post

__all__ = ["four"]
pytestmark = pytest.mark.slow
OVERRIDES = "/admin/overrides"
MINE = {**EXCLUDE, "tenant": "acme"}


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for name in {"service", "four"} & set(request.fixturenames):
        kept = request.getfixturevalue(name).runtime.kept
        for each in kept.overrides.holding():
            kept.overrides.remove(each.id)
        for item in kept.approvals.open():
            kept.approvals.end(item.id)


@pytest.fixture
def tina(service: Service) -> str:
    return make_key(service, "operator", "acme")


def tried(service: Service, key: str) -> httpx.Response:
    """A dry run; it starts a process."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{service.url}{OVERRIDES}/dry-run", json=MINE, headers=headers, timeout=120)


def code(answer: httpx.Response) -> Any:
    return answer.json()["error"]["code"]


@pytest.mark.parametrize("action", [
    {"action": "kill", "deployment": "mill"}, {"action": "freeze"}, {"action": "exclude"},
    {"action": "bounds", "least": 0.5}, {"action": "cost_cap", "usd": 1.0},
])  # fmt: skip
@pytest.mark.parametrize("tenant", [None, "", "umbrella", "ACME"])
def test_S13_it_lays_none_for_all_nor_for_another(
    service: Service, tina: str, action: dict[str, Any], tenant: str | None
) -> None:
    body = {**EXCLUDE, **action, "tenant": tenant}
    for path in (OVERRIDES, f"{OVERRIDES}/dry-run"):
        answer = post(service, path, body, tina)
        assert answer.status_code == 403 and code(answer) == "tenant_key", answer.text
        assert answer.json()["error"]["param"] == "tenant"
        assert 'give "tenant": "acme"' in answer.json()["error"]["message"]
    assert service.runtime.operating.holding == ()


def test_S13_it_lays_renews_and_lifts_its_own(service: Service, tina: str) -> None:
    laid = post(service, OVERRIDES, MINE, tina).json()
    assert laid["tenant"] == "acme"
    renewed = post(service, f"{OVERRIDES}/{laid['id'][:30]}/renew", {"reason": WHY}, tina).json()
    assert renewed["renews"] == laid["id"]
    assert post(service, f"{OVERRIDES}/{renewed['id']}/lift", {"reason": WHY}, tina).json() == {
        "id": renewed["id"], "state": "lifted",
    }  # fmt: skip
    service.runtime.kept.log.flush().result(10)
    seen = get(service, f"{OVERRIDES}?all=true", tina)["overrides"]
    assert {each["tenant"] for each in seen} == {"acme"}
    assert {laid["id"], renewed["id"]} <= {each["id"] for each in seen}


@pytest.mark.parametrize("theirs", [{}, {"tenant": "umbrella"}])
def test_S13_of_others_there_is_nothing(service: Service, tina: str, theirs: Any) -> None:
    other = post(service, OVERRIDES, {**EXCLUDE, **theirs}).json()
    mine = post(service, OVERRIDES, MINE, tina).json()
    service.runtime.kept.log.flush().result(10)
    for query in ("", "?all=true"):
        shown = httpx.get(service.url + OVERRIDES + query,
                          headers={"Authorization": f"Bearer {tina}"}).text  # fmt: skip
        assert other["id"] not in shown and mine["id"] in shown
    for identity in (other["id"], other["id"][:-1]):
        path = f"{OVERRIDES}/{identity}"
        assert code(httpx.get(service.url + path, headers={"Authorization": f"Bearer {tina}"}))
        for step in ("renew", "lift"):
            answer = post(service, f"{path}/{step}", {"reason": WHY}, tina)
            assert answer.status_code == 404 and code(answer) == "not_found"
    assert service.runtime.operating.find(other["id"]).id == other["id"]


def test_S13_a_tag_tells_it_nothing_of_others(service: Service, tina: str) -> None:
    """Nor one that somebody gave it who sees all; and its own is not moved by others."""
    of_all, of_mine = (get(service, OVERRIDES, key)["version"] for key in (KEY, tina))
    post(service, OVERRIDES, {**EXCLUDE, "tenant": "umbrella"})
    headers = {"Authorization": f"Bearer {tina}", "If-Match": f'"{of_all}"'}
    refused = httpx.post(service.url + OVERRIDES, json=MINE, headers=headers)
    assert code(refused) == "overrides_changed" and "umbrella" not in refused.text
    headers["If-Match"] = f'"{of_mine}"'
    assert httpx.post(service.url + OVERRIDES, json=MINE, headers=headers).status_code == 201


def test_S13_a_dry_run_tells_it_nothing_of_others(service: Service, tina: str) -> None:
    caller = make_key(service, "caller", "umbrella")
    httpx.post(service.url + "/v1/chat/completions", headers={"Authorization": f"Bearer {caller}"},
               json={"model": "auto", "messages": [{"role": "user", "content": "hi"}]})  # fmt: skip
    post(service, OVERRIDES, {**EXCLUDE, "deployment": "brook", "tenant": "umbrella"})
    told = tried(service, tina)
    assert told.status_code == 200 and "umbrella" not in told.text and "brook" not in told.text
    assert told.json()["report"]["read"] == told.json()["report"]["decisions"] == 0
    all_of_it = tried(service, KEY).json()["report"]
    assert all_of_it["read"] >= 1 and "umbrella" in str(all_of_it["in_force"])


def test_S13_what_it_asks_for_is_its_tenants_also_where_two_approve(four: Service) -> None:
    tina, mate = (make_key(four, "operator", "acme") for _ in range(2))
    for key in (tina, mate):  # two names, as a second person must have
        found = four.runtime.kept.keys.find(key)
        assert found is not None
        four.runtime.kept.keys._put(replace(found, name=f"o{found.id}"))
    assert code(post(four, OVERRIDES, FORCE, tina)) == "tenant_key"
    waiting = post(four, OVERRIDES, {**FORCE, "tenant": "acme"}, tina).json()["approval"]
    done = post(four, f"/admin/approvals/{waiting}/approve", YES, mate)
    assert done.status_code == 200 and done.json()["result"]["tenant"] == "acme", done.text
    for_all = asked(four)
    for step in ("approve", "reject"):
        assert post(four, f"/admin/approvals/{for_all}/{step}", YES, mate).status_code == 404


def test_S13_a_tenant_cannot_fill_what_waits_for_a_second_person(four: Service) -> None:
    tina, body = make_key(four, "operator", "acme"), {**FORCE, "tenant": "acme"}
    asks = [post(four, OVERRIDES, body, tina) for _ in range(four_eyes.MOST_OF_A_TENANT + 1)]
    assert [each.status_code for each in asks] == [202] * four_eyes.MOST_OF_A_TENANT + [409]
    assert "decide some" in asks[-1].text and "acme" in asks[-1].text
    assert post(four, OVERRIDES, body).status_code == 202
    other = {**FORCE, "tenant": "umbrella"}
    assert post(four, OVERRIDES, other, make_key(four, "operator", "umbrella")).status_code == 202


def test_S13_no_approval_carries_a_tenants_key_beyond_its_tenant(four: Service) -> None:
    """One that was asked for in whatever way: the route is refused to who asked."""
    tina, store = make_key(four, "operator", "acme"), four.runtime.kept.approvals
    key = four.runtime.kept.keys.find(tina)
    like = store.find(asked(four))
    assert key is not None and like is not None
    wrong = replace(like, id=new_id(), key_id=key.id, actor=key.name, author="tina")
    store.put(wrong)
    told = post(four, f"/admin/approvals/{wrong.id}/approve", YES)
    assert told.status_code == 409 and "of the tenant acme" in told.text, told.text
    assert four.runtime.operating.holding == ()


def test_S13_a_tenant_cannot_jam_the_kill_switch(service: Service, tina: str) -> None:
    body = {**MINE, "action": "cost_cap", "usd": 1.0, "deployment": ""}
    answers = [post(service, OVERRIDES, body, tina) for _ in range(MOST_OF_A_TENANT + 1)]
    assert [each.status_code for each in answers] == [201] * MOST_OF_A_TENANT + [409]
    assert code(answers[-1]) == "too_many_overrides"
    held = answers[0].json()["id"]
    old = service.runtime.operating.find(held)
    for _ in range(MOST - MOST_OF_A_TENANT):
        service.runtime.kept.overrides.put(replace(old, id=new_id(), tenant="umbrella"))
    assert code(post(service, OVERRIDES, {**FORCE})) == "too_many_overrides"
    killed = post(service, OVERRIDES, {**EXCLUDE, "action": "kill"})
    assert killed.status_code == 201, killed.text
