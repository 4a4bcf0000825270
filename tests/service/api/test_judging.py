"""Judging over HTTP: a score by hand, a check, served answers sampled, and quality corrected."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.app import create_app
from service.benchmarking.journal import Journal
from service.benchmarking.prompts import packaged, parse
from service.benchmarking.running import Bounds
from service.benchmarking.scoring import HttpJudge, Scorers
from service.cli import output
from service.cli.main import app
from service.client import AsyncClient
from service.providers.simulated import Stream, prompts
from service.providers.simulated_judge import JudgeCharacter
from service.simulate import SimulatedProviders
from service.storage.cases import rows_of
from tests.conftest import KEY, Server, Service, make_runtime, plan_text
from tests.service.benchmarking.rig import begun, run

pytestmark = pytest.mark.slow
HTTP = httpx.Client(trust_env=False, timeout=30)
HEAD = {"Authorization": f"Bearer {KEY}"}
JUDGING = """
judging:
  judges: [mill, river]
  share: 1.0
  usd_per_day: 5
  weight: 1.0
  golden: {auto: false}
"""
BIASED = {"mill": JudgeCharacter(kind=0.12, length=0.1, noise=0.08, position=0.04)}


@pytest.fixture(scope="module")
def world() -> Stream:
    return Stream(seed=11, speed=200.0)


@pytest.fixture(scope="module")
def judged(world: Stream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Server(SimulatedProviders(world, BIASED).app()) as providers:
        # However slow this machine is: a gateway that is late judges nothing.
        calm = {"deadline_s: 75": "deadline_s: 75\n  most_lag_s: 10000"}
        text = plan_text(providers.url, **calm) + JUDGING
        runtime = make_runtime(tmp_path_factory.mktemp("judged"), text)
        with Server(create_app(runtime)) as server:
            yield Service(runtime, server)


def call(of: Service, method: str, path: str, body: Any = None) -> Any:
    found = HTTP.request(method, of.url + path, headers=HEAD, json=body)
    assert found.status_code < 400, found.text
    return found.json()


def until(of: Service, holds: Any, timeout_s: float = 60.0) -> dict[str, Any]:
    ends = time.monotonic() + timeout_s
    while True:
        found: dict[str, Any] = call(of, "GET", "/admin/judge")
        if holds(found):
            return found
        assert time.monotonic() < ends, found
        time.sleep(0.05)


def rows(of: Service, sql: str) -> list[dict[str, Any]]:
    of.runtime.kept.log.flush().result(10)
    return rows_of(of.runtime.kept.database.cursor(), sql)


def ask(of: Service, text: str, **more: Any) -> Any:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]} | more
    return HTTP.post(of.url + "/v1/chat/completions", headers=HEAD, json=body)


def test_a_score_by_hand_and_the_same_again_from_the_cache(judged: Service) -> None:
    body = {"messages": [{"role": "user", "content": "What is 17 * 23?"}], "answer": "391",
            "task": "maths"}  # fmt: skip
    one = call(judged, "POST", "/admin/judge/score", body)
    assert one["value"] >= 0.75 and one["consistent"] and one["cost_usd"] > 0
    assert (one["judge"], one["rubric_version"]) == ("mill", "maths@1")
    again = call(judged, "POST", "/admin/judge/score", body)
    assert again["cached"] and again["cost_usd"] == 0 and again["value"] == one["value"]
    kin = call(judged, "POST", "/admin/judge/score", body | {"family": "mill"})
    assert kin["judge"] == "river", "the next of the panel, where the first is of the family"
    (row,) = rows(judged, "SELECT * FROM judgings WHERE origin = 'asked' AND judge = 'mill'")
    assert row["decision_id"] is None and row["cost_micro_usd"] > 0
    assert "391" not in str(row) and row["length"] == 3


async def test_a_benchmark_has_its_rubrics_scored_and_nobody_judges_kin(judged: Service) -> None:
    item = next(each for each in packaged().items if each.check.scorer == "rubric")
    http = AsyncClient(judged.url, KEY)
    scorers = Scorers(HttpJudge(http))
    one = await scorers.scored("a", item, "Thank you for the water!", "fall")
    kin = await scorers.scored("b", item, "Thank you for the water!", "mill")
    await http.close()
    assert one.value is not None and one.judge == "mill" and one.cost_micro_usd > 0
    assert kin.value is not None and kin.judge == "river"
    (row,) = rows(judged, "SELECT * FROM judgings WHERE deployment = 'fall' AND origin = 'asked'")
    assert row["rubric"].startswith("given-") and row["task"] == item.task
    told = call(judged, "GET", "/admin/benchmarks/setting")
    assert told["judges"] == ["mill", "river"]


@pytest.mark.parametrize(
    ("body", "param"),
    [({"rubric": "none"}, "rubric"), ({"deployment": "none"}, "deployment"),
     ({"rubric": "code", "rubric_text": "good?"}, "rubric_text"),
     ({"answer": ""}, "answer"), ({"more": 1}, "more"), ({"messages": []}, "messages")],
)  # fmt: skip
def test_bad_input_is_refused_by_name(judged: Service, body: dict[str, Any], param: str) -> None:
    good = {"messages": [{"role": "user", "content": "hello"}], "answer": "hello"}
    found = HTTP.post(judged.url + "/admin/judge/score", headers=HEAD, json=good | body)
    assert found.status_code in (404, 422) and param in found.text


def test_before_a_check_scores_are_kept_and_are_no_ratings(judged: Service) -> None:
    answered = ask(judged, prompts(3, 1)[0])
    assert answered.status_code == 200
    until(judged, lambda found: found["under_way"] == 0 and found["sampling"].get("scored"))
    (row,) = rows(judged, "SELECT * FROM judgings WHERE origin = 'sample'")
    assert row["probability"] == 1.0 and not row["taught"]
    assert rows(judged, "SELECT * FROM feedback") == []
    assert call(judged, "GET", "/admin/judge")["judges"][0]["state"] == "unproven"


def test_a_check_proves_the_judge_and_then_it_rates(judged: Service) -> None:
    begun = call(judged, "POST", "/admin/judge/check", {"author": "mara"})
    assert begun["judge"] == "mill" and begun["checking"]["items"] >= 60
    refused = HTTP.post(judged.url + "/admin/judge/check", headers=HEAD, json={})
    assert refused.status_code == 409, "one at a time"
    found = until(judged, lambda found: found["checking"] is None)
    mill = found["judges"][0]
    assert mill["state"] == "proven" and mill["check"]["kappa"] >= 0.6, mill
    assert mill["check"]["author"] == "mara" and mill["check"]["report"]["attacks"]
    answered = ask(judged, prompts(3, 2)[1], stream=True)
    assert answered.status_code == 200 and b"[DONE]" in answered.content
    until(judged, lambda found: found["under_way"] == 0 and found["sampling"].get("rated"))
    (rating,) = rows(judged, "SELECT * FROM feedback")
    assert rating["kind"] == "judge" and rating["author"] in ("judge:mill", "judge:river")
    assert rows(judged, "SELECT * FROM judgings WHERE taught")


def test_quality_is_off_by_the_bias_and_right_where_people_correct_it(
    judged: Service, world: Stream
) -> None:
    """Every second answer is rated by its true quality; of the deployments that have enough, the
    corrected interval covers the true mean of what was served in most, the judge's own in fewer.
    """
    truth: dict[str, list[float]] = {}
    for at, text in enumerate(prompts(5, 220)):
        found = ask(judged, text)
        if found.status_code != 200:
            continue
        name = found.json()["model"]
        quality = world.answer(name, text, 1).quality
        truth.setdefault(name, []).append(quality)
        if at % 2:
            call(judged, "POST", "/v1/feedback", {"id": found.json()["id"], "value": quality})
    until(judged, lambda found: found["under_way"] == 0)
    rows(judged, "SELECT 1")
    told = call(judged, "GET", "/admin/judge/quality?days=1")["judges"][0]
    named = {d["deployment"]: d for d in told["deployments"] if d["task"] is None}
    known = {name: d for name, d in named.items() if d["corrected"] and len(truth[name]) >= 60}
    assert known, named
    for name, each in known.items():
        true = sum(truth[name]) / len(truth[name])
        assert each["judge_mean"] > true + 0.05, "too kind"
        corrected = each["corrected"]
        assert corrected["low"] - 0.02 < true < corrected["high"] + 0.02
        assert not each["chances_known"] and each["bias"] > 0.05


def test_status_and_counters_tell_of_it(judged: Service) -> None:
    found = call(judged, "GET", "/admin/status")
    assert found["judging"]["spent_today_usd"] > 0
    text = HTTP.get(judged.url + "/metrics", headers=HEAD).text
    assert 'headgate_judgings_total{result="scored"}' in text
    assert 'headgate_judge_teaches{judge="mill"} 1.0' in text


def command(of: Service, *arguments: str) -> tuple[int, str]:
    output.out.width = output.err.width = 200
    settings = {"HEADGATE_KEY": KEY, "HEADGATE_URL": of.url}
    found = CliRunner().invoke(app, ["judge", *arguments], env=settings)
    return found.exit_code, found.stdout


def test_the_commands_say_it_in_words_and_in_json(judged: Service) -> None:
    code, said = command(judged, "status")
    assert code == 0 and "mill" in said and "proven" in said and "spent today" in said
    code, said = command(judged, "quality")
    assert code == 0 and "corrected" in said and "length and style explain" in said
    code, said = command(judged, "check", "--judge", "river", "--json")
    assert code == 0 and json.loads(said)["state"] == "proven"
    code, said = command(judged, "check", "--judge", "mill")
    assert code == 0 and "kappa with people" in said and "longer-but-wrong" in said
    assert command(judged, "check", "--judge", "fall")[0] == 2, "not of the panel"


async def test_the_money_of_a_benchmark_holds_for_its_judging_too(
    judged: Service, tmp_path: Path
) -> None:
    rows_ = [{"id": f"w{at}", "task": "writing", "prompt": f"Write a note, number {at}.",
              "scorer": "rubric", "reference": "Short and warm.", "max_tokens": 200}
             for at in range(6)]  # fmt: skip
    file = parse("\n".join(map(json.dumps, rows_)).encode(), "made up")
    journal = begun(tmp_path, file, arms=("brook", "fall"))
    cap = 0.04
    short = await run(journal, file, judged.url, KEY, Bounds(2, cap, warm_up=0))
    assert short.short and journal.known.spent_usd <= cap and not journal.known.judge_usd
    assert 0 < len(journal.known.scores) < 12
    journal.close()
    path = journal.folder / "trials.jsonl"  # as if it was killed while the judge was asked
    kept = path.read_bytes().splitlines(True)
    at = max(at for at, line in enumerate(kept) if b'"kind": "score"' in line)
    path.write_bytes(b"".join(kept[:at] + kept[at + 1 :]))
    journal = Journal(journal.folder)
    assert len(journal.known.judge_usd) == 1
    ended = await run(journal, file, judged.url, KEY, Bounds(2, 2.0, warm_up=0))
    assert ended.whole and not journal.known.judge_usd
    answered = [k for k, each in journal.known.answers.items() if each.status == "answered"]
    assert set(answered) == set(journal.known.scores) and len(answered) >= 6
    assert {each.judge for each in journal.known.scores.values()} <= {"mill", "river"}
    journal.close()
