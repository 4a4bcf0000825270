"""How a change is tried: a design that can be analysed, or a part of the plan."""

from __future__ import annotations

from experiments.design_json import from_json, to_json
from experiments.opportunities.changes import parse
from experiments.opportunities.trying import trial


def test_a_tier_is_a_design() -> None:
    made = trial(parse("tier:Code.Review=mill")).design
    assert made is not None and made.slug == "tier-code-review-mill"
    assert from_json(to_json(made)) == made
    assert dict(made.treatments[0].settings) == {"tier": "Code.Review=mill"}


def test_the_others_say_what_to_do() -> None:
    for text, part in (
        ("cache:faq ttl=2h", "faq: {enabled: true, ttl_s: 7200"), ("cache:*", "ttl_s: 86400"),
        ("skip:code above=0.8", "above: 0.8"), ("budget:tenant=acme usd=5", "hard_usd: 5"),
    ):  # fmt: skip
        made = trial(parse(text))
        assert made.design is None and part in made.plan and made.words
    for text in ("batch:code", "price:mill=1/2"):
        made = trial(parse(text))
        assert made.design is None and not made.plan and made.words
