"""What is carried is held against the bounds, and every refusal is counted by its reason."""

from __future__ import annotations

import pytest

from service.domain.errors import BodyTooLarge, HeadgateError, Overloaded
from service.monitoring.load import REASONS, Load
from service.plan.inbound import ServicePlan
from service.telemetry import Telemetry


def made(**bounds: float) -> tuple[Load, Telemetry]:
    telemetry = Telemetry()
    return Load(ServicePlan.model_validate(bounds), telemetry), telemetry


def test_as_many_as_the_bound_and_no_more() -> None:
    load, telemetry = made(most_under_way=2)
    load.under_way = 2
    load.check()
    load.under_way = 3
    with pytest.raises(Overloaded, match="as many requests") as caught:
        load.check()
    assert caught.value.retry_after_s == 1.0 and caught.value.status == 503
    assert load.shown()["refused"] == {"under_way": 1}
    assert b'headgate_refused_total{reason="under_way"} 1.0' in telemetry.text()


def test_a_late_loop_sheds_until_it_has_caught_up() -> None:
    load, _ = made(most_lag_s=0.5)
    load.lag.saw(2.0)
    with pytest.raises(Overloaded, match="CPU"):
        load.check()
    while load.lag.average_s > 0.5:
        load.lag.saw(0.0)
    load.check()


def test_bytes_are_held_up_to_the_bound() -> None:
    load, _ = made(most_held_bytes=1_000)
    load.hold(900)
    with pytest.raises(Overloaded, match="bytes"):
        load.hold(101)
    load.hold(100)
    assert load.held_bytes == 1_000 and load.refusals["held_bytes"] == 1


def test_errors_are_noted_if_they_are_refusals() -> None:
    load, _ = made()
    load.noted(BodyTooLarge("too large"))
    load.noted(HeadgateError("something else"))
    assert load.shown()["refused"] == {"body_too_large": 1}


def test_every_reason_is_there_from_the_start_and_gauges_show_what_is() -> None:
    load, telemetry = made()
    load.connections = 7
    load.lag.saw(0.25)
    load.show()
    text = telemetry.text().decode()
    for reason in REASONS:
        assert f'headgate_refused_total{{reason="{reason}"}} 0.0' in text
    assert "headgate_connections_open 7.0" in text
    assert "headgate_loop_lag_greatest_seconds 0.25" in text
