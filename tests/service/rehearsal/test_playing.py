"""A small day through the whole service: it ends, adds up, and is the same when played again."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from service.check import load_checked
from service.providers.simulated import Weather
from service.rehearsal.counting import counted
from service.rehearsal.playing import TROUBLES, Played, Wanted, played
from service.rehearsal.report import Report, report
from service.rehearsal.shown import show
from service.rehearsal.world import Trouble
from service.storage.history import connect, query
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

COUNT = 120
AWAY = Trouble("river", 36_000.0, 43_200.0, Weather(error_rate=1.0), "journeyman away")


def one(folder: Path) -> tuple[Played, Report]:
    plan = load_checked(ROOT / "examples" / "contentforge.yaml")
    over = played(Wanted(plan, COUNT, 5, (AWAY,)), folder / "state", lambda _: None)
    return over, report(over, counted(folder / "state"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Played, Report]]:
    logging.getLogger("headgate").setLevel(logging.CRITICAL)
    yield one(tmp_path_factory.mktemp("day"))
    logging.getLogger("headgate").setLevel(logging.NOTSET)


def test_every_request_ended_and_every_sum_agrees(small: tuple[Played, Report]) -> None:
    over, found = small
    assert len(over.seen) == COUNT and all(each.status for each in over.seen)
    assert found.agrees and len(found.sums) > 6
    told = found.figures
    assert sum(told["answers"]["by_status"].values()) + told["batches"]["lines"] == COUNT
    assert told["money"]["spent_micro_usd"] > 0
    assert told["queue"]["queued"] == told["queue"]["finished"] > 0
    assert told["fallbacks"]["calls"] and told["fallbacks"]["breakers"]
    voices = [each for each in over.seen if each.wish.task == "voice_over"]
    assert voices and {each.deployment for each in voices} <= {"announcer", ""}
    assert all(each.took_s < 20.0 for each in voices)  # time stands while sound is made
    assert any(each["rule"] == "outage" for each in told["alerts"])
    kept = told["cache"]
    hits = sum(each.cache == "hit" for each in over.seen)
    assert hits == kept["told"]["hit"] == sum(each["count"] for each in kept["given_again"]) > 0
    assert kept["repeats_hit"] > 0 and told["decided"]["cache"] == hits
    assert {each["what"] for each in told["claims"]} >= {"answered under 2 s", "dollars a request"}


def test_blog_posts_are_made_by_a_workflow(small: tuple[Played, Report]) -> None:
    over, found = small
    asked = [each for each in over.seen if each.wish.flows]
    flows = found.figures["workflows"]
    assert asked and sum(run["count"] for run in flows["runs"]) == len(asked)
    steps = {each["step"]: each for each in flows["steps"]}
    assert steps["hero"]["executed"] == 3 * steps["article"]["executed"] > 0
    assert {"outline", "article", "hero", "form", "editor"} <= set(steps)
    spent = sum(run["cost_micro_usd"] for run in flows["runs"])
    sums = {each.name: each for each in found.sums}
    assert sums["workflow runs against their steps"].total == spent > 0
    measures = found.figures["savings"]["by_measure"]["saved_micro_usd"]
    assert measures["workflows, as they were"] == 0 and measures["batches"] == 0


def test_what_nobody_waits_for_is_answered_in_the_night(small: tuple[Played, Report]) -> None:
    over, found = small
    patient = [each for each in over.seen if each.wish.patient]
    told = found.figures["batches"]
    assert len(patient) == told["lines"] == told["result_lines"] > 2
    for sent in over.sent:  # each request has one line, and each line is of its request
        assert sorted(sent.told) == sorted(each.wish.custom_id for each in sent.lines)
        assert all(each.batch == sent.shown["id"] for each in sent.lines)
    assert told["by_state"] == {"completed": told["batches"]} and told["batches"] > 2
    assert told["completed"] + told["failed"] == told["lines"] == told["off_peak"] + told["urgent"]
    assert told["off_peak"] > 0 and told["slack_s"]["least"] >= 0.0
    for row in told["rows"]:  # from 3 to 6 in Berlin, or because it had to be
        assert row["urgent"] or "01:00" <= row["ended"][-5:] <= "04:00"
    assert told["provider"] == told["saved_micro_usd"] == 0 and "list price" in told["told"]
    sums = {each.name: each for each in found.sums}
    paid = sums["calls of batches against their lines"]
    assert set(paid.parts) == {"studio-basic", "studio-premium"} and paid.gap == 0
    assert paid.total == told["paid_micro_usd"] == told["list_micro_usd"] > 0
    assert sums["list price of batches"].parts == {"paid": paid.total, "saved": 0}


def test_it_is_told_to_people_and_to_machines(small: tuple[Played, Report]) -> None:
    _, found = small
    text = io.StringIO()
    show(found, Console(file=text, width=140))
    assert "$16,500" in text.getvalue() and "sum of its parts" in text.getvalue()
    assert json.loads(json.dumps(found.as_json()))["sums_agree"] is True


def test_the_history_is_there_to_be_read(small: tuple[Played, Report]) -> None:
    connection = connect(small[0].state_dir)
    days = query(connection, "SELECT DISTINCT ts::DATE::VARCHAR FROM decisions")[1]
    connection.close()
    assert ("2026-06-02",) in days and len(days) <= 2


def test_another_run_of_the_seed_is_the_same(small: tuple[Played, Report], tmp_path: Path) -> None:
    over, found = one(tmp_path)
    assert [(s.decision_id, s.deployment, s.took_s) for s in over.seen] == [
        (s.decision_id, s.deployment, s.took_s) for s in small[0].seen
    ]
    assert json.dumps(found.as_json()) == json.dumps(small[1].as_json())
    assert {each.model for each in TROUBLES} == {"pigment", "river", "brook"}
