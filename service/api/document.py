"""The OpenAPI document: given at its address, with its part on the raw routes."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from service.domain.chat import ROLES
from service.domain.demands import DATA_POLICIES

CHAT_PATH = "/v1/chat/completions"
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


def describe(document: dict[str, Any]) -> None:
    """Add the raw routes to a document, in place."""
    problem = {
        "description": "An error of OpenAI's shape",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}},
    }
    document["paths"][CHAT_PATH] = {
        "post": {
            "summary": "A chat completion, routed",
            "description": "OpenAI's chat completions. Fields that are not named here are passed "
            "through untouched.",
            "operationId": "chat_completions",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _REQUEST}},
            },
            "responses": {
                "200": {
                    "description": "An answer, or a stream of server-sent events",
                    "content": {
                        "application/json": {"schema": {"type": "object"}},
                        "text/event-stream": {"schema": {"type": "string"}},
                    },
                },
                "202": {
                    "description": "A ticket, where the option queue was given and no deployment "
                    "could answer",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "4XX": problem,
                "5XX": problem,
            },
        }
    }
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        if not path.startswith("/health") and path != "/metrics":
            for operation in operations.values():
                operation["security"] = [{"key": []}]
