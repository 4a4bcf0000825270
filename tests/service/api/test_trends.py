"""The route shows what the board holds; before the first look that is said."""

from __future__ import annotations

import httpx
import pytest

from experiments.trends import find
from tests.conftest import Service
from tests.experiments.days import MONDAY, traffic
from tests.service.cli.test_commands import run

AUTH = "Authorization"


def test_pending_then_what_was_found(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {AUTH: f"Bearer {service.key}"}
    url = service.url + "/admin/trends"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers=headers).json() == {"pending": True, "findings": []}
    code, out, _ = run("trends", "--url", service.url)
    assert code == 0 and "nothing was judged yet" in out

    def dearer(day: int, task: str, deployment: str, f: dict[str, object]) -> None:
        f["prices"] = (1e-5, 2e-5) if day >= 30 else f["prices"]

    found = find(traffic(36, 1, dearer), MONDAY + 35)
    monkeypatch.setattr(service.runtime.trends, "current", found)
    told = httpx.get(url, headers=headers).json()
    assert told["through"] == "2026-05-11" and len(told["findings"]) == len(found.findings) > 0
    warnings = httpx.get(service.url + "/admin/status", headers=headers).json()["warnings"]
    assert any(each.startswith("cost per request of all traffic rose") for each in warnings)
    code, out, _ = run("trends", "--url", service.url)
    assert code == 0 and "SEVERE" in out
