"""One version as it learns: its policy, its last checkpoint, and what it publishes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from learning.policies.base import Policy
from service.domain.clock import new_id
from service.domain.live import Published
from service.domain.records import Checkpoint, PolicyMark, Version


@dataclass(slots=True)
class Fold:
    """A version's state is a fold over the updates; ``saved_seq``: the last one in a checkpoint."""

    version: Version
    policy: Policy
    checkpoint_id: str
    saved_seq: int

    def published(self, seq: int, at_s: float) -> Published:
        """The view of the state as it stands after update ``seq``, as of ``at_s``."""
        version = self.version
        mark = PolicyMark(version.policy, version.id, self.checkpoint_id, seq)
        return Published(self.policy.chooser(at_s), mark, len(self.policy.setup.features))

    def checkpoint(self, seq: int, at_us: int) -> tuple[Checkpoint, bytes]:
        """The state at rest after update ``seq``, not durable yet."""
        return checkpoint_of(self.version.id, self.policy.freeze(), seq, at_us)

    def saved(self, checkpoint: Checkpoint) -> None:
        """That checkpoint is durable."""
        self.checkpoint_id, self.saved_seq = checkpoint.id, checkpoint.update_seq


def checkpoint_of(version_id: str, data: bytes, seq: int, at_us: int) -> tuple[Checkpoint, bytes]:
    """A checkpoint of these bytes."""
    digest = hashlib.sha256(data).hexdigest()
    return Checkpoint(new_id(), at_us, version_id, seq, digest, len(data)), data
