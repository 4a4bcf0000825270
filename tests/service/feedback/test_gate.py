"""The gate of the running service: evaluated in a child, kept, read again, and never a pass by
mishap.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from service.config import child_environment
from service.domain.clock import SystemClock
from service.domain.experiments import Evaluation
from service.feedback.gate import Gate, GateParts, GateRules
from service.storage.history import Publisher
from tests.service.feedback.test_evaluating import HOUR_US, now_us
from tests.service.feedback.test_learner import Home, run

pytestmark = pytest.mark.slow


def gate(home: Home, state: Path, rules: GateRules | None = None) -> Gate:
    parts = GateParts(home.log, home.database.cursor, SystemClock(), state, child_environment())
    return Gate(parts, rules)


def asked(made: Gate, home: Home) -> Evaluation:
    version = home.resumed.version
    return asyncio.run(made.evaluate(version, now_us() - HOUR_US, now_us()))


def test_an_evaluation_is_made_in_a_child_kept_and_read_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    decided = run(home, 170)
    home.log.flush().result(5)
    Publisher(home.database, tmp_path).publish(home.log.last_seq)
    made = gate(home, tmp_path)
    version = home.resumed.version
    assert made.latest(version.id) is None
    found = asked(made, home)
    report = json.loads(found.report)
    assert found.passed and found.version_id == version.id and report["used"] == len(decided)
    assert report["metrics"]["success_rate"]["difference_at_any_look"]["high"] == 0.0
    assert made.latest(version.id) == found and made.latest("other") is None
    assert not list(tmp_path.glob("evaluating-*"))
    (tmp_path / "evaluating-left").mkdir()
    again = gate(home, tmp_path)
    assert again.latest(version.id) == found  # from the table
    assert not list(tmp_path.glob("evaluating-*"))
    home.leave()


def test_what_cannot_be_evaluated_has_not_passed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    ends = GateRules(child=(sys.executable, "-c", "raise SystemExit(3)"))
    lasts = GateRules(1, (sys.executable, "-c", "import time; time.sleep(60)"))
    lies = GateRules(child=(sys.executable, "-c", "open('out', 'w').write('{')"))
    for rules, told in (
        (ends, "ended with code 3"), (lasts, "not done after 1 seconds"), (lies, "its files"),
    ):  # fmt: skip
        made = gate(home, tmp_path, rules)
        found = asked(made, home)
        assert not found.passed and told in found.reason, found.reason
        assert made.latest(found.version_id) == found
    again = gate(home, tmp_path)
    assert again.latest(home.resumed.version.id) == replace(found)
    home.abandon()
