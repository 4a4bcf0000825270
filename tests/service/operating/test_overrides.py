"""Every action over HTTP, on a service of its own: laid, seen to act, renewed, lifted, logged."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from service.domain.errors import Conflict, StorageUnavailable
from service.feedback.promoting import Signature
from service.feedback.replay import Verdict, replay
from service.operating.wanted import Wanted
from service.storage.errors import WriteFailed
from service.storage.versions import VersionStore
from tests.service.experimentation.rig import AUTH, BY, Site, site, until

pytestmark = pytest.mark.slow

ANN = Signature("ann", "the test wants it so")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    more = "\nsafe_deployment: mill\n"
    with site(tmp_path_factory.mktemp("state"), more) as found:
        yield found


@pytest.fixture(autouse=True)
def clean(one: Site) -> Iterator[None]:
    yield
    for each in one.get("/admin/overrides")["overrides"]:
        one.post(f"/admin/overrides/{each['id']}/lift")


def lay(one: Site, action: str, deployment: str = "", status: int = 201, **more: Any) -> Any:
    return one.post("/admin/overrides", status, action=action, deployment=deployment, **more)


def decided(one: Site, **more: Any) -> Any:
    answer = one.ask(**more)
    assert answer.status_code == 200, answer.text
    return one.get(f"/v1/decisions/{answer.headers['x-headgate-decision-id']}")


def rows(one: Site, sql: str, *asked: Any) -> list[Any]:
    one.flush()
    return one.runtime.kept.database.cursor().execute(sql, list(asked)).fetchall()


def test_a_kill_takes_the_plans_safe_deployment_and_refuses_other_pins(one: Site) -> None:
    made = lay(one, "kill")
    assert made["deployment"] == "mill" and made["words"] == "kill mill"
    found = decided(one)
    assert found["deployment"] == "mill" and found["mode"] == "override"
    assert found["reason"] == "killed_by_operator" and found["override_id"] == made["id"]
    assert one.ask(model="fall").json()["error"]["code"] == "killed_by_operator"
    assert one.get("/admin/status")["overrides"][0]["id"] == made["id"]


def test_bounds_over_http_are_the_logged_propensities(one: Site) -> None:
    made = lay(one, "bounds", "mill", least=0.6, greatest=0.7)
    for _ in range(5):
        found = decided(one)
        shares = {c["deployment"]: c["propensity"] for c in found["candidates"]}
        assert 0.6 - 1e-9 <= shares["mill"] <= 0.7 + 1e-9 and found["mode"] == "randomised"
        assert found["override_id"] == made["id"] and abs(sum(shares.values()) - 1.0) < 1e-9
    refused = lay(one, "bounds", "fall", 409, least=0.5)
    assert refused["error"]["code"] == "bounds_infeasible" and "1.1" in refused["error"]["message"]


def test_a_decision_under_bounds_is_made_again_bit_for_bit(one: Site) -> None:
    lay(one, "bounds", "mill", least=0.6)
    made = [one.ask().headers["x-headgate-decision-id"] for _ in range(3)]
    one.flush()
    for each in made:
        found = one.get(f"/admin/decisions/{each}/replay")
        assert found["verdict"] == "equal", found


def test_decisions_around_every_lay_and_lift_of_bounds_replay_bit_for_bit(
    one: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded: twelve pairs under traffic, on a disk so slow that what is stamped and what acts
    lie well apart.
    """
    database, chance, ids = one.runtime.kept.database, random.Random(5), list[str]()
    real, stop = database.write, threading.Event()

    def slowly(batches: Any) -> None:
        time.sleep(0.03)
        real(batches)

    def ask() -> None:
        with httpx.Client(base_url=one.url, headers=AUTH, trust_env=False, timeout=20.0) as http:
            body = {"model": "auto", "messages": [{"role": "user", "content": "Describe a kite."}]}
            while not stop.is_set():
                answer = http.post("/v1/chat/completions", json=body)
                ids.append(answer.headers["x-headgate-decision-id"])
                time.sleep(0.01)

    monkeypatch.setattr(database, "write", slowly)
    with ThreadPoolExecutor(2) as callers:
        asking = [callers.submit(ask) for _ in range(2)]
        try:
            other = lay(one, "bounds", "fall", greatest=0.3)
            for turn in range(12):
                more: dict[str, Any] = {"least": 0.6} if turn % 3 else {"greatest": 0.01}
                made = lay(one, "bounds", "mill", **more)
                time.sleep(chance.uniform(0.0, 0.05))
                one.post(f"/admin/overrides/{made['id']}/lift")
            one.post(f"/admin/overrides/{other['id']}/lift")
        finally:
            stop.set()
            for each in asking:
                each.result(20)
    late = rows(
        one, "SELECT d.id::VARCHAR FROM decisions d JOIN override_ends e "
        "ON e.override_id = d.override_id WHERE d.ts >= e.ts AND list_contains(?, d.id::VARCHAR)",
        ids,
    )  # fmt: skip
    assert late, "some were made under bounds whose end was stamped already"
    store = VersionStore(database, one.runtime.kept.state_dir)
    chosen = {each for (each,) in late[:25]} | set(chance.sample(ids, min(len(ids), 40)))
    found = {each: replay(each, store, database.cursor) for each in sorted(chosen)}
    assert {each.verdict for each in found.values()} == {Verdict.EQUAL}, found


