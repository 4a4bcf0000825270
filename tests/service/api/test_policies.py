"""Versions over HTTP: made, compared, promoted and rolled back; every refusal names the field."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.feedback.differing import changes
from tests.service.experimentation.rig import Site, site


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("policies") / "state", "\nexperiments: {watch_s: 60}\n") as s:
        yield s


def test_made_compared_promoted_and_rolled_back(here: Site) -> None:
    first = here.get("/admin/policies")["versions"][0]
    made = here.post("/admin/policies", 201, parameters={"floor": 0.02})
    assert (made["live"], made["author"], made["parent"]) == (False, "ann", first["id"])
    changed = here.get(f"/admin/policies/{first['id']}/diff/{made['id']}")["changes"]
    assert changed == [{"field": "parameters.floor", "before": 0.01, "after": 0.02}]
    shown = here.get(f"/admin/policies/{made['id'][:-3]}")
    assert shown["id"] == made["id"] and len(shown["checkpoints"]) == 1
    assert shown["parameters"]["parameters"]["live_half_life_s"] == 60  # the live one's stands
    promoted = here.post(f"/admin/policies/{made['id']}/promote")
    assert (promoted["how"], promoted["from_version"]) == ("promoted", first["id"])
    assert here.get("/admin/status")["policy"]["version"] == made["id"]
    assert here.ask().headers["x-headgate-experiment"].startswith("watch-")
    back = here.post("/admin/policies/rollback")
    assert (back["version"], back["restored_checkpoint"] is not None) == (first["id"], True)
    assert "x-headgate-experiment" not in here.ask().headers
    named = here.post("/admin/policies/rollback", to=first["id"], checkpoint=back["checkpoint"])
    assert named["restored_checkpoint"] == back["checkpoint"]
    listed = here.get("/admin/policies")
    assert [p["how"] for p in listed["promotions"]] == [
        "rolled back", "rolled back", "promoted", "plan",
    ]  # fmt: skip
    assert [v["live"] for v in listed["versions"]] == [False, True]


def test_a_version_in_an_experiment_learns_beside(here: Site) -> None:
    made = here.post("/admin/policies", 201, kind="thompson", parameters={})
    name = here.create(slug="kinds", settings={"version": made["id"]})
    here.step(name, "start", *["ramp"] * 5, unproven=True)
    assert here.get(f"/admin/policies/{made['id']}")["followed_for"] == [name]
    seen = {}
    for _ in range(40):
        answer = here.ask()
        found = here.get(f"/v1/decisions/{answer.headers['x-headgate-decision-id']}")
        seen.setdefault(answer.headers["x-headgate-variant"], set()).add(found["policy"]["version"])
        assert found["experiments"][0]["probability"] == 0.5
    assert seen["treated"] == {made["id"]} and made["id"] not in seen["control"]
    status = here.get("/admin/status")
    assert [e["id"] for e in status["experiments"]] == [name]
    here.step(name, "rollback")
    assert here.get(f"/admin/policies/{made['id']}")["followed_for"] == []


def test_every_refusal_names_the_field(here: Site) -> None:
    def said(path: str, status: int, **body: object) -> str:
        return str(here.post(path, status, **body)["error"]["message"])

    assert "known: linear" in said("/admin/policies", 422, kind="cleverest")
    assert "nonsense" in said("/admin/policies", 422, parameters={"nonsense": 1})
    assert "floor" in said("/admin/policies", 422, parameters={"floor": "much"})
    assert "no version begins" in said("/admin/policies/xyz/promote", 404)
    assert "reason" in said("/admin/policies/rollback", 422, reason="short")
    live = here.get("/admin/status")["policy"]["version"]
    assert "live already" in said(f"/admin/policies/{live}/promote", 409)
    assert "no checkpoint" in said("/admin/policies/rollback", 404, to=live, checkpoint="x")
    assert here.http.get(f"/admin/policies/{live}/diff/xyz").status_code == 404


def test_what_differs() -> None:
    before = {"a": 1, "arms": [{"name": "x", "price": 1}, {"name": "y", "price": 2}], "l": [1]}
    after = {"a": 1, "arms": [{"name": "y", "price": 3}], "l": [2], "new": True}
    assert list(changes("", before, after)) == [
        {"field": "arms.x", "before": {"name": "x", "price": 1}, "after": None},
        {"field": "arms.y.price", "before": 2, "after": 3},
        {"field": "l", "before": [1], "after": [2]},
        {"field": "new", "before": None, "after": True},
    ]
