"""The monthly and the quarterly review, from a published history."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from service.reporting.designs import texts
from service.reporting.making import make
from service.storage.database import FILE, Database
from tests.service.reporting.histories import Truth, write


def test_a_month_proposes_and_a_quarter_retires(marked: Path) -> None:
    month = make(marked, "monthly")
    assert month.name == "monthly-2026-11" and "2026-12" in month.title
    assert "without-sage" in month.figures["designs"]
    design = yaml.safe_load(texts(month)["without-sage.yaml"])
    assert design["variants"][1]["settings"] == {"exclude": "sage"}
    quarter = make(marked, "quarterly")
    slugs = [each.slug for each in quarter.findings]
    assert "retire-sage" in slugs and "capability-extract" in slugs
    assert quarter.name == "quarterly-2026-Q4"


@pytest.mark.slow
def test_a_history_without_a_decision_says_so(tmp_path: Path) -> None:
    write(tmp_path, Truth(a_day=0))
    for kind in ("weekly", "quarterly"):
        found = make(tmp_path, kind)
        assert "no decision yet" in found.missing[-1] and found.findings == ()
    assert (tmp_path / FILE).exists()
    Database(tmp_path / FILE).close()
