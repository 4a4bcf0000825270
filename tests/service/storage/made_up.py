"""A small made-up history, written once for the tests that read it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from experiments.offline.past import Past
from experiments.offline.past_rows import Marks
from service.bootstrap.generated import PLAN, Generator, Made, Wish
from service.check import load_checked

END_US = 1_795_564_800_000_000  # a midnight, UTC


def generator(decisions: int, days: int = 7, seed: int = 3) -> Generator:
    """One on the plan of generated histories."""
    return Generator(load_checked(PLAN, secrets=False), Wish(days, decisions, seed, END_US))


def past(decisions: int, days: int = 7, seed: int = 3) -> Past:
    """The world alone."""
    return generator(decisions, days, seed).past


def marks(of: Past) -> Marks:
    """What its decisions are marked with, where nobody looks at that."""
    told = tuple(
        (t.id, tuple(v.name for v in t.design.variants), tuple(v.share for v in t.design.variants))
        for t in of.regime.trials
    )
    start_us = np.full(3, of.happened.start_us)
    names = ("first", "second", "third")
    return Marks("default", names, names, told, start_us, np.arange(3), names)


@cache
def written(folder: Path, decisions: int, days: int = 7, seed: int = 3) -> Made:
    """A history in a folder."""
    return generator(decisions, days, seed).write(folder)
