"""Buckets and neighbours: what cannot be measured beside one another is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from experiments.design import Experiment, Unit, Variant
from experiments.design_json import to_json
from experiments.states import Standing, State
from experiments.switchback import Blocks
from service.domain.errors import Conflict, Unprocessable
from service.domain.experiments import ExperimentRecord
from service.experimentation.placing import WATCH_LAYER, check_alone, place
from service.storage.experiments import Conducted, made


def design(
    slug: str = "one", setting: tuple[str, str] = ("use", "wide"), **more: Any
) -> Experiment:
    variants = (Variant("a", 0.5), Variant("b", 0.5, (setting,)))
    return Experiment(slug, "h", variants, ("quality",), **more)


def known(
    which: Experiment, layer: str = "main", first: int = 0, stop: int = 5_000,
    state: State = State.RUNNING,
) -> Conducted:  # fmt: skip
    record = ExperimentRecord(f"{which.slug}@1", 0, which.slug, 1, layer, first, stop,
                              to_json(which), "me", "why")  # fmt: skip
    return replace(made(record), standing=Standing(("a", "b"), state, 10))


def test_the_first_free_piece_that_is_large_enough() -> None:
    others = [known(design("x"), first=0, stop=2_000), known(design("y"), first=3_000, stop=6_000)]
    assert place(design(), "main", 0.1, others) == (2_000, 3_000)
    assert place(design(), "main", 0.3, others) == (6_000, 9_000)
    assert place(design(), "side", 1.0, others) == (0, 10_000)
    with pytest.raises(Conflict, match="no 50% in one piece: x@1, y@1 hold 50%"):
        place(design(), "main", 0.5, others)
    ended = [replace(each, standing=Standing(("a", "b"), State.ROLLED_BACK)) for each in others]
    assert place(design(), "main", 1.0, ended) == (0, 10_000)
    with pytest.raises(Unprocessable, match="share"):
        place(design(), "main", 0.0, [])


def test_a_layer_has_one_unit() -> None:
    with pytest.raises(Conflict, match="assigns by session"):
        place(design(unit=Unit.USER), "main", 0.1, [known(design("x"))])
    blocks = Blocks("s", 0)
    assert place(design(unit=Unit.BLOCK, blocks=blocks), "main", 1.0, [known(design("x"))]) == (
        0,
        0,
    )


def test_what_runs_in_another_layer_and_changes_the_same_is_refused() -> None:
    mine = known(design("one"), "side")
    for setting in (("exclude", "wide"), ("quality_cost", "0.3")):
        check_alone(mine, [known(design("x", setting))])
    check_alone(mine, [known(design("x"), state=State.PAUSED), known(design("x"), "side"), mine])
    with pytest.raises(Conflict, match="x@1 runs and changes use too"):
        check_alone(mine, [known(design("x"))])
    decides = known(design("one", ("deployment", "wide")), "side")
    with pytest.raises(Conflict, match="who decides"):
        check_alone(decides, [known(design("x", ("version", "v")))])


def test_a_promotions_watch_stands_in_the_way_of_versions_alone() -> None:
    watch = known(design("w", ("version", "v")), WATCH_LAYER)
    check_alone(known(design("one", ("deployment", "wide"))), [watch])
    with pytest.raises(Conflict, match="changes version"):
        check_alone(known(design("one", ("version", "v2"))), [watch])
