"""A question to a deployment about material, which stands in JSON and speaks to nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from service.domain.chat import ChatRequest, parse


def question_about(material: Mapping[str, Any], told: str, name: str, **fields: Any) -> ChatRequest:
    """A request whose system message is ``told`` and whose user message is the material. It stands
    in JSON strings, which none of it can end by itself. ``name`` says for whom it is, until the
    deployment's own stands in its place; ``fields``: the other fields of the body.
    """
    body = {
        "model": name,
        **fields,
        "messages": [
            {"role": "system", "content": told},
            {"role": "user", "content": msgspec.json.encode(material).decode()},
        ],
    }
    return parse(msgspec.json.encode(body))
