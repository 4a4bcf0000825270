"""A plan's modalities: what is refused, who meets whom, and what is foreseen of a price."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.bootstrap.modalities import seen_by
from service.bootstrap.routing import table
from service.check import load_checked
from service.domain.catalog import Price, asked_micro_usd_mtok
from service.domain.errors import PlanInvalid
from service.domain.modalities import CHAT_KIND, Kind
from tests.service.test_config import GOOD, write

IMAGE = """  - name: {name}
    modality: image
    base_url: http://127.0.0.1:1/v1
    model: p
    price: {{usd_per_image: 0.04}}
"""
MIXED = GOOD + IMAGE.format(name="brush") + IMAGE.format(name="pen")
RULES = """rules:
  - {when: 'word_count < 800', use: [a]}
  - {use: [pen]}
fallbacks:
  - tiers: [{use: [a], timeout_s: 9}]
  - {task: image, tiers: [{use: [brush], timeout_s: 8}, {use: [pen, a], timeout_s: 7}]}
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MIXED.replace("price: {usd_per_image: 0.04}", "price: {}"), "price"),
        (MIXED + "    formats: [wav]\n", "formats are those of modality: speech"),
        (MIXED + "    space: x\n", "space is that of modality: embedding"),
        (MIXED + "    capabilities: [tools]\n", "capabilities are those of modality: chat"),
        (MIXED + "    dialect: anthropic\n", "is spoken for chat alone"),
        (MIXED + "    modality: film\n", "modality"),
        (MIXED + "judging: {judges: [pen], usd_per_day: 1}\n", "pen has modality: image"),
        (MIXED + "safe_deployment: pen\n", "pen has modality: image"),
        (MIXED + "    similar_to: a\n", "a has modality: chat"),
    ],
    ids=["price", "formats", "space", "can", "dialect", "word", "judge", "safe", "similar"],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PlanInvalid) as found:
        load_checked(write(tmp_path, text))
    assert said in str(found.value)


def test_rules_and_tiers_are_for_those_whom_they_name(tmp_path: Path) -> None:
    plan = load_checked(write(tmp_path, MIXED + RULES))
    assert plan.task_names == ("image", "other") and plan.modalities == ("image",)
    whole = table(plan, plan.catalog({}))
    chat, image = seen_by(whole, CHAT_KIND), seen_by(whole, Kind("image"))
    assert [each.use for each in chat.rules] == [("a",)]
    assert [each.use for each in image.rules] == [("pen",)]
    assert chat.ladders.of("other") is not None and image.ladders.of("other") is None
    ladder = image.ladders.of("image")
    assert ladder is not None and [each.use for each in ladder.tiers] == [("brush",), ("pen",)]
    of_chat = chat.ladders.of("image")
    assert of_chat is not None and of_chat.tier("a") == 0, "where chat is asked for a task image"


def test_a_plan_of_chat_alone_is_seen_as_it_is(tmp_path: Path) -> None:
    plan = load_checked(write(tmp_path, GOOD))
    whole = table(plan, plan.catalog({}))
    assert seen_by(whole, CHAT_KIND) is whole and plan.task_names == ("other",)


def test_an_image_is_foreseen_at_its_price(tmp_path: Path) -> None:
    plan = load_checked(write(tmp_path, MIXED))
    brush = next(each for each in plan.catalog({}) if each.name == "brush")
    assert asked_micro_usd_mtok(brush, brush.prices[0]) * 3_000 // 1_000_000 == 3 * 40_000
    assert asked_micro_usd_mtok(brush, Price(5, 7)) == 0, "its tokens are those of the answer"
