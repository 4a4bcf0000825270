"""A shadow from end to end: started by hand, deciding, mirroring, judged, shown, stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.feedback.promoting import Drafted, Signature, VersionDesk
from service.providers.simulated import Stream, prompts
from service.runtime import Runtime
from service.storage.cases import rows_of
from tests.conftest import KEY, Server, make_runtime, plan_text
from tests.service.cli.test_commands import run

pytestmark = pytest.mark.slow  # one after the other, on the calls of the first

AUTH = {"Authorization": f"Bearer {KEY}"}
WHY = {"reason": "to see what it would do", "author": "ann"}


class Stage:
    """The service over the simulated world, with a version that is not live."""

    def __init__(self, runtime: Runtime, url: str) -> None:
        self.runtime, self.url = runtime, url
        self.client = httpx.Client(base_url=url, headers=AUTH, timeout=10)
        desk = VersionDesk(runtime.learner, runtime.kept.database.cursor, runtime.clock)
        draft = Drafted("uniform", {}), Signature("ann", "to be compared with")
        self.version = desk.create(*draft).result(10).id
        self.prompts: dict[str, str] = {}  # by decision

    def ask(self, text: str, **more: Any) -> str:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]} | more
        answer = self.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        decision = answer.headers["x-headgate-decision-id"]
        self.prompts[decision] = text
        return decision

    def start(self, **more: Any) -> httpx.Response:
        return self.client.post("/admin/shadows", json={"version_id": self.version} | WHY | more)

    def stop(self) -> httpx.Response:
        return self.client.post(f"/admin/shadows/{self.version}/stop", json=WHY)

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/admin/shadows/{self.version}").json()
        return found

    def settled(self) -> None:
        """All that was asked is decided beside, mirrored and judged, and logged."""
        runtime, until = self.runtime, time.monotonic() + 10
        while runtime.shadows.waiting or runtime.mirror.under_way or runtime.mirror._held:
            assert time.monotonic() < until
            time.sleep(0.02)
        runtime.kept.log.flush().result(5)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return rows_of(self.runtime.kept.database.cursor(), sql)


@pytest.fixture(scope="module")
def stage(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    runtime = make_runtime(Path(tmp_path_factory.mktemp("state")), plan_text(providers.url))
    with Server(create_app(runtime)) as server:
        made = Stage(runtime, server.url)
        yield made
        made.client.close()


def test_what_is_refused_names_the_field_and_the_mend(stage: Stage) -> None:
    live = stage.runtime.live.current.mark.version_id
    for more, field, mend in (
        ({"version_id": "nobody"}, "version_id", "no version of that id"),
        ({"version_id": live}, "version_id", "give another"),
        ({"share": 0.0}, "share", "greater than 0"),
        ({"share": 1.5}, "share", "less than or equal to 1"),
        ({"mirror_share": 0.5}, "usd_per_day", "give usd_per_day above 0"),
        ({"mirror_share": 0.5, "usd_per_day": 1, "judge": "x"}, "judge", "known: brook, mill"),
        ({"reason": "short"}, "reason", "at least 10"),
        ({"caps": 1}, "caps", "unknown field"),
    ):
        answer = stage.start(**more)
        error = answer.json()["error"]
        assert answer.status_code == 422 and error["param"] == field and mend in error["message"]
    assert stage.client.get("/admin/shadows").json()["running"] == []
    assert stage.stop().status_code == 404
    assert stage.client.get(f"/admin/shadows/{stage.version}").status_code == 404


def test_a_shadow_mirrored_and_judged_by_the_simulated_world(stage: Stage, world: Stream) -> None:
    assert stage.start(mirror_share=1.0, usd_per_day=0.5, judge="fall").status_code == 201
    texts = prompts(5, 14)
    for text in texts:
        stage.ask(text)
    streamed = stage.ask("Describe a kite.", stream=True)
    stage.settled()
    rows = stage.rows("SELECT * FROM shadow_decisions")
    assert {str(r["decision_id"]) for r in rows} == set(stage.prompts), "streams too"
    assert all(r["propensities"] == [0.25] * 4 for r in rows)
    judgements = stage.rows("SELECT * FROM judgements")
    assert judgements and not any(str(r["decision_id"]) == streamed for r in judgements)
    for row in judgements:
        text = stage.prompts[str(row["decision_id"])]
        served, mirrored = (world.answer(row[who], text, 1) for who in ("served", "mirrored"))
        assert row["preference"] == float(mirrored.quality > served.quality) and row["consistent"]
        assert row["judge"] == "fall" and row["served"] != row["mirrored"]
        seen = stage.client.get(f"/v1/decisions/{row['decision_id']}").json()
        roles = [a["role"] for a in seen["attempts"]]
        assert roles == ["first", "shadow", "judge", "judge"]
        assert seen["outcome"]["cost_usd"] == seen["attempts"][0]["cost_usd"]
        assert seen["outcome"]["deployment"] == row["served"]
        assert [a["number"] for a in seen["attempts"]] == [1, 2, 3, 4]
    found = stage.shown()
    report, spent = found["report"], found["spent_today_usd"]
    assert report["judged"]["compared"] == len(judgements) == found["mirroring"]["judged"]
    assert 0 < spent <= 0.5 and spent == pytest.approx(report["mirrored_usd"])
    assert report["decisions"] == 15 and 0.0 <= report["agreement"] <= 1.0
    assert report["agreement_expected"] == pytest.approx(0.25)
    for task in report["tasks"]:
        assert sum(s["live"] for s in task["shares"]) == pytest.approx(1.0)
        assert {s["shadow"] for s in task["shares"]} == {0.25}


def test_what_the_calls_beside_taught(stage: Stage) -> None:
    """After the test above: one update a call, the spend with the caller's own call alone."""
    learner, until = stage.runtime.learner, time.monotonic() + 10
    while learner.waiting:
        assert time.monotonic() < until
        time.sleep(0.02)
    stage.runtime.kept.log.flush().result(5)
    calls = stage.rows("SELECT role, count(*) AS n FROM attempts GROUP BY role")
    told = stage.rows(
        "SELECT cost_usd IS NOT NULL AS paid, tokens_out IS NOT NULL AS sized, count(*) AS n, "
        "count(quality) AS rated FROM updates WHERE kind IN ('outcome', 'judge') GROUP BY ALL"
    )
    by_role = {row["role"]: row["n"] for row in calls}
    assert {(r["paid"], r["sized"]): r["n"] for r in told} == {
        (True, True): by_role["first"], (False, True): by_role["shadow"],
        (False, False): by_role["judge"],
    }  # fmt: skip
    assert not any(row["rated"] for row in told)
    spent = stage.rows("SELECT sum(cost_usd) AS usd FROM updates")[0]["usd"]
    outcomes = stage.rows("SELECT sum(cost_micro_usd) / 1e6 AS usd FROM outcomes")[0]["usd"]
    assert spent == pytest.approx(outcomes)


