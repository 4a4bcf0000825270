"""`headgate batch`, `headgate cost batches` where a provider offers batches; embeddings in one; a
plan that ends, begins and changes the section.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from typer.testing import CliRunner

from service.app import create_app
from service.cli.main import app
from tests.conftest import KEY, Server, Service, make_runtime
from tests.service.batching.away import PLAN, provider

pytestmark = pytest.mark.slow

AUTH = {"authorization": f"Bearer {KEY}"}
VECTORS = """  - {name: compass, provider: p, base_url: "URL/v1", model: compass,
     modality: embedding, price: {input_usd_per_mtok: 1}}
policy:"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service against a provider that offers batches, with a deployment of embeddings."""
    state = tmp_path_factory.mktemp("batch-cli")
    with provider() as (made, url):
        made.calm()
        text = PLAN.format(url=url, usd=100, offer="").replace("poll_s: 30", "poll_s: 0.2")
        text = text.replace("policy:", VECTORS.replace("URL", url), 1)
        runtime = make_runtime(state, text)
        with Server(create_app(runtime)) as server:
            yield Service(runtime, server)


def cli(served: Service, *arguments: str, code: int = 0) -> str:
    environment = {"HEADGATE_KEY": KEY, "HEADGATE_URL": served.url}
    done = CliRunner().invoke(app, list(arguments), env=environment)
    assert done.exit_code == code, done.output
    return done.output


def client(served: Service) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY, max_retries=0)


def begun(ai: openai.OpenAI, endpoint: Any, bodies: list[dict[str, Any]], window: Any) -> Any:
    lines = [{"custom_id": f"n-{n}", "method": "POST", "url": endpoint, "body": each}
             for n, each in enumerate(bodies)]  # fmt: skip
    content = b"\n".join(json.dumps(each).encode() for each in lines)
    file = ai.files.create(file=("in.jsonl", content), purpose="batch")
    return ai.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window=window)


def ended(ai: openai.OpenAI, batch: Any) -> Any:
    until = time.monotonic() + 60
    while (found := ai.batches.retrieve(batch.id)).status in ("in_progress", "cancelling"):
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return found


def chats(count: int) -> list[dict[str, Any]]:
    return [{"model": "auto", "messages": [{"role": "user", "content": f"say {n}"}],
             "max_tokens": 20} for n in range(count)]  # fmt: skip


def test_a_batch_at_the_providers_price_by_sdk_and_its_savings_on_the_command_line(
    served: Service,
) -> None:
    ai = client(served)
    batch = begun(ai, "/v1/chat/completions", chats(6), "24h")
    done = ended(ai, batch)
    assert done.status == "completed" and done.request_counts.completed == 6
    told = [json.loads(each) for each in ai.files.content(done.output_file_id).text.splitlines()]
    assert {each["headgate"]["mode"] for each in told} == {"batch"}
    assert all(each["response"]["body"]["choices"] for each in told)
    assert batch.id in cli(served, "batch", "list")
    shown = json.loads(cli(served, "batch", "show", batch.id, "--json"))
    assert shown["request_counts"]["completed"] == 6
    served.runtime.kept.log.flush().result(10)
    saved = json.loads(cli(served, "cost", "batches", "--json"))
    row = next(each for each in saved["rows"] if each["batch_id"] == batch.id)
    assert row["provider"] == 6 and row["saved_micro_usd"] > 0
    assert abs(row["list_micro_usd"] - 2 * row["paid_micro_usd"]) <= 6  # rounded once a call
    words = cli(served, "cost", "batches")
    assert batch.id in words and "saved, 5" in words  # about half of it


def test_a_batch_is_called_off_on_the_command_line(served: Service) -> None:
    ai = client(served)
    batch = begun(ai, "/v1/chat/completions", chats(300), "24h")
    assert batch.id in cli(served, "batch", "cancel", batch.id, "--reason", "the wrong input file")
    assert ended(ai, batch).status == "cancelled"
    assert "cannot be cancelled" in cli(
        served, "batch", "cancel", batch.id, "--reason", "once more it is wrong", code=1
    )
    cli(served, "batch", "show", "batch_none", code=2)


def test_embeddings_are_answered_in_a_batch_by_single_calls(served: Service) -> None:
    ai = client(served)
    bodies = [{"model": "auto", "input": f"words {n}"} for n in range(4)]
    done = ended(ai, begun(ai, "/v1/embeddings", bodies, "24h"))
    assert done.status == "completed" and done.request_counts.completed == 4
    told = [json.loads(each) for each in ai.files.content(done.output_file_id).text.splitlines()]
    assert [each["custom_id"] for each in told] == [f"n-{n}" for n in range(4)]
    assert all(len(each["response"]["body"]["data"][0]["embedding"]) > 8 for each in told)
    assert {each["headgate"]["deployment"] for each in told} == {"compass"}
    assert all(each["headgate"]["cost_usd"] > 0 for each in told)


def reloaded(served: Service, change: tuple[str, str]) -> None:
    path: Path = served.runtime.kept.state_dir / "plan.yaml"
    text = path.read_text("utf-8")
    assert change[0] in text
    path.write_text(text.replace(*change), "utf-8")
    answer = httpx.post(served.url + "/admin/plan/reload", headers=AUTH,
                        json={"reason": "test", "author": "tester"})  # fmt: skip
    assert answer.status_code == 200, answer.text


def test_a_reload_ends_begins_and_changes_the_section(served: Service) -> None:
    ai = client(served)
    section = "batches: {longest_s: 172800, most_at_once: 8, most_per_key: 8, first_guess_s: 5}\n"
    offer = "batch: {window_s: 3600, cancel_s: 300, poll_s: 0.2}"
    reloaded(served, (section, section.replace("}", ", most_requests: 2}")))
    few = begun(ai, "/v1/chat/completions", chats(3), "24h")
    assert few.status == "failed" and "at most 2 requests" in few.errors.data[0].message
    reloaded(served, (", most_requests: 2}", ', windows: ["00:00-00:01 UTC"]}'))
    waits = begun(ai, "/v1/chat/completions", chats(2), "24h")
    reloaded(served, (f",\n     {offer}", ""))
    reloaded(served, (section.replace("}", ', windows: ["00:00-00:01 UTC"]}'), ""))
    with pytest.raises(openai.BadRequestError, match="not offered here"):
        ai.batches.retrieve(waits.id)
    assert "no section batches" in cli(served, "batch", "list")
    path = served.runtime.kept.state_dir / "plan.yaml"
    path.write_text(path.read_text("utf-8") + section, "utf-8")
    reloaded(served, (section, section))
    done = ended(ai, waits)
    assert done.status == "completed" and done.request_counts.completed == 2
