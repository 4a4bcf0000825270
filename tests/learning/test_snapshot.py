"""Frozen and thawed, byte for byte; damaged or foreign bytes are refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from learning.errors import SnapshotCorrupt, SnapshotError, SnapshotSchema
from learning.snapshot import Frozen, freeze, thaw

ROOT = Path(__file__).parent.parent.parent


@given(
    arrays(np.float64, array_shapes(max_dims=3, max_side=5)),
    arrays(np.float32, array_shapes(max_dims=2, max_side=5)),
)
def test_round_trip(one: np.ndarray, two: np.ndarray) -> None:
    frozen = Frozen("linear", {"arms": ["a"]}, {"one": one, "two": two})
    data = freeze(frozen)
    back = thaw(data)
    assert back.kind == "linear" and back.about == {"arms": ["a"]}
    assert back.arrays["one"].tobytes() == one.tobytes()
    assert freeze(back) == data


@given(st.integers(0, 400), st.integers(1, 255))
def test_one_changed_byte_is_noticed(at: int, change: int) -> None:
    data = bytearray(freeze(Frozen("linear", {}, {"a": np.arange(30.0)})))
    data[at % len(data)] ^= change
    with pytest.raises(SnapshotError):
        thaw(bytes(data))


def test_cut_and_foreign_bytes() -> None:
    data = freeze(Frozen("linear", {}, {"a": np.arange(3.0)}))
    for bad in (b"", data[:-1], pickle.dumps({"a": 1})):
        with pytest.raises(SnapshotCorrupt):
            thaw(bad)
    with pytest.raises(SnapshotSchema, match="another format"):
        thaw(data[:6] + b"\x09" + data[7:])


def test_objects_are_not_frozen() -> None:
    with pytest.raises(SnapshotSchema, match="not stored"):
        freeze(Frozen("x", {}, {"a": np.array([object()])}))


def test_no_pickle_in_the_product() -> None:
    for name in ("learning", "service", "experiments"):
        for path in (ROOT / name).rglob("*.py"):
            text = path.read_text("utf-8")
            assert "import pickle" not in text and "joblib" not in text, path
