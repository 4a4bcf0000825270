"""The fitted models: one file each; those of quality are kept for good, so a replay finds them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from learning import capability, evidence
from learning.acceptance import AcceptanceModel
from learning.errors import SnapshotMissing
from learning.evidence import Evidence
from learning.policies.base import Prior
from learning.quality import QualityModel
from learning.snapshot import Frozen, thaw

FOLDER = "quality"
_ID = re.compile(r"[0-9a-f-]{36}")


class ModelFiles:
    """The files ``FOLDER/ID.hgsn`` of a state directory."""

    folder = FOLDER

    def __init__(self, state_dir: Path) -> None:
        self.root = state_dir / self.folder
        self.root.mkdir(parents=True, exist_ok=True)

    def thawed(self, model_id: str) -> Frozen:
        """A model at rest; raises SnapshotError where its file is gone or damaged."""
        try:
            data = self.path(model_id).read_bytes()
        except OSError:
            raise SnapshotMissing(
                f"there is no file of the {self.folder} model {model_id}"
            ) from None
        return thaw(data)

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
            raise SnapshotMissing(f"that is no id of a {self.folder} model")
        return self.root / f"{model_id}.hgsn"


class QualityModels(ModelFiles):
    """The quality models."""

    def read(self, model_id: str) -> QualityModel:
        """A model; raises SnapshotError where its file is gone or damaged."""
        return QualityModel.of(self.thawed(model_id))

    def prior(self, model_id: str) -> Prior:
        """What a policy is to believe by it: a model, what the matrix said, or evidence."""
        frozen = self.thawed(model_id)
        if frozen.kind == capability.KIND:
            return capability.prior_of(frozen)
        if frozen.kind == evidence.KIND:
            return Prior.told(Evidence.thawed(frozen))
        return QualityModel.of(frozen).prior()


class AcceptanceModels(ModelFiles):
    """The models of the chance to be acceptable; no replay needs an old one, so few are kept."""

    folder = "acceptance"

    def read(self, model_id: str) -> AcceptanceModel:
        """A model; raises SnapshotError where its file is gone or damaged."""
        return AcceptanceModel.of(self.thawed(model_id))

    def keep_newest(self, count: int = 3) -> None:
        """Drop the files of all but the newest; an id sorts by its time."""
        for path in sorted(self.root.glob("*.hgsn"))[:-count]:
            path.unlink(missing_ok=True)
