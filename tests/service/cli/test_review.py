"""`headgate review`: list, show, decide, and misuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.service.cli.test_commands import run
from tests.service.faults.refusing import error, refusal, staged
from tests.upstream import Upstream, answer_json, http, say

pytestmark = pytest.mark.slow


def test_a_review_by_hand(tmp_path: Path) -> None:
    with Upstream() as upstream, staged(tmp_path, upstream) as stage:
        url = ("--url", stage.url)
        code, out, _ = run("review", "list", *url)
        assert code == 0 and "no open reviews" in out
        upstream.act = error()
        refusal(stage.ask(headgate={"tier": "premium"}))
        code, out, _ = run("review", "list", *url, "--json")
        (one,) = json.loads(out)["reviews"]
        code, out, _ = run("review", "list", *url)
        assert code == 0 and one["id"] in out and "240 min" in out and "premium" in out
        code, out, _ = run("status", *url)
        assert code == 0 and "1 refused requests wait for review" in out
        code, out, _ = run("review", "show", one["id"], *url)
        assert code == 0 and f"incident: {one['incident']}" in out
        decide = ("review", "decide", one["id"], "allow", *url, "--reviewer", "ann")
        code, _, err = run(*decide, "--note", "short")
        assert code == 2 and "at least 10" in err
        code, out, _ = run(*decide, "--note", "a harmless lesson")
        assert code == 0 and "allow by ann" in out and "a harmless lesson" in out
        code, _, err = run(*decide, "--note", "a harmless lesson")
        assert code == 1 and "decided already" in err
        code, out, _ = run("review", "list", "--state", "decided", *url)
        assert code == 0 and one["id"] in out and "allow" in out
        code, _, err = run("review", "list", "--state", "lost", *url)
        assert code == 2 and "state" in err
        code, _, err = run("review", "show", "nothing", *url)
        assert code == 2 and "no review of that id" in err


TASKS = """tasks:
  - {name: nearly, when: 'type == "nearly"', confidence: 0.5}
  - {name: sure, when: 'type == "sure"'}
review: {classification: {audit: 1}}
"""


def test_a_classification_by_hand(tmp_path: Path) -> None:
    with Upstream() as upstream, staged(tmp_path, upstream, TASKS) as stage:
        url = ("--url", stage.url)
        upstream.act = say(http(200, answer_json()))
        for kind in ("nearly", "sure"):
            assert stage.ask(metadata={"type": kind}).status_code == 200
        code, out, _ = run("status", *url)
        assert code == 0 and "2 of classification wait for review" in out
        code, out, _ = run("review", "list", "--kind", "classification", *url, "--json")
        one, two = (row["id"] for row in json.loads(out)["reviews"])
        code, out, _ = run("review", "list", "--limit", "1", *url)
        assert code == 0 and one in out and two not in out and "--offset 1" in out
        code, out, _ = run("review", "claim", one, *url)
        assert code == 0 and "claimed by" in out
        code, out, _ = run("review", "list", "--mine", *url)
        assert code == 0 and one in out and two not in out
        code, _, err = run("review", "claim", one, *url, "--reviewer", "somebody else")
        assert code == 1 and "works on this review" in err
        code, out, _ = run("review", "release", one, *url)
        assert code == 0 and "state: open" in out
        code, out, _ = run("review", "show", one, *url)
        assert code == 0 and "task_probabilities: {'nearly': 0.5}" in out
        note = ("--note", "it is surely the other")
        for each, verdict in ((one, "sure"), (two, "sure")):
            code, out, _ = run("review", "decide", each, verdict, *note, *url)
            assert code == 0 and f"{verdict} by" in out
        code, out, _ = run("review", "quality", *url)
        assert code == 0 and "0 of 1, at most 95.00%" in out and "nearly" in out
        code, out, _ = run("review", "stats", *url)
        assert code == 0 and "0 wait" in out and "50%" in out
