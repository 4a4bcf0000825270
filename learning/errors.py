"""What can go wrong while deciding and learning.

LearningError
├── UnknownArm            an arm that the policy does not hold
├── UnknownPolicy         a policy kind that is not registered
├── UnknownParameter      a parameter that the policy kind does not take
├── InvalidInteraction    a value that must not enter the sums (not finite, out of range)
└── SnapshotError
    ├── SnapshotCorrupt   the bytes are not what was frozen
    ├── SnapshotMissing   there are no bytes
    └── SnapshotSchema    frozen by another schema, kind or feature space
"""

from __future__ import annotations


class LearningError(Exception):
    """Base of everything that learning raises."""


class UnknownArm(LearningError):
    """An arm that the policy does not hold."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown arm {name!r}; the policy holds {', '.join(known) or 'none'}")
        self.name = name


class UnknownPolicy(LearningError):
    """A policy kind that is not registered."""

    def __init__(self, kind: str, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown policy kind {kind!r}; registered: {', '.join(known)}")
        self.kind = kind


class UnknownParameter(LearningError, ValueError):
    """A parameter that the policy kind does not take."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown parameter {name!r}; known: {', '.join(known) or 'none'}")
        self.name = name


class InvalidInteraction(LearningError):
    """A value that must not enter a policy's sums."""


class SnapshotError(LearningError):
    """A frozen policy that cannot be thawed."""


class SnapshotCorrupt(SnapshotError):
    """The bytes are not what was frozen."""


class SnapshotMissing(SnapshotError):
    """What was frozen is not there."""


class SnapshotSchema(SnapshotError):
    """Frozen by another schema, kind or feature space."""
