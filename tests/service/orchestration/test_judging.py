"""Judging through dispatch: twice, blind, never by kin, under a cap, cached."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from service.domain.judging import Rubric, rubrics
from service.domain.records import Disqualified, ErrorKind, Role
from service.orchestration.judging import About
from service.orchestration.rubrics import SHIPPED
from service.orchestration.simulated import Asked
from service.providers.base import ProviderFailure
from tests.service.orchestration.judges import SAID, Bench
from tests.service.orchestration.rig import CODER, SEEING, SMALL, WIDE, end


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await end(made)


async def test_a_score_is_asked_both_ways_round(bench: Bench) -> None:
    scored = await bench.judges.score(SAID, "Mercury.", about=About(task="maths"))
    assert scored.value == 1.0 and scored.consistent and scored.judge == SMALL
    assert (scored.rubric, scored.rubric_version) == ("maths", 1) and len(scored.digest) == 16
    one, two = (question for _, question in bench.talker.questions)
    assert "A: useless" in one.told and "A: complete" in two.told
    assert [a.role for a in bench.attempts] == [Role.JUDGE] * 2
    assert scored.cost_micro_usd == sum(a.usage.cost_micro_usd for a in bench.attempts) > 0
    assert bench.judges.spend.spent_micro_usd == scored.cost_micro_usd
    assert not bench.outcomes, "it ends no request"


async def test_a_judge_that_always_says_the_first_letter_is_inconsistent(bench: Bench) -> None:
    bench.talker.says = lambda asked: f"{asked.code} A"
    scored = await bench.judges.score(SAID, "Venus")
    assert (scored.value, scored.consistent, scored.said) == (0.5, False, (0.0, 1.0))
    told = await bench.judges.compare(SAID, "Venus", "Mars")
    assert (told.preference, told.consistent) == (0.5, False), "a tie"


async def test_a_comparison_sees_both_orders(bench: Bench) -> None:
    told = await bench.judges.compare(SAID, "Venus", "Mercury.")
    assert told.preference in (0.0, 0.5, 1.0)
    one, two = (question.material for _, question in bench.talker.questions)
    assert (one["answer_A"], one["answer_B"]) == (two["answer_B"], two["answer_A"])
    good, bad = "Mercury.", "# ☀️ The planet closest to the Sun"
    first = await bench.judges.compare(SAID, good, bad)
    assert (first.preference, first.consistent) == (0.0, True)
    second = await bench.judges.compare(SAID, bad, good)
    assert (second.preference, second.consistent) == (1.0, True)


@pytest.mark.parametrize("said", ["A", "the best is A", "000000 A", "{code} A because", "{code}"])
async def test_what_is_not_the_code_and_a_letter_is_not_read(bench: Bench, said: str) -> None:
    bench.talker.says = lambda asked: said.replace("{code}", asked.code)
    scored = await bench.judges.score(SAID, "Venus")
    assert scored.value is None and scored.why == "unreadable" and scored.cost_micro_usd > 0
    again = await bench.judges.score(SAID, "Venus")
    assert not again.cached, "what could not be read is asked again"


async def test_nobody_of_the_family_judges(bench: Bench) -> None:
    scored = await bench.judges.score(SAID, "x", about=About((SMALL,)))
    assert scored.judge == WIDE
    scored = await bench.judges.score(SAID, "x", about=About(families=("small", "wide")))
    assert scored.value is None and scored.why == "the judges are of the answer's family"
    kin = [replace(each, family="kin") for each in bench.dispatcher.means.catalog]
    bench.dispatcher.means = replace(bench.dispatcher.means, catalog=kin)
    scored = await bench.judges.score(SAID, "x", about=About((SEEING,)))
    assert scored.why == "the judges are of the answer's family" and not scored.judge


async def test_who_may_not_see_the_prompt(bench: Bench) -> None:
    bench.rule(judges=(CODER,))
    decision, request = bench.decide(headgate={"exclude": [CODER]})
    about = About((WIDE,), decision=decision, options=request.options)
    assert (await bench.judges.score(SAID, "x", about=about)).why.endswith("see this prompt")
    out = replace(decision, disqualified=(Disqualified(CODER, "override"),))
    about = About((WIDE,), decision=out)
    assert (await bench.judges.score(SAID, "x", about=about)).why.endswith("see this prompt")
    free, _ = bench.decide(headgate={})
    about = About((WIDE,), decision=free, number=12)
    assert (await bench.judges.score(SAID, "x", about=about)).judge == CODER
    assert [a.number for a in bench.attempts] == [13, 14]
    assert {a.decision_id for a in bench.attempts} == {free.id}


async def test_the_same_is_not_asked_twice_and_other_rules_ask_anew(bench: Bench) -> None:
    one = await bench.judges.score(SAID, "Mercury.")
    two = await bench.judges.score(SAID, "Mercury.")
    assert two.cached and two.cost_micro_usd == 0 and two.value == one.value
    assert len(bench.talker.questions) == 2
    await bench.judges.score(SAID, "Mercury!")
    await bench.judges.score(SAID, "Mercury.", "code")
    assert len(bench.talker.questions) == 6
    digest = bench.judges.digest_of(SMALL)
    own = Rubric("general", 2, "Does the answer help the person who asked for it at all?")
    bench.rule(rubrics=rubrics(SHIPPED, [own]))
    assert bench.judges.digest_of(SMALL) != digest, "another rubric is another judge"
    await bench.judges.score(SAID, "Mercury.")
    assert len(bench.talker.questions) == 8
    assert "general@2" in bench.talker.questions[-1][1].told


async def test_the_cache_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.orchestration.judging.MOST_CACHED", 3)
    for at in range(6):
        await bench.judges.score(SAID, f"answer {at}")
    assert len(bench.judges._cache) == 3
    assert b"answer" not in b"".join(bench.judges._cache), "no text is in it"


async def test_the_cap_is_reserved_before_and_holds(bench: Bench) -> None:
    bench.rule(cap=2_000)  # 300 micro-dollars a call; more is reserved
    for at in range(9):
        await bench.judges.score(SAID, f"answer {at}")
    assert bench.judges.counts["not judged: the day's cap"] > 0
    assert bench.judges.spend.spent_micro_usd <= 2_000
    assert bench.judges.spend._reserved == 0


@pytest.mark.parametrize("why", ["busy", "log", "excluded", "failed", "long"])
async def test_live_calls_come_first_and_a_failing_judge_changes_nothing(
    bench: Bench, why: str
) -> None:
    told = {"busy": "the gateway is busy", "log": "the log cannot be written",
            "excluded": "excluded by an operator", "failed": "the judge failed",
            "long": "too long for the judge"}[why]  # fmt: skip
    bench.rule(judges=(SMALL,))
    bench.log.flush().result(5)  # a writer that is at work would find it healthy again
    bench.strained, bench.log.healthy = why == "busy", why != "log"
    if why == "excluded":
        bench.world.override("exclude", SMALL)
    if why == "failed":
        bench.talker.failing[SMALL] = ProviderFailure(ErrorKind.SERVER, status=500)
    scored = await bench.judges.score(SAID, "x " * (5_000 if why == "long" else 1))
    assert scored.value is None and scored.why == told
    bench.log.healthy = True


async def test_decoration_is_taken_off_unless_the_plan_wants_it(bench: Bench) -> None:
    fancy = "# Title\n- **one**\n- two 🎉"
    await bench.judges.score(SAID, fancy)
    assert bench.talker.questions[0][1].material["answer"] == "Title\n- one\n- two"
    bench.rule(style_blind=False)
    await bench.judges.score(SAID, fancy)
    assert bench.talker.questions[-1][1].material["answer"] == fancy


async def test_no_request_to_a_judge_names_a_deployment(bench: Bench) -> None:
    seen: list[str] = []

    def says(asked: Asked) -> str:
        seen.append(asked.told + json.dumps(asked.material))
        return f"{asked.code} B"

    bench.talker.says = says
    await bench.judges.score(SAID, "Mars", about=About((SEEING,)))
    assert seen and all(name not in text for text in seen for name in (SEEING, SMALL, WIDE))
