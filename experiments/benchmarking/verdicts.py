"""What a benchmark shows of each deployment and each pair, and whether there is a winner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from experiments.benchmarking.trials import Tables
from experiments.errors import CannotSay
from experiments.statistics.inputs import Floats
from experiments.statistics.moments import Interval, Moments
from experiments.statistics.multiplicity import holm
from experiments.statistics.paired import (
    Paired,
    bounded_mean,
    foretold,
    pair_difference,
    paired,
)
from experiments.statistics.rank_stability import Stability, rank_stability

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """One deployment at one task (None: all), with 95 % intervals of its own; None: no values."""

    arm: str
    task: str | None
    prompts: int
    trials: int
    quality: Interval | None
    answered: Interval | None
    error_rate: Interval | None
    latency_s: Interval | None
    ttft_s: Interval | None
    cost_usd: Interval | None
    tokens_out: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """``one`` less ``other``, prompt by prompt. Intervals hold together over all pairs that are
    told (Bonferroni); ``p_holm`` is the p-value of quality, adjusted over them by Holm.
    ``explained``: of the variance by the prompts' difficulty; None where that was not used.
    """

    one: str
    other: str
    task: str | None
    prompts: int
    quality: Interval | None
    sd: float | None
    p_holm: float | None
    cost_usd: Interval | None
    latency_s: Interval | None
    explained: float | None = None

    @property
    def separated(self) -> bool:
        """Whether the interval of the quality's difference leaves 0 out."""
        return apart(self.quality) != 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """``winner`` is None where the best cannot be told from the next; then ``tied`` are those
    that may be best, by mean.
    """

    task: str | None
    winner: str | None
    tied: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Shown:
    """All that is shown of one task, or of all."""

    task: str | None
    measured: tuple[Measured, ...]
    pairs: tuple[Pair, ...]
    verdict: Verdict
    stability: Stability | None
    level: float  # of each interval of a pair

    def of(self, arm: str) -> Measured:
        """What was measured of a deployment."""
        return next(each for each in self.measured if each.arm == arm)

    def pair(self, one: str, other: str) -> Pair:
        """The comparison of two, that way round."""
        for each in self.pairs:
            if (each.one, each.other) == (one, other):
                return each
            if (each.other, each.one) == (one, other):
                return _turned(each)
        raise KeyError((one, other))


@dataclass(frozen=True, slots=True)
class Difficulty:
    """What is known beforehand of how hard each prompt is, and of all prompts of each task, of
    which those asked are a sample.
    """

    of: Mapping[str, float]
    known: Mapping[str, Moments]


def shown(
    found: Tables,
    task: str | None,
    level: float,
    seed: int | None,
    difficulty: Difficulty | None = None,
) -> Shown:
    """A task's figures and verdict; ``level``: the error of all pairs of all tasks together,
    divided by their number; ``seed``: of the bootstrap of ranks, None for none.
    """
    rows = found.rows(task)
    measured = tuple(_measured(found, arm, task) for arm in found.arms)
    pairs = tuple(
        _pair(found, names, task, level, difficulty) for names in combinations(found.arms, 2)
    )
    stable = None
    if seed is not None:
        strata = np.array([found.tasks[at] for at in rows], np.str_)
        ranked = rank_stability(found.quality[rows], seed, strata)
        stable = None if isinstance(ranked, CannotSay) else ranked
    return Shown(task, measured, pairs, _verdict(task, measured, pairs), stable, level)


def by_task(
    found: Tables, seed: int | None, difficulty: Difficulty | None = None, alpha: float = ALPHA
) -> tuple[Shown, ...]:
    """Every task, all comparisons of all tasks one family, with Holm's p-values over them."""
    names = found.task_names
    told = len(names) * len(found.arms) * (len(found.arms) - 1) // 2
    made = [shown(found, each, alpha / max(1, told), seed, difficulty) for each in names]
    return _adjusted(made)


def overall(found: Tables, seed: int | None, alpha: float = ALPHA) -> Shown:
    """All tasks together, at the benchmark's own mix: a family of its own."""
    told = len(found.arms) * (len(found.arms) - 1) // 2
    return _adjusted([shown(found, None, alpha / max(1, told), seed)])[0]


def apart(interval: Interval | None) -> int:
    """1 where an interval lies above 0, -1 below, 0 where it holds 0 or there is none."""
    if interval is None:
        return 0
    return 1 if interval.low > 0.0 else -1 if interval.high < 0.0 else 0


