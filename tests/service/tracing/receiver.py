"""A collector of traces on loopback: OTLP over HTTP, its protobuf taken apart."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Got:
    """A span as it came."""

    name: str
    trace: str
    span: str
    parent: str
    kind: int
    failed: bool
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


def _values(pairs: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in pairs}


class Receiver:
    """Keeps what came; ``status`` is what it answers."""

    def __init__(self) -> None:
        self.spans: list[Got] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.status = 200
        handler = type("Handler", (_Handler,), {"receiver": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """One batch."""
        self.headers.append(headers)
        self.bodies.append(body)
        asked = ExportTraceServiceRequest.FromString(body)
        for resource in asked.resource_spans:
            about = _values(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [
                    Got(
                        span.name, span.trace_id.hex(), span.span_id.hex(),
                        span.parent_span_id.hex(), span.kind, span.status.code == 2,
                        span.start_time_unix_nano, span.end_time_unix_nano,
                        _values(span.attributes), about,
                    )
                    for span in scope.spans
                ]  # fmt: skip

    def wait(self, holds: Callable[[list[Got]], bool]) -> list[Got]:
        """The spans, once they are as told."""
        deadline = time.monotonic() + 30.0
        while not holds(self.spans):
            assert time.monotonic() < deadline, self.spans
            time.sleep(0.02)
        return self.spans

    def of(self, decision: str) -> list[Got]:
        """A request's own span and its calls, in their order, once its own is there."""
        self.wait(lambda spans: any(_is_own(span, decision) for span in spans))
        found = [s for s in self.spans if s.attributes.get("headgate.decision_id") == decision]
        return sorted(found, key=lambda span: span.attributes.get("headgate.attempt", 0))


def _is_own(span: Got, decision: str) -> bool:
    own = span.kind == 2
    return own and span.attributes.get("headgate.decision_id") == decision


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.receiver.status == 200 and self.path == "/v1/traces":
            self.receiver.take({k.lower(): v for k, v in self.headers.items()}, body)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(self.receiver.status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        """Says nothing."""
