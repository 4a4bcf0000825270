"""What a judge said of an answer, by which rubric; and what a check of a judge has found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

LEVELS = 5
HALF = 0.5
MOST_RUBRIC = 20_000  # characters of one


class Origin(StrEnum):
    """Why something was judged."""

    SAMPLE = "sample"  # a served answer, drawn by lot
    ASKED = "asked"  # by an operator, or a benchmark
    GOLDEN = "golden"  # to hold the judge against people


class Proof(StrEnum):
    """What is known of a judge."""

    UNPROVEN = "unproven"  # as it now is, it was held against no golden set
    PROVEN = "proven"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Rubric:
    """By what an answer is scored. ``tasks``: those whose answers it is for; empty: of all that
    have none of their own. Another text is another version, and says so.
    """

    name: str
    version: int
    text: str
    tasks: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name and the version."""
        return f"{self.name}@{self.version}"

    @property
    def digest(self) -> str:
        """Of all that a judge is told of it."""
        return digest_of(self.name, str(self.version), self.text)


def given(text: str) -> Rubric:
    """A rubric that somebody gives for one answer, named by its text: another is another."""
    return Rubric(f"given-{digest_of(text)[:8]}", 1, text)


def digest_of(*parts: str) -> str:
    """SHA-256 of the parts, each with its length, 16 hexadecimal digits."""
    made = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "replace")
        made.update(len(data).to_bytes(8, "little") + data)
    return made.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Scored:
    """An absolute score. ``value``: in [0, 1], the mean of both ways round; None where it could
    not be read or was not asked, and ``why`` says which. ``consistent``: both ways round agree.
    """

    value: float | None
    consistent: bool
    cost_micro_usd: int
    judge: str
    rubric: str
    rubric_version: int = 0
    digest: str = ""
    said: tuple[float | None, float | None] = (None, None)
    cached: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A comparison. ``preference``: 0 the first answer, 1 the second, 0.5 neither, or a judge who
    changed its mind with the order; None where it could not be read.
    """

    preference: float | None
    consistent: bool
    cost_micro_usd: int
    judge: str
    rubric: str
    rubric_version: int = 0
    digest: str = ""
    said: tuple[float | None, float | None] = (None, None)
    cached: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Whether an answer is to be judged, and the probability with which it was to be."""

    check: bool
    probability: float


@dataclass(frozen=True, slots=True)
class Judging:
    """One judging as it is kept: no prompt, no answer.

    ``kind``: ``score`` or ``compare``; ``subject``: a golden item's id, else empty; ``deployment``:
    whose answer, empty where nobody said; ``first``, ``second``: what was said either way round,
    in [0, 1]; ``probability``: with which it was drawn; ``length`` and ``decoration``: of the
    answer, characters and marks of style (of a comparison: the second's less the first's);
    ``taught``: whether it became a rating.
    """

    id: str
    at_us: int
    kind: str
    origin: str
    subject: str
    decision_id: str | None
    task: str
    deployment: str
    judge: str
    rubric: str
    digest: str
    value: float | None
    first: float | None
    second: float | None
    consistent: bool
    probability: float
    length: int
    decoration: int
    cost_micro_usd: int
    taught: bool


@dataclass(frozen=True, slots=True)
class JudgeCheck:
    """A judge held against the golden set: Cohen's kappa with its interval, and what follows.

    ``kappa``: the lesser of its scores' and its comparisons'; ``flipped``: the share of attacks
    that turned its mind; ``report`` (JSON): both, by task and trap.
    """

    id: str
    at_us: int
    judge: str
    digest: str
    items: int
    kappa: float | None
    low: float | None
    high: float | None
    flipped: float | None
    state: str
    cost_micro_usd: int
    author: str
    report: str


@dataclass(frozen=True, slots=True)
class Rubrics:
    """The rubrics by name, and which is taken for a task: ``fixed``, or the task's own, or the
    general one.
    """

    known: Mapping[str, Rubric]
    general: str
    fixed: str = ""

    def of(self, task: str, wanted: str = "") -> Rubric:
        """The rubric for an answer; raises KeyError for an unknown name."""
        if wanted or self.fixed:
            return self.known[wanted or self.fixed]
        own = [each for each in self.known.values() if task in each.tasks]
        return own[-1] if own else self.known[self.general]

    @property
    def digest(self) -> str:
        """Of all of them, and of which is taken."""
        each = [f"{r.digest}:{','.join(r.tasks)}" for _, r in sorted(self.known.items())]
        return digest_of(self.general, self.fixed, *each)


def rubrics(shipped: Sequence[Rubric], own: Sequence[Rubric], fixed: str = "") -> Rubrics:
    """The shipped ones and the plan's own, which come before those of the same name or task."""
    known = {each.name: each for each in (*shipped, *own)}
    return Rubrics(known, shipped[0].name, fixed)
