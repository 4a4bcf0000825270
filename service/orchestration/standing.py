"""How good deployments are by a judge, corrected by people; and whether it knows anything."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from experiments.errors import CannotSay
from experiments.statistics.judged_quality import Alike, Sampled, judged_quality, rated_alike
from experiments.statistics.length_control import LEAST_SCORES, controlled_scores
from experiments.statistics.moments import Interval
from service.domain.judging import HALF
from service.storage.judgings import Row

LEAST_BOTH = 50  # answers that people rated and the judge scored, before live agreement counts


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of answers served here that both a judge and people rated: the correlation, within tasks and
    deployments, with its interval. ``knows``: False where the judge cannot be told from one that
    knows nothing; None where there are too few.
    """

    answers: int
    correlation: Interval | None
    knows: bool | None


def agreement(rows: Sequence[Row]) -> Agreement:
    """Pearson's correlation of what is left when each task's and deployment's means are taken off,
    Fisher's interval of 95 %.
    """
    both = [(row, row.rated, row.value) for row in rows if None not in (row.rated, row.value)]
    groups: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row, rated, value in both:
        assert rated is not None and value is not None
        groups[row.task, row.deployment].append((rated, value))
    left = [np.array(each) - np.array(each).mean(0) for each in groups.values() if len(each) > 1]
    free = sum(len(each) - 1 for each in left)
    if free < LEAST_BOTH:
        return Agreement(len(both), None, None)
    people, judge = np.concatenate(left).T
    if not people.any() or not judge.any():
        return Agreement(len(both), None, False if people.any() else None)
    r = float((people @ judge) / math.sqrt(float(people @ people) * float(judge @ judge)))
    reach = float(stats.norm.ppf(0.975)) / math.sqrt(free - 2)
    z = math.atanh(min(max(r, -0.999_999), 0.999_999))
    found = Interval(r, math.tanh(z - reach), math.tanh(z + reach))
    return Agreement(len(both), found, found.low > 0.0)


def quality(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each deployment's quality over all tasks and by task: as the judge says, as people say, and
    corrected; or why that cannot be said.
    """
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.deployment, ""].append(row)
        groups[row.deployment, row.task].append(row)
    return [
        {"deployment": name, "task": task or None} | _quality(group)
        for (name, task), group in sorted(groups.items())
    ]


def _quality(rows: Sequence[Row]) -> dict[str, Any]:
    sampled = _sampled(rows)
    found = judged_quality(sampled)
    seen = rated_alike(sampled.scores, np.isfinite(sampled.labels))
    shown: dict[str, Any] = {
        "answers": len(rows),
        "rated": int(np.isfinite(sampled.labels).sum()),
        "judge_mean": float((sampled.scores / sampled.drawn).sum() / (1 / sampled.drawn).sum()),
        "rated_unlike_others": _unlike(seen),
    }
    if isinstance(found, CannotSay):
        return shown | {"corrected": None, "why": str(found)}
    return shown | {
        "corrected": _interval(found.corrected),
        "judge": _interval(found.judge),
        "people": _interval(found.people),
        "bias": found.bias,
        "scale": found.scale,
        "labels_saved": found.labels_saved if math.isfinite(found.labels_saved) else None,
        "chances_known": found.known,
        "why": None,
    }


def explained(rows: Sequence[Row]) -> dict[str, Any]:
    """How much of the scores length and style explain, and the means at equal length and style; of
    those deployments that have enough of them.
    """
    counts = Counter(row.deployment for row in rows if row.value is not None)
    names = sorted(name for name, count in counts.items() if count >= LEAST_SCORES)
    read = [row for row in rows if row.value is not None and row.deployment in names]
    found = controlled_scores(
        [row.value or 0.0 for row in read],
        [names.index(row.deployment) for row in read],
        [float(row.length) for row in read],
        [float(row.decoration) for row in read],
    )
    if isinstance(found, CannotSay):
        return {"why": str(found)}
    return {
        "explained": found.explained,
        "length": _interval(found.length),
        "style": _interval(found.style),
        "deployments": [
            {"deployment": name, "raw": _interval(raw), "controlled": _interval(own)}
            for name, raw, own in zip(names, found.raw, found.controlled, strict=True)
        ],
    }


def _sampled(rows: Sequence[Row]) -> Sampled:
    """What could not be read counts as a half, which is a guess as good as any: leaving it out
    would leave out those answers that make judges stumble.
    """
    units = {unit: at for at, unit in enumerate(sorted({row.unit for row in rows}))}
    return Sampled(
        np.array([HALF if row.value is None else row.value for row in rows]),
        np.array([math.nan if row.rated is None else row.rated for row in rows]),
        np.array([row.probability for row in rows]),
        np.full(len(rows), math.nan),
        np.array([float(units[row.unit]) for row in rows]),
    )


def _unlike(seen: Alike | CannotSay) -> dict[str, Any]:
    if isinstance(seen, CannotSay):
        return {"gap": None, "why": str(seen)}
    return {"gap": _interval(seen.gap), "p_value": seen.p_value}


def _interval(of: Interval) -> dict[str, float]:
    return {"estimate": of.estimate, "low": of.low, "high": of.high}
