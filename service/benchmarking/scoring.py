"""From an answer to its score: the prompt's scorer, and the service's judge over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.benchmarking.journal import Scored
from service.benchmarking.prompts import Item
from service.client import AsyncClient
from service.orchestration.sandbox import Limits
from service.orchestration.scorers import RubricJudge, score

JUDGE_PATH = "/admin/judge/score"
ROOMS = 2  # sandboxes at a time


@dataclass(frozen=True, slots=True)
class Said:
    """A judge's word."""

    value: float | None
    consistent: bool
    cost_micro_usd: int
    judge: str = ""


class HttpJudge:
    """The judge of a running service. One that is not there, or refuses, cannot say."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.failure = ""

    def of(self, deployment: str, task: str) -> RubricJudge:
        """The judge of an answer of that deployment, who is none of its kin."""
        return _Asking(self, deployment, task)

    async def said(self, body: Mapping[str, Any]) -> Said:
        """What the service's judge says."""
        status, content, _ = await self._client.post(JUDGE_PATH, dict(body))
        if status != 200 or not isinstance(content, dict):
            self.failure = _why(status, content)
            return Said(None, False, 0)
        value = content.get("value")
        if value is None:
            self.failure = str(content.get("why") or self.failure)
        return Said(
            None if value is None else float(value), bool(content.get("consistent")),
            round(float(content.get("cost_usd") or 0.0) * 1e6), str(content.get("judge") or ""),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Asking:
    """The service's judge, asked about one deployment's answer to a prompt of a task."""

    judge: HttpJudge
    deployment: str
    task: str

    async def score(
        self, conversation: Sequence[Mapping[str, Any]], answer: str, rubric: str
    ) -> Said:
        body: dict[str, Any] = {
            "messages": [dict(each) for each in conversation], "answer": answer,
            "deployment": self.deployment, "task": self.task,
        }  # fmt: skip
        if rubric:
            body["rubric_text"] = rubric
        return await self.judge.said(body)


class Scorers:
    """Scores answers, code at most two at a time."""

    def __init__(self, judge: HttpJudge | None, limits: Limits | None = None) -> None:
        self._judge, self._limits = judge, limits or Limits()
        self._rooms = asyncio.Semaphore(ROOMS)

    async def scored(self, key: str, item: Item, answer: str, deployment: str = "") -> Scored:
        """What an answer of a deployment is worth."""
        if item.check.scorer == "code":
            async with self._rooms:
                found = await score(item.check, answer, limits=self._limits)
        else:
            judge = self._judge.of(deployment, item.task) if self._judge is not None else None
            found = await score(item.check, answer, item.messages, judge)
        return Scored(key, found.value, found.note, found.cost_micro_usd, found.judge)


async def faults(items: Sequence[Item]) -> list[tuple[str, str, float | None]]:
    """Prompts whose own examples are not scored as they say: the id, which, and the score."""
    scorers = Scorers(None)
    found = []
    for item in items:
        if item.check.scorer == "rubric":
            continue
        for name, text, good in (("right", item.right, True), ("wrong", item.wrong, False)):
            if text is None:
                continue
            value = (await scorers.scored(item.id, item, text)).value
            if value is None or (value == 1.0) != good:
                found.append((item.id, name, value))
    return found


def _why(status: int, content: Any) -> str:
    try:
        return str(content["error"]["message"])
    except (KeyError, TypeError):
        return f"status {status}"
