"""The OpenAPI document: given at its address, with its part on the raw routes."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from service.domain.caching import LONGEST_S, MAX_TAG, MOST_TAGS, WISHES
from service.domain.chat import ROLES
from service.domain.demands import DATA_POLICIES
from service.domain.modal_requests import MOST_IMAGES, PATHS
from service.domain.modalities import EMBEDDING, FORMATS, IMAGE, SPEECH

CHAT_PATH = "/v1/chat/completions"
MESSAGES_PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
RESPONSES_PATH = "/v1/responses"
router = APIRouter()
_one_at_a_time = threading.Lock()


@router.get("/openapi.json", include_in_schema=False)
async def document(request: Request) -> Response:
    """The document; made once, off the event loop, as it takes a while."""
    return Response(await asyncio.to_thread(_text, request.app), media_type="application/json")


def _text(app: FastAPI) -> bytes:
    with _one_at_a_time:
        if not hasattr(app.state, "document"):
            app.state.document = json.dumps(app.openapi()).encode()
        made: bytes = app.state.document
        return made


_OPTIONS = {
    "type": "object",
    "additionalProperties": False,
    "description": "The router's options; an unknown one is refused.",
    "properties": {
        "max_cost_usd": {"type": "number", "minimum": 0},
        "min_quality": {"type": "number", "minimum": 0, "maximum": 1},
        "quality_cost": {"type": "number", "minimum": 0, "maximum": 1},
        "tier": {"type": "string"},
        "task": {"type": "string"},
        "deadline_s": {"type": "number", "minimum": 0.001, "maximum": 86400},
        "deployments": {"type": "array", "items": {"type": "string"}},
        "exclude": {"type": "array", "items": {"type": "string"}},
        "session_id": {"type": "string"},
        "queue": {"type": "boolean"},
        "webhook": {"type": "string", "maxLength": 2048},
        "region": {
            "oneOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        },
        "data_policy": {"type": "array", "items": {"enum": list(DATA_POLICIES)}},
        "cache": {
            "anyOf": [
                {"enum": list(WISHES)},
                {
                    "type": "object",
                    "properties": {
                        "mode": {"enum": list(WISHES)},
                        "ttl_s": {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_S},
                        "tags": {
                            "type": "array",
                            "items": {"type": "string", "minLength": 1, "maxLength": MAX_TAG},
                            "maxItems": MOST_TAGS,
                        },
                    },
                    "additionalProperties": False,
                },
            ]
        },
        "conversation": {
            "oneOf": [
                {"type": "boolean"},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "pin": {"type": "array", "items": {"type": "string"}},
                        "unpin": {"type": "array", "items": {"type": "string"}},
                        "store": {"type": "boolean"},
                    },
                },
            ]
        },
    },
}

_MESSAGE = {
    "type": "object",
    "required": ["role"],
    "additionalProperties": True,
    "properties": {
        "role": {"enum": list(ROLES)},
        "content": {"type": ["string", "null", "array"], "items": {"type": "object"}},
    },
}

_REQUEST = {
    "type": "object",
    "required": ["model", "messages"],
    "additionalProperties": True,
    "properties": {
        "model": {"type": "string", "description": "auto, auto:POLICY, or a deployment"},
        "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
        "stream": {"type": "boolean"},
        "stream_options": {"type": "object"},
        "user": {"type": "string"},
        "metadata": {
            "type": "object",
            "description": "tags, tenant, feature, session and type are read by the router",
        },
        "headgate": _OPTIONS,
    },
}


_MODEL = {"type": "string", "description": "auto, auto:POLICY, or a deployment"}
_MESSAGES = {
    "type": "object",
    "required": ["model", "messages", "max_tokens"],
    "additionalProperties": False,
    "properties": {
        "model": _MODEL,
        "messages": {"type": "array", "minItems": 1, "items": {
            "type": "object", "required": ["role", "content"], "additionalProperties": False,
            "properties": {
                "role": {"enum": ["user", "assistant"]},
                "content": {"type": ["string", "array"], "items": {"type": "object"}}}}},
        "max_tokens": {"type": "integer", "minimum": 1},
        "system": {"type": ["string", "array"], "items": {"type": "object"}},
        "stop_sequences": {"type": "array", "items": {"type": "string"}},
        "stream": {"type": "boolean"},
        "temperature": {"type": "number"},
        "top_p": {"type": "number"},
        "metadata": {"type": "object"},
        "tools": {"type": "array", "items": {"type": "object"}},
        "tool_choice": {"type": "object"},
        "thinking": {"type": "object", "description": "disabled alone is offered"},
        "output_config": {"type": "object"},
        "service_tier": {"enum": ["auto", "standard_only"]},
        "cache_control": {"type": "object"},
        "headgate": _OPTIONS,
    },
}  # fmt: skip
_RESPONSES = {
    "type": "object",
    "required": ["model", "input"],
    "additionalProperties": False,
    "properties": {
        "model": _MODEL,
        "input": {"type": ["string", "array"], "items": {"type": "object"}},
        "instructions": {"type": "string"},
        "max_output_tokens": {"type": "integer", "minimum": 1},
        "temperature": {"type": "number"},
        "top_p": {"type": "number"},
        "stream": {"type": "boolean"},
        "stream_options": {"type": "object"},
        "tools": {"type": "array", "items": {"type": "object"}},
        "tool_choice": {"type": ["string", "object"]},
        "parallel_tool_calls": {"type": "boolean"},
        "text": {"type": "object"},
        "reasoning": {"type": "object"},
        "metadata": {"type": "object"},
        "user": {"type": "string"},
        "safety_identifier": {"type": "string"},
        "prompt_cache_key": {"type": "string"},
        "service_tier": {"type": "string"},
        "store": {"type": "boolean", "description": "answered with false: nothing is kept"},
        "truncation": {"enum": ["disabled"]},
        "include": {"type": "array", "maxItems": 0},
        "headgate": _OPTIONS,
    },
}
_STREAMED = {
    "description": "An answer, or a stream of server-sent events",
    "content": {
        "application/json": {"schema": {"type": "object"}},
        "text/event-stream": {"schema": {"type": "string"}},
    },
}
_TICKET = {
    "description": "A ticket, where the option queue was given and no deployment could answer",
    "content": {"application/json": {"schema": {"type": "object"}}},
}


def _operation(
    name: str, told: tuple[str, str], schema: dict[str, Any], problem: dict[str, Any]
) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {
        "post": {
            "summary": told[0],
            "description": told[1],
            "operationId": name,
            "requestBody": body,
            "responses": {"200": _STREAMED, "202": _TICKET, "4XX": problem, "5XX": problem},
        }
    }


def _dialects(paths: dict[str, Any], problem: dict[str, Any]) -> None:
    """The other dialects' routes."""
    shape = {"type": "object", "required": ["type", "error", "request_id"]}
    other = {
        "description": "An error of Anthropic's shape",
        "content": {"application/json": {"schema": shape}},
    }
    said = "docs/dialects.md tells field by field what it becomes; what it cannot is refused."
    messages = ("A message, routed", "Anthropic's Messages. " + said)
    paths[MESSAGES_PATH] = _operation("messages", messages, _MESSAGES, other)
    answers = ("A response, routed", "OpenAI's Responses; no conversation is kept. " + said)
    paths[RESPONSES_PATH] = _operation("responses", answers, _RESPONSES, problem)
    uncapped = _MESSAGES | {"required": ["model", "messages"]}
    count = ("The tokens of a message, estimated", "By the estimate that routing uses.")
    paths[COUNT_PATH] = counting = _operation("count_tokens", count, uncapped, other)
    told = {"type": "object", "required": ["input_tokens"],
            "properties": {"input_tokens": {"type": "integer"}}}  # fmt: skip
    counting["post"]["responses"] = {
        "200": {"description": "The count", "content": {"application/json": {"schema": told}}},
        "4XX": other,
        "5XX": other,
    }


