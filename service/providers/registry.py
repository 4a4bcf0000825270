"""The registered dialects: one line each."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.modalities import EMBEDDING, IMAGE, SPEECH
from service.providers.anthropic import Anthropic
from service.providers.base import Provider
from service.providers.gemini import Gemini
from service.providers.modal import Embeddings, Images, Speech
from service.providers.openai import OpenAI

PROVIDERS: Mapping[str, type[Provider]] = {
    OpenAI.dialect: OpenAI,
    Anthropic.dialect: Anthropic,
    Gemini.dialect: Gemini,
}
MODAL: Mapping[str, Mapping[str, type[Provider]]] = {
    IMAGE: {Images.dialect: Images},
    SPEECH: {Speech.dialect: Speech},
    EMBEDDING: {Embeddings.dialect: Embeddings},
}  # by modality, then by dialect
