"""The OpenAI dialect: OpenAI itself, and all that offer it (Gemini, Ollama, vLLM, ...)."""

from __future__ import annotations

from service.domain.catalog import Deployment
from service.providers.calling import OverHTTP, Way


class OpenAI(OverHTTP):
    """Chat completions: the internal form, so that nothing is translated."""

    dialect = "openai"

    def way(self, deployment: Deployment) -> Way:
        url = deployment.base_url + "/chat/completions"
        key = ("Authorization", f"Bearer {deployment.api_key}") if deployment.api_key else None
        return Way(deployment, (url, url), key)
