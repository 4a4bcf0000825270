"""A generated history is one like any other: whole, read by every view, served from, and true."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from scipy import stats

from experiments.analysis import analyse
from experiments.design_json import from_json
from experiments.guardrails import judge
from experiments.statistics.adaptive import LoggedDecisions
from experiments.statistics.off_policy import Estimator, PolicyValue, off_policy_value
from service.bootstrap.build import build
from service.bootstrap.generated import LEARNED_AT_START, PLAN
from service.check import load_checked
from service.config import Settings
from service.feedback.credit import from_outcome
from service.storage.cases import read_case, rows_of
from service.storage.catalogue import views
from service.storage.database import Database
from service.storage.errors import StorageError
from service.storage.frames import experiment_frame
from service.storage.generated import GeneratedHistory
from service.storage.history import connect
from service.storage.manifest import FOLDER, read_manifest
from service.storage.restore import open_live
from service.storage.tables import NAMES, PRIVATE
from service.storage.updates import update_from
from tests.conftest import HandClock
from tests.service.storage.made_up import END_US, generator, marks, past, written

DECISIONS = 2_000
FALSE_ALARM = 1e-4  # of each test of chance here, over all seeds; the seed is fixed

Opened = tuple[duckdb.DuckDBPyConnection, Path]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made-up")
    written(folder, DECISIONS)
    return folder


def one(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """The first row of a query."""
    return connection.execute(sql).fetchone()


def test_the_same_seed_writes_the_same_bytes(state: Path, tmp_path: Path) -> None:
    written(tmp_path / "again", DECISIONS)
    assert read_manifest(tmp_path / "again").digests == read_manifest(state).digests
    assert (tmp_path / "again/generated.json").read_text() == (state / "generated.json").read_text()
    other = past(DECISIONS, seed=4).budget
    assert not np.array_equal(other, past(DECISIONS).budget)


def test_every_table_has_the_schema_of_the_migrations(state: Path) -> None:
    database, manifest = Database(None), read_manifest(state)
    cursor, found = database.cursor(), 0
    for name in NAMES:
        wanted = [row[:2] for row in cursor.execute(f"DESCRIBE {name}").fetchall()]
        for path in manifest.files[name]:
            sql = f"DESCRIBE SELECT * FROM read_parquet('{state / FOLDER / path}', "
            sql += "hive_partitioning = false)"
            assert sorted(row[:2] for row in cursor.execute(sql).fetchall()) == sorted(wanted)
            found += 1
    database.close()
    assert found > 7 * 5


def test_every_view_opens_and_rows_are_numbered_without_a_gap(state: Path) -> None:
    connection = connect(state)
    for name in (*NAMES, *views()):
        if name not in PRIVATE:
            connection.execute(f"SELECT * FROM {name}").fetchall()
    every = " UNION ALL ".join(
        f"SELECT log_seq, ts FROM {name}" for name in NAMES if name not in PRIVATE
    )
    count, distinct, last = one(
        connection, f"SELECT count(*), count(DISTINCT log_seq), max(log_seq) FROM ({every})"
    )
    keys = read_manifest(state).files["keys"]
    assert count == distinct == last - 8 and keys
    back = f"SELECT count(*) FROM (SELECT ts < lag(ts) OVER (ORDER BY log_seq) AS b FROM ({every}))"
    assert one(connection, f"{back} WHERE b")[0] == 0
    assert one(connection, "SELECT count(*), min(seq), max(seq) FROM updates") == (
        *one(connection, "SELECT count(*), 1, count(*) FROM updates"),
    )


def test_attempts_sum_to_outcomes_and_every_decision_ends(state: Path) -> None:
    connection = connect(state)
    wrong = one(
        connection,
        "SELECT count(*), count(*) FILTER (a.n <> o.attempts OR a.cost <> o.cost_micro_usd OR "
        "a.t <> o.tokens_in OR a.made <> o.tokens_out OR a.c <> o.cached_tokens OR "
        "abs(a.s + o.overhead_s - o.latency_s) > 1e-4) FROM outcomes o JOIN (SELECT decision_id, "
        "count(*) AS n, sum(cost_micro_usd) AS cost, sum(tokens_in) AS t, sum(tokens_out) AS made, "
        "sum(cached_tokens) AS c, sum(latency_s) AS s FROM attempts GROUP BY ALL) a "
        "USING (decision_id)",
    )
    assert wrong == (DECISIONS, 0)
    ended = "SELECT count(*) FROM decisions d JOIN outcomes o ON o.decision_id = d.id"
    assert one(connection, f"{ended} WHERE o.ts > d.ts")[0] == DECISIONS


def test_propensities_sum_to_one_and_draws_follow_them(state: Path) -> None:
    connection = connect(state)
    rows = connection.execute(
        "SELECT eligible, propensities, draw, deployment, propensity, mode, utility FROM decisions"
    ).fetchall()
    names = ["brook", "mill", "river", "fall"]
    centred, spread = np.zeros(3), np.zeros((3, 3))
    for eligible, shares, number, deployment, propensity, mode, utility in rows:
        assert abs(sum(shares) - 1.0) < 1e-12 and min(shares) >= 0.0
        assert propensity == shares[eligible.index(deployment)]
        assert len(utility) == (len(eligible) if mode == "randomised" else 0)
        if mode != "randomised":
            assert propensity == 1.0
            continue
        sums = np.cumsum(shares)
        assert eligible[int((number >= sums).sum())] == deployment
        p = np.array([shares[eligible.index(n)] if n in eligible else 0.0 for n in names])[:3]
        centred += np.array([deployment == n for n in names[:3]]) - p
        spread += np.diag(p) - np.outer(p, p)
    statistic = float(centred @ np.linalg.solve(spread, centred))
    assert stats.chi2.sf(statistic, 3) > FALSE_ALARM


def test_held_sessions_point_to_their_draw_and_ratings_to_their_answer(state: Path) -> None:
    connection = connect(state)
    held, right = one(
        connection,
        "SELECT count(*), count(*) FILTER (f.mode = 'randomised' AND f.session = d.session AND "
        "f.deployment = d.deployment AND f.ts < d.ts AND f.task = d.task) FROM decisions d "
        "LEFT JOIN decisions f ON f.id = d.session_decision_id WHERE d.mode = 'sticky'",
    )
    assert held == right > 300
    rated, right = one(
        connection,
        "SELECT count(*), count(*) FILTER (o.status = 200 AND o.deployment = f.deployment AND "
        "f.ts > o.ts AND f.quality BETWEEN 0 AND 1) FROM feedback f LEFT JOIN outcomes o "
        "USING (decision_id)",
    )
    assert rated == right > 100
    assert one(
        connection,
        "SELECT count(*) FROM feedback f LEFT JOIN feedback b ON b.id = f.revises WHERE "
        "f.revises IS NOT NULL AND (b.id IS NULL OR b.ts >= f.ts OR b.author <> f.author)",
    ) == (0,)
    marks = "list_contains((SELECT list(id) FROM {}), {})"
    assert one(
        connection,
        "SELECT count(*) FROM decisions WHERE NOT "
        + marks.format("versions", "version_id") + " OR NOT "
        + marks.format("checkpoints", "checkpoint_id") + " OR (override_id IS NOT NULL AND NOT "
        + marks.format("overrides", "override_id") + ")",
    ) == (0,)  # fmt: skip


def test_the_updates_are_those_that_the_learner_would_have_taken(
    state: Path, tmp_path: Path
) -> None:
    (tmp_path / FOLDER).symlink_to(state / FOLDER)
    database, restored = open_live(tmp_path)
    assert restored is not None and restored.missing == ()
    cursor = database.cursor()
    ids = rows_of(cursor, "SELECT decision_id FROM outcomes WHERE attempts > 1 OR "
                  "status <> 200 ORDER BY log_seq LIMIT 25")  # fmt: skip
    ids += rows_of(cursor, "SELECT decision_id FROM outcomes ORDER BY log_seq LIMIT 10")
    for row in ids:
        case = read_case(cursor, str(row["decision_id"]))
        assert case is not None and case.outcome is not None
        logged = [
            update_from(each)
            for each in rows_of(cursor, "SELECT * FROM updates WHERE decision_id = ? AND "
                                "kind = 'outcome' ORDER BY seq", [row["decision_id"]])
        ]  # fmt: skip
        wanted = from_outcome(case.decision, case.attempts, case.outcome, "")
        assert [each.numbered(0, each.at_us, "") for each in logged] == [
            each.numbered(0, each.at_us, "") for each in wanted
        ]
    database.close()


def test_every_checkpoint_stands_where_its_updates_end_and_a_start_learns_the_last(
    state: Path,
) -> None:
    connection = connect(state)
    wrong = one(connection, "SELECT count(*) FROM checkpoints c WHERE update_seq <> "
                "(SELECT count(*) FROM updates u WHERE u.ts < c.ts)")  # fmt: skip
    assert wrong == (0,)
    newest, updates = one(
        connection,
        "SELECT (SELECT max(update_seq) FROM checkpoints), (SELECT count(*) FROM updates)",
    )
    assert 0 < newest < updates and updates - newest <= min(LEARNED_AT_START, updates)


@pytest.mark.slow
def test_a_service_starts_on_it_and_knows_what_happened(tmp_path: Path) -> None:
    made = generator(300).write(tmp_path)
    settings = Settings.from_environment(tmp_path)
    runtime = build(load_checked(PLAN), settings, clock=HandClock(END_US + 60_000_000))
    try:
        truth = json.loads(made.truth.read_text())
        assert runtime.live.current.mark.version_id == truth["versions"][-1]
        assert runtime.learner.seq == made.rows["updates"] and not runtime.learner.skipped
        assert runtime.learner.passed_over == 0
        assert runtime.kept.overrides.holding() == ()
    finally:
        asyncio.run(runtime.stop())


def test_it_is_not_mixed_with_another_history(state: Path) -> None:
    with pytest.raises(StorageError, match="already holds a history"):
        GeneratedHistory(state)


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generator(300).write(tmp_path, stop)
    assert not (tmp_path / FOLDER).exists()


@pytest.mark.slow
def test_the_estimators_find_what_was_put_in(tmp_path: Path) -> None:
    """The experiment's interval holds its true effect (level 0.05 at any look, the seed fixed);
    the guardrail sees the harm; the off-policy value of one deployment is the true one.
    """
    written(tmp_path, 400_000, 14)
    truth = json.loads((tmp_path / "generated.json").read_text())["experiments"]
    connection = connect(tmp_path)
    for name, text in connection.execute("SELECT id, design FROM experiments").fetchall():
        design = from_json(text)
        frame = experiment_frame(connection, name, 0, "rating")
        report = analyse(design, frame)
        effect = report.comparisons[0].effect
        assert report.valid
        if design.slug == "sharper-choice":
            assert effect is not None
            assert effect.low < truth[name]["effect_on_mean_quality"] < effect.high
        else:
            assert any(each.breached for each in judge(design, frame))
            assert truth[name]["ended_by"] == "headgate"


@pytest.mark.slow
def test_off_policy_values_are_the_true_ones() -> None:
    """Of the deployment `river`, by the true qualities: within the interval at level 0.001."""
    made_up = past(60_000, 7)
    day = made_up.day(4, marks(made_up))
    made = day.choices
    rows = (made.mode == 0) & made.eligible[:, 2] & (made.trial < 0)
    shares, quality = made.shares[rows], day.quality[rows]
    chosen = made.chosen[rows]
    rewards = quality[np.arange(len(chosen)), chosen]
    log = LoggedDecisions(chosen, shares, rewards, np.zeros_like(shares))
    target = np.zeros_like(shares)
    target[:, 2] = 1.0
    value = off_policy_value(log, target, Estimator.SNIPS, alpha=0.001)
    assert isinstance(value, PolicyValue)
    assert value.mean.low < quality[:, 2].mean() < value.mean.high
