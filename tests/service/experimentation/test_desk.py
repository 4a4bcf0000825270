"""Experiments made and moved over HTTP: every refusal, every act logged, a restart in between."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.service.experimentation.rig import Site, design_of, site


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("desk") / "state") as found:
        yield found


def refused(here: Site, path: str, status: int, **body: object) -> str:
    return str(here.post(path, status, **body)["error"]["message"])


def test_from_draft_to_shipped(here: Site) -> None:
    name = here.create(slug="story")
    draft = here.get(f"/admin/experiments/{name}")
    assert (draft["state"], draft["exposed"], draft["next_steps"]) == (
        "draft", 0, ["start", "rollback"],
    )  # fmt: skip
    assert all("x-headgate-variant" not in here.ask().headers for _ in range(5))
    assert [here.step(name, s)["exposed"] for s in ("start", *["ramp"] * 5)] == [
        1, 5, 10, 25, 50, 100,
    ]  # fmt: skip
    served = Counter(
        (r.headers["x-headgate-variant"], r.headers["x-headgate-deployment"])
        for r in (here.ask() for _ in range(40))
    )
    assert {d for v, d in served if v == "treated"} == {"mill"}
    assert here.step(name, "pause")["exposed"] == 0
    assert "x-headgate-variant" not in here.ask().headers
    assert here.step(name, "resume")["exposed"] == 100
    here.step(name, "stop")
    shipped = here.step(name, "ship", variant="treated")
    assert (shipped["state"], shipped["shipped"]) == ("shipped", "treated")
    assert {here.ask().headers["x-headgate-deployment"] for _ in range(10)} == {"mill"}
    assert here.step(name, "rollback")["state"] == "rolled back"
    assert len({here.ask().headers["x-headgate-deployment"] for _ in range(30)}) > 1
    steps = here.get(f"/admin/experiments/{name}")["steps"]
    assert [s["step"] for s in steps][-5:] == ["pause", "resume", "stop", "ship", "roll back"]
    assert {s["author"] for s in steps} == {"ann"}
    here.flush()
    rows = here.runtime.kept.database.cursor().execute(
        "SELECT act, count(*) FROM acts WHERE subject = ? GROUP BY act", [name]
    ).fetchall()  # fmt: skip
    assert dict(rows) == {
        "experiment.created": 1, "experiment.start": 1, "experiment.ramp": 5,
        "experiment.pause": 1, "experiment.resume": 1, "experiment.stop": 1,
        "experiment.ship": 1, "experiment.roll_back": 1,
    }  # fmt: skip


def test_every_refusal_says_what_and_how(here: Site) -> None:
    def make(status: int, **design: object) -> str:
        return refused(here, "/admin/experiments", status, design=design_of(**design))

    assert "did you mean deployment" in make(422, settings={"deploymnt": "mill"})
    assert "did you mean mill" in make(422, settings={"deployment": "mil"})
    assert "goals" in make(422, goals=["nothing"])
    assert "shares sum" in make(422, variants=[{"name": "a", "share": 0.5},
                                               {"name": "b", "share": 0.4}])  # fmt: skip
    assert "reverse" in make(422, reverse=True, variants=[
        {"name": "a", "share": 0.5, "settings": {"deployment": "mill"}}, {"name": "b", "share": 0.5}
    ])  # fmt: skip
    assert "colour" in make(422, colour="red")
    assert "share" in refused(here, "/admin/experiments", 422, design=design_of(), share=0)
    name = here.create(slug="refused")
    assert "cannot ramp" in refused(here, f"/admin/experiments/{name}/ramp", 409)
    assert "variant" in refused(here, f"/admin/experiments/{name}/ship", 422)
    assert "only a ship" in refused(here, f"/admin/experiments/{name}/start", 422, variant="a")
    assert "not been started" in here.http.get(f"/admin/experiments/{name}/report").text
    assert here.http.get("/admin/experiments/nothing").status_code == 404
    assert "is draft; end it" in refused(
        here, "/admin/experiments", 409, design=design_of(slug="refused")
    )
    full = refused(here, "/admin/experiments", 409, design=design_of(slug="late"))
    assert "hold 100%" in full
    here.step(name, "start")
    beside = design_of(slug="beside", settings={"deployment": "fall"})
    other = here.post("/admin/experiments", 201, design=beside, layer="side")["id"]
    said = refused(here, f"/admin/experiments/{other}/start", 409)
    assert f"{name} runs and changes deployment" in said and "who decides" in said
    here.step(name, "rollback")
    here.step(other, "start", "rollback")
    again = here.create(slug="refused")
    assert again == "refused@2"
    here.step(again, "start", "rollback")


@pytest.mark.slow
def test_a_restart_goes_on_where_it_stood(tmp_path: Path) -> None:
    with site(tmp_path / "s") as here:
        name = here.create(slug="lasting", unit="session")
        here.step(name, "start", *["ramp"] * 5)
        before = {
            f"s{i}": here.ask(session=f"s{i}").headers["x-headgate-variant"] for i in range(12)
        }
    with site(tmp_path / "s") as here:
        found = here.get(f"/admin/experiments/{name}")
        assert (found["state"], found["exposed"]) == ("running", 100)
        for session, variant in before.items():
            answer = here.ask(session=session)
            assert answer.headers["x-headgate-variant"] == variant
            assert answer.headers["x-headgate-mode"] == "sticky"
        report = here.get(f"/admin/experiments/{name}/report")
        assert report["rows"] >= 12 and report["crossed"] == 0


@pytest.mark.slow
def test_the_holdout_and_a_changed_plan(tmp_path: Path) -> None:
    plan = "\nexperiments: {holdout: 0.05, holdout_on: fall}\n"
    with site(tmp_path / "s", plan) as here:
        answers = [here.ask(session=f"s{i}") for i in range(120)]
        held = [a for a in answers if a.headers.get("x-headgate-experiment") == "holdout"]
        assert {a.headers["x-headgate-deployment"] for a in held} == {"fall"} and held
        assert {a.headers["x-headgate-reason"] for a in held} == {"holdout"}
        path = tmp_path / "s" / "plan.yaml"
        path.write_text(path.read_text().replace("holdout: 0.05, holdout_on: fall", "holdout: 0"))
        here.post("/admin/plan/reload")
        again = [here.ask(session=f"n{i}") for i in range(60)]
        assert all("x-headgate-experiment" not in a.headers for a in again)


@pytest.mark.slow
def test_blocks_of_time_alternate(here: Site) -> None:
    """Two neighbours have each variant once, whatever the session."""
    blocks = {"length_s": 1, "burn_in_s": 0}
    name = here.create(slug="blocks", unit="block", blocks=blocks)
    here.step(name, "start", *["ramp"] * 5)
    seen: dict[str, set[str]] = {}
    until_s = time.monotonic() + 2.2
    while time.monotonic() < until_s:
        answer = here.ask(session="the same")
        found = here.get(f"/v1/decisions/{answer.headers['x-headgate-decision-id']}")
        assert found["experiments"][0]["probability"] == 0.5
        seen.setdefault(answer.headers["x-headgate-variant"], set()).add(found["deployment"])
    assert set(seen) == {"control", "treated"} and seen["treated"] == {"mill"}
    here.step(name, "rollback")


def test_the_example_stands(here: Site) -> None:
    design = yaml.safe_load((ROOT / "examples" / "experiments" / "cheaper.yaml").read_text("utf-8"))
    made = here.post("/admin/experiments", 201, design=design, layer="example")
    assert made["id"] == "cheaper@1" and made["guardrails"] == ["error_rate", "latency_p95"]
