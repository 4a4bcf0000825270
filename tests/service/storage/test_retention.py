"""Old days of traffic leave the published history, by the plan; what a restore needs stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.records import Checkpoint, Update
from service.storage.history import GRACE_S, connect, query
from service.storage.manifest import FOLDER, read_manifest
from service.storage.restore import rebuild
from service.storage.retention import DROPPED, PATIENCE_S, Dropped, Retention, dropped_now
from service.storage.tables import NAMES
from tests.service.storage.test_history import DAY_S, Kept, act
from tests.service.storage.test_tables import attempt, decision, outcome


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.log.stop()
    made.database.close()


def days_ago(days: float) -> int:
    return int((time.time() - days * DAY_S) * 1e6)


def update(seq: int, days: float) -> Update:
    made = decision()
    at_us = days_ago(days)
    return Update(seq, at_us, made.id, at_us, "y", "outcome", None, None, 1e-5, 0.1, 5, False, None,
                  "v1")  # fmt: skip


def filled(kept: Kept) -> None:
    """A request and an act each 40, 20 and 1 days ago; updates, and a checkpoint of one of them."""
    for days in (40, 20, 1):
        made = decision(at_us=days_ago(days))
        kept.add(made, replace(attempt(made), at_us=made.at_us),
                 replace(outcome(made), at_us=made.at_us), act(str(days), days))  # fmt: skip
    kept.add(update(1, 40), update(2, 39), update(3, 1),
             Checkpoint("c1", days_ago(1), "v1", 1, "ab", 1))  # fmt: skip


def let_go(kept: Kept, keep_days: int | None = 30) -> None:
    """Publications an hour and more apart on the monotonic clock."""
    for _ in range(2):
        kept.publisher.publish(kept.log.last_seq, time.time(), keep_days)
        kept.passed_s += PATIENCE_S + GRACE_S


def test_old_days_of_traffic_go_and_the_rest_stays(kept: Kept) -> None:
    filled(kept)
    kept.publisher.publish(kept.log.last_seq, time.time(), None)
    kept.passed_s += 2 * PATIENCE_S
    kept.publish()
    assert kept.count("decisions") == 3, "all is kept where the plan says nothing"
    before = {name: set(read_manifest(kept.state).files[name]) for name in NAMES}
    let_go(kept)
    manifest = read_manifest(kept.state)
    assert kept.count("decisions") == kept.count("rounds") == kept.count("attempts") == 2
    assert kept.count("acts") == 3, "what people did is kept for good"
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 39 * DAY_S))
    assert manifest.dropped["decisions"] == Dropped(day, 1)
    gone = before["decisions"] - set(manifest.files["decisions"])
    kept.publish()
    assert len(gone) == 1 and not (kept.state / FOLDER / gone.pop()).exists()


def test_no_update_goes_that_a_restore_needs(kept: Kept) -> None:
    """The checkpoint holds update 1; 2 is as old and stays: what was learned rests on it."""
    filled(kept)
    let_go(kept)
    found = query(connect(kept.state), "SELECT seq FROM updates ORDER BY seq")[1]
    assert found == [(2,), (3,)]
    kept.add(Checkpoint("c2", days_ago(0), "v1", 3, "ab", 1))
    let_go(kept)
    assert query(connect(kept.state), "SELECT seq FROM updates")[1] == [(3,)]
    assert read_manifest(kept.state).dropped["updates"].rows == 2


def test_without_a_checkpoint_every_update_stays(kept: Kept) -> None:
    kept.add(update(1, 40))
    let_go(kept)
    assert kept.count("updates") == 1


@pytest.mark.slow  # the same is asked of `Retention` alone below
def test_a_jump_of_the_clock_that_is_set_right_drops_nothing(kept: Kept) -> None:
    filled(kept)
    kept.publish()
    for at_s in (time.time() + 300 * DAY_S, time.time()):
        kept.publisher.publish(kept.log.last_seq, at_s, 60)
        kept.passed_s += PATIENCE_S / 2
    kept.publisher.publish(kept.log.last_seq, time.time() + 300 * DAY_S, 60)
    assert kept.count("decisions") == 3 and not read_manifest(kept.state).dropped


@pytest.mark.slow  # rebuilds a live file
def test_a_restore_says_what_the_history_no_longer_keeps(kept: Kept) -> None:
    filled(kept)
    let_go(kept)
    kept.log.stop()
    kept.database.close()
    database, restored = rebuild(kept.state, "asked for")
    rows = database.cursor().execute("SELECT count(*) FROM decisions").fetchall()
    assert rows == [(2,)] and restored.dropped["decisions"].rows == 1
    assert "decisions before" in restored.no_longer_kept
    assert "no longer keeps" in restored.told("now")
    assert rebuild.__doc__ and restored.set_aside  # the file that still has them
    database.close()


def test_what_traffic_does_not_fill_is_kept_for_good() -> None:
    assert set(DROPPED) < set(NAMES)
    for name in (
        "keys",
        "versions",
        "checkpoints",
        "promotions",
        "experiments",
        "overrides",
        "acts",
    ):
        assert name not in DROPPED


def test_days_are_counted_from_the_start_of_today() -> None:
    passed = [0.0]
    retention = Retention(lambda: passed[0])
    files = {"decisions": [f"decisions/day=2026-01-{day:02d}/rows-{day:012d}-{day:012d}.parquet"
                           for day in (1, 2, 3)]}  # fmt: skip
    now = 1_768_003_200.0  # 2026-01-10, midnight and an hour short of being taken for over
    assert retention.expired(files, now + 3_600, 8) == {}
    passed[0] = PATIENCE_S
    assert retention.expired(files, now + 3_600, 8) == {"decisions": files["decisions"][:1]}
    assert retention.expired(files, now + 3_600, 9) == {}
    assert dropped_now(Dropped("2026-01-01", 5), files["decisions"][:2], 3) == Dropped(
        "2026-01-03", 8
    )
