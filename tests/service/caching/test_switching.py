"""A task that is off for like questions: over a restart, by the command line, and refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.caching.semantic import Semantic
from service.caching.standing import Switched
from service.caching.switching import last_switched, noticed
from service.cli.main import app
from tests.conftest import KEY
from tests.service.caching.rig import PLAN, Counting, Rig, counting, serving

pytestmark = pytest.mark.slow
SEMANTIC = PLAN.replace(
    "without_temperature: true}}", "without_temperature: true}, semantic: {tasks: {other: {}}}}"
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Counting]:
    with counting() as made:
        yield made


def semantic(rig: Rig) -> Semantic:
    assert rig.caching is not None and isinstance(rig.caching.further, Semantic)
    return rig.caching.further


def off(rig: Rig) -> str:
    (task,) = rig.admin("/admin/cache").json()["semantic"]["tasks"]
    return str(task["off"])


def notices(rig: Rig) -> str:
    return " ".join(rig.admin("/admin/status").json()["notices"])


def cli(rig: Rig, *arguments: str, code: int = 0) -> str:
    environment = {"HEADGATE_KEY": KEY, "HEADGATE_URL": rig.url}
    done = CliRunner().invoke(app, ["cache", "semantic", *arguments], env=environment)
    assert done.exit_code == code, done.output
    return done.output


def test_a_broken_bound_outlives_the_service_and_a_hand_mends_it(
    tmp_path: Path, upstream: Counting
) -> None:
    with serving(tmp_path, SEMANTIC, upstream=upstream) as rig:
        for _ in range(60):
            semantic(rig).of("other").saw(True)
        asyncio.run(semantic(rig).turn())
        assert "wrong" in off(rig) and "task other: " in notices(rig)
    why = ("--task", "other", "--reason", "the prices are changing")
    with serving(tmp_path, SEMANTIC, upstream=upstream) as rig:
        assert "wrong" in off(rig), "a restart does not make it right"
        assert "task other: " in notices(rig)
        assert "not yet known" in cli(rig, "on", *why)
        assert off(rig) == "" and "task other: " not in notices(rig)
        cursor = rig.runtime.kept.database.cursor
        assert last_switched(cursor())["other"].on, "durable when it is said"
        assert "off: the prices are changing" in cli(rig, "off", *why)
        last = last_switched(cursor())["other"]
        assert (last.on, last.why, last.by_hand) == (False, why[3], True)
        assert last.rule == semantic(rig).rules.tasks["other"]
        cli(rig, "off", "--task", "none", "--reason", "no such task is there", code=2)
        short = rig.admin("/admin/cache/semantic/switch", task="other", on=True, reason="so")
        assert short.status_code == 422
        assert why[3] in rig.admin("/admin/audit?act=cache.semantic_off").text


def test_a_notice_is_there_as_long_as_it_is_true() -> None:
    told = ["something else"]
    noticed(told, Switched("a", False, "why"))
    noticed(told, Switched("a", False, "why"))
    noticed(told, Switched("b", False, "why"))
    assert len(told) == 3
    noticed(told, Switched("a", True, ""))
    assert len(told) == 2 and "task b: why" in told[1]
