"""What could be saved over HTTP and the command line: who sees what, refusals, a draft."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from service.storage.history import Publisher
from tests.conftest import KEY, Service
from tests.service.api.test_auth import make_key
from tests.service.api.test_budgets import ask, bearer
from tests.service.cli.test_commands import run
from tests.service.storage.made_up import written

pytestmark = pytest.mark.slow
WHOLE = ("--since", "2026-11-05", "--until", "2026-11-26")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("made-up")
    written(folder, 12_000, 14)
    return str(folder)


def test_over_http(service: Service) -> None:
    url, auth = service.url + "/admin/costs/opportunities", bearer(KEY)
    for tenant in ("acme", "umbrella"):
        assert ask(service, make_key(service, "caller", tenant)).status_code == 200
    log = service.runtime.kept.log
    log.flush().result(20)
    state_dir = Path(service.runtime.kept.state_dir)
    Publisher(service.runtime.kept.database, state_dir).publish(log.last_seq)
    asked = {"change": ["cache:*", "tier:other=fall"]}
    found = httpx.get(url, params=asked, headers=auth, timeout=60.0).json()
    assert found["requests"] >= 2 and len(found["single"]) == 2
    assert found["joint"]["after_micro_usd"] == found["joint"]["before_micro_usd"]
    acme = bearer(make_key(service, "analyst", "acme"))
    mine = httpx.get(url, headers=acme, timeout=60.0).json()
    assert mine["tenant"] == "acme" and 0 < mine["requests"] < found["requests"]
    assert mine["opportunities"] == [] and mine["unsaid"]
    for change, said in (("shrink:code", "is no change"), ("tier:code", "a task and a deployment")):
        refused = httpx.get(url, params={"change": change}, headers=auth)
        assert refused.status_code == 422 and said in refused.text
    assert httpx.get(url, headers=bearer(make_key(service, "caller", "acme"))).status_code == 403


def test_on_the_command_line(state: str, tmp_path: Path) -> None:
    code, out, err = run("cost", "opportunities", "--state", state, *WHOLE)
    assert code == 0 and "1. tier:" in out and "try one" in out, err
    code, out, err = run("cost", "opportunities", "--state", state, *WHOLE, "--json")
    rows = json.loads(out)["opportunities"]
    first = next(each for each in rows if each["change"].startswith("tier:"))
    file = tmp_path / "design.json"
    code, out, err = run("cost", "opportunities", "try", str(first["number"]), "--state", state,
                         *WHOLE, "--out", str(file))  # fmt: skip
    assert code == 0 and f"experiment create {file}" in out, err
    assert json.loads(file.read_text("utf-8")) == first["trial"]["design"]
    code, out, err = run("cost", "opportunities", "try", "999", "--state", state, *WHOLE)
    assert code == 2 and "none is number 999" in err
    code, out, err = run("cost", "simulate", "--change", "tier:code=brook", "--change",
                         "cache:* ttl=7d", "--state", state, *WHOLE)  # fmt: skip
    assert code == 0 and "together, in the order" in out and "assumes" in out, err
    code, _, err = run("cost", "simulate", "--change", "tier:code", "--state", state)
    assert code == 2 and "a task and a deployment" in err
    code, _, err = run("cost", "opportunities", "--state", str(tmp_path / "none"))
    assert code == 1 and "no published history" in err


def test_the_design_of_a_tier_is_taken_as_a_draft(service: Service, state: str) -> None:
    """The treatment's requests of the task go to its deployment, those of other tasks do not."""
    code, out, err = run("cost", "opportunities", "--state", state, *WHOLE, "--json")
    assert code == 0, err
    design = next(each["trial"]["design"] for each in json.loads(out)["opportunities"]
                  if each["change"].startswith("tier:code="))  # fmt: skip
    body = {"design": design, "author": "me", "reason": "as the history shows"}
    made = httpx.post(
        service.url + "/admin/experiments", json=body, headers=bearer(KEY), timeout=30.0
    )
    assert made.status_code in (200, 201) and made.json()["state"] == "draft", made.text
