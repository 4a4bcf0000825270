"""What an experiment can measure, one row a metric: kind, role, direction, columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from experiments.errors import ExperimentError

Values = NDArray[np.float64]
Frame = Mapping[str, NDArray[np.generic]]  # columns of one length, a row per decision


class Kind(StrEnum):
    """How a metric sums up over rows, which decides what may be said of its error."""

    MEAN = "mean"
    RATE = "rate"  # the mean of 0 and 1
    RATIO = "ratio"  # a sum over a sum
    QUANTILE = "quantile"
    JUDGED = "judged"  # a mean of a judge's scores, corrected by those answers that people rated


class Role(StrEnum):
    """What a metric may be asked for."""

    GOAL = "goal"  # may also stand as a guardrail
    GUARDRAIL = "guardrail"  # only watched: alone, it is at its best where nothing is served


class Direction(StrEnum):
    """Which way is better."""

    UP = "up"
    DOWN = "down"

    @property
    def sign(self) -> int:
        """1 if more is better, otherwise -1."""
        return 1 if self is Direction.UP else -1


@dataclass(frozen=True, slots=True)
class Measured:
    """The rows of which a metric can speak: ``values`` [m], ``per`` [m], ``rows`` [m] in the frame.

    ``per`` is the denominator of a ratio, and 1 for every other kind. ``labels`` [m]: of a judged
    kind people's ratings, NaN where there is none; its ``values`` are the judge's scores.
    """

    values: Values
    per: Values
    rows: NDArray[np.intp]
    labels: Values | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of METRICS.

    ``value`` (and ``per``, for a ratio) make a number a row of the frame's columns, NaN where
    there is none. ``level`` is that of a quantile, ``label`` what people say beside a judge's
    ``value``. ``direction`` is None where neither more nor
    less is better in itself: a guardrail on such a metric has to say which way it looks.
    """

    slug: str
    meaning: str
    unit: str
    kind: Kind
    role: Role
    direction: Direction | None
    columns: tuple[str, ...]
    value: Callable[[Frame], Values]
    per: Callable[[Frame], Values] | None = None
    level: float | None = None
    label: Callable[[Frame], Values] | None = None

    def __post_init__(self) -> None:
        if (self.kind is Kind.RATIO) != (self.per is not None):
            raise ExperimentError(f"per of {self.slug}: a ratio has one, no other kind does")
        if (self.kind is Kind.QUANTILE) != (self.level is not None):
            raise ExperimentError(f"level of {self.slug}: a quantile has one, no other kind does")
        if (self.kind is Kind.JUDGED) != (self.label is not None):
            raise ExperimentError(f"label of {self.slug}: a judged one has it, no other kind does")
        if self.level is not None and not 0.0 < self.level < 1.0:
            raise ExperimentError(
                f"level of {self.slug} is {self.level!r}: give one between 0 and 1"
            )
        if self.role is Role.GOAL and self.direction is None:
            raise ExperimentError(f"direction of {self.slug}: a goal needs one, up or down")
        if not self.columns:
            raise ExperimentError(f"columns of {self.slug}: name those that it is made of")

    def measure(self, frame: Frame) -> Measured:
        """The metric's number for every row that has one."""
        lacking = [name for name in self.columns if name not in frame]
        if lacking:
            raise ExperimentError(
                f"{self.slug} needs the columns {', '.join(self.columns)}: "
                f"add {', '.join(lacking)} to the frame"
            )
        values = self.value(frame)
        per = self.per(frame) if self.per else np.ones(len(values))
        rows = np.flatnonzero(np.isfinite(values) & np.isfinite(per))
        labels = self.label(frame)[rows] if self.label else None
        return Measured(values[rows], per[rows], rows, labels)


def metric(slug: str) -> Metric:
    """The metric of that name; the error lists those that there are."""
    found = METRICS.get(slug)
    if found is None:
        raise ExperimentError(f"no metric is called {slug!r}: use one of {', '.join(METRICS)}")
    return found


def _number(name: str) -> Callable[[Frame], Values]:
    """The column; a masked value (so a database says NULL) is NaN."""

    def value(frame: Frame) -> Values:
        column = frame[name]
        found = np.asarray(column, dtype=np.float64)
        return np.where(np.ma.getmaskarray(column), np.nan, found)

    return value


