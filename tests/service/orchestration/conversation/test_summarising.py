"""A deployment sums up what no longer fits, after the answer; what may not is not asked."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.domain.conversations import Conversation, Summary, Turn
from service.orchestration.conversation.summarising import INSTRUCTIONS, question_of
from tests.conftest import Server, Service, make_runtime
from tests.service.orchestration.conversation.test_keeping import PLAN, Watched, call, say

MORE = (
    "conversations: {{enabled: true, reserve_tokens: 300, most_tokens: 1500, "
    "summary: {{deployment: plain, after_tokens: 300, most_tokens: 60}}}}\n"
)


def test_the_question_holds_what_was_said_as_data() -> None:
    said = tuple(json.dumps({"role": r, "content": f'{r} says "x"'}).encode() for r in ("user",))
    turns = tuple(Turn(n, 0, str(n), "d", said, 50) for n in (1, 2, 3))
    kept = Conversation("c", "o", turns=turns, summary=Summary("Before.", 1, "d"))
    body = json.loads(question_of(kept, 2, 60).for_upstream("m"))
    assert body["messages"][0]["content"] == INSTRUCTIONS and body["max_tokens"] == 60
    material = json.loads(body["messages"][1]["content"])
    assert material["summary"] == "Before." and len(material["said"]) == 1, "turn 2 alone is new"


@pytest.mark.slow
def test_a_summary_stands_in_the_next_turn(tmp_path: Path) -> None:
    watched = Watched()
    with Server(watched.app()) as providers:
        text = PLAN.rsplit("conversations:", 1)[0] + MORE
        runtime = make_runtime(tmp_path, text.format(url=providers.url))
        with Server(create_app(runtime)) as server:
            service = Service(runtime, server)
            summariser = runtime.summariser
            assert summariser is not None
            deadline = time.monotonic() + 60
            while not summariser.counts["taken"] and time.monotonic() < deadline:
                assert say(service, "s", "The well of Orm is deep. " * 12).status_code == 200
            assert summariser.counts["taken"], dict(summariser.counts)
            whole: Any = call(service, "GET", "/v1/conversations/s").json()
            assert whole["summary"]["deployment"] == "plain" and whole["summary"]["text"]
            assert say(service, "s", "And?").status_code == 200
            notes = next(m for m in watched.sent[-1] if "Notes kept" in json.dumps(m))
            assert whole["summary"]["text"][:30] in json.dumps(notes)
            asked = [s for s in watched.sent if INSTRUCTIONS[:40] in json.dumps(s)]
            assert asked and "Orm" in json.dumps(asked[0])
            before = len(asked)
            for _ in range(8):
                told = say(service, "x", "The well of Orm is deep. " * 12, headgate={
                    "session_id": "x", "conversation": True, "exclude": ["plain"]})  # fmt: skip
                assert told.status_code == 200
            deadline = time.monotonic() + 30
            while summariser._tasks and time.monotonic() < deadline:
                time.sleep(0.02)
            asked = [s for s in watched.sent if INSTRUCTIONS[:40] in json.dumps(s)]
            assert len(asked) == before, "who may not see the conversation is not asked"
            assert summariser.counts["it may not see this conversation"]
