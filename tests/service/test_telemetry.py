"""Counters count, and their text is Prometheus'."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from learning.policies.base import STATES
from service.telemetry import Telemetry


def test_what_is_counted_is_shown() -> None:
    made = Telemetry()
    made.decision("default", "randomised")
    made.attempt("a", "server", 0.25, None)
    made.attempt("a", None, 0.25, 0.5)
    made.request("a", "p", 200, "randomised", 0.001)
    made.feedback("rating")
    made.weight("code", "a", 0.75)
    made.gauge("log_queued", 3)
    made.state("a", "on trial")
    made.state("a", "steady")
    found = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(made.text().decode())
        for s in family.samples
    }
    assert found["headgate_cost_usd_total", (("deployment", "a"),)] == 0.5
    assert found["headgate_attempt_errors_total", (("deployment", "a"), ("kind", "server"))] == 1
    states = {
        labels: value for (name, labels), value in found.items() if name == "headgate_arm_state"
    }
    assert len(states) == len(STATES) and sum(states.values()) == 1.0
    assert states[("deployment", "a"), ("state", "steady")] == 1.0
    assert found["headgate_weight", (("deployment", "a"), ("task", "code"))] == 0.75
    assert (
        found["headgate_log_queued", ()] == 3 and found["headgate_overhead_seconds_count", ()] == 1
    )
