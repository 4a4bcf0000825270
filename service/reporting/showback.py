"""Showback: what each tenant used, by feature and deployment, failed and shadow spend apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PARTS = ("answers_micro_usd", "failed_micro_usd", "beside_micro_usd")
SUMMED = ("requests", "calls", "tokens_in", "tokens_out", *PARTS, "cost_micro_usd")


def showback(
    rows: Sequence[Mapping[str, Any]], total: Mapping[str, int], tenant: str | None = None
) -> dict[str, Any]:
    """Rows by tenant, feature and deployment as a report by tenant, the one that spent most first.

    Of each line what its answers cost, what calls that failed did, and what was spent beside the
    answer; the three add up to its cost, the lines to the tenant, the tenants to the total.
    """
    tenants: dict[str, dict[str, Any]] = {}
    for row in rows:
        if tenant is not None and row["tenant"] != tenant:
            continue
        line = {name: row[name] for name in ("feature", "deployment")}
        answers = row["cost_micro_usd"] - row["failed_micro_usd"] - row["beside_micro_usd"]
        line |= {name: answers if name == PARTS[0] else row[name] for name in SUMMED}
        empty: dict[str, Any] = {"tenant": row["tenant"], "lines": []}
        one = tenants.setdefault(row["tenant"], empty | dict.fromkeys(SUMMED, 0))
        one["lines"].append(line)
        for name in SUMMED:
            one[name] += line[name]
    whole = total["cost_micro_usd"]
    made = sorted(tenants.values(), key=lambda each: (-each["cost_micro_usd"], each["tenant"]))
    for each in made:
        each["share"] = each["cost_micro_usd"] / whole if whole else 0.0
        each["lines"].sort(key=lambda line: (-line["cost_micro_usd"], line["feature"]))
    shown = {name: sum(each[name] for each in made) for name in SUMMED}
    return {"tenants": made, "total": shown}
