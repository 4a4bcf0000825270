"""What two wordings must have in common, and when two answers say the same."""

from __future__ import annotations

import pytest

from learning.same_ask import MOST_PARTS, fixed_parts, same_answer, same_words

APART = [
    ("Can I pay without a card?", "Can I pay with a card?"),
    ("What is 14 times 3?", "What is 41 times 3?"),
    ("What is 5 minus 3?", "What is -5 minus 3?"),
    ("What is the capital of France?", "What is the capital of Italy?"),
    ("Translate from English to French", "Translate from French to English"),
    ("What happened in March?", "What happened in April?"),
    ("Is it open today?", "Is it open tomorrow?"),
    ('Spell "cat"', 'Spell "dog"'),
    ("How do I enable it?", "How do I disable it?"),
    ("The lowest price?", "The highest price?"),
    ("Why did it rain?", "When did it rain?"),
    ("It doesn't start", "It does start"),
    ("It costs $5", "It costs €5"),
    ("How much is one?", "How much is two?"),
    ("Wo liegt München?", "Wo liegt Lübeck?"),
    ("What is C++?", "What is C?"),
    ("What is C#?", "What is C?"),
    ("is an A+ good", "is an A- good"),
    ("What is 5 * 3?", "What is 5 / 3?"),
    ("Is it open at 7 am?", "Is it open at 7 pm?"),
    ("may i take 5mg", "may i take 5 ml"),
    ("is it toxic", "is it non-toxic"),
    ("price in ₹", "price in ₽"),
    ("ich will zahlen", "ich will nicht zahlen"),
    ("je veux payer", "je ne veux pas payer"),
]
TOGETHER = [
    ("What is the capital of France?", "Tell me the capital of France, please."),
    ("How do I reset my password?", "How can I reset the password of my account?"),
    ("I can't log in", "I cannot log in"),
    ("Is 20 % off?", "is it 20% off"),
    ("is it open at 7 pm", "Is it open at 7pm?"),
]


@pytest.mark.parametrize("number", range(len(APART)))
def test_parts_that_differ_are_told_apart(number: int) -> None:
    one, other = APART[number]
    assert fixed_parts(one) != fixed_parts(other)


@pytest.mark.parametrize("number", range(len(TOGETHER)))
def test_other_words_for_the_same_are_not(number: int) -> None:
    one, other = TOGETHER[number]
    assert fixed_parts(one) is not None and fixed_parts(one) == fixed_parts(other)


@pytest.mark.parametrize(
    "text", ["what does `x` do", "fix f(x)", "see https://a", "a = 3", "write to a@b", "snake_case",
             "1 " * (MOST_PARTS + 1), "how do i n\u200bot pay", "is it right\u202e ton"],
)  # fmt: skip
def test_code_and_addresses_have_no_wording(text: str) -> None:
    assert fixed_parts(text) is None


def test_answers_are_equal_by_their_words_or_by_most_of_them() -> None:
    assert same_answer("It is **Paris**.", "it is paris")
    assert not same_answer("It is Paris.", "It is Rome.")
    assert not same_answer("", "x") and same_answer("42!", "42") and not same_answer("-4", "4")
    long = "The office opens at 9 and closes at 5 on every working day of the week"
    assert not same_answer(long, long + " here")
    assert same_answer(long, long + " here", 0.1)
    assert not same_answer(long, long.replace("9", "8"), 0.3), "numbers must agree"
    assert not same_answer(long, long.replace("opens", "never opens"), 0.3)
    for one, other in (("C++", "C"), ("It is C#", "It is C"), ("A+", "A-"), ("x > 5", "x < 5"),
                       ("5 * 3", "5 / 3"), ("a ≤ b", "a ≥ b")):  # fmt: skip
        assert not same_answer(one, other), (one, other)
    assert same_answer("- *one*\n- two", "* one\n* **two**")
    code = "```\nif a.b(c):\n```"
    assert same_answer(code, code + "\n") and not same_answer(code, code.replace("a.b", "a,b"))
    assert same_words("Don’t  PAY $5.00!") == "don't pay $ 5.00"
