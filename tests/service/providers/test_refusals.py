"""What is a refusal and what is an answer, whole, as an error and on a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.domain.records import ErrorKind
from service.providers.base import Chunk, ProviderFailure, Tokens
from service.providers.refusals import WORDS, Unrefused, answer_word, error_word, filtered


@pytest.mark.parametrize(
    ("error", "word"),
    [
        ({"code": "content_policy_violation"}, "content_policy_violation"),
        ({"code": None, "type": "content_filter"}, "content_filter"),
        ({"code": "moderation_blocked", "type": "x"}, "moderation_blocked"),
        ({"code": "invalid_prompt"}, "invalid_prompt"),
        ({"code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
         "ResponsibleAIPolicyViolation"),
        ({"code": "invalid_value", "innererror": "content_filter"}, ""),
        ({"code": ["content_filter"], "type": {"content_filter": 1}}, ""),
        ({"message": "content_filter"}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_errors(error: dict[str, Any], word: str) -> None:
    assert error_word(error) == word and (not word or word in WORDS)


@pytest.mark.parametrize(
    ("message", "reason", "word"),
    [
        ({"content": None, "refusal": "no"}, "stop", "refusal"),
        ({"refusal": "no"}, "stop", "refusal"),
        ({"content": "", "refusal": "no", "tool_calls": [], "audio": None}, "stop", "refusal"),
        ({"content": []}, "content_filter", "content_filter"),
        ({"content": None}, "content_filter: OTHER", "content_filter"),
        ({"content": None}, "SAFETY", "content_filter"),
        ({"content": None, "refusal": None}, "stop", ""),
        ({"content": None, "refusal": ""}, "stop", ""),
        ({"content": "half"}, "content_filter", ""),
        ({"content": "so", "refusal": "no"}, "stop", ""),
        ({"content": None, "refusal": "no", "tool_calls": [{"id": "1"}]}, "stop", ""),
        ({"content": None, "refusal": "no", "audio": {"id": "1"}}, "stop", ""),
        ({"content": 'they wrote "refusal" here'}, "stop", ""),
        ({"content": None, "refusal": 5}, "stop", ""),
        ({"content": None}, None, ""),
        ({"content": None}, "length", ""),
    ],
)
def test_whole_answers(message: dict[str, Any], reason: str | None, word: str) -> None:
    refusing = json.dumps(message).encode()
    assert answer_word([(refusing, reason)]) == word
    assert answer_word([(refusing, reason), (b'{"content":"fine"}', "stop")]) == ""
    assert answer_word([(b'{"content":"fine"}', "stop"), (refusing, reason)]) == ""
    assert answer_word([(refusing, reason), (refusing, reason)]) == word


def test_no_choice_and_no_message() -> None:
    assert answer_word([]) == "" and answer_word([(b"null", "content_filter")]) == ""
    assert answer_word([(b"[1]", "content_filter")]) == ""
    assert not filtered(None) and not filtered("content_filtering")


def chunk(text: str = "", refusal: str = "", **more: Any) -> Chunk:
    characters = len(text) + (5 if refusal == "refusal" else 0)
    has_content = bool(characters or refusal)
    return Chunk(text.encode(), characters, more.get("tokens"), has_content,
                 done=more.get("done", False), refusal=refusal)  # fmt: skip


NO, HEAD, END = chunk(refusal="refusal"), chunk(), chunk(done=True)
BILLED = chunk(tokens=Tokens(3, 4))


class Given:
    """A stream of given parts."""

    def __init__(self, *parts: Chunk | Exception | float) -> None:
        self._parts, self.closed = parts, 0

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        for part in self._parts:
            if isinstance(part, Exception):
                raise part
            if isinstance(part, float):
                await asyncio.sleep(part)
            else:
                yield part

    async def close(self) -> None:
        self.closed += 1


async def read(*parts: Chunk | Exception | float) -> list[Chunk]:
    return [each async for each in Unrefused(Given(*parts))]


@pytest.mark.parametrize(
    "parts",
    [
        (HEAD, END),
        (HEAD, chunk("a"), NO, chunk("b"), END),
        (HEAD, NO, NO, chunk("a"), NO, END),
        (chunk("a"), chunk(refusal="content_filter"), END),
        (),
    ],
)
async def test_what_is_not_all_refusal_passes_as_it_came(parts: tuple[Chunk, ...]) -> None:
    assert await read(*parts) == list(parts)


@pytest.mark.parametrize(
    ("parts", "tokens"),
    [
        ((HEAD, NO, NO, BILLED, END), Tokens(3, 4)),
        ((NO,), None),
        ((HEAD, NO, BILLED, ProviderFailure(ErrorKind.CUT)), Tokens(3, 4)),
        ((chunk(refusal="refusal", tokens=Tokens(3, 4), done=True),), Tokens(3, 4)),
    ],
)
async def test_a_refusal_fails_with_what_it_used(
    parts: tuple[Chunk | Exception, ...], tokens: Tokens | None
) -> None:
    passed = []
    with pytest.raises(ProviderFailure) as caught:
        async for each in Unrefused(Given(*parts)):
            passed.append(each)
    failure = caught.value
    assert (failure.kind, failure.status, failure.code) == (ErrorKind.POLICY, 200, "refusal")
    assert failure.tokens == tokens and all(not each.data for each in passed)


async def test_a_failure_before_any_refusal_is_itself() -> None:
    with pytest.raises(ProviderFailure) as caught:
        await read(HEAD, ProviderFailure(ErrorKind.CUT))
    assert caught.value.kind is ErrorKind.CUT


async def test_the_attempts_time_does_not_make_a_timeout_of_it() -> None:
    with pytest.raises(ProviderFailure) as caught:
        async with asyncio.timeout(0.05):
            await read(NO, 20.0, END)
    assert caught.value.kind is ErrorKind.POLICY
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_it_does_not_read_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.providers.refusals.READ_ON_S", 0.05)
    with pytest.raises(ProviderFailure) as caught:
        await read(NO, 20.0, END)
    assert caught.value.kind is ErrorKind.POLICY
    monkeypatch.setattr("service.providers.refusals.MAX_HELD", 3)
    with pytest.raises(ProviderFailure):
        await read(NO, NO, NO, chunk("too late"), END)


async def test_it_closes_what_it_stands_on() -> None:
    given = Given()
    await Unrefused(given).close()
    assert given.closed == 1
