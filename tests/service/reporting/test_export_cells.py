"""Days and amounts in the forms that exports have; what could mean two things is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from service.reporting.export_cells import day_of, number_of, summed


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-05", "20261105", "2026/11/05", "2026-11-05 10:00:00 UTC", "Nov 5, 2026",
        "5 November 2026", "05-Nov-2026", "1793836800", "1793836800.5", "1793836800000",
        "1793836800000000", "2026-11-04T23:30:00-01:00", "'2026-11-05",
    ],
)  # fmt: skip
def test_a_day_in_many_forms(text: str) -> None:
    assert day_of(text) == "2026-11-05"


def test_a_date_that_may_be_two_days_is_told_apart_by_its_form() -> None:
    with pytest.raises(ValueError, match="--date-form"):
        day_of("05/11/2026")
    assert day_of("05/11/2026", "%d/%m/%Y") == "2026-11-05"
    assert day_of("05/11/2026", "%m/%d/%Y") == "2026-05-11"
    with pytest.raises(ValueError, match=r"is no date$"):
        day_of("soon")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1,234.50", "1234.50"), ("-$0.25", "-0.25"), ("($0.25)", "-0.25"), ("USD 3", "3"),
        ("1.5 USD", "1.5"), ("US$2", "2"), ("1,234,567", "1234567"), ("", "0"), ("1e-05", "1e-5"),
    ],
)  # fmt: skip
def test_an_amount_in_many_forms(text: str, value: str) -> None:
    assert number_of(text, "cost") == Decimal(value)


@pytest.mark.parametrize("text", ["0,25", "1.234,50", "12,34", "\u20ac1", "1 EUR", "abc", "nan"])
def test_what_is_no_dollar_amount_is_refused(text: str) -> None:
    """A comma for a decimal point would be a hundred times as much."""
    with pytest.raises(ValueError, match="cost: "):
        number_of(text, "cost")


def test_columns_that_belong_together_are_added() -> None:
    assert summed({"new": "3", "read": "1,000", "a+b": "7"}, "new+read") == 1_003
    assert summed({"new": "3", "a+b": "7"}, "a+b") == 7
