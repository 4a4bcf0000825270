"""What prompt caches saved: cached tokens at the difference of prices, less what writing cost."""

from __future__ import annotations

from dataclasses import replace

from service.domain.catalog import Amounts, Price, charge_micro_usd
from service.domain.money import charge, tariffs
from service.domain.records import Attempt, Caller, Extras, Role, Usage
from service.domain.staying import STAYED, Stay
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.prompt_caches import SUMS, CachesAsked, prompt_caches
from service.storage.spent import priced_from, unsaid
from service.storage.stays import read_stay
from tests.service.routing.world import deployment
from tests.service.storage.test_tables import decision

START = 1_790_000_000_000_000
DAY_US = 86_400_000_000
PRICE = Price(3_000_000, 15_000_000, 300_000, 0, 3_750_000)
LATER = replace(PRICE, input_micro_usd_mtok=2_000_000, from_us=START + DAY_US)


def call(log: EventLog, at_us: int, name: str, amounts: Amounts, price: Price, tenant: str) -> int:
    """A call as it is billed; what it would have cost without a cache, less what it did."""
    made = decision(at_us=at_us, caller=Caller("k", tenant))
    extras = Extras(amounts.cache_write) if amounts.cache_write else None
    usage = Usage(amounts.tokens_in, amounts.tokens_out, amounts.cached,
                  charge_micro_usd(price, amounts), False, extras)  # fmt: skip
    attempt = Attempt(made.id, 1, at_us, name, "p", Role.FIRST, 200, None, None, 0.1, usage)
    log.append(made)
    log.append(attempt)
    if extras is not None:
        log.append(charge(attempt, extras))
    plain = Amounts(amounts.tokens_in, amounts.tokens_out)
    return charge_micro_usd(price, plain) - usage.cost_micro_usd


def test_savings_are_what_the_bill_would_have_been_more() -> None:
    database = Database(None)
    log = EventLog(database)
    log.start()
    catalog = (deployment("warm", prices=(PRICE, LATER)), deployment("plain"))
    for each in tariffs(catalog, START - 1):
        log.append(each)
    used = Amounts(10_000, 50, cached=8_000)
    first = call(log, START + 1, "warm", used, PRICE, "acme")
    first += call(log, START + 2, "warm", Amounts(9_000, 5, cache_write=9_000), PRICE, "acme")
    second = call(log, START + DAY_US + 5, "warm", used, LATER, "umbrella")
    call(log, START + 3, "plain", used, catalog[1].prices[0], "acme")
    log.flush().result()
    everything = CachesAsked(0, START + 3 * DAY_US)
    found = prompt_caches(database.cursor(), everything)
    rows = {(row["deployment"], row["day"]): row for row in found["rows"]}
    assert (
        len(rows) == 3
        and {name: sum(r[name] for r in found["rows"]) for name in SUMS} == (found["total"])
    )
    days = sorted(day for name, day in rows if name == "warm")
    assert rows["warm", days[0]]["net_micro_usd"] == first
    assert rows["warm", days[0]]["surcharge_micro_usd"] == 6_750
    assert rows["warm", days[1]]["saved_micro_usd"] == second == 13_600, "at that day's price"
    (plain,) = (row for (name, _), row in rows.items() if name == "plain")
    assert plain["saved_micro_usd"] == 0 and plain["unpriced"] == 1
    of_acme = prompt_caches(database.cursor(), replace(everything, tenant="acme"))
    assert of_acme["total"]["net_micro_usd"] == first
    one, two = (f"0199a2f0-0000-7000-8000-00000000000{n}" for n in (1, 2))
    stay = Stay(one, START, two, "a", "b", 0.1, 0.2, 3.0, 4, 0.5, 0.6, 0.7, 0.8, -0.9, STAYED, 1.0)
    log.append(stay)
    log.flush().result()
    assert read_stay(database.cursor(), stay.decision_id) == stay
    assert read_stay(database.cursor(), stay.session_decision_id) is None
    log.stop()


def test_a_price_that_another_plan_took_back_holds_no_more() -> None:
    """What an earlier plan had from some day on must not be what calls under this one saved at."""
    database = Database(None)
    log = EventLog(database)
    log.start()
    for each in tariffs([deployment("warm", prices=(PRICE, LATER))], START - 1):
        log.append(each)
    log.flush().result()
    told, back = priced_from(database.cursor()), [deployment("warm", prices=(PRICE,))]
    assert told == {("warm", 0), ("warm", LATER.from_us)}
    again = unsaid(database.cursor(), tariffs(back, LATER.from_us + 10, told))
    assert [each.from_us for each in again] == [LATER.from_us]
    log.append(again[0])
    used = Amounts(10_000, 50, cached=8_000)
    saved = call(log, LATER.from_us + 5, "warm", used, LATER, "acme")
    saved += call(log, LATER.from_us + 20, "warm", used, PRICE, "acme")
    log.flush().result()
    assert unsaid(database.cursor(), tariffs(back, LATER.from_us + 30, told)) == []
    (row,) = prompt_caches(database.cursor(), CachesAsked(0, START + 3 * DAY_US))["rows"]
    assert row["saved_micro_usd"] == saved == 13_600 + 21_600
    log.stop()
