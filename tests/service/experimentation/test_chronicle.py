"""What ends is written down by itself, once, with its figures; people add and correct."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from experiments.trends import find
from service.storage.history import connect
from service.storage.knowledge import entries
from tests.conftest import KEY
from tests.experiments.days import MONDAY, traffic
from tests.service.cli.test_commands import run
from tests.service.experimentation.rig import Site, site, until

pytestmark = pytest.mark.slow

PLAN = "\nexperiments: {watch_s: 3600, gate: false}\n"


def told(here: Site, **asked: Any) -> list[dict[str, Any]]:
    response = here.http.get("/admin/knowledge", params=asked)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["entries"]
    return found


def test_everything_that_ends_is_written_down_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.bootstrap.experiments.TURN_S", 0.05)
    with site(tmp_path / "state", PLAN, kind="uniform") as here:
        # An experiment that is stopped, then shipped: the second entry stands for both.
        name = here.create(
            slug="cheaper", hypothesis="mill is as good at kites", settings={"use": "mill"}
        )
        here.step(name, "start", "ramp", "ramp", "ramp", "ramp", "ramp")
        for number in range(8):
            here.ask(session=f"s{number}")
        here.step(name, "stop")
        until(lambda: told(here, tag="stopped"))
        here.step(name, "ship", variant="treated")
        until(lambda: told(here, tag="shipped"))
        (shipped,) = told(here, words="kites mill")
        assert shipped["decision"] == "shipped treated" and shipped["author"] == "ann"
        assert shipped["result"]["decisions"] == 8 and shipped["result"]["comparisons"]
        assert shipped["links"]["experiment"] == name and "mill" in shipped["tags"]
        assert shipped["cited"].endswith("shipped treated, too few data on success_rate")
        (stopped,) = [e for e in told(here, past=True, tag="cheaper") if "stopped" in e["tags"]]
        assert shipped["supersedes"] == stopped["id"]

        # A promotion that is rolled back, with its watch.
        made = here.post("/admin/policies", 201, kind="fixed", parameters={"arm": "fall"})
        here.post(f"/admin/policies/{made['id']}/promote")
        here.post("/admin/policies/rollback", reason="ratings fell in the evening")
        until(lambda: told(here, tag="promotion"))
        (back,) = told(here, tag="promotion")
        assert back["links"]["version"] == made["id"] and back["why"].startswith("ratings fell")
        assert back["decision"].startswith("rolled back") and "cause" in back["result"]
        assert back["result"]["verdict"] == "cannot say"  # of the watch, that had no traffic

        # An override: what it was for, how long, what it touched.
        wanted = {"action": "force", "deployment": "river", "expires_in_s": 600.0}
        laid = here.post("/admin/overrides", 201, reason="a storm at the mill", **wanted)
        for _ in range(3):
            here.ask()
        here.post(f"/admin/overrides/{laid['id']}/lift", reason="the storm is over")
        until(lambda: told(here, tag="override"))
        (over,) = told(here, words="storm mill", tag="override")
        assert over["result"]["decisions"] == 3 and over["result"]["lasted_s"] > 0.0
        assert over["why"] == "a storm at the mill; ended: the storm is over"
        people(here)
        trends(here, monkeypatch)
        before = told(here, past=True)
    # Nothing is written twice by the next process, and the history holds the same.
    with site(tmp_path / "state", PLAN, kind="uniform") as here:
        time.sleep(0.3)  # some turns
        assert told(here, past=True) == before
    assert [e.id for e in entries(connect(tmp_path / "state"))] == [
        e["id"] for e in reversed(before)
    ]


def trends(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the board holds is shown and warned of; before its first look that is said."""
    assert here.get("/admin/trends") == {"pending": True, "findings": []}
    code, out, _ = run("trends", "--url", here.url)
    assert code == 0 and "nothing was judged yet" in out

    def dearer(day: int, task: str, deployment: str, f: dict[str, Any]) -> None:
        f["prices"] = (1e-5, 2e-5) if day >= 30 else f["prices"]

    found = find(traffic(36, 1, dearer), MONDAY + 35)
    monkeypatch.setattr(here.runtime.trends, "current", found)
    told = here.get("/admin/trends")
    assert told["through"] == "2026-05-11" and len(told["findings"]) == len(found.findings) > 0
    warnings = here.get("/admin/status")["warnings"]
    assert any(each.startswith("cost per request of all traffic rose") for each in warnings)
    code, out, _ = run("trends", "--url", here.url)
    assert code == 0 and "SEVERE" in out


def people(here: Site) -> None:
    """Somebody writes, corrects, and misuses it."""
    url = ("--url", here.url)
    add = ("knowledge", "add", "Shorter answers", "--why", "users skipped the rest of them")
    code, out, _ = run(*add, "--result", "ratings fell", "--tag", "code", *url, "--json",
                       "--link", "ticket=T-1")  # fmt: skip
    first = json.loads(out)
    assert code == 0 and first["links"] == {"ticket": "T-1"} and first["source"] == "person"
    mended = (*add, "--result", "ratings rose", "--supersedes", first["id"], *url)
    assert run(*mended)[0] == 0
    code, _, err = run(*mended)
    assert code == 2 and "superseded" in err
    code, _, err = run(*add, "--link", "nothing", *url)
    assert code == 2 and "name=value" in err
    code, out, _ = run("knowledge", "search", "shorter", "answers", *url)
    assert code == 0 and "ratings rose" in out and "ratings fell" not in out
    code, out, _ = run("knowledge", "search", "zebra", *url)
    assert code == 0 and "nothing of that kind" in out
    code, out, _ = run("knowledge", "show", first["id"], *url)
    assert code == 0 and "superseded by" in out and "ticket: T-1" in out
    code, out, _ = run("knowledge", "list", "--limit", "1", *url)
    assert code == 0 and "more; give a greater --limit" in out
    code, _, err = run("knowledge", "list", "--since", "spring", *url)
    assert code == 2 and "since" in err
    code, _, err = run("knowledge", "show", "nothing", *url)
    assert code == 2 and "no entry of that id" in err
    assert KEY not in json.dumps(told(here, past=True))
