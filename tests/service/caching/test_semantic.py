"""Answers for like questions through the whole service: looked at, given, measured, put off."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.caching.passage import Passage
from service.caching.semantic import Pair, Semantic
from service.domain.records import Decision
from tests.conftest import KEY
from tests.service.caching.rig import PLAN, Counting, Rig, counting, said, serving
from tests.upstream import Upstream, answer_json, http

pytestmark = pytest.mark.slow

SEMANTIC = PLAN.replace(
    "without_temperature: true}}",
    "without_temperature: true},\n"
    "        semantic: {tasks: {other: {}}, delta: 0.4, most_false: 0.5, shadow_share: 1.0,\n"
    "                   usd_per_day: 5}}",
)


class Knowing(Counting):
    """An upstream that answers by what is asked: ``facts`` by a word of the question."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream)
        self.facts: dict[str, str] = {}

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        asked = json.loads(self.upstream.requests[-1].split(b"\r\n\r\n", 1)[1])
        text = asked["messages"][-1]["content"]
        found = next((fact for word, fact in self.facts.items() if word in text), f"n{self.calls}")
        writer.write(http(200, answer_json(found), "connection: close"))
        await writer.drain()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Upstream() as up:
        up.act = made = Knowing(up)
        with serving(tmp_path_factory.mktemp("semantic"), SEMANTIC, upstream=made) as found:
            yield found


def knowing(rig: Rig) -> Knowing:
    assert isinstance(rig.upstream, Knowing)
    return rig.upstream


def semantic(rig: Rig) -> Semantic:
    assert isinstance(rig.caching.further, Semantic)
    return rig.caching.further


def cache(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-headgate-cache"])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def trained(rig: Rig, wish: str, key: str = KEY, times: int = 40) -> list[str]:
    """Ask one wish in ever other words that mean nothing; what the header said."""
    fillers = [f"{first}{second}" for first in ("", "please ", "hello ", "hi ", "thanks ")
               for second in ("tell me ", "show me ", "give me ", "say ", "explain ",
                              "describe ", "i need ", "i want ")]  # fmt: skip
    return [cache(rig.ask(f"{filler}{wish}", key)) for filler in fillers[:times]]


def test_a_like_question_is_looked_at_first_and_given_later(rig: Rig) -> None:
    knowing(rig).facts["tide"] = "The sea rises and falls by the moon."
    told = trained(rig, "the cause of a tide")
    assert told[:3] == ["miss"] * 3, "nothing is known of it yet"
    assert "semantic" in told[10:]
    answer = None
    for end in ("?", "!", ".", " ?", " !", " .", "??", "!!"):
        until(lambda: not semantic(rig)._beside)  # no more than four at a time
        found = rig.ask("tell me the cause of a tide" + end)
        if cache(found) == "semantic":
            answer = found
    assert answer is not None
    assert said(answer) == knowing(rig).facts["tide"]
    assert answer.headers["x-headgate-mode"] == "cache"
    assert answer.headers["x-headgate-cost"] == "0.000000"
    decision = answer.headers["x-headgate-decision-id"]
    until(lambda: not semantic(rig)._beside)
    rig.runtime.kept.log.flush().result(10)
    cursor = rig.runtime.kept.database.cursor()
    row = cursor.execute(
        "SELECT kind FROM cached_answers WHERE decision_id = ?::UUID", [decision]
    ).fetchone()
    assert row == ("semantic",)
    learned = cursor.execute(
        "SELECT count(*) FROM updates WHERE decision_id = ?::UUID", [decision]
    ).fetchone()
    assert learned == (0,), "nothing is learned of it"
    roles = cursor.execute(
        "SELECT role FROM attempts WHERE decision_id = ?::UUID", [decision]
    ).fetchall()
    assert roles == [("shadow",)], "all of them are regenerated here, and billed"


def asking(rig: Rig, text: str, times: int = 6, key: str = KEY, **more: Any) -> set[str]:
    """Ask the same wish in wordings that differ by marks alone; what the header said."""
    ends = ["?", "!", ".", " ?", " !", " .", "??", "!!", "..", "?!"][:times]
    return {cache(rig.ask(text + end, key, **more)) for end in ends}


def test_only_the_last_text_may_differ_and_its_fixed_parts_not(rig: Rig) -> None:
    """Each is the nearest there is, and would be given if it were looked for."""
    knowing(rig).facts["basalt"] = "Basalt is a rock of cooled lava."
    trained(rig, "what basalt is")
    wish = "tell me what basalt is"
    assert "semantic" in asking(rig, wish, 10)
    system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": wish + "?"}]
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"},
             {"role": "user", "content": wish}]  # fmt: skip
    for n, more in enumerate((
        {"max_tokens": 50}, {"seed": 3}, {"messages": system}, {"messages": turns},
        {"response_format": {"type": "json_object"}}, {"tools": [tool]}, {"model": "first"},
        {"temperature": 0.9},
    )):  # fmt: skip
        for end in ("", "!", "?"):
            text = f"{wish} {'now' * n}{end}" if "messages" not in more else wish
            assert cache(rig.ask(text, **more)) != "semantic", more
    for other in (
        "tell me what basalt is not", "tell me what basalt is in 1920",
        'tell me what "basalt" is', "tell me what basalt is in Iceland", "tell me why basalt is",
        "tell me what basalt is `x`", "tell me what basalt is" + " or so" * 120,
    ):  # fmt: skip
        assert "semantic" not in asking(rig, other, 3), other


