"""What came of the day's batches: by those who handed them in, and by their savings ledger."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from service.rehearsal.counting import Counted
from service.rehearsal.money import Sum, divided
from service.rehearsal.patient import Sent, slack_s
from service.rehearsal.playing import Played

LEDGER = (
    "completed", "failed", "expired", "cancelled", "off_peak", "urgent", "provider",
    "paid_micro_usd", "list_micro_usd", "saved_micro_usd",
)  # fmt: skip
NO_PLAN = "the plan has no section batches; nothing is batched"
NO_PRICE = (
    "every line was a single call at list price, which costs at night what it costs by day; only a "
    "provider's own batch price saves money, and no deployment of this plan has been sent batches"
)
PRICED = "against the same calls alone at list price; lines in a provider's batch have its price"


def batches(played: Played, found: Counted) -> dict[str, Any]:
    """Counts of batches and lines, the ledger's money, and how long before its deadline each
    ended.
    """
    sent, total = played.sent, found.batches["total"]
    slack = slack_s(sent)
    codes = Counter(line.code for each in sent for line in each.lines if line.code)
    told = PRICED if total["provider"] else NO_PRICE
    return {
        "batches": len(sent),
        "by_state": dict(sorted(Counter(each.shown["status"] for each in sent).items())),
        "lines": sum(len(each.lines) for each in sent),
        "result_lines": sum(len(each.told) for each in sent),
        "by_code": dict(sorted(codes.items())),
        **{name: total[name] for name in LEDGER},
        "slack_s": {"least": slack[0] if slack else None,
                    "p50": slack[len(slack) // 2] if slack else None},
        "rows": _rows(sent, found),
        "told": NO_PLAN if played.wanted.plan.batches is None else told,
    }  # fmt: skip


def _rows(sent: list[Sent], found: Counted) -> list[dict[str, Any]]:
    ledger = {row["batch_id"]: row for row in found.batches["rows"]}
    rows = []
    for each in sent:
        shown, row = each.shown, ledger.get(each.shown["id"], {})
        (slack,) = slack_s([each])
        rows.append({
            "tenant": f"studio-{each.tier}", "window": shown["completion_window"],
            "begun": _time(shown["created_at"]), "ended": _time(shown["expires_at"] - slack),
            "slack_s": slack, "lines": len(each.lines),
            **{name: row.get(name, 0) for name in LEDGER},
        })  # fmt: skip
    return rows


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%d. %H:%M")


def batch_sums(found: Counted) -> tuple[Sum, ...]:
    """What lines paid beside what the ledger says of their decisions; list prices beside what was
    paid and saved.
    """
    rows, total = found.batches["rows"], found.batches["total"]
    return (
        divided("calls of batches against their lines", found.batch_spent, rows,
                lambda row: str(row["tenant"]), lambda row: int(row["paid_micro_usd"])),
        Sum("list price of batches", int(total["list_micro_usd"]), {
            "paid": int(total["paid_micro_usd"]), "saved": sum(found.batched.values())}),
    )  # fmt: skip
