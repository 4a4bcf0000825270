"""Changes are read as they are written, and refused by name."""

from __future__ import annotations

import pytest

from experiments.errors import ExperimentError
from experiments.opportunities.changes import Batch, Cache, Cap, Price, Tier, in_order, parse


def test_each_is_read_back_as_it_is_written() -> None:
    for text in (
        "tier:code=mill", "cache:faq ttl=90m", "cache:*", "batch:code window=12h tags=a,b tiers=x",
        "batch:*", "skip:code above=0.8 audit=0.1 acceptable=0.6", "price:mill=0.4/1.6",
        "price:mill=0.4/1.6/0.04", "budget:global usd=5", "budget:tenant=acme usd=0.5 per=month",
    ):  # fmt: skip
        change = parse(text)
        assert parse(change.text) == change
    assert parse("cache:faq ttl=90m") == Cache("faq", 5_400.0)
    assert parse("price:mill=0.4/1.6") == Price("mill", 400_000, 1_600_000)


@pytest.mark.parametrize(("text", "said"), [
    ("", "no change"), ("shrink:code", "no change"), ("tier:code", "a task and a deployment"),
    ("cache:faq ttl=x", "ttl is 'x'"), ("cache:faq tll=1h", "no option 'tll'"),
    ("batch:code factor=2", "a share from 0 to 1"), ("price:mill=1", "dollars a million"),
    ("price:mill=nan/1", "a number of 0 or more"), ("budget:planet=x usd=1", "give a scope"),
    ("budget:tenant=acme", "give the cap"), ("skip:code above=0.9 above=0.8", "stands once"),
])  # fmt: skip
def test_refused_with_the_mend(text: str, said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        parse(text)


def test_the_order_is_fixed_and_what_contradicts_is_refused() -> None:
    tier, cache, cap = Tier("code", "mill"), Cache("*"), Cap("global", "", 1)
    assert in_order([tier, Batch("code"), cache]) == [cache, Batch("code"), tier]
    for both, said in (
        ([tier, Tier("code", "fall")], "another change"), ([cache, Cache("code")], "all tasks"),
        ([tier, cap], "one by one"),
    ):  # fmt: skip
        with pytest.raises(ExperimentError, match=said):
            in_order(both)  # type: ignore[arg-type]
