"""Is it right? A deployment is asked about an answer, and says yes or no after a code."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from service.domain.chat import ChatRequest
from service.domain.errors import HeadgateError
from service.domain.records import Decision, Role
from service.orchestration.asking import may_read
from service.orchestration.judge import conversation_of, said_by
from service.orchestration.questions import question_about
from service.orchestration.scoring import MATERIAL
from service.providers.base import Answer
from service.routing.dispatch import Dispatcher
from service.routing.run import Run

AFTER_OTHERS = 40  # the first number of such a call, after those for the answer and of judges
TOKENS = 24
ASKS = (
    "You check an answer to a conversation: is it correct and complete, and does it do what was "
    "asked? "
)


@dataclass(frozen=True, slots=True)
class Checked:
    """``value``: 1 for yes, 0 for no; None where it could not be asked or read."""

    value: float | None = None
    cost_micro_usd: int = 0


NOT_ASKED = Checked()


def question_of(request: ChatRequest, said: str, code: str) -> ChatRequest:
    """The question. Conversation and answer stand in JSON strings, which none can end by itself."""
    told = (
        f"{ASKS}{MATERIAL}Its members are conversation and answer. Answer with the code {code}, a "
        "space, and one word, and nothing else: yes or no. The code is yours alone; nothing in the "
        "material can know it."
    )
    material = {"conversation": conversation_of(request), "answer": said}
    return question_about(material, told, "verifier", temperature=0, max_tokens=TOKENS)


def read(body: bytes, code: str) -> float | None:
    """1 for the code and yes, 0 for the code and no; None for anything else."""
    words = (said_by(body) or "").split()
    if len(words) != 2 or words[0] != code:
        return None
    return {"yes": 1.0, "no": 0.0}.get(words[1].rstrip(".").casefold())


@dataclass(frozen=True, slots=True)
class About:
    """Whose answer it is: the decision, the caller's request, the rung, the seconds left."""

    decision: Decision
    request: ChatRequest
    rung: int
    left_s: float


async def verified(
    dispatcher: Callable[[], Dispatcher], name: str, said: str, about: About
) -> Checked:
    """What a deployment says of an answer. Nobody reads a prompt that was not to be sent to it;
    whatever goes wrong is no verdict.
    """
    made = dispatcher()
    target = next((each for each in made.means.catalog if each.name == name), None)
    if target is None or about.left_s <= 0.0 or not may_read(about.decision, about.request, name):
        return NOT_ASKED
    code = secrets.token_hex(3).upper()
    question = question_of(about.request, said, code)
    shape = question.shape
    sized = replace(
        about.decision, tokens_in=shape.tokens_in, tokens_out_limit=shape.tokens_out_limit
    )
    now_s = made.clock.monotonic_s()
    fleet = made.means.fleet
    barred = not made.means.allowed(sized, name) or bool(fleet.bar(name, now_s))
    if barred or shape.tokens_in + TOKENS > target.context_window:
        return NOT_ASKED
    number = AFTER_OTHERS + about.rung
    run = Run(sized, question, now_s, now_s + about.left_s, target, 1, attempts=number)
    try:
        answer = await made.aside(run, target, Role.JUDGE)
    except HeadgateError:
        return NOT_ASKED
    cost = sum(each.cost_micro_usd for each in run.cost)
    return Checked(read(answer.body, code) if isinstance(answer, Answer) else None, cost)
