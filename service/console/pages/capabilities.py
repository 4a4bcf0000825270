"""Capabilities: who is good at what, how surely, what that rests on, what each is best used for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from experiments.capability import Estimate
from service.console.looker import Drawn, Looker, Page
from service.console.nodes import Column, Node, badge, card, empty, h, moment, swatch, table
from service.console.reading.serving import tones
from service.console.shell import heading
from service.console.wording import NONE, number, percent, plural, seconds, usd
from service.domain.catalog import Deployment
from service.domain.demands import DATA_POLICIES
from service.monitoring.capabilities import MatrixReport, ShownCell

EVERY_S = 10.0
_COLUMNS = (
    Column("Deployment"), Column("Place"), Column("Quality", True), Column("Evidence", True),
    Column("Quality a cent", True), Column("Latency", True), Column("Cost", True),
    Column("Errors", True), Column("From"), Column("Last"),
)  # fmt: skip
_LIMITS = (Column("Deployment"), Column("Context", True), Column("Can"), Column("Region"),
           Column("Data"))  # fmt: skip
_USES = (Column("Deployment"), Column("Best in quality"), Column("Best for a dollar"),
         Column("On the front"))  # fmt: skip


async def _draw(looker: Looker) -> Drawn:
    runtime = looker.runtime
    now_s = runtime.clock.monotonic_s()
    if now_s - looker.kept.get("matrix_s", -EVERY_S) >= EVERY_S:
        looker.kept["matrix"] = await asyncio.to_thread(runtime.capabilities.report)
        looker.kept["matrix_s"] = now_s
    found: MatrixReport = looker.kept["matrix"]
    tone = tones(runtime)
    unknown = sum(not each.source for each in found.cells)
    told = f"{plural(len(found.cells), 'cell')}, {unknown} unknown. Intervals are of 95 %."
    head = heading("Capabilities", told)
    if not runtime.capabilities.folded:
        return {"head": [head], "none": [card("The matrix", empty("The log is being read."))]}
    tasks = [_task(found, task, tone) for task in found.tasks]
    return {
        "head": [head],
        "tasks": [each for each in tasks if each is not None],
        "uses": [_uses(found, tone)],
        "limits": [_limits(runtime.catalog, tone)],
    }


def _task(found: MatrixReport, task: str, tone: dict[str, int]) -> Node:
    cells = [each for each in found.cells if each.cell.task == task]
    if not cells:
        return None
    cells.sort(key=lambda each: (each.quality.rank or 99, -(each.cell.quality.mean or 0.0)))
    winner = found.names_winner(task)
    note = f"{winner} is surely the best." if winner else (
        "Nobody is surely the best: where intervals overlap, it is a tie."
        if any(each.quality.rank for each in cells) else "Nothing is known yet."
    )  # fmt: skip
    rows = [(each.cell.deployment, _row(each, tone)) for each in cells]
    return card(task, table(f"Deployments at {task}", _COLUMNS, rows), note=note)


def _row(each: ShownCell, tone: dict[str, int]) -> tuple[Node, ...]:
    cell = each.cell
    name = swatch(tone.get(cell.deployment, 0), cell.deployment)
    return (
        name, _place(each), _estimate(cell.quality, lambda v: number(v, 2)),
        number(cell.quality.n, 0) if cell.quality.known else NONE,
        _estimate(cell.per_dollar, lambda v: number(v / 100.0, 2)),
        _estimate(cell.latency_s, seconds),
        _estimate(cell.cost_micro_usd, lambda v: usd(v / 1e6)),
        _estimate(cell.error_rate, lambda v: percent(v, 1)), _source(each),
        moment(each.last_us) if each.last_us is not None else NONE,
    )  # fmt: skip


def _place(each: ShownCell) -> Node:
    rank, tied = each.quality.rank, each.quality.tied
    if rank is None:
        return badge("unknown", "quiet")
    if rank == 1:
        return badge("tied first" if tied else "first", "info" if tied else "good")
    return badge(f"{'tied ' if tied else ''}{rank}", "quiet")


def _estimate(estimate: Estimate, told: Callable[[float], str]) -> Node:
    if estimate.mean is None:
        return NONE
    low, high = estimate.low, estimate.high
    range_ = "too little to say" if low is None or high is None else f"{told(low)} to {told(high)}"
    return h("span", told(estimate.mean), h("small", range_, cls="hg-why"), cls="hg-health")


def _source(each: ShownCell) -> Node:
    if not each.source:
        return badge("unknown", "quiet")
    others = [name for name in each.sources if name != each.source]
    more = h("small", "also " + ", ".join(others), cls="hg-why") if others else None
    stale = badge(f"{each.source}, stale", "warn")
    return h("span", stale if each.stale else each.source, more, cls="hg-health")


def _uses(found: MatrixReport, tone: dict[str, int]) -> Node:
    rows = [
        (name, (swatch(tone.get(name, 0), name), _tasks(told.best_quality, told.tied_quality),
                _tasks(told.best_per_dollar, told.tied_per_dollar),
                ", ".join(told.on_front) or NONE))
        for name, told in found.uses.items()
    ]  # fmt: skip
    note = "On the front: nobody is as good and as cheap, and surely better in one of the two."
    return card("Best used for", table("Best used for", _USES, rows), note=note)


def _tasks(alone: tuple[str, ...], tied: tuple[str, ...]) -> Node:
    told = [*alone, *(f"{task} (tied)" for task in tied)]
    return ", ".join(told) or NONE


def _limits(catalog: tuple[Deployment, ...], tone: dict[str, int]) -> Node:
    rows = [
        (each.name, (
            swatch(tone.get(each.name, 0), each.name), number(each.context_window, 0),
            ", ".join(sorted(each.capabilities)) or "plain answers", each.region or "not said",
            ", ".join(w for w in DATA_POLICIES if w in each.data_policy) or "nothing promised",
        ))
        for each in catalog
    ]  # fmt: skip
    note = "Nothing crosses these: no policy, fallback, hedge, override, pin or experiment."
    return card("Hard limits", table("Hard limits", _LIMITS, rows), note=note)


PAGE = Page("/capabilities", "Capabilities", _draw, refresh_s=10.0)
