"""A report or an ended override in a few figures and a sentence, as the knowledge base keeps it."""

from __future__ import annotations

from typing import Any

from experiments.analysis import Report
from experiments.findings import Compared, Finding
from experiments.plain import plain
from service.domain.knowledge import Entry
from service.storage.knowledge import EndedOverride


def figures(report: Report) -> dict[str, Any]:
    """The verdict of a report at that moment, each comparison with its interval, and the words."""
    return {
        "words": "; ".join(
            (*report.invalid, *(each.words for each in report.comparisons))
        ),
        "verdict": report.advice.recommendation.value,
        "variant": report.advice.variant,
        "reasons": list(report.advice.reasons),
        "valid": report.valid,
        "decisions": report.rows,
        "comparisons": [
            {
                "metric": each.metric,
                "role": plain(each.role),
                "treatment": each.treatment,
                "finding": each.finding.value,
                "units": list(each.counts.units),
                "effect": plain(each.effect),
                "relative": plain(each.relative),
                "adjusted_p": plain(each.adjusted_p),
                "level": each.level,
            }
            for each in report.comparisons
        ],
    }  # fmt: skip


def brief(report: Report) -> str:
    """The first goal in a clause; of several treatments the one that is advised, or the first."""
    if not report.valid:
        return "its data were invalid"
    goal = report.comparisons[0].metric
    first = [each for each in report.comparisons if each.metric == goal]
    chosen = next((e for e in first if e.treatment == report.advice.variant), first[0])
    return _clause(chosen)


def _clause(found: Compared) -> str:
    gap = found.relative or found.effect
    if gap is None or found.finding is Finding.NOT_ENOUGH:
        return f"too few data on {found.metric}"
    percent = found.relative is not None

    def shown(number: float, sign: str = "+") -> str:
        return f"{100.0 * number:{sign}.1f} %" if percent else f"{number:{sign}.3g}"

    span = f"({shown(gap.low)} to {shown(gap.high)})"
    if found.finding is Finding.NO_DIFFERENCE:
        return f"no difference shown in {found.metric} {span}"
    size = shown(abs(gap.estimate), "")
    if found.better.sign > 0:
        word = "gained" if gap.estimate > 0.0 else "lost"
        return f"{word} {size} of {found.metric} {span}"
    return f"{found.metric} {'rose' if gap.estimate > 0.0 else 'fell'} {size} {span}"


def of_override(ended: EndedOverride, entry_id: str, at_us: int) -> Entry:
    """What an override was for, how long it held and what it touched."""
    lasted_s = (ended.ended_us - ended.set_us) / 1e6
    where = f"for {ended.task}" if ended.task else "everywhere"
    touched = (
        f"{ended.decisions} decisions in {lasted_s / 3600.0:.1f} h, {ended.failed} failed, "
        f"{ended.cost_micro_usd / 1e6:.2f} USD"
    )
    tags = ("override", ended.action, ended.how, ended.deployment, ended.task)
    why = ended.reason if ended.how == "expired" else f"{ended.reason}; ended: {ended.end_reason}"
    return Entry(
        entry_id, at_us, "override", f"override:{ended.id}",
        f"override: {ended.action} {ended.deployment} {where}", "",
        {"words": f"{ended.action} {ended.deployment} {where}", "action": ended.action,
         "deployment": ended.deployment, "task": ended.task or None},
        {"words": touched, "brief": f"{ended.decisions} decisions in {lasted_s / 3600.0:.1f} h",
         "lasted_s": lasted_s, "decisions": ended.decisions, "failed": ended.failed,
         "cost_usd": ended.cost_micro_usd / 1e6, "ended_by": ended.end_author,
         "ended_us": ended.ended_us},
        ended.how, why, ended.author, {"override": ended.id},
        tuple(dict.fromkeys(tag for tag in tags if tag)), None, f"override:{ended.id}",
    )  # fmt: skip
