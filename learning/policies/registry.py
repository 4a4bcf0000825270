"""The registered policies: one line a kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning.errors import UnknownPolicy
from learning.policies.base import Policy, PolicySetup
from learning.policies.epsilon_greedy import EpsilonGreedy
from learning.policies.fixed import Fixed
from learning.policies.inverse_gap import InverseGap
from learning.policies.linear import Linear
from learning.policies.linucb import LinUCB
from learning.policies.thompson import Thompson
from learning.policies.uniform import Uniform

POLICIES: Mapping[str, type[Policy]] = {
    "linear": Linear,
    "uniform": Uniform,
    "fixed": Fixed,
    "epsilon_greedy": EpsilonGreedy,
    "linucb": LinUCB,
    "thompson": Thompson,
    "inverse_gap": InverseGap,
}


def build(kind: str, setup: PolicySetup, parameters: Mapping[str, Any]) -> Policy:
    """A policy by its kind; raises UnknownPolicy, or ValueError for a wrong parameter."""
    if kind not in POLICIES:
        raise UnknownPolicy(kind, tuple(POLICIES))
    return POLICIES[kind].build(setup, parameters)
