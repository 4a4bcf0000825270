"""Where a request may be answered and what may become of it there: regions and data policies."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.catalog import Deployment

REGION, DATA_POLICY = "region", "data_policy"
# What a deployment may promise of the prompts and answers that it sees.
DATA_POLICIES = ("no_training", "no_retention", "retention_30_days")
_IMPLIED = {"no_retention": "retention_30_days"}  # who keeps nothing keeps nothing for longer


def promised(words: frozenset[str]) -> frozenset[str]:
    """The words with those that they imply."""
    return words | {_IMPLIED[word] for word in words if word in _IMPLIED}


@dataclass(frozen=True, slots=True)
class Demand:
    """Hard: ``regions`` (one of them; None: anywhere) and every word of ``data_policy``.

    A deployment that does not say where it is, or what it promises, meets no such demand.
    """

    regions: frozenset[str] | None = None
    data_policy: frozenset[str] = frozenset()

    def unmet(self, deployment: Deployment) -> str | None:
        """Which part a deployment does not meet; None when it meets all."""
        if self.regions is not None and deployment.region not in self.regions:
            return REGION
        if self.data_policy and not self.data_policy <= deployment.data_policy:
            return DATA_POLICY
        return None

    def along(self, other: Demand) -> Demand:
        """Both at once: demands add up, none is ever relaxed by another."""
        regions = self.regions if other.regions is None else other.regions
        if self.regions is not None and other.regions is not None:
            regions = self.regions & other.regions
        return Demand(regions, self.data_policy | other.data_policy)

    def told(self, reason: str) -> str:
        """A reason of ``unmet`` with what is demanded, for whoever is refused."""
        if reason == REGION and self.regions is not None:
            return f"{reason} (demanded: {' or '.join(sorted(self.regions)) or 'none fits all'})"
        if reason == DATA_POLICY:
            return f"{reason} (demanded: {' and '.join(sorted(self.data_policy))})"
        return reason


NO_DEMAND = Demand()
