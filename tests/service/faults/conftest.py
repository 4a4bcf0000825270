"""A rig for each test: what one test breaks is not remembered by the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.service.faults.rig")

from tests.service.faults.rig import CANARY, HASTY, Rig, rigged  # noqa: E402


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOS_KEY", CANARY)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """The service before three chaos upstreams."""
    with rigged(tmp_path / "state") as running:
        yield running


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Rig]:
    """The same with little time for the first attempt and between the chunks of a stream."""
    with rigged(tmp_path / "state", HASTY) as running:
        yield running
