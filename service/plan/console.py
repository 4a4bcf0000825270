"""The plan's console: whether there is one, and how long a log-in lasts."""

from __future__ import annotations

from service.plan.words import Seconds, Strict


class ConsolePlan(Strict):
    """The operators' pages at /console. Read at the start: a reload neither adds nor ends them."""

    enabled: bool = True
    idle_s: Seconds = 1_800.0
    session_s: Seconds = 43_200.0
