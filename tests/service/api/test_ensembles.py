"""Ensembles live: OpenAI's SDK asks for one, ratings settle it, and everybody is told why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from typer.testing import CliRunner

from service.app import create_app
from service.bootstrap.ensembles import look_at_ensembles
from service.cli.main import app
from service.orchestration.ensembles.standing import LEAST_COSTS
from service.providers.simulated import Simulated, Stream
from service.simulate import SimulatedProviders
from service.storage.ensembles import read_ensembled
from tests.conftest import KEY, Server, Service, make_runtime, plan_text

pytestmark = pytest.mark.slow

AUTH = {"Authorization": f"Bearer {KEY}"}
SECTION = """
ensembles:
  - {name: votes, members: [brook, mill, river], outputs: 3, within: 1.0, by: vote, answers: number,
     gain: 0.5, belief: 1000, share: 0.3, routed: 0.1, after: 50}
"""


class Counting(Stream):
    """Who is named answers with a number: brook is wrong."""

    def answer(self, model: str, prompt: str, tokens_in: int) -> Simulated:
        said = {"brook": "It is 41.", "mill": "It is 42.", "river": "42"}.get(model, "42")
        return Simulated(200, 0.005, tokens_in, 8, 0.9, said)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Server(SimulatedProviders(Counting(seed=3)).app()) as providers:
        calm = {"deadline_s: 75": "deadline_s: 75\n  most_lag_s: 60"}
        text = plan_text(providers.url, **calm) + SECTION
        runtime = make_runtime(tmp_path_factory.mktemp("state"), text)
        with Server(create_app(runtime)) as server:
            yield Service(runtime, server)


@pytest.fixture(scope="module")
def client(served: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=served.url + "/v1", api_key=KEY, max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, at: int = 0) -> Any:
    return client.chat.completions.with_raw_response.create(
        model="auto:ensemble", messages=[{"role": "user", "content": f"Six times seven? ({at})"}]
    )


def until(client: openai.OpenAI, mode: str = "ensemble", calls: int = 3) -> Any:
    """An answer of that many calls; the lot gives one soon."""
    for at in range(60):
        found = ask(client, at)
        if found.headers["x-headgate-attempts"] == str(calls):
            assert found.headers["x-headgate-mode"] == mode
            return found
    raise AssertionError("none of 60 lots fell so")


def why(served: Service, decision_id: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(
        f"{served.url}/v1/decisions/{decision_id}", headers=AUTH
    ).json()
    return found


def test_the_sdk_asks_for_an_ensemble_and_is_told_how_it_was_made(
    served: Service, client: openai.OpenAI
) -> None:
    assert "auto:ensemble" in {each.id for each in client.models.list().data}
    found = until(client)
    assert "42" in str(found.parse().choices[0].message.content)
    identity = found.headers["x-headgate-decision-id"]
    told = why(served, identity)
    made = told["ensemble"]
    assert [each["role"] for each in told["attempts"]] == ["ensemble"] * 3
    assert [each["vote"] for each in made["outputs"]] == ["A", "B", "B"]
    assert made["arm"] == "ensemble" and made["probability"] == pytest.approx(0.6)
    assert made["cost_usd"] == pytest.approx(told["outcome"]["cost_usd"]) and made["multiplier"] > 1
    assert "B has 67% of the votes" in made["why"]
    served.runtime.kept.log.flush().result(10)
    row = read_ensembled(served.runtime.kept.database.cursor(), identity)
    assert row == served.runtime.ensembles.rows.pop(identity)
    assert why(served, identity)["ensemble"] == made, "from the log as from memory"
    shown = CliRunner().invoke(
        app, ["why", identity, "--url", served.url], env={"HEADGATE_KEY": KEY}
    )
    assert "ensemble votes: ensemble with probability 0.6" in shown.output
    assert "42" not in made["why"], "a rationale has no word of an answer"


def test_a_stream_is_the_whole_answer_retold(client: openai.OpenAI) -> None:
    for at in range(3):
        with client.chat.completions.create(
            model="auto:ensemble", stream=True, stream_options={"include_usage": True},
            messages=[{"role": "user", "content": f"Six times seven? (s{at})"}],
        ) as stream:  # fmt: skip
            events = list(stream)
        words = "".join(e.choices[0].delta.content or "" for e in events if e.choices)
        assert words in ("It is 42.", "42", "It is 41.") and events[-1].usage is not None


def test_an_ensemble_that_does_not_win_is_switched_off_and_says_so(
    served: Service, client: openai.OpenAI
) -> None:
    """Everything is rated alike, so it does not win with confidence after the stated number."""
    for at in range(200):
        answer = ask(client, at).parse()
        body = {"id": answer.id, "metric": "rating", "value": 1}
        httpx.post(f"{served.url}/v1/feedback", json=body, headers=AUTH).raise_for_status()
        if at > 70:
            break
    served.runtime.kept.log.flush().result(10)
    asyncio.run(look_at_ensembles(served.runtime))
    (told,) = httpx.get(f"{served.url}/admin/ensembles", headers=AUTH).json()["ensembles"]
    assert told["state"] == "off" and "did not win with confidence after 50" in told["why"]
    ensemble, single = told["arms"]["ensemble"], told["arms"]["single"]
    if single["answers"] < LEAST_COSTS:
        assert told["multiplier"] is None
    else:  # the single is whom the policy believes best, who may cost more than three cheap ones
        assert told["multiplier"] == pytest.approx(ensemble["usd"] / single["usd"])
    assert ensemble["usd"] > 0.0 and ensemble["rated"] + single["rated"] == told["rated"]
    assert told["arms"]["ensemble"]["answers"] > told["arms"]["single"]["answers"] > 0
    status = httpx.get(f"{served.url}/admin/status", headers=AUTH).json()
    assert any(each.startswith("the ensemble votes is off") for each in status["warnings"])
    found = ask(client)
    assert found.headers["x-headgate-attempts"] == "1"
    made = why(served, found.headers["x-headgate-decision-id"])["ensemble"]
    assert made["arm"] == "aside" and made["why"].startswith("switched off: it did not win")
    assert why(served, found.headers["x-headgate-decision-id"])["outcome"]["mode"] == "randomised"


def test_it_is_shown_and_resumed_by_command(served: Service, client: openai.OpenAI) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(
            app, ["ensemble", *arguments, "--url", served.url], env={"HEADGATE_KEY": KEY}
        )

    task = next(each.task for each in served.runtime.ensembles.standings.all())
    stopped = run("stop", "votes", "--task", task, "--reason", "to see that it stops")
    assert stopped.exit_code == 0 and "votes" in stopped.output
    shown = run("show")
    assert shown.exit_code == 0 and f"votes for {task}: off" in shown.output
    resumed = run("resume", "votes", "--task", task, "--reason", "the members are others now",
                  "--json")  # fmt: skip
    assert json.loads(resumed.output)["ensembles"][0]["state"] == "trying"
    assert json.loads(resumed.output)["ensembles"][0]["episode"] == 2
    assert run("stop", "none", "--task", task, "--reason", "there is none of it").exit_code == 2
    until(client)


def test_ratings_of_its_answers_teach_the_policy_nothing(
    served: Service, client: openai.OpenAI
) -> None:
    answer = until(client).parse()
    body = {"id": answer.id, "metric": "rating", "value": 1}
    taken = httpx.post(f"{served.url}/v1/feedback", json=body, headers=AUTH).json()
    assert taken["applied"] is False