def test_a_cost_cap_over_http(one: Site) -> None:
    lay(one, "cost_cap", usd=1e-9)
    found = decided(one)
    assert len(found["candidates"]) == 1 and found["propensity"] == 1.0
    assert {d["reason"] for d in found["disqualified"]} == {"cost_cap"}


def test_a_pinned_version_draws_and_learns_beside_until_it_is_let_go(one: Site) -> None:
    drafted = one.post("/admin/policies", 201, kind="uniform", parameters={})
    made = lay(one, "pin", version=drafted["id"][:13])
    assert made["version"] == drafted["id"] and made["deployment"] is None
    found = decided(one)
    assert found["mode"] == "override" and found["reason"] == "pinned_by_operator"
    assert {c["propensity"] for c in found["candidates"]} == {1 / len(found["candidates"])}
    assert found["policy"]["version"] == drafted["id"]
    seq = one.runtime.learner.seq
    rated = one.http.post("/v1/feedback", json={"id": found["decision_id"], "value": 1}).json()
    assert rated["applied"] is False
    until(lambda: one.runtime.learner.waiting == 0)
    ratings = "SELECT count(*) FROM updates WHERE kind IN ('rating', 'revision') AND seq > ?"
    assert rows(one, ratings, seq) == [(0,)]
    one.post(f"/admin/overrides/{made['id']}/lift")
    assert decided(one)["mode"] == "randomised"
    until(lambda: drafted["id"] not in one.runtime.live.others)


def test_a_killed_experiment_exposes_nobody_and_goes_on_afterwards(one: Site) -> None:
    name = one.create(slug="killed", settings={"deployment": "fall"})
    one.step(name, "start")
    for _ in range(5):
        one.step(name, "ramp")
    assert decided(one)["experiments"]
    made = lay(one, "kill_experiment", experiment="killed")
    assert made["experiment"] == name
    assert not decided(one)["experiments"]
    assert "killed it for now" in one.get(f"/admin/experiments/{name}")["held"]
    one.post(f"/admin/overrides/{made['id']}/lift")
    assert decided(one)["experiments"]
    one.step(name, "rollback")
    refused = lay(one, "kill_experiment", experiment="killed", status=409)
    assert refused["error"]["code"] == "experiment_state"


def test_forced_killed_and_pinned_are_in_no_frame(one: Site) -> None:
    name = one.create(slug="framed", settings={"deployment": "fall"})
    one.step(name, "start")
    for _ in range(5):
        one.step(name, "ramp")
    drafted = one.post("/admin/policies", 201, kind="uniform", parameters={})
    ids = []
    for action, more in (("kill", {"deployment": "mill"}), ("force", {"deployment": "mill"}),
                         ("pin", {"version": drafted["id"]})):  # fmt: skip
        made = lay(one, action, **more)
        ids.append(decided(one)["decision_id"])
        one.post(f"/admin/overrides/{made['id']}/lift")
    counted = decided(one)["decision_id"]
    framed = "SELECT id::VARCHAR FROM decisions WHERE list_contains(experiments, ?)"
    found = {row[0] for row in rows(one, framed, name)}
    assert counted in found and not found & set(ids)
    drawn = "SELECT id::VARCHAR FROM decisions WHERE mode = 'randomised'"
    assert not {row[0] for row in rows(one, drawn)} & set(ids)
    one.step(name, "rollback")


