"""Answers that were rated elsewhere, over HTTP: learned at once, replayed, kept, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.evidence import Evidence
from service.app import create_app
from service.domain.clock import parse_id
from service.feedback.replay import Verdict, replay
from tests.conftest import Server, make_runtime, plan_text
from tests.service.experimentation.rig import BY, Site, site, until

GOOD, BAD = "mill", "brook"


def rated(prompts: int = 30, word: str = "kite", **more: Any) -> dict[str, Any]:
    """The same prompts answered by a good and a bad deployment."""
    answers = [
        {"deployment": name, "quality": quality, "prompt": f"Describe a {word}, number {at}.",
         "tokens_out": 80}
        for at in range(prompts)
        for name, quality in ((GOOD, 0.9), (BAD, 0.2))
    ]  # fmt: skip
    return {"source": "our evaluation", "answers": answers, **more}


def learned(here: Site) -> None:
    learner = here.runtime.learner
    until(lambda: not learner.waiting)
    until(lambda: here.runtime.live.current.mark.update_seq == learner.seq)


def share(here: Site, name: str) -> float:
    """The share that a deployment would have of a request."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "Describe a kite, please."}]}
    found = here.http.post("/v1/route", json=body).json()["candidates"]
    return float(next(each["propensity"] for each in found if each["deployment"] == name))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("evidence") / "state") as found:
        yield found


def test_it_moves_the_shares_at_once_and_is_replayed(here: Site) -> None:
    before = share(here, GOOD)
    given = rated()
    made = here.post("/admin/evidence", 201, **given)
    assert (made["answers"], made["prompts"]) == (60, 30)
    assert made["deployments"][GOOD] == {"answers": 30, "quality": pytest.approx(0.9)}
    learned(here)
    assert share(here, GOOD) > max(0.5, before) > 10 * share(here, BAD)
    ids = [here.ask().json()["id"] for _ in range(5)]
    here.flush()
    learner = here.runtime.learner
    for each in ids:
        told = replay(
            str(parse_id(each)), learner.parts.versions, here.runtime.kept.database.cursor
        )
        assert told.verdict is Verdict.EQUAL, told
    again = here.post("/admin/evidence", 409, **given | {"answers": given["answers"][::-1]})
    assert again["error"]["code"] == "evidence_taken"
    assert made["evidence_id"] in again["error"]["message"]
    [taken] = here.get("/admin/evidence")["evidence"]
    assert taken["evidence_id"] == made["evidence_id"] and taken["author"] == "ann"
    assert taken["deployments"] == made["deployments"] and taken["source"] == "our evaluation"
    kept = [path.read_bytes() for path in here.runtime.kept.state_dir.glob("quality/*")]
    assert kept and not any(b"Describe a" in each for each in kept)


def test_the_features_are_those_of_a_request(here: Site) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Write python code: def f(x)"}]},
    ]
    answers = [{"deployment": GOOD, "quality": 1, "messages": messages}]
    made = here.post("/admin/evidence", 201, source="one", answers=answers)
    body = {"model": "auto", "messages": messages}
    answer = here.http.post("/v1/chat/completions", json=body)
    case = here.runtime.kept.cases.recent(answer.headers["x-headgate-decision-id"])
    assert case is not None
    models = here.runtime.learner.parts.versions.models
    found = Evidence.thawed(models.thawed(made["evidence_id"]))
    assert np.array_equal(found.contexts, case.decision.features.astype(np.float64)[None])
    assert found.tokens_in.tolist() == [case.decision.tokens_in]
    assert found.features == here.runtime.learner.policy.setup.features


@pytest.mark.parametrize(
    ("body", "param", "told"),
    [
        ({"answers": []}, "answers", "length >= 1"),
        ({"source": " "}, "source", "at least 1"),
        ({"reason": "short"}, "reason", "length >= 10"),
        ({"colour": 1}, "colour", "leave it out"),
        ({"answers": [{"deployment": GOOD, "quality": 1.5, "prompt": "x"}]},
         "answers[0].quality", "<= 1.0"),
        ({"answers": [{"deployment": GOOD, "quality": 0.5}]}, "answers[0].prompt", "either"),
        ({"answers": [{"deployment": GOOD, "quality": 0.5, "prompt": "x", "messages": []}]},
         "answers[0].prompt", "either"),
        ({"answers": [{"deployment": GOOD, "quality": 0.5, "messages": []}]},
         "answers[0].messages", "at least one message"),
        ({"answers": [{"deployment": GOOD, "quality": 0.5, "messages": [{"role": "x"}]}]},
         "answers[0].messages[0].role", "must be one of"),
        ({"answers": [{"deployment": GOOD, "quality": 0.5, "prompt": "x"},
                      {"deployment": "nobody", "quality": 0.5, "prompt": "x"}]},
         "answers[1].deployment", "known: brook"),
    ],
)  # fmt: skip
def test_every_refusal_names_the_field(
    here: Site, body: dict[str, Any], param: str, told: str
) -> None:
    error = here.post("/admin/evidence", 422, **rated(1, "refusal") | body)["error"]
    assert error["param"] == param and told in error["message"], error


def test_a_body_that_is_no_json_is_refused(here: Site) -> None:
    assert here.http.post("/admin/evidence", content=b"{").status_code == 400
    many = {**BY, **rated(2_501, "crowd")}
    assert here.http.post("/admin/evidence", json=many).status_code == 422


def test_nothing_is_taken_while_learning_is_frozen(here: Site) -> None:
    made = here.post("/admin/overrides", 201, action="freeze", deployment=BAD, expires_in_s=600)
    error = here.post("/admin/evidence", 409, **rated(2, "frost"))["error"]
    assert error["code"] == "learning_frozen" and made["id"] in error["message"]
    alone = [each for each in rated(2, "frost")["answers"] if each["deployment"] == GOOD]
    here.post("/admin/evidence", 201, source="others", answers=alone)
    here.post(f"/admin/overrides/{made['id']}/lift")
    until(lambda: not here.runtime.learner.parts.freeze.holding())
    here.post("/admin/evidence", 201, **rated(2, "frost"))


def test_a_kind_without_a_use_for_it_says_so(tmp_path: Path) -> None:
    with site(tmp_path / "state", kind="uniform") as found:
        error = found.post("/admin/evidence", 422, **rated(2))["error"]
        assert error["code"] == "policy_takes_none" and "kind uniform" in error["message"]


def test_a_restart_keeps_it_and_does_not_count_it_twice(tmp_path: Path, providers: Server) -> None:
    state, text = tmp_path / "state", plan_text(providers.url)
    sums = []
    for run in range(2):
        runtime = make_runtime(state, text)
        with Server(create_app(runtime)) as server:
            found = Site(runtime, server.url, None)  # type: ignore[arg-type]
            with found.http:
                found.post("/admin/evidence", 409 if run else 201, **rated())
                learned(found)
                shown = runtime.learner.policy.state()
                sums.append({name: shown.arrays[name] for name in ("gram", "moment", "count")})
                assert share(found, GOOD) > 0.5
    for name, before in sums[0].items():
        assert sums[1][name] == pytest.approx(before, rel=1e-9), name
