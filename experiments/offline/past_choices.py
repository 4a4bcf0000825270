"""Who answers each request of a day in a made-up past: eligible, held, forced, assigned, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from experiments.offline.past_cast import Cast
from experiments.offline.past_columns import Bytes, Flags, Reals, Whole, id_text
from experiments.offline.past_events import Happenings
from experiments.offline.past_policy import (
    Asked,
    Beliefs,
    Manner,
    Scores,
    drawn,
    propensities,
)
from experiments.offline.past_traffic import Turns, Visits
from experiments.offline.past_trials import Trial, unit_texts

RANDOMISED, STICKY, PINNED, FORCED = range(4)
MODES = ("randomised", "sticky", "pinned", "override")
RULE, EXCLUDED, EJECTED = range(3)
OUT = ("rule", "override", "ejected")


@dataclass(frozen=True, slots=True)
class Regime:
    """Which version is live from when, and how each draws. ``trials``: what is tried out;
    ``treated``: of each trial the version of its treatment, -1 where that is a dial.
    """

    since_us: Whole
    versions: Whole
    manners: tuple[Manner, ...]
    trials: tuple[Trial, ...]
    treated: tuple[int, ...]

    def live(self, at_us: Whole) -> Whole:
        """The version that decides for everybody at these times."""
        found: Whole = self.versions[np.searchsorted(self.since_us, at_us, side="right") - 1]
        return found


@dataclass(slots=True)
class Choices:
    """A row a request. ``out``: why a deployment left before the draw, -1 where it did not;
    ``first``: the row of the session's draw, -1; ``trial`` and ``variant``: -1 for none;
    ``control`` and ``treatment``: both arms' propensities of those in a trial, else NaN.
    """

    ids: Bytes
    asked: Asked
    eligible: Flags
    out: Whole
    shares: Reals
    scores: Scores
    number: Reals
    chosen: Whole
    mode: Whole
    version: Whole
    will: Whole
    first: Whole
    trial: Whole
    variant: Whole
    control: Reals
    treatment: Reals
    units: Sequence[str] = field(default=())

    @property
    def propensity(self) -> Reals:
        """Of the one that was chosen."""
        found: Reals = self.shares[np.arange(len(self.chosen)), self.chosen]
        return found


class Chooser:
    """Decides a day's requests turn by turn, as a session's first draw holds the ones after."""

    def __init__(self, cast: Cast, happened: Happenings, beliefs: Beliefs, regime: Regime) -> None:
        self._cast, self._happened = cast, happened
        self._beliefs, self._regime = beliefs, regime

    def decide(self, visits: Visits, turns: Turns, ids: Bytes, rng: np.random.Generator) -> Choices:
        """The choices of all requests of a day."""
        made = self._blank(visits, turns, ids, rng)
        self._assign(made, visits, turns)
        held = np.full(len(visits.tenant), -1, np.int64)  # by visit: the row of its draw
        for turn in range(int(turns.turn.max(initial=0)) + 1):
            rows = np.flatnonzero(turns.turn == turn)
            self._turn(made, rows, visits, turns, held)
        return made

    def _blank(self, visits: Visits, turns: Turns, ids: Bytes, rng: np.random.Generator) -> Choices:
        count, width = len(turns.visit), len(self._cast.members)
        task = visits.task[turns.visit]
        tier = np.array([each.tier for each in self._cast.tenants])[visits.tenant[turns.visit]]
        asked = Asked(turns.at_us, task, turns.prompt, turns.turn, self._cast.dials[tier])
        out = np.where(self._cast.allowed[task, turns.prompt, tier], -1, RULE)
        will = self._wills(turns.at_us, task, out)
        down = self._happened.outage.deployment
        for begins_us, ends_us in self._happened.ejections:
            first, last = np.searchsorted(turns.at_us, (begins_us, ends_us))
            rows = np.arange(first, last)
            rows = rows[out[rows, down] < 0]
            others = (out[rows] < 0).sum(axis=1) > 1  # nobody else: the last one is asked still
            out[rows[others], down] = EJECTED
        void = np.full((count, width), np.nan)
        scores = self._beliefs.scores(asked)
        return Choices(
            ids, asked, out < 0, out, np.zeros((count, width)), scores,
            rng.random(count), np.zeros(count, np.int64), np.zeros(count, np.int64),
            self._regime.live(turns.at_us), will, np.full(count, -1, np.int64),
            np.full(count, -1, np.int64), np.full(count, -1, np.int64), void, void.copy(),
        )  # fmt: skip

    def _wills(self, at_us: Whole, task: Whole, out: Whole) -> Whole:
        """Excludes whom operators excluded; the override that touched each request, -1: none."""
        found = np.full(len(at_us), -1, np.int64)
        for number, will in enumerate(self._happened.wills):
            rows = (at_us >= will.starts_us) & (at_us < will.ended_us)
            rows &= (task == will.task) | (will.task < 0)
            if will.action == "force":
                rows &= out[:, will.deployment] < 0
            else:
                rows &= (out[:, will.deployment] < 0) & ((out < 0).sum(axis=1) > 1)
                out[rows, will.deployment] = EXCLUDED
            found[rows] = number
        return found

    def _assign(self, made: Choices, visits: Visits, turns: Turns) -> None:
        """The variant that each request's unit has now, whatever it is held to."""
        inside = [each.percent(turns.at_us) > 0 for each in self._regime.trials]
        if not any(each.any() for each in inside):
            return
        by_session = visits.asks_by[turns.visit] == 2
        hashed = unit_texts(visits.unit)
        made.units = [
            hashed[visit] if session else id_text(made.ids[row])
            for row, (visit, session) in enumerate(
                zip(turns.visit.tolist(), by_session.tolist(), strict=True)
            )
        ]
        for number, (trial, rows) in enumerate(zip(self._regime.trials, inside, strict=True)):
            if rows.any():
                variant = trial.variants(made.units, turns.at_us)
                made.trial[variant >= 0] = number
                made.variant[variant >= 0] = variant[variant >= 0]

    def _turn(self, made: Choices, rows: Whole, visits: Visits, turns: Turns, held: Whole) -> None:
        visit = turns.visit[rows]
        forced = np.array([will.action == "force" for will in self._happened.wills] + [False])
        by_will = forced[made.will[rows]]
        pinned = visits.pinned[visit]
        by_caller = pinned >= 0
        self._settle(made, rows[by_caller], pinned[by_caller], PINNED)
        by_will &= ~by_caller
        target = np.array([will.deployment for will in self._happened.wills] + [0])
        self._settle(made, rows[by_will], target[made.will[rows[by_will]]], FORCED)
        left = rows[~by_caller & ~by_will]
        before = held[turns.visit[left]]
        holds = before >= 0
        holds &= made.eligible[left, made.chosen[before]]
        # Its variant of the draw must still stand; one that came to it later changes nothing.
        was, now = made.trial[before], made.trial[left]
        holds &= (was < 0) | ((was == now) & (made.variant[before] == made.variant[left]))
        stuck, first = left[holds], before[holds]
        self._settle(made, stuck, made.chosen[first], STICKY)
        made.first[stuck] = first
        for kept in (made.trial, made.variant, made.control, made.treatment):
            kept[stuck] = kept[first]
        self._draw(made, left[~holds])
        held[turns.visit[left[~holds]]] = left[~holds]

    def _settle(self, made: Choices, rows: Whole, target: Whole, mode: int) -> None:
        """The whole probability lies on one deployment, which is eligible then."""
        made.mode[rows] = mode
        made.chosen[rows] = target
        made.shares[rows] = 0.0
        made.shares[rows, target] = 1.0
        if mode in (PINNED, FORCED):
            made.trial[rows] = made.variant[rows] = -1
        if mode == PINNED:
            made.eligible[rows, target] = True
            made.out[rows, target] = -1
            made.will[rows] = -1

    def _draw(self, made: Choices, rows: Whole) -> None:
        """Propensities first, then the draw from them."""
        trials = self._regime.trials
        temper = np.array([each.temper for each in self._regime.manners])
        floor = np.array([each.floor for each in self._regime.manners])
        version = made.version[rows]
        shares = propensities(
            made.scores.utility[rows], made.eligible[rows], temper[version], floor[version]
        )
        for number, trial in enumerate(trials):
            mine = np.flatnonzero(made.trial[rows] == number)
            if not len(mine):
                continue
            inside = rows[mine]
            other, utility = self._treated(made, inside, number)
            treatment = propensities(utility, made.eligible[inside], temper[other], floor[other])
            made.control[inside], made.treatment[inside] = shares[mine], treatment
            treated = made.variant[inside] == 1
            shares[mine[treated]] = treatment[treated]
            made.version[inside[treated]] = other[treated]
            made.scores.utility[inside[treated]] = utility[treated]
            if trial.dial is not None:
                made.asked.dial[inside[treated]] = trial.dial
        made.shares[rows] = shares
        made.chosen[rows] = drawn(shares, made.number[rows])

    def _treated(self, made: Choices, rows: Whole, number: int) -> tuple[Whole, Reals]:
        """The version and the utilities that the treatment of a trial decides by."""
        trial, version = self._regime.trials[number], self._regime.treated[number]
        if trial.dial is None:
            return np.full(len(rows), version), made.scores.utility[rows]
        more = (made.asked.dial[rows] - trial.dial)[:, None]
        cost = more * made.scores.cost_usd[rows] / self._cast.told.worth_usd
        return made.version[rows], np.round(made.scores.utility[rows] + cost, 6)
