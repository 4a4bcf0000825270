"""Counters for operators, in Prometheus text; label values come from configuration alone."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from learning.policies.base import STATES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OVERHEAD = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0)


class Telemetry:
    """The counters of one service; labelled children are kept, since a look-up costs more."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        names = ["deployment", "provider", "status", "mode"]
        self._requests = Counter(
            "headgate_requests", "Requests answered", names, registry=self.registry
        )
        self._cost = Counter(
            "headgate_cost_usd", "Spend in US dollars", ["deployment"], registry=self.registry
        )
        self._decisions = Counter(
            "headgate_decisions", "Decisions made", ["policy", "mode"], registry=self.registry
        )
        self._attempt_errors = Counter(
            "headgate_attempt_errors", "Failed calls", ["deployment", "kind"],
            registry=self.registry,
        )  # fmt: skip
        self._feedback = Counter(
            "headgate_feedback", "Ratings taken", ["metric"], registry=self.registry
        )
        self._overhead = Histogram(
            "headgate_overhead_seconds", "Time added by the gateway", buckets=_OVERHEAD,
            registry=self.registry,
        )  # fmt: skip
        self._ttft = Histogram(
            "headgate_ttft_seconds", "Time to first token", ["deployment"], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self._weight = Gauge(
            "headgate_weight", "Share of a task that a deployment gets", ["task", "deployment"],
            registry=self.registry,
        )  # fmt: skip
        self._state = Gauge(
            "headgate_arm_state", "1 for the state that a deployment is in, 0 for the others",
            ["deployment", "state"], registry=self.registry,
        )  # fmt: skip
        self._gauges = {
            name: Gauge(f"headgate_{name}", text, registry=self.registry)
            for name, text in (
                ("log_queued", "Records that wait to be written"),
                ("learner_waiting", "Rewards that wait to be learned from"),
                ("storage_healthy", "1 while the log can be written"),
                ("log_dropped", "Records dropped for want of room, since the start"),
                ("learner_dropped", "Outcomes not learned for want of room, since the start"),
            )
        }
        self._request_children: dict[tuple[str, str, int, str], Counter] = {}
        self._decision_children: dict[tuple[str, str], Counter] = {}
        self._cost_children: dict[str, Counter] = {}
        self._ttft_children: dict[str, Histogram] = {}

    def decision(self, policy: str, mode: str) -> None:
        """A decision was made."""
        child = self._decision_children.get((policy, mode))
        if child is None:
            child = self._decisions.labels(policy, mode)
            self._decision_children[policy, mode] = child
        child.inc()

    def attempt(
        self, deployment: str, kind: str | None, cost_usd: float, ttft_s: float | None
    ) -> None:
        """A call has ended."""
        if kind is not None:
            self._attempt_errors.labels(deployment, kind).inc()
        if cost_usd:
            child = self._cost_children.get(deployment)
            if child is None:
                child = self._cost_children[deployment] = self._cost.labels(deployment)
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
            child = self._requests.labels(deployment, provider, str(status), mode)
            self._request_children[labels] = child
        child.inc()
        self._overhead.observe(overhead_s)

    def feedback(self, metric: str) -> None:
        """A rating was taken."""
        self._feedback.labels(metric).inc()

    def weight(self, task: str, deployment: str, share: float) -> None:
        """A weight as it now stands."""
        self._weight.labels(task, deployment).set(share)

    def state(self, deployment: str, state: str) -> None:
        """The state that a deployment is in."""
        for each in STATES:
            self._state.labels(deployment, each).set(float(each == state))

    def forget_arms(self) -> None:
        """Drop the gauges of deployments and tasks; those of the plan in force come anew."""
        self._weight.clear()
        self._state.clear()

    def gauge(self, name: str, value: float) -> None:
        """One of the plain gauges."""
        self._gauges[name].set(value)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)
