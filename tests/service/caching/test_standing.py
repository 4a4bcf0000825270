"""Tasks put off and on: by themselves, by hand, over other rules, and what could not be logged."""

from __future__ import annotations

from dataclasses import replace

from service.caching.standing import CHANGED, SemanticRule, Standings, Switched

RULE = SemanticRule()
OTHER = replace(RULE, delta=0.01)


class Logged:
    """A history that can be out of order."""

    def __init__(self) -> None:
        self.said: list[Switched] = []
        self.works = True

    async def __call__(self, told: Switched) -> bool:
        if self.works:
            self.said.append(told)
        return self.works


def standings(*last: Switched, rule: SemanticRule = RULE) -> tuple[Standings, Logged]:
    history = Logged()
    made = Standings({"faq": rule}, history)
    made.resume({each.task: each for each in last})
    return made, history


async def broken(of: Standings) -> None:
    for _ in range(60):
        of.of("faq").saw(True)
    await of.turn()


async def test_what_went_off_is_logged_once_and_offered_again_until_it_is() -> None:
    made, history = standings()
    history.works = False
    await broken(made)
    assert made.of("faq").off and not history.said, "off at once, whatever the history does"
    history.works = True
    await made.turn()
    await made.turn()
    (said,) = history.said
    assert (said.task, said.on, said.rule, said.by_hand) == ("faq", False, RULE, False)
    assert "wrong" in said.why


async def test_off_is_off_after_a_restart_under_the_same_rules_alone() -> None:
    off = Switched("faq", False, "too often wrong", RULE)
    made, history = standings(off)
    assert made.of("faq").off == "too often wrong"
    await made.turn()
    assert history.said == [], "it is in the history already"
    made, history = standings(off, rule=OTHER)
    assert not made.of("faq").off
    await made.turn()
    assert history.said == [Switched("faq", True, CHANGED, OTHER)]
    made, _ = standings(replace(off, on=True))
    assert not made.of("faq").off
    made, _ = standings(replace(off, rule=None), rule=OTHER)
    assert made.of("faq").off, "nobody knows under which rules that was"


async def test_by_hand_is_off_until_it_is_on_by_hand() -> None:
    made, history = standings(Switched("faq", False, "the prices change", RULE, True))
    made.take_rules({"faq": OTHER})
    assert made.of("faq").off == "the prices change"
    made.switch(Switched("faq", True, "they have changed", OTHER))
    assert not made.of("faq").off and not made.of("faq").by_hand
    made.switch(Switched("faq", False, "again", OTHER, True))
    made.take_rules({"faq": RULE})
    await made.turn()
    assert made.of("faq").off == "again" and history.said == []


async def test_a_task_that_left_the_plan_is_off_when_it_comes_back() -> None:
    made, _ = standings()
    await broken(made)
    made.take_rules({})
    made.take_rules({"faq": RULE})
    assert made.of("faq").off
    made.take_rules({})
    made.take_rules({"faq": OTHER})
    assert not made.of("faq").off and not made.of("faq").events


async def test_a_hand_that_is_quicker_than_the_history_has_the_last_word() -> None:
    made, history = standings()
    history.works = False
    await broken(made)
    made.switch(Switched("faq", True, "looked into", RULE))
    history.works = True
    await made.turn()
    assert history.said == [] and not made.of("faq").off


def test_switching_on_what_is_on_forgets_nothing() -> None:
    made, _ = standings()
    made.of("faq").saw(False)
    made.switch(Switched("faq", True, "to be sure", RULE))
    assert len(made.of("faq").events) == 1
