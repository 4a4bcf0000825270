"""The day's report: what callers saw, what was done, what it cost and saved, in sums that agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from service.rehearsal.batched import batch_sums, batches
from service.rehearsal.counting import Counted, overall, said
from service.rehearsal.money import Arithmetic, Sum, divided, mean_usd, month
from service.rehearsal.playing import Played
from service.rehearsal.seen import Seen
from service.rehearsal.truth import Beside, Truth

WITHIN_S, CLAIMED_SHARE, CLAIMED_USD, CLAIMED_STARS = 2.0, 0.90, 0.04, 4.2
Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Report:
    """All of it, as plain values; ``sums``: every total beside its parts."""

    figures: dict[str, Any]
    sums: tuple[Sum, ...]

    @property
    def agrees(self) -> bool:
        """Whether every total is the sum of its parts, to the micro-dollar."""
        return all(each.gap == 0 for each in self.sums)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return self.figures | {
            "sums": [each.as_json() for each in self.sums], "sums_agree": self.agrees,
        }  # fmt: skip


def report(played: Played, found: Counted) -> Report:
    """Put together from what callers saw and what the history says."""
    assert played.world is not None
    seen, truth = played.seen, Truth(played.wanted.plan, played.world)
    total, spent = int(found.money.total["cost_micro_usd"]), sum(found.spent.values())
    besides = [truth.beside(name, seen, found.spent, found.batched) for name in truth.names]
    sums = [
        *(divided(f"spend by {name}", total, found.money.rows, lambda row, n=name: str(row[n]),  # type: ignore[misc]
                  lambda row: int(row["cost_micro_usd"]))
          for name in ("task", "tier", "deployment", "role")),
        Sum("calls against requests", total, {
            "requests": spent, "calls beside them": int(found.money.total["beside_micro_usd"])}),
        *(each.saved for each in besides),
        Sum("workflow runs against their steps", sum(int(row[4]) for row in found.runs),
            {str(row[0]): int(row[3]) for row in found.steps}),
        *batch_sums(found),
        Sum("month of 30 such days", month(total), {"30 days": 30 * total}),
    ]  # fmt: skip
    figures = {
        "asked": {"requests": played.wanted.requests, "seed": played.wanted.seed,
                  "troubles": [each.told for each in played.wanted.troubles]},
        "answers": _answers(seen),
        "money": {"spent_micro_usd": total,
                  "mean_usd": mean_usd(total, len(seen)),
                  "month_usd": month(total) / 1e6},
        "quality": _quality(seen, truth, found),
        "fallbacks": _fallbacks(seen, found),
        "queue": _queue(seen),
        "refusals": {"told": sum(s.code == "content_policy_violation" for s in seen),
                     "logged": found.refusals[0], "not_sent_again": found.refusals[1]},
        "alerts": [dict(zip(("rule", "scope", "severity", "fired", "lasted_min", "acted", "paged"),
                            row, strict=True)) for row in found.alerts],
        "classification": {"classified": found.unsure[0], "under_0.75": found.unsure[1],
                           "to_people": [dict(zip(("kind", "why", "count", "confidence"), row,
                                                  strict=True)) for row in found.people]},
        "savings": {
            "estimated": [said(each) for each in overall(found.savings)],
            "estimated_for": "requests for which the draw had a choice; a rule that leaves one "
                             "deployment leaves nothing to estimate from",
            "true": [asdict(each) | {"saved": each.saved.as_json()} for each in besides],
            "by_measure": _measures(played, besides),
            "checks": played.told.get("skipping", {}),
        },
        "batches": batches(played, found),
        "cache": _cache(seen, found),
        "workflows": {
            "runs": [dict(zip(("workflow", "state", "count", "calls", "cost_micro_usd", "median_s"),
                              row, strict=True)) for row in found.runs],
            "steps": [dict(zip(("step", "executed", "done", "cost_micro_usd"), row, strict=True))
                      for row in found.steps]},
        "decided": dict(found.modes),
        "published": {"arithmetic": Arithmetic().in_words(), **asdict(Arithmetic()),
                      "month_usd": Arithmetic().month_usd},
    }  # fmt: skip
    figures["claims"] = _claims(figures)
    return Report(figures, tuple(sums))


def _measures(played: Played, besides: Sequence[Beside]) -> dict[str, Any]:
    """What each measure saved beside the best writer for everything. A check that is skipped is not
    part of the spend: its price is the plan's.
    """
    best = max(besides, key=lambda each: each.quality)
    prediction, told = played.wanted.plan.prediction, played.told.get("skipping") or {}
    skipped = int(told.get("skipped") or 0) if isinstance(told, dict) else 0
    skip = prediction.skip if prediction else None
    check_usd = (skip.check_usd if skip else None) or 0.0
    saved = dict(best.saved.parts) | {"skipped checks": round(skipped * check_usd * 1e6)}
    return {"beside": best.deployment, "saved_micro_usd": saved}


def _cache(seen: Sequence[Seen], found: Counted) -> dict[str, Any]:
    """What callers were told of the cache, and what the service says that it saved: what the first
    answers had cost. Batches have no part in it.
    """
    seen = [each for each in seen if not each.batch]
    repeats = [each for each in seen if each.wish.repeats]
    return {
        "told": dict(sorted(Counter(each.cache or "none" for each in seen).items())),
        "repeats": len(repeats), "repeats_hit": sum(each.cache == "hit" for each in repeats),
        "given_again": [dict(zip(("kind", "count", "saved_micro_usd"), row, strict=True))
                        for row in found.kept],
    }  # fmt: skip


def _answers(seen: Sequence[Seen]) -> dict[str, Any]:
    """Of those who waited."""
    seen = [each for each in seen if not each.batch]
    live = [each for each in seen if each.status == 200]
    took = sorted(each.took_s for each in live)
    return {
        "by_status": {str(k): v for k, v in sorted(Counter(s.status for s in seen).items())},
        "under_2_s": sum(t < WITHIN_S for t in took) / max(len(seen), 1),
        "first_part_under_2_s": sum(s.first_s < WITHIN_S for s in live) / max(len(seen), 1),
        "p50_s": _at(took, 0.5), "p95_s": _at(took, 0.95), "p99_s": _at(took, 0.99),
        "by_task_under_2_s": {
            task: sum(s.took_s < WITHIN_S and s.status == 200 for s in seen if s.wish.task == task)
            / max(sum(s.wish.task == task for s in seen), 1)
            for task in sorted({s.wish.task for s in seen})
        },
    }  # fmt: skip


def _at(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None


def _quality(seen: Sequence[Seen], truth: Truth, found: Counted) -> dict[str, Any]:
    """Stars from 1 to 5: as rated, with an interval, and as the world knows them of all answers."""
    count, mean, spread = found.ratings
    answered = [each for each in seen if each.deployment and not each.wish.flows]
    true = sum(truth.quality(each.deployment, each.wish) for each in answered)
    told: dict[str, Any] = {"rated": count, "stars": None}
    if mean is not None and count > 1:
        reach = 4.0 * Z95 * (spread or 0.0) / math.sqrt(count)
        stars = 1.0 + 4.0 * mean
        told |= {"stars": stars, "low": stars - reach, "high": stars + reach}
    return told | {"true_stars": 1.0 + 4.0 * true / len(answered) if answered else None}


def _fallbacks(seen: Sequence[Seen], found: Counted) -> dict[str, Any]:
    tiers = Counter(each.tier for each in seen if each.status == 200 and not each.batch)
    return {
        "answers_by_tier": {str(tier): count for tier, count in sorted(tiers.items())},
        "calls": [dict(zip(("failed", "kind", "tried", "calls", "answered"), row, strict=True))
                  for row in found.fallbacks],
        "breakers": [dict(zip(("deployment", "opened", "lasted_min", "openings"), row, strict=True))
                     for row in found.breakers],
    }  # fmt: skip


def _queue(seen: Sequence[Seen]) -> dict[str, Any]:
    tickets = [each for each in seen if each.ticket]
    waits = sorted(each.waited_s for each in tickets if each.ended == "done")
    return {
        "queued": len(tickets), "finished": len(waits),
        "by_end": dict(sorted(Counter(each.ended for each in tickets).items())),
        "waited_s": {"p50": _at(waits, 0.5), "p95": _at(waits, 0.95),
                     "longest": waits[-1] if waits else None},
    }  # fmt: skip


def _claims(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The published claims beside what was measured here."""
    quality = figures["quality"]
    rows = (
        ("answered under 2 s", CLAIMED_SHARE, figures["answers"]["under_2_s"], True),
        ("first part under 2 s", CLAIMED_SHARE, figures["answers"]["first_part_under_2_s"], True),
        ("dollars a request", CLAIMED_USD, figures["money"]["mean_usd"], False),
        ("stars, as rated", CLAIMED_STARS, quality["stars"], True),
        ("stars, in truth", CLAIMED_STARS, quality["true_stars"], True),
    )
    return [
        {"what": what, "claimed": claimed, "measured": measured,
         "holds": None if measured is None else (measured >= claimed) is more}
        for what, claimed, measured, more in rows
    ]  # fmt: skip