_IMAGE = {
    "type": "object",
    "required": ["model", "prompt"],
    "additionalProperties": True,
    "properties": {
        "model": _MODEL, "prompt": {"type": "string", "minLength": 1},
        "n": {"type": "integer", "minimum": 1, "maximum": MOST_IMAGES},
        "size": {"type": "string"}, "response_format": {"enum": ["b64_json", "url"]},
        "user": {"type": "string"}, "headgate": _OPTIONS,
    },
}  # fmt: skip
_SPEECH = {
    "type": "object",
    "required": ["model", "input", "voice"],
    "additionalProperties": True,
    "properties": {
        "model": _MODEL, "input": {"type": "string", "minLength": 1},
        "voice": {"type": ["string", "object"]},
        "response_format": {"enum": list(FORMATS)}, "speed": {"type": "number"},
        "stream_format": {"enum": ["audio"]}, "headgate": _OPTIONS,
    },
}  # fmt: skip
_EMBEDDING = {
    "type": "object",
    "required": ["model", "input"],
    "additionalProperties": True,
    "properties": {
        "model": _MODEL, "input": {"type": ["string", "array"], "minItems": 1},
        "dimensions": {"type": "integer", "minimum": 1},
        "encoding_format": {"enum": ["float", "base64"]},
        "user": {"type": "string"}, "headgate": _OPTIONS,
    },
}  # fmt: skip


def _modalities(paths: dict[str, Any], problem: dict[str, Any]) -> None:
    """The routes of images, speech and embeddings."""
    told = "OpenAI's form; fields that are not named here are passed through (docs/modalities.md)."
    whole = {"application/json": {"schema": {"type": "object"}}}
    sound = {
        media: {"schema": {"type": "string", "format": "binary"}} for media in FORMATS.values()
    }
    for modality, schema, name, content in (
        (IMAGE, _IMAGE, "pictures", whole), (SPEECH, _SPEECH, "speech", sound),
        (EMBEDDING, _EMBEDDING, "embeddings", whole),
    ):  # fmt: skip
        path = f"/v1{PATHS[modality]}"
        found = paths[path] = _operation(
            name, (f"{name.capitalize()}, routed", told), schema, problem
        )
        found["post"]["responses"] = {
            "200": {"description": "What was made", "content": content},
            "4XX": problem, "5XX": problem,
        }  # fmt: skip


def describe(document: dict[str, Any]) -> None:
    """Add the raw routes to a document, in place."""
    problem = {
        "description": "An error of OpenAI's shape",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}},
    }
    told = "OpenAI's chat completions. Fields that are not named here are passed through untouched."
    document["paths"][CHAT_PATH] = _operation(
        "chat_completions", ("A chat completion, routed", told), _REQUEST, problem
    )
    _dialects(document["paths"], problem)
    _modalities(document["paths"], problem)
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        if not path.startswith("/health") and path != "/metrics":
            for operation in operations.values():
                operation["security"] = [{"key": []}]
