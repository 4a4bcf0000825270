"""Batches over HTTP by OpenAI's own client: from the upload to the last line, each its owner's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from service.app import create_app
from service.domain.clock import new_id
from service.storage.batch_savings import SavingsAsked, batch_savings
from tests.conftest import Server, Service, make_runtime, plan_text

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def batches(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that takes batches at every hour."""
    state = tmp_path_factory.mktemp("batches")
    text = plan_text(providers.url) + "\nbatches: {most_at_once: 8, most_per_key: 8, tries: 2}\n"
    runtime = make_runtime(state, text)
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)


def a_key(batches: Service, tenant: str = "", role: str = "caller") -> str:
    made = httpx.post(
        f"{batches.url}/admin/keys", headers={"authorization": f"Bearer {batches.key}"},
        json={"name": f"b-{new_id()}", "role": role, "tenant": tenant, "reason": "test"},
    )  # fmt: skip
    assert made.status_code in (200, 201), made.text
    return str(made.json()["key"])


def client(batches: Service, key: str = "") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{batches.url}/v1", api_key=key or batches.key, max_retries=0)


def line(name: str, text: str = "hello", **more: Any) -> dict[str, Any]:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], "max_tokens": 20}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions",
            "body": body | more}  # fmt: skip


def jsonl(lines: list[Any]) -> bytes:
    return b"\n".join(json.dumps(each).encode() for each in lines)


def uploaded(ai: openai.OpenAI, lines: list[Any]) -> str:
    return ai.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch").id


def begun(ai: openai.OpenAI, lines: list[Any], **more: Any) -> Any:
    return ai.batches.create(
        input_file_id=uploaded(ai, lines), endpoint="/v1/chat/completions",
        completion_window="24h", **more,
    )  # fmt: skip


def ended(ai: openai.OpenAI, batch_id: str) -> Any:
    until = time.monotonic() + 60
    while (found := ai.batches.retrieve(batch_id)).status in ("in_progress", "cancelling"):
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return found


