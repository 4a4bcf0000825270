"""Features of prompts: fitted on the unscored text, or not fitted at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.offline.outcomes import of_frame
from experiments.offline.text_features import KINDS, build
from tests.experiments.offline.recorded import frame


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_ends_in_the_constant_and_is_finite(kind: str) -> None:
    found = build(kind, of_frame(frame()))
    assert found.dtype == np.float32 and len(found) == 400
    assert (found[:, -1] == 1.0).all() and np.isfinite(found).all()


@pytest.mark.parametrize("kind", KINDS)
def test_scored_text_does_not_move_the_others_features(kind: str) -> None:
    outcomes = of_frame(frame())
    before = build(kind, outcomes)
    last = int(np.flatnonzero(outcomes.scored)[-1])
    prompts = (*outcomes.prompts[:last], "something else altogether", *outcomes.prompts[last + 1 :])
    after = build(kind, replace(outcomes, prompts=prompts))
    rest = np.arange(400) != last
    assert np.array_equal(before[rest], after[rest])


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(CannotSay, match="svd25, headgate"):
        build("neural", of_frame(frame()))
