"""What a shadow shows beside the live policy: agreement, shares, predictions, judgements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.errors import CannotSay
from experiments.statistics.bounded_means import betting_interval
from service.domain.experiments import Shadow
from service.storage.shadows import ShadowStore

ALPHA = 0.05


def report(store: ShadowStore, shadow: Shadow) -> dict[str, Any]:
    """From the log, since the shadow was started; blocks.

    Predictions are the policies' own beliefs, the live one's and the shadow's, of what either would
    give: a yardstick each, no measurement. What a version would have earned is estimated elsewhere.
    """
    version, since_us = shadow.version_id, shadow.at_us
    found = store.agreement(version, since_us)
    shares: dict[str, list[dict[str, Any]]] = {}
    for row in store.shares(version, since_us):
        shares.setdefault(row["task"], []).append(row)
    return {
        "decisions": found["decisions"],
        "agreement": found["alike"],
        "agreement_expected": found["chance"],
        "comparable": found["comparable"],
        "predicted": {
            "by_live": {
                "live": {"quality": found["live_q"], "cost_usd": found["live_c"]},
                "shadow": {"quality": found["beside_q"], "cost_usd": found["beside_c"]},
            },
            "by_shadow": {
                "live": {"quality": found["live_own_q"], "cost_usd": found["live_own_c"]},
                "shadow": {"quality": found["beside_own_q"], "cost_usd": found["beside_own_c"]},
            },
        },
        "tasks": [
            {
                "task": task,
                "decisions": rows[0]["decisions"],
                "shares": [
                    {"deployment": r["deployment"], "live": r["live"], "shadow": r["shadow"]}
                    for r in rows
                ],
            }
            for task, rows in shares.items()
        ],
        "judged": judged(store.preferences(version, since_us)),
        "mirrored_usd": store.spent_micro_usd(version, since_us) / 1e6,
    }


def judged(found: Sequence[tuple[float | None, bool]]) -> dict[str, Any]:
    """The preference for the mirrored answer over the served one, where the two came from different
    deployments: 0.5 is no difference. ``low`` and ``high`` hold at every look together with a
    chance of 95 % (betting, ``experiments/statistics/bounded_means.py``).
    """
    preferences = [each for each, _ in found if each is not None]
    told = betting_interval(preferences, ALPHA)
    said = None if isinstance(told, CannotSay) else told
    return {
        "compared": len(preferences),
        "better": preferences.count(1.0),
        "worse": preferences.count(0.0),
        "even": preferences.count(0.5),
        "changed_with_the_order": sum(
            not consistent for preference, consistent in found if preference is not None
        ),
        "unreadable": len(found) - len(preferences),
        "preference": said.estimate if said else None,
        "low": said.low if said else None,
        "high": said.high if said else None,
        "cannot_say": None if said else str(told),
    }
