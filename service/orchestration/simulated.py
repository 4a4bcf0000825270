"""The judges of the simulated world: they read the real question, and answer it in character."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from service.domain.judging import LEVELS
from service.orchestration.golden import FIRST, NEITHER, SECOND, golden
from service.orchestration.judge import FIRST as A
from service.orchestration.judge import NEITHER as TIED
from service.orchestration.judge import SECOND as B
from service.orchestration.plainly import plainly
from service.orchestration.scoring import COMPARES, LETTERS, SCORES, TERMS
from service.providers.simulated_judge import JUDGES, JudgeCharacter, Shown, level, preference

BETTER, WORSE, ALIKE = 0.95, 0.15, 0.75  # the worth of golden answers, by people's view
TIE = 0.1
Worth = Callable[[str, str], tuple[float, tuple[str, ...]]]  # of prompt and answer; and whose it is


class Asked(NamedTuple):
    """A judge's question, as it was put."""

    told: str
    code: str
    prompt: str
    material: Mapping[str, Any]


def asked(messages: list[dict[str, Any]]) -> Asked | None:
    """The question, where a judge is asked; None for any other request."""
    told = messages[0].get("content") if len(messages) == 2 else None
    if not isinstance(told, str) or not told.startswith((SCORES, COMPARES)):
        return None
    material = json.loads(messages[1]["content"])
    code = re.search(r"the code ([0-9A-F]+)", told)
    said = [each["text"] for each in material["conversation"] if each["role"] == "user"]
    return Asked(told, code[1] if code else "", said[-1] if said else "", material)


def answered(
    question: Asked, model: str, worth: Worth, judges: Mapping[str, JudgeCharacter] = JUDGES
) -> str:
    """What the simulated judge says: the code and a letter."""
    who, seed = judges.get(model, JudgeCharacter()), f"{model}\x1f{question.prompt}"

    def shown(text: str) -> Shown:
        known = _golden(question.prompt, text)
        if known is not None:
            return Shown(known[0], text, False, known[1])
        of, whose = worth(question.prompt, text)
        return Shown(of, text, model in whose)

    if question.told.startswith(SCORES):
        ascending = f"A: {TERMS[0]}" in question.told
        place = level(who, shown(question.material["answer"]), LEVELS, ascending, seed)
        return f"{question.code} {LETTERS[place]}"
    one, two = (shown(question.material[f"answer_{letter}"]) for letter in (A, B))
    liked = preference(who, one, two, TIE, seed)
    return f"{question.code} {TIED if liked == 0.5 else B if liked else A}"


def _golden(prompt: str, text: str) -> tuple[float, bool] | None:
    """Texts here hold no quality: of golden answers the simulated world knows what people said of
    them, and whether something was added that speaks to the judge.
    """
    item = _ITEMS.get(prompt)
    if item is None:
        return None
    found = [
        (len(words), which, words)
        for which, answer in ((FIRST, item.first), (SECOND, item.second))
        for words in (answer, plainly(answer).text)
        if words in text
    ]
    if not found:
        return None
    _, which, words = max(found)
    of = ALIKE if item.better == NEITHER else BETTER if item.better == which else WORSE
    return of, text != words


_ITEMS = {each.prompt: each for each in golden()}
