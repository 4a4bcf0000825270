"""A refit of the quality model, held against rows that it has not seen before it is believed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learning.interaction import Vector
from learning.quality import Figures, QualityModel, Rows, calibration_error
from learning.quality_fit import Fit, fit, projection

LEAST_ROWS = 200
HELD_OUT = 5  # the newest fifth
LEAST_UNSEEN = 30  # rows new to the model in use and to the refit, to compare the two on
SURE = 2.0  # standard errors: one side, 97.7 %
FEW = 8.0  # rows' weight of the pooled deviation in an arm's own


@dataclass(frozen=True, slots=True)
class Fitted:
    """A refit that held, fitted again on all rows."""

    model: QualityModel


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a refit is not believed, in words; the figures where it came so far."""

    reason: str
    figures: Figures | None = None


def refit(rows: Rows, current: QualityModel | None = None) -> Fitted | Refused:
    """A model from rows, or why there is none. Nothing in it is random.

    The newest fifth is held out and the rest fitted. The fit is refused unless its error there
    is surely below that of the arms' means (the paired difference of squared errors, one
    side, 97.7 %); and refused where, fitted without the rows that are new to the model in use, it
    is surely worse on these than that model. The burden of proof is thus on a model against
    none, and on the old against the new.
    """
    rows = rows.take(np.argsort(rows.order, kind="stable"))
    wrong = _unfit(rows)
    if wrong:
        return Refused(wrong)
    cut = len(rows) - len(rows) // HELD_OUT
    held = rows.take(slice(cut, None))
    tried = fit(rows.take(slice(cut)))
    residual = tried.predict(held.x, held.arm) - held.quality
    means = _means(rows.take(slice(cut)))[held.arm] - held.quality
    figures = _figures(tried, held, means, len(rows))
    low, high = _interval(residual**2 - means**2)
    if not high < 0.0:
        return Refused(
            f"on {len(held)} held-out rows its error {figures.error:.4f} is not surely below "
            f"that of the arms' means, {figures.means_error:.4f} "
            f"(difference {low:+.4f} to {high:+.4f})",
            figures,
        )
    if current is not None:
        worse, figures = _beside(rows, current, figures)
        if worse:
            return Refused(worse, figures)
    return _whole(rows, figures, residual, held.arm)


def _unfit(rows: Rows) -> str:
    if len(rows) < LEAST_ROWS:
        return f"{len(rows)} rows; at least {LEAST_ROWS} are needed"
    for name in ("x", "quality", "weight"):
        if not np.isfinite(getattr(rows, name)).all():
            return f"not every {name} is finite"
    if rows.quality.min() < 0.0 or rows.quality.max() > 1.0:
        return "a quality lies outside [0, 1]"
    if rows.weight.min() < 0.0 or not rows.weight[: len(rows) // (HELD_OUT + 1)].sum() > 0.0:
        return "the weights are negative, or nothing"
    return ""


def _means(rows: Rows) -> Vector:
    """Each arm's mean quality [K], drawn towards the common one as far as noise explains it (a
    model must know more than that arms are alike; James and Stein 1961).
    """
    arms = len(rows.arms)
    count = np.bincount(rows.arm, rows.weight, arms)
    own = np.bincount(rows.arm, rows.weight * rows.quality, arms) / np.maximum(count, 1e-12)
    common = float(count @ own / count.sum())
    within = float(rows.weight @ (rows.quality - own[rows.arm]) ** 2 / count.sum())
    between = float(count @ (own - common) ** 2) - (arms - 1) * within
    between = max(between, 0.0) / max(float(count.sum() - count @ count / count.sum()), 1e-12)
    share = between * count / (between * count + max(within, 1e-12))
    found: Vector = common + share * (own - common)
    return found


def _figures(tried: Fit, held: Rows, means: Vector, rows: int) -> Figures:
    predicted = tried.predict(held.x, held.arm)
    raw = np.clip(tried.scores(held.x, held.arm), 0.0, 1.0)
    return Figures(
        rows=rows,
        held_out=len(held),
        error=float(((predicted - held.quality) ** 2).mean()),
        means_error=float((means**2).mean()),
        ece=calibration_error(predicted, held.quality),
        raw_ece=calibration_error(raw, held.quality),
        alpha=tried.alpha,
    )


def _interval(difference: Vector) -> tuple[float, float]:
    """The mean of paired differences, less and plus what noise explains (one side, 97.7 %)."""
    mean = float(difference.mean())
    error = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return mean - SURE * error, mean + SURE * error


def _beside(rows: Rows, current: QualityModel, figures: Figures) -> tuple[str, Figures]:
    """Why the refit is worse than the model in use (empty: it is not), on rows new to both."""
    if current.features != rows.features:
        return "", figures
    place = np.array([current.arms.index(a) if a in current.arms else -1 for a in rows.arms])
    newest = int((rows.order > current.through).sum())
    cut = len(rows) - min(newest, len(rows) // HELD_OUT)
    unseen = rows.take(slice(cut, None))
    unseen = unseen.take(np.flatnonzero(place[unseen.arm] >= 0))
    if len(unseen) < LEAST_UNSEEN:
        return "", figures
    older = fit(rows.take(slice(cut)))
    new = older.predict(unseen.x, unseen.arm) - unseen.quality
    all_arms = current.predict(unseen.x)
    old = all_arms[np.arange(len(unseen)), place[unseen.arm]] - unseen.quality
    figures = replace(
        figures,
        current_rows=len(unseen),
        current_error=float((old**2).mean()),
        refit_error=float((new**2).mean()),
    )
    low, high = _interval(new**2 - old**2)
    if low > 0.0:
        return (
            f"on {len(unseen)} rows new to both its error {figures.refit_error:.4f} is surely "
            f"above that of the model in use, {figures.current_error:.4f} "
            f"(difference {low:+.4f} to {high:+.4f})"
        ), figures
    return "", figures


def _whole(
    rows: Rows, figures: Figures, residual: Vector, arm: NDArray[np.int64]
) -> Fitted | Refused:
    final = fit(rows)
    squares = np.bincount(arm, residual**2, len(rows.arms))
    count = np.bincount(arm, minlength=len(rows.arms))
    pooled = float((residual**2).mean())
    model = QualityModel(
        arms=rows.arms,
        features=rows.features,
        theta=final.theta,
        offset=final.offset,
        score=final.score,
        quality=final.quality,
        linear=projection(final, rows.x),
        deviation=np.sqrt((squares + FEW * pooled) / (count + FEW)),
        count=np.bincount(rows.arm, minlength=len(rows.arms)).astype(np.int64),
        through=int(rows.order.max()),
        figures=figures,
    )
    for name in ("theta", "score", "quality", "linear", "deviation"):
        if not np.isfinite(getattr(model, name)).all():
            return Refused(f"not every {name} of the fit is finite", figures)
    return Fitted(model)
