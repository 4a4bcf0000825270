"""The demo runs through the real processes and ends by itself, with savings and intervals."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from service.demo import PLAN, SCALE, Settings
from service.providers.simulated import CHARACTERS


@pytest.mark.slow
def test_the_demo_shows_the_fall_and_the_return() -> None:
    began = time.monotonic()
    found = subprocess.run(
        [sys.executable, "-m", "service.cli", "demo", "--seconds", "40", "--json"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert time.monotonic() - began < 100
    report = json.loads(found.stdout)
    assert report["complete"] and report["answered"] > 500 and report["failed"] <= 5
    shares = report["share_of_river"]
    assert shares["before"] > 0.4 > 0.15 > shares["during"] and shares["after"] > 0.4
    rows = {row["name"].split(" (")[0]: row for row in report["savings"]}
    assert set(rows) == {"headgate", "best fixed", "best static mix at our spend", "strongest",
                         "cheapest", "random", "oracle"}  # fmt: skip
    assert rows["random"]["reward_gain"]["low"] > 0.0
    assert rows["oracle"]["reward_gain"]["high"] < 0.0


def test_the_plan_and_the_world_agree() -> None:
    text = PLAN.read_text("utf-8")
    for each in CHARACTERS:
        assert f"model: {each.model}" in text
        price = (
            f"input_usd_per_mtok: {each.price_in:.2f}, output_usd_per_mtok: {each.price_out:.2f}"
        )
        assert price in text
    assert f"worth_usd: {SCALE.worth_usd}" in text
    assert f"patience_s: {SCALE.patience_s:.0f}" in text
    assert Settings(10.0, 5.0, 1).quiet is False
