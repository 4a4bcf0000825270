"""A run followed while it goes on: its steps with state, deployment, cost and time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from service.cli.output import err

if TYPE_CHECKING:
    from rich.table import Table

STATES = {
    "step.started": "running", "step.done": "done", "step.failed": "failed",
    "step.skipped": "skipped", "step.kept": "kept", "step.fallback": "falls back",
}  # fmt: skip
SIGNS = {
    "waiting": "·", "running": "◐", "done": "●", "failed": "■", "skipped": "○", "kept": "●",
    "falls back": "▲",
}  # fmt: skip
COLOURS = {"running": "cyan", "done": "green", "failed": "red", "falls back": "yellow"}
ENDS = ("done", "failed", "limit", "cancelled")


@dataclass(slots=True)
class Followed:
    """What is known of an execution of a step. ``path``: as the run names it, refined#2/rewrite."""

    path: str
    kind: str = ""
    state: str = "waiting"
    deployment: str = ""
    cost_usd: float = 0.0
    latency_s: float | None = None


@dataclass(slots=True)
class Progress:
    """All executions of one run so far, in the order in which they began."""

    name: str
    steps: dict[str, Followed] = field(default_factory=dict)
    status: str = "running"

    def take(self, event: str, data: dict[str, Any]) -> None:
        """One event of the run."""
        if event.startswith("run."):
            told = str(data.get("status") or event.removeprefix("run."))
            self.status = "running" if told in ("started", "resumed") else told
            return
        state, path = STATES.get(event), data.get("path")
        if state is None or not isinstance(path, str):
            return
        step = self.steps.setdefault(path, Followed(path))
        step.state = state
        step.kind = str(data.get("kind") or step.kind)
        step.deployment = str(data.get("deployment") or step.deployment)
        step.cost_usd = float(data.get("cost_usd") or step.cost_usd)
        if data.get("latency_s") is not None:
            step.latency_s = float(data["latency_s"])

    @property
    def cost_usd(self) -> float:
        """Of all steps that ended."""
        return sum(each.cost_usd for each in self.steps.values())

    def table(self) -> Table:
        """As it stands."""
        from rich.table import Table
        from rich.text import Text

        made = Table(box=None, pad_edge=False, title_justify="left")
        made.title = Text(f"{self.name}: {self.status}, ${self.cost_usd:.6f}")
        for name in ("step", "kind", "state", "deployment"):
            made.add_column(name)
        for name in ("cost", "time"):
            made.add_column(name, justify="right")
        for each in self.steps.values():
            state = Text(f"{SIGNS.get(each.state, ' ')} {each.state}", COLOURS.get(each.state, ""))
            made.add_row(
                Text(indented(each.path)), each.kind, state, Text(each.deployment or "-"),
                f"${each.cost_usd:.6f}" if each.cost_usd else "-",
                "-" if each.latency_s is None else f"{each.latency_s:.2f} s",
            )  # fmt: skip
        return made


def indented(path: str) -> str:
    """What is within a loop or a group stands a little to the right, with its turn or its item."""
    around, _, own = path.rpartition("/")
    last = around.rpartition("/")[2]
    at = min((last.find(sign) for sign in "#@" if sign in last), default=len(last))
    which = f" {last[at:]}" if last[at:] else ""
    return "  " * path.count("/") + own + which


def events(pieces: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events out of pieces of a stream: the name and the JSON of each."""
    rest = ""
    for piece in pieces:
        rest += piece.replace("\r\n", "\n")
        while "\n\n" in rest:
            block, _, rest = rest.partition("\n\n")
            found = _event(block)
            if found is not None:
                yield found


def _event(block: str) -> tuple[str, dict[str, Any]] | None:
    name, data = "message", []
    for line in block.split("\n"):
        key, _, value = line.partition(":")
        if key == "event":
            name = value.strip()
        elif key == "data":
            data.append(value.removeprefix(" "))
    if not data or data == ["[DONE]"]:
        return None
    try:
        content = json.loads("\n".join(data))
    except ValueError:
        return None
    return (name, content) if isinstance(content, dict) else None


def follow(progress: Progress, pieces: Iterator[str]) -> Progress:
    """Show the steps on standard error as they go on, until the run has ended; where nobody looks,
    nothing is shown.
    """
    from rich.live import Live

    if not err.is_terminal:
        for name, data in events(pieces):
            progress.take(name, data)
        return progress
    with Live(progress.table(), console=err, refresh_per_second=8) as live:
        for name, data in events(pieces):
            progress.take(name, data)
            live.update(progress.table())
    return progress
