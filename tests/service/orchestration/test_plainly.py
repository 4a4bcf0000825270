"""Decoration goes, words and code stay."""

from __future__ import annotations

import pytest

from service.orchestration.plainly import plainly


@pytest.mark.parametrize(
    ("fancy", "plain", "marks"),
    [
        ("# A\n\n\n\n**b** and *c*", "A\n\nb and c", 3),
        ("* one\n+ two\n• three", "- one\n- two\n- three", 3),
        ("> said\n---\nso 🎉✅", "said\nso", 3),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a; b\n1; 2", 3),
        ("2 * 3 * 4 = 24, a_b_c, x ** 2", "2 * 3 * 4 = 24, a_b_c, x ** 2", 0),
        ("```python\n# a comment\nx = a * b * c\n```\nso", "# a comment\nx = a * b * c\nso", 1),
        ("", "", 0),
        ("**open only", "**open only", 0),
    ],
)
def test_what_is_left(fancy: str, plain: str, marks: int) -> None:
    found = plainly(fancy)
    assert (found.text, found.decoration) == (plain, marks)


def test_it_is_done_in_one_go_and_stays_so() -> None:
    fancy = "# A\n- **b**\n\n| x | y |\n|--|--|\n| 1 | 2 |\n"
    once = plainly(fancy).text
    assert plainly(once).text == once


def test_long_odd_text_takes_no_long_time() -> None:
    for odd in ("*" * 50_000, "# " * 20_000, "|" * 50_000, "**a" * 20_000, "> " * 20_000):
        plainly(odd)
