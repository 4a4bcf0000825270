"""Prediction over HTTP and on the command line: foreseen, shown, logged, switched, reloaded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from learning.acceptance import LOGISTIC, AcceptanceModel, Tally, with_scores
from learning.features import Featurizer
from service.app import create_app
from service.bootstrap.prediction import show
from service.cli.main import app
from service.domain.errors import PlanInvalid
from service.feedback.acceptance_refit import Believed
from service.storage.history import connect
from service.storage.predictions import read_prediction
from tests.conftest import KEY, Server, Service, make_runtime, plan_text
from tests.service.routing.foresight import STANDING, odds

pytestmark = pytest.mark.slow

AUTH = {"Authorization": f"Bearer {KEY}"}
SECTION = """
prediction:
  held_out: 0.0
  route: {margin: 0.2}
  skip: {check_usd: 0.002}
"""


@pytest.fixture(scope="module")
def served(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    runtime = make_runtime(tmp_path_factory.mktemp("state"), plan_text(providers.url) + SECTION)
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)


def believe(service: Service) -> None:
    """A fit in which brook is unlikely to do."""
    made = service.runtime.prediction
    assert made is not None
    made.refitter.believed = Believed(_model(service), "m-1", "", None, None, 0)
    made.publish()


def _model(service: Service) -> AcceptanceModel:
    names = tuple(each.name for each in service.runtime.catalog)
    features = with_scores(Featurizer(service.runtime.plan.task_names).names)
    theta = np.zeros((len(names), len(features)))
    theta[:, -1] = [odds(0.2 if name == "brook" else 0.95) for name in names]
    count = np.full(len(names), 500.0)
    return AcceptanceModel(
        names, features, 0.7, theta, LOGISTIC, np.array([[1.0], [0.0]]),
        np.zeros((len(names), 1, len(features))), Tally(names, count, 0.9 * count), 1, STANDING,
    )  # fmt: skip


def ask(service: Service, path: str = "/v1/chat/completions") -> dict[str, Any]:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Describe a kite."}]}
    found: dict[str, Any] = httpx.post(service.url + path, json=body, headers=AUTH).json()
    return found


def standing(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(service.url + "/admin/prediction", headers=AUTH).json()
    return found


def test_before_a_fit_priors_are_told_and_nothing_is_done(served: Service) -> None:
    found = ask(served, "/v1/route")
    told = found["prediction"]
    assert told["state"] == "cold" and told["act"] is None and told["model"] is None
    assert told["acceptable"] == dict.fromkeys(("brook", "mill", "river", "fall"), 0.5)
    assert 0.0 < told["complexity"] < told["difficulty"] < 100.0 and told["ambiguity"] > 0.0
    assert len(found["candidates"]) == 4
    assert standing(served)["state"] == "cold" and standing(served)["on"]


def test_why_shows_what_was_foreseen_from_memory_and_from_the_log(served: Service) -> None:
    believe(served)
    answer = ask(served)
    why = httpx.get(f"{served.url}/v1/decisions/{answer['id']}", headers=AUTH).json()
    told = why["prediction"]
    assert told["acceptable"]["brook"] == pytest.approx(0.2) and told["act"] == "narrowed"
    assert told["taken_out"] == ["brook"] and answer["model"] != "brook"
    left = {d["deployment"]: d["reason"] for d in why["disqualified"]}
    assert left == {"brook": "unlikely_acceptable"}
    served.runtime.kept.log.flush().result(5)
    served.runtime.kept.cases._recent.clear()
    again = httpx.get(f"{served.url}/v1/decisions/{answer['id']}", headers=AUTH).json()
    assert again["prediction"] == told
    row = read_prediction(served.runtime.kept.database.cursor(), why["decision_id"])
    assert row is not None and row.model_id == "m-1" and row.probability == 1.0


def test_the_table_is_published_for_analysts(served: Service) -> None:
    believe(served)
    ask(served)
    served.runtime.kept.log.flush().result(5)
    served.runtime.publish()
    found = connect(served.runtime.kept.state_dir).sql(
        "SELECT count(*), max(len(chances)) FROM predictions WHERE act = 'narrowed'"
    ).fetchall()  # fmt: skip
    assert found[0][0] >= 1 and found[0][1] == 4


def test_it_is_switched_and_the_acts_say_by_whom(served: Service) -> None:
    believe(served)
    url, reason = served.url + "/admin/prediction/switch", "an audit of the judge"
    off = httpx.post(url, headers=AUTH, json={"on": False, "reason": reason, "author": "ann"})
    assert off.json()["state"] == "off" and off.json()["reason"] == reason
    assert "prediction" not in ask(served, "/v1/route")
    status = httpx.get(served.url + "/admin/status", headers=AUTH).json()
    assert f"prediction is off: {reason}" in status["warnings"]
    body = {"on": True, "reason": "the audit is done", "author": "ann"}
    assert httpx.post(url, headers=AUTH, json=body).json()["state"] == "fitted"
    skip = httpx.post(url, headers=AUTH, json=body | {"what": "skipping"}).json()
    assert skip["skipping"]["state"] == "resumed"
    audit = httpx.get(
        served.url + "/admin/audit", headers=AUTH, params={"act": "prediction.switched"}
    )
    assert audit.status_code == 200
    wrong = httpx.post(url, headers=AUTH, json=body | {"what": "everything"})
    assert wrong.status_code == 422


def test_the_command_line_tells_and_switches(served: Service) -> None:
    believe(served)
    runner = CliRunner()
    env = {"HEADGATE_KEY": KEY, "HEADGATE_URL": served.url}

    def run(*words: str) -> Any:
        return runner.invoke(app, words, env=env)

    told = run("prediction", "show")
    assert told.exit_code == 0 and "prediction fitted" in told.stdout, told.output
    assert "checks above 0.9" in told.stdout
    assert '"state": "fitted"' in run("prediction", "show", "--json").stdout
    assert "acceptable with brook 0.20" in run("route", "Describe a kite.").stdout
    assert "prediction fitted" in run("status").stdout
    off = run("prediction", "stop", "--what", "skipping", "--reason", "the judge is under audit")
    assert off.exit_code == 0 and "stopped" in off.stdout
    assert run("prediction", "resume", "--what", "all", "--reason", "a long reason").exit_code == 2
    assert run("prediction", "resume", "--reason", "short").exit_code == 2


def test_the_gauges_say_how_it_stands(served: Service) -> None:
    believe(served)
    made = served.runtime.prediction
    assert made is not None
    show(served.runtime, made)
    text = httpx.get(served.url + "/metrics").text
    assert "headgate_prediction_fitted 1.0" in text and "headgate_predictions_total" in text


def test_a_reload_takes_it_away_and_brings_it_back(served: Service) -> None:
    believe(served)
    path = served.runtime.kept.state_dir / "plan.yaml"
    whole = path.read_text("utf-8")
    body = {"reason": "prediction is tried", "author": "ann"}

    def reload(text: str) -> None:
        path.write_text(text, "utf-8")
        answer = httpx.post(served.url + "/admin/plan/reload", headers=AUTH, json=body)
        assert answer.status_code == 200, answer.text

    reload(whole.replace(SECTION, ""))
    assert standing(served) == {"on": False} and "prediction" not in ask(served, "/v1/route")
    missing = httpx.post(served.url + "/admin/prediction/switch", headers=AUTH,
                         json=body | {"on": True})  # fmt: skip
    assert missing.status_code == 404
    assert "prediction" not in [job.name for job in served.runtime.scheduler.jobs]
    reload(whole)
    assert standing(served)["on"] and "prediction" in ask(served, "/v1/route")
    deadline = time.monotonic() + 20
    while "prediction" not in [job.name for job in served.runtime.scheduler.jobs]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("prediction: {surprise: 1}", "surprise"),
        ("prediction: {acceptable: 0}", "acceptable"),
        ("prediction: {skip: {audit: 0}}", "audit"),
        ("prediction: {route: {margin: 2}}", "margin"),
    ],
)
def test_what_the_plan_cannot_mean_is_refused(tmp_path: Path, section: str, said: str) -> None:
    with pytest.raises(PlanInvalid, match=said):
        make_runtime(tmp_path, plan_text("http://127.0.0.1:1") + "\n" + section)
