"""Where the way out and the way back meet: the chooser now published, and its mark."""

from __future__ import annotations

from dataclasses import dataclass

from learning.policies.base import Chooser
from service.domain.records import PolicyMark


@dataclass(frozen=True, slots=True)
class Published:
    """A chooser and what it has learned so far."""

    chooser: Chooser
    mark: PolicyMark


class LivePolicy:
    """The holder of what is published; swapped whole, so a request sees one or the other."""

    def __init__(self, published: Published) -> None:
        self.current = published
