"""Policy versions and checkpoints: rows in the log, learned state in files beside it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from service.domain.experiments import Promotion
from service.domain.records import Checkpoint, Version
from service.storage.cases import rows_of, us
from service.storage.database import Database
from service.storage.models import QualityModels

FOLDER = "checkpoints"
KEEP = 20
HOUR_US = 3_600_000_000


class VersionStore:
    """The versions, checkpoints and quality models of a state directory."""

    def __init__(self, database: Database, state_dir: Path) -> None:
        self._root = state_dir / FOLDER
        self._root.mkdir(parents=True, exist_ok=True)
        self.models = QualityModels(state_dir)
        cursor = database.cursor()
        self.versions = [
            Version(
                row["id"], us(row["ts"]), row["policy"], row["kind"], row["parameters"],
                row["parent"], row["author"], row["reason"],
            )
            for row in rows_of(cursor, "SELECT * FROM versions ORDER BY log_seq")
        ]  # fmt: skip
        self.checkpoints = [
            Checkpoint(
                row["id"], us(row["ts"]), row["version_id"], row["update_seq"], row["sha256"],
                row["size_bytes"],
            )
            for row in rows_of(cursor, "SELECT * FROM checkpoints ORDER BY log_seq")
        ]  # fmt: skip
        self.promotions = [
            Promotion(
                row["id"], us(row["ts"]), row["version_id"], row["from_version_id"],
                row["checkpoint_id"], row["restored_id"], row["how"], row["author"],
                row["reason"], row["cause"],
            )
            for row in rows_of(cursor, "SELECT * FROM promotions ORDER BY log_seq")
        ]  # fmt: skip

    @property
    def live(self) -> Version | None:
        """The version in force: the last one promoted; before promotions were kept, the last."""
        if self.promotions:
            return self.find(self.promotions[-1].version_id)
        return self.versions[-1] if self.versions else None

    def find(self, version_id: str) -> Version | None:
        """A version by its id."""
        return next((each for each in self.versions if each.id == version_id), None)

    def checkpoints_of(self, version_id: str) -> list[Checkpoint]:
        """The kept checkpoints of a version, oldest first."""
        return [each for each in self.checkpoints if each.version_id == version_id]

    def newest(self, version_id: str) -> tuple[Checkpoint, bytes] | None:
        """The last checkpoint of a version whose file is whole."""
        for checkpoint in reversed(self.checkpoints):
            if checkpoint.version_id == version_id:
                data = self.read(checkpoint)
                if data is not None:
                    return checkpoint, data
        return None

    def read(self, checkpoint: Checkpoint) -> bytes | None:
        """A checkpoint's bytes, None when the file is gone or not what was written."""
        try:
            data = self._path(checkpoint.id).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == checkpoint.sha256 else None

    def write(self, checkpoint: Checkpoint, data: bytes) -> None:
        """Keep the bytes of a checkpoint whose row is durable; they appear whole or not at all."""
        path = self._path(checkpoint.id)
        aside = path.with_suffix(".aside")
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        self.checkpoints.append(checkpoint)
        self._prune()

    def _prune(self) -> None:
        """Of every version the last ones and one an hour, and all that a promotion began with."""
        by_version: dict[str, list[str]] = {}
        for checkpoint in self.checkpoints:
            by_version.setdefault(checkpoint.version_id, []).append(checkpoint.id)
        keep = {each for ids in by_version.values() for each in ids[-KEEP:]}
        keep |= set(hourly(self.checkpoints))
        keep |= {each.checkpoint_id for each in self.promotions}
        for checkpoint in self.checkpoints:
            if checkpoint.id not in keep:
                self._path(checkpoint.id).unlink(missing_ok=True)
        self.checkpoints = [each for each in self.checkpoints if each.id in keep]

    def _path(self, checkpoint_id: str) -> Path:
        return self._root / f"{checkpoint_id}.hgsn"


def hourly(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """The first checkpoint of every hour under every version."""
    first: dict[tuple[str, int], str] = {}
    for checkpoint in checkpoints:
        hour = checkpoint.version_id, checkpoint.at_us // HOUR_US
        first.setdefault(hour, checkpoint.id)
    return list(first.values())
