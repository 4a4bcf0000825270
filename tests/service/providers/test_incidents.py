"""What is odd of an upstream is counted each time and logged at most once a minute."""

from __future__ import annotations

import pytest

from service.providers.incidents import KINDS, MALFORMED_LINES, RECONNECTS, Incidents
from service.telemetry import Telemetry


def test_counts_are_passed_on_and_logs_are_rare(caplog: pytest.LogCaptureFixture) -> None:
    incidents, told = Incidents(), []
    incidents.tell = lambda *each: told.append(each)
    for number in (1, 2, 3):
        incidents.count("a", MALFORMED_LINES, number)
    incidents.count("a", RECONNECTS)
    assert told == [("a", MALFORMED_LINES, n) for n in (1, 2, 3)] + [("a", RECONNECTS, 1)]
    assert [r.getMessage() for r in caplog.records] == [
        "upstream a: 1 malformed_lines",
        "upstream a: 1 reconnects",
    ]


def test_every_kind_has_its_counter() -> None:
    telemetry = Telemetry()
    for kind in KINDS:
        telemetry.incident("a", kind, 2)
    text = telemetry.text().decode()
    for name in ("stream_malformed", "upstream_reconnects", "upstream_other_model"):
        assert f'headgate_{name}_total{{deployment="a"}} 2.0' in text
