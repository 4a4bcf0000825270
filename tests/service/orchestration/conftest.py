"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.service.orchestration.rig import Rig, end


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await end(made)
