"""The library's examples run on simulated deployments, through the service's own routing."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import wave
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.records import Key, Usage
from service.orchestration.workflows.allowance import Allowance
from service.orchestration.workflows.asks import Memory
from service.orchestration.workflows.engine import Ended, Engine
from service.orchestration.workflows.routed import Routed, RoutedParts
from service.orchestration.workflows.steps import Workflow
from tests.conftest import KEY, Service

IMAGE_MICRO_USD, CHARACTER_MICRO_USD = 20_000, 15


@dataclass(frozen=True, slots=True)
class Thing:
    """An answer in another modality."""

    body: bytes
    media: str
    deployment: str
    usage: Usage
    decision_id: str = ""


class Studio:
    """Makes real pictures of one point and real sounds of silence, at a price."""

    async def image(self, request: Mapping[str, object], key: Key, session: str = "") -> Thing:
        made = base64.b64encode(png()).decode()
        body = json.dumps({"data": [{"b64_json": made}]}).encode()
        return Thing(body, "application/json", "easel", Usage(0, 0, 0, IMAGE_MICRO_USD))

    async def speech(self, request: Mapping[str, object], key: Key, session: str = "") -> Thing:
        cost = CHARACTER_MICRO_USD * len(str(request["input"]))
        return Thing(wav(), "audio/wav", "voice", Usage(0, 0, 0, cost))

    async def embed(self, request: Mapping[str, object], key: Key, session: str = "") -> Thing:
        raise NotImplementedError  # no workflow of the library embeds


def png() -> bytes:
    """One grey point."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\x00\x7f"))
        + chunk(b"IEND", b"")
    )  # fmt: skip


def wav() -> bytes:
    """A tenth of a second of nothing."""
    held = io.BytesIO()
    with wave.open(held, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(b"\x00\x00" * 800)
    return held.getvalue()


def run(service: Service, workflow: Workflow, inputs: Mapping[str, Any] | None = None) -> Ended:
    """One run to its end, on the service's own loop; without inputs its example."""
    runtime = service.runtime
    key = runtime.kept.keys.find(KEY)
    assert key is not None
    studio = Studio()
    parts = RoutedParts(
        lambda: runtime.router, lambda: runtime.dispatcher, runtime.answering,
        lambda made, parent: runtime.ledger.decision(made), runtime.kept.cases.load,
        lambda: runtime.refusals, lambda: studio, runtime.clock,
    )  # fmt: skip
    example = workflow.form.example
    given = {name: each.default for name, each in workflow.form.inputs.items()}
    given |= inputs if inputs is not None else example.inputs if example is not None else {}
    engine = Engine(
        workflow, given, Routed(parts, key, f"workflow:{workflow.name}", {}), Memory(),
        Allowance(workflow.form.limits, runtime.clock.monotonic_s),
    )  # fmt: skip
    task = next(iter(runtime.scheduler._tasks.values()))
    return asyncio.run_coroutine_threadsafe(engine.run(), task.get_loop()).result(120)
