"""`headgate override`: every action by hand, readable, as JSON, with exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import Service
from tests.service.cli.test_commands import AUTH, run

WHY = ("--reason", "the test wants it so", "--author", "ann")


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def clean(service: Service) -> Iterator[None]:
    yield
    for each in httpx.get(service.url + "/admin/overrides", headers=AUTH).json()["overrides"]:
        body = {"reason": "the test is over", "author": "ann"}
        httpx.post(f"{service.url}/admin/overrides/{each['id']}/lift", headers=AUTH, json=body)


def override(service: Service, *arguments: str) -> tuple[int, str, str]:
    return run("override", *arguments, "--url", service.url)


def test_set_list_show_renew_and_lift(service: Service) -> None:
    code, out, _ = override(service, "set", "bounds", "mill", "--greatest", "20%", "--tenant",
                            "acme", "--for", "2h", "--ticket", "OPS-7", *WHY)  # fmt: skip
    assert code == 0 and "bounds mill to 0% - 20% for tenant acme until" in out
    name = out.split("id ")[1].strip()
    code, out, _ = override(service, "list")
    assert code == 0 and "mill 0% to 20%" in out and "tenant acme" in out
    code, out, _ = override(service, "renew", name[:23], "--for", "30m", *WHY)
    assert code == 0
    new = out.split("id ")[1].strip()
    code, out, _ = override(service, "show", new)
    assert f"goes on with {name}" in out and "ticket OPS-7" in out and "in force, 0:2" in out
    code, out, _ = override(service, "show", name)
    assert "renewed at" in out and "by ann: the test wants it so" in out
    code, out, _ = override(service, "list", "--all", "--json")
    ends = {each["id"]: each["how"] for each in json.loads(out)["overrides"]}
    assert ends[name] == "renewed" and ends[new] is None
    assert override(service, "lift", new, *WHY) == (0, f"{new} lifted\n", "")
    assert "lifted" in override(service, "list", "--all")[1]
    assert "no overrides in force" in override(service, "list")[1]


def test_what_is_misused_ends_with_two(service: Service) -> None:
    for arguments in (("set", "bless", "mill"), ("set", "exclude", "nobody"), ("set", "bounds"),
                      ("set", "bounds", "mill", "--least", "150%"), ("set", "kill"),
                      ("set", "force", "mill", "--for", "soon"),
                      ("set", "pin", "--version", "nothing")):  # fmt: skip
        assert override(service, *arguments, *WHY)[0] == 2, arguments
    assert override(service, "set", "exclude", "mill", "--if-match", "old", *WHY)[0] == 1
    assert override(service, "show", "nothing")[0] == 2


def test_why_and_status_say_which_override_acted_and_how(service: Service) -> None:
    override(service, "set", "bounds", "mill", "--least", "0.9", *WHY)
    body = {"model": "auto", "messages": [{"role": "user", "content": "Describe a kite."}]}
    answer = httpx.post(service.url + "/v1/chat/completions", json=body, headers=AUTH)
    assert answer.headers["x-headgate-reason"] == "bounded_by_operator"
    code, out, _ = run("why", answer.json()["id"], "--url", service.url)
    assert code == 0 and "(bounds mill to 90% - 100%, by ann: the test wants it so)" in out
    assert "moved the probabilities into its bounds before the draw" in out
    code, out, _ = run("status", "--url", service.url)
    assert code == 0 and "mill 90% to 100%" in out


def test_a_dry_run_in_words_and_its_tag(service: Service) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Describe a kite."}]}
    for _ in range(5):
        httpx.post(service.url + "/v1/chat/completions", json=body, headers=AUTH)
    code, out, _ = override(service, "set", "exclude", "mill", "--dry-run", "--hours", "1", *WHY)
    assert code == 0 and "exclude mill: of " in out and "nothing was laid" in out
    assert "predicted" in out and "cost_per_request" in out
    tag = out.strip().split(" ")[-1]
    code, out, _ = override(service, "set", "exclude", "mill", "--if-match", tag, *WHY)
    assert code == 0 and "exclude mill everywhere until" in out
