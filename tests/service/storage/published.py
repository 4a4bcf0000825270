"""A small published history of requests by units, each unit at one deployment."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from service.domain.records import Caller, Usage
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from service.storage.history import Publisher
from tests.service.storage.test_tables import decision, feedback, outcome

DAY_US = 86_400_000_000


def publish(state: Path, requests: int = 400, units: int = 120, days: int = 4) -> None:
    """Seeded: a third of the units at ``y``, the rest at ``x``; one request in ten fails, a
    quarter of the answers is rated, every tenth request names no unit.
    """
    database = Database(state / FILE)
    log = EventLog(database)
    log.start()
    rng, records, start = np.random.default_rng(0), [], int(time.time() * 1e6) - days * DAY_US
    for number, unit in enumerate(rng.integers(0, units, requests).tolist()):
        drawn, at_us = "y" if unit % 3 == 0 else "x", start + number * days * DAY_US // requests
        name = f"u{unit}" if number % 10 else ""
        caller = Caller("key", "acme", "basic", "f", (), name, "")
        made = decision(deployment=drawn, caller=caller, at_us=at_us)
        good = rng.random() < 0.9
        records += [made, replace(
            outcome(made), at_us=at_us, deployment=drawn, status=200 if good else 503,
            usage=Usage(1, 2, 0, int(rng.lognormal(7.0 + unit / 200.0, 0.8))),
            latency_s=float(rng.lognormal(0.0, 0.6)),
        )]  # fmt: skip
        if good and rng.random() < 0.25:
            value = float(rng.random() < 0.8)
            records.append(feedback(made, value=value, quality=value, at_us=at_us))
    log.append_durable(*records).result(10)
    Publisher(database, state).publish(log.last_seq, time.time())
    log.stop()
    database.close()
