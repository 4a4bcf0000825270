"""What a rating counts: caps and shares of its author, and the trust in it; a fold over the log."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from learning.agreement import Believed
from learning.influence import Cell, Quota, ShareRule, Shares
from service.domain.ratings import RatingWeight, TrustStep
from service.domain.records import Feedback, Key
from service.storage.cases import Case

DAY_US = 86_400_000_000
MOST_ANSWERS = 100_000  # rated answers of which is remembered who was learned from
REVIEWER, JUDGE = "review:", "judge:"  # before the names of authors that are no caller's key
TRUSTED, OTHERS, ITSELF = "trusted", "others", "itself"
COUNTS = {TRUSTED: 1.0, "judge": 0.5, OTHERS: 0.5, ITSELF: 0.5}  # what being seen beside each tells
TURNED = 0.5  # of the scale: who turns a rating round by so much contradicts itself
LEAST_OTHERS = 2
NO_TRUST = "weight"


@dataclass(frozen=True, slots=True)
class LevelRules:
    """How many ratings of one author count in an hour and a day, of all deployments and of
    ``each``; and its share of what is learned of a deployment in a task. None: no bound.
    """

    hour: int | None = None
    day: int | None = None
    hour_each: int | None = None
    day_each: int | None = None
    share: ShareRule | None = None

    def reached(self, quota: Quota, who: str, arm: str, at_us: int) -> str:
        """Which cap is reached: hour, day, hour_each or day_each; empty for none."""
        for name, most, span_us, what in (
            ("hour", self.hour, Quota.HOUR_US, ""),
            ("day", self.day, Quota.DAY_US, ""),
            ("hour_each", self.hour_each, Quota.HOUR_US, arm),
            ("day_each", self.day_each, Quota.DAY_US, arm),
        ):
            if most is not None and quota.count((who, what), span_us, at_us) >= most:
                return name
        return ""


@dataclass(frozen=True, slots=True)
class TrustRules:
    """The plan's word. ``trusted``: keys, by id or name, that are believed and never capped;
    ``keys``, ``roles``, ``kinds``: what ratings of these count, of each 1 where it is not named;
    ``least``: what trust never falls below; ``half_life_s``: how fast the policy forgets.
    """

    key: LevelRules
    tenant: LevelRules
    user: LevelRules
    least: float
    learned: bool
    half_life_s: float
    trusted: frozenset[str] = frozenset()
    keys: Mapping[str, float] = field(default_factory=dict)
    roles: Mapping[str, float] = field(default_factory=dict)
    kinds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Weighing:
    """What a rating counts, and what it says of authors: to be durable with it."""

    row: RatingWeight
    steps: tuple[TrustStep, ...] = ()
    spent: float | None = None  # what came to the evidence; None: nothing was spent

    @property
    def weight(self) -> float:
        """What it counts."""
        return self.row.weight

    @property
    def records(self) -> tuple[object, ...]:
        """What is logged."""
        return (self.row, *self.steps)


@dataclass(slots=True)
class _Answer:
    """Who was learned from of one answer, each with what it counts."""

    authors: dict[str, float] = field(default_factory=dict)

    @property
    def weight(self) -> float:
        return max(self.authors.values(), default=0.0)


class Trust:
    """Lives on the event loop. What ``weigh`` gives is in effect at once, so that a flood meets it
    however many ratings are under way; ``undo`` takes it back where it could not be made durable.

    ``named``: the name of a key by its id, empty where it is not known.
    """

    def __init__(self, rules: TrustRules | None, named: Callable[[str], str]) -> None:
        self._named = named
        self._quota = Quota()
        self._believed = Believed(rules.least if rules else 1.0)
        self._shares: dict[str, Shares] = {}
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self.rules = rules
        self.take_rules(rules)

    def take_rules(self, rules: TrustRules | None) -> None:
        """Another plan is in force. What was counted stays; shares that differ begin anew."""
        self.rules = rules
        if rules is None:
            return
        self._believed.least = rules.least
        for level, each in _levels(rules).items():
            known = self._shares.get(level)
            if each.share is None:
                self._shares.pop(level, None)
            elif known is None or known.rule != each.share:
                self._shares[level] = Shares(each.share)

    def resume(self, rows: Iterable[RatingWeight], steps: Iterable[TrustStep]) -> None:
        """Fold what was logged, in its order."""
        for row in rows:
            self._take(row)
        for step in steps:
            self._observe(step)

    # a rating -----------------------------------------------------------------------------------

    def weigh(self, case: Case, rating: Feedback, key: Key, rater: str) -> Weighing | None:
        """What a rating that would teach counts; None where the plan does not weigh ratings."""
        rules = self.rules
        if rules is None:
            return None
        trust = self.trust(rating.author, rater) if rules.learned else 1.0
        arm, task = rating.deployment or "", case.decision.task
        row = RatingWeight(
            rating.id, rating.at_us, case.decision.id, case.decision.at_us, rating.author, rater,
            key.tenant, arm, task, rating.kind, 0.0, trust, "",
        )  # fmt: skip
        weight, reason = self._counts(rules, row, key, case, rating)
        row = RatingWeight(
            rating.id, rating.at_us, case.decision.id, case.decision.at_us, rating.author, rater,
            key.tenant, arm, task, rating.kind, weight, trust, reason,
        )  # fmt: skip
        steps = self._seen(case, rating, rater)
        made = Weighing(row, steps, self._take(row))
        for step in steps:
            self._observe(step)
        return made

    def undo(self, made: Weighing) -> None:
        """It could not be made durable. What it said of authors stays until a restart."""
        row = made.row
        if row.reason or self.rules is None:
            return
        for level, who in self._who(row):
            self._quota.add((level + who, ""), row.at_us, -1)
            self._quota.add((level + who, row.arm), row.at_us, -1)
        answer = self._answers.get(row.decision_id)
        if made.spent is None or answer is None:
            return
        answer.authors.pop(row.author, None)
        for level, who in self._brings(row):
            if level in self._shares:
                amount = row.weight * self._fresh(row)
                self._shares[level].give_back(who, (row.arm, row.task), amount, made.spent)

    def trust(self, author: str, rater: str = "") -> float:
        """How far an author is believed: no further than its key, or the user behind it."""
        found = self._believed.trust((author, ""))
        return min(found, self._believed.trust((author, rater))) if rater else found

    def seen_of(self, author: str, rater: str = "") -> float:
        """How much was seen of an author beside others."""
        return self._believed.standing((author, rater)).seen

    # parts --------------------------------------------------------------------------------------

    def _counts(
        self, rules: TrustRules, row: RatingWeight, key: Key, case: Case, rating: Feedback
    ) -> tuple[float, str]:
        if self._is_trusted(rating.author):
            return 1.0, ""
        for level, who in self._who(row):
            cap = _levels(rules)[level].reached(self._quota, level + who, row.arm, row.at_us)
            if cap:
                return 0.0, f"{level}_{cap}"
        before = self._before(case, rating)
        if before is not None:  # a revision counts what the rating did that it revises
            return (before, "") if before else (0.0, "revises_uncounted")
        weight = row.trust * rules.kinds.get(rating.kind, 1.0)
        named = rules.keys.get(rating.author, rules.keys.get(self._named(rating.author)))
        weight *= rules.roles.get(key.role, 1.0) if named is None else named
        if weight <= 0.0:
            return 0.0, NO_TRUST
        amount, day = weight * self._fresh(row), row.at_us // DAY_US
        for level, who in self._who(row):
            shares = self._shares.get(level)
            if shares is not None and shares.allowance(who, (row.arm, row.task), day) < amount:
                return 0.0, f"{level}_share"
        return min(weight, 1.0), ""

    def _before(self, case: Case, rating: Feedback) -> float | None:
        """What the same author's earlier rating of this answer counts; None where there is none."""
        answer = self._answers.get(case.decision.id)
        if answer is not None and rating.author in answer.authors:
            return answer.authors[rating.author]
        if rating.revises is None:
            return None
        return case.weights.get(rating.revises, 1.0)

    def _take(self, row: RatingWeight) -> float | None:
        """Count it; what came to the evidence, None for nothing."""
        if row.reason:
            return None
        for level, who in self._who(row):
            self._quota.add((level + who, ""), row.at_us)
            self._quota.add((level + who, row.arm), row.at_us)
        answer = self._answers.setdefault(row.decision_id, _Answer())
        self._answers.move_to_end(row.decision_id)
        if len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)
        if row.author in answer.authors:
            return None
        grown = max(0.0, row.weight - answer.weight)
        answer.authors[row.author] = row.weight
        cell: Cell = (row.arm, row.task)
        fresh, day = self._fresh(row), row.at_us // DAY_US
        for level, who in self._brings(row):
            if level in self._shares:
                self._shares[level].spend(who, cell, day, row.weight * fresh, grown * fresh)
        return grown * fresh

    def _fresh(self, row: RatingWeight) -> float:
        """What the policy makes of an answer of that age."""
        age_s = max(0.0, (row.at_us - row.decided_us) / 1e6)
        return math.exp2(-age_s / self.rules.half_life_s) if self.rules else 1.0

    def _who(self, row: RatingWeight) -> list[tuple[str, str]]:
        """At which levels a rating is bounded, and for whom."""
        if self._is_trusted(row.author):
            return []
        return [
            (level, who)
            for level, who in self._brings(row)
            if level == "key" or (row.rater if level == "user" else row.tenant)
        ]

    def _brings(self, row: RatingWeight) -> list[tuple[str, str]]:
        """Whose evidence it is at every level, bounded there or not: it is the others' others'."""
        own = row.tenant and not self._is_trusted(row.author)
        return [
            ("key", row.author),
            ("user", f"{row.author}/{row.rater}"),
            ("tenant", row.tenant if own else f"key:{row.author}"),
        ]

    def _is_trusted(self, author: str) -> bool:
        if author.startswith(REVIEWER):
            return True
        trusted = self.rules.trusted if self.rules else frozenset()
        return author in trusted or self._named(author) in trusted

    def _reference(self, author: str) -> str:
        if author.startswith(JUDGE):
            return "judge"
        return TRUSTED if self._is_trusted(author) else ""

    def _seen(self, case: Case, rating: Feedback, rater: str) -> tuple[TrustStep, ...]:
        """What a rating says of its author beside those of the same answer, and of these."""
        assert rating.quality is not None
        own, found = rating.quality, []

        def step(author: str, behind: str, beside: str, other: float) -> None:
            away = abs(own - other)
            found.append(
                TrustStep(
                    rating.id, rating.at_us, author, behind, beside, 1.0 - away, COUNTS[beside]
                )
            )

        mine = self._reference(rating.author)
        slot = (rating.metric, rating.kind, rating.author)
        before = case.feedback.get(slot)
        if before is not None:
            turned = before.quality is not None and abs(own - before.quality) >= TURNED
            if not mine and turned and before.quality is not None:
                step(rating.author, rater, ITSELF, before.quality)
            return tuple(found)
        plain = []
        for each in case.feedback.values():
            if each.metric != rating.metric or each.author == rating.author or each.quality is None:
                continue
            theirs = self._reference(each.author)
            if theirs and not mine:
                step(rating.author, rater, theirs, each.quality)
            elif mine and not theirs:
                step(each.author, case.raters.get(each.id, ""), mine, each.quality)
            elif not mine:
                plain.append(each.quality)
        if not mine and len(plain) >= LEAST_OTHERS:
            step(rating.author, rater, OTHERS, sum(plain) / len(plain))
        return tuple(found)

    def _observe(self, step: TrustStep) -> None:
        self._believed.observe((step.author, ""), step.agreement, step.weight)
        if step.rater:
            self._believed.observe((step.author, step.rater), step.agreement, step.weight)


def _levels(rules: TrustRules) -> dict[str, LevelRules]:
    return {"key": rules.key, "user": rules.user, "tenant": rules.tenant}