def _flag(name: str, test: Callable[[Values], NDArray[np.bool_]]) -> Callable[[Frame], Values]:
    def value(frame: Frame) -> Values:
        found = _number(name)(frame)
        return np.where(np.isfinite(found), test(found), np.nan)

    return value


def _is(name: str, word: str) -> Callable[[Frame], Values]:
    """1 where the text is ``word``, 0 where it is another, NaN where the request has no answer."""

    def value(frame: Frame) -> Values:
        told = np.asarray([isinstance(each, str) for each in frame[name]], dtype=np.bool_)
        same = np.asarray([each == word for each in frame[name]], dtype=np.float64)
        return np.where(told, same, np.nan)

    return value


def _answered(frame: Frame) -> Values:
    """1 for every request of which the outcome is known."""
    return np.where(np.isfinite(_number("status")(frame)), 1.0, np.nan)


def _rated(frame: Frame) -> Values:
    """Whether people rated an answer, NaN where there was none to rate."""
    rated = np.isfinite(_number("quality")(frame))
    return np.where(_number("status")(frame) == 200, rated, np.nan)


def _refused(frame: Frame) -> Values:
    """1 where a content policy refused the request, NaN where the outcome is not known."""
    refused = np.asarray([each == "policy" for each in frame["error_kind"]], dtype=np.float64)
    return np.where(np.isfinite(_number("status")(frame)), refused, np.nan)


_succeeded = _flag("status", lambda status: status == 200)
_failed = _flag("status", lambda status: status >= 500)
_GOAL, _GUARD, _UP, _DOWN = Role.GOAL, Role.GUARDRAIL, Direction.UP, Direction.DOWN
_COST = "cost_micro_usd"

METRICS: Mapping[str, Metric] = {
    each.slug: each
    for each in (
        Metric("quality", "mean of people's ratings, of the answers that they rated", "0 to 1",
               Kind.MEAN, _GOAL, _UP, ("quality",), _number("quality")),
        Metric("reward", "quality less what money and waiting cost", "0 to 1", Kind.MEAN, _GOAL,
               _UP, ("reward",), _number("reward")),
        Metric("judged_quality", "mean of a judge's scores, corrected by people's ratings",
               "0 to 1", Kind.JUDGED, _GOAL, _UP, ("judged", "quality"), _number("judged"),
               label=_number("quality")),
        Metric("success_rate", "requests answered with status 200", "share", Kind.RATE, _GOAL, _UP,
               ("status",), _succeeded),
        Metric("cost_per_request", "money spent, a request", "micro-dollars", Kind.RATIO, _GOAL,
               _DOWN, (_COST, "status"), _number(_COST), _answered),
        Metric("cost_per_success", "money spent, an answer with status 200", "micro-dollars",
               Kind.RATIO, _GOAL, _DOWN, (_COST, "status"), _number(_COST), _succeeded),
        Metric("latency_mean", "mean time to the whole answer", "seconds", Kind.MEAN, _GOAL, _DOWN,
               ("latency_s",), _number("latency_s")),
        Metric("latency_p95", "95th percentile of the time to the whole answer", "seconds",
               Kind.QUANTILE, _GOAL, _DOWN, ("latency_s",), _number("latency_s"), level=0.95),
        Metric("ttft_p95", "95th percentile of the time to the first token", "seconds",
               Kind.QUANTILE, _GOAL, _DOWN, ("ttft_s",), _number("ttft_s"), level=0.95),
        Metric("error_rate", "requests that failed with status 500 or more", "share", Kind.RATE,
               _GUARD, _DOWN, ("status",), _failed),
        Metric("refusal_rate", "requests that a content policy refused", "share", Kind.RATE, _GUARD,
               _DOWN, ("status", "error_kind"), _refused),
        Metric("fallback_rate", "requests that a fallback answered", "share", Kind.RATE, _GUARD,
               _DOWN, ("served_mode",), _is("served_mode", "fallback")),
        Metric("attempts", "calls to deployments, a request", "calls", Kind.MEAN, _GUARD, _DOWN,
               ("attempts",), _number("attempts")),
        Metric("rating_rate", "answers that people rated", "share", Kind.RATE, _GUARD, None,
               ("quality", "status"), _rated),
        Metric("tokens_out", "tokens of an answer", "tokens", Kind.MEAN, _GUARD, None,
               ("tokens_out",), _number("tokens_out")),
    )
}  # fmt: skip
