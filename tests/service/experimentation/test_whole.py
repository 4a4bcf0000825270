"""The whole story over HTTP: a harmful variant goes by itself, a good one ships, and is watched."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from service.providers.simulated import Weather
from service.storage.history import connect
from tests.service.experimentation.rig import Site, site, until

pytestmark = pytest.mark.slow

# Breakers that never open: what the experiment does must be seen, not what they save.
PLAN = """
resilience: {breaker: {failures_in_a_row: 1000, window: 1000, failures_in_window: 1000}}
experiments: {watch_s: 3600}
"""
GUARDED = [{"metric": "error_rate", "least": 10}]
RATED = {"brook": 0.2, "mill": 0.4, "river": 0.6, "fall": 0.9}


def traffic(here: Site, number: int, tag: str) -> Counter[tuple[str, int]]:
    """So many sessions of one rated request each; by variant and status."""
    seen: Counter[tuple[str, int]] = Counter()
    for n in range(number):
        answer = here.ask(session=f"{tag}{n}", text=f"Describe kite number {tag} {n}.")
        seen[answer.headers.get("x-headgate-variant", ""), answer.status_code] += 1
        if answer.status_code == 200:
            value = RATED[answer.headers["x-headgate-deployment"]]
            rating = {"id": answer.headers["x-headgate-decision-id"], "value": value}
            assert here.http.post("/v1/feedback", json=rating).status_code == 202
    return seen


def test_the_whole_story(tmp_path: Path) -> None:
    with site(tmp_path / "state", PLAN, kind="uniform") as here:
        # A variant that fails: half of mill's calls, and nobody behind it.
        harmful = here.create(slug="harmful", settings={"use": "mill"}, unit="session",
                              guardrails=GUARDED)  # fmt: skip
        here.step(harmful, "start", *["ramp"] * 5)
        assert traffic(here, 30, "calm")["treated", 503] == 0
        here.world.set_weather("mill", Weather(error_rate=0.5))
        sent = 0
        while here.get(f"/admin/experiments/{harmful}")["state"] == "running":
            traffic(here, 5, f"storm{sent}-")
            sent += 5
            assert sent <= 400
        after = traffic(here, 40, "after")
        assert set(after) <= {("", 200), ("", 503)}  # on the next request nobody was in it
        step = here.get(f"/admin/experiments/{harmful}")["steps"][-1]
        assert (step["step"], step["author"]) == ("roll back", "headgate")
        here.world.set_weather("mill", Weather())

        # A version that is better: it always takes the deployment that is rated best.
        made = here.post("/admin/policies", 201, kind="fixed", parameters={"arm": "fall"})
        good = here.create(slug="good", settings={"version": made["id"]}, unit="session",
                           goals=["quality"], guardrails=GUARDED, smallest_effect=0.3)  # fmt: skip
        refused = here.post(f"/admin/experiments/{good}/start", 409)
        assert "has not been evaluated on the log" in refused["error"]["message"]
        thin = here.post(f"/admin/policies/{made['id']}/evaluate", hours=0.0001)
        assert not thin["passed"] and here.post(f"/admin/experiments/{good}/start", 409)
        traffic(here, 450, "more")  # it always asks for one of four: a quarter of them tell
        worth = here.post(f"/admin/policies/{made['id']}/evaluate")
        assert worth["passed"] and worth["report"]["metrics"]["reward"]["ess"] >= 100, worth
        here.step(good, "start", *["ramp"] * 5)
        for part in range(12):
            traffic(here, 60, f"good{part}-")
            here.flush()
            report = here.get(f"/admin/experiments/{good}/report")
            if report["advice"]["recommendation"] == "ship":
                break
        assert report["advice"] | {"reasons": 0, "would_change": 0} == {
            "recommendation": "ship", "variant": "treated", "reasons": 0, "would_change": 0,
        }, report["advice"]  # fmt: skip
        here.step(good, "stop")
        here.step(good, "ship", variant="treated")
        promoted = here.get("/admin/policies")["promotions"][0]
        assert (promoted["how"], promoted["version"]) == ("shipped", made["id"])
        watched = traffic(here, 60, "watched")
        assert watched["after", 200] > watched["before", 200]
        told_by_the_history(here, harmful, good, made["id"])


def told_by_the_history(here: Site, harmful: str, good: str, version: str) -> None:
    """The published history alone tells what happened, to whom, by whom and why."""
    here.flush()
    here.runtime.publish()
    history = connect(here.runtime.kept.state_dir)
    steps = history.execute(
        "SELECT experiment, step, author FROM experiment_steps ORDER BY ts, log_seq"
    ).fetchall()
    assert (harmful, "roll back", "headgate") in steps and (good, "ship", "ann") in steps
    assert sum(step[1] == "ramp" for step in steps) == 10
    (cause,) = history.execute(
        "SELECT cause ->> 'query' FROM experiment_steps WHERE step = 'roll back'"
    ).fetchall()
    rows = {row[0]: row for row in history.execute(cause[0]).fetchall()}
    assert rows["treated"][3] > 5 * max(1, rows["control"][3])
    how = history.execute("SELECT how, version_id FROM promotions ORDER BY ts").fetchall()
    assert how[-1] == ("shipped", version)
    counted = history.execute(
        "SELECT variants[list_position(experiments, ?)] AS variant, avg(r.quality), count(*) "
        "FROM decisions d JOIN rounds r ON r.id = d.id WHERE list_contains(experiments, ?) "
        "GROUP BY 1 ORDER BY 1", [good, good],
    ).fetchall()  # fmt: skip
    assert [row[0] for row in counted] == ["control", "treated"]
    assert counted[1][1] == pytest.approx(RATED["fall"], abs=0.02)
    assert counted[0][1] < 0.7


def test_the_watch_brings_the_version_before_back(tmp_path: Path) -> None:
    # One attempt a request: what the version chooses is what the caller gets.
    with site(tmp_path / "state", PLAN, attempts="[5]") as here:
        traffic(here, 30, "first")
        before = here.runtime.learner.version.id
        made = here.post("/admin/policies", 201, kind="fixed", parameters={"arm": "mill"})
        here.post(f"/admin/policies/{made['id']}/promote")
        assert traffic(here, 20, "calm")["after", 200] >= 10
        here.world.set_weather("mill", Weather(error_rate=1.0))
        sent = 0
        while here.get("/admin/policies")["promotions"][0]["how"] != "rolled back":
            traffic(here, 5, f"storm{sent}-")
            sent += 5
            assert sent <= 600
        until(lambda: here.runtime.live.current.mark.version_id == before)
        last = here.get("/admin/policies")["promotions"][0]
        kept = {c["id"]: c["sha256"] for c in here.get(f"/admin/policies/{before}")["checkpoints"]}
        assert kept[last["checkpoint"]] == kept[last["restored_checkpoint"]]
        assert last["cause"]["metric"] == "error_rate" and last["author"] == "headgate"


def test_a_judge_and_people_are_told_apart_in_a_report(tmp_path: Path) -> None:
    """Every answer is scored by the judge, every third rated by people; the prompt's tokens have
    no slope yet, and the report says so.
    """
    with site(tmp_path / "state", PLAN, kind="uniform") as here:
        traffic(here, 20, "before")
        name = here.create(
            slug="judged", goals=["judged_quality", "latency_mean"], covariate="tokens_in",
            settings={"use": "fall"}, unit="session",
        )  # fmt: skip
        here.step(name, "start", *["ramp"] * 5)
        judged = rated = 0
        for n in range(330):
            answer = here.ask(session=f"s{n}", text=f"Describe kite number {n}.")
            if answer.status_code != 200:  # nobody stands behind the one that may answer
                continue
            judged, rated = judged + 1, rated + (n % 3 == 0)
            value = RATED[answer.headers["x-headgate-deployment"]]
            told = {"id": answer.headers["x-headgate-decision-id"]}
            scored = {**told, "kind": "judge", "value": 0.5 * value + 0.4 + 0.01 * (n % 7)}
            assert here.http.post("/v1/feedback", json=scored).status_code == 202
            if n % 3 == 0:
                people = {**told, "value": value + 0.01 * (n % 5)}
                assert here.http.post("/v1/feedback", json=people).status_code == 202
        here.flush()
        report = here.get(f"/admin/experiments/{name}/report")
        counted = report["responses"]["variants"]
        assert sum(each["judged"] for each in counted) == judged > 250
        assert sum(each["rated"] for each in counted) == rated
        quality = report["comparisons"][0]
        assert quality["metric"] == "judged_quality" and quality["finding"] == "better"
        assert quality["means"][1] == pytest.approx(RATED["fall"] + 0.02, abs=0.02)
        beside = {each["name"]: each["effect"]["estimate"] for each in quality["beside"]}
        assert beside["judge alone"] < 0.7 * quality["effect"]["estimate"]
        caveats = " ".join(report["caveats"])
        assert "like the others" in caveats and "latency_mean: not adjusted by tokens_in" in caveats
