"""The plan's part on traces: which collector takes them, how many, and with what headers."""

from __future__ import annotations

from pydantic import Field

from service.plan.deployments import ADDRESS, VARIABLE
from service.plan.words import Share, Strict


class TracePlan(Strict):
    """``endpoint``: the whole address of an OTLP/HTTP collector; without it there are no traces.

    ``sample``: the share of requests, where the caller's ``traceparent`` does not say.
    ``headers_env``: the variable with the collector's headers, as ``name=value,name=value``.
    ``to_providers``: whether calls tell their provider the place in the trace.
    """

    endpoint: str | None = Field(default=None, pattern=ADDRESS, max_length=500)
    sample: Share = 0.1
    headers_env: str | None = Field(default=None, pattern=VARIABLE)
    to_providers: bool = False

    @staticmethod
    def headers(text: str) -> dict[str, str]:
        """The headers of a variable's text; raises ValueError where it is not of that form."""
        found = {}
        for part in filter(None, (each.strip() for each in text.split(","))):
            name, sign, value = part.partition("=")
            if not sign or not name.strip() or not (name + value).isprintable():
                raise ValueError("must be name=value,name=value")
            found[name.strip()] = value.strip()
        return found
