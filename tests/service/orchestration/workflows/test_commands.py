"""`headgate workflow` against a running service: run, looked at again, replayed, called off."""

from __future__ import annotations

import json

import httpx
import pytest
from typer.testing import CliRunner

from service.cli import output
from service.cli.main import app
from tests.conftest import KEY, Service

pytestmark = pytest.mark.slow
AUTH = {"Authorization": f"Bearer {KEY}"}


def headgate(service: Service, *arguments: str) -> tuple[int, str, str]:
    output.out.width = output.err.width = 200
    found = CliRunner().invoke(
        app, ["workflow", *arguments, "--url", service.url], env={"HEADGATE_KEY": KEY}
    )
    return found.exit_code, found.stdout, found.stderr


def test_a_run_from_its_estimate_to_its_replay(service: Service) -> None:
    for command, told in (
        (("list",), "best-of-n"), (("show", "best-of-n"), "calls: 1 to 22"),
        (("estimate", "best-of-n", "--example"), "answers"),
    ):  # fmt: skip
        code, out, err = headgate(service, *command)
        assert code == 0 and told in out, (command, out, err)
    code, out, err = headgate(service, "run", "translate-back-check", "--example", "--json")
    run = json.loads(out)
    assert code == 0 and run["status"] == "done" and run["outputs"]["translation"], err
    code, out, _ = headgate(service, "runs", run["id"])
    assert code == 0 and "there" in out and "translation:" in out
    code, out, _ = headgate(service, "runs", "--workflow", "translate-back-check", "--json")
    assert code == 0 and run["id"] in {each["id"] for each in json.loads(out)["data"]}
    code, out, err = headgate(service, "replay", run["id"])
    assert code == 0 and "the same steps gave the same outputs" in out, err


def test_what_fails_is_shown_with_its_steps_and_ends_with_one(service: Service) -> None:
    rows = 'rows=[{"a": 1}]'  # the column is not in it
    code, out, _ = headgate(service, "run", "data-to-report", "-i", rows, "-i", "column=b")
    assert code == 1 and "data-to-report" in out and "failed" in out
    code, _, err = headgate(service, "run", "data-to-report")
    assert code == 2 and "rows" in err
    assert headgate(service, "show", "nothing-such")[0] == 2


def test_a_run_is_begun_and_called_off(service: Service) -> None:
    code, out, _ = headgate(service, "run", "draft-refine-check", "--example", "--detach", "--json")
    identity = json.loads(out)["id"]
    code, out, _ = headgate(service, "cancel", identity, "--json")
    assert code == 0 and json.loads(out)["status"] in ("cancelled", "done")
    url = f"{service.url}/v1/workflows/runs/{identity}"
    assert httpx.get(url, headers=AUTH).json()["status"] == json.loads(out)["status"]