def test_stopped_it_decides_no_more_and_its_report_stays(stage: Stage) -> None:
    assert stage.start().status_code == 409
    assert stage.stop().json()["state"] == "stopped"
    before = len(stage.rows("SELECT 1 FROM shadow_decisions"))
    stage.ask("Describe a bridge.")
    stage.settled()
    assert len(stage.rows("SELECT 1 FROM shadow_decisions")) == before
    assert stage.version not in stage.runtime.live.others
    found = stage.shown()
    assert found["state"] == "stopped" and found["ended"]["author"] == "ann"
    assert found["report"]["decisions"] == before
    listed = stage.client.get("/admin/shadows").json()
    assert listed["running"] == [] and [s["id"] for s in listed["ended"]] == [found["id"]]


def test_by_hand(stage: Stage) -> None:
    url = ("--url", stage.url)
    start = ("shadow", "start", stage.version, *url, "--author", "ann")
    code, _, err = run(*start, "--reason", "short")
    assert code == 2 and "at least 10" in err
    code, out, _ = run(*start, "--reason", "before promoting it")
    assert code == 0 and "decides beside 1 of the decisions" in out and "mirrors" not in out
    code, _, err = run(*start, "--reason", "before promoting it")
    assert code == 1 and "stop it first" in err
    code, out, _ = run("shadow", "show", stage.version, *url)
    assert code == 0 and "nothing was decided beside yet" in out
    stage.ask("Describe a garden.")
    stage.settled()
    code, out, _ = run("shadow", "show", stage.version, *url)
    assert code == 0 and "1 decisions: alike in" in out and "other" in out and "brook" in out
    code, out, _ = run("shadow", "list", *url, "--json")
    assert [s["version_id"] for s in json.loads(out)["running"]] == [stage.version]
    stop = ("shadow", "stop", stage.version, *url, "--reason", "seen enough")
    code, out, _ = run(*stop)
    assert code == 0 and f"{stage.version} stopped" in out
    code, _, err = run(*stop)
    assert code == 2 and "no shadow of that version runs" in err
    code, out, _ = run("shadow", "list", *url)
    assert code == 0 and out.count("stopped") == 2 and stage.version in out
    start = (*start, "--mirror-share", "0.5", "--usd-per-day", "0.2", "--judge", "fall")
    code, out, _ = run(*start, "--reason", "and what its answers are worth")
    assert code == 0 and "mirrors 0.5 of these for at most $0.2 a day, judged by fall" in out
    assert run(*stop)[0] == 0


async def test_gauges(stage: Stage) -> None:
    counters = httpx.get(stage.url + "/metrics").text
    assert (
        "headgate_shadow_waiting 0.0" in counters
        and "headgate_shadow_dropped_total 0.0" in counters
    )
