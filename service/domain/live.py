"""Where the way out and the way back meet: the chooser now published, and its mark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from learning.policies.base import Chooser
from service.domain.records import PolicyMark


@dataclass(frozen=True, slots=True)
class Published:
    """A chooser and what it has learned so far; ``width``: of the features that it reads."""

    chooser: Chooser
    mark: PolicyMark
    width: int = 0

    def states(self) -> dict[str, str]:
        """What a person is shown of each deployment; empty where the policy tells nothing."""
        return dict(zip(self.chooser.arms, self.chooser.states, strict=False))


class LivePolicy:
    """The holder of what is published; swapped whole, so a request sees one or the other.

    ``current`` decides for everybody; ``others``, by version id, learn beside it and decide where
    an experiment says so, or in its shadow.
    """

    def __init__(self, published: Published) -> None:
        self.current = published
        self.others: Mapping[str, Published] = {}

    def of(self, version_id: str) -> Published | None:
        """What a version publishes now; None when it is neither live nor learning beside it."""
        if version_id == self.current.mark.version_id:
            return self.current
        return self.others.get(version_id)
