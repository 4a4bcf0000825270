"""The desk of benchmarks: a finished run's cells are made durable, once, with who sent them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from service.domain.capability import BenchmarkCell
from service.domain.errors import Conflict
from service.domain.knowledge import Entry
from service.domain.records import Act
from service.storage.event_log import EventLog


@dataclass(frozen=True, slots=True)
class Taken:
    """A run as it was taken; ``new`` is False where it was there already."""

    cells: tuple[BenchmarkCell, ...]
    new: bool


class BenchmarkDesk:
    """All runs by id. ``taken``: told of the cells of each new one once they are durable."""

    def __init__(
        self,
        log: EventLog,
        known: Iterable[BenchmarkCell],
        write: Callable[[Entry], Awaitable[object]],
        told_of: Callable[[str], bool],
    ) -> None:
        self._log, self._write, self._told_of = log, write, told_of
        self._one_at_a_time = asyncio.Lock()
        self.runs: dict[str, tuple[BenchmarkCell, ...]] = {}
        self.taken: Callable[[Sequence[BenchmarkCell]], None] = lambda cells: None
        for each in known:
            self.runs[each.run_id] = (*self.runs.get(each.run_id, ()), each)

    async def take(self, cells: Sequence[BenchmarkCell], act: Act, entry: Entry) -> Taken:
        """Keep a run: durable when this returns. The same run again changes nothing; the same id
        with other figures raises Conflict. The entry of the knowledge base is made up for where a
        crash had kept it from being written.
        """
        run_id = cells[0].run_id
        async with self._one_at_a_time:
            before = self.runs.get(run_id)
            if before is not None and set(map(_figures, before)) != set(map(_figures, cells)):
                raise Conflict(f"the run {run_id} is kept with other figures", param="run_id")
            if before is None:
                await asyncio.wrap_future(self._log.append_durable(*cells, act))
                self.runs[run_id] = tuple(cells)
                self.taken(self.runs[run_id])
            if not self._told_of(entry.occasion):
                await self._write(entry)
            return Taken(self.runs[run_id], before is None)


def _figures(cell: BenchmarkCell) -> tuple[object, ...]:
    """All of a cell but the time, which is when it was taken."""
    return (
        cell.deployment, cell.task, cell.n, cell.quality_mean, cell.quality_var,
        cell.latency_mean_s, cell.latency_var, cell.cost_mean_micro_usd, cell.cost_var,
        cell.error_rate, cell.version,
    )  # fmt: skip
