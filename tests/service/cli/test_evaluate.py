"""`headgate evaluate` on what a real service logged and published."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from tests.conftest import KEY, Server, make_runtime, plan_text
from tests.service.cli.test_commands import run

pytestmark = pytest.mark.slow

AUTH = {"Authorization": f"Bearer {KEY}"}
ASKED, PINNED = 143, 11


@pytest.fixture(scope="module")
def state(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory that a service left behind, its history published at its stop."""
    path = tmp_path_factory.mktemp("state")
    runtime = make_runtime(path, plan_text(providers.url))
    with Server(create_app(runtime)) as server, httpx.Client(base_url=server.url) as client:
        for number in range(ASKED):
            model = "brook" if number % 13 == 0 else "auto"
            body = {"model": model, "messages": [{"role": "user", "content": f"Kite {number}?"}]}
            answer = client.post("/v1/chat/completions", json=body, headers=AUTH).json()
            if number % 8:
                rating = {"id": answer["id"], "value": number % 5 / 4}
                client.post("/v1/feedback", json=rating, headers=AUTH)
    return path


def test_the_live_version_is_as_it_was(state: Path) -> None:
    code, text, _ = run("history", "--state", str(state), "--json", "--sql",
                        "SELECT id FROM versions")  # fmt: skip
    (version,) = json.loads(text)
    code, text, err = run("evaluate", version["id"][:13], "--since", "1h", "--state", str(state),
                          "--json")  # fmt: skip
    report = json.loads(text)
    assert code == 0 and report["passed"], (report, err)
    assert report["decisions"] == ASKED and report["used"] == ASKED - PINNED
    assert report["left_out"] == {"named by the caller": PINNED}
    success = report["metrics"]["success_rate"]
    assert success["ess"] == ASKED - PINNED and success["difference"]["high"] == 0.0
    code, text, _ = run("evaluate", version["id"], "--state", str(state))
    assert code == 0 and "passes: it is not shown to be worse" in text
    assert f"{PINNED} named by the caller" in text and "certified" in text


def test_a_kind_with_its_parameters(state: Path) -> None:
    code, text, _ = run("evaluate", "fixed", "--set", "arm=brook", "--set", "floor=0.05",
                        "--state", str(state), "--json")  # fmt: skip
    report = json.loads(text)
    assert report["kind"] == "fixed" and report["version_id"] == "" and code in (0, 1)
    assert code == (0 if report["passed"] else 1)
    code, text, _ = run("evaluate", "uniform", "--since", "1h", "--until", "30m", "--state",
                        str(state))  # fmt: skip
    assert code == 1 and "no decision was logged and published in that time" in text


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("nothing",), 2, "no version begins with 'nothing', and no kind is called so"),
        (("fixed", "--set", "arm"), 2, "--set takes name=value"),
        (("fixed", "--set", "arm=nobody"), 2, "unknown arm 'nobody'"),
        (("fixed", "--set", "wings=2"), 2, "unknown parameter 'wings'"),
        (("0", "--set", "floor=0.1"), 2, "--set goes with a kind"),
        (("uniform", "--since", "soon"), 2, "--since takes a time such as"),
        (("uniform", "--since", "1h", "--until", "2h"), 2, "--since must be before --until"),
        (("uniform", "--since", "2026-01-01", "--until", "2025-01-01"), 2, "must be before"),
    ],
)
def test_misuse_is_told(state: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    found = run("evaluate", *arguments, "--state", str(state))
    assert found[0] == code and told in found[2].replace("\n", " "), found


def test_without_a_history_that_is_said(tmp_path: Path) -> None:
    code, _, err = run("evaluate", "uniform", "--state", str(tmp_path))
    assert code == 1 and "no published history" in err
