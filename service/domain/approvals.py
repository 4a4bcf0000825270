"""The records of what waits for a second person, and of what did not wait."""

from __future__ import annotations

from dataclasses import dataclass

WAITS, BROKE_GLASS = "waits", "break_glass"  # kinds
APPROVED, REJECTED, EXPIRED, VOID, ACKNOWLEDGED = (
    "approved", "rejected", "expired", "void", "acknowledged",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Approval:
    """An act that raises exposure, exactly as it was asked for: the request itself.

    ``standing``: SHA-256 of what it acts on, as that was; ``needs``: the role that it takes.
    ``kind``: it waits to be approved, or it was done at once (``break_glass``) and waits to be
    acknowledged.
    """

    id: str
    at_us: int
    kind: str
    act: str
    subject: str
    standing: str
    method: str
    path: str
    body: str
    reason: str
    author: str
    actor: str
    role: str
    key_id: str
    ip: str
    request_id: str
    needs: str
    expires_us: int


@dataclass(frozen=True, slots=True)
class ApprovalEnd:
    """What became of it, and who said so."""

    approval_id: str
    at_us: int
    how: str
    actor: str
    author: str
    key_id: str
    reason: str
