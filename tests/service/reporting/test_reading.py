"""A week read from a published history: the queries run as shown, and what is missing is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments.reviewing import swapping
from experiments.reviewing import weekly as asked
from experiments.reviewing.finding import Review
from experiments.reviewing.wasting import sql_of
from service.reporting import queries
from service.reporting.making import make
from service.reporting.periods import week
from service.reporting.reading import OF_THE_WEEK, Reader, known, read_week
from service.storage.history import connect
from service.storage.long_look import LongLook
from tests.service.reporting.histories import Truth, write


def test_what_was_put_in_is_found(weekly: Review) -> None:
    found = {each.slug: each for each in weekly.findings}
    assert {"moved-spend", "dominated-extract-sage-brook", "cache-extract",
            "fallback-extract-granite", "spend-decomposed", "savings-cheapest"} <= {
                slug.replace("sage-granite", "sage-brook") for slug in found}  # fmt: skip


def test_every_query_that_is_shown_runs_as_it_stands(marked: Path, weekly: Review) -> None:
    connection = connect(marked)
    shown = {each.sql for each in weekly.findings}
    assert len(shown) > 5 and not any("<<" in each for each in shown)
    for sql in shown:
        connection.execute(sql).fetchall()


def test_the_query_of_a_swap_gives_its_numbers(marked: Path, look: LongLook) -> None:
    read = read_week(look, "2026-W47")
    assert read is not None
    for drawn in read[1].tasks:
        found = next(each for each in swapping.swaps(drawn)
                     if (each.deployment, each.other) == ("sage", "brook"))  # fmt: skip
        sql = queries.within(sql_of(found), "2026-11-16", "2026-11-23")
        rows, moved, cost, _, quality = connect(marked).execute(sql).fetchall()[0]
        assert rows == len(drawn) and moved == pytest.approx(found.moved)
        assert cost == pytest.approx(found.changes["cost_usd"].total, rel=1e-5)
        assert quality == pytest.approx(found.changes["quality"].total, rel=1e-5)


def test_the_tables_of_the_days_add_up(look: LongLook, marked: Path) -> None:
    days = Reader(look).days(week("2026-W47"), 4)
    assert days is not None
    whole = connect(marked).execute(
        "SELECT count(*), sum(cost_usd), count(quality) FROM rounds").fetchone()  # fmt: skip
    assert whole is not None
    assert days.number("requests").sum() == whole[0]
    assert days.number("cost_usd").sum() == pytest.approx(whole[1])
    assert days.number("rated").sum() == whole[2]
    assert len(np.unique(days["day"])) == 21


def test_the_last_week_with_data_is_taken_and_an_empty_one_is_said(
    marked: Path, weekly: Review
) -> None:
    assert weekly.name == "weekly-2026-W47"
    empty = make(marked, "weekly", "2026-W50")
    assert "the week has no decisions" in " ".join(empty.missing)
    assert empty.figures["requests"] == 0


@pytest.mark.slow
def test_a_week_without_ratings_still_shows_the_rest(tmp_path: Path) -> None:
    write(tmp_path, Truth(a_day=80, rated=0.0, skip_days=(16,)))
    found = make(tmp_path, "weekly")
    told = " ".join(found.missing)
    assert "nothing was rated" in told and "no decisions on Wednesday" in told
    assert {each.kind for each in found.findings} >= {"savings"}
    assert found.charts["spend"]


def test_a_half_written_partition_is_told_and_the_rest_shown(marked: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    shutil.copytree(marked, state)
    (torn,) = (state / "history" / "decisions" / "day=2026-11-18").glob("*.parquet")
    torn.write_bytes(torn.read_bytes()[:-100])
    (bad,) = (state / "history" / "feedback" / "day=2026-11-19").glob("*.parquet")
    content = bytearray(bad.read_bytes())
    content[4:400] = b"\0" * 396  # its end is whole, its rows are not
    bad.write_bytes(bytes(content))
    found = make(state, "weekly")
    told = " ".join(found.missing)
    assert "rows of 2026-11-18 are missing" in told and str(tmp_path) not in told
    assert "feedback/day=2026-11-19" in told and "is damaged" in told
    assert found.findings and found.title == "Week 2026-W47"


def test_a_week_that_cannot_be_read_at_all_is_no_crash(look: LongLook) -> None:
    reader = Reader(look)
    assert reader.table("nonsense", "SELECT * FROM nowhere", week("2026-W47")) is None
    assert "nonsense cannot be read" in reader.missing[0]
    held = known(look)
    assert held is not None and str(held.last) == "2026-11-22"


def test_all_names_of_tables_are_asked_for() -> None:
    text = Path(asked.__file__).read_text("utf-8")
    assert all(f'"{name}"' in text for name in OF_THE_WEEK)
