"""Skipped checks: proven first, audited by lot, off when the bound breaks, back by evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from service.domain.lots import lot
from service.domain.prediction import CheckDrawn, Predicted
from service.domain.records import Act, Decision
from service.feedback.skipping import Skipping, SkipRules, SkipState
from service.storage.predictions import Checks
from tests.conftest import HandClock
from tests.service.storage import test_tables as made

RULES = SkipRules(above=0.9, audit=0.05, most_bad=0.1)


class Court:
    """Gives every answer that is checked its verdict at once, at a rate that a test sets."""

    def __init__(self, rate: float = 0.02, rules: SkipRules = RULES) -> None:
        self.rate = rate
        self.records: list[Any] = []
        self.verdicts: dict[str, float] = {}
        self.rng = np.random.default_rng(3)
        self.rule = Skipping(rules, self.checks, self.append, HandClock())

    def append(self, record: Any) -> bool:
        self.records.append(record)
        if isinstance(record, CheckDrawn) and record.checked:
            self.verdicts[record.decision_id] = float(self.rng.random() < self.rate)
        return True

    def drawn(self, episode: int) -> list[CheckDrawn]:
        return [r for r in self.records if isinstance(r, CheckDrawn) and r.episode == episode]

    def checks(self, episode: int) -> Checks:
        drawn = self.drawn(episode)
        bad = [self.verdicts[each.decision_id] for each in drawn if each.checked]
        return Checks(np.array(bad), len(bad), len(drawn) - len(bad), 0)

    @property
    def acts(self) -> list[Act]:
        return [record for record in self.records if isinstance(record, Act)]

    def serve(self, number: int, every: int = 50) -> None:
        for at in range(number):
            self.rule.gate(served(0.95), "y")
            if at % every == every - 1:
                self.look()

    def look(self) -> None:
        self.rule.weigh(self.rule.measured())


def served(chance: float, state: str = "fitted") -> Decision:
    of = made.decision()
    told = Predicted(of.id, of.at_us, "m", state, 10.0, 5.0, 20.0, ("x", "y"), (0.5, chance))
    return replace(of, predicted=told)


def test_it_says_nothing_of_what_it_does_not_know() -> None:
    rule = Court().rule
    assert rule.gate(made.decision(), "y") is None  # nothing was foreseen
    assert rule.gate(served(0.95, "aside"), "y") is None
    assert rule.gate(served(0.8999), "y") is None and rule.gate(served(0.95), "x") is None
    assert rule.gate(served(0.95), "nobody") is None
    found = rule.gate(served(0.9), "y")
    assert found is not None and (found.check, found.probability) == (True, 1.0)


def test_until_it_is_proven_every_answer_is_checked_and_then_one_in_twenty_by_lot() -> None:
    court = Court()
    court.serve(600)
    assert court.rule.state is SkipState.SKIPPING and court.rule.rate.interval.high < 0.1
    (act,) = court.acts
    assert act.act == "prediction.skipping" and act.subject == "skipping"
    assert "the bound holds" in act.reason and json.loads(act.detail) == {"episode": 1}
    before = len(court.drawn(1))
    for _ in range(1_000):
        of = served(0.95)
        found = court.rule.gate(of, "y")
        assert found is not None and found.probability == 0.05
        assert found.check == (lot(of.id) < 0.05)
    later = court.drawn(1)[before:]
    assert 25 <= sum(each.checked for each in later) <= 80
    assert all(each.probability == 0.05 and each.chance == 0.95 for each in later)
    court.look()
    estimate, low, high = court.rule.let_through() or (0.0, 0.0, 0.0)
    assert low < estimate < high < 0.1 * court.rule.seen.skipped


def test_what_is_not_good_enough_is_never_skipped() -> None:
    court = Court(rate=0.12)
    court.serve(1_500)
    assert court.rule.state is SkipState.PROVING
    assert all(each.checked for each in court.drawn(1)) and court.acts == []


def test_drift_breaks_the_rule_which_says_so_and_proves_itself_anew() -> None:
    court = Court()
    court.serve(600)
    assert court.rule.skips
    court.rate = 0.5
    court.serve(1_200)
    assert not court.rule.skips and court.rule.episode == 2
    broken = court.acts[1]
    assert broken.subject == "proving" and "bad" in broken.reason
    assert json.loads(broken.before) == {"state": "skipping"}
    court.rate = 0.02
    court.serve(2_500)
    assert court.rule.episode >= 2
    while court.rule.episode == 2 and not court.rule.skips:  # the bad time counts in its evidence
        court.serve(500)
    court.serve(1_500)
    assert court.rule.state is SkipState.SKIPPING  # back by evidence


def test_by_hand_it_goes_on_while_its_audits_do_not_speak_against_it() -> None:
    court = Court(rate=0.02)
    rule = court.rule
    stop = rule.by_hand(False, "an audit of the judge", "ann", None)
    rule.take(stop)
    assert rule.state is SkipState.STOPPED and rule.gate(served(0.95), "y") is None
    rule.take(rule.by_hand(True, "the judge is well again", "ann", None))
    assert rule.state is SkipState.RESUMED and rule.episode == 3
    court.serve(2_000)
    assert rule.skips
    court.rate = 0.9
    court.serve(4_000)
    assert not rule.skips and rule.episode >= 4


def test_it_stands_where_it_stood_after_a_restart() -> None:
    court = Court()
    court.serve(600)
    again = Skipping(RULES, court.checks, court.append, HandClock())
    again.resume({"subject": court.acts[-1].subject, "detail": court.acts[-1].detail,
                  "reason": court.acts[-1].reason})  # fmt: skip
    again.weigh(again.measured())
    assert (again.state, again.episode, again.rate) == (
        court.rule.state, court.rule.episode, again.rate,
    )  # fmt: skip
    assert again.rate.count == court.rule.rate.count


def test_only_what_would_be_checked_without_it_is_drawn_and_the_whole_probability_is_told() -> None:
    court = Court()
    court.serve(600)
    assert court.rule.skips
    court.rule.share, before = (lambda: 0.25), len(court.drawn(1))
    told = []
    for _ in range(4_000):
        decision = served(0.95)
        found = court.rule.gate(decision, "y")
        assert found is not None and found.check == (lot(decision.id) < 0.25 * RULES.audit)
        told.append(found.probability if found.check else None)
    checked = [each for each in told if each is not None]
    assert set(checked) == {0.25 * RULES.audit}
    kept = court.drawn(1)[before:]
    # a quarter of them, to four standard deviations, and each with what the rule leaves it
    assert abs(len(kept) - 1_000) < 110 and {each.probability for each in kept} == {RULES.audit}
    assert sum(each.checked for each in kept) == len(checked)
