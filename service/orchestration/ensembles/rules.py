"""What an ensemble is: who is asked, how often, when it is enough, and how one answer is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import msgspec

from service.domain.judging import digest_of
from service.orchestration.scorers import Check

VOTE, WEIGHTED, SCORER, JUDGE, FUSION = "vote", "weighted", "scorer", "judge", "fusion"
VOTING = (VOTE, WEIGHTED)
JUDGED_SCORER = "rubric"


@dataclass(frozen=True, slots=True)
class Gathering:
    """How outputs are gathered: at most ``most``, ``at_once`` of them at a time, until ``first``
    have answered (0: all), or the stop rule is ``sure``, or a score reaches ``enough``.
    """

    most: int = 3
    at_once: int = 3
    first: int = 0
    stop: str = ""  # beta or dirichlet; empty: only where the winner can no longer change
    sure: float = 0.95
    enough: float = 1.0

    @property
    def adaptive(self) -> bool:
        """Whether further outputs are asked for only when they are needed."""
        return self.at_once < self.most


@dataclass(frozen=True, slots=True)
class Comparing:
    """``share``: of the requests, answered by the single deployment; ``routed``: as drawn.
    ``after``: rated answers of both after which it must have won, or is switched off; ``gain``:
    quality that it is believed to add before that is known, worth ``belief`` rated answers.
    """

    share: float = 0.1
    routed: float = 0.05
    after: int = 400
    alpha: float = 0.05
    gain: float = 0.02
    belief: float = 50.0


@dataclass(frozen=True, slots=True)
class EnsembleRules:
    """One ensemble. ``tasks``: empty for whatever asks for it by name; ``members``: empty for the
    best single deployment, several times; ``within``: how far below the best a member's expected
    quality may lie; ``against``: empty for the best single deployment.
    """

    name: str
    tasks: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    within: float = 0.15
    by: str = VOTE
    answers: str = "text"  # how an answer is read as a vote: number, choice, json or text
    letters: str = "ABCD"
    possible: int = 10  # answers, in the weight of a vote
    check: Check | None = None
    fuser: str = ""
    against: str = ""
    temperature: float | None = None
    gathering: Gathering = field(default_factory=Gathering)
    comparing: Comparing = field(default_factory=Comparing)

    @property
    def digest(self) -> str:
        """Of all that its evidence depends on: another ensemble is judged anew."""
        told: dict[str, Any] = asdict(replace(self, comparing=Comparing(), tasks=()))
        return digest_of(msgspec.json.encode(told, order="sorted").decode())

    @property
    def judged(self) -> bool:
        """Whether judges choose, so that their ratings of what they chose are no evidence."""
        by_rubric = self.check is not None and self.check.scorer == JUDGED_SCORER
        return self.by == JUDGE or (self.by == SCORER and by_rubric)


def rules_for(known: Sequence[EnsembleRules], task: str, asked: bool) -> EnsembleRules | None:
    """The ensemble for a request: its task's; ``asked`` for by name, also the one of no task."""
    own = next((each for each in known if task in each.tasks), None)
    if own is None and asked:
        own = next((each for each in known if not each.tasks), None)
    return own
