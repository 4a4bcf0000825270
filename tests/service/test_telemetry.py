"""Counters count, their text is Prometheus' by its own rules, and the docs tell of each."""

from __future__ import annotations

import re

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from learning.policies.base import STATES
from service.domain.records import ErrorKind, Mode, Role
from service.monitoring.load import REASONS
from service.telemetry import BREAKER_STATES, HISTOGRAMS, Telemetry, declared
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
ROW = re.compile(r"^\| `(headgate_\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$", re.M)


def families(made: Telemetry) -> list[Metric]:
    return list(text_string_to_metric_families(made.text().decode()))


def full() -> Telemetry:
    """One with a series in every metric that has labels."""
    made = Telemetry()
    made.decision("default", "randomised")
    made.attempt("a", "server", 0.25, 0.5)
    made.call("a", "first", 0.7, (10, 20))
    made.request("a", "p", 200, "randomised", 0.001)
    made.took(0.9)
    made.feedback("rating")
    made.weighed("")
    made.relearned("accepted")
    made.refusal("a")
    made.refused("lag")
    made.notified("webhook", "taken")
    made.firing("latency", 1)
    made.review("refusal", "opened")
    made.reviews("refusal", 3, 1)
    for kind in ("malformed_lines", "reconnects", "other_model"):
        made.incident("a", kind, 2)
    made.weight("code", "a", 0.75)
    made.state("a", "steady")
    made.health("a", "closed", 1, 8)
    for name in ("overrides", "experiments", "job_failing", "judge_teaches"):
        made.standing(name, {"one": 1.0})
    made.total("log_records", 5, "decisions")
    made.total("batch_requests", 4, "completed")
    made.total("cache_requests", 4, "hit")
    made.total("cache_ended", 1, "expired")
    made.total("judgings", 2, "scored")
    made.total("ensemble_requests", 3, "single")
    return made


def lint(families: list[Metric]) -> list[str]:
    """What Prometheus' own linter would say of names, helps and units."""
    found = []
    for each in families:
        name = f"{each.name}_total" if each.type == "counter" else each.name
        words = name.removeprefix("headgate_").split("_")
        if not each.documentation:
            found.append(f"{name} has no help")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            found.append(f"{name} is no snake case")
        if each.type != "counter" and (words[-1] in ("total", "count", "sum", "bucket", "info")):
            found.append(f"{name} has a suffix of another type")
        if each.type == "counter" and not all(s.name == name for s in each.samples):
            found.append(f"{name} must end with _total")
        if {"ms", "millis", "milliseconds", "minutes", "hours", "kb", "mb", "s"} & set(words):
            found.append(f"{name} is not in a base unit")
        if {"gauge", "counter", "histogram"} & set(words):
            found.append(f"{name} names its type")
        for sample in each.samples:
            for label in sample.labels:
                if not re.fullmatch(r"[a-z][a-z0-9_]*", label):
                    found.append(f"{name} has the label {label}")
    return found


def test_what_is_counted_is_shown() -> None:
    made = Telemetry()
    made.decision("default", "randomised")
    made.attempt("a", "server", 0.25, None)
    made.attempt("a", None, 0.25, 0.5)
    made.call("a", "first", 0.3, (10, 20))
    made.call("a", "fallback", 99.0, (1, 2))
    made.request("a", "p", 200, "randomised", 0.001)
    made.feedback("rating")
    made.weight("code", "a", 0.75)
    made.gauge("log_queued", 3)
    made.total("hedges", 4)
    made.state("a", "on trial")
    made.state("a", "steady")
    found = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in families(made)
        for s in family.samples
    }
    of_a = ("deployment", "a")
    assert found["headgate_cost_usd_total", (of_a,)] == 0.5
    assert found["headgate_attempt_errors_total", (of_a, ("kind", "server"))] == 1
    assert found["headgate_tokens_total", (of_a, ("direction", "output"))] == 22
    assert found["headgate_attempts_total", (of_a, ("role", "fallback"))] == 1
    states = {
        labels: value for (name, labels), value in found.items() if name == "headgate_arm_state"
    }
    assert len(states) == len(STATES) and sum(states.values()) == 1.0
    assert states[of_a, ("state", "steady")] == 1.0
    assert found["headgate_weight", (of_a, ("task", "code"))] == 0.75
    assert found["headgate_log_queued", ()] == 3 and found["headgate_hedges_total", ()] == 4
    assert found["headgate_overhead_seconds_count", ()] == 1
    times = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "headgate_attempt_seconds_bucket"
    }
    bounds = HISTOGRAMS["attempt_seconds"][2]
    assert len(times) == len(bounds) + 1
    assert (times["0.25"], times["0.5"], times["60.0"], times["+Inf"]) == (0, 1, 1, 2)
    assert found["headgate_attempt_seconds_sum", (of_a,)] == 99.3


