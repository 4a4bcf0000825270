"""Prompt files of benchmarks: a line a prompt, checked whole before anything is asked."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from service.domain.chat import ROLES
from service.domain.errors import Problem
from service.orchestration.references import problem
from service.orchestration.scorers import Check

FIELDS = (
    "id", "task", "prompt", "messages", "scorer", "reference", "options", "max_tokens",
    "difficulty", "right", "wrong",
)  # fmt: skip
MOST_BYTES = 20_000_000
MOST_PROMPTS = 10_000
MOST_TOLD = 20  # problems of one file
PACKAGED = "the package's prompts"
MAX_TOKENS = 512  # of an answer, where the file does not say
NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt and how its answers are scored. ``difficulty`` in [0, 1], by who wrote it; None:
    not said. ``right`` and ``wrong``: answers that show the scorer at work.
    """

    id: str
    task: str
    messages: tuple[Mapping[str, Any], ...]
    check: Check
    max_tokens: int = MAX_TOKENS
    difficulty: float | None = None
    right: str | None = None
    wrong: str | None = None

    @property
    def words(self) -> int:
        """Of all its messages."""
        return sum(len(str(each["content"]).split()) for each in self.messages)

    @property
    def tokens_in(self) -> int:
        """About what its messages count, on the safe side: three characters a token."""
        return 8 + sum(4 + len(str(each["content"]).encode()) // 3 for each in self.messages)


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A checked file. ``digest``: of its bytes, so that results name what was asked."""

    items: tuple[Item, ...]
    digest: str
    source: str
    data: bytes

    @property
    def tasks(self) -> tuple[str, ...]:
        """Each task once, in order."""
        return tuple(sorted({each.task for each in self.items}))


class PromptsInvalid(Exception):
    """A prompt file that cannot be used, with its problems."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        more = len(problems) - MOST_TOLD
        told = [f"  {each}" for each in problems[:MOST_TOLD]]
        told += [f"  and {more} more"] if more > 0 else []
        super().__init__("\n".join([f"{source} cannot be used:", *told]))
        self.problems = tuple(problems)


def read(path: Path) -> PromptFile:
    """A prompt file; raises PromptsInvalid with every problem, its line and its field."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PromptsInvalid(str(path), [Problem("file", f"is longer than {MOST_BYTES} bytes")])
        data = path.read_bytes()
    except OSError as error:
        problem = Problem("file", f"cannot be read: {error.strerror}")
        raise PromptsInvalid(str(path), [problem]) from None
    return parse(data, str(path))


def packaged() -> PromptFile:
    """The prompts that come with the package: data/benchmark_prompts.jsonl of the repository."""
    data = (resources.files("service.benchmarking") / "prompts.jsonl").read_bytes()
    return parse(data, PACKAGED)


def parse(data: bytes, source: str) -> PromptFile:
    """A prompt file's bytes, checked."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise PromptsInvalid(source, [Problem("file", "is not UTF-8 text")]) from None
    items: list[Item] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        made, wrong = _item(line)
        problems += [Problem(p.key, p.message, p.mend, number) for p in wrong]
        if made is None:
            continue
        if made.id in seen:
            told = f"{made.id!r} stands in line {seen[made.id]} already"
            problems.append(Problem("id", told, "give each prompt its own", number))
        seen[made.id] = number
        items.append(made)
    if not items and not problems:
        problems.append(Problem("file", "holds no prompts", "give one JSON object a line"))
    if len(items) > MOST_PROMPTS:
        problems.append(Problem("file", f"holds more than {MOST_PROMPTS} prompts"))
    if problems:
        raise PromptsInvalid(source, problems)
    return PromptFile(tuple(items), hashlib.sha256(data).hexdigest(), source, data)


def sample(items: Iterable[Item], count: int, seed: int) -> tuple[Item, ...]:
    """So many of the prompts, the tasks as even as their numbers allow, drawn by the seed."""
    by_task: dict[str, list[Item]] = {}
    for each in items:
        by_task.setdefault(each.task, []).append(each)
    draw = random.Random(seed)
    for task in sorted(by_task):
        by_task[task].sort(key=lambda each: each.id)
        draw.shuffle(by_task[task])
    taken: list[Item] = []
    while len(taken) < count and any(by_task.values()):
        for task in sorted(by_task):
            if by_task[task] and len(taken) < count:
                taken.append(by_task[task].pop())
    return tuple(sorted(taken, key=lambda each: each.id))


def _item(line: str) -> tuple[Item | None, list[Problem]]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        told = getattr(error, "msg", "it is nested too deeply")
        return None, [Problem("line", f"is no JSON: {told}", "give one object a line")]
    if not isinstance(row, dict):
        return None, [Problem("line", "is no JSON object", "give one object a line")]
    problems = [
        Problem(name, "is no field of a prompt", f"there are: {', '.join(FIELDS)}")
        for name in row
        if name not in FIELDS
    ]
    problems += [*_names(row), *_numbers(row), *_examples(row)]
    messages, wrong = _messages(row)
    problems += wrong
    options = row.get("options", {})
    if not isinstance(options, dict):
        problems.append(Problem("options", "must be an object"))
        options = {}
    check = Check(str(row.get("scorer", "")), row.get("reference"), options)
    if (found := problem(check)) is not None:
        problems.append(Problem(*found))
    if problems:
        return None, problems
    made = Item(
        row["id"], row["task"], messages, check, row.get("max_tokens", MAX_TOKENS),
        row.get("difficulty"), row.get("right"), row.get("wrong"),
    )  # fmt: skip
    return made, []


def _names(row: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for name in ("id", "task"):
        value = row.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= 64 or set(value) - NAME:
            told = "is missing" if value is None else f"is {value!r}"
            mend = "give up to 64 letters, digits, and . _ - /"
            problems.append(Problem(name, told, mend))
    return problems


def _numbers(row: Mapping[str, Any]) -> list[Problem]:
    problems = []
    most = row.get("max_tokens", MAX_TOKENS)
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= 32_768:
        problems.append(Problem("max_tokens", f"is {most!r}", "give a whole number, 1 to 32768"))
    hard = row.get("difficulty")
    if hard is not None:
        number = isinstance(hard, int | float) and not isinstance(hard, bool)
        if not number or not math.isfinite(hard) or not 0.0 <= hard <= 1.0:
            problems.append(Problem("difficulty", f"is {hard!r}", "give a number from 0 to 1"))
    return problems


def _examples(row: Mapping[str, Any]) -> list[Problem]:
    return [
        Problem(name, "must be a text", "give an example answer, or leave it out")
        for name in ("right", "wrong")
        if row.get(name) is not None and not isinstance(row[name], str)
    ]


def _messages(row: Mapping[str, Any]) -> tuple[tuple[Mapping[str, Any], ...], list[Problem]]:
    prompt, messages = row.get("prompt"), row.get("messages")
    if (prompt is None) == (messages is None):
        return (), [Problem("prompt", "give either prompt or messages", "one of them")]
    if prompt is not None:
        if not isinstance(prompt, str) or not prompt.strip():
            return (), [Problem("prompt", "must be a text that is not empty")]
        return ({"role": "user", "content": prompt},), []
    if not isinstance(messages, list) or not messages:
        return (), [Problem("messages", "must be a list of messages")]
    for at, each in enumerate(messages):
        good = isinstance(each, dict) and set(each) == {"role", "content"}
        if not good or each["role"] not in ROLES or not isinstance(each["content"], str):
            mend = f"give role (one of {', '.join(ROLES)}) and content, a text"
            return (), [Problem(f"messages.{at}", "is no message", mend)]
    if messages[-1]["role"] != "user":
        return (), [Problem("messages", "must end with what a user says")]
    return tuple(messages), []
