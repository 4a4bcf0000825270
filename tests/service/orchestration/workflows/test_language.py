"""The language of workflows: typed, bounded, pure; what is not of it is refused with a mend."""

from __future__ import annotations

from typing import Any

import pytest

from service.orchestration.workflows.functions import MOST_CHARACTERS, ValueFault
from service.orchestration.workflows.kinds import (
    ANY,
    BOOLEAN,
    INTEGER,
    LIST,
    NUMBER,
    TEXT,
    TEXTS,
    Kind,
    KindUnknown,
    fault,
    fits,
    list_of,
    object_of,
    read,
)
from service.orchestration.workflows.language import compiled
from service.orchestration.workflows.operations import Absent, LanguageInvalid
from service.orchestration.workflows.templates import template

SCOPE = {
    "a": object_of({"text": TEXT, "n": INTEGER, "list": TEXTS, "value": ANY}),
    "b": object_of({"text": TEXT}),
    "items": list_of(NUMBER),
}
NAMES: dict[str, Any] = {
    "a": {"text": "One two. [3] and [x, 3]", "n": 4, "list": ["b", "a", "b"], "value": {"k": 1}},
    "b": None,
    "items": [1.0, 3.0],
}
WORKED = (
    ("a.n + 1", 5, INTEGER), ("a.n / 8", 0.5, NUMBER), ("-a.n", -4, INTEGER),
    ("a.text | words", 6, INTEGER), ("words(a.text) > 3 and not a.n == 2", True, BOOLEAN),
    ("first(b.text, a.text) | short(4)", "One…", TEXT), ("given(b.text)", False, BOOLEAN),
    ("a.list[0] + a.list[1]", "ba", TEXT), ("unique(a.list) | sort", ["a", "b"], TEXTS),
    ("a.list | join(\", \")", "b, a, b", TEXT), ("numbered(a.list) | lines | len", 3, INTEGER),
    ("most_common(a.list)", "b", TEXT), ("cited(a.text)", ["3", "x"], TEXTS),
    ("mean(items) >= 2", True, BOOLEAN), ("max(items) - min(1, 2)", 2.0, NUMBER),
    ("a.value.k + 1", 2, ANY), ("parse(\"[1, 2]\")[1]", 2, ANY), ("a.n in [4, 5]", True, BOOLEAN),
    ("\"x\" if a.n > 9 else \"y\"", "y", TEXT), ("1 < a.n <= 4", True, BOOLEAN),
    ("overlap(\"a b\", \"B a\")", 1.0, NUMBER), ("best(a.list, [1, 9, 2])", "a", TEXT),
    ("chunks(\"a b c d e\", 2)", ["a b", "c d", "e"], TEXTS),
    ("[{\"k\": a.n}] | pluck(\"k\")", [4], LIST), ("range(3) | len", 3, INTEGER),
    ("get(a.value, \"none\", 7)", 7, ANY), ("replace(a.text, \"One\", \"1\") | starts(\"1\")", True,
                                            BOOLEAN),
    ("number(\"it is 3/4\")", 0.75, NUMBER), ("not true or 1 == 1.0", True, BOOLEAN),
)  # fmt: skip


@pytest.mark.parametrize("at", range(len(WORKED)))
def test_a_value_is_worked_out_and_of_the_kind_that_was_told(at: int) -> None:
    text, wanted, kind = WORKED[at]
    value = compiled(text, SCOPE)
    assert value(NAMES) == wanted and value.kind.name == kind.name


REFUSED = (
    "a.txt", "c.text", "words(a.n)", "a.text > 3", "a.n == \"x\"", "a.text and true", "len()",
    "nothing(a)", "a.text * 2 * 2", "a.n ** 2", "[x for x in items]", "lambda: 1", "a.__class__",
    "(a := 1)", "a.text[0:2]", "f\"{a}\"", "open(\"x\")", "a.text.upper()", "words(t=1)", "*items",
    "10**99", "99999999999999999999", "a.list.text", "b\"x\"", "1 if a.n else 2", "a ..", "",
    "__import__(\"os\")", "items is None", "~1", "await a", "first()",
)  # fmt: skip


@pytest.mark.parametrize("at", range(len(REFUSED)))
def test_what_is_not_of_the_language_is_refused(at: int) -> None:
    with pytest.raises(LanguageInvalid):
        compiled(REFUSED[at], SCOPE)


def test_a_near_name_is_told() -> None:
    with pytest.raises(LanguageInvalid, match="did you mean text"):
        compiled("a.txet", SCOPE)


def test_what_is_not_there_is_absent_and_what_cannot_be_is_a_fault() -> None:
    for text in ("b.text", "a.value.other", "a.list[7]", "first(b.text, b.text)"):
        with pytest.raises(Absent):
            compiled(text, SCOPE)(NAMES)
    for text in ("1 / (a.n - 4)", "parse(a.text)", "mean([])", "a.value + 1", "a.value and true",
                 "number(\"none\")", "chunks(a.text, 0)", "range(99999)",
                 "words(a.value)"):  # fmt: skip
        with pytest.raises(ValueFault):
            compiled(text, SCOPE)(NAMES)


def test_no_text_grows_beyond_its_bound() -> None:
    grows = 'replace(a.text, "a", a.text)'
    names = {"a": {"text": "a" * 10_000}}
    with pytest.raises(ValueFault, match="characters"):
        compiled(f'replace({grows}, "a", a.text)', SCOPE)(names)
    text = template("{{ a.text }}" * 90, SCOPE)
    with pytest.raises(ValueFault, match=str(MOST_CHARACTERS)):
        text({"a": {"text": "a" * 30_000}})


def test_what_is_put_into_a_template_is_not_read_as_one() -> None:
    made = template('<{{ a.text }}|{{ "}}" }}|{{ a.n }}|{{ a.list }}>', SCOPE)
    assert made(NAMES | {"a": {"text": "{{ a.n }}", "n": 1, "list": ["x"]}}) == (
        '<{{ a.n }}|}}|1|["x"]>'
    )
    for bad in ("{{ a.text", "{{ }}", "{{ a.nope }}"):
        with pytest.raises(LanguageInvalid):
            template(bad, SCOPE)
    with pytest.raises(LanguageInvalid, match="image"):
        template("{{ p }}", {"p": Kind("image")})


def test_kinds_are_read_and_values_held_against_them() -> None:
    nested = read("list of list of number")
    assert str(nested) == "list of list of number" and fault([[1, 2.5], []], nested) == ""
    assert fault([[1, "x"]], nested) == "[0] [1] must be a number"
    assert fits(INTEGER, NUMBER) and not fits(NUMBER, INTEGER) and fits(ANY, TEXT)
    assert fault(True, INTEGER) and fault(float("nan"), NUMBER) and not fault(False, BOOLEAN)
    assert fault({"media_type": "x"}, Kind("image")) == "lacks b64"
    for text in ("texts", "text of list", "list of", ""):
        with pytest.raises(KindUnknown):
            read(text)