def test_a_time_on_a_bound_lies_below_it() -> None:
    made = Telemetry()
    made.took(0.25)
    (whole,) = [each for each in families(made) if each.name == "headgate_request_seconds"]
    counts = {s.labels["le"]: s.value for s in whole.samples if s.name.endswith("_bucket")}
    assert (counts["0.1"], counts["0.25"], counts["+Inf"]) == (0, 1, 1)


def test_the_names_are_as_prometheus_wants_them() -> None:
    shown = families(full())
    assert lint(shown) == []
    assert {each.name for each in shown if each.name.startswith("process_")}
    bad = Metric("headgate_latency_ms_total", "", "gauge")
    assert len(lint([bad])) == 3


def test_every_metric_is_shown_as_it_is_declared() -> None:
    shown = {
        f"{each.name}_total" if each.type == "counter" else each.name: each
        for each in families(full())
    }
    names = [each.name for each in declared()]
    assert len(names) == len(set(names))
    assert set(names) == {name for name in shown if not name.startswith("process_")}
    for each in declared():
        found = shown[each.name]
        labels = {label for s in found.samples for label in s.labels} - {"le"}
        assert (found.type, labels) == (each.kind, set(each.labels)), each.name
        assert found.samples, f"{each.name} has no series"


def test_the_page_tells_of_every_metric() -> None:
    told = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text)
        for name, kind, labels, text in ROW.findall(PAGE)
    }
    assert told == {each.name: (each.kind, each.labels, each.text) for each in declared()}


def test_the_page_tells_of_every_value_of_the_closed_sets() -> None:
    rows = dict(re.findall(r"^\| (`\w+`(?: of `\w+`)?) \| (.+) \|$", PAGE, flags=re.M))
    for label, values in (
        ("`mode`", Mode), ("`role`", Role), ("`kind`", ErrorKind), ("`reason`", REASONS),
        ("`state` of `headgate_breaker_state`", BREAKER_STATES),
    ):  # fmt: skip
        assert re.findall(r"`(\w+)`", rows[label]) == [str(each) for each in values]


def test_what_the_page_asks_is_there() -> None:
    known = {each.name for each in declared()}
    for name in re.findall(r"headgate_\w+", PAGE):
        assert re.sub("_(bucket|sum|count)$", "", name) in known, name


def test_an_unknown_name_is_refused() -> None:
    made = Telemetry()
    with pytest.raises(KeyError):
        made.gauge("log_queue", 1.0)
    with pytest.raises(KeyError):
        made.total("hedge", 1.0)


def test_other_values_of_a_standing_are_gone() -> None:
    made = Telemetry()
    made.standing("overrides", {"force": 1, "exclude": 2})
    made.standing("overrides", {"force": 0})
    made.weight("code", "a", 0.5)
    made.forget_arms()
    shown = {each.name: [(s.labels, s.value) for s in each.samples] for each in families(made)}
    assert shown["headgate_overrides"] == [({"action": "force"}, 0.0)]
    assert shown["headgate_weight"] == []
