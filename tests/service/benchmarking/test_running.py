"""Runs through a real service: what is asked, paid, waited for, and gone on with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.benchmarking.findings import trials_of
from service.benchmarking.journal import Journal
from service.benchmarking.planning import order
from service.benchmarking.running import MOST_IN_A_ROW, Bounds
from service.providers.simulated import Weather
from service.simulate import SimulatedProviders
from tests.conftest import KEY, Server, Service, make_runtime, plan_text
from tests.service.benchmarking.rig import ARMS, Counting, begun, counting, prompts, run

pytestmark = pytest.mark.slow
FILE = prompts(6)
SHORT = "\nresilience:\n  breaker: {ejection_s: 0.2, longest_ejection_s: 0.2}\n"
AUTH = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def pupils() -> Counting:
    return counting(FILE, speed=40.0)


@pytest.fixture(scope="module")
def service(pupils: Counting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Server(SimulatedProviders(pupils).app()) as providers:
        state = tmp_path_factory.mktemp("state")
        runtime = make_runtime(state, plan_text(providers.url) + SHORT)
        with Server(create_app(runtime)) as server:
            yield Service(runtime, server)


@pytest.fixture(autouse=True)
def _anew(pupils: Counting) -> None:
    pupils.asked.clear()


def journal_lines(journal: Journal) -> int:
    return (journal.folder / "trials.jsonl").read_bytes().count(b"\n")


async def test_every_trial_is_asked_once_scored_and_paid(
    service: Service, pupils: Counting, tmp_path: Path
) -> None:
    before = httpx.get(service.url + "/admin/status", headers=AUTH).json()["cost_usd"]
    journal = begun(tmp_path, FILE)
    ended = await run(journal, FILE, service.url, KEY)
    assert ended.whole and ended.asked == 48 and not ended.out
    assert Counter({k: n for k, n in pupils.asked.items() if "Case" in k[1]}) == Counter(
        (arm, str(item.messages[0]["content"])) for arm in ARMS for item in FILE.items
    )
    by_id = {each.id: each for each in FILE.items}
    made = trials_of(journal, by_id)
    assert len(made) == 48
    for each in made:
        right = pupils.right(each.arm, by_id[each.prompt])
        assert each.score == float(right) and each.cost_usd > 0 and each.tokens_out > 0
        assert each.ttft_s is not None and 0.0 < each.ttft_s <= each.latency_s
    after = httpx.get(service.url + "/admin/status", headers=AUTH).json()["cost_usd"]
    assert journal.known.spent_usd == pytest.approx(after - before, abs=1e-9)
    journal.close()


async def test_the_policy_learns_nothing_and_the_log_knows_whose_they_were(
    service: Service, tmp_path: Path
) -> None:
    journal = begun(tmp_path, FILE, arms=ARMS[:2])
    await run(journal, FILE, service.url, KEY)
    journal.close()
    service.runtime.kept.log.flush().result(10)
    rows = service.runtime.kept.database.cursor().execute(
        "SELECT mode, feature, task, count(*) FROM decisions GROUP BY ALL ORDER BY 3"
    ).fetchall()  # fmt: skip
    assert {row[0] for row in rows} == {"pinned"} and {row[1] for row in rows} == {"benchmark"}
    assert {"code", "maths"} <= {row[2] for row in rows}
    updates = service.runtime.kept.database.cursor().execute(
        "SELECT count(*) FROM updates WHERE quality IS NOT NULL"
    ).fetchone()  # fmt: skip
    assert updates == (0,)
    told = httpx.get(service.url + "/admin/benchmarks/setting", headers=AUTH).json()
    assert told["traffic"]["served"] == [], "a benchmark is no traffic"


async def test_the_money_is_never_overspent_and_more_of_it_goes_on(
    service: Service, pupils: Counting, tmp_path: Path
) -> None:
    journal = begun(tmp_path, FILE)
    cap = 0.05
    short = await run(journal, FILE, service.url, KEY, Bounds(8, cap))
    assert short.short and not short.whole and journal.known.spent_usd <= cap
    some = len(journal.known.answers)
    assert 0 < some < 48
    journal.close()
    journal = Journal(journal.folder)
    ended = await run(journal, FILE, service.url, KEY)
    assert ended.whole and len(trials_of(journal, {i.id: i for i in FILE.items})) == 48
    asked = {key: n for key, n in pupils.asked.items() if "Case" in key[1]}
    assert set(asked.values()) == {1} and len(asked) == 48
    journal.close()


async def test_a_deployment_that_fails_without_end_is_asked_no_more(
    service: Service, pupils: Counting, tmp_path: Path
) -> None:
    many = prompts(12)
    pupils.set_weather("mill", Weather(error_rate=1.0))
    journal = begun(tmp_path, many, arms=("mill", "river"))
    try:
        ended = await run(journal, many, service.url, KEY, Bounds(2, 10.0, warm_up=0))
    finally:
        pupils.set_weather("mill", Weather(error_rate=0.0))
    assert list(ended.out) == ["mill"] and ended.whole
    failed = [a for a in journal.known.answers.values() if a.status == "failed"]
    assert 0 < len(failed) <= MOST_IN_A_ROW + 2
    rivers = [k for k, a in journal.known.answers.items() if a.status == "answered"]
    assert len(rivers) == 24
    journal.close()


async def test_what_was_answered_before_a_crash_is_scored_and_not_asked_again(
    service: Service, pupils: Counting, tmp_path: Path
) -> None:
    journal = begun(tmp_path, FILE)
    await run(journal, FILE, service.url, KEY)
    journal.close()
    path = journal.folder / "trials.jsonl"
    kept = [line for line in path.read_bytes().splitlines(True) if b'"kind": "score"' not in line]
    path.write_bytes(b"".join(kept))
    pupils.asked.clear()
    journal = Journal(journal.folder)
    assert not journal.known.scores
    ended = await run(journal, FILE, service.url, KEY)
    assert ended.whole and len(journal.known.scores) == 48 and not pupils.asked
    journal.close()


async def test_a_wrong_key_and_a_service_that_is_gone_end_it_with_a_reason(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.benchmarking.running.PATIENCE_S", 0.0)
    from tests.service.benchmarking import rig

    known = rig.setting(service.url, KEY)
    monkeypatch.setattr(rig, "setting", lambda url, key: known)
    journal = begun(tmp_path, FILE)
    ended = await run(journal, FILE, service.url, "hg-nobody")
    assert "not known" in ended.reason and not journal.known.answers
    ended = await run(journal, FILE, "http://127.0.0.1:9", KEY)
    assert "no answer" in ended.reason and not ended.whole
    journal.close()


async def test_an_override_that_stands_against_it_is_told(service: Service, tmp_path: Path) -> None:
    body: dict[str, Any] = {"action": "exclude", "deployment": "fall", "reason": "a long reason",
                            "author": "me"}  # fmt: skip
    laid = httpx.post(service.url + "/admin/overrides", json=body, headers=AUTH)
    assert laid.status_code < 300, laid.text
    journal = begun(tmp_path, FILE)
    ended = await run(journal, FILE, service.url, KEY)
    lift = {"reason": "a long reason", "author": "me"}
    httpx.post(f"{service.url}/admin/overrides/{laid.json()['id']}/lift", json=lift, headers=AUTH)
    assert "excluded by an operator" in ended.reason
    assert len(journal.known.answers) < len(order(journal.design))
    journal.close()
