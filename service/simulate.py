"""The simulated providers as a web server of its own, speaking three wires on loopback."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from service.domain.clock import new_id
from service.domain.modal_requests import PATHS
from service.orchestration.judge import FIRST, INSTRUCTIONS, NEITHER, SECOND
from service.orchestration.simulated import answered, asked
from service.providers import simulated_modal as modal
from service.providers import simulated_native as native
from service.providers.simulated import Behaviour, Simulated, Weather
from service.providers.simulated_form import described, made
from service.providers.simulated_judge import JUDGES, JudgeCharacter
from service.simulate_batches import SimulatedBatches

CHUNK_TOKENS = 12
REFUSED = "simulate a refusal"  # a prompt with these words is refused, in each vendor's way
_FILLER = (
    "The", "water", "finds", "its", "way", "down", "to", "the", "quiet", "field", "and", "on",
)  # fmt: skip


class _Form(NamedTuple):
    """A vendor's own way of answering."""

    whole: Callable[[native.Told], dict[str, Any]]
    events: Callable[[native.Told, list[str]], Iterator[bytes]]
    error: Callable[[int, str], dict[str, Any]]


_ANTHROPIC = _Form(native.anthropic_whole, native.anthropic_events, native.anthropic_error)
_GEMINI = _Form(native.gemini_whole, native.gemini_events, native.gemini_error)


