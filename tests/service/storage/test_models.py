"""Quality models are files that appear whole, and are read or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from learning.errors import SnapshotCorrupt, SnapshotMissing, SnapshotSchema
from learning.snapshot import Frozen, freeze
from service.domain.clock import new_id
from service.storage.models import QualityModels
from tests.learning.test_quality import model_of
from tests.learning.worlds import World


def test_a_model_comes_back_and_what_is_none_is_refused(tmp_path: Path) -> None:
    models, identity = QualityModels(tmp_path), new_id()
    model = model_of(World(1).rows(600))
    models.write(identity, freeze(model.state()))
    assert freeze(models.read(identity).state()) == freeze(model.state())
    assert [path.name for path in models.root.iterdir()] == [f"{identity}.hgsn"]
    with pytest.raises(SnapshotMissing, match="no file of the quality model"):
        models.read(new_id())
    with pytest.raises(SnapshotMissing, match="no id"):
        models.read("../checkpoints/x")
    models.write(identity, freeze(Frozen("linear", {}, {})))
    with pytest.raises(SnapshotSchema):
        models.read(identity)
    models.path(identity).write_bytes(b"HGATE\x00\x01\n" + b"rubbish" * 9)
    with pytest.raises(SnapshotCorrupt):
        models.read(identity)
