"""One small history with something in it, shared by the tests that only read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.reviewing.finding import Review
from service.domain.knowledge import Entry
from service.reporting.making import make
from service.storage.long_look import LongLook
from tests.service.reporting.histories import Truth, write

TRIED = Entry(
    "0199a2f0-0000-7000-8000-000000000001", 1_789_000_000_000_000, "experiment",
    "experiment:no-sage@1", "experiment no-sage: sage is dear", "extract needs no sage", {},
    {"brief": "lost 2.0 % of quality"}, "rolled back", "it lost quality", "mara", {},
    ("extract", "sage"),
)  # fmt: skip

MARKED = Truth(
    a_day=260,
    rated=0.5,
    cost={"brook": 0.001, "granite": 0.001, "sage": 0.006},
    quality={"brook": 0.8, "granite": 0.8, "sage": 0.3},
    repeats=0.1,
    fallback=0.3,
    last_cost=1.6,
    foretold=1.0,
    tried=(TRIED,),
)


@pytest.fixture(scope="session")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("marked")
    write(state, MARKED)
    return state


@pytest.fixture(scope="session")
def weekly(marked: Path) -> Review:
    return make(marked, "weekly")


@pytest.fixture
def look(marked: Path) -> Iterator[LongLook]:
    with LongLook(marked) as opened:
        yield opened
