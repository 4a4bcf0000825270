"""What was spent in a time, and what kept answers, prompt caches and batches took off it."""

from __future__ import annotations

from typing import Any

from service.domain.caching import EXACT, SEMANTIC, SHARED
from service.storage.batch_savings import SavingsAsked, batch_savings
from service.storage.cases import at_time, rows_of
from service.storage.costs import CostsAsked, costs
from service.storage.database import Cursor
from service.storage.prompt_caches import CachesAsked, prompt_caches

_GIVEN = """
    SELECT kind, count(*)::BIGINT AS answers, sum(saved_micro_usd)::BIGINT AS saved_micro_usd
    FROM cached_answers WHERE ts >= $1 AND ts < $2 AND ($3::VARCHAR IS NULL OR tenant = $3)
    GROUP BY kind
"""


def savings(cursor: Cursor, asked: SavingsAsked) -> dict[str, Any]:
    """Of the calls that ended, and the answers that were given again, in a time; micro-dollars.

    The parts do not overlap: an answer given again was no call; cached input, of calls outside of
    providers' batches, is held against plain input at list price; a batch's price is held against
    the list price of the same tokens. What a kept answer saved is an estimate: what the first one
    cost.
    """
    tenant, when = asked.tenant, (asked.since_us, asked.until_us)
    spent = costs(cursor, CostsAsked((), *when, tenant)).total
    given = rows_of(cursor, _GIVEN, [at_time(when[0]), at_time(when[1]), tenant])
    kept: dict[str, dict[str, int]] = {
        kind: {"answers": 0, "saved_micro_usd": 0} for kind in (EXACT, SHARED, SEMANTIC)
    }
    kept |= {row.pop("kind"): row for row in given}
    parts = {
        "kept_answers_micro_usd": sum(each["saved_micro_usd"] for each in kept.values()),
        "prompt_caches_micro_usd": int(
            prompt_caches(cursor, CachesAsked(*when, tenant))["total"]["net_micro_usd"]
        ),
        "batches_micro_usd": int(batch_savings(cursor, asked)["total"]["saved_micro_usd"]),
    }
    saved = sum(parts.values())
    since, until = (at_time(each).isoformat(timespec="milliseconds") + "Z" for each in when)
    return {
        "since": since, "until": until, "tenant": tenant, "requests": spent["requests"],
        "calls": spent["calls"], "spent_micro_usd": spent["cost_micro_usd"],
        "beside_micro_usd": spent["beside_micro_usd"], "saved_micro_usd": saved, **parts,
        "before_micro_usd": spent["cost_micro_usd"] + saved, "kept_answers": kept,
    }  # fmt: skip
