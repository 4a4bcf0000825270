"""What was spent and saved in a time: parts that add up, each tenant its own."""

from __future__ import annotations

from dataclasses import replace

from service.domain.batches import BatchLine
from service.domain.caching import EXACT, SEMANTIC, CachedAnswer
from service.domain.catalog import Amounts
from service.domain.clock import new_id
from service.domain.money import tariffs
from service.storage.batch_savings import SavingsAsked
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.savings import savings
from tests.service.routing.world import deployment
from tests.service.storage.test_prompt_caches import PRICE, START, call

AT = START + 10
PLAIN = Amounts(1_000, 100)


def given(kind: str, tenant: str, saved: int) -> CachedAnswer:
    return CachedAnswer(new_id(), AT, new_id(), "warm", "other", tenant, kind, 5.0, saved, 10, 20)


def line(tenant: str, paid: int, alone: int) -> BatchLine:
    return BatchLine("batch_1", 1, AT, "k", tenant, "/v1/chat/completions", new_id(), "warm",
                     "provider", "off_peak", "completed", "", 1, 10, 20, paid, alone)  # fmt: skip


def test_what_was_saved_adds_up_and_a_tenant_sees_its_own() -> None:
    database = Database(None)
    log = EventLog(database)
    log.start()
    for each in tariffs((deployment("warm", prices=(PRICE,)),), START - 1):
        log.append(each)
    cached = call(log, START + 1, "warm", Amounts(10_000, 50, cached=8_000), PRICE, "acme")
    call(log, START + 2, "warm", PLAIN, PRICE, "umbrella")
    for each in (given(EXACT, "acme", 700), given(EXACT, "acme", 300),
                 given(SEMANTIC, "umbrella", 50), replace(given(EXACT, "acme", 9_999), at_us=1),
                 line("acme", 400, 1_000)):  # fmt: skip
        log.append(each)
    log.flush().result()
    asked = SavingsAsked(START, START + 100)
    whole = savings(database.cursor(), asked)
    assert whole["kept_answers"]["exact"] == {"answers": 2, "saved_micro_usd": 1_000}
    assert whole["kept_answers"]["shared"] == {"answers": 0, "saved_micro_usd": 0}
    assert whole["kept_answers_micro_usd"] == 1_050 and whole["batches_micro_usd"] == 600
    assert whole["prompt_caches_micro_usd"] == cached > 0
    assert whole["saved_micro_usd"] == 1_650 + cached and whole["calls"] == 2
    assert whole["before_micro_usd"] == whole["spent_micro_usd"] + whole["saved_micro_usd"]
    parts = [savings(database.cursor(), replace(asked, tenant=t)) for t in ("acme", "umbrella")]
    assert [each["kept_answers_micro_usd"] for each in parts] == [1_000, 50]
    for name in ("spent_micro_usd", "saved_micro_usd", "before_micro_usd", "calls"):
        assert sum(each[name] for each in parts) == whole[name]
    nothing = savings(database.cursor(), SavingsAsked(0, 1))
    assert nothing["before_micro_usd"] == nothing["saved_micro_usd"] == nothing["calls"] == 0
    log.stop()
