"""The monthly review: next month's experiments, each with its worth, its power and its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.errors import CannotSay
from experiments.reviewing.finding import Finding, Rates, Review, usd_range
from experiments.reviewing.questions import Candidate, Gathering, spread_of
from experiments.reviewing.scheduling import Held, Sized, Traffic, placed, shown_in, sized
from experiments.reviewing.swapping import COST, Drawn
from experiments.statistics.moments import Interval

MOST = 4  # experiments proposed
MOST_UNKNOWN = 1  # of them, whose worth the log cannot say: trying is how it is learned
SMALLEST, GREATEST = 0.02, 0.5  # relative changes that an experiment is sized for


@dataclass(frozen=True, slots=True)
class Month:
    """The month reviewed, the days that it rests on, and the days of the next one."""

    name: str
    since: str
    until: str
    rests_on: str
    through: str
    next_name: str
    next_days: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What already lies in the layer, and versions that passed their evaluation and are not live:
    (id, kind, difference of the reward a decision).
    """

    layer: str
    held: Sequence[Held]
    versions: Sequence[tuple[str, str, Interval]]


@dataclass(frozen=True, slots=True)
class Flow:
    """Units and requests a day, and the share of requests that is rated."""

    units_a_day: float
    requests_a_day: float
    rated_share: float


def review(
    month: Month, tasks: Iterable[Drawn], rates: Rates, standing: Standing, flow: Flow,
    missing: Sequence[str],
) -> Review:  # fmt: skip
    """Candidates from the log's own exploration, placed one after another into the layer."""
    gathering = Gathering(rates)
    for drawn in tasks:
        gathering.add(drawn)
    traffic = _traffic(gathering, flow)
    candidates = [*_of_versions(standing, flow, rates), *gathering.candidates()]
    findings, designs, lines = [], {}, []
    held = list(standing.held)
    for candidate in _chosen(candidates):
        size = sized(_effect(candidate, gathering.rows, traffic), traffic)
        place = size if isinstance(size, CannotSay) else placed(size, held, month.next_days)
        if not isinstance(place, CannotSay):
            slot, share = place
            taken = Held(candidate.slug, slot.first, slot.stop, slot.from_day, slot.to_day)
            held.append(taken)
            designs[candidate.slug] = _design(candidate, size, standing.layer, share)
            lines.append(_line(taken, month))
        effect = size.effect if isinstance(size, Sized) else 0.0
        findings.append(_finding(candidate, (month, standing.layer, effect), place, traffic))
    told = list(missing)
    if not gathering.rows:
        told.append("no drawn decisions in the days that this rests on: nothing can be proposed")
    figures: dict[str, Any] = {
        "designs": designs,
        "schedule": lines,
        "tiles": {
            "units a day": f"{flow.units_a_day:,.0f}",
            "requests a day": f"{flow.requests_a_day:,.0f}",
            "rated": f"{flow.rated_share:.1%}",
            "candidates": str(len(candidates)),
            "proposed": str(len(designs)),
        },
    }
    return Review(
        f"monthly-{month.name}", f"Month {month.name}: experiments for {month.next_name}",
        month.since, month.until, month.through, tuple(told), tuple(findings), {}, figures, {},
    )  # fmt: skip


def _traffic(gathering: Gathering, flow: Flow) -> Traffic:
    cost, quality = spread_of(gathering.costs), spread_of(gathering.qualities)
    return Traffic(flow.units_a_day, flow.rated_share, cost[:2], quality[:2])


def _of_versions(standing: Standing, flow: Flow, rates: Rates) -> list[Candidate]:
    told = []
    for name, kind, difference in standing.versions:
        value: Interval | CannotSay = CannotSay("no version says what a point of quality is worth")
        if rates.quality_usd is not None:
            factor = flow.requests_a_day * 7.0 * rates.quality_usd
            value = Interval(difference.estimate * factor, difference.low * factor,
                             difference.high * factor)  # fmt: skip
        told.append(Candidate(
            f"version-{name[:8].lower()}",
            f"version {name[:8]} ({kind}) earns more than the live one",
            {"version": name}, {}, value,
        ))  # fmt: skip
    return told


