"""Images, speech and embeddings for whoever asks: an endpoint, a step of a workflow, a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from service.domain.chat import ChatRequest
from service.domain.clock import new_id
from service.domain.errors import CapabilityMissing, ContentRefused
from service.domain.modal_requests import ModalRequest, parse_modal
from service.domain.modalities import EMBEDDING, FORMATS, IMAGE, SPEECH, Kind
from service.domain.records import Decision, ErrorKind, Key, Usage
from service.providers.base import Answer, ProviderFailure
from service.routing.dispatch import Dispatcher
from service.routing.refusals import Refusals
from service.routing.router import Router
from service.routing.run import Served


@dataclass(frozen=True, slots=True)
class ModalWay:
    """The way of the requests of one kind: the same machinery, with their deployments."""

    router: Router
    dispatcher: Dispatcher


@dataclass(frozen=True, slots=True)
class ModalWays:
    """Those of a plan. ``kinds``: by deployment; the first of a modality is where ``auto`` goes."""

    ways: Mapping[Kind, ModalWay]
    kinds: Mapping[str, Kind]

    def of(self, request: ModalRequest) -> ModalWay:
        """The way of a request; raises CapabilityMissing where the plan has no such deployment.

        Vectors of two spaces cannot be compared, so that a request has one: that of the deployment
        it names, else the plan's first.
        """
        named = (request.model, *request.options.deployments)
        for name in named:
            kind = self.kinds.get(name)
            if kind is not None and kind.modality == request.modality:
                return self.ways[kind]
        for kind, way in self.ways.items():
            if kind.modality == request.modality:
                return way
        raise CapabilityMissing(
            f"no deployment of the plan has modality: {request.modality}", param="model"
        )


Body = bytes | Mapping[str, object]
NO_WAYS = ModalWays({}, {})


@dataclass(frozen=True, slots=True)
class Made:
    """An answer. ``body``: JSON in OpenAI's form, or sound; ``media``: its media type."""

    body: bytes
    media: str
    decision: Decision
    served: Served

    @property
    def decision_id(self) -> str:
        """By which it is rated."""
        return self.decision.id

    @property
    def deployment(self) -> str:
        """Who made it."""
        return self.served.deployment.name

    @property
    def usage(self) -> Usage:
        """What it took, all calls together."""
        return self.served.usage

    @property
    def cost_micro_usd(self) -> int:
        """What it cost."""
        return self.served.usage.cost_micro_usd


@dataclass(frozen=True, slots=True)
class ModalParts:
    """What it stands on. ``decided``: where a decision is logged; ``refusals``: asked before a
    request is sent, and told when one was refused.
    """

    decided: Callable[[Decision], object]
    refusals: Callable[[], Refusals]


class Modalities:
    """Decides, calls and records, as the chat endpoint does; ``ways`` change with the plan."""

    def __init__(self, parts: ModalParts, ways: ModalWays = NO_WAYS) -> None:
        self._parts, self.ways = parts, ways

    async def image(self, request: Body, key: Key, session: str = "") -> Made:
        """Pictures: the body of ``POST /v1/images/generations``; raises HeadgateError."""
        return await self.make(IMAGE, request, key, session)

    async def speech(self, request: Body, key: Key, session: str = "") -> Made:
        """Sound, whole: the body of ``POST /v1/audio/speech``; raises HeadgateError."""
        return await self.make(SPEECH, request, key, session)

    async def embed(self, request: Body, key: Key, session: str = "") -> Made:
        """Vectors: the body of ``POST /v1/embeddings``; raises HeadgateError."""
        return await self.make(EMBEDDING, request, key, session)

    async def make(self, modality: str, request: Body, key: Key, session: str = "") -> Made:
        """An answer in a modality."""
        body = request if isinstance(request, bytes) else msgspec.json.encode(request)
        asked = parse_modal(modality, body)
        way, incident = self.ways.of(asked), new_id()
        decision = way.router.decide(asked, key, session)
        self._parts.decided(decision)
        refusals = self._parts.refusals()
        await refusals.check(decision, asked, incident)
        try:
            answer, served = await way.dispatcher.complete(decision, asked)
        except ContentRefused as refused:
            raise await refusals.take(refused, decision, asked, incident) from None
        return Made(answer.body, media_of(asked), decision, served)


def media_of(request: ModalRequest) -> str:
    """The media type of a request's answer."""
    return FORMATS[request.format] if request.modality == SPEECH else "application/json"


def whole(request: ChatRequest, answer: Answer) -> float:
    """Of an answer that is no chat: 1; raises ProviderFailure where vectors are missing, which
    nobody would see who does not count them.
    """
    if (
        isinstance(request, ModalRequest)
        and request.modality == EMBEDDING
        and answer.made != request.units
    ):
        raise ProviderFailure(ErrorKind.MALFORMED, status=200).after(0, answer.tokens)
    return 1.0
