"""The desk of benchmarks, with the runs that the log holds."""

from __future__ import annotations

from service.benchmarking.desk import BenchmarkDesk
from service.runtime import Runtime
from service.storage.benchmark_runs import cells


def attach_benchmarks(runtime: Runtime) -> None:
    """Give a runtime its desk; after the chronicle, in which it writes."""
    chronicle = runtime.experiments.chronicle
    runtime.benchmarks = BenchmarkDesk(
        runtime.kept.log,
        cells(runtime.kept.database.cursor()),
        chronicle.add,
        chronicle.store.told_of,
    )