def _chosen(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that promise something by the estimate, then few of those that the log is silent on."""
    known = [each for each in candidates
             if isinstance(each.value, Interval) and each.value.estimate > 0.0]  # fmt: skip
    known.sort(key=lambda each: (-_estimate(each), each.slug))
    unknown = [each for each in candidates if isinstance(each.value, CannotSay)][:MOST_UNKNOWN]
    return [*known[: MOST - len(unknown)], *unknown]


def _estimate(candidate: Candidate) -> float:
    return candidate.value.estimate if isinstance(candidate.value, Interval) else 0.0


def _effect(candidate: Candidate, rows: float, traffic: Traffic) -> float:
    """The relative change of cost a request that it is sized for."""
    if COST not in candidate.changes or not rows or traffic.cost[0] <= 0.0:
        return 0.05
    relative = abs(candidate.changes[COST].total) / rows / traffic.cost[0]
    return round(min(max(relative, SMALLEST), GREATEST), 3)


def _design(
    candidate: Candidate, size: Sized | CannotSay, layer: str, share: float
) -> dict[str, Any]:
    effect = size.effect if isinstance(size, Sized) else 0.05
    return {
        "layer": layer,
        "share": share,
        "design": {
            "slug": candidate.slug,
            "hypothesis": candidate.hypothesis,
            "variants": [
                {"name": "control", "share": 0.5},
                {"name": "treatment", "share": 0.5, "settings": dict(candidate.settings)},
            ],
            "goals": ["cost_per_request", "quality"],
            "guardrails": [
                {"metric": "error_rate", "tolerance": 0.1, "least": 50},
                {"metric": "latency_p95", "tolerance": 0.2, "action": "hold"},
            ],
            "unit": "session",
            "smallest_effect": effect,
        },
    }


def _line(taken: Held, month: Month) -> str:
    return (
        f"{month.next_name}-{taken.from_day:02d} to {month.next_name}-{taken.to_day:02d}: "
        f"{taken.by}, buckets {taken.first} to {taken.stop - 1}"
    )


def _finding(
    candidate: Candidate,
    where: tuple[Month, str, float],
    place: tuple[Held, float] | CannotSay,
    traffic: Traffic,
) -> Finding:
    month, layer, effect = where
    settings = ", ".join(f"{name}: {value}" for name, value in candidate.settings.items())
    worth = (
        f"worth {usd_range(candidate.value)} a week if everybody had it, by the log's "
        "own draws (an interval that holds for all candidates together)"
        if isinstance(candidate.value, Interval)
        else f"its worth cannot be told from the log ({candidate.value}), which is why to try it"
    )
    if isinstance(place, CannotSay):
        words, proposal = f"{worth}; it has no place: {place}", "wait, or end what holds the layer"
        links: tuple[str, ...] = ()
    else:
        taken, share = place
        days = taken.to_day - taken.from_day + 1
        seen = shown_in(days, share, traffic)
        quality = seen if isinstance(seen, CannotSay) else f"{seen:.3f} of quality"
        words = (
            f"{worth}. In {days} days at {share:.0%} of the layer {layer} it shows a relative "
            f"change of cost of {effect:.1%} with 80 % power at every look; the "
            f"same days show {quality}. It fits from {month.next_name}-{taken.from_day:02d} to "
            f"{month.next_name}-{taken.to_day:02d}"
        )
        proposal = (
            f"approve it: headgate experiment create {candidate.slug}.yaml --layer {layer} --share "
            f'{share:g} --reason "..."; then headgate experiment start {candidate.slug}'
        )
        links = (f"{candidate.slug}.yaml",)
    return Finding(
        "proposal", candidate.slug, f"Try {settings}", f"{candidate.hypothesis}: {words}",
        candidate.value, None, "", proposal, links, dict(candidate.settings),
    )  # fmt: skip
