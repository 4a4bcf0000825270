"""A rig for each test: what one test breaks is not remembered by the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.faults.refusing import Stage, staged
from tests.service.faults.rig import CANARY, HASTY, Rig, rigged
from tests.upstream import Upstream

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The fault list takes minutes together: it runs with all tests, not with the fast ones."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


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


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A provider that does as a test says."""
    with Upstream() as running:
        yield running


@pytest.fixture
def stage(tmp_path: Path, upstream: Upstream) -> Iterator[Stage]:
    """A service before it."""
    with staged(tmp_path, upstream) as running:
        yield running
