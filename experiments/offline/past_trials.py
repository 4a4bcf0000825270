"""The experiments of a made-up past: one that helped and was shipped, one that harmed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.assignment import draw, salt
from experiments.design import Action, Experiment, Guardrail, Unit, Variant
from experiments.offline.past_columns import Bytes, Reals, Whole
from experiments.offline.past_events import HOUR_US, Happenings
from experiments.offline.past_policy import Manner
from experiments.states import RAMP

GENEROUS_DIAL = 0.1  # quality alone, nearly: what the harmful one sets
GENEROUS_FACTOR = 0.2  # what a dollar counts then
_WHOLE = 1 << 64


@dataclass(slots=True)
class Trial:
    """An experiment on the time line. ``steps``: (time, per cent); ``ends_us`` moves where a
    guardrail ends it sooner. Its treatment is a version, or a dial.
    """

    design: Experiment
    layer: str
    starts_us: int
    ends_us: int
    steps: tuple[tuple[int, int], ...]
    manner: Manner | None = None
    dial: float | None = None
    breached: bool = False

    @property
    def id(self) -> str:
        """Its slug and version."""
        return f"{self.design.slug}@{self.design.version}"

    def percent(self, at_us: Whole) -> Whole:
        """Per cent of the units exposed at these times, 0 outside."""
        times = np.array([at for at, _ in self.steps], np.int64)
        shares = np.array([0, *(share for _, share in self.steps)], np.int64)
        found = shares[np.searchsorted(times, at_us, side="right")]
        told: Whole = np.where(at_us < self.ends_us, found, 0)
        return told

    def variants(self, units: Sequence[str], at_us: Whole) -> Whole:
        """The variant of each unit as the service would assign it, -1 where it is not exposed."""
        percent, found = self.percent(at_us), np.full(len(units), -1, np.int64)
        slug, version = self.design.slug, self.design.version
        first = salt("allocation", slug, version)
        second = salt("variant", slug, version)
        sums = np.cumsum([each.share for each in self.design.variants])
        bounds = [int(each * _WHOLE) for each in sums[:-1]]
        for row in np.flatnonzero(percent).tolist():
            if draw(first, units[row]) < _WHOLE * int(percent[row]) // 100:
                found[row] = bisect_right(bounds, draw(second, units[row]))
        return found


def trials(happened: Happenings, version: str, manner: Manner) -> tuple[Trial, Trial]:
    """Both experiments. ``version``: the id of the treatment of the good one."""
    good = Experiment(
        slug="sharper-choice",
        hypothesis="a policy that explores less gives better answers for the same money",
        variants=(Variant("control", 0.5), Variant("sharper", 0.5, (("version", version),))),
        goals=("quality",),
        guardrails=(
            Guardrail("error_rate", tolerance=0.5),
            Guardrail("latency_p95", tolerance=0.5, action=Action.WARN, least=100),
        ),
        unit=Unit.SESSION,
    )
    bad = Experiment(
        slug="quality-first",
        hypothesis="caring less for money lifts ratings enough to be worth it",
        variants=(
            Variant("control", 0.5),
            Variant("generous", 0.5, (("quality_cost", str(GENEROUS_DIAL)),)),
        ),
        goals=("quality",),
        guardrails=(Guardrail("cost_per_request", tolerance=0.25, least=100),),
        unit=Unit.SESSION,
    )
    starts = happened.at(0.13, 9), happened.at(0.80, 10)
    ends = happened.at(0.31, 15), happened.at(0.86, 10)
    return (
        Trial(good, "policy", starts[0], ends[0], _ramp(starts[0], ends[0], 6), manner),
        Trial(bad, "dials", starts[1], ends[1], _ramp(starts[1], ends[1], 4),
              dial=GENEROUS_FACTOR),
    )  # fmt: skip


def _ramp(starts_us: int, ends_us: int, count: int) -> tuple[tuple[int, int], ...]:
    """The steps of the ramp over the first third, at full hours."""
    third = (ends_us - starts_us) // 3
    found = []
    for number, percent in enumerate(RAMP[:count]):
        part = third * number * number // max((count - 1) ** 2, 1)
        found.append((starts_us + part // HOUR_US * HOUR_US + number * 60_000_000, percent))
    return tuple(found)


def unit_texts(data: Bytes) -> list[str]:
    """Keyed hashes as the texts that are assigned."""
    digits = data.tobytes().hex()
    return [digits[at : at + 32] for at in range(0, len(digits), 32)]


def contrast(shares: Reals, quality: Reals) -> Reals:
    """The mean quality that shares give, a row each."""
    found: Reals = (shares * quality).sum(axis=1)
    return found
