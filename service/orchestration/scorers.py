"""Scorers: what an answer is worth, from 0 to 1, by rules that can be read."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.orchestration.sandbox import Examined, Limits, examine
from service.orchestration.structure import bare, code_in, held

# Linear: a sign, digits with thousands parted by commas, a fraction, an exponent.
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
)
_MINUS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " "})
MAX_ANSWER = 200_000  # characters that are looked at


@dataclass(frozen=True, slots=True)
class Check:
    """How an answer is scored: by which scorer, against what, and how strictly."""

    scorer: str
    reference: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """``value`` in [0, 1], None where the scorer could not say; ``note``: why, in words;
    ``judge``: who said so, and ``cost_micro_usd``: of its calls.
    """

    value: float | None
    note: str = ""
    cost_micro_usd: int = 0
    judge: str = ""


class Judged(Protocol):
    """What a judge says of one answer. ``consistent``: the same when asked otherwise."""

    @property
    def value(self) -> float | None:
        """In [0, 1]; None: it could not say."""

    @property
    def consistent(self) -> bool:
        """Whether it held to it."""

    @property
    def cost_micro_usd(self) -> int:
        """What asking cost."""

    @property
    def judge(self) -> str:
        """Its name."""


class RubricJudge(Protocol):
    """Who scores an answer by a rubric."""

    async def score(
        self, conversation: Sequence[Mapping[str, Any]], answer: str, rubric: str
    ) -> Judged:
        """What the answer to the conversation is worth by the rubric."""


async def score(
    check: Check,
    answer: str,
    conversation: Sequence[Mapping[str, Any]] = (),
    judge: RubricJudge | None = None,
    limits: Limits | None = None,
) -> Score:
    """What an answer is worth by its check; never raises for what an answer holds."""
    text = answer[:MAX_ANSWER]
    if check.scorer == "rubric":
        return await _rubric(check, text, conversation, judge)
    if check.scorer == "code":
        return _examined(await examine(code_in(text), tuple(check.reference), limits or Limits()))
    return PLAIN[check.scorer](check, text)


# exact ----------------------------------------------------------------------------------------


def _exact(check: Check, answer: str) -> Score:
    wanted = [check.reference] if isinstance(check.reference, str) else check.reference
    strict = bool(check.options.get("case"))
    said = bare(answer, strict)
    return Score(float(any(said == bare(each, strict) for each in wanted)))


# numeric --------------------------------------------------------------------------------------


def final_number(text: str) -> float | None:
    """The last number of a text, a fraction such as 3/4 as its value; None where there is none."""
    plain = text.translate(_MINUS)
    found = list(_NUMBER.finditer(plain))
    if not found:
        return None
    last = _value(found[-1][0])
    if len(found) > 1 and last:
        between = plain[found[-2].end() : found[-1].start()]
        if between.strip() == "/" and found[-1][0][0] not in "+-":
            return _value(found[-2][0]) / last
    return last


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def _numeric(check: Check, answer: str) -> Score:
    said = final_number(answer)
    if said is None:
        return Score(0.0, "there is no number")
    absolute = float(check.options.get("tolerance", 1e-6))
    relative = float(check.options.get("relative", 0.0))
    near = math.isclose(said, float(check.reference), rel_tol=relative, abs_tol=absolute)
    return Score(float(near), f"said {said:g}")


# choice ---------------------------------------------------------------------------------------


def chosen(text: str, letters: str) -> str | None:
    """The letter that an answer chooses: alone, after the last "answer", or marked as in "(B)" or
    "B)"; None where it chooses none, or several.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    bare = plain.strip(" .):(*\"'`")
    if len(bare) == 1:
        return bare.upper() if bare.upper() in letters else None
    at = plain.casefold().rfind("answer")
    tail = plain[at + len("answer") :] if at >= 0 else ""
    for part in (tail, plain):
        marked = list(dict.fromkeys(_marked(part, letters)))
        if len(marked) == 1 or (marked and part is tail):
            return marked[0]
    return None


def _marked(text: str, letters: str) -> list[str]:
    """Capital letters that stand alone and are no article."""
    found = []
    for at, sign in enumerate(text):
        if sign not in letters:
            continue
        before = text[at - 1] if at else " "
        after = text[at + 1] if at + 1 < len(text) else " "
        if before.isalnum() or after.isalnum() or after == "'":
            continue
        article = sign in "AI" and after == " " and at + 2 < len(text)
        if not article or before in "(*":
            found.append(sign)
    return found


def _choice(check: Check, answer: str) -> Score:
    letters = str(check.options.get("letters", "ABCD"))
    said = chosen(answer, letters)
    return Score(float(said == check.reference), f"chose {said or 'none'}")


def _structure(check: Check, answer: str) -> Score:
    """The share of the checks that hold, or all or nothing with the option ``all``."""
    told = held(check.reference, answer)
    share = sum(told.values()) / len(told)
    value = float(share == 1.0) if check.options.get("all") else share
    failed = [name for name, holds in told.items() if not holds]
    return Score(value, f"not {', '.join(failed)}" if failed else "")


# code -----------------------------------------------------------------------------------------


def _examined(found: Examined) -> Score:
    if found.passed is None:
        return Score(None, f"could not be run: {found.why}")
    note = f"{found.passed} of {found.tests} tests"
    return Score(found.passed / found.tests, f"{note}, {found.why}" if found.why else note)


# rubric ---------------------------------------------------------------------------------------


async def _rubric(
    check: Check, answer: str, conversation: Sequence[Mapping[str, Any]], judge: RubricJudge | None
) -> Score:
    if judge is None:
        return Score(None, "there is no judge")
    found = await judge.score(conversation, answer, check.reference or "")
    if found.value is None:
        return Score(None, "the judge could not say", found.cost_micro_usd, found.judge)
    note = "" if found.consistent else "the judge did not hold to it"
    return Score(min(1.0, max(0.0, found.value)), note, found.cost_micro_usd, found.judge)


PLAIN: Mapping[str, Callable[[Check, str], Score]] = {
    "exact": _exact,
    "numeric": _numeric,
    "choice": _choice,
    "structure": _structure,
}
