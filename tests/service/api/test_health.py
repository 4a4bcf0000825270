"""Alive, ready, and counted; labels come from configuration alone."""

from __future__ import annotations

import httpx

from tests.conftest import KEY, Service


def test_alive_and_ready(service: Service) -> None:
    assert httpx.get(service.url + "/health/live").json() == {"status": "live"}
    found = httpx.get(service.url + "/health/ready")
    assert found.status_code == 200 and found.json() == {"status": "ready", "because": []}


def test_not_ready_says_why(service: Service) -> None:
    service.runtime.kept.log.healthy = False
    try:
        found = httpx.get(service.url + "/health/ready")
        assert found.status_code == 503 and "storage" in found.json()["because"][0]
    finally:
        service.runtime.kept.log.healthy = True


def test_metrics(service: Service) -> None:
    canary = "canary-4711"
    httpx.post(service.url + "/v1/chat/completions", headers={"Authorization": f"Bearer {KEY}"},
               json={"model": "auto", "user": canary, "metadata": {"tenant": canary},
                     "messages": [{"role": "user", "content": canary}]})  # fmt: skip
    text = httpx.get(service.url + "/metrics").text
    for name in ("headgate_requests_total", "headgate_overhead_seconds_bucket",
                 "headgate_cost_usd_total", "headgate_decisions_total",
                 "headgate_storage_healthy"):  # fmt: skip
        assert name in text
    assert canary not in text and KEY not in text
