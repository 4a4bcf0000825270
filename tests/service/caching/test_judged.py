"""Answers that never repeat, found as good by a proven judge of the panel, over simulated calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.caching.semantic import Semantic
from service.providers.simulated import CHARACTERS, Simulated, Stream
from service.providers.simulated_judge import JudgeCharacter
from service.simulate import SimulatedProviders
from service.storage.cases import rows_of
from tests.conftest import KEY, Server, Service, make_runtime, plan_text

pytestmark = pytest.mark.slow
PLAN = """
judging: {judges: [brook, river, fall], share: 0, usd_per_day: 5, golden: {auto: false}}
cache:
  without_temperature: true
  semantic: {tasks: {other: {}}, delta: 0.4, most_false: 0.5, shadow_share: 1, judge: true}
"""
FACTS = {"basalt": "a rock of cooled lava", "heron": "a bird that wades", "tide": "a rise of it"}
WAYS = ("It is {}.", "You could call it {}.", "Plainly said, {}.", "As far as is known: {}.",
        "{}, that is what it is.", "Most people say {}.", "A word more or less, {}.")  # fmt: skip


@dataclass(slots=True)
class Telling(Stream):
    """Tells a fact in other words each time; ``wrong``: of these it tells another one's."""

    wrong: set[str] = field(default_factory=set)

    def answer(self, model: str, prompt: str, tokens_in: int) -> Simulated:
        shown = Stream.answer(self, model, prompt, tokens_in)
        word = next((each for each in FACTS if each in prompt), "")
        fact = "something else" if word in self.wrong else FACTS.get(word, "nothing")
        text = WAYS[sum(prompt.encode()) % len(WAYS)].format(fact)
        return replace(shown, status=200, text=f"{text} ({len(prompt)})", tokens_out=12)


class Knowing(SimulatedProviders):
    """Its judges see what an answer is worth to a question: whether the fact is in it."""

    def _known(self, prompt: str, text: str) -> tuple[float, tuple[str, ...]]:
        word = next((each for each in FACTS if each in prompt), "")
        return (0.9 if word and FACTS[word] in text else 0.1), ()


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


class Asking:
    """A caller of the service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        head = {"Authorization": f"Bearer {KEY}"}
        self.http = httpx.Client(base_url=service.url, headers=head, timeout=60, trust_env=False)
        caching = service.runtime.caching
        assert caching is not None and isinstance(caching.further, Semantic)
        self.semantic = caching.further

    def told(self, text: str) -> tuple[str, str]:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        answer = self.http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        until(lambda: not self.semantic._beside)
        said: str = answer.json()["choices"][0]["message"]["content"]
        return answer.headers["x-headgate-cache"], said

    def wish(self, word: str, times: int = 40) -> list[tuple[str, str]]:
        starts = ("", "please ", "hello ", "hi ", "thanks ")
        verbs = ("tell", "show", "give", "say", "explain", "describe", "need", "want")
        texts = [f"{start}{verb} what a {word} is" for start in starts for verb in verbs]
        return [self.told(text) for text in texts[:times]]

    def judge(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/admin/judge").json()
        return found

    def prove(self, judge: str) -> None:
        begun = self.http.post("/admin/judge/check", json={"judge": judge, "author": "mara"})
        assert begun.status_code < 400, begun.text
        until(lambda: self.judge()["checking"] is None)
        state = {each["judge"]: each["state"] for each in self.judge()["judges"]}
        assert state[judge] == "proven", state


def test_a_proven_judge_says_which_of_differing_answers_are_as_good(tmp_path: Path) -> None:
    world = Telling(seed=11, characters=CHARACTERS, speed=2_000.0)
    text = plan_text("PROVIDERS") + PLAN
    policy = text[text.index("policy:") : text.index("reward:")]
    text = text.replace(policy, "policy: {kind: fixed, parameters: {arm: brook}}\n\n")
    careful = {name: JudgeCharacter(noise=0.03) for name in ("brook", "river", "fall")}
    with Server(Knowing(world, careful).app()) as providers, ExitStack() as closing:
        runtime = make_runtime(tmp_path, text.replace("PROVIDERS", providers.url))
        with Server(create_app(runtime)) as server:
            asking = Asking(Service(runtime, server))
            closing.callback(asking.http.close)
            counts = asking.semantic.of("other").counts
            unproven = asking.wish("basalt", 10)
            assert {how for how, _ in unproven} == {"miss"} and len({s for _, s in unproven}) > 5
            assert counts["judged"] == counts["wrong"] > 5, "nobody is proven: all that differ"
            asking.prove("brook")  # kin of every answer here
            asking.prove("fall")
            right = counts["right"]
            hows = [how for how, _ in asking.wish("heron")]
            assert "semantic" in hows[10:] and hows[:3] == ["miss"] * 3
            assert counts["right"] > right
            runtime.kept.log.flush().result(10)
            calls = rows_of(
                runtime.kept.database.cursor(),
                "SELECT deployment, count(*) AS calls FROM attempts WHERE role = 'judge' "
                "AND decision_id IN (SELECT decision_id FROM outcomes) GROUP BY deployment",
            )
            assert [each["deployment"] for each in calls] == ["fall"], "kin is passed over"
            world.wrong.add("heron")  # the kept answers were right, what comes now is not
            world.wrong.add("tide")
            assert {how for how, _ in asking.wish("tide", 4)} == {"miss"}
            world.wrong.clear()
            wrong = counts["wrong"]
            asking.told("would you tell me what a tide is")
            assert counts["wrong"] > wrong, "a kept answer that is worse is found out"