def _measured(found: Tables, arm: str, task: str | None) -> Measured:
    rows, at = found.rows(task), found.column(arm)

    def mean(table: Floats) -> Interval | None:
        values = _there(table[rows, at])
        return None if len(values) < 2 else Moments.of(values).interval(1.0 - ALPHA)

    def share(table: Floats) -> Interval | None:
        told = bounded_mean(_there(table[rows, at]), ALPHA)
        return None if isinstance(told, CannotSay) else told

    tokens = _there(found.tokens_out[rows, at])
    return Measured(
        arm, task, int((found.trials[rows, at] > 0).sum()), int(found.trials[rows, at].sum()),
        share(found.quality), share(found.answered), share(found.failed),
        mean(found.latency_s), mean(found.ttft_s), mean(found.cost_usd),
        float(tokens.mean()) if len(tokens) else None,
    )  # fmt: skip


def _pair(
    found: Tables,
    names: tuple[str, str],
    task: str | None,
    level: float,
    difficulty: Difficulty | None,
) -> Pair:
    rows = found.rows(task)
    one, other = (found.column(name) for name in names)

    def gap(table: Floats, span: float | None = None) -> Paired | None:
        values = pair_difference(table[rows, one], table[rows, other])
        told = paired(values, level, span)
        return None if isinstance(told, CannotSay) else told

    quality, explained = gap(found.quality, 1.0), None
    if difficulty is not None and task is not None and quality is not None:
        both = [at for at in rows if np.isfinite(found.quality[at, [one, other]]).all()]
        helped = foretold(
            found.quality[both, one] - found.quality[both, other],
            np.array([difficulty.of[found.prompts[at]] for at in both]),
            difficulty.known[task],
            level,
        )
        if not isinstance(helped, CannotSay) and helped.best is helped.adjusted:
            quality, explained = helped.adjusted, helped.explained
    values = pair_difference(found.quality[rows, one], found.quality[rows, other])
    cost, latency = gap(found.cost_usd), gap(found.latency_s)
    return Pair(
        *names, task, len(values),
        None if quality is None else quality.difference,
        float(values.std(ddof=1)) if len(values) > 1 else None,
        None if quality is None else quality.p_value,
        None if cost is None else cost.difference,
        None if latency is None else latency.difference,
        explained,
    )  # fmt: skip


def _verdict(task: str | None, measured: tuple[Measured, ...], pairs: tuple[Pair, ...]) -> Verdict:
    ranked = sorted(
        (each for each in measured if each.quality is not None),
        key=lambda each: -(each.quality.estimate if each.quality else 0.0),
    )
    if len(ranked) < 2:
        return Verdict(task, None, tuple(m.arm for m in ranked), "cannot say: too few were scored")
    best = ranked[0].arm
    worse = {
        _other(each, best) for each in pairs if best in (each.one, each.other) and _wins(each, best)
    }
    tied = (best, *(each.arm for each in ranked[1:] if each.arm not in worse))
    if len(tied) == 1:
        return Verdict(task, best, tied, f"{best} is best: every difference leaves 0 out")
    return Verdict(task, None, tied, f"tie: {', '.join(tied)} cannot be told apart")


def _wins(pair: Pair, arm: str) -> bool:
    return apart(pair.quality) == (1 if pair.one == arm else -1)


def _other(pair: Pair, arm: str) -> str:
    return pair.other if pair.one == arm else pair.one


def _adjusted(made: list[Shown]) -> tuple[Shown, ...]:
    """With the p-values of all pairs adjusted together."""
    plain = [each.p_holm for shown in made for each in shown.pairs if each.p_holm is not None]
    adjusted = iter(float(each) for each in holm(plain)) if plain else iter(())
    told = []
    for each in made:
        pairs = tuple(
            pair if pair.p_holm is None else replace(pair, p_holm=next(adjusted))
            for pair in each.pairs
        )
        told.append(replace(each, pairs=pairs))
    return tuple(told)


def _turned(pair: Pair) -> Pair:
    return replace(
        pair,
        one=pair.other,
        other=pair.one,
        quality=_minus(pair.quality),
        cost_usd=_minus(pair.cost_usd),
        latency_s=_minus(pair.latency_s),
    )


def _minus(interval: Interval | None) -> Interval | None:
    if interval is None:
        return None
    return Interval(-interval.estimate, -interval.high, -interval.low)


def _there(values: Floats) -> Floats:
    found: Floats = values[np.isfinite(values)]
    return found