def test_a_renewal_is_a_new_record_and_the_old_one_ends_as_renewed(one: Site) -> None:
    old = lay(one, "exclude", "mill", ticket="OPS-7", tenant="acme")
    new = one.post(f"/admin/overrides/{old['id']}/renew", 201, expires_in_s=60)
    assert new["renews"] == old["id"] and new["id"] != old["id"] and new["left_s"] <= 60
    assert (new["tenant"], new["ticket"], new["action"]) == ("acme", "OPS-7", "exclude")
    listed = one.get("/admin/overrides")["overrides"]
    assert [each["id"] for each in listed] == [new["id"]]
    ended = one.get(f"/admin/overrides/{old['id']}")
    assert ended["how"] == "renewed" and ended["ended_by"] == "ann" and ended["left_s"] == 0.0
    one.post(f"/admin/overrides/{old['id']}/renew", 404)
    one.post(f"/admin/overrides/{new['id']}/renew", 422, expires_in_s=8 * 86_400)
    every = one.get("/admin/overrides?all=true")["overrides"]
    assert [each["id"] for each in every[:2]] == [new["id"], old["id"]]
    acts = rows(one, "SELECT act FROM acts WHERE subject IN (?, ?) ORDER BY log_seq",
                old["id"], new["id"])  # fmt: skip
    assert [act for (act,) in acts] == ["override.exclude", "override.renewed"]


def test_what_has_changed_is_told_to_who_looked_before(one: Site) -> None:
    tag = one.get("/admin/overrides")["version"]
    made = lay(one, "exclude", "fall", task="code")
    body = {**BY, "action": "exclude", "deployment": "mill"}
    late = one.http.post("/admin/overrides", json=body, headers={"If-Match": f'"{tag}"'})
    assert late.status_code == 409 and late.json()["error"]["code"] == "overrides_changed"
    assert f"exclude fall for code ({made['id']}) was laid" in late.json()["error"]["message"]
    now = one.http.get("/admin/overrides").headers["etag"]
    again = one.http.post("/admin/overrides", json=body, headers={"If-Match": now})
    assert again.status_code == 201
    unknown = one.http.post("/admin/overrides", json=body, headers={"If-Match": '"x"'})
    assert unknown.status_code == 409 and "look again" in unknown.json()["error"]["message"]


@pytest.mark.parametrize(("body", "param"), [
    ({"action": "pin", "version": "nothing"}, "version"),
    ({"action": "force", "deployment": "mill", "version": "v"}, "version"),
    ({"action": "exclude", "deployment": "mill", "experiment": "x"}, "experiment"),
    ({"action": "cost_cap", "usd": -1}, "usd"), ({"action": "bounds"}, "deployment"),
    ({"action": "freeze", "least": 2}, "least"),
])  # fmt: skip
def test_what_cannot_be_laid_is_refused(one: Site, body: dict[str, Any], param: str) -> None:
    response = one.http.post("/admin/overrides", json={**BY, **body})
    assert response.status_code in (400, 404, 422), response.text
    assert response.json()["error"]["param"] == param
    assert one.get("/admin/overrides")["overrides"] == []


def test_what_reduces_risk_acts_before_it_is_durable(
    one: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(batches: object) -> None:
        raise WriteFailed("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(one.runtime.kept.database, "write", full)
        kept = lay(one, "exclude", "mill", 503)
        assert "is in effect already" in kept["error"]["message"]
        (held,) = one.get("/admin/overrides")["overrides"]
        assert held["deployment"] == "mill"
        warned = one.get("/admin/status")["warnings"]
        assert any("not durable yet" in each for each in warned)
        for action in ("force", "kill"):
            taken = lay(one, action, "fall", 503)
            assert "not taken" in taken["error"]["message"]
        assert len(one.get("/admin/overrides")["overrides"]) == 1
    until(lambda: rows(one, "SELECT count(*) FROM overrides WHERE id = ?", held["id"]) == [(1,)])
    assert not any("not durable" in each for each in one.get("/admin/status")["warnings"])


def test_the_desk_may_be_called_by_others_of_the_service(one: Site) -> None:
    import asyncio

    desk = one.runtime.operating
    loop = next(iter(one.runtime.scheduler._tasks.values())).get_loop()

    def call(what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, loop).result(20)

    made = call(desk.lay(Wanted("bounds", "mill", greatest=0.2, lasts_s=60.0), ANN))
    assert made.author == "ann" and desk.holding == (made,)
    with pytest.raises(Conflict):
        call(desk.lay(Wanted("bounds", "mill", least=0.5, tenant="acme"), ANN))
    assert call(desk.lift(made.id, ANN)) == made and desk.holding == ()
    assert StorageUnavailable.status == 503


def test_the_live_version_may_be_pinned_too(one: Site) -> None:
    live = one.get("/admin/status")["policy"]["version"]
    made = lay(one, "pin", version=live)
    found = decided(one)
    assert found["mode"] == "override" and found["override_id"] == made["id"]
    one.post(f"/admin/overrides/{made['id']}/lift")
    found = decided(one)
    assert found["mode"] == "randomised" and found["policy"]["version"] == live