def results(ai: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    return [json.loads(each) for each in ai.files.content(file_id).text.splitlines()]


def admin(batches: Service, method: str, path: str, key: str = "", **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key or batches.key}"}
    return httpx.request(method, f"{batches.url}/admin/batches{path}", headers=headers, **more)


def test_a_batch_brings_one_line_for_each_request(batches: Service) -> None:
    ai = client(batches)
    lines = [line(f"n-{n}", f"say {n}") for n in range(12)]
    lines.append(line("odd", model="no-such-model"))
    batch = begun(
        ai, lines, metadata={"job": "night"}, extra_body={"headgate": {"priority": "high"}}
    )
    assert batch.status in ("in_progress", "completed") and batch.metadata == {"job": "night"}
    done = ended(ai, batch.id)
    assert done.status == "completed" and done.completed_at >= done.created_at
    assert (done.request_counts.total, done.request_counts.completed,
            done.request_counts.failed) == (13, 12, 1)  # fmt: skip
    good, bad = results(ai, done.output_file_id), results(ai, done.error_file_id)
    assert [each["custom_id"] for each in good] == [f"n-{n}" for n in range(12)]
    answer = good[0]["response"]
    assert answer["status_code"] == 200 and answer["body"]["choices"][0]["message"]["content"]
    decision = httpx.get(
        f"{batches.url}/v1/decisions/{answer['request_id']}",
        headers={"authorization": f"Bearer {batches.key}"},
    ).json()
    assert decision["attempts"] and good[0]["headgate"]["deployment"]
    assert [each["custom_id"] for each in bad] == ["odd"]
    assert bad[0]["response"]["status_code"] == 404
    assert bad[0]["response"]["body"]["error"]["code"] == "model_not_found"
    batches.runtime.kept.log.flush().result(10)
    cursor = batches.runtime.kept.database.cursor()
    rows = batch_savings(cursor, SavingsAsked(0, 1 << 52))["rows"]
    mine = next(row for row in rows if row["batch_id"] == batch.id)
    assert (mine["requests"], mine["completed"], mine["failed"], mine["off_peak"]) == (
        13,
        12,
        1,
        13,
    )
    paid = sum(round(each["headgate"]["cost_usd"] * 1e6) for each in good)
    assert mine["paid_micro_usd"] == mine["list_micro_usd"] == paid and mine["saved_micro_usd"] == 0
    shown = admin(batches, "GET", "/savings").json()
    assert mine["paid_micro_usd"] == next(
        row["paid_micro_usd"] for row in shown["rows"] if row["batch_id"] == batch.id
    )


def test_files_are_listed_read_and_erased(batches: Service) -> None:
    ai = client(batches, a_key(batches))
    first, second = uploaded(ai, [line("a")]), uploaded(ai, [line("b")])
    assert [each.id for each in ai.files.list(purpose="batch")] == [second, first]
    assert [each.id for each in ai.files.list(limit=1)] == [second, first]  # page by page
    assert [each.id for each in ai.files.list(limit=1, order="asc")] == [first, second]
    found = ai.files.retrieve(first)
    assert found.filename == "in.jsonl" and found.bytes == len(jsonl([line("a")]))
    assert ai.files.content(first).content == jsonl([line("a")])
    assert ai.files.delete(first).deleted
    with pytest.raises(openai.NotFoundError):
        ai.files.retrieve(first)
    with pytest.raises(openai.BadRequestError, match="purpose must be batch"):
        ai.files.create(file=("x.jsonl", b"{}"), purpose="assistants")


def test_a_file_that_cannot_be_read_says_where(batches: Service) -> None:
    ai = client(batches)
    broken = [line("a"), line("a"), {"custom_id": "c"}, {**line("d"), "url": "/v1/embeddings"},
              line("e", messages="no"), line("f", model="workflow:x")]  # fmt: skip
    failed = begun(ai, broken)
    assert failed.status == "failed" and failed.errors is not None
    told = [(each.line, each.code) for each in failed.errors.data or []]
    assert [number for number, _ in told] == [2, 3, 4, 5, 6]
    assert told[0][1] == "duplicate_custom_id" and told[2][1] == "mismatched_url"
    for more, message in (
        ({"completion_window": "9d"}, "completion_window"), ({"endpoint": "/v1/other"}, "endpoint"),
        ({"input_file_id": "file-none"}, "no file"), ({"endpoint": "/v1/embeddings"}, "serves"),
    ):  # fmt: skip
        wanted: dict[str, Any] = {
            "input_file_id": uploaded(ai, [line("a")]), "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }  # fmt: skip
        with pytest.raises((openai.BadRequestError, openai.NotFoundError), match=message):
            ai.batches.create(**(wanted | more))


def test_another_tenants_files_and_batches_do_not_exist(batches: Service) -> None:
    """S05: neither shown, read, listed, used, called off nor erased."""
    mine, mate, other = (a_key(batches, tenant) for tenant in ("acme", "acme", "umbrella"))
    batch = begun(client(batches, mine), [line("a")])
    output = ended(client(batches, mine), batch.id).output_file_id
    assert output
    for key, alike in ((mate, True), (other, False), (a_key(batches), False)):
        ai = client(batches, key)
        assert (batch.id in [each.id for each in ai.batches.list()]) is alike
        assert (output in [each.id for each in ai.files.list()]) is alike
        if alike:
            assert ai.batches.retrieve(batch.id).id == batch.id and ai.files.content(output).text
            continue
        asks: tuple[Callable[[openai.OpenAI], Any], ...] = (
            lambda ai: ai.batches.retrieve(batch.id), lambda ai: ai.batches.cancel(batch.id),
            lambda ai: ai.files.content(output), lambda ai: ai.files.retrieve(output),
            lambda ai: ai.files.delete(output),
            lambda ai: ai.batches.create(input_file_id=batch.input_file_id, completion_window="24h",
                                      endpoint="/v1/chat/completions"),
        )  # fmt: skip
        for ask in asks:
            with pytest.raises(openai.NotFoundError):
                ask(ai)
        assert ai.files.list(after=output).data == []
    ours, theirs = (a_key(batches, tenant, "operator") for tenant in ("acme", "umbrella"))
    assert admin(batches, "GET", f"/{batch.id}", ours).json()["tenant"] == "acme"
    assert admin(batches, "GET", f"/{batch.id}", theirs).status_code == 404
    body = {"reason": "not mine to end"}
    assert admin(batches, "POST", f"/{batch.id}/cancel", theirs, json=body).status_code == 404
    for path in ("", "/savings"):
        assert batch.id in admin(batches, "GET", path, ours).text
        assert batch.id not in admin(batches, "GET", path, theirs).text


def test_the_same_idempotency_key_makes_one_batch(batches: Service) -> None:
    ai, head = client(batches), {"Idempotency-Key": f"k-{new_id()}"}
    file_id = uploaded(ai, [line("a")])
    wanted: dict[str, Any] = {"input_file_id": file_id, "endpoint": "/v1/chat/completions",
                              "completion_window": "24h", "extra_headers": head}  # fmt: skip
    assert ai.batches.create(**wanted).id == ai.batches.create(**wanted).id
    with pytest.raises(openai.ConflictError):
        ai.batches.create(**(wanted | {"completion_window": "1h"}))


def test_a_batch_is_called_off(batches: Service) -> None:
    ai = client(batches)
    batch = begun(ai, [line(f"n-{n}", "long " * 200) for n in range(400)])
    assert ai.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    done = ended(ai, batch.id)
    assert done.status == "cancelled" and done.cancelling_at and done.cancelled_at
    told = results(ai, done.output_file_id) + results(ai, done.error_file_id)
    assert sorted(each["custom_id"] for each in told) == sorted(f"n-{n}" for n in range(400))
    assert {each["error"]["code"] for each in told if each["error"]} == {"batch_cancelled"}
    with pytest.raises(openai.ConflictError):
        ai.batches.cancel(batch.id)
    body = {"reason": "it has ended anyway"}
    assert admin(batches, "POST", f"/{batch.id}/cancel", json=body).status_code == 409
    assert admin(batches, "GET", "").json()["enabled"]
    until, wanted = time.monotonic() + 60, 'headgate_batch_requests_total{result="cancelled"}'
    while wanted not in httpx.get(f"{batches.url}/metrics").text:
        assert time.monotonic() < until
        time.sleep(0.1)
