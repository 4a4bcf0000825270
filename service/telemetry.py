"""Counters for operators, in Prometheus text; label values come from configuration alone."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from learning.policies.base import STATES

BREAKER_STATES = ("closed", "open", "half_open", "cooling")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OVERHEAD = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0)
COUNTERS = {
    "requests": ("Requests answered", ["deployment", "provider", "status", "mode"]),
    "cost_usd": ("Spend in US dollars", ["deployment"]),
    "decisions": ("Decisions made", ["policy", "mode"]),
    "attempt_errors": ("Failed calls", ["deployment", "kind"]),
    "feedback": ("Ratings taken", ["metric"]),
    "refusals": ("Requests that a content policy refused", ["deployment"]),
    "refused": ("Refused by the gateway itself", ["reason"]),
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
LABELLED = {
    "weight": ("Share of a task that a deployment gets", ["task", "deployment"]),
    "arm_state": ("1 for the state that it is in", ["deployment", "state"]),
    "breaker_state": ("1 for the state that its breaker is in", ["deployment", "state"]),
    "in_flight": ("Calls in work", ["deployment"]),
    "in_flight_limit": ("Calls that may be in work", ["deployment"]),
    "review_waiting": ("Items that wait for a person", ["kind"]),
    "review_late": ("Those that wait beyond their time", ["kind"]),
}
GAUGES = {
    "log_queued": "Records that wait to be written",
    "learner_waiting": "Rewards that wait to be learned from",
    "storage_healthy": "1 while the log can be written",
    "log_dropped": "Records dropped for want of room, since the start",
    "learner_dropped": "Outcomes not learned for want of room, since the start",
    "connections_open": "Connections of callers that are open",
    "under_way": "Requests in work",
    "held_bytes": "Bytes of request bodies that are held",
    "loop_lag_seconds": "How late the event loop last was",
    "loop_lag_average_seconds": "How late it was on average over a second",
    "loop_lag_greatest_seconds": "How late it was at most since the start",
    "queue_waiting": "Tickets that wait for a deployment",
    "queue_running": "Tickets that are being tried",
    "queue_dead": "Tickets that died or expired unanswered and are still kept",
    "queue_oldest_seconds": "Age of the oldest unanswered ticket",
    "review_open": "Refused requests that wait for a person",
    "review_overdue": "Those that wait beyond their time",
    "review_rate": "Share of the requests of five minutes that went to review",
    "review_unsure_share": "Share of these whose task was not sure enough",
    "retries_left": "Extra calls that the retry budget allows now",
    "retries_spent": "Extra calls since the start",
    "retries_refused": "Extra calls that the retry budget did not allow",
    "hedges": "Hedges since the start",
    "shadow_waiting": "Decisions that the shadows have still to decide beside",
    "shadow_dropped": "Decisions that no shadow had room for, since the start",
    "mirrors_under_way": "Requests whose calls are being mirrored or judged",
    "propensity_decisions": "Decisions whose propensities the audit has held against the draws",
    "propensity_log_evidence": "Logarithm of the evidence that they do not match; alarm at 6.9",
    "propensity_alarm": "1 while an alarm of the propensities is not acknowledged",
}


class Telemetry:
    """The counters of one service; labelled children are kept, since a look-up costs more."""

    def __init__(self) -> None:
        self.registry = to = CollectorRegistry()
        self._counters = {
            name: Counter(f"headgate_{name}", text, labels, registry=to)
            for name, (text, labels) in COUNTERS.items()
        }
        self._labelled = {
            name: Gauge(f"headgate_{name}", text, labels, registry=to)
            for name, (text, labels) in LABELLED.items()
        }
        self._overhead = Histogram(
            "headgate_overhead_seconds", "Time added by the gateway", buckets=_OVERHEAD, registry=to
        )
        self._ttft = Histogram(
            "headgate_ttft_seconds",
            "Time to first token",
            ["deployment"],
            buckets=_SECONDS,
            registry=to,
        )
        self._gauges = {
            name: Gauge(f"headgate_{name}", text, registry=self.registry)
            for name, text in GAUGES.items()
        }
        self._request_children: dict[tuple[str, str, int, str], Counter] = {}
        self._decision_children: dict[tuple[str, str], Counter] = {}
        self._review_children: dict[tuple[str, str], Counter] = {}
        self._cost_children: dict[str, Counter] = {}
        self._ttft_children: dict[str, Histogram] = {}

    def decision(self, policy: str, mode: str) -> None:
        """A decision was made."""
        child = self._decision_children.get((policy, mode))
        if child is None:
            child = self._counters["decisions"].labels(policy, mode)
            self._decision_children[policy, mode] = child
        child.inc()

    def attempt(
        self, deployment: str, kind: str | None, cost_usd: float, ttft_s: float | None
    ) -> None:
        """A call has ended."""
        if kind is not None:
            self._counters["attempt_errors"].labels(deployment, kind).inc()
        if cost_usd:
            child = self._cost_children.get(deployment)
            if child is None:
                child = self._cost_children[deployment] = self._counters["cost_usd"].labels(
                    deployment
                )
            child.inc(cost_usd)
        if ttft_s is not None:
            timed = self._ttft_children.get(deployment)
            if timed is None:
                timed = self._ttft_children[deployment] = self._ttft.labels(deployment)
            timed.observe(ttft_s)

    def request(
        self, deployment: str, provider: str, status: int, mode: str, overhead_s: float
    ) -> None:
        """A request has ended."""
        labels = deployment, provider, status, mode
        child = self._request_children.get(labels)
        if child is None:
            child = self._counters["requests"].labels(deployment, provider, str(status), mode)
            self._request_children[labels] = child
        child.inc()
        self._overhead.observe(overhead_s)

    def incident(self, deployment: str, kind: str, number: int) -> None:
        """Something odd of an upstream that spoiled no answer."""
        self._counters[INCIDENTS[kind]].labels(deployment).inc(number)

    def feedback(self, metric: str) -> None:
        """A rating was taken."""
        self._counters["feedback"].labels(metric).inc()

    def refusal(self, deployment: str) -> None:
        """A deployment's content policy refused a request."""
        self._counters["refusals"].labels(deployment).inc()

    def refused(self, reason: str, times: int = 1) -> None:
        """Somebody was refused by a limit on the way in; ``reason`` is of a closed set."""
        self._counters["refused"].labels(reason).inc(times)

    def review(self, kind: str, how: str) -> None:
        """An item of review was opened, passed over, decided or defaulted."""
        child = self._review_children.get((kind, how))
        if child is None:
            child = self._counters["review_items"].labels(kind, how)
            self._review_children[kind, how] = child
        child.inc()

    def reviews(self, kind: str, waiting: int, late: int) -> None:
        """How many items of a kind wait for a person, and how many beyond their time."""
        self._labelled["review_waiting"].labels(kind).set(waiting)
        self._labelled["review_late"].labels(kind).set(late)

    def weight(self, task: str, deployment: str, share: float) -> None:
        """A weight as it now stands."""
        self._labelled["weight"].labels(task, deployment).set(share)

    def state(self, deployment: str, state: str) -> None:
        """The state that a deployment is in."""
        for each in STATES:
            self._labelled["arm_state"].labels(deployment, each).set(float(each == state))

    def health(self, deployment: str, breaker: str, in_flight: int, limit: int) -> None:
        """What a deployment's breaker says, and how many calls it has in work."""
        for each in BREAKER_STATES:
            self._labelled["breaker_state"].labels(deployment, each).set(float(each == breaker))
        self._labelled["in_flight"].labels(deployment).set(in_flight)
        self._labelled["in_flight_limit"].labels(deployment).set(limit)

    def forget_arms(self) -> None:
        """Drop the gauges of deployments and tasks; those of the plan in force come anew."""
        for each in self._labelled.values():
            each.clear()

    def gauge(self, name: str, value: float) -> None:
        """One of the plain gauges."""
        self._gauges[name].set(value)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)
