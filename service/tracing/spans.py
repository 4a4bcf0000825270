"""Requests as OpenTelemetry's spans, by its conventions for generative AI, sent by OTLP/HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from service.domain.catalog import Deployment
from service.domain.clock import response_id
from service.domain.records import Attempt, Outcome, Usage
from service.tracing.context import span_id
from service.tracing.tracer import Traced, TraceRules

SEND_S = 5.0
_RESOURCE = Resource({"service.name": "headgate"})
_SCOPE = InstrumentationScope("headgate")
_FAILED, _FINE = Status(StatusCode.ERROR), Status(StatusCode.UNSET)
_Attributes = dict[str, str | int | float | bool]


class OtlpCollector:
    """A collector behind OTLP/HTTP. ``know`` may be told another catalogue while it runs."""

    def __init__(self, rules: TraceRules, catalog: Iterable[Deployment]) -> None:
        # What goes wrong is told by the tracer, once, and not by the library for each batch.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = OTLPSpanExporter(
            endpoint=rules.endpoint,
            headers=dict(rules.headers),
            timeout=SEND_S,
            compression=Compression.Gzip,
        )
        self.know(catalog)

    def know(self, catalog: Iterable[Deployment]) -> None:
        """Which model and address each deployment is."""
        self._targets = {each.name: _target(each) for each in catalog}

    def take(self, batch: Sequence[Traced]) -> bool:
        """Send them; at most some seconds."""
        found = [span for traced in batch for span in self.spans(traced)]
        return self._exporter.export(found) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Nothing more will be sent."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def spans(self, traced: Traced) -> list[ReadableSpan]:
        """The request's span, and one a call below it."""
        own = self._span_of(traced)
        return [own, *(self._call(traced, own, each) for each in traced.attempts)]

    def _span_of(self, traced: Traced) -> ReadableSpan:
        decision, outcome, place = traced.decision, traced.outcome, traced.place
        parent = None
        if place.parent_id:
            parent = SpanContext(place.trace_id, place.parent_id, True, TraceFlags(1))
        served = outcome.deployment or decision.deployment
        attributes: _Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": decision.deployment,
            "gen_ai.request.stream": decision.stream,
            "gen_ai.response.id": response_id(decision.id),
            "http.response.status_code": outcome.status,
            "headgate.decision_id": decision.id,
            "headgate.mode": outcome.mode.value,
            "headgate.reason": decision.reason,
            "headgate.task": decision.task,
            "headgate.propensity": decision.propensity,
            "headgate.policy": decision.policy.name,
            "headgate.policy_version": decision.policy.version_id,
            "headgate.attempts": outcome.attempts,
            "headgate.overhead_s": outcome.overhead_s,
            **_usage(outcome.usage),
        }
        provider = self._provider(traced, served)
        if provider:
            attributes["gen_ai.provider.name"] = provider
        if outcome.deployment:
            attributes["gen_ai.response.model"] = outcome.deployment
        if outcome.ttft_s is not None:
            attributes["gen_ai.response.time_to_first_chunk"] = outcome.ttft_s
        if decision.override_id:
            attributes["headgate.override_id"] = decision.override_id
        if decision.assigned:
            attributes["headgate.experiment"] = decision.assigned[0].experiment
            attributes["headgate.variant"] = decision.assigned[0].variant
        failed = _went_wrong(outcome)
        if failed:
            attributes["error.type"] = failed
        start_us = min(decision.at_us, outcome.at_us)
        return ReadableSpan(
            name=f"chat {served}",
            context=SpanContext(place.trace_id, span_id(decision.id, 0), False, TraceFlags(1)),
            parent=parent,
            resource=_RESOURCE,
            attributes=attributes,
            kind=SpanKind.SERVER,
            status=_FAILED if failed else _FINE,
            start_time=start_us * 1_000,
            end_time=outcome.at_us * 1_000,
            instrumentation_scope=_SCOPE,
        )

    def _provider(self, traced: Traced, served: str) -> str:
        told = (each.provider for each in traced.attempts if each.deployment == served)
        return next(told, "")

    def _call(self, traced: Traced, above: ReadableSpan, attempt: Attempt) -> ReadableSpan:
        model, target = self._targets.get(attempt.deployment, (attempt.deployment, {}))
        attributes: _Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": attempt.provider,
            "gen_ai.request.model": model,
            "gen_ai.request.stream": traced.decision.stream,
            "headgate.decision_id": attempt.decision_id,
            "headgate.deployment": attempt.deployment,
            "headgate.attempt": attempt.number,
            "headgate.role": attempt.role.value,
            **target,
            **_usage(attempt.usage),
        }
        if attempt.status:
            attributes["http.response.status_code"] = attempt.status
        if attempt.ttft_s is not None:
            attributes["gen_ai.response.time_to_first_chunk"] = attempt.ttft_s
        if attempt.error_kind is not None:
            attributes["error.type"] = attempt.error_kind.value
        place = traced.place
        number = span_id(attempt.decision_id, attempt.number)
        return ReadableSpan(
            name=f"chat {model}",
            context=SpanContext(place.trace_id, number, False, TraceFlags(1)),
            parent=above.context,
            resource=_RESOURCE,
            attributes=attributes,
            kind=SpanKind.CLIENT,
            status=_FAILED if attempt.error_kind is not None else _FINE,
            start_time=attempt.at_us * 1_000 - round(attempt.latency_s * 1e9),
            end_time=attempt.at_us * 1_000,
            instrumentation_scope=_SCOPE,
        )


def _usage(usage: Usage) -> _Attributes:
    return {
        "gen_ai.usage.input_tokens": usage.tokens_in,
        "gen_ai.usage.output_tokens": usage.tokens_out,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "headgate.cost_usd": usage.cost_micro_usd / 1e6,
        "headgate.usage_estimated": usage.estimated,
    }


def _went_wrong(outcome: Outcome) -> str:
    """The kind of failure, of a request that failed; empty where it was answered."""
    if outcome.status < 400:
        return ""
    return outcome.error_kind.value if outcome.error_kind else str(outcome.status)


def _target(deployment: Deployment) -> tuple[str, _Attributes]:
    """The provider's name of the model, and where it is."""
    parts = urlsplit(deployment.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return deployment.model, {"server.address": parts.hostname or "", "server.port": port}
