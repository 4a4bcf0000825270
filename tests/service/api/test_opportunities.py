"""What could be saved over HTTP: who sees what, and refusals."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from service.storage.history import Publisher
from tests.conftest import KEY, Service
from tests.service.api.test_auth import make_key
from tests.service.api.test_budgets import ask, bearer

pytestmark = pytest.mark.slow


def test_over_http(service: Service) -> None:
    url, auth = service.url + "/admin/costs/opportunities", bearer(KEY)
    for tenant in ("acme", "umbrella"):
        assert ask(service, make_key(service, "caller", tenant)).status_code == 200
    log = service.runtime.kept.log
    log.flush().result(20)
    state_dir = Path(service.runtime.kept.state_dir)
    Publisher(service.runtime.kept.database, state_dir).publish(log.last_seq)
    asked = {"change": ["cache:*", "tier:other=fall"]}
    acme = bearer(make_key(service, "analyst", "acme"))
    mine = httpx.get(url, params=asked, headers=acme, timeout=60.0).json()
    assert mine["tenant"] == "acme" and mine["requests"] == 1 and len(mine["single"]) == 2
    assert mine["joint"]["after_micro_usd"] == mine["joint"]["before_micro_usd"] > 0
    for change, said in (("shrink:code", "is no change"), ("tier:code", "a task and a deployment")):
        refused = httpx.get(url, params={"change": change}, headers=auth)
        assert refused.status_code == 422 and said in refused.text
    assert httpx.get(url, headers=bearer(make_key(service, "caller", "acme"))).status_code == 403
