"""The quality models that were accepted: one file each, kept for good so that a replay finds it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from learning import capability
from learning.errors import SnapshotMissing
from learning.policies.base import Prior
from learning.quality import QualityModel
from learning.snapshot import thaw

FOLDER = "quality"
_ID = re.compile(r"[0-9a-f-]{36}")


class QualityModels:
    """The files ``quality/ID.hgsn`` of a state directory."""

    def __init__(self, state_dir: Path) -> None:
        self.root = state_dir / FOLDER
        self.root.mkdir(parents=True, exist_ok=True)

    def read(self, model_id: str) -> QualityModel:
        """A model; raises SnapshotError where its file is gone or damaged."""
        return QualityModel.of(thaw(self._bytes(model_id)))

    def prior(self, model_id: str) -> Prior:
        """What a policy is to believe by it: a model, or what the capability matrix said."""
        frozen = thaw(self._bytes(model_id))
        if frozen.kind == capability.KIND:
            return capability.prior_of(frozen)
        return QualityModel.of(frozen).prior()

    def _bytes(self, model_id: str) -> bytes:
        try:
            return self.path(model_id).read_bytes()
        except OSError:
            raise SnapshotMissing(f"there is no file of the quality model {model_id}") from None

    def write(self, model_id: str, data: bytes) -> None:
        """Keep a model's bytes; they appear whole or not at all."""
        path = self.path(model_id)
        aside = path.with_suffix(".aside")
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)

    def path(self, model_id: str) -> Path:
        """Where a model lies; raises SnapshotMissing for what is no id."""
        if not _ID.fullmatch(model_id):
            raise SnapshotMissing("that is no id of a quality model")
        return self.root / f"{model_id}.hgsn"
