"""How often noise is taken for a prediction: at most one refit in 25."""

from __future__ import annotations

from dataclasses import replace

import pytest

from learning.acceptance_check import Held, refit
from tests.learning.test_acceptance_fit import rows

pytestmark = pytest.mark.slow


def test_shuffled_ratings_are_hardly_ever_believed() -> None:
    believed = 0
    for seed in range(25):
        made = rows(600, seed=seed, sharp=0.0)
        noise = replace(made, x=rows(600, seed=1_000 + seed).x)
        believed += isinstance(refit(noise, 0.7), Held)
    assert believed <= 1
