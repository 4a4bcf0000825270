"""Providers of which the cheap one fails in the way that a prompt names, and a plan over them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

GOOD = "The river is wide and the answer is 42."
FAULTS = {
    "truncated": ("It begins and", "length"),
    "refused": ("I'm sorry, but I can't help with that.", "stop"),
    "schema": ('{"town": 7}', "stop"),
}
TOWN = {
    "type": "json_schema",
    "json_schema": {
        "name": "town",
        "schema": {
            "type": "object", "required": ["town"], "properties": {"town": {"type": "string"}}
        },
    },
}  # fmt: skip


class Frail:
    """``thrift`` fails as the prompt names it; ``middle`` and ``strong`` answer well, but
    ``strong`` refuses what is "forbidden"; whoever is asked whether an answer is right says no
    where the prompt has "doubt".
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self.chat, methods=["POST"])])

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        model, told = body["model"], json.dumps(body["messages"])
        self.bodies.append(body)
        system = body["messages"][0]["content"]
        if "You check an answer" in system:
            self.calls[f"{model}:check"] += 1
            code = system.split("Answer with the code ")[1][:6]
            return JSONResponse(self._answer(body, f"{code} {'no' if 'doubt' in told else 'yes'}"))
        self.calls[model] += 1
        if "down" in told and model == "thrift":
            return JSONResponse({"error": {"message": "no"}}, 503)
        if "forbidden" in told and model == "strong":
            return JSONResponse({"error": {"message": "no", "code": "content_filter"}}, 400)
        if model == "thrift":
            for name, (text, reason) in FAULTS.items():
                if name in told:
                    return JSONResponse(self._answer(body, text, reason))
        text = '{"town": "Alba"}' if "response_format" in body else GOOD
        return JSONResponse(self._answer(body, text))

    def _answer(self, body: dict[str, Any], text: str, reason: str = "stop") -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text}
        }  # fmt: skip
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": "x", "logprob": -0.05}]}
        return {
            "id": "up", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
        }  # fmt: skip


PLAN = """
deployments:
  - {{name: thrift, provider: a, base_url: {url}/v1, model: thrift, prior_latency_s: 0.05,
     prior_quality: 0.7, price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 2}}}}
  - {{name: middle, provider: b, base_url: {url}/v1, model: middle, prior_latency_s: 0.05,
     prior_quality: 0.8, price: {{input_usd_per_mtok: 5, output_usd_per_mtok: 10}}}}
  - {{name: strong, provider: c, base_url: {url}/v1, model: strong, prior_latency_s: 0.05,
     prior_quality: 0.9, price: {{input_usd_per_mtok: 50, output_usd_per_mtok: 100}}}}
feedback: {{metrics: {{rating: {{scale: unit}}}}}}
service: {{most_lag_s: 60, deadline_s: 30, attempt_timeouts_s: [20, 20, 20]}}
console: {{enabled: false}}
"""
SECTION = """
escalation:
  rungs: [thrift, strong]
  worth_usd: 0.001
  acceptable: 0.5
  logprobs: [thrift]
  again: {within_s: 60, alike: 0.8}
"""


def plan_of(url: str, section: str = SECTION) -> str:
    """A plan over these providers."""
    return PLAN.format(url=url) + section
