"""A fit of the chance to be acceptable, held against a constant and length, or set aside."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from learning.acceptance import AcceptanceModel, Standing, Tally
from learning.acceptance_fit import AcceptanceFit, fit
from learning.interaction import Vector
from learning.quality import Rows, calibration_error
from learning.ranking import auc, auc_gain

LEAST_ROWS = 300
LEAST_OF_EACH = 20  # good and bad answers among those held out
HELD_OUT = 5  # the newest fifth
SURE = 2.0  # standard errors: one side, 97.7 %
LENGTH = "log_tokens_in"


@dataclass(frozen=True, slots=True)
class Held:
    """A fit that beat both, fitted again on all rows."""

    model: AcceptanceModel


@dataclass(frozen=True, slots=True)
class Aside:
    """Why there is no prediction, in words; the arms' shares all the same."""

    reason: str
    tally: Tally
    standing: Standing | None = None


def refit(rows: Rows, bar: float) -> Held | Aside:
    """A model from rows, or why there is none. Nothing in it is random.

    The newest fifth is held out. The fit must be surely better there than the arms' shares and
    than length alone, both by Brier's score and by AUC (within arms, where a constant has 1/2);
    each bound is of a paired difference, one side, 97.7 %.
    """
    rows = rows.take(np.argsort(rows.order, kind="stable"))
    tally = Tally.of(rows, bar)
    wrong = _unfit(rows, bar)
    if wrong:
        return Aside(wrong, tally)
    cut = len(rows) - len(rows) // HELD_OUT
    seen, held = rows.take(slice(cut)), rows.take(slice(cut, None))
    tried = fit(seen, bar)
    standing = beside(tried, seen, held, bar)
    reasons = shortfalls(standing)
    if reasons:
        return Aside(f"on {len(held)} held-out rows: {'; '.join(reasons)}", tally, standing)
    final = fit(rows, bar)
    model = AcceptanceModel(
        rows.arms, rows.features, bar, final.scored.theta, final.form, final.knots,
        final.scored.root, tally, int(rows.order.max()), standing,
    )  # fmt: skip
    for name in ("theta", "knots", "root"):
        if not np.isfinite(getattr(model, name)).all():
            return Aside(f"not every {name} of the fit is finite", tally, standing)
    return Held(model)


def _unfit(rows: Rows, bar: float) -> str:
    if len(rows) < LEAST_ROWS:
        return f"{len(rows)} rated answers; at least {LEAST_ROWS} are needed"
    for name in ("x", "quality", "weight"):
        if not np.isfinite(getattr(rows, name)).all():
            return f"not every {name} is finite"
    good = rows.quality >= bar
    cut = len(rows) - len(rows) // HELD_OUT
    for part, words in ((good[cut:], "the newest fifth"), (good[:cut], "the rest")):
        fewest = int(min(part.sum(), len(part) - part.sum()))
        if fewest < LEAST_OF_EACH:
            return (
                f"of {len(part)} rated answers in {words} {int(part.sum())} were acceptable: "
                f"{LEAST_OF_EACH} of either kind are needed"
            )
    return ""


def shares(rows: Rows, bar: float) -> Vector:
    """The share of acceptable answers of each arm [K], drawn a little to that of all."""
    good, arms = (rows.quality >= bar).astype(np.float64), len(rows.arms)
    common = float(rows.weight @ good / rows.weight.sum())
    count = np.bincount(rows.arm, rows.weight, arms)
    found: Vector = (np.bincount(rows.arm, rows.weight * good, arms) + 2.0 * common) / (count + 2.0)
    return found


def by_length(seen: Rows, held: Rows, bar: float) -> Vector:
    """What the prompt's length alone says, arm by arm: a logistic regression."""
    at = seen.features.index(LENGTH) if LENGTH in seen.features else -1  # else the constant
    arms, good = len(seen.arms), seen.quality >= bar

    def design(rows: Rows) -> NDArray[np.float64]:
        of_arm = np.eye(arms)[rows.arm]
        length = rows.x[:, [at]]
        return np.hstack([of_arm, length, of_arm * length])

    fitted = LogisticRegression(C=10.0, max_iter=500).fit(
        design(seen), good, sample_weight=seen.weight
    )
    found: Vector = fitted.predict_proba(design(held))[:, 1]
    return found


def beside(tried: AcceptanceFit, seen: Rows, held: Rows, bar: float) -> Standing:
    """The figures of a fit of ``seen`` on ``held``."""
    good = held.quality >= bar
    ours, length = tried.chances(held), by_length(seen, held, bar)
    constant = shares(seen, bar)[held.arm]
    squares = {
        name: (each - good) ** 2
        for name, each in (("ours", ours), ("constant", constant), ("length", length))
    }
    found, gain = auc(ours, good, held.arm), auc_gain(ours, length, good, held.arm)
    return Standing(
        rows=len(seen) + len(held),
        held_out=len(held),
        brier=float(squares["ours"].mean()),
        constant_brier=float(squares["constant"].mean()),
        length_brier=float(squares["length"].mean()),
        over_constant_high=_high(squares["ours"] - squares["constant"]),
        over_length_high=_high(squares["ours"] - squares["length"]),
        auc=found.value,
        auc_low=found.value - SURE * found.error,
        length_auc=auc(length, good, held.arm).value,
        over_length_auc_low=gain.value - SURE * gain.error,
        ece=calibration_error(ours, good.astype(np.float64)),
        kind=tried.kind,
        calibration=tried.calibration,
    )


def shortfalls(found: Standing) -> list[str]:
    """What a fit does not surely beat, in words; empty: it beats all."""
    told = []
    for high, other, name in (
        (found.over_constant_high, found.constant_brier, "the arms' shares"),
        (found.over_length_high, found.length_brier, "length alone"),
    ):
        if not high < 0.0:
            told.append(
                f"its Brier score {found.brier:.4f} is not surely below that of {name}, "
                f"{other:.4f} (difference at most {high:+.4f})"
            )
    if not found.auc_low > 0.5:
        told.append(f"its AUC {found.auc:.3f} is not surely above 1/2")
    if not found.over_length_auc_low > 0.0:
        told.append(
            f"its AUC {found.auc:.3f} is not surely above that of length, {found.length_auc:.3f}"
        )
    return told


def _high(difference: Vector) -> float:
    """The upper bound of the mean of paired differences."""
    error = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return float(difference.mean()) + SURE * error
