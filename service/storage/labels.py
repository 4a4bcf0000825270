"""People's labels with what the classifier saw, read back from the log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learning.labels import Labels
from service.storage.cases import rows_of
from service.storage.database import Cursor

NEWEST = 20_000
_DECIDED = "t.turn = 'decided' AND t.verdict <> 'dismiss' AND i.kind = 'classification'"


def new_labels(cursor: Cursor, after_seq: int, version: str) -> tuple[int, int]:
    """How many labels with features of a layout were given after that row, and the newest's row."""
    found = rows_of(
        cursor,
        "SELECT count(*) AS n, coalesce(max(t.log_seq), 0) AS newest FROM review_turns t "
        "JOIN review_items i ON i.id = t.item_id "
        "JOIN classified_features f ON f.item_id = i.id AND f.features_version = ? "
        f"WHERE {_DECIDED} AND t.log_seq > ?",
        [version, after_seq],
    )
    return found[0]["n"], found[0]["newest"]


def labels_of(cursor: Cursor, tasks: Sequence[str], version: str, newest: int = NEWEST) -> Labels:
    """The newest labels with features of a layout, in the order in which they were given; those of
    tasks that are no more are left out.
    """
    rows = rows_of(
        cursor,
        "SELECT * FROM (SELECT t.log_seq, t.verdict, i.probability, f.features FROM review_turns t "
        "JOIN review_items i ON i.id = t.item_id "
        "JOIN classified_features f ON f.item_id = i.id AND f.features_version = ? "
        f"WHERE {_DECIDED} AND t.verdict IN (SELECT unnest(?::VARCHAR[])) "
        "ORDER BY t.log_seq DESC LIMIT ?) ORDER BY log_seq",
        [version, list(tasks), newest],
    )
    width = len(rows[-1]["features"]) if rows else 0
    rows = [row for row in rows if len(row["features"]) == width]
    place = {task: at for at, task in enumerate(tasks)}
    return Labels(
        tuple(tasks),
        np.array([row["features"] for row in rows], dtype=np.float32).reshape(len(rows), width),
        np.array([place[row["verdict"]] for row in rows], dtype=np.int64),
        np.array([1.0 / row["probability"] for row in rows], dtype=np.float64),
    )
