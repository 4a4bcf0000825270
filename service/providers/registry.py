"""The registered dialects: one line each."""

from __future__ import annotations

from collections.abc import Mapping

from service.providers.anthropic import Anthropic
from service.providers.base import Provider
from service.providers.gemini import Gemini
from service.providers.openai import OpenAI

PROVIDERS: Mapping[str, type[Provider]] = {
    OpenAI.dialect: OpenAI,
    Anthropic.dialect: Anthropic,
    Gemini.dialect: Gemini,
}
