"""Upstream faults of the bill: usage that is missing, impossible or contradictory; new prices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.domain.records import ErrorKind
from tests.chaos import fault
from tests.conftest import HandClock
from tests.service.faults.rig import PLAN, Rig, rigged

TEXT = "The tide is the sea breathing."  # what the upstreams answer
PRICE_IN, PRICE_OUT = 100, 200  # micro-dollars a token


def cost(tokens_in: int, tokens_out: int) -> int:
    return tokens_in * PRICE_IN + tokens_out * PRICE_OUT


IMPOSSIBLE: list[Any] = [
    None,
    {},
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    {"prompt_tokens": 0, "completion_tokens": 9},
    {"prompt_tokens": -12, "completion_tokens": 8},
    {"prompt_tokens": 12, "completion_tokens": -8},
    {"prompt_tokens": 12},
    {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 3},
    {"prompt_tokens": "12", "completion_tokens": "8"},
    {"prompt_tokens": 1.5, "completion_tokens": 8},
    {"prompt_tokens": 10**30, "completion_tokens": 8},
    {"prompt_tokens": 12, "completion_tokens": 10**12},
    [],
    "free",
]


def test_F15_usage_that_cannot_be_is_estimated_and_marked(rig: Rig) -> None:
    for stream, told in itertools.product((False, True), IMPOSSIBLE):
        rig.play(fault("usage", usage=told))
        got = rig.ask(stream)
        got.served_by("faulty")
        used = got.outcome.usage
        assert used.estimated, told
        assert used.tokens_in == got.case.decision.tokens_in > 0
        assert abs(used.tokens_out - len(TEXT) / 4) <= 1
        assert used.cost_micro_usd == cost(used.tokens_in, used.tokens_out) > 0


CONTRADICTORY: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({"prompt_tokens": 12, "completion_tokens": 0, "total_tokens": 12}, (12, 8)),
    ({"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 50}, (12, 38)),
    ({"prompt_tokens": 12, "completion_tokens": 8,
      "prompt_tokens_details": {"cached_tokens": 99}}, (12, 8)),
    ({"prompt_tokens": 12, "completion_tokens": 8,
      "prompt_tokens_details": {"cached_tokens": -1}}, (12, 8)),
]  # fmt: skip


def test_F15_usage_that_contradicts_itself_is_mended_and_marked(rig: Rig) -> None:
    for stream, (told, tokens) in itertools.product((False, True), CONTRADICTORY):
        rig.play(fault("usage", usage=told))
        got = rig.ask(stream)
        got.served_by("faulty")
        used = got.outcome.usage
        assert (used.tokens_in, used.tokens_out, used.cached_tokens) == (*tokens, 0)
        assert used.estimated and used.cost_micro_usd == cost(*tokens)


def test_F15_good_usage_is_billed_as_it_is(rig: Rig) -> None:
    for stream in (False, True):
        got = rig.ask(stream)
        got.served_by("faulty")
        used = got.outcome.usage
        assert not used.estimated and used.cost_micro_usd == cost(12, 8)


def test_F15_usage_that_a_cut_took_away_is_estimated_and_marked(rig: Rig) -> None:
    rig.play(fault("cut", tokens=5))
    got = rig.ask(stream=True)
    got.broke_off(ErrorKind.CUT)
    used = got.attempts[0].usage
    assert used.tokens_out == -(-len(got.text) // 4)
    assert used.cost_micro_usd == cost(got.case.decision.tokens_in, used.tokens_out)


def test_F15_a_caller_who_asks_for_usage_is_told_of_an_estimate(rig: Rig) -> None:
    told = {"prompt_tokens": 12, "completion_tokens": 0, "total_tokens": 12}
    rig.play(fault("usage", usage=told))
    got = rig.ask(stream=True, stream_options={"include_usage": True})
    last = got.events[-1]["usage"]
    assert last["estimated"] is True and last["cost_usd"] == cost(12, 8) / 1e6


@pytest.fixture
def dated(tmp_path: Path) -> Iterator[tuple[Rig, HandClock]]:
    """A plan in which the faulty one's prices change with October, and a clock just before."""
    prices = "{input_usd_per_mtok: 100, output_usd_per_mtok: 200}"
    dearer = "{from: 2026-10-01, input_usd_per_mtok: 300, output_usd_per_mtok: 900}"
    text = PLAN.replace(prices, f"[{prices}, {dearer}]", 1)
    clock = HandClock(int(datetime(2026, 9, 30, 23, 59, 59, tzinfo=UTC).timestamp() * 1e6))
    with rigged(tmp_path / "state", text, clock=clock) as rig:
        yield rig, clock


@pytest.mark.parametrize("stream", [False, True])
def test_F29_a_new_price_holds_from_its_day_on(dated: tuple[Rig, HandClock], stream: bool) -> None:
    rig, clock = dated
    before = rig.ask(stream)
    clock.advance(2.0)
    after = rig.ask(stream)
    assert before.outcome.usage.cost_micro_usd == 12 * 100 + 8 * 200
    assert after.outcome.usage.cost_micro_usd == 12 * 300 + 8 * 900
    rig.play(fault("usage", usage=None))
    estimated = rig.ask(stream).outcome.usage
    assert estimated.cost_micro_usd == estimated.tokens_in * 300 + estimated.tokens_out * 900
