"""Weighed ratings over HTTP: capped, acknowledged, shown, the same after a restart; labels too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.domain.clock import new_id
from service.domain.records import Key
from service.storage.history import connect
from service.storage.keys import digest
from tests.service.cli.test_commands import run
from tests.service.faults.refusing import AUTH, Stage, staged
from tests.upstream import Upstream, answer_json, http, say

pytestmark = pytest.mark.slow
PLAN = """tasks: [{name: nearly, when: 'type == "nearly"', confidence: 0.5}]
review: {classification: {audit: 0}}
feedback:
  trust:
    key: {hour: 5}
    trusted: [boss]
    keys: {half: 0.5}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as found:
        found.act = say(http(200, answer_json()))
        yield found


@pytest.fixture
def stage(tmp_path: Path, upstream: Upstream) -> Iterator[Stage]:
    with staged(tmp_path, upstream, PLAN) as running:
        yield running


def secret_of(stage: Stage, name: str, tenant: str = "acme") -> str:
    secret = f"hg-{name}-{new_id()}"
    stage.runtime.kept.keys._put(Key(name, 0, name, "caller", tenant, "", digest(secret)))
    return secret


def rate(stage: Stage, secret: str, decision: str, value: Any, **more: Any) -> dict[str, Any]:
    body = {"id": decision, "value": value} | more
    headers = {"Authorization": f"Bearer {secret}"}
    found = httpx.post(f"{stage.url}/v1/feedback", json=body, headers=headers)
    assert found.status_code == 202, found.text
    told: dict[str, Any] = found.json()
    return told


def asked(stage: Stage, secret: str, **more: Any) -> str:
    answer = stage.ask(key=secret, **more)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-headgate-decision-id"]


def settle(stage: Stage) -> None:
    stage.runtime.learner.caught_up().result(20)
    stage.runtime.kept.log.flush().result(20)


def test_a_flood_is_acknowledged_and_not_learned_and_a_restart_forgets_nothing(
    tmp_path: Path, upstream: Upstream
) -> None:
    with staged(tmp_path, upstream, PLAN) as stage:
        flood, half, boss = (secret_of(stage, name) for name in ("flood", "half", "boss"))
        made = [asked(stage, flood) for _ in range(7)]
        told = [rate(stage, flood, each, 0) for each in made]
        assert [each["applied"] for each in told] == [True] * 5 + [False] * 2
        assert [each["reason"] for each in told] == [""] * 5 + ["key_hour"] * 2
        assert rate(stage, half, made[0], 1)["applied"]
        mine = asked(stage, half)
        assert rate(stage, half, mine, 1, user="ann")["applied"]
        assert [rate(stage, boss, each, 1)["applied"] for each in made] == [True] * 7
        settle(stage)
        rows = stage.rows("SELECT weight, revises_weight, kind, quality FROM updates "
                          "WHERE kind IN ('rating', 'revision') ORDER BY seq")  # fmt: skip
        assert [row["weight"] for row in rows[:5]] == [1.0] * 5
        assert {0.5, 1.0} == {row["weight"] for row in rows}
        assert rows[5]["quality"] == pytest.approx(1.0 / 3.0)  # half a word beside a whole one
        (ann,) = stage.rows("SELECT rater FROM rating_weights WHERE rater <> '' AND author = 'half'"
                            " AND decision_id = ?::UUID", mine)  # fmt: skip
        assert len(ann["rater"]) == 32 and "ann" not in ann["rater"]
        assert [row["reference"] for row in stage.rows("SELECT DISTINCT reference FROM trust_steps")
                ] == ["trusted"]  # fmt: skip
        found = stage.get("/admin/ratings")
        assert found["weighed"] and found["verdict"] == "cannot say yet"
        authors = {each["key_id"]: each for each in found["authors"]}
        assert (authors["flood"]["ratings"], authors["flood"]["counted"]) == (7, 5)
        assert authors["flood"]["low_trust"] and authors["flood"]["trust"] < 0.5
        assert authors["boss"]["counted"] == 7
        assert found["uncounted"] == [{"reason": "key_hour", "ratings": 2, "authors": 1}]
        code, out, _ = run("ratings", "--url", stage.url)
        assert code == 0 and "flood" in out and "2 ratings (keys: 1) do not count: key_hour" in out
        code, out, _ = run("ratings", "--url", stage.url, "--json")
        assert code == 0 and json.loads(out)["metric"] == "rating"
        assert run("ratings", "--days", "0", "--url", stage.url)[0] == 2
        text = httpx.get(f"{stage.url}/metrics", headers=AUTH).text
        assert 'headgate_ratings_weighed_total{reason="key_hour"} 2.0' in text
        last = asked(stage, flood)
        settle(stage)
        replayed = stage.get(f"/admin/decisions/{last}/replay")
        assert replayed["verdict"] == "equal", replayed
        settle(stage)
        state = stage.runtime.learner.policy.freeze()
        trust = stage.runtime.intake.weights.trust.trust("flood")  # type: ignore[union-attr]
    assert connect(tmp_path).execute("SELECT count(*) FROM rating_weights").fetchone() == (16,)
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()  # the updates alone are left
    with staged(tmp_path, upstream, PLAN) as stage:
        first = stage.runtime.learner.policy
        assert first.freeze() == state
        assert stage.runtime.intake.weights.trust.trust("flood") == trust  # type: ignore[union-attr]
        flood = secret_of(stage, "flood")
        assert rate(stage, flood, asked(stage, flood), 0)["reason"] == "key_hour"


def test_one_may_rate_ones_own_answers_alone_and_without_the_section_all_count(
    tmp_path: Path, upstream: Upstream
) -> None:
    with staged(tmp_path, upstream) as stage:
        one, other = secret_of(stage, "one"), secret_of(stage, "other", "globex")
        made = [asked(stage, one) for _ in range(7)]
        foreign = httpx.post(f"{stage.url}/v1/feedback", json={"id": made[0], "value": 0},
                             headers={"Authorization": f"Bearer {other}"})  # fmt: skip
        assert foreign.status_code == 404
        assert all(rate(stage, one, each, 0)["applied"] for each in made)
        assert stage.rows("SELECT * FROM rating_weights") == []
        code, out, _ = run("ratings", "--url", stage.url)
        assert code == 0 and "one key may move all" in out


def test_what_the_classifier_saw_is_kept_with_the_item(stage: Stage) -> None:
    seen = np.arange(4, dtype=np.float32)
    stage.runtime.people.see_by(lambda decision: ("small-1", seen))
    secret = secret_of(stage, "app")
    decision = asked(stage, secret, metadata={"type": "nearly"})
    asked(stage, secret)  # of no task at all: not sure either
    row, other = stage.rows("SELECT * FROM classified_features ORDER BY log_seq")
    assert (row["item_id"], row["features_version"]) == (decision, "small-1") != other["item_id"]
    assert row["features"] == seen.tolist()
    assert stage.runtime.people.unsure() == ((0, 0), (2, 2))
    days = stage.runtime.people._parts.items.unsure_days(0, 0.75)
    assert [each[1:] for each in days] == [(2, 2)]


def test_where_nothing_is_classified_there_is_nothing_to_go_back_to(stage: Stage) -> None:
    assert stage.get("/admin/classifier")["classifying"] is False
    code, out, _ = run("classifier", "show", "--url", stage.url)
    assert code == 0 and "no classifier" in out
    code, _, err = run(
        "classifier", "rollback", "--reason", "it is no good now", "--url", stage.url
    )
    assert code == 1 and "nothing to go back to" in err.replace("\n", " ")
