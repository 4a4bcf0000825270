"""Revised routing: what the evidence of a benchmark says for each task, and no more than that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.benchmarking.reality import Beside, dominated
from experiments.benchmarking.verdicts import Shown, apart

MARGIN = 0.05  # of quality: what is not worse by more may take the place of what is dearer


@dataclass(frozen=True, slots=True)
class Revision:
    """A change of the plan. ``kind``: ``use`` these, ``exclude`` these, or set ``prior_quality``
    to ``value``; for a task, None where it is of a deployment.
    """

    kind: str
    arms: tuple[str, ...]
    task: str | None
    reason: str
    value: float | None = None


def revisions(
    found: Sequence[Shown],
    told: Sequence[Beside],
    worth_usd: float | None = None,
    margin: float = MARGIN,
) -> tuple[Revision, ...]:
    """A rule a task at most, the strongest that the intervals carry, then the priors that are off.

    1. One deployment is cheaper than every other, and worse than none by more than ``margin``: use
       it. 2. One is better than every other: use it, at what it costs. 3. Some are worse and dearer
       than another: leave them out. Where no interval carries a rule there is none.
    """
    rules = [rule for each in found if (rule := _rule(each, worth_usd, margin)) is not None]
    priors = [
        Revision(
            "prior_quality", (each.arm,), None,
            f"declared {each.declared:.2f}, measured {_span(each)}",
            round(each.measured.estimate, 2),
        )
        for each in told
        if each.figure == "quality" and each.off
    ]  # fmt: skip
    return (*rules, *priors)


def served_by(
    found: Sequence[Shown], rules: Sequence[Revision], arms: Sequence[str]
) -> Mapping[str, Mapping[str, float]]:
    """The shares of each deployment by task under the rules: even among those that may serve."""
    shares: dict[str, Mapping[str, float]] = {}
    for each in found:
        task = each.task or ""
        rule = next((r for r in rules if r.task == task and r.kind != "prior_quality"), None)
        kept = list(arms)
        if rule is not None:
            named = set(rule.arms)
            kept = [arm for arm in arms if (arm in named) == (rule.kind == "use")]
        shares[task] = {arm: 1.0 / len(kept) for arm in kept}
    return shares


def _rule(found: Shown, worth_usd: float | None, margin: float) -> Revision | None:
    cheap = _cheap_and_good(found, margin)
    if cheap is not None:
        return cheap
    best = _best_and_worth_it(found, worth_usd)
    if best is not None:
        return best
    beaten = dominated(found)
    if beaten:
        why = "; ".join(
            f"{each.arm} is worse than {each.by} by {100 * each.quality.estimate:.0f} points "
            f"(at least {100 * each.quality.low:.0f}) and costs more"
            for each in beaten
        )
        return Revision("exclude", tuple(each.arm for each in beaten), found.task, why)
    return None


def _best_and_worth_it(found: Shown, worth_usd: float | None) -> Revision | None:
    best = found.verdict.winner
    if best is None:
        return None
    pairs = [found.pair(best, each.arm) for each in found.measured if each.arm != best]
    told = [(p.quality, p.cost_usd) for p in pairs if p.quality is not None]
    if worth_usd is not None and any(
        cost is None or gain.low * worth_usd <= cost.high for gain, cost in told
    ):
        return None
    least = min(gain.low for gain, _ in told)
    most = max((cost.high for _, cost in told if cost is not None), default=0.0)
    return Revision(
        "use", (best,), found.task,
        f"better than every other, by {100 * least:.0f} points or more, for at most "
        f"${most:.6f} more a request",
    )  # fmt: skip


def _cheap_and_good(found: Shown, margin: float) -> Revision | None:
    for each in found.measured:
        pairs = [found.pair(each.arm, other.arm) for other in found.measured if other is not each]
        good = all(p.quality is not None and p.quality.low > -margin for p in pairs)
        cheaper = all(apart(p.cost_usd) < 0 for p in pairs)
        if pairs and good and cheaper:
            least = min(pair.quality.low for pair in pairs if pair.quality is not None)
            return Revision(
                "use", (each.arm,), found.task,
                f"cheaper than every other, and worse than none by more than "
                f"{max(0.0, -100 * least):.0f} points",
            )  # fmt: skip
    return None


def _span(each: Beside) -> str:
    return f"{each.measured.estimate:.2f} [{each.measured.low:.2f}, {each.measured.high:.2f}]"
