"""A dry run replays a real log: who moves where, for what change, and nothing is laid."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.domain.records import Override
from service.operating.trying import Job, tried
from service.storage.logged import LoggedHistory
from tests.service.experimentation.rig import BY, Site, site
from tests.service.storage.made_up import END_US, written

pytestmark = pytest.mark.slow

HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> LoggedHistory:
    """Two thousand made-up decisions of a week."""
    folder = tmp_path_factory.mktemp("history")
    written(folder, 2_000)
    return LoggedHistory(folder)


def job(action: str, deployment: str = "", holding: tuple[Override, ...] = (), **more: Any) -> Job:
    override = Override("wanted", 0, action, deployment, more.pop("task", ""), "why", "me", 0, 10,
                        **more)  # fmt: skip
    return Job(override, holding, END_US - 7 * 24 * HOUR_US, END_US, 50_000, {}, 0.1)


def shares_of(history: LoggedHistory) -> dict[str, float]:
    """The mean propensity of every deployment, of all decisions."""
    rows = history._rows(
        "SELECT name, sum(share) / (SELECT count(*) FROM decisions) AS share FROM (SELECT "
        "unnest(eligible) AS name, unnest(propensities) AS share FROM decisions) GROUP BY name"
    )
    return {row["name"]: row["share"] for row in rows}


def test_an_exclusion_moves_the_share_that_it_had(history: LoggedHistory) -> None:
    before = shares_of(history)
    name = max(before, key=lambda each: before[each])
    report = tried(history, job("exclude", name))
    assert report["decisions"] == report["read"] == 2_000 and not report["newest_only"]
    assert report["shares"][name]["before"] == pytest.approx(before[name])
    assert report["shares"][name]["after"] == 0.0
    moved = sum(flow["share"] for flow in report["flows"] if flow["from"] == name)
    assert moved + report["refused"] == pytest.approx(before[name], abs=1e-6)
    assert {flow["from"] for flow in report["flows"]} == {name}
    assert sum(each["moved"] for each in report["tenants"]) == pytest.approx(
        2_000 * (report["moved"] + report["refused"])
    )
    assert report["unsupported_rows"] == 0
    cost = report["predicted"]["cost_per_request"]
    assert "refused" in cost or cost["difference"]["low"] <= cost["difference"]["high"]


def test_small_bounds_are_said_with_an_interval(history: LoggedHistory) -> None:
    before = shares_of(history)
    name = max(before, key=lambda each: before[each])
    report = tried(history, job("bounds", name, greatest=0.6))
    cost = report["predicted"]["cost_per_request"]
    change = cost["difference"]
    assert change["low"] < change["estimate"] < change["high"] and cost["rows"] > 500
    assert 0.0 < report["moved"] < 0.5 and report["refused"] == 0.0
    nothing = tried(history, job("bounds", name, greatest=1.0))
    assert nothing["moved"] == 0.0 and nothing["flows"] == [] and nothing["tenants"] == []
    assert nothing["predicted"]["cost_per_request"]["difference"]["estimate"] == 0.0


def test_what_is_in_force_already_is_not_moved_again(history: LoggedHistory) -> None:
    name = max(before := shares_of(history), key=lambda each: before[each])
    standing = Override("old", 0, "exclude", name, "", "why", "me", 0, 10)
    assert tried(history, job("exclude", name, (standing,)))["moved"] == 0.0
    killed = Override("old", 0, "kill", name, "", "why", "me", 0, 10)
    assert tried(history, job("force", "nobody", (killed,)))["moved"] == 0.0


def test_a_kill_of_everything_cannot_be_said_where_the_log_does_not_reach(
    history: LoggedHistory,
) -> None:
    before = shares_of(history)
    rare = min(before, key=lambda each: before[each])
    report = tried(history, job("kill", rare))
    assert report["shares"][rare]["after"] == pytest.approx(1.0 - report["refused"])
    assert "refused" in report["predicted"]["quality"]


def test_a_scope_and_a_bound_on_how_much_is_read(history: LoggedHistory) -> None:
    task = next(iter(history._rows("SELECT task FROM decisions LIMIT 1")))["task"]
    report = tried(history, job("freeze", task=task))
    assert 0 < report["decisions"] < 2_000 and report["moved"] == 0.0
    assert report["held_back_per_hour"]["decisions"] > 0.0
    wanted = job("freeze")
    few = Job(wanted.override, (), wanted.since_us, wanted.until_us, 500, {}, 0.1)
    assert tried(history, few)["read"] == 500 and tried(history, few)["newest_only"]
    none = Job(wanted.override, (), 0, 1, 500, {}, 0.1)
    assert tried(history, none)["decisions"] == 0
    assert Job.of(wanted.text()) == wanted


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("state")) as found:
        yield found


def test_over_http_it_tells_and_lays_nothing_and_its_tag_lays_it(one: Site, tmp_path: Path) -> None:
    for index in range(30):
        one.ask(text=f"Describe kite {index}.")
    body = {**BY, "action": "force", "deployment": "mill"}
    found = one.http.post("/admin/overrides/dry-run", json=body, timeout=120.0).json()
    report = found["report"]
    assert report["decisions"] == 30 and report["words"] == "force mill"
    assert report["shares"]["mill"]["after"] == 1.0 and report["reduces_risk"] is False
    assert {flow["to"] for flow in report["flows"]} == {"mill"}
    assert one.get("/admin/overrides")["overrides"] == []
    refused = one.http.post("/admin/overrides/dry-run", json=body | {"deployment": "x"})
    assert refused.status_code == 400
    assert one.http.post("/admin/overrides/dry-run", json=body | {"hours": 0}).status_code == 422
    assert not [name for name in os.listdir(one.runtime.kept.state_dir) if "trying-" in name]
    tag = {"If-Match": f'"{found["version"]}"'}
    assert one.http.post("/admin/overrides", json=body, headers=tag).status_code == 201
    late = one.http.post("/admin/overrides", json=body, headers=tag)
    assert late.status_code == 409


def test_a_pin_is_tried_by_what_its_version_would_have_drawn(one: Site) -> None:
    for each in one.get("/admin/overrides")["overrides"]:
        one.post(f"/admin/overrides/{each['id']}/lift")
    for index in range(20):
        one.ask(text=f"Describe kite {index}.")
    drafted = one.post("/admin/policies", 201, kind="uniform", parameters={})
    body = {**BY, "action": "pin", "version": drafted["id"]}
    found = one.http.post("/admin/overrides/dry-run", json=body, timeout=120.0).json()
    after = {name: each["after"] for name, each in found["report"]["shares"].items()}
    assert len(set(after.values())) == 1 and found["report"]["moved"] > 0.0


def test_a_killed_experiment_is_tried_by_what_the_live_policy_would_have_drawn(one: Site) -> None:
    name = one.create(slug="tried", share=0.9, settings={"deployment": "fall"})
    one.step(name, "start")
    for _ in range(5):
        one.step(name, "ramp")
    for index in range(30):
        one.ask(text=f"Describe kite {index}.")
    body = {**BY, "action": "kill_experiment", "experiment": name}
    found = one.http.post("/admin/overrides/dry-run", json=body, timeout=240.0).json()
    fall = found["report"]["shares"]["fall"]
    assert fall["after"] < fall["before"] and found["report"]["moved"] > 0.1
    assert {flow["from"] for flow in found["report"]["flows"]} == {"fall"}
    assert "had no chance" in found["report"]["predicted"]["cost_per_request"]["refused"]
    one.step(name, "rollback")
