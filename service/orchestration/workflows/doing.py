"""What each kind of step does: calls prepared, reserved for and read."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from service.domain.judging import Rubric
from service.domain.records import Usage
from service.orchestration.scoring import (
    compare_question,
    read_preference,
    read_score,
    score_question,
)
from service.orchestration.workflows.allowance import Allowance
from service.orchestration.workflows.asks import Ask, Calls, Said, StepFailed, summed
from service.orchestration.workflows.forms import (
    CallForm,
    ChatForm,
    ImageForm,
    JudgeForm,
    SelectForm,
    SpeechForm,
)
from service.orchestration.workflows.functions import ValueFault
from service.orchestration.workflows.kinds import IMAGE, fault
from service.orchestration.workflows.operations import Names
from service.orchestration.workflows.plain import PLAIN, chosen, read_json
from service.orchestration.workflows.steps import Step

LONGEST_S = 3_600.0
APART = 0.25  # how far both ways round of a score may lie apart and still be consistent


@dataclass(slots=True)
class _Spent:
    """What one execution has called so far."""

    path: str
    usages: list[Usage] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    deployment: str = ""


_now: ContextVar[_Spent] = ContextVar("workflow_step")


class Doing:
    """The steps of one run that are no steps of steps."""

    def __init__(self, calls: Calls, allowance: Allowance) -> None:
        self._calls, self._allowance = calls, allowance
        self._salt = secrets.token_hex(8)
        self._wrote: dict[str, str] = {}  # digest of a text to the deployment that wrote it
        self._kinds: Mapping[str, Callable[[Step, Names], Awaitable[dict[str, Any]]]] = {
            "chat": self._chat, "image": self._image, "speech": self._speech,
            "embed": self._embed, "judge": self._judge, "select": self._select,
        }  # fmt: skip

    def begin(self, path: str) -> Any:
        """An execution begins; what is given is for its end."""
        return _now.set(_Spent(path))

    def end(self, before: Any) -> dict[str, Any]:
        """What it called, as fields of an entry."""
        spent = _now.get()
        _now.reset(before)
        return {
            "usage": summed(spent.usages), "decisions": tuple(spent.decisions),
            "deployment": spent.deployment, "calls": len(spent.usages),
        }  # fmt: skip

    async def do(self, step: Step, names: Names, path: str) -> dict[str, Any]:
        """The fields of its result; raises StepFailed, LimitReached, HeadgateError."""
        plain = PLAIN.get(step.kind)
        if plain is not None:
            return await plain(step, names)
        return await self._kinds[step.kind](step, names)

    # calls ------------------------------------------------------------------------------------

    async def _ask(self, ask: Ask) -> Said:
        """One call within the run's allowance and the step's own."""
        spent, form = _now.get(), ask.form
        own_left = None
        if form.max_cost_usd is not None:
            own_left = int(form.max_cost_usd * 1e6) - sum(u.cost_micro_usd for u in spent.usages)
        reserved = await self._allowance.reserve(self._calls.worst_micro_usd(ask), own_left)
        bill: list[Usage] = []
        try:
            said = await self._calls.make(replace(ask, most_micro_usd=reserved), bill)
        finally:  # what failed or was called off may have cost all the same
            self._allowance.settle(reserved, sum(each.cost_micro_usd for each in bill))
            spent.usages += bill
        if said.decision_id:
            spent.decisions.append(said.decision_id)
        spent.deployment = said.deployment
        return said

    def _asked(self, kind: str, form: CallForm, body: Mapping[str, Any]) -> Ask:
        left_s = max(min(form.timeout_s or LONGEST_S, self._allowance.left_s), 0.001)
        return Ask(kind, _now.get().path, form, body, left_s)

    def _fields(self, said: Said) -> dict[str, Any]:
        return {
            **said.fields, "deployment": said.deployment,
            "cost_usd": sum(u.cost_micro_usd for u in _now.get().usages) / 1e6,
        }  # fmt: skip

    async def _chat(self, step: Step, names: Names) -> dict[str, Any]:
        form = step.form
        assert isinstance(form, ChatForm)
        body: dict[str, Any] = {"messages": _messages(form, step, names)}
        for key in ("max_tokens", "temperature", "seed"):
            if getattr(form, key) is not None:
                body[key] = getattr(form, key)
        if form.returns is not None and form.returns.kind.name == "object":
            body["response_format"] = {"type": "json_object"}
        said = await self._ask(self._asked("chat", form, body))
        fields = self._fields(said)
        if form.returns is not None:
            value, why = read_json(str(fields.get("text", "")), form.returns.kind)
            if why:
                raise StepFailed("malformed", f"the answer {why}")
            fields["value"] = value
        self.wrote(fields)
        return fields

    def wrote(self, fields: Mapping[str, Any]) -> None:
        """Remember who wrote a text, so that its kin do not judge it."""
        text, name = fields.get("text"), fields.get("deployment")
        if isinstance(text, str) and isinstance(name, str):
            self._wrote[_digest(text)] = name

    async def _image(self, step: Step, names: Names) -> dict[str, Any]:
        form = step.form
        assert isinstance(form, ImageForm)
        body = {"prompt": step.texts["prompt"](names), "size": form.size, "n": 1}
        return self._fields(await self._ask(self._asked("image", form, body)))

    async def _speech(self, step: Step, names: Names) -> dict[str, Any]:
        form = step.form
        assert isinstance(form, SpeechForm)
        text = step.texts["text"](names)
        body = {"input": text, "voice": form.voice, "response_format": form.format}
        said = await self._ask(self._asked("speech", form, body))
        return self._fields(said) | {"characters": len(text)}

    async def _embed(self, step: Step, names: Names) -> dict[str, Any]:
        of = step.values["of"](names)
        texts = of if isinstance(of, list) else [of]
        if not texts or not all(isinstance(each, str) and each for each in texts):
            raise StepFailed("value", "of is neither a text nor a list of texts")
        form = step.form
        assert isinstance(form, CallForm)
        return self._fields(await self._ask(self._asked("embed", form, {"input": texts})))

    # judges -----------------------------------------------------------------------------------

    async def _judge(self, step: Step, names: Names) -> dict[str, Any]:
        form = step.form
        assert isinstance(form, JudgeForm)
        of, question = step.values["of"](names), step.texts["question"](names)
        talk = [{"role": "user", "text": question}]
        rubric, code = _rubric(form.rubric), self._code()
        said: list[float] = []
        last: Said | None = None
        for ascending in (True, False):
            asked = score_question(talk, of, rubric, ascending, code)
            last = await self._ask(self._judging(form, asked.fields["messages"], [of], form.kin))
            level = read_score(_as_answer(last), ascending, code)
            if level is None:
                raise StepFailed("unreadable", "the judge did not answer with its letter")
            said.append(level)
        assert last is not None
        fields = self._fields(last)
        return {
            "score": sum(said) / 2.0, "consistent": abs(said[0] - said[1]) <= APART,
            "deployment": fields["deployment"], "cost_usd": fields["cost_usd"],
        }  # fmt: skip

    def _judging(self, form: CallForm, messages: Any, of: Sequence[str], kin: bool) -> Ask:
        ask = self._asked("chat", form, {"messages": msgspec.json.decode(messages)})
        writers = {self._wrote[d] for d in map(_digest, of) if d in self._wrote}
        return ask if kin or not writers else replace(
            ask, exclude=self._calls.kin(sorted(writers))
        )  # fmt: skip

    def _code(self) -> str:
        """A code that no answer can know beforehand, and of a length that never changes."""
        return _digest(f"{self._salt}:{_now.get().path}")[:6].upper()

    async def _select(self, step: Step, names: Names) -> dict[str, Any]:
        form = step.form
        assert isinstance(form, SelectForm)
        items = step.values["of"](names)
        if not isinstance(items, list) or not items:
            raise StepFailed("value", "of is no list, or an empty one")
        if form.by.judge is None:
            scores, why = chosen(step, items, names)
        else:
            scores, why = await self._compared(step, items, names)
        at = max(range(len(items)), key=lambda index: scores[index])
        cost = sum(u.cost_micro_usd for u in _now.get().usages) / 1e6
        return {"value": items[at], "index": at, "scores": scores, "why": why, "cost_usd": cost}

    async def _compared(
        self, step: Step, items: Sequence[Any], names: Names
    ) -> tuple[list[float], str]:
        """Each against the best so far; an earlier one stays where neither is better."""
        form = step.form
        assert isinstance(form, SelectForm) and form.by.judge is not None
        asked = form.by.judge
        if not all(isinstance(each, str) for each in items):
            raise StepFailed("value", "a judge compares texts")
        talk = [{"role": "user", "text": step.texts["question"](names)}]
        rubric, code, best = _rubric(asked.rubric), self._code(), 0
        scores = [0.0] * len(items)
        for at in range(1, len(items)):
            pair = [items[best], items[at]]
            votes = []
            for turned in (False, True):
                shown = pair[::-1] if turned else pair
                made = compare_question(talk, shown[0], shown[1], rubric, code)
                ask = self._judging(form, made.fields["messages"], pair, asked.kin)
                vote = read_preference(_as_answer(await self._ask(ask)), code)
                if vote is None:
                    raise StepFailed("unreadable", "the judge did not answer with its letter")
                votes.append(1.0 - vote if turned else vote)
            if sum(votes) / 2.0 > 0.5:
                best = at
                scores[at] = max(scores) + 1.0
        return scores, f"preferred over the others it was compared with, {len(items)} in all"


def _messages(form: ChatForm, step: Step, names: Names) -> list[dict[str, Any]]:
    if form.messages is not None:
        told: list[dict[str, Any]] = [
            {"role": each.role, "content": step.texts[f"messages.{at}"](names)}
            for at, each in enumerate(form.messages)
        ]
    else:
        told = [{"role": "user", "content": step.texts["prompt"](names)}]
        if "system" in step.texts:
            told.insert(0, {"role": "system", "content": step.texts["system"](names)})
    if "images" in step.values:
        shown = step.values["images"](names)
        for each in shown if isinstance(shown, list) else [shown]:
            if fault(each, IMAGE):
                raise ValueFault("images holds what is no image")
        parts = [
            {"type": "image_url",
             "image_url": {"url": f"data:{each['media_type']};base64,{each['b64']}"}}
            for each in (shown if isinstance(shown, list) else [shown])
        ]  # fmt: skip
        told[-1]["content"] = [{"type": "text", "text": told[-1]["content"]}, *parts]
    return told


def _rubric(text: str) -> Rubric:
    return Rubric("workflow", 1, text)


def _as_answer(said: Said) -> bytes:
    """What was said in the form that judges are read in."""
    text = str(said.fields.get("text", ""))
    return msgspec.json.encode({"choices": [{"message": {"content": text}}]})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
