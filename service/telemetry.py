"""Counters for operators, in Prometheus text; label values come from configuration alone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from learning.policies.base import STATES

BREAKER_STATES = ("closed", "open", "half_open", "cooling")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OVERHEAD = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0)
COUNTERS = {
    "requests": ("Requests answered", ["deployment", "provider", "status", "mode"]),
    "cost_usd": ("Spend in US dollars", ["deployment"]),
    "tokens": ("Tokens of all calls, as billed", ["deployment", "direction"]),
    "decisions": ("Decisions made", ["policy", "mode"]),
    "attempts": ("Calls that have ended", ["deployment", "role"]),
    "attempt_errors": ("Failed calls", ["deployment", "kind"]),
    "feedback": ("Ratings taken", ["metric"]),
    "notifications": ("Notices to channels of alerts", ["channel", "result"]),
    "refusals": ("Requests that a content policy refused", ["deployment"]),
    "ratings_weighed": ("Ratings that might teach, by why they do not count", ["reason"]),
    "refused": ("Refused by the gateway itself", ["reason"]),
    "relearned": ("Refits of the classifier by people's labels", ["result"]),
    "review_items": ("Items of review, by what became of them", ["kind", "how"]),
    "stream_malformed": ("Lines of streams that were skipped", ["deployment"]),
    "upstream_reconnects": ("Requests sent again on a fresh connection", ["deployment"]),
    "upstream_other_model": ("Answers that name another model", ["deployment"]),
}
INCIDENTS = {
    "malformed_lines": "stream_malformed",
    "reconnects": "upstream_reconnects",
    "other_model": "upstream_other_model",
}
HISTOGRAMS: Mapping[str, tuple[str, list[str], tuple[float, ...]]] = {
    "overhead_seconds": ("Time added by the gateway", [], _OVERHEAD),
    "request_seconds": ("Time of a request from its decision to its end", [], _SECONDS),
    "attempt_seconds": ("Time of a call from its start to its end", ["deployment"], _SECONDS),
    "ttft_seconds": ("Time to first token", ["deployment"], _SECONDS),
}
LABELLED = {
    "alerts_firing": ("Alerts that last", ["rule"]),
    "weight": ("Share of a task that a deployment gets", ["task", "deployment"]),
    "arm_state": ("1 for the state that it is in", ["deployment", "state"]),
    "breaker_state": ("1 for the state that its breaker is in", ["deployment", "state"]),
    "in_flight": ("Calls in work", ["deployment"]),
    "in_flight_limit": ("Calls that may be in work", ["deployment"]),
    "overrides": ("Overrides in force", ["action"]),
    "experiments": ("Experiments by the state that they are in", ["state"]),
    "job_failing": ("1 for a job of the clock whose last turn failed", ["job"]),
    "review_waiting": ("Items that wait for a person", ["kind"]),
    "judge_teaches": ("1 while a judge's scores are ratings", ["judge"]),
    "review_late": ("Those that wait beyond their time", ["kind"]),
}
OF_ARMS = ("weight", "arm_state", "breaker_state", "in_flight", "in_flight_limit")
GAUGES = {
    "batches_live": "Batches that have not ended",
    "batch_requests_waiting": "Requests of theirs that wait",
    "batch_requests_running": "Requests of theirs that are being tried",
    "batch_requests_away": "Requests of theirs that are in providers' batches, or wait to be",
    "batch_least_slack_seconds": "How long the first of them may still wait without being late",
    "cache_entries": "Answers that are kept",
    "cache_bytes": "Bytes that they take in memory",
    "cache_raised": "1 while an override raises caching",
    "log_queued": "Records that wait to be written",
    "learner_waiting": "Rewards that wait to be learned from",
    "learner_frozen": "1 while nothing is learned because the log cannot be written",
    "storage_healthy": "1 while the log can be written",
    "outage": "1 while no deployment can serve requests",
    "plan_refused": "1 while the last reload of the plan was refused",
    "publication_age_seconds": "How long ago the history was last published",
    "publication_rows_behind": "Rows of the log that are not yet published",
    "disk_free_bytes": "Room on the file system of the state directory",
    "disk_size_bytes": "Size of the file system of the state directory",
    "live_file_bytes": "Size of the live file with its write-ahead log",
    "connections_open": "Connections of callers that are open",
    "under_way": "Requests in work",
    "held_bytes": "Bytes of request bodies that are held",
    "loop_lag_seconds": "How late the event loop last was",
    "loop_lag_average_seconds": "How late it was on average over a second",
    "loop_lag_greatest_seconds": "How late it was at most since the start",
    "queue_waiting": "Tickets that wait for a deployment",
    "queue_running": "Tickets that are being tried",
    "queue_dead": "Tickets that died or expired unanswered and are still kept",
    "queue_oldest_seconds": "Age of the oldest unanswered ticket that waits for no budget",
    "review_open": "Refused requests that wait for a person",
    "review_overdue": "Those that wait beyond their time",
    "review_rate": "Share of the requests of five minutes that went to review",
    "review_unsure_share": "Share of these whose task was not sure enough",
    "retries_left": "Extra calls that the retry budget allows now",
    "shadows": "Shadows that run",
    "shadow_waiting": "Decisions that the shadows have still to decide beside",
    "mirrors_under_way": "Requests whose calls are being mirrored or judged",
    "judging_spent_usd": "What judges have cost today (UTC), shadows' own left out",
    "judging_under_way": "Served answers that are being judged, or wait for it",
    "propensity_decisions": "Decisions whose propensities the audit has held against the draws",
    "propensity_log_evidence": "Logarithm of the evidence that they do not match; alarm at 6.9",
    "ensembles_off": "Ensembles that are switched off for a task",
    "prediction_fitted": "1 while a fit of the prediction is believed and used",
    "prediction_skipping": "1 while checks of likely answers are skipped",
    "prediction_bad_upper_share": "Upper bound of the bad among the answers whose check is skipped",
    "prediction_net_usd": "What prediction brought in 30 days, less its cost; 0: not known",
    "propensity_alarm": "1 while an alarm of the propensities is not acknowledged",
}
# Counted elsewhere since the start, and shown here: the text, and the label where there is one.
TOTALS = {
    "batch_requests": ("Requests of batches, by their result", ["result"]),
    "cache_requests": ("Requests with a cache in their way, and what came of it", ["result"]),
    "cache_ended": ("Kept answers that are no longer kept, by why", ["reason"]),
    "cache_saved_usd": ("What answers given again had cost: an estimate of what was saved", []),
    "cache_dropped": ("Kept answers that are in memory alone for want of room on disk", []),
    "log_records": ("Records made durable", ["table"]),
    "log_dropped": ("Records dropped for want of room", []),
    "log_refused": ("Records that could not be stored and were left out", []),
    "learner_updates": ("Updates that the policy has been told, ever", []),
    "learner_dropped": ("Outcomes not learned for want of room", []),
    "learner_passed_over": ("Updates of deployments or models that are gone", []),
    "plan_reloads": ("Plans taken while the service ran", []),
    "retries_spent": ("Extra calls", []),
    "retries_refused": ("Extra calls that the retry budget did not allow", []),
    "hedges": ("Hedges", []),
    "predictions": ("Requests of which something was foreseen", []),
    "shadow_dropped": ("Decisions that no shadow had room for", []),
    "ensemble_requests": ("Requests that an ensemble is for, by how they were answered", ["arm"]),
    "judgings": ("Served answers drawn to be judged, and what came of them", ["result"]),
    "spans_exported": ("Spans that the collector of traces took", []),
    "spans_dropped": ("Spans that were let go: no room, or no collector", []),
}
_Labels = tuple[str, ...]


class Declared(NamedTuple):
    """What is known of a metric before anything is counted."""

    name: str  # as a query names it, without the suffixes of a histogram
    kind: str
    labels: _Labels
    text: str


def declared() -> Iterator[Declared]:
    """Every metric of ours."""
    for table, kind, suffix in (
        (COUNTERS, "counter", "_total"), (TOTALS, "counter", "_total"), (LABELLED, "gauge", ""),
    ):  # fmt: skip
        for name, (text, labels) in table.items():
            yield Declared(f"headgate_{name}{suffix}", kind, tuple(labels), text)
    for name, (text, labels, _) in HISTOGRAMS.items():
        yield Declared(f"headgate_{name}", "histogram", tuple(labels), text)
    for name, text in GAUGES.items():
        yield Declared(f"headgate_{name}", "gauge", (), text)


class _Times:
    """A histogram's series: how many fell into each bucket, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Each upper bound with how many lie at or below it."""
        found, total = [], 0
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class Telemetry:
    """The counters of one service: plain numbers, written and read on the event loop's thread,
    put into the library's form when somebody looks.
    """

    def __init__(self) -> None:
        self._counts: dict[str, dict[_Labels, float]] = {name: {} for name in COUNTERS}
        self._totals: dict[str, dict[_Labels, float]] = {
            name: {} if labels else {(): 0.0} for name, (_, labels) in TOTALS.items()
        }
        self._labelled: dict[str, dict[_Labels, float]] = {name: {} for name in LABELLED}
        self._gauges = dict.fromkeys(GAUGES, 0.0)
        self._times: dict[str, dict[_Labels, _Times]] = {name: {} for name in HISTOGRAMS}
        self._overhead = self._timed("overhead_seconds")
        self._whole = self._timed("request_seconds")
        self._process = ProcessCollector(registry=None)

    # counting ---------------------------------------------------------------------------------

    def _count(self, name: str, labels: _Labels, amount: float = 1.0) -> None:
        counts = self._counts[name]
        counts[labels] = counts.get(labels, 0.0) + amount

    def _timed(self, name: str, labels: _Labels = ()) -> _Times:
        found = self._times[name].get(labels)
        if found is None:
            found = self._times[name][labels] = _Times(HISTOGRAMS[name][2])
        return found

    def decision(self, policy: str, mode: str) -> None:
        """A decision was made."""
        self._count("decisions", (policy, mode))

    def attempt(
        self, deployment: str, kind: str | None, cost_usd: float, ttft_s: float | None
    ) -> None:
        """A call has ended."""
        if kind is not None:
            self._count("attempt_errors", (deployment, kind))
        if cost_usd:
            self._count("cost_usd", (deployment,), cost_usd)
        if ttft_s is not None:
            self._timed("ttft_seconds", (deployment,)).observe(ttft_s)

    def call(self, deployment: str, role: str, latency_s: float, tokens: tuple[int, int]) -> None:
        """The same call: why it was made, how long it took, its tokens in and out."""
        self._count("attempts", (deployment, role))
        if role != "batch":  # nobody waited for it
            self._timed("attempt_seconds", (deployment,)).observe(latency_s)
        self._count("tokens", (deployment, "input"), tokens[0])
        self._count("tokens", (deployment, "output"), tokens[1])

    def request(
        self, deployment: str, provider: str, status: int, mode: str, overhead_s: float
    ) -> None:
        """A request has ended."""
        self._count("requests", (deployment, provider, str(status), mode))
        if mode != "batch":
            self._overhead.observe(overhead_s)

    def took(self, latency_s: float, mode: str = "") -> None:
        """The same request: how long it took from its decision."""
        if mode != "batch":
            self._whole.observe(latency_s)

    def incident(self, deployment: str, kind: str, number: int) -> None:
        """Something odd of an upstream that spoiled no answer."""
        self._count(INCIDENTS[kind], (deployment,), number)

    def feedback(self, metric: str) -> None:
        """A rating was taken."""
        self._count("feedback", (metric,))

    def weighed(self, reason: str) -> None:
        """A rating that might teach was weighed; ``reason``: why it does not count, or nothing."""
        self._count("ratings_weighed", (reason or "counts",))

    def relearned(self, result: str) -> None:
        """The classifier was fitted with people's labels, or went back."""
        self._count("relearned", (result,))

    def refusal(self, deployment: str) -> None:
        """A deployment's content policy refused a request."""
        self._count("refusals", (deployment,))

    def refused(self, reason: str, times: int = 1) -> None:
        """Somebody was refused by a limit on the way in; ``reason`` is of a closed set."""
        self._count("refused", (reason,), times)

    # standing ---------------------------------------------------------------------------------

    def notified(self, channel: str, result: str) -> None:
        """A channel was told something, or not; ``result`` is of a closed set."""
        self._count("notifications", (channel, result))

    def firing(self, rule: str, alerts: int) -> None:
        """How many alerts of a rule last."""
        self._labelled["alerts_firing"][(rule,)] = alerts

    def review(self, kind: str, how: str) -> None:
        """An item of review was opened, passed over, decided or defaulted."""
        self._count("review_items", (kind, how))

    def reviews(self, kind: str, waiting: int, late: int) -> None:
        """How many items of a kind wait for a person, and how many beyond their time."""
        self._labelled["review_waiting"][(kind,)] = waiting
        self._labelled["review_late"][(kind,)] = late

    def weight(self, task: str, deployment: str, share: float) -> None:
        """A weight as it now stands."""
        self._labelled["weight"][task, deployment] = share

    def state(self, deployment: str, state: str) -> None:
        """The state that a deployment is in."""
        for each in STATES:
            self._labelled["arm_state"][deployment, each] = float(each == state)

    def health(self, deployment: str, breaker: str, in_flight: int, limit: int) -> None:
        """What a deployment's breaker says, and how many calls it has in work."""
        for each in BREAKER_STATES:
            self._labelled["breaker_state"][deployment, each] = float(each == breaker)
        self._labelled["in_flight"][deployment,] = in_flight
        self._labelled["in_flight_limit"][deployment,] = limit

    def forget_arms(self) -> None:
        """Drop the gauges of deployments and tasks; those of the plan in force come anew."""
        for name in OF_ARMS:
            self._labelled[name].clear()

    def standing(self, name: str, values: Mapping[str, float]) -> None:
        """A gauge with one label, all of its values at once; others than these are gone."""
        self._labelled[name] = {(label,): value for label, value in values.items()}

    def gauge(self, name: str, value: float) -> None:
        """One of the plain gauges."""
        if name not in self._gauges:
            raise KeyError(name)
        self._gauges[name] = value

    def total(self, name: str, value: float, label: str | None = None) -> None:
        """What somebody else has counted since the start."""
        self._totals[name][() if label is None else (label,)] = value

    # looking ----------------------------------------------------------------------------------

    def collect(self) -> Iterable[Metric]:
        """All of it, in the library's form."""
        for table, held in ((COUNTERS, self._counts), (TOTALS, self._totals)):
            for name, (text, labels) in table.items():
                counter = CounterMetricFamily(f"headgate_{name}", text, labels=labels)
                for values, number in held[name].items():
                    counter.add_metric(values, number)
                yield counter
        for name, (text, labels) in LABELLED.items():
            gauge = GaugeMetricFamily(f"headgate_{name}", text, labels=labels)
            for values, number in self._labelled[name].items():
                gauge.add_metric(values, number)
            yield gauge
        for name, (text, labels, _) in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(f"headgate_{name}", text, labels=labels)
            for values, times in self._times[name].items():
                histogram.add_metric(values, times.buckets(), times.sum)
            yield histogram
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(f"headgate_{name}", text, value=self._gauges[name])

    def taken(self) -> Callable[[], bytes]:
        """All of it as it stands now, and what writes it as text, which may be done in a thread."""
        registry = CollectorRegistry()
        registry.register(_Taken(list(self.collect())))
        registry.register(self._process)
        return partial(generate_latest, registry)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return self.taken()()


class _Taken(Collector):
    """What was collected a moment ago."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
