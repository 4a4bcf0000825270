"""Errors of learning name what is wrong."""

from __future__ import annotations

import pytest

from learning.errors import InvalidInteraction, LearningError, UnknownArm, UnknownPolicy
from learning.interaction import Choice, Context, Interaction
from learning.reward import Reward


def test_errors_name_what_is_known() -> None:
    assert "holds a, b" in str(UnknownArm("c", ("a", "b")))
    assert "registered: linear" in str(UnknownPolicy("x", ("linear",)))
    assert issubclass(UnknownArm, LearningError)


def test_records_are_frozen() -> None:
    import numpy as np

    context = Context(np.zeros(3, np.float32), 10)
    interaction = Interaction(context, Choice("a", 0.5), Reward(quality=1.0), 0.0)
    with pytest.raises(AttributeError):
        interaction.at_s = 1.0  # type: ignore[misc]


def test_a_reward_out_of_range_cannot_be_made() -> None:
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidInteraction, match="quality"):
            Reward(quality=bad)
    for bad in (-1.0, float("inf"), float("nan")):
        with pytest.raises(InvalidInteraction, match="latency_s"):
            Reward(latency_s=bad)
