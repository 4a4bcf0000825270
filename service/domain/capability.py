"""A benchmark's cell: how one deployment did at one task's prompts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BenchmarkCell:
    """Of one run. Means are None where nothing was measured: an unscored run has no quality, and
    where every call failed there is no latency. ``n``: the calls; ``version``: of what was run.

    A later row of the same run, deployment and task replaces the earlier: a run that went on.
    """

    run_id: str
    at_us: int
    deployment: str
    task: str
    n: int
    quality_mean: float | None
    quality_var: float | None
    latency_mean_s: float | None
    latency_var: float | None
    cost_mean_micro_usd: float | None
    cost_var: float | None
    error_rate: float
    version: str
