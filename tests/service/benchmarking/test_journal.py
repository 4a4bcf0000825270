"""The journal: what was written is there again, a cut line is not, and money is never forgotten."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from service.benchmarking.journal import Answer, Journal, RunLocked, Scored, runs, unfinished
from tests.service.benchmarking.rig import begun, design, prompts

FILE = prompts(2)


def again(journal: Journal) -> Journal:
    journal.close()
    return Journal(journal.folder)


def test_what_was_written_is_known_again(tmp_path: Path) -> None:
    journal = begun(tmp_path, FILE)
    journal.asked("k", 0.5)
    journal.answered(Answer("k", "answered", "yes", 1.0, 0.2, 3, 4, 250_000))
    journal.scored(Scored("k", 1.0, "", 50_000))
    journal.force()
    before = journal.known
    journal = again(journal)
    assert journal.known == before and journal.known.spent_usd == pytest.approx(0.3)
    assert journal.design == design(FILE)
    mode = stat.S_IMODE((journal.folder / "trials.jsonl").stat().st_mode)
    assert mode == 0o600
    journal.close()


def test_a_line_that_was_cut_off_is_cut_away(tmp_path: Path) -> None:
    journal = begun(tmp_path, FILE)
    journal.answered(Answer("k", "answered"))
    journal.close()
    path = journal.folder / "trials.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind": "answer", "key": "l", "sta')
    journal = Journal(journal.folder)
    assert set(journal.known.answers) == {"k"} and path.read_bytes() == whole
    journal.answered(Answer("m", "failed"))
    journal = again(journal)
    assert set(journal.known.answers) == {"k", "m"}
    journal.close()


def test_what_may_have_been_paid_counts_as_spent(tmp_path: Path) -> None:
    journal = begun(tmp_path, FILE)
    journal.asked("cut", 1.0)
    journal = again(journal)
    assert journal.known.spent_usd == 1.0
    journal.asked("cut", 1.0)
    assert journal.known.spent_usd == 2.0, "the one that broke off may have been paid as well"
    journal.answered(Answer("cut", "answered", cost_micro_usd=10_000))
    assert journal.known.spent_usd == pytest.approx(1.01)
    journal.asked("late", 1.0)
    journal.broke_off("late", paid=False)
    assert journal.known.spent_usd == pytest.approx(1.01)
    journal.asked("bad", 1.0)
    journal.answered(Answer("bad", "failed"))
    assert journal.known.spent_usd == pytest.approx(2.01), "of a failure nobody tells the price"
    journal.close()


def test_what_judging_may_cost_is_kept_until_the_answer_is_scored(tmp_path: Path) -> None:
    journal = begun(tmp_path, FILE)
    journal.asked("k", 1.0, 0.5)
    assert journal.known.spent_usd == 1.5
    journal.broke_off("k", paid=False)
    assert journal.known.spent_usd == 0.0
    journal.asked("k", 1.0, 0.5)
    journal.answered(Answer("k", "answered", "yes", cost_micro_usd=10_000))
    journal = again(journal)
    assert journal.known.spent_usd == pytest.approx(0.51), "answered and not yet judged"
    journal.judged_again("k", 0.5)
    assert journal.known.spent_usd == pytest.approx(1.01), "it may have been judged before"
    journal.scored(Scored("k", 1.0, "", 20_000))
    assert journal.known.spent_usd == pytest.approx(0.53)
    journal.asked("bad", 1.0, 0.5)
    journal.answered(Answer("bad", "failed", cost_micro_usd=10_000))
    assert journal.known.spent_usd == pytest.approx(0.54), "a failure is not judged"
    journal = again(journal)
    assert journal.known.spent_usd == pytest.approx(0.54)
    journal.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    journal = begun(tmp_path, FILE)
    with pytest.raises(RunLocked):
        Journal(journal.folder)
    journal.close()


def test_answers_go_when_the_run_is_over_unless_they_are_kept(tmp_path: Path) -> None:
    for keep in (False, True):
        journal = begun(tmp_path, FILE, run_id=f"run-{keep}")
        journal.answered(Answer("k", "answered", "a long answer", 1.0))
        assert unfinished(tmp_path, design(FILE).digest) == journal.folder
        journal.finish(keep)
        text = (journal.folder / "trials.jsonl").read_text("utf-8")
        assert ("a long answer" in text) == keep and journal.done
        journal = again(journal)
        assert journal.known.answers["k"].latency_s == 1.0
        journal.close()
        assert unfinished(tmp_path, design(FILE).digest) is None


def test_runs_are_listed_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    begun(tmp_path, FILE).close()
    odd = tmp_path / "benchmarks" / "odd"
    odd.mkdir()
    (odd / "design.json").write_text(json.dumps({"run_id": "odd"}), "utf-8")
    assert [(each.run_id, done) for each, done in runs(tmp_path)] == [("run-1", False)]
