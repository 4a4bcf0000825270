"""A long look: frames without nulls that surprise, a view narrowed and widened, errors told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.storage.errors import ReadFailed, StorageError
from service.storage.long_look import LongLook, joined
from tests.service.storage.published import publish


def test_frames_of_a_published_history(tmp_path: Path) -> None:
    publish(tmp_path, requests=40)
    with LongLook(tmp_path) as look:
        found = look.columns("SELECT 1 AS a, NULL::INTEGER AS b, 'x' AS c, NULL::VARCHAR AS d, "
                             "NULL::TIMESTAMP AS e, NULL::DOUBLE AS f")  # fmt: skip
        assert found["a"][0] == 1 and np.isnan(found["b"][0]) and np.isnan(found["f"][0])
        assert (found["c"][0], found["d"][0], str(found["e"][0])) == ("x", "", "NaT")
        whole = look.columns("SELECT count(*) AS n FROM rounds")["n"][0]
        look.narrow("rounds", "SELECT * FROM main.rounds LIMIT 3")
        assert look.columns("SELECT count(*) AS n FROM rounds")["n"][0] == 3
        look.narrow("rounds", "SELECT * FROM main.rounds LIMIT 5")
        assert look.columns("SELECT count(*) AS n FROM rounds")["n"][0] == 5
        look.widen("rounds")
        assert look.columns("SELECT count(*) AS n FROM rounds")["n"][0] == whole == 40
        with pytest.raises(ReadFailed, match="nowhere"):
            look.columns("SELECT * FROM nowhere")
        with pytest.raises(ReadFailed, match="nowhere"):
            look.narrow("rounds", "SELECT * FROM nowhere")
        assert look.damage == () and look.through_seq > 0


def test_frames_join_and_none_is_refused(tmp_path: Path) -> None:
    one = {"a": np.array([1]), "b": np.array([2])}
    assert joined([one, one])["a"].tolist() == [1, 1]
    with pytest.raises(StorageError):
        joined([])
    with pytest.raises(StorageError, match="no published history"):
        LongLook(tmp_path)