class SimulatedProviders:
    """The routes over a behaviour, with a count of what was asked."""

    def __init__(self, behaviour: Behaviour, judges: Mapping[str, JudgeCharacter] = JUDGES) -> None:
        self.behaviour, self.judges = behaviour, judges
        seed, speed = getattr(behaviour, "seed", 7), getattr(behaviour, "speed", 1.0)
        self.modal = modal.ModalWorld(seed, speed)
        self.calls: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.batches = SimulatedBatches(self.batched)

    def app(self) -> Starlette:
        """The server."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/v1/messages", self.messages, methods=["POST"]),
                Route("/v1/messages/count_tokens", self.count_messages, methods=["POST"]),
                Route("/v1/models/{call}", self.content, methods=["POST"]),
                Route("/v1beta/models/{call}", self.content, methods=["POST"]),
                *(
                    Route("/v1" + path, partial(self.made, modality), methods=["POST"])
                    for modality, path in PATHS.items()
                ),
                *self.batches.routes(),
                Route("/control", self.control, methods=["POST"]),
                Route("/calls", self.count),
            ]
        )

    async def models(self, _: Request) -> Response:
        """The names that are served."""
        names = (*self.behaviour.models, *self.modal.models)
        data = [{"id": name, "object": "model"} for name in names]
        return JSONResponse({"object": "list", "data": data})

    async def control(self, request: Request) -> Response:
        """Change a deployment: {model, latency_factor, error_rate, quality_shift}."""
        body = await request.json()
        model = body.pop("model")
        if model in self.modal.models:
            self.modal.weather[model] = Weather(**body)
        else:
            self.behaviour.set_weather(model, Weather(**body))
        return JSONResponse({"model": model} | body)

    async def count(self, _: Request) -> Response:
        """Calls and tokens by deployment, as a provider's bill would show them."""
        return JSONResponse({"calls": dict(self.calls), "tokens": dict(self.tokens)})

    async def chat(self, request: Request) -> Response:
        """A chat completion."""
        try:
            body = await request.json()
            model, prompt = body["model"], _prompt(body["messages"])
        except (ValueError, KeyError, TypeError):
            return _error(400, "invalid_request_error", "the body is not of the form")
        try:
            shown = await self._shown(body, model, prompt)
        except KeyError:
            return _error(404, "model_not_found", "no such model here")
        if shown.status != 200:
            return _error(shown.status, "server_error", "simulated failure")
        if body.get("stream"):
            return StreamingResponse(_events(body, shown), media_type="text/event-stream")
        await asyncio.sleep(shown.latency_s)
        return JSONResponse(_whole(body, shown))

    async def batched(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """A request of a batch: its status and its answer."""
        shown = await self._shown(body, body["model"], _prompt(body["messages"]))
        if shown.status == 200:
            return 200, _whole(body, shown)
        return shown.status, {"error": {"message": "simulated failure", "type": "server_error"}}

    async def _shown(self, body: dict[str, Any], model: str, prompt: str) -> Simulated:
        """What a call shows, counted; raises KeyError for an unknown model."""
        self.calls[model] += 1
        judged, question = _judged(body["messages"]), asked(body["messages"])
        tokens_in = max(1, len(json.dumps(body["messages"])) // 4)
        shown = self.behaviour.answer(model, prompt, tokens_in)
        if judged is not None:
            shown = replace(shown, tokens_out=1, text=self.letter(*judged))
        elif question is not None:
            said = answered(question, model, self._known, self.judges)
            shown = replace(shown, tokens_out=8, text=said)
        elif (schema := _schema(body)) is not None:
            said = json.dumps(made(schema, f"{model}\x1f{prompt}"))
            shown = replace(shown, tokens_out=max(1, len(said) // 4), text=said)
        if shown.status != 200:
            await asyncio.sleep(shown.latency_s * 0.2)
            return shown
        if REFUSED in prompt:
            shown = replace(shown, tokens_out=0)
        self.tokens[f"{model}:in"] += shown.tokens_in
        self.tokens[f"{model}:out"] += shown.tokens_out
        return shown

    async def made(self, modality: str, request: Request) -> Response:
        """Images, speech or embeddings."""
        try:
            body = await request.json()
            model = body["model"]
            shown = self.modal.shown(modality, model, modal.prompt_of(modality, body))
        except (ValueError, KeyError, TypeError):
            return _error(400, "invalid_request_error", "not of the form, or no such model here")
        self.calls[model] += 1
        await asyncio.sleep(shown.latency_s if shown.status == 200 else shown.latency_s * 0.2)
        if shown.status != 200:
            return _error(shown.status, "server_error", "simulated failure")
        try:
            given = modal.answer(modality, body)
        except (modal.NotOfTheForm, KeyError, TypeError, IndexError) as error:
            return _error(400, "invalid_request_error", str(error))
        if given.sound is not None:
            return StreamingResponse(_flowing(given.sound), media_type=given.media)
        return Response(given.body, given.status, media_type=given.media)

    # the vendors' own dialects ------------------------------------------------------------------

    async def messages(self, request: Request) -> Response:
        """Anthropic's Messages."""
        try:
            body = native.anthropic_body(await request.json())
        except native.NotOfTheForm as error:
            return JSONResponse(native.anthropic_error(400, str(error)), 400)
        except (ValueError, KeyError, TypeError, AttributeError):
            return JSONResponse(native.anthropic_error(400, "not of the form"), 400)
        return await self._native(body, _ANTHROPIC)

    async def count_messages(self, request: Request) -> Response:
        """Tokens of such a request, by the same count that a call of it is billed by."""
        body = native.anthropic_body(await request.json(), counting=True)
        return JSONResponse({"input_tokens": max(1, len(json.dumps(body["messages"])) // 4)})

    async def content(self, request: Request) -> Response:
        """Gemini's generateContent, streamGenerateContent and countTokens."""
        model, _, method = request.path_params["call"].partition(":")
        try:
            body = native.gemini_body(await request.json(), model, method.startswith("stream"))
        except native.NotOfTheForm as error:
            return JSONResponse(native.gemini_error(400, str(error)), 400)
        except (ValueError, KeyError, TypeError, AttributeError):
            return JSONResponse(native.gemini_error(400, "not of the form"), 400)
        if method == "countTokens":
            return JSONResponse({"totalTokens": max(1, len(json.dumps(body["messages"])) // 4)})
        if method not in ("generateContent", "streamGenerateContent"):
            return JSONResponse(native.gemini_error(404, "no such method"), 404)
        return await self._native(body, _GEMINI)

    async def _native(self, body: dict[str, Any], form: _Form) -> Response:
        try:
            shown = await self._shown(body, body["model"], _prompt(body["messages"]))
        except KeyError:
            return JSONResponse(form.error(404, "no such model here"), 404)
        if shown.status != 200:
            return JSONResponse(form.error(shown.status, "simulated failure"), shown.status)
        told = _told(body, shown)
        if body["stream"]:
            events = _paced(form.events(told, _pieces(told)), shown.latency_s)
            return StreamingResponse(events, media_type="text/event-stream")
        await asyncio.sleep(shown.latency_s)
        return JSONResponse(form.whole(told))

    def letter(self, prompt: str, first: str, second: str) -> str:
        """What a simulated judge says: the answer of the better simulated quality, whoever asks.

        Texts here hold no quality, so the world knows its own answers again; of one that is not
        its own it thinks nothing.
        """
        one, two = self._worth(prompt, first), self._worth(prompt, second)
        return FIRST if one > two else SECOND if two > one else NEITHER

    def _worth(self, prompt: str, text: str) -> float:
        return self._known(prompt, text)[0]

    def _known(self, prompt: str, text: str) -> tuple[float, tuple[str, ...]]:
        """The simulated quality of an answer, and whose it may be: several may say the same."""
        own = {name: self.behaviour.answer(name, prompt, 1) for name in self.behaviour.models}
        found = {name: each.quality for name, each in own.items() if text in _texts(each)}
        return (sum(found.values()) / len(found) if found else 0.0), tuple(found)


def _judged(messages: list[dict[str, Any]]) -> tuple[str, str, str] | None:
    """The prompt and the two answers, where the blind judge is asked."""
    if len(messages) != 2 or messages[0].get("content") != INSTRUCTIONS:
        return None
    material = json.loads(messages[1]["content"])
    asked = [each["text"] for each in material["conversation"] if each["role"] == "user"]
    return asked[-1] if asked else "", material["answer_A"], material["answer_B"]


def _error(status: int, code: str, message: str) -> Response:
    content = {"error": {"message": message, "type": code, "param": None, "code": code}}
    return JSONResponse(content, status)


def _prompt(messages: list[dict[str, Any]]) -> str:
    for message in reversed(messages):
        if message["role"] == "user":
            content = message["content"]
            if isinstance(content, str):
                return content
            return "\n".join(part.get("text") or "" for part in content)
    return ""


def _texts(shown: Simulated) -> tuple[str, str]:
    """The answer in words, and where JSON was asked for."""
    words = shown.text or " ".join(_FILLER[i % len(_FILLER)] for i in range(shown.tokens_out))
    return words, json.dumps({"answer": words})


def _schema(body: dict[str, Any]) -> Any:
    """The JSON schema that is asked for, by the request or in the words of its first message."""
    form = body.get("response_format") or {}
    schema = (form.get("json_schema") or {}).get("schema") if form else None
    if schema is None and form.get("type") == "json_object":
        first = body["messages"][0].get("content")
        return described(first) if isinstance(first, str) else None
    return schema


def _text(body: dict[str, Any], shown: Simulated) -> str:
    if shown.text is not None and _schema(body) is not None:
        return shown.text
    form = (body.get("response_format") or {}).get("type", "text")
    return _texts(shown)[form != "text"]


def _tool_call(body: dict[str, Any]) -> list[dict[str, Any]] | None:
    tools = body.get("tools")
    if not tools or body.get("tool_choice") == "none":
        return None
    if body["messages"][-1]["role"] == "tool":
        return None  # it has what it wanted
    function = {"name": tools[0]["function"]["name"], "arguments": '{"place": "Lisbon"}'}
    return [{"id": "call_" + new_id()[-12:], "type": "function", "function": function}]


def _told(body: dict[str, Any], shown: Simulated) -> native.Told:
    call, words = _tool_call(body), _text(body, shown)
    limit = body.get("max_tokens") or shown.tokens_out
    cut = call is None and "response_format" not in body and limit < len(words.split(" "))
    return native.Told(
        model=body["model"],
        text=" ".join(words.split(" ")[:limit]) if cut else words,
        call=(call[0]["function"]["name"], call[0]["function"]["arguments"]) if call else None,
        tokens_in=shown.tokens_in,
        tokens_out=shown.tokens_out,
        refused=REFUSED in _prompt(body["messages"]),
        cut=cut,
    )


def _pieces(told: native.Told) -> list[str]:
    if told.call is not None:
        return [told.call[1][start : start + 6] for start in range(0, len(told.call[1]), 6)]
    words = told.text.split(" ")
    parts = [words[start : start + CHUNK_TOKENS] for start in range(0, len(words), CHUNK_TOKENS)]
    return [(" " if number else "") + " ".join(part) for number, part in enumerate(parts)]


async def _flowing(sound: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Sound as it is made, without a thread beside the loop."""
    for part in sound:
        yield part


async def _paced(events: Iterator[bytes], latency_s: float) -> AsyncIterator[bytes]:
    made = list(events)
    await asyncio.sleep(latency_s * 0.4)
    for event in made:
        yield event
        await asyncio.sleep(latency_s * 0.6 / len(made))


def _usage(shown: Simulated) -> dict[str, int]:
    total = shown.tokens_in + shown.tokens_out
    return {
        "prompt_tokens": shown.tokens_in,
        "completion_tokens": shown.tokens_out,
        "total_tokens": total,
    }


def _whole(body: dict[str, Any], shown: Simulated) -> dict[str, Any]:
    calls = _tool_call(body)
    message: dict[str, Any] = {"role": "assistant", "content": _text(body, shown), "refusal": None}
    if calls is not None:
        message |= {"content": None, "tool_calls": calls}
    reason = "tool_calls" if calls else "stop"
    if REFUSED in _prompt(body["messages"]):
        message, reason = message | {"content": None}, "content_filter"
    choice = {"message": message, "finish_reason": reason}
    return {
        "id": "sim-" + new_id(),
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": body["model"],
        "choices": [{"index": i, "logprobs": None} | choice for i in range(body.get("n") or 1)],
        "usage": _usage(shown),
    }


def _deltas(body: dict[str, Any], shown: Simulated) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    calls = _tool_call(body)
    if calls is not None:
        call = calls[0]
        arguments = call["function"]["arguments"]
        head = call["function"] | {"arguments": ""}
        yield {"tool_calls": [call | {"index": 0, "function": head}]}
        for start in range(0, len(arguments), 6):
            part = {"arguments": arguments[start : start + 6]}
            yield {"tool_calls": [{"index": 0, "function": part}]}
        return
    words = _text(body, shown).split(" ")
    for start in range(0, len(words), CHUNK_TOKENS):
        gap = " " if start else ""
        yield {"content": gap + " ".join(words[start : start + CHUNK_TOKENS])}


async def _events(body: dict[str, Any], shown: Simulated) -> Any:
    head = {
        "id": "sim-" + new_id(),
        "object": "chat.completion.chunk",
        "created": 1_750_000_000,
        "model": body["model"],
    }
    usage = bool((body.get("stream_options") or {}).get("include_usage"))
    extra = {"usage": None} if usage else {}

    def event(choices: list[dict[str, Any]], more: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps(head | {"choices": choices} | more).encode() + b"\n\n"

    refused = REFUSED in _prompt(body["messages"])
    deltas = [] if refused else list(_deltas(body, shown))
    await asyncio.sleep(shown.latency_s * 0.4)
    for delta in deltas:
        yield event([{"index": 0, "delta": delta, "finish_reason": None}], extra)
        await asyncio.sleep(shown.latency_s * 0.6 / len(deltas))
    reason = "tool_calls" if any("tool_calls" in delta for delta in deltas) else "stop"
    reason = "content_filter" if refused else reason
    yield event([{"index": 0, "delta": {}, "finish_reason": reason}], extra)
    if usage:
        yield event([], {"usage": _usage(shown)})
    yield b"data: [DONE]\n\n"
