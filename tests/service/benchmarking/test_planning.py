"""What is asked, in which order, and what it may cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.benchmarking.planning import (
    Ask,
    Candidate,
    design_json,
    design_of,
    estimate,
    judge_reserve_usd,
    order,
    reserve_usd,
)
from service.benchmarking.prompts import packaged
from service.routing.eligibility import ANSWER_RESERVE
from tests.service.benchmarking.rig import ARMS, design, prompts

FILE = prompts(5)
DESIGN = replace(design(FILE), repeats=2)
WHO = {name: Candidate(name, 0.7, 0.5, 1.0, 10.0) for name in ARMS}
ITEMS = {each.id: each for each in FILE.items}


def test_each_prompt_is_asked_of_all_before_the_next_one() -> None:
    asks = order(DESIGN)
    assert len(asks) == len({each.key for each in asks}) == 10 * 4 * 2
    for at in range(0, len(asks), 4):
        block = asks[at : at + 4]
        assert len({each.prompt for each in block}) == 1
        assert {each.deployment for each in block} == set(ARMS)
    firsts = {asks[at].deployment for at in range(0, len(asks), 4)}
    assert firsts == set(ARMS), "everybody is asked first at times"


def test_the_order_is_the_seeds() -> None:
    assert order(DESIGN) == order(design_of(design_json(DESIGN)))
    assert order(DESIGN) != order(replace(DESIGN, seed=8))
    prompts_of = [[a.prompt for a in order(DESIGN)][n : n + 40 : 4] for n in (0, 40)]
    assert prompts_of[0] != prompts_of[1] and sorted(prompts_of[0]) == sorted(prompts_of[1])


def test_the_estimate_and_the_reserve_are_by_list_prices() -> None:
    asks = order(DESIGN)
    told = estimate(asks, ITEMS, WHO, 4)
    item = FILE.items[0]
    assert told.calls == 80 and told.seconds == pytest.approx(80 * 0.5 / 4)
    assert reserve_usd(item, WHO["mill"]) == pytest.approx(2 * (item.tokens_in + 2_000) / 1e6)
    assert told.most_usd == pytest.approx(80 * reserve_usd(item, WHO["mill"]), rel=0.02)
    assert 0.0 < told.usd < told.most_usd / 4


def test_the_judging_of_rubrics_is_in_the_estimate_and_in_the_reserve() -> None:
    item = next(each for each in packaged().items if each.check.scorer == "rubric")
    judges = (WHO["mill"], replace(WHO["fall"], output_usd_per_mtok=20.0))
    assert judge_reserve_usd(FILE.items[0], judges) == 0.0, "no judge is asked of these"
    reserve = judge_reserve_usd(item, judges)
    least = 2 * (item.tokens_in + item.max_tokens + ANSWER_RESERVE * 20.0) / 1e6
    assert least < reserve < 3 * least, "asked twice, by the dearest"
    asks = tuple(Ask(item.id, arm, 0) for arm in ARMS)
    without = estimate(asks, {item.id: item}, WHO, 4)
    told = estimate(asks, {item.id: item}, WHO, 4, judges)
    assert told.most_usd == pytest.approx(without.most_usd + 4 * reserve)
    assert without.usd < told.usd < without.usd + 4 * reserve


def test_another_design_is_another_run() -> None:
    assert replace(DESIGN, run_id="other").digest == DESIGN.digest
    for change in ({"seed": 8}, {"deployments": ARMS[:2]}, {"repeats": 1}, {"url": "there"},
                   {"prompts": "x"}):  # fmt: skip
        assert replace(DESIGN, **change).digest != DESIGN.digest  # type: ignore[arg-type]
