"""A plan's own classifier: fitted in a child, kept, read again, and refused where broken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from learning.taxonomies.default import signals_of
from learning.taxonomies.own import Wanted
from learning.taxonomy import Classifier
from service.config import child_environment
from service.feedback.classifiers import Classifiers
from tests.learning.taxonomies.test_own import WANTED

FALSE = (sys.executable, "-c", "raise SystemExit(3)")


async def test_a_child_that_fails_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "classifiers" / "fitting-of-one-that-was-killed").mkdir(parents=True)
    classifiers = Classifiers(tmp_path, child_environment(), FALSE)
    assert classifiers.known(WANTED) is None
    assert await classifiers.fitted(WANTED) == "the child ended with code 3"
    assert list((tmp_path / "classifiers").iterdir()) == []


@pytest.mark.slow
async def test_what_a_child_fitted_is_kept_and_a_damaged_one_is_not_taken(tmp_path: Path) -> None:
    classifiers = Classifiers(tmp_path, child_environment())
    made = await classifiers.fitted(WANTED)
    assert isinstance(made, Classifier), made
    assert made.tasks == WANTED.tasks and made.version == WANTED.version
    again = Classifiers(tmp_path, {}).known(WANTED)
    signals = signals_of("Bake a loaf with rye")
    assert again is not None
    assert (again.probabilities(signals) == made.probabilities(signals)).all()
    other = Wanted("x", WANTED.tasks, WANTED.places, WANTED.examples)
    assert classifiers.known(other) is None
    path = classifiers.path(WANTED)
    path.write_bytes(path.read_bytes()[:-9])
    assert classifiers.known(WANTED) is None
