"""What could be saved, from the published history: found, tried together, in plain form."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.design_json import to_json
from experiments.errors import CannotSay
from experiments.opportunities.changes import ORDER_WORDS, Change, Price, in_order
from experiments.opportunities.changes import parse as parse_change
from experiments.opportunities.estimating import Estimated, Joint, alone, together
from experiments.opportunities.listing import MOST_LOST, opportunities
from experiments.opportunities.traffic import Traffic
from experiments.opportunities.trying import trial
from experiments.statistics.moments import Interval
from service.storage.cases import at_time
from service.storage.drawn import Asked
from service.storage.errors import StorageError
from service.storage.history import connect
from service.storage.traffic import traffic

ASKED, FOUND = "asked.json", "found.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of which requests; with ``changes`` these together, without them what there is to find."""

    state: str
    since_us: int
    until_us: int
    tenant: str | None = None
    changes: tuple[str, ...] = ()


def found(wanted: Wanted) -> dict[str, Any]:
    """In the form that JSON can hold. Raises ExperimentError for a change that cannot be read, and
    StorageError where the history cannot be. Seconds of CPU: never on an event loop.
    """
    changes = in_order([parse_change(each) for each in wanted.changes])
    connection = connect(Path(wanted.state))
    try:
        asked = Asked(wanted.since_us, wanted.until_us, wanted.tenant)
        read = traffic(connection, asked, any(isinstance(each, Price) for each in changes))
    finally:
        connection.close()
    content = _simulated(read, changes) if changes else _listed(read)
    return _of(wanted, read) | content


def _of(wanted: Wanted, read: Traffic) -> dict[str, Any]:
    since, until = (
        at_time(each).isoformat(timespec="seconds") + "Z"
        for each in (wanted.since_us, wanted.until_us)
    )
    return {
        "since": since, "until": until, "tenant": wanted.tenant, "requests": len(read),
        "draws": len(read.draws), "checks": len(read.checks), "one_in": read.one_in,
    }  # fmt: skip


def _simulated(read: Traffic, changes: Sequence[Change]) -> dict[str, Any]:
    return {
        "order": ORDER_WORDS,
        "single": [_estimated(alone(read, each)) for each in changes],
        "joint": _joint(together(read, changes)),
    }


def _listed(read: Traffic) -> dict[str, Any]:
    made = opportunities(read)
    rows = []
    for at, each in enumerate(made.found):
        rows.append({"number": at + 1, **_estimated(each), "pareto": at in made.front,
                     "together": at in made.taken, "trial": trial_of(each.change)})  # fmt: skip
    return {
        "order": ORDER_WORDS, "most_lost": MOST_LOST, "opportunities": rows,
        "joint": _joint(made.joint),
        "unsaid": [{"change": each.change.text, "why": str(each.refusal or each.saved)}
                   for each in made.unsaid],
    }  # fmt: skip


def trial_of(change: Change) -> dict[str, Any]:
    """The design or the fragment by which it is tried."""
    made = trial(change)
    design = None if made.design is None else json.loads(to_json(made.design))
    return {"design": design, "plan": made.plan, "words": made.words}


def _estimated(each: Estimated) -> dict[str, Any]:
    return {
        "change": each.change.text,
        "saved_micro_usd": None if each.refusal is not None else each.saved_micro_usd,
        "interval_micro_usd": _whole(each.saved), "touched": each.touched,
        "share": _plain(each.share), "value_share": _plain(each.value_share),
        "quality_change": _plain(each.quality), "answers_at_risk": each.risk,
        "assumes": each.assumes, "refusal": None if each.refusal is None else str(each.refusal),
    }  # fmt: skip


def _joint(joint: Joint) -> dict[str, Any]:
    return {
        "before_micro_usd": joint.before_micro_usd, "spent_micro_usd": joint.spent_micro_usd,
        "checked_micro_usd": joint.checked_micro_usd, "saved_micro_usd": joint.saved_micro_usd,
        "after_micro_usd": joint.after_micro_usd, "interval_micro_usd": _whole(joint.saved),
        "days": joint.days, "parts": [_estimated(each) for each in joint.parts],
    }  # fmt: skip


def _plain(value: Interval | CannotSay | None) -> Any:
    if isinstance(value, Interval):
        return {"estimate": value.estimate, "low": value.low, "high": value.high}
    return None if value is None else {"cannot_say": str(value)}


def _whole(value: Interval | CannotSay) -> Any:
    if isinstance(value, Interval):
        return {name: round(getattr(value, name)) for name in ("estimate", "low", "high")}
    return {"cannot_say": str(value)}


def write_asked(folder: Path, wanted: Wanted) -> None:
    """What a child is to find, into its folder."""
    told: Mapping[str, Any] = {
        "state": wanted.state, "since_us": wanted.since_us, "until_us": wanted.until_us,
        "tenant": wanted.tenant, "changes": list(wanted.changes),
    }  # fmt: skip
    (folder / ASKED).write_text(json.dumps(told), "utf-8")


def main() -> None:
    """In a child process: asked.json to found.json, in a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    asked = json.loads((folder / ASKED).read_text("utf-8"))
    asked["changes"] = tuple(asked["changes"])
    try:
        content = found(Wanted(**asked))
    except StorageError as error:
        content = {"error": str(error)}
    (folder / FOUND).write_text(json.dumps(content), "utf-8")


if __name__ == "__main__":
    main()
