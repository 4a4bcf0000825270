"""The tables whose rows are their records' fields as they are, joined."""

from __future__ import annotations

from service.storage.batch_tables import BATCHES
from service.storage.cache_tables import CACHED
from service.storage.ensemble_table import ENSEMBLES
from service.storage.escalation_tables import CLIMBS
from service.storage.learned_from import LEARNED_FROM
from service.storage.money_tables import MONEY
from service.storage.stay_tables import STAYS

PLAIN = {**LEARNED_FROM, **MONEY, **CLIMBS, **STAYS, **CACHED, **ENSEMBLES, **BATCHES}
