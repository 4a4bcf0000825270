"""The whole life of overrides: tried, laid, renewed, over restarts and jumps of the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.service.experimentation.rig import BY, Site, site, until
from tests.service.faults.test_host_clock import SetClock

pytestmark = pytest.mark.slow
DAY_S = 86_400.0


def lay(one: Site, action: str, deployment: str = "", **more: Any) -> Any:
    return one.post("/admin/overrides", 201, action=action, deployment=deployment, **more)


def decided(one: Site, **more: Any) -> Any:
    answer = one.ask(**more)
    assert answer.status_code == 200, answer.text
    return one.get(f"/v1/decisions/{answer.headers['x-headgate-decision-id']}")


def held(one: Site) -> list[str]:
    return [each["action"] for each in one.get("/admin/overrides")["overrides"]]


def rows(one: Site, sql: str, *asked: Any) -> list[Any]:
    one.flush()
    return one.runtime.kept.database.cursor().execute(sql, list(asked)).fetchall()


def test_tried_laid_renewed_restarted_and_expired(tmp_path: Path) -> None:
    clock = SetClock()
    with site(tmp_path, clock=clock) as one:
        for index in range(10):
            one.ask(text=f"Describe kite {index}.")
        body = {**BY, "action": "exclude", "deployment": "mill", "expires_in_s": 3_600}
        tried = one.http.post("/admin/overrides/dry-run", json=body, timeout=240.0).json()
        assert tried["report"]["shares"]["mill"]["after"] == 0.0
        tag = {"If-Match": f'"{tried["version"]}"'}
        old = one.http.post("/admin/overrides", json=body, headers=tag).json()
        assert "mill" not in [c["deployment"] for c in decided(one)["candidates"]]
        new = one.post(f"/admin/overrides/{old['id']}/renew", 201, expires_in_s=7_200)
        for jump_s in (DAY_S, -DAY_S):  # the wall clock is set, and set back
            clock.ahead_s = jump_s
            assert held(one) == ["exclude"]
        clock.ahead_s = 0.0
        clock.passed_s += 3_700.0  # the old one would be over
        assert held(one) == ["exclude"] and decided(one)["override_id"] == new["id"]
    clock.passed_s += 1_000.0  # while nobody runs
    with site(tmp_path, clock=clock) as one:
        assert held(one) == ["exclude"] and decided(one)["override_id"] == new["id"]
        assert one.get(f"/admin/overrides/{new['id']}")["renews"] == old["id"]
    clock.passed_s += 3_600.0
    with site(tmp_path, clock=clock) as one:
        assert held(one) == []
        until(lambda: rows(one, "SELECT how FROM override_ends WHERE override_id = ?", new["id"]))
        ends = rows(one, "SELECT how FROM override_ends ORDER BY log_seq")
        assert [how for (how,) in ends] == ["renewed", "expired"]
        acts = rows(one, "SELECT act FROM acts WHERE subject = ? ORDER BY log_seq", new["id"])
        assert [act for (act,) in acts] == ["override.renewed", "override.expired"]
        ended = one.get(f"/admin/overrides/{new['id']}")
        assert ended["how"] == "expired" and ended["ended_by"] == "headgate"
        assert decided(one)["override_id"] is None


def test_a_kill_a_pin_and_bounds_stand_after_a_restart(tmp_path: Path) -> None:
    with site(tmp_path) as one:
        version = one.post("/admin/policies", 201, kind="uniform", parameters={})["id"]
        lay(one, "pin", version=version)
        lay(one, "bounds", "mill", greatest=0.1)
        lay(one, "kill", "fall", tenant="nobody")
        made = decided(one)
        assert made["mode"] == "override" and made["policy"]["version"] == version
    with site(tmp_path) as one:
        assert held(one) == ["pin", "bounds", "kill"]
        made = decided(one)
        shares = {c["deployment"]: c["propensity"] for c in made["candidates"]}
        assert made["mode"] == "override" and made["policy"]["version"] == version
        assert shares["mill"] == pytest.approx(0.1)
        others = [share for name, share in shares.items() if name != "mill"]
        assert others == pytest.approx([0.9 / len(others)] * len(others))
        assert one.get("/admin/status")["overrides"][1]["words"] == "bounds mill to 0% - 10%"
