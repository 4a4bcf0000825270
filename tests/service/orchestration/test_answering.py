"""A way has what it wants, unless somebody named who is to answer; its answer streams."""

from __future__ import annotations

from typing import Any

import pytest

from service.domain.chat import ChatRequest
from service.domain.records import Decision, Mode, Role
from service.orchestration.answering import Answering
from service.orchestration.retold import Retold
from service.providers.base import Answer
from service.routing.dispatch import Dispatcher
from service.routing.run import Served
from service.routing.several import Several
from tests.service.routing.test_several import BY_NAME
from tests.service.routing.test_tiers import Scene
from tests.service.routing.world import KEY, ask


class Small:
    """Asks the small one, whoever was drawn."""

    name = "small"

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self.seen: list[ChatRequest] = []

    def wants(self, decision: Decision, request: ChatRequest) -> bool:
        return "small" in request.shape.text

    async def complete(self, decision: Decision, request: ChatRequest) -> tuple[Answer, Served]:
        self.seen.append(request)
        with Several(self._dispatcher, decision, request) as several:
            heard = await several.ask(BY_NAME["small"], Role.ESCALATION)
            assert heard.answer is not None
            return heard.answer, several.serve(heard)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def made(scene: Scene) -> tuple[Answering, Small]:
    answering, way = Answering(lambda: scene.dispatcher), Small(scene.dispatcher)
    answering.ways.append(way)
    return answering, way


async def given(scene: Scene, answering: Answering, text: str, **more: Any) -> Served:
    request = ask(text, **more)
    decision = scene.world.router.decide(request, KEY)
    return (await answering.complete(decision, request))[1]


async def test_who_is_wanted_answers_and_others_go_the_plain_way(scene: Scene) -> None:
    answering, way = made(scene)
    assert (await given(scene, answering, "a small one")).deployment.name == "small"
    assert (await given(scene, answering, "another")).deployment.name == "seeing"
    assert len(way.seen) == 1


async def test_a_named_deployment_is_asked_alone(scene: Scene) -> None:
    answering, way = made(scene)
    served = await given(scene, answering, "a small one", model="wide")
    assert served.deployment.name == "wide" and served.mode is Mode.PINNED and not way.seen


async def test_a_stream_is_asked_for_whole_and_retold(scene: Scene) -> None:
    answering, way = made(scene)
    request = ask("a small one", stream=True, stream_options={"include_usage": True})
    told = await answering.open(scene.world.router.decide(request, KEY), request)
    assert isinstance(told, Retold) and told.served.mode is Mode.ESCALATION
    (seen,) = way.seen
    assert not seen.stream and not {"stream", "stream_options"} & set(seen.fields)