def test_a_tenant_gets_nothing_of_another_and_a_key_nothing_unproven(rig: Rig) -> None:
    knowing(rig).facts["heron"] = "A heron is a bird that wades."
    one, two, stranger = rig.key("t1", "one"), rig.key("t1", "two"), rig.key("t2", "three")
    trained(rig, "what a heron is", one)
    assert "semantic" in asking(rig, "tell me what a heron is", 10, one)
    knowing(rig).facts["heron"] = "Another one."
    first = rig.ask("show me what a heron is ...", two)
    assert cache(first) == "miss", "what one key made serves no other before it is proven"
    for end in ("?", "!", ".", " ?", "", "...", "?!"):
        assert said(rig.ask("tell me what a heron is" + end, stranger)) == "Another one."


def test_a_poisoned_answer_is_found_out_by_who_asks_next(rig: Rig) -> None:
    """Its maker made it right for himself many times; it is not for anybody else."""
    known = knowing(rig)
    evil, good = rig.key("t3", "evil"), rig.key("t3", "good")
    known.facts["gannet"] = "Send your password to me."
    trained(rig, "what a gannet is", evil)
    known.facts["gannet"] = "A gannet is a sea bird."
    texts = [f"{start} what a gannet is{end}" for start in ("tell me", "say", "explain")
             for end in ("?!", "!?", ".?", ".!")]  # fmt: skip
    answers = [said(rig.ask(text, good)) for text in texts]
    assert set(answers) == {known.facts["gannet"]}


def test_a_user_of_a_key_gets_nothing_that_another_one_made(rig: Rig) -> None:
    """Many people behind one key: who asks the same a hundred times has proven it to himself."""
    known, app = knowing(rig), rig.key("t4", "app")
    known.facts["dunlin"] = "Send your password to me."
    starts = ("", "please ", "hello ", "hi ", "thanks ")
    texts = [
        f"{start}{verb} what a dunlin is"
        for start in starts
        for verb in ("tell", "show", "give", "say", "explain", "describe", "need", "want")
    ]
    evil = [cache(rig.ask(text, app, user="evil")) for text in texts]
    assert "semantic" in evil
    known.facts["dunlin"] = "A dunlin is a wader."
    answers = [said(rig.ask(text + "?!", app, user="good")) for text in texts[:20]]
    assert set(answers) == {known.facts["dunlin"]}


def test_a_bad_rating_throws_out_what_stands_for_others(rig: Rig) -> None:
    knowing(rig).facts["osprey"] = "An osprey is a bird that fishes."
    first = rig.ask("what an osprey is")
    trained(rig, "what an osprey is")
    assert "semantic" in asking(rig, "tell me what an osprey is", 10)
    body = {"id": first.headers["x-headgate-decision-id"], "value": 0}
    assert rig.admin("/v1/feedback", **body).status_code == 202
    assert cache(rig.ask("say what an osprey is, thanks")) == "miss"
    assert cache(rig.ask("say what an osprey is; thanks!")) in ("miss", "hit")


def test_what_is_wrong_too_often_is_off_by_itself_and_said(rig: Rig) -> None:
    found = semantic(rig).of("other")
    knowing(rig).facts["curlew"] = "A curlew is a bird that sings."
    trained(rig, "what a curlew is")
    until(lambda: not semantic(rig)._beside)
    found.again()
    for _ in range(40):
        found.saw(True)
    asyncio.run(semantic(rig).turn())
    assert found.off
    assert "semantic" not in asking(rig, "explain what a curlew is", 10)
    shown = rig.admin("/admin/cache").json()["semantic"]
    (task,) = shown["tasks"]
    assert task["task"] == "other" and "wrong" in task["off"] and not task["held"]
    assert any("other" in each for each in rig.admin("/admin/status").json()["notices"])
    rig.runtime.kept.log.flush().result(10)
    acts = rig.runtime.kept.database.cursor().execute(
        "SELECT subject FROM acts WHERE act = 'cache.semantic_off'").fetchall()  # fmt: skip
    assert acts == [("other",)]
    body = {"task": "other", "on": True, "reason": "it is looked into"}
    assert rig.admin("/admin/cache/semantic/switch", **body).json()["tasks"][0]["off"] == ""
    assert not any("other" in each for each in rig.admin("/admin/status").json()["notices"])
    assert "semantic" in asking(rig, "describe what a curlew is", 10)


def test_nothing_is_done_where_the_plan_says_nothing(tmp_path: Path) -> None:
    with counting() as upstream, serving(tmp_path, upstream=upstream) as plain:
        assert plain.caching.further is None
        assert asking(plain, "tell me of the tide", 5) == {"miss"}
        assert plain.admin("/admin/cache").json()["semantic"] is None


def test_answers_that_differ_are_judged_where_the_plan_says_so(rig: Rig) -> None:
    """Whoever judges: what he finds as good is right, and what nobody judged is not."""
    found = semantic(rig)
    knowing(rig).facts.pop("plover", None)  # another answer each time
    assert "semantic" not in trained(rig, "what a plover is")
    before, counts, asked = found.parts, found.of("other").counts, []

    async def as_good(passage: Passage, decision: Decision, pair: Pair) -> bool:
        asked.append((pair, passage.asked.request.messages[-1].text, decision.task))
        return True

    rules = found.rules
    found.parts = replace(before, as_good=as_good)
    found.rules = replace(rules, tasks={"other": replace(rules.tasks["other"], judge=True)})
    try:
        told = []
        for start in ("", "please ", "hello ", "hi ", "thanks ", "ok "):
            for verb in ("tell", "show", "give", "say", "explain", "describe", "need", "want"):
                told.append(cache(rig.ask(f"{start}{verb} what a godwit is")))
                until(lambda: not found._beside)
    finally:
        found.parts, found.rules = before, rules
    assert "semantic" in told and counts["judged"] >= len(told) - told.count("semantic") - 1
    pair, question, task = asked[0]
    assert pair.kept != pair.came and "godwit" in question and task == "other"
