"""A version as it learns: what it publishes carries its mark, its checkpoint its bytes."""

from __future__ import annotations

import hashlib

from learning.policies.registry import build
from service.domain.records import Version
from service.feedback.fold import Fold
from tests.service.feedback.test_learner import WANTED


def test_published_and_at_rest() -> None:
    policy = build(WANTED.kind, WANTED.setup, WANTED.parameters)
    version = Version("v", 0, "default", WANTED.kind, WANTED.description(), None, "me", "why")
    fold = Fold(version, policy, "", -1)
    view = fold.published(7, 1.0)
    assert (view.mark.version_id, view.mark.update_seq, view.mark.checkpoint_id) == ("v", 7, "")
    assert view.width == len(WANTED.setup.features)
    checkpoint, data = fold.checkpoint(7, 123)
    assert data == policy.freeze() and checkpoint.size_bytes == len(data)
    assert checkpoint.sha256 == hashlib.sha256(data).hexdigest()
    fold.saved(checkpoint)
    assert (fold.checkpoint_id, fold.saved_seq) == (checkpoint.id, 7)
    assert fold.published(8, 1.0).mark.checkpoint_id == checkpoint.id
