"""What the operators want for a task now, resolved from the overrides in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.records import Override


@dataclass(frozen=True, slots=True)
class Will:
    """Who is excluded (deployment to override id), and the force that holds, if any."""

    excluded: Mapping[str, str]
    forced: Override | None


NO_WILL = Will({}, None)


def will_for(task: str, holding: Sequence[Override]) -> Will:
    """Resolve the overrides in force: exclusions add up; of forces the narrower, then the later.

    Exclusion comes before force: a forced deployment that is excluded is not used.
    """
    if not holding:
        return NO_WILL
    excluded: dict[str, str] = {}
    forced: Override | None = None
    for override in holding:
        if override.task and override.task != task:
            continue
        if override.action == "exclude":
            excluded[override.deployment] = override.id
        elif override.action == "force" and (
            forced is None or bool(override.task) >= bool(forced.task)
        ):
            forced = override
    return Will(excluded, forced)
