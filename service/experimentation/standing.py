"""What people ruled of versions that were rolled back: released, or retired for good."""

from __future__ import annotations

from collections.abc import Iterable

from service.domain.errors import Conflict
from service.domain.reviews import ReviewItem, ReviewTurn

RELEASE, RETIRE = "release", "retire"


class VersionStanding:
    """Rollbacks from before a release do not count towards the quarantine."""

    def __init__(self) -> None:
        self.released_us: dict[str, int] = {}
        self.retired: set[str] = set()

    def load(self, rulings: Iterable[tuple[ReviewItem, ReviewTurn]]) -> None:
        """After a restart, in their order."""
        for item, turn in rulings:
            self.took(item.subject, turn.verdict or "", turn.at_us)

    def took(self, version_id: str, verdict: str, at_us: int) -> None:
        """A ruling is durable."""
        if verdict == RELEASE:
            self.released_us[version_id] = at_us
        elif verdict == RETIRE:
            self.retired.add(version_id)

    def check(self, version_id: str) -> None:
        """Raises Conflict for a version that was retired."""
        if version_id in self.retired:
            raise Conflict(
                f"version {version_id} was retired after it had been rolled back; make a new "
                "version of what it was to do",
                code="version_retired",
            )
