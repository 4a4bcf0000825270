"""Parcels: requests of a batch that go to their provider together, at its batch price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from service.domain.records import Caller


class ParcelState(StrEnum):
    """Where a parcel is in its life; one that is over is gone."""

    GATHERING = "gathering"  # requests still come to it
    SUBMITTING = "submitting"  # the provider may have it, or not
    SENT = "sent"
    LEAVING = "leaving"  # its requests went another way; what it costs is still to be told


@dataclass(frozen=True, slots=True)
class Parcel:
    """A provider's batch, to be or under way. ``mark``: our name of it, which its provider keeps
    beside it; ``remote``, ``file``: the provider's names of it and of its input; ``endpoint``: of
    which address of the deployment; ``why``: for what it is called off, empty where it is not.
    """

    mark: str
    batch_id: str
    deployment: str
    state: ParcelState
    made_us: int
    endpoint: int = 0
    remote: str = ""
    file: str = ""
    sent_us: int = 0
    why: str = ""
    count: int = 0
    size: int = 0  # bytes of its input, about


@dataclass(frozen=True, slots=True)
class Posting:
    """A request that was decided and is to go with a parcel. ``amount``: micro-dollars reserved for
    it; ``told``: what its answer will tell, but what it cost.
    """

    decision_id: str
    deployment: str
    caller: Caller
    task: str
    tokens_in: int
    amount: int
    at_us: int
    told: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Posted:
    """A request in a parcel. ``hours``, ``tries``: as the line of its result tells them."""

    number: int
    posting: Posting
    hours: str
    tries: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A posted request with the caller's name for it and its text."""

    posted: Posted
    custom_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Remote:
    """How a batch stands at its provider, in its words."""

    id: str
    status: str
    mark: str
    file: str = ""
    output: str = ""
    errors: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing of it is answered any more."""
        return self.status in ("completed", "failed", "expired", "cancelled")


@dataclass(frozen=True, slots=True)
class RemoteLine:
    """What a provider tells of a request: a status and a body, or 0 and why there is none."""

    number: int
    status: int
    body: bytes
    code: str = ""
