"""`headgate review`: list, show, decide, and misuse."""

from __future__ import annotations

import json
from pathlib import Path

from tests.service.cli.test_commands import run
from tests.service.faults.refusing import error, refusal, staged
from tests.upstream import Upstream


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
