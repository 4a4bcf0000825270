"""What deployments are known to do: cells of deployment and task, by where they come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BenchmarkCell:
    """What a benchmark measured of one deployment at one task.

    ``n``: trials that ended; ``quality_*`` of the answered and scored ones, in [0, 1], latencies
    of the answered ones, costs of all. Variances are unbiased, of one trial. ``version``: of what
    was asked and how it was scored, so that unlike benchmarks are not taken for the same.
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
    cost_mean_micro_usd: float
    cost_var: float | None
    error_rate: float
    version: str
