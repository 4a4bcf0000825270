"""Kept answers through the whole service: given again, shared, marked, and never to a stranger."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.domain.records import Mode
from service.storage.cache_file import FILE
from tests.conftest import KEY, HandClock
from tests.service.caching.rig import PLAN, Rig, counting, said, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with serving(tmp_path_factory.mktemp("caching")) as made:
        yield made


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def cache(answer: httpx.Response) -> str:
    return str(answer.headers["x-headgate-cache"])


def test_the_same_again_is_given_again_and_marked(rig: Rig) -> None:
    calls = rig.upstream.calls
    first = rig.ask("what is a tide?")
    again = rig.ask("what is a tide?", user="another", metadata={"feature": "x"}, top_p=1.0)
    assert (cache(first), cache(again), rig.upstream.calls) == ("miss", "hit", calls + 1)
    assert said(first) == said(again)
    assert again.headers["x-headgate-mode"] == "cache" and again.headers["age"] == "0"
    assert again.headers["x-headgate-reason"] == "cached"
    assert again.headers["x-headgate-cost"] == "0.000000"
    assert again.headers["x-headgate-attempts"] == "0"
    usage = again.json()["usage"]
    assert usage["cached"] is True and usage["cost_usd"] == 0.0 and usage["total_tokens"] == 46
    decision = again.headers["x-headgate-decision-id"]
    assert again.json()["id"] == "chatcmpl-" + decision.replace("-", "") != first.json()["id"]
    case = rig.runtime.kept.cases.recent(decision)
    assert case is not None and case.decision.mode is Mode.CACHE and case.outcome is not None
    assert case.outcome.usage.cost_micro_usd == 0 and case.attempts == []
    rig.runtime.kept.log.flush().result(10)
    row = rig.runtime.kept.database.cursor().execute(
        "SELECT source_decision_id::VARCHAR, kind, saved_micro_usd FROM cached_answers "
        "WHERE decision_id = ?::UUID", [decision]).fetchone()  # fmt: skip
    saved = round(float(first.headers["x-headgate-cost"]) * 1e6)
    assert row == (first.headers["x-headgate-decision-id"], "exact", saved) and saved > 0
    updates = (
        rig.runtime.kept.database.cursor()
        .execute("SELECT count(*) FROM updates WHERE decision_id = ?::UUID", [decision])
        .fetchone()
    )
    assert updates == (0,), "nothing is learned of it"


@pytest.mark.parametrize("first_streams", [False, True])
def test_streams_are_given_again_as_streams_and_whole_ones_whole(
    rig: Rig, first_streams: bool
) -> None:
    text = f"streams {first_streams}"
    first = rig.ask(text, stream=first_streams)
    calls = rig.upstream.calls
    whole = rig.ask(text)
    stream = rig.ask(text, stream=True, stream_options={"include_usage": True})
    assert [cache(each) for each in (first, whole, stream)] == ["miss", "hit", "hit"]
    assert said(first) == said(whole) == said(stream) and rig.upstream.calls == calls
    assert stream.text.endswith("data: [DONE]\n\n")
    events = [json.loads(line[6:]) for line in stream.text.split("\n")
              if line.startswith("data: {")]  # fmt: skip
    assert events[-1]["usage"]["cached"] is True and events[-1]["usage"]["cost_usd"] == 0
    identity = "chatcmpl-" + stream.headers["x-headgate-decision-id"].replace("-", "")
    assert {each["id"] for each in events} == {identity}


def test_every_front_gives_the_same_answer_again(rig: Rig) -> None:
    first = rig.ask("in every front", max_completion_tokens=100)
    headers = {"Authorization": f"Bearer {KEY}"}
    messages = {"model": "auto", "max_tokens": 100, "temperature": 0.0,
                "messages": [{"role": "user", "content": "in every front"}]}  # fmt: skip
    for stream in (False, True):
        found = rig.client.post("/v1/messages", json=messages | {"stream": stream}, headers=headers)
        assert found.status_code == 200 and cache(found) == "hit", found.text
        assert all(word in found.text for word in said(first).split())
    asked = {"model": "auto", "input": "a response", "temperature": 0}
    answers = [rig.client.post("/v1/responses", json=asked | more, headers=headers)
               for more in ({}, {}, {"stream": True})]  # fmt: skip
    assert [cache(each) for each in answers] == ["miss", "hit", "hit"]
    assert "response.completed" in answers[2].text


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"temperature": None}, "bypass"),
        ({"temperature": 0.7}, "bypass"),
        ({"n": 2}, "bypass"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "bypass"),
        ({"headgate": {"task": "code"}}, "bypass"),
        ({"headgate": {"cache": "bypass"}}, "bypass"),
        ({"headgate": {"cache": "refresh"}}, "bypass"),
        ({"seed": 5}, "miss"),
        ({"a_new_field": 1}, "miss"),
        ({"headgate": {"cache": {"ttl_s": 0.000001}}}, "miss"),
        ({"headgate": {"exclude": ["first"]}}, "miss"),
        ({"model": "second"}, "miss"),
    ],
)
def test_what_is_not_alike_or_not_for_the_cache(rig: Rig, more: dict[str, Any], told: str) -> None:
    text = f"not alike {sorted(more)} {len(str(more))}"
    assert cache(rig.ask(text)) == "miss"
    assert cache(rig.ask(text, **more)) == told


def test_wishes_of_requests(rig: Rig) -> None:
    wished = {"headgate": {"cache": "no-store"}}
    assert [cache(rig.ask("no store", **wished)) for _ in range(2)] == ["miss", "miss"]
    old = said(rig.ask("refreshed"))
    new = said(rig.ask("refreshed", headgate={"cache": "refresh"}))
    assert old != new and said(rig.ask("refreshed", **wished)) == new
    for wrong in ("never", {"mode": "x"}, {"ttl_s": 0}, {"tags": [""]}, {"seconds": 3}, True):
        answer = rig.ask("wrong", headgate={"cache": wrong})
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalid_option"
    assert rig.ask("wrong", model="no-such").status_code == 404


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_what_is_cut_or_refused_is_not_kept(rig: Rig, finish: str) -> None:
    rig.upstream.finish = finish
    try:
        statuses = {rig.ask(f"cut {finish}").status_code for _ in range(2)}
        rig.upstream.finish = "stop"
        if statuses == {200}:
            assert cache(rig.ask(f"cut {finish}")) == "miss"
    finally:
        rig.upstream.finish = "stop"


def test_a_bad_rating_of_either_answer_throws_it_out(rig: Rig) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    for which in (0, 1):
        text = f"rated {which}"
        given = [rig.ask(text), rig.ask(text)]
        assert cache(given[1]) == "hit"
        body = {"id": given[which].headers["x-headgate-decision-id"], "value": 0}
        taken = rig.client.post("/v1/feedback", json=body, headers=headers)
        assert taken.status_code == 202
        if which:
            assert not taken.json()["applied"], "what was given again teaches nothing"
        assert cache(rig.ask(text)) == "miss"


def test_tenants_and_keys_are_strangers(rig: Rig) -> None:
    """Keys of one tenant share; all others, and keys without one, are each by themselves."""
    one, two = rig.key("acme", "a1"), rig.key("acme", "a2")
    stranger, bare, other = rig.key("umbrella"), rig.key("", "b1"), rig.key("", "b2")
    assert cache(rig.ask("shared?", one)) == "miss" and cache(rig.ask("shared?", two)) == "hit"
    for key in (stranger, bare, other, KEY):
        assert cache(rig.ask("shared?", key)) == "miss"
    says = {"metadata": {"tenant": "acme"}}
    assert cache(rig.ask("shared?", bare, **says)) == "miss", "what a request says opens nothing"


def test_a_kill_or_an_exclusion_takes_the_answers_of_a_deployment(rig: Rig) -> None:
    assert cache(rig.ask("excluded")) == "miss" and cache(rig.ask("excluded")) == "hit"
    laid = rig.admin("/admin/overrides", action="exclude", deployment="first",
                     reason="it is not to answer")  # fmt: skip
    assert laid.status_code == 201, laid.text
    answer = rig.ask("excluded")
    assert cache(answer) == "miss" and answer.headers["x-headgate-deployment"] == "second"
    rig.admin(f"/admin/overrides/{laid.json()['id']}/lift", reason="it may answer again")


def test_a_stampede_is_one_call(rig: Rig) -> None:
    """Two hundred at once: one is sent, the others wait for it, and are billed nothing."""
    calls, waiting = rig.upstream.calls, 200
    rig.upstream.hold()
    limits = httpx.Limits(max_connections=waiting)
    with httpx.Client(base_url=rig.url, timeout=60, verify=False, limits=limits) as client:

        def ask(number: int) -> httpx.Response:
            body = {"model": "auto", "temperature": 0, "stream": number % 2 == 1,
                    "messages": [{"role": "user", "content": "stampede"}]}  # fmt: skip
            headers = {"Authorization": f"Bearer {KEY}"}
            return client.post("/v1/chat/completions", json=body, headers=headers)

        with ThreadPoolExecutor(waiting) as pool:
            asked = [pool.submit(ask, number) for number in range(waiting)]
            try:
                until(lambda: sum(f.waiting for f in rig.caching.flights.under_way) == waiting - 1)
            finally:
                rig.upstream.let_go()
            answers = [each.result(60) for each in asked]
    assert rig.upstream.calls == calls + 1
    assert len({said(each) for each in answers}) == 1
    led = [each for each in answers if cache(each) == "miss"]
    decisions = {each.headers["x-headgate-decision-id"] for each in answers}
    assert len(led) == 1 and len(decisions) == waiting
    rest = [each for each in answers if each is not led[0]]
    assert {each.headers["x-headgate-reason"] for each in rest} == {"shared_call"}


def test_the_leader_leaves_and_another_leads(rig: Rig) -> None:
    calls = rig.upstream.calls
    rig.upstream.hold()
    try:
        leaver = httpx.Client(base_url=rig.url, timeout=0.5, verify=False)
        body = {"model": "auto", "temperature": 0,
                "messages": [{"role": "user", "content": "left"}]}  # fmt: skip

        def leave() -> None:
            with pytest.raises(httpx.ReadTimeout):
                leaver.post("/v1/chat/completions", json=body,
                            headers={"Authorization": f"Bearer {KEY}"})  # fmt: skip
            leaver.close()

        first = threading.Thread(target=leave)
        first.start()
        until(lambda: rig.upstream.calls == calls + 1)
        with ThreadPoolExecutor(3) as pool:
            others = [pool.submit(rig.ask, "left") for _ in range(3)]
            first.join()
            until(lambda: rig.upstream.calls == calls + 2)
            rig.upstream.let_go()
            answers = [each.result(30) for each in others]
    finally:
        rig.upstream.let_go()
    assert sorted(map(cache, answers)) == ["hit", "hit", "miss"]
    assert len({said(each) for each in answers}) == 1 and rig.upstream.calls == calls + 2


def test_what_is_taken_back_while_it_is_under_way_is_not_kept(rig: Rig) -> None:
    """Nor is it given to those that wait for it: they may have come since."""
    calls = rig.upstream.calls
    rig.upstream.hold()
    tags = {"metadata": {"tags": "prices"}}
    with ThreadPoolExecutor(3) as pool:
        try:
            led = pool.submit(lambda: rig.ask("what does it cost?", **tags))
            until(lambda: rig.upstream.calls == calls + 1)
            late = pool.submit(lambda: rig.ask("what does it cost?", **tags))
            until(lambda: any(each.waiting for each in rig.caching.flights.under_way))
            other = pool.submit(rig.ask, "who is there?")
            until(lambda: rig.upstream.calls == calls + 2)
            told = rig.admin("/admin/cache/invalidate", tag="prices", reason="they have changed")
            assert told.json()["invalidated"] == 0, told.text
        finally:
            rig.upstream.let_go()
        assert cache(led.result(30)) == cache(late.result(30)) == "miss"
        other.result(30)
    assert rig.upstream.calls == calls + 3
    again = rig.ask("what does it cost?", **tags)
    assert said(again) == said(late.result()) != said(led.result())
    assert cache(rig.ask("who is there?")) == "hit"


def test_a_request_of_which_nothing_may_be_kept_is_not_kept(tmp_path: Path) -> None:
    promise = PLAN.replace("model: m1,", "model: m1, data_policy: [no_retention, no_training],")
    with serving(tmp_path, promise) as rig:
        for word, told in (("no_retention", "bypass"), ("no_training", "miss")):
            private = {"headgate": {"data_policy": [word]}}
            assert cache(rig.ask(word, **private)) == told
            assert len(rig.caching.shelf) == (told == "miss")
        assert rig.caching.tally.passed_by["privacy"] == 1


def test_without_the_section_nothing_is_kept(tmp_path: Path) -> None:
    with serving(tmp_path, PLAN[: PLAN.index("cache:")]) as bare:
        assert bare.runtime.caching is None
        assert [cache(bare.ask("again")) for _ in range(2)] == ["bypass", "bypass"]
        assert bare.ask("x", headgate={"cache": "refresh"}).status_code == 200
        assert bare.upstream.calls == 3 and not (tmp_path / "cache.sqlite").exists()


def test_answers_survive_a_restart(tmp_path: Path) -> None:
    with counting() as upstream:
        with serving(tmp_path, upstream=upstream) as before:
            kept = said(before.ask("kept"))
        with serving(tmp_path, upstream=upstream) as after:
            answer = after.ask("kept")
            assert cache(answer) == "hit" and said(answer) == kept and upstream.calls == 1


def test_a_reload_keeps_answers_where_the_plan_says_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On disk or not, and under the version that holds then."""
    monkeypatch.setenv("CHAOS_KEY", "no-key-at-all")

    def told(word: str) -> str:
        return PLAN.replace("cache: {", f"cache: {{{word}, ").replace("URL", upstream.upstream.url)

    def reload(rig: Rig, word: str) -> None:
        (tmp_path / "plan.yaml").write_text(told(word), "utf-8")
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = rig.client.post("/admin/plan/reload", headers=headers)
        assert answer.status_code == 200, answer.text

    with counting() as upstream:
        with serving(tmp_path, upstream=upstream) as before:
            before.ask("first")
            until(lambda: (tmp_path / FILE).exists())
            for word in ("disk: false", "disk: false, version: 2"):
                reload(before, word)
                assert not (tmp_path / FILE).exists()
                assert cache(before.ask("first")) == ("miss" if "version" in word else "hit")
            reload(before, "version: 2")
            assert cache(before.ask("second")) == "miss"
        with serving(tmp_path, told("version: 2"), upstream=upstream) as after:
            assert [cache(after.ask(each)) for each in ("first", "second")] == ["hit", "hit"]


def test_an_answer_lives_for_a_day_by_the_clock(tmp_path: Path) -> None:
    clock = HandClock()
    with serving(tmp_path, clock=clock) as rig:
        assert cache(rig.ask("what day is it?")) == "miss"
        clock.advance(86_399.0)
        answer = rig.ask("what day is it?")
        assert cache(answer) == "hit" and answer.headers["age"] == "86399"
        clock.advance(1.0)
        assert cache(rig.ask("what day is it?")) == "miss"
        assert rig.upstream.calls == 2
