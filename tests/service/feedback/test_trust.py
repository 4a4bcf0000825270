"""What a rating counts: capped, shared, trusted, revised, undone; the same after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from learning.influence import ShareRule
from service.domain.clock import new_id
from service.domain.ratings import RatingWeight, TrustStep
from service.domain.records import Feedback, Key
from service.feedback.credit import Ratings
from service.feedback.trust import LevelRules, Trust, TrustRules, Weighing
from service.storage.cases import Case
from tests.service.storage.test_tables import NOW, decision

FREE = LevelRules()
RULES = TrustRules(FREE, FREE, FREE, 0.1, True, 14 * 86_400.0, frozenset({"boss"}))
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000


@dataclass
class Desk:
    """Ratings one after another, weighed as the intake does; and all that was logged."""

    trust: Trust
    at_us: int = NOW
    rows: list[RatingWeight] = field(default_factory=list)
    steps: list[TrustStep] = field(default_factory=list)

    def case(self, arm: str = "x") -> Case:
        return Case(decision(deployment=arm, at_us=self.at_us))

    def rate(
        self, case: Case, author: str, quality: float = 1.0, user: str = "", **more: str
    ) -> Weighing:
        kind = more.get("kind", "user")
        before = case.feedback.get(("rating", kind, author))
        rating = Feedback(
            new_id(), case.decision.id, self.at_us, "rating", kind, author, quality, None, quality,
            case.decision.deployment, before.id if before else None, None, "", (),
        )  # fmt: skip
        key = Key(author, 0, author, more.get("role", "caller"), more.get("tenant", ""), "", "")
        made = self.trust.weigh(case, rating, key, user)
        assert made is not None
        case.rated(rating)
        case.weights[rating.id], case.raters[rating.id] = made.weight, user
        self.rows.append(made.row)
        self.steps += made.steps
        return made


def desk(rules: TrustRules | None = RULES, **more: object) -> Desk:
    return Desk(Trust(replace(rules, **more) if rules else None, lambda key_id: f"name-{key_id}"))


def test_without_the_plans_word_nothing_is_weighed() -> None:
    of = desk(None)
    case = of.case()
    rating = Feedback(new_id(), case.decision.id, NOW, "rating", "user", "a", 1.0, None, 1.0, "x",
                      None, None, "", ())  # fmt: skip
    assert of.trust.weigh(case, rating, Key("a", 0, "", "caller", "", "", ""), "") is None


@pytest.mark.parametrize(
    ("level", "cap", "reason"),
    [("key", LevelRules(hour=3), "key_hour"), ("key", LevelRules(day=3), "key_day"),
     ("key", LevelRules(hour_each=3), "key_hour_each"),
     ("user", LevelRules(day_each=3), "user_day_each"),
     ("tenant", LevelRules(day=3), "tenant_day")],
)  # fmt: skip
def test_beyond_a_cap_a_rating_does_not_count(level: str, cap: LevelRules, reason: str) -> None:
    of = desk(**{level: cap})
    made = [of.rate(of.case(), "a", user="u", tenant="t") for _ in range(5)]
    assert [each.row.reason for each in made] == ["", "", "", reason, reason]
    assert [each.weight for each in made] == [1.0, 1.0, 1.0, 0.0, 0.0]
    other = of.rate(of.case("y"), "a", user="u", tenant="t")
    assert (other.row.reason == "") == reason.endswith("each")  # of each deployment by itself
    of.at_us += DAY_US if "day" in reason else HOUR_US
    assert of.rate(of.case(), "a", user="u", tenant="t").row.reason == ""


def test_a_share_is_of_what_the_others_bring() -> None:
    of = desk(key=LevelRules(share=ShareRule(0.1, 2.0)))
    for at in range(30):
        of.rate(of.case(), f"honest {at}")
    flood = [of.rate(of.case(), "false", 0.0).row.reason for _ in range(100)]
    assert flood == [""] * 2 + ["key_share"] * 98
    for at in range(30):
        of.rate(of.case(), f"honest {at}")
    assert of.rate(of.case(), "false", 0.0).row.reason == ""
    assert of.rate(of.case("y"), "false", 0.0).row.reason == ""


def test_kinds_roles_and_keys_weigh_as_the_plan_says() -> None:
    of = desk(kinds={"implicit": 0.5}, roles={"caller": 0.8}, keys={"name-b": 0.2, "c": 0.0})
    assert of.rate(of.case(), "a").weight == 0.8
    assert of.rate(of.case(), "a", kind="implicit").weight == pytest.approx(0.4)
    assert of.rate(of.case(), "b").weight == 0.2
    never = of.rate(of.case(), "c")
    assert (never.weight, never.row.reason) == (0.0, "weight")
    assert of.rate(of.case(), "boss").weight == 1.0 and of.rate(of.case(), "review:ann").weight == 1


def test_who_contradicts_the_trusted_counts_less_and_names_no_new_user_to_escape_it() -> None:
    of = desk()
    for at in range(12):
        case = of.case()
        of.rate(case, "liar", 0.0, user=f"u{at}")
        of.rate(case, "honest", 1.0)
        of.rate(case, "boss" if at % 2 else "review:ann", 1.0)
    assert of.trust.trust("liar") == 0.1 and of.trust.trust("honest") == 1.0
    assert of.rate(of.case(), "liar", 0.0, user="new").weight == pytest.approx(0.1)
    assert {each.reference for each in of.steps} == {"trusted"}


def test_one_bad_user_is_not_held_against_the_others_of_its_key() -> None:
    of = desk()
    for at in range(60):
        case = of.case()
        bad = at % 10 == 0
        of.rate(case, "app", 0.0 if bad else 1.0, user="bad" if bad else f"good {at}")
        of.rate(case, "boss", 1.0)
    assert of.trust.trust("app", "bad") < 0.4
    assert of.trust.trust("app", "good 1") == 1.0


def test_liars_of_one_key_cannot_take_trust_from_who_is_honest() -> None:
    of = desk()
    for _ in range(20):
        case = of.case()
        of.rate(case, "honest", 1.0)
        of.rate(case, "liar", 0.0)
    assert of.trust.trust("honest") == 1.0 and not of.steps  # nobody says who is right
    of.rate(case, "third", 1.0)
    (step,) = of.steps
    assert (step.author, step.reference, step.agreement) == ("third", "others", 0.5)


def test_who_turns_its_ratings_round_contradicts_itself() -> None:
    of = desk()
    case = of.case()
    of.rate(case, "a", 1.0)
    for at in range(10):
        of.rate(case, "a", float(at % 2))
    assert of.trust.trust("a") == 0.1
    told = Ratings(case.feedback, case.weights).weighed("rating")
    assert (told.quality, told.weight) == (1.0, 1.0)  # a revision counts what the rating did


def test_revisions_count_against_caps_and_what_did_not_count_is_not_revised_into_counting() -> None:
    of = desk(key=LevelRules(hour=3))
    case, late = of.case(), of.case()
    assert [of.rate(case, "a", at / 10.0).row.reason for at in range(5)] == [
        "", "", "", "key_hour", "key_hour",
    ]  # fmt: skip
    of.rate(late, "a")
    of.at_us += HOUR_US
    assert of.rate(late, "a", 0.5).row.reason == "revises_uncounted"


def test_one_answer_is_spent_once_however_often_and_by_whatever_kind_it_is_rated() -> None:
    of = desk(key=LevelRules(share=ShareRule(0.1, 2.0)))
    for at in range(30):
        of.rate(of.case(), f"honest {at}")
    case = of.case()
    for at in range(6):
        made = of.rate(case, "a", at / 10.0, kind="user" if at % 2 else "outcome")
        assert made.row.reason == "" and (made.spent is None) == (at > 0)
    assert of.rate(of.case(), "a").row.reason == ""
    assert of.rate(of.case(), "a").row.reason == "key_share"


def test_ratings_of_little_weight_together_are_not_one_of_much() -> None:
    of = desk(keys={f"s{at}": 0.1 for at in range(9)})
    case = of.case()
    for at in range(9):
        of.rate(case, f"s{at}", 0.0)
    told = Ratings(case.feedback, case.weights).weighed("rating")
    assert (told.quality, told.weight) == (0.0, 0.1)
    of.rate(case, "honest", 1.0)
    told = Ratings(case.feedback, case.weights).weighed("rating")
    assert told.weight == 1.0 and told.quality == pytest.approx(1.0 / 1.9)


def test_what_could_not_be_made_durable_is_taken_back() -> None:
    of = desk(key=LevelRules(hour=5, share=ShareRule(0.1, 2.0)))
    for at in range(30):
        of.rate(of.case(), f"honest {at}")
    for _ in range(20):
        of.trust.undo(of.rate(of.case(), "a"))
    assert [of.rate(of.case(), "a").row.reason for _ in range(3)] == ["", "", "key_share"]


def moves(of: Desk) -> Iterator[tuple[str, str]]:
    """A mixed hour of ratings: what became of each."""
    cases = [of.case("x" if at % 3 else "y") for at in range(60)]
    for at in range(400):
        case, author = cases[at * 7 % 60], f"k{at * 11 % 23}"
        author = "boss" if at % 19 == 0 else "false" if at % 3 == 0 else author
        of.at_us += 40_000_000
        made = of.rate(case, author, (at * 13 % 10) / 9.0, user=f"u{at % 5}", tenant=f"t{at % 4}")
        yield made.row.reason, f"{made.weight!r} {made.row.trust!r}"


def test_a_restart_that_folds_the_log_goes_on_with_equal_bits() -> None:
    rules = replace(
        RULES, key=LevelRules(hour=40, share=ShareRule(0.1, 3.0)),
        user=LevelRules(day_each=60, share=ShareRule(0.2, 3.0)),
        tenant=LevelRules(share=ShareRule(0.4, 9.0)),
    )  # fmt: skip
    whole = desk(rules)
    told = list(moves(whole))
    assert len({reason for reason, _ in told}) >= 4
    again = Trust(rules, lambda key_id: f"name-{key_id}")
    again.resume(whole.rows, whole.steps)
    assert whole.trust._believed._known == again._believed._known
    for level, shares in whole.trust._shares.items():
        other = again._shares[level]
        assert (shares._brought, shares._buckets, shares._days) == (
            other._brought, other._buckets, other._days,
        )  # fmt: skip
    assert whole.trust._quota._counts == again._quota._counts
