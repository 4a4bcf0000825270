"""What a judge says of deployments, corrected by people; and a judge that knows nothing is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from service.orchestration.standing import LEAST_BOTH, agreement, explained, quality
from service.storage.judgings import Row

TRUE = {"brook": 0.55, "fall": 0.7}


def rows(seed: int, n: int = 600, knows: float = 1.0, rated: float = 0.3) -> list[Row]:
    """Answers of two deployments; the judge is 0.15 too kind, and half of that to the long."""
    chance = np.random.default_rng(seed)
    made = []
    for at in range(n):
        name = ("brook", "fall")[at % 2]
        quality = float(np.clip(TRUE[name] + chance.normal(0, 0.15), 0, 1))
        noise = chance.normal(0, 0.1)
        seen = knows * quality + (1 - knows) * chance.random() + 0.1 + noise
        length = int(300 + 200 * (name == "fall") + chance.normal(0, 40))
        seen += 0.05 * (length - 400) / 200
        label = quality if chance.random() < rated else None
        made.append(Row("code", name, float(np.clip(seen, 0, 1)), True, 0.5, length, 0, label,
                        f"u{at}"))  # fmt: skip
    return made


def test_the_judges_mean_is_off_and_the_corrected_one_covers_the_truth() -> None:
    """Of 40 seeded histories of two deployments at least 90 % of the corrected intervals hold the
    truth, and of the judge's own at most one in ten.
    """
    held = naive = 0
    for seed in range(40):
        told = {d["deployment"]: d for d in quality(rows(seed)) if d["task"] is None}
        for name, each in told.items():
            held += each["corrected"]["low"] <= TRUE[name] <= each["corrected"]["high"]
            naive += each["judge"]["low"] <= TRUE[name] <= each["judge"]["high"]
    assert held >= 0.9 * 80 and naive <= 0.1 * 80


def test_it_is_told_by_task_too_and_why_it_cannot_be() -> None:
    told = quality(rows(1))
    assert [(d["deployment"], d["task"]) for d in told] == [
        ("brook", None), ("brook", "code"), ("fall", None), ("fall", "code"),
    ]  # fmt: skip
    assert not told[0]["chances_known"] and told[0]["rated_unlike_others"]["p_value"] > 0.0
    bare = quality(rows(1, rated=0.0))
    assert bare[0]["corrected"] is None and "20 ratings" in bare[0]["why"]
    assert bare[0]["judge_mean"] > 0.5 and bare[0]["rated_unlike_others"]["gap"] is None


def test_what_could_not_be_read_is_a_half_and_not_left_out() -> None:
    made = [replace(each, value=None) for each in rows(2)]
    (first, *_) = quality(made)
    assert first["judge_mean"] == 0.5 and first["scale"] == 0.0
    assert first["corrected"]["low"] < TRUE["brook"] < first["corrected"]["high"]


def test_length_is_told() -> None:
    told = explained(rows(3, 2_000))
    raw, own = (told["deployments"][1][k]["estimate"] - told["deployments"][0][k]["estimate"]
                for k in ("raw", "controlled"))  # fmt: skip
    assert own < raw and 0.0 < told["explained"] < 0.2
    assert "why" in explained([])
    few = [replace(each, deployment="mill") for each in rows(4, 6)]
    beside = explained([*rows(3, 2_000), *few])
    assert beside["explained"] == told["explained"], "who has too few keeps nobody from being told"


@pytest.mark.parametrize(("knows", "told"), [(1.0, True), (0.0, False)])
def test_a_judge_that_knows_nothing_is_seen(knows: float, told: bool) -> None:
    found = agreement(rows(5, 900, knows))
    assert found.knows is told and found.correlation is not None
    assert found.correlation.low < found.correlation.estimate < found.correlation.high


def test_deployments_means_alone_are_no_knowledge() -> None:
    """Who only knows that fall is the better one does not know which answers are good."""
    made = [replace(each, value=TRUE[each.deployment]) for each in rows(6, 900)]
    assert agreement(made).knows is False


def test_too_few_say_nothing() -> None:
    found = agreement(rows(7, 60))
    assert found.knows is None and found.answers < LEAST_BOTH
    constant = [replace(each, rated=None) for each in rows(8, 100)]
    assert agreement(constant).knows is None
