"""Requests as columns: what each is the same as, who was held to whose draw, and the judgings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.opportunities.changes import Batch, Cache
from experiments.opportunities.estimating import together
from experiments.opportunities.replaying import hits, patient
from service.domain.batches import BatchLine
from service.domain.caching import CachedAnswer
from service.domain.clock import new_id
from service.domain.judging import Judging
from service.domain.prediction import Predicted
from service.domain.records import Caller, Decision, Mode, Outcome, Usage
from service.storage.database import FILE, Database
from service.storage.drawn import Asked
from service.storage.event_log import EventLog
from service.storage.history import Publisher, connect
from service.storage.traffic import traffic
from tests.service.storage.test_tables import NOW, attempt, decision, outcome

SPAN = Asked(0, 4_000_000_000_000_000)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traffic")
    database = Database(folder / FILE)
    log = EventLog(database)
    log.start()
    first = decision()
    other = Caller("key", "umbrella", "basic", "search", (), "", "")
    rows = [
        first,
        decision(mode=Mode.STICKY, session_decision_id=first.id, propensity=1.0),
        decision(mode=Mode.PINNED, propensity=1.0),
        decision(caller=other),
        decision(prompt_hash=""),
        decision(tokens_out_limit=9),
    ]
    for each in rows:
        log.append(each)
        log.append(attempt(each))
        log.append(outcome(each))
    log.append(decision())  # its request has not ended
    log.append(Predicted(first.id, NOW, "m-1", "fitted", 40.0, 10.0, 55.0, ("x", "y"), (0.4, 0.9)))
    judging = Judging(
        new_id(), NOW, "score", "sample", "", first.id, "code", "y", "j", "r@1", "d", 0.8, 0.8,
        0.8, True, 0.25, 10, 0, 300, False,
    )  # fmt: skip
    log.append(judging)
    log.append(replace(judging, id=new_id(), decision_id=rows[3].id, consistent=False))
    log.append(replace(judging, id=new_id(), origin="golden"))
    log.flush().result(20)
    Publisher(database, folder).publish(log.last_seq)
    log.stop()
    database.close()
    return folder


def test_each_request_is_a_row(state: Path) -> None:
    with connect(state) as connection:
        read = traffic(connection, SPAN, calls=True)
        mine = traffic(connection, replace(SPAN, tenant="umbrella"))
    assert len(read) == 6 and read.cost.tolist() == [3] * 6
    same = read.same.tolist()
    assert same[0] == same[1] and same[4] == -1  # the same prompt; nobody knows its prompt
    assert len({same[0], same[2], same[3], same[5]}) == 4  # named, another tenant, another limit
    assert read.draw.tolist() == [0, 0, -1, 1, 2, 3] and read.held.tolist()[:2] == [False, True]
    assert read.labelled[read.labels[0]] == {"tier:basic", "a", "b"}
    assert read.calls is not None and read.calls.request.tolist() == list(range(6))
    assert len(mine) == 1 and len(mine.draws) == 1 and len(mine.checks) == 1


def test_judgings_stand_beside_what_was_foreseen(state: Path) -> None:
    with connect(state) as connection:
        found = traffic(connection, SPAN).checks
    assert len(found) == 2 and found.cost.tolist() == [300, 300]
    assert found.chance[0] == pytest.approx(0.9) and np.isnan(found.chance[1])
    assert found.value[0] == pytest.approx(0.8) and np.isnan(found.value[1])
    assert found.probability.tolist() == [0.25, 0.25]


def _line(of: Decision) -> BatchLine:
    return BatchLine("batch-1", 1, NOW, "key", "acme", "/v1/chat/completions", of.id, "y", "sync",
                     "off_peak", "completed", "", 1, 1, 2, 3, 3)  # fmt: skip


def _given_again(of: Decision, source: Decision, kind: str) -> tuple[Outcome, CachedAnswer]:
    end = Outcome(
        of.id, of.at_us, "y", Mode.CACHE, 200, None, 0.01, None, 0.0, 0, Usage(0, 0, 0, 0)
    )
    return end, CachedAnswer(of.id, of.at_us, source.id, "y", "code", "acme", kind, 9.0, 3, 1, 2)


def test_what_was_saved_is_not_saved_again(tmp_path: Path) -> None:
    """A call, its answer given again (word for word, shared, semantic), the same question in a
    batch, and once more as a call: only the last is still a hit, and it and the first are patient.
    """
    database = Database(tmp_path / FILE)
    log = EventLog(database)
    log.start()
    calls = [decision(at_us=NOW + at) for at in (0, 20_000_000, 30_000_000)]
    again = [decision(at_us=NOW + 10_000_000 + at, mode=Mode.CACHE, propensity=1.0)
             for at in range(3)]  # fmt: skip
    for each in calls:
        for record in (each, attempt(each, at_us=each.at_us),
                       replace(outcome(each), at_us=each.at_us + 1_000_000)):  # fmt: skip
            log.append(record)
    for each, kind in zip(again, ("exact", "shared", "semantic"), strict=True):
        log.append(each)
        for record in _given_again(each, calls[0], kind):
            log.append(record)
    log.append(_line(calls[1]))
    log.append(replace(_line(calls[1]), number=2))  # a second line does not double the request
    log.flush().result(20)
    Publisher(database, tmp_path).publish(log.last_seq)
    log.stop()
    database.close()
    with connect(tmp_path) as connection:
        read = traffic(connection, SPAN)
    assert read.cost.tolist() == [3, 3, 3, 0, 0, 0]
    assert read.settled.tolist() == [False, True, False, True, True, True]
    assert hits(read, Cache("code")).tolist() == [False, False, True, False, False, False]
    change = Batch("code", tags=("a",), factor=0.0)
    rows = patient(read, change)
    assert not isinstance(rows, CannotSay)
    assert rows.tolist() == [True, False, True, False, False, False]
    assert together(read, (change, Cache("code"))).saved_micro_usd == 6
    said = patient(replace(read, settled=np.ones(6, dtype=np.bool_)), change)
    assert isinstance(said, CannotSay) and "in a batch already" in str(said)
