"""A plan's own taxonomy: the default's prompts under its tasks, and its examples."""

from __future__ import annotations

import numpy as np
import pytest

from learning.taxonomies import default
from learning.taxonomies.own import Wanted
from learning.taxonomy_fit import fit

EXAMPLES = tuple(
    ("recipe", text)
    for text in (
        "How do I cook risotto?", "A recipe with leeks and potatoes", "What goes into pesto?",
        "How long must an egg boil?", "Bake a loaf with rye flour", "Spices for a lentil curry",
    )
)  # fmt: skip
WANTED = Wanted(
    "mine-1", ("code", "recipe", "prose", "other"), {"code": "code", "writing": "prose"}, EXAMPLES
)


def test_it_is_told_and_read_the_same_and_the_digest_knows_every_part() -> None:
    assert Wanted.of(WANTED.told()) == WANTED
    others = [
        Wanted("mine-2", WANTED.tasks, WANTED.places, EXAMPLES),
        Wanted("mine-1", WANTED.tasks, {"code": "code"}, EXAMPLES),
        Wanted("mine-1", WANTED.tasks, WANTED.places, EXAMPLES[1:]),
    ]
    assert len({each.digest for each in (WANTED, *others)}) == 4


def test_prompts_fall_under_its_tasks_and_what_is_not_named_under_other() -> None:
    rows = WANTED.rows()
    base = default.prompts()
    assert len(rows) == len(base.texts) + len(EXAMPLES)
    said = [WANTED.tasks[i] for i in rows.y]
    assert {s for s, t in zip(said, base.tasks, strict=False) if t == "writing"} == {"prose"}
    assert {s for s, t in zip(said, base.tasks, strict=False) if t == "maths"} == {"other"}
    assert said[-1] == "recipe" and len(np.unique(rows.groups[-6:])) == 6


def test_examples_weigh_half_of_a_task_that_has_prompts_too() -> None:
    more = Wanted("", WANTED.tasks, WANTED.places, (("code", "Is my diff right?"), *EXAMPLES))
    rows = more.rows()
    code = rows.y == 0
    own = np.zeros(len(rows), bool)
    own[-7:] = True
    assert rows.weight[code & own].sum() == pytest.approx(rows.weight[code & ~own].sum())
    assert set(rows.weight[~code]) == {1.0, 8.0}


@pytest.mark.slow
def test_its_classifier_finds_what_the_examples_show() -> None:
    made = fit(WANTED.rows(), WANTED.version, strengths=(3.0,))
    assert made.tasks == WANTED.tasks and made.version == "mine-1"

    def best(text: str) -> str:
        return made.tasks[int(made.probabilities(default.signals_of(text)).argmax())]

    assert best("Write a Rust function that parses a date") == "code"
    assert best("Write a poem about rain") == "prose"
    assert best("How long must potatoes boil?") == "recipe"
