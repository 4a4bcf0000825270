"""A made-up past: a closed world of seeded traffic, whose every effect was put in and is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.metrics import Frame
from experiments.offline import past_rows as rows
from experiments.offline.past_calls import POLICY, Calls, Ends, Providers
from experiments.offline.past_cast import Cast
from experiments.offline.past_choices import Choices, Chooser, Regime
from experiments.offline.past_columns import Bytes, Columns, Reals, Whole, Words, ids_at
from experiments.offline.past_events import Happenings
from experiments.offline.past_policy import Beliefs
from experiments.offline.past_ratings import Ratings, rate, true_quality
from experiments.offline.past_rows import Marks
from experiments.offline.past_traffic import Turns, Visits, budget, day_of
from experiments.offline.past_trials import contrast


@dataclass(frozen=True, slots=True)
class Day:
    """A day: its tables, what it was made of, and the rows that a content policy refused."""

    tables: dict[str, list[Columns]]
    visits: Visits
    turns: Turns
    choices: Choices
    calls: Calls
    ends: Ends
    ratings: Ratings
    quality: Reals  # the truth, [n, K]
    refused: Whole
    prompt_hashes: Bytes


@dataclass(slots=True)
class Effect:
    """The true effect of a trial on the mean rating, as sums over the requests in it: the
    difference of both arms' propensities times the true qualities, each weighed by how likely it
    is rated.
    """

    difference: float = 0.0
    weight: float = 0.0

    @property
    def value(self) -> float | None:
        """Treatment less control; None where nobody was in it."""
        return self.difference / self.weight if self.weight else None


class Past:
    """Makes one day after the other; the same seed makes the same days."""

    def __init__(
        self, cast: Cast, happened: Happenings, regime: Regime, decisions: int, seed: int
    ) -> None:
        self.cast, self.happened, self.regime = cast, happened, regime
        self.beliefs = Beliefs(cast, happened, seed)
        self.budget = budget(happened, decisions, seed)
        self.effects = [Effect() for _ in regime.trials]
        self._seed = seed
        self._chooser = Chooser(cast, happened, self.beliefs, regime)
        self._providers = Providers(cast, happened, self.beliefs)

    def day(self, number: int, marks: Marks) -> Day:
        """The day of that number, from 0."""
        rng = np.random.default_rng([self._seed, 100, number])
        cast = self.cast
        visits, turns = day_of(cast, self.happened, number, int(self.budget[number]), rng)
        ids = ids_at(turns.at_us, rng)
        made = self._chooser.decide(visits, turns, ids, rng)
        calls, ends = self._providers.answer(made, visits.stream[turns.visit], rng)
        truth = true_quality(cast, self.happened, made)
        given = rate(cast, made, ends, truth, rng)
        versions = tuple(
            Words(self.regime.live(at_us), marks.versions) for at_us in (ends.at_us, given.at_us)
        )
        told = rows.updates(cast, (made, calls, ends, given), (versions[0], versions[1]))
        hashed = rows.prompt_hashes(cast, made, rng)
        tables = {
            "decisions": [rows.decisions(cast, marks, (visits, turns, made), hashed)],
            "attempts": [rows.attempts(cast, made, calls)],
            "outcomes": [rows.outcomes(cast, made, ends)],
            "feedback": [rows.feedback(cast, visits.tenant[turns.visit], (made, ends, given))],
            "updates": list(told),
        }
        self._weigh(made, truth)
        refused = np.flatnonzero(ends.kind == POLICY)
        return Day(tables, visits, turns, made, calls, ends, given, truth, refused, hashed)

    def _weigh(self, made: Choices, truth: Reals) -> None:
        for number, effect in enumerate(self.effects):
            mine = np.flatnonzero((made.trial == number) & ~np.isnan(made.control[:, 0]))
            if len(mine):
                weight = self.cast.rating_rate[made.asked.task[mine]]
                gain = contrast(made.treatment[mine] - made.control[mine], truth[mine])
                effect.difference += float(weight @ gain)
                effect.weight += float(weight.sum())


def trial_frame(day: Day, number: int, variants: Sequence[str], share: float) -> Frame:
    """The columns that guardrails take of a trial's rows on a day."""
    made, ends = day.choices, day.ends
    mine = np.flatnonzero(made.trial == number)
    return {
        "unit": np.array([made.units[row] for row in mine.tolist()], object),
        "variant": np.array(variants, object)[made.variant[mine]],
        "share": np.full(len(mine), share),
        "ts_us": made.asked.at_us[mine],
        "status": ends.status[mine].astype(float),
        "cost_micro_usd": ends.cost[mine].astype(float),
        "latency_s": ends.latency_s[mine],
    }
