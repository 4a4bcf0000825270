"""A provider's batches as they are asked for: bounded, found by a mark, nothing taken on trust."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from service.domain.catalog import Deployment, Price
from service.domain.records import ErrorKind
from service.providers import batch_api
from service.providers.base import ProviderFailure
from service.providers.batch_api import BatchAPI, input_line, lines_of
from tests.service.batching.away import provider


@pytest.fixture
async def api() -> AsyncIterator[BatchAPI]:
    made = BatchAPI()
    yield made
    await made.close()


def target(url: str) -> Deployment:
    return Deployment("mill", "openai", f"{url}/v1", "mill", (Price(1, 1),))


async def test_one_is_found_by_its_mark_however_many_come_after_it(
    api: BatchAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_api, "PAGE", 2)
    with provider() as (_, url):
        at = target(url)
        body = json.dumps({"model": "mill", "messages": [{"role": "user", "content": "hi"}]})
        line = input_line(1, "/v1/chat/completions", body.encode())
        made = {}
        for mark in ("one", "two", "three", "four", "five"):
            file = await api.upload(at, line, f"{mark}.jsonl")
            made[mark] = await api.create(at, file, "/v1/chat/completions", mark)
        for mark, each in made.items():
            found = await api.find(at, mark)
            assert found is not None and found.id == each.id and found.mark == mark
        assert await api.find(at, "six") is None
        assert (await api.content(at, made["one"].file)) == line
        monkeypatch.setattr(batch_api, "MAX_FILE_BYTES", 10)
        with pytest.raises(ProviderFailure) as long:
            await api.content(at, made["one"].file)
        assert long.value.kind is ErrorKind.MALFORMED
        with pytest.raises(ProviderFailure) as gone:
            await api.look(at, "batch_none")
        assert gone.value.status == 404
        for name in ("../files", "a/b", "", "x?y=1"):
            with pytest.raises(ProviderFailure):
                await api.look(at, name)


async def test_who_is_not_there_is_said_so(api: BatchAPI) -> None:
    with pytest.raises(ProviderFailure) as found:
        await api.look(target("http://127.0.0.1:9"), "batch_1")
    assert found.value.kind is ErrorKind.CONNECTION


def test_lines_that_are_none_of_ours_are_passed_over() -> None:
    lines = [
        {"custom_id": "1", "response": {"status_code": 200, "body": {"a": 1}}, "error": None},
        {"custom_id": "two"}, {"custom_id": "3", "error": {"code": "batch_expired"}},
        {"custom_id": "4", "error": {"code": 7}}, ["no"], {"custom_id": "-5"},
    ]  # fmt: skip
    content = b"\n".join(json.dumps(each).encode() for each in lines) + b"\n{cut"
    found = [(each.number, each.status, each.code) for each in lines_of(content)]
    assert found == [(1, 200, ""), (3, 0, "batch_expired"), (4, 0, "")]
