"""A version from before a deployment came is asked by name, never for what it does not know."""

from __future__ import annotations

import numpy as np

from learning.features import Featurizer
from learning.interaction import Context
from learning.policies.base import PolicySetup
from learning.policies.registry import build
from learning.reward import RewardScale
from service.domain.live import Published
from service.domain.records import PolicyMark
from service.feedback.versions import arm_of
from service.routing.placed import placed
from tests.service.routing.world import CATALOG

NAMES = tuple(each.name for each in CATALOG)


def test_by_name_not_by_place() -> None:
    featurizer = Featurizer(["code", "other"])
    arms = tuple(arm_of(each, 0) for each in (CATALOG[3], CATALOG[1]))
    policy = build("linear", PolicySetup(arms, featurizer.names, RewardScale(0.1, 60.0)), {})
    old = Published(policy.chooser(0.0), PolicyMark("default", "v", "c", 0), 5)
    found = placed(old, NAMES)
    assert [found.knows(i) for i in range(5)] == [False, True, False, True, False]
    context = Context(np.ones(len(featurizer.names), dtype=np.float32), 10, 0, 1.0)
    inner, weights, scores = old.chooser.choose(context, [1, 0], 0.3)
    choice, seen, told = found.published.chooser.choose(context, [1, 3], 0.3)
    assert choice == inner and np.array_equal(weights, seen)
    assert np.array_equal(scores.utility, told.utility)
    assert found.published.mark == old.mark and found.published.width == 5


def test_as_it_is_where_nothing_has_moved() -> None:
    featurizer = Featurizer(["code", "other"])
    arms = tuple(arm_of(each, 0) for each in CATALOG)
    policy = build("linear", PolicySetup(arms, featurizer.names, RewardScale(0.1, 60.0)), {})
    now = Published(policy.chooser(0.0), PolicyMark("default", "v", "c", 0))
    assert placed(now, NAMES).published is now
