"""However many callers there are and whatever they send, the series are those of the plan."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from experiments.states import State
from learning.policies.base import STATES
from service.bootstrap.gauges import OVERRIDES
from service.domain.records import ErrorKind, Mode, Role
from service.domain.reviews import Kind
from service.monitoring.load import REASONS
from service.monitoring.rules import ALERT_RULES
from service.storage.tables import NAMES
from service.telemetry import BREAKER_STATES
from tests.conftest import KEY, Service

pytestmark = pytest.mark.slow
HOSTILE = 2_000


def hostile(number: int) -> tuple[str, dict[str, str], dict[str, object]]:
    """A path, headers and a body in which everything that a caller may choose is new."""
    chance = random.Random(number)
    word = f"hostile-{number}-" + "".join(chance.choices('"\\\n{}=,é☃', k=4))
    headers = {"Authorization": f"Bearer {KEY}", "x-session-id": f"hostile-{number}"}
    if number % 4 == 0:
        body = {"id": word, "metric": word, "value": 1.0}
        return "/v1/feedback", headers, body
    if number % 40 == 1:
        return f"/v1/hostile-{number}", {"Authorization": f"Bearer hostile-{number}"}, {}
    model = f"hostile-{number}" if number % 4 == 1 else "auto"
    labels = {"tenant": word, "feature": word, "session": word, "tags": [word], "type": word}
    return "/v1/chat/completions", headers, {
        "model": model, "user": word, "metadata": labels, "max_tokens": 4,
        "messages": [{"role": "user", "content": word}],
    }  # fmt: skip


def series(service: Service) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    text = httpx.get(service.url + "/metrics").text
    assert "hostile" not in text
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def settled(service: Service) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """The series once the clock has put the gauges in their places."""
    deadline = time.monotonic() + 30.0
    while "headgate_weight" not in {name for name, _ in series(service)}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return series(service)


def test_thousands_of_hostile_callers_make_no_series(service: Service) -> None:
    runtime = service.runtime
    names = {each.name for each in runtime.catalog} | {"none"}
    allowed = {
        "deployment": names,
        "provider": {each.provider for each in runtime.catalog} | {"none"},
        "task": set(runtime.plan.task_names),
        "policy": {runtime.plan.policy.name},
        "metric": set(runtime.plan.feedback.metrics),
        "mode": set(map(str, Mode)), "role": set(map(str, Role)),
        "kind": {*map(str, ErrorKind), *map(str, Kind)},
        "reason": set(REASONS), "table": set(NAMES),
        "direction": {"input", "output"}, "action": set(OVERRIDES),
        "rule": set(ALERT_RULES), "how": {"opened", "passed_over", "decided", "defaulted"},
        "channel": {each.name for each in runtime.plan.alerts.channels},
        "result": {"drawn", "scored", "inconsistent", "unreadable", "rated"},
        "state": {*STATES, *BREAKER_STATES, *map(str, State)},
        "job": {each.name for each in runtime.scheduler.jobs},
        "status": {"200", "400", "429", "499", "502", "503"},
    }  # fmt: skip
    with httpx.Client(base_url=service.url, timeout=30.0) as client:

        def send(number: int) -> int:
            path, headers, body = hostile(number)
            return client.post(path, headers=headers, json=body).status_code

        with ThreadPoolExecutor(8) as pool:
            first = set(pool.map(send, range(200)))
            before = settled(service)
            then = set(pool.map(send, range(200, 200 + HOSTILE)))
    assert 200 in first and first <= {200, 400, 401, 404, 422, 503} and 200 in then
    after = series(service)
    for name, labels in after:
        if name.startswith("headgate_"):
            for label, value in labels:
                assert label == "le" or value in allowed[label], f"{name} {label}={value}"
    # What came with them are at most other errors of the same deployments.
    assert len(after - before) <= 3 * len(names)
