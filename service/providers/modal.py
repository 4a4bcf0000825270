"""Images, speech and embeddings in OpenAI's form: one POST a call, the answers checked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import msgspec

from service.domain.catalog import Deployment
from service.domain.modal_requests import PATHS
from service.domain.modalities import EMBEDDING, IMAGE, SPEECH
from service.domain.records import ErrorKind
from service.providers.answers import MAX_TOKENS, NULL, renamed, unreadable
from service.providers.base import Answer, AnswerStream, Chunk, Names, ProviderFailure, Tokens
from service.providers.calling import OverHTTP, Way
from service.providers.failures import UNREADABLE, failure
from service.providers.transport import MAX_ANSWER_BYTES, MAX_ERROR_BYTES, Reply

_NO_SOUND = ("application/json", "text/")


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Item(msgspec.Struct):
    embedding: msgspec.Raw = NULL
    b64_json: msgspec.Raw = NULL
    url: msgspec.Raw = NULL


class _Made(msgspec.Struct):
    data: list[_Item] | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = NULL


class _Spoken(msgspec.Struct):
    input: str = ""


_made = msgspec.json.Decoder(_Made).decode
_spoken = msgspec.json.Decoder(_Spoken).decode


class _Modal(OverHTTP):
    """What they share."""

    dialect = "openai"
    modality: ClassVar[str]

    def way(self, deployment: Deployment) -> Way:
        url = deployment.base_url + PATHS[self.modality]
        key = ("Authorization", f"Bearer {deployment.api_key}") if deployment.api_key else None
        return Way(deployment, (url, url), key)

    async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
        reply = await self._post(deployment, body, names.traceparent, 0)
        try:
            data = await reply.body()
            reply.release()
        except BaseException:
            reply.close()
            raise
        return self.made(deployment, data, names)

    async def stream(self, deployment: Deployment, body: bytes, names: Names) -> AnswerStream:
        raise ProviderFailure(ErrorKind.DIALECT)

    def made(self, deployment: Deployment, data: bytes, names: Names) -> Answer:
        """A whole answer from the provider's bytes; raises ProviderFailure."""
        raise NotImplementedError


class Images(_Modal):
    """Pictures: as many as came are billed."""

    modality = IMAGE

    def made(self, deployment: Deployment, data: bytes, names: Names) -> Answer:
        found = _parsed(data)
        whole = [e for e in found.data or () if _text(e.b64_json) or _text(e.url)]
        tokens = _tokens(deployment, found.usage)
        if not whole or len(whole) != len(found.data or ()):
            raise ProviderFailure(ErrorKind.MALFORMED, status=200).after(0, tokens)
        return Answer(data, tokens, 0, images=len(whole), made=len(whole))


class Embeddings(_Modal):
    """Vectors, under the deployment's name."""

    modality = EMBEDDING

    def made(self, deployment: Deployment, data: bytes, names: Names) -> Answer:
        found = _parsed(data)
        items = found.data or ()
        tokens = _tokens(deployment, found.usage)
        if not items or not all(_vector(each.embedding) for each in items):
            raise ProviderFailure(ErrorKind.MALFORMED, status=200).after(0, tokens)
        body = _named(data, found.model, names)
        return Answer(body, tokens, 0, made=len(items))


class Speech(_Modal):
    """Sound: whole, or passed on as it comes."""

    modality = SPEECH

    async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
        reply = await self._sound(deployment, body, names)
        try:
            data = await reply.body(MAX_ANSWER_BYTES)
            reply.release()
        except BaseException:
            reply.close()
            raise
        tokens = _said(deployment, body)
        if not data:
            raise ProviderFailure(ErrorKind.MALFORMED, status=200).after(0, tokens)
        return Answer(data, tokens, 0, made=1)

    async def stream(self, deployment: Deployment, body: bytes, names: Names) -> AnswerStream:
        return Sound(await self._sound(deployment, body, names), _said(deployment, body))

    async def _sound(self, deployment: Deployment, body: bytes, names: Names) -> Reply:
        reply = await self._post(deployment, body, names.traceparent, 0)
        if not reply.headers.get("Content-Type", "").startswith(_NO_SOUND):
            return reply
        try:
            data = await reply.body(MAX_ERROR_BYTES)
        finally:
            reply.close()
        raise failure(200, {}, data) if b'"error"' in data else unreadable(data)


class Sound:
    """An open stream of sound: parts of at most 64 KiB, billed from the first on."""

    def __init__(self, reply: Reply, tokens: Tokens) -> None:
        self._reply, self._tokens = reply, tokens
        self._whole = False

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        async for part in self._reply.parts():
            yield Chunk(part, 0, self._tokens, True)
        self._whole = True
        yield Chunk(b"", 0, self._tokens, False, done=True)

    async def close(self) -> None:
        """Let the connection go."""
        if self._whole:
            self._reply.release()
        self._reply.close()


def _parsed(data: bytes) -> _Made:
    try:
        if not data.isascii():
            data.decode()  # what is not looked at must be text, too
        found = _made(data)
    except UNREADABLE:
        raise unreadable(data) from None
    if bytes(found.error) != b"null":
        raise failure(200, {}, data)
    return found


def _text(raw: msgspec.Raw) -> bool:
    """Whether it is a text that says something; looked at without a copy."""
    view = memoryview(raw)
    return view.nbytes > 2 and view[0] == 0x22


def _vector(raw: msgspec.Raw) -> bool:
    """A list of numbers, or its bytes as base64."""
    view = memoryview(raw)
    return view.nbytes > 2 and view[0] in b'["'


def _named(data: bytes, was: str | None, names: Names) -> bytes:
    """Under the deployment's name. Only the head and the tail are looked through: between them lie
    the vectors.
    """
    if was is None:
        return data
    for separator in (b'"model":', b'"model": '):
        old = separator + msgspec.json.encode(was)
        for part in (slice(0, 200), slice(-400, None)):
            if data[part].count(old) == 1:
                new = separator + msgspec.json.encode(names.model)
                swapped = data[part].replace(old, new)
                return swapped + data[200:] if part.start == 0 else data[:-400] + swapped
    return renamed(data, None, was, names)


def _by_units(deployment: Deployment) -> bool:
    """Whether tokens cost nothing there, so that what was made is all that is billed."""
    return not any(
        each.input_micro_usd_mtok or each.output_micro_usd_mtok for each in deployment.prices
    )


def _tokens(deployment: Deployment, usage: _Usage | None) -> Tokens | None:
    """What the provider says; nothing where nothing of it is billed; None to be estimated."""
    if usage is not None:
        given = usage.prompt_tokens if usage.input_tokens is None else usage.input_tokens
        made = usage.output_tokens or 0
        if given is not None and 0 <= given <= MAX_TOKENS and 0 <= made <= MAX_TOKENS:
            return Tokens(given, made)
    return Tokens(0, 0) if _by_units(deployment) else None


def _said(deployment: Deployment, body: bytes) -> Tokens:
    """Of sound no usage is told: its characters are known, its tokens estimated where billed."""
    characters = len(_spoken(body).input)
    if _by_units(deployment):
        return Tokens(0, 0, characters=characters)
    return Tokens(-(-characters // 4), 0, estimated=True, characters=characters)
