"""Images, speech and embeddings: the way of a chat completion, their answers sent as they are."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from service.api.admission import Grant
from service.api.asgi import Headers, Send, send_bytes
from service.api.chat import ChatEndpoint, Watch, Work, headers_of
from service.api.fronts import Front
from service.api.workflow_chat import PREFIX as WORKFLOW
from service.caching.passage import Passage
from service.domain.bulk import MOST_VALUES, check_bulk
from service.domain.chat import ChatRequest
from service.domain.errors import InvalidRequest
from service.domain.modal_requests import ModalRequest, parse_modal
from service.domain.modalities import SPEECH
from service.domain.records import Decision
from service.orchestration.modalities import ModalWay, media_of
from service.providers.base import ProviderFailure
from service.queueing.desk import Arrival
from service.routing.dispatch import ServedStream
from service.runtime import Runtime

log = logging.getLogger("headgate.api")

MOST_TOKENS = 1_000_000  # values of an embeddings body: its tokens are one each
_ONE = ThreadPoolExecutor(1, thread_name_prefix="headgate-modal")


class ModalFront(Front):
    """What is read of a request; its memo is the way that it goes."""

    def __init__(self, modality: str) -> None:
        self.modality = modality

    async def read(self, runtime: Runtime, body: bytes) -> tuple[ChatRequest, bytes, Any]:
        if len(body) <= MOST_VALUES:
            request = parse_modal(self.modality, body)
        else:
            loop = asyncio.get_running_loop()
            request = await loop.run_in_executor(_ONE, _long, self.modality, body)
        if request.model.startswith(WORKFLOW):
            raise InvalidRequest(
                "a workflow answers chat alone as a model; start it by "
                "POST /v1/workflows/NAME/runs", param="model", code="not_offered",
            )  # fmt: skip
        way = runtime.modalities.ways.of(request)
        return request.streamed() if self.modality == SPEECH else request, body, way


def _long(modality: str, body: bytes) -> ModalRequest:
    check_bulk(body, MOST_TOKENS)
    return parse_modal(modality, body)


class ModalEndpoint(ChatEndpoint):
    """The endpoint of a modality; one object for all requests."""

    def __init__(self, runtime: Runtime, modality: str) -> None:
        super().__init__(runtime, ModalFront(modality))

    async def _decided(self, arrival: Arrival, memo: Any, passage: Passage | None) -> Decision:
        way: ModalWay = memo
        return way.router.decide(arrival.request, arrival.key, arrival.session)

    async def _answer(self, work: Work, grant: Grant, watch: Watch, send: Send) -> None:
        decision, request, way, *_ = work
        if request.stream:
            await self._sound(work, grant, watch, send)
            return
        answer, served = await way.dispatcher.complete(decision, request)
        grant.settle(served.usage)
        headers = headers_of(decision, served, watch.request_id) + grant.headers()
        await send_bytes(send, 200, answer.body, headers)

    async def _sound(self, work: Work, grant: Grant, watch: Watch, send: Send) -> None:
        """Sound, passed on as it comes. One that breaks off is not ended, so that its caller sees
        that it is not whole.
        """
        decision, request, way, *_ = work
        assert isinstance(request, ModalRequest)
        stream: ServedStream = await way.dispatcher.open(decision, request)
        try:
            headers: Headers = [
                (b"content-type", media_of(request).encode()),
                *headers_of(decision, stream.served, watch.request_id, with_cost=False),
                *grant.headers(),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for data in stream:
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except ProviderFailure as failure:
            log.warning("the speech of %s broke off (%s)", decision.id, failure.kind.value)
            return
        finally:
            await stream.close()
            grant.settle(stream.served.usage)
        await send({"type": "http.response.body", "body": b""})
