"""The replay: the logged probabilities where the policy itself decided, and never a look ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.offline.log_replay import (
    OTHER_FEATURES,
    UNKNOWN,
    Drawn,
    Target,
    Told,
    replay,
)
from learning.errors import UnknownArm
from learning.interaction import Arm, Context
from learning.policies import registry
from learning.policies.base import PolicySetup, Prior
from tests.experiments.offline.logs import (
    ARMS,
    SCALE,
    SETUP,
    START_US,
    STEP_US,
    Log,
    policy,
    simulate,
    target,
)


@pytest.fixture(scope="module")
def log() -> Log:
    return simulate("linear", 400, seed=3, floor=0.05)


def test_the_version_that_served_gets_its_own_probabilities_bit_for_bit(log: Log) -> None:
    found = replay(target("linear", floor=0.05), log.decisions, log.updates)
    assert found.target.tobytes() == found.propensities.tobytes()
    assert len(found) == 400 and found.updates >= 700 and found.passed_over == 0
    assert np.ptp(found.target[:, 0]) > 0.1  # it learned meanwhile


def test_so_it_does_from_a_checkpoint_in_the_middle(log: Log) -> None:
    live = policy("linear", floor=0.05)
    live.thaw(log.checkpoint)
    seq = log.checkpoint_seq
    at_us = log.updates[seq - 1].at_us
    later = [row for row in log.decisions if row.update_seq >= seq]
    told = [each for each in log.updates if each.seq > seq]
    found = replay(Target(live, at_us), later, told)
    assert 150 < len(found) < 250
    assert found.target.tobytes() == found.propensities.tobytes()


def test_what_comes_later_changes_nothing_before(log: Log) -> None:
    """Probabilities and expectations of the first rows do not depend on anything after them."""
    whole = replay(target("thompson"), log.decisions, log.updates)
    cut = log.decisions[199]
    half = replay(
        target("thompson"), log.decisions[:200], [u for u in log.updates if u.seq <= cut.update_seq]
    )
    for name in ("target", "quality", "cost_usd", "error_rate"):
        assert getattr(whole, name)[:200].tobytes() == getattr(half, name).tobytes(), name


def test_an_update_from_after_the_decision_is_not_taken_though_its_number_fits(log: Log) -> None:
    """After a kill the numbers of lost updates are given again."""
    late = [replace(u, at_us=u.at_us + 3_600_000_000) for u in log.updates]
    found = replay(target("linear"), log.decisions[:50], late)
    untaught = replay(target("linear"), log.decisions[:50], [])
    assert found.updates == 0 and np.array_equal(found.target, untaught.target)


def test_it_is_published_as_often_as_the_one_that_decided(log: Log) -> None:
    found = replay(target("thompson"), log.decisions, log.updates)
    assert found.views == len({row.update_seq for row in log.decisions}) == 100


def test_arms_that_the_policy_does_not_know_get_nothing(log: Log) -> None:
    setup = PolicySetup((ARMS[0], Arm("new"), ARMS[2]), SETUP.features, SCALE)
    made = Target(registry.build("linear", setup, {}), START_US)
    found = replay(made, log.decisions, log.updates)
    y = found.names.index("y")
    assert "new" not in found.names and (found.target[:, y] == 0.0).all()
    assert found.target.sum(1) == pytest.approx(1.0)
    assert np.isnan(found.quality[:, y]).all() and found.passed_over > 30


def row(**more: object) -> Drawn:
    made = simulate("uniform", 1, seed=1).decisions[0]
    return replace(made, **more)  # type: ignore[arg-type]


def test_rows_are_left_out_with_why() -> None:
    rows = [
        row(),
        row(left_out="held by a session"),
        row(eligible=("p", "q"), propensities=(0.5, 0.5), arm="p"),
        row(context=Context(np.ones(3, np.float32), 10)),
    ]
    found = replay(target("uniform"), rows, [])
    assert len(found) == 1 and found.row.tolist() == [0]
    assert found.left_out == {"held by a session": 1, UNKNOWN: 1, OTHER_FEATURES: 1}
    nothing = replay(target("uniform"), rows[1:], [])
    assert len(nothing) == 0 and nothing.target.shape == (0, 0)


def test_ticks_priors_and_what_cannot_be_learned() -> None:
    prior = Prior(("x", "y", "z"), SETUP.features, np.array([[0.0, 0.9], [0.0, 0.1], [0.0, 0.1]]))
    updates = [Told(1, START_US), Told(2, START_US, prior=prior)]
    rows = [row(update_seq=0), row(update_seq=2, at_us=START_US + STEP_US)]
    found = replay(target("linear"), rows, updates)
    assert found.updates == 2 and found.passed_over == 0
    x = found.names.index("x")
    assert found.quality[1, x] > 0.85 and found.quality[0, x] < 0.8
    with pytest.raises(UnknownArm):
        policy("linear").index("p")


def test_a_checkpoint_of_its_own_on_the_way_is_where_it_goes_on(log: Log) -> None:
    live = policy("linear", floor=0.05)
    live.thaw(log.checkpoint)
    seq = log.checkpoint_seq
    told = [*log.updates[:seq], Told(seq, log.updates[seq - 1].at_us, policy=live)]
    other = replay(target("linear", floor=0.2), log.decisions, told + log.updates[seq:])
    same = [a.tobytes() == b.tobytes()
            for a, b in zip(other.target, other.propensities, strict=True)]  # fmt: skip
    later = [row.update_seq >= seq for row in log.decisions]
    assert same == later and 100 < sum(later) < 300
    assert other.updates == len([u for u in log.updates if u.seq <= log.decisions[-1].update_seq])


def test_a_negligible_share_of_an_arm_without_a_chance_goes_to_the_others() -> None:
    rows = [row(eligible=("x", "y"), propensities=(1.0, 0.0), arm="x")]
    tiny = replay(target("fixed", arm="x", floor=1e-8), rows, [])
    assert tiny.target.tolist() == [[1.0, 0.0]]
    more = replay(target("fixed", arm="x", floor=0.01), rows, [])
    assert more.target[0, 1] == pytest.approx(0.01)


def test_progress_is_told(log: Log) -> None:
    said: list[int] = []
    replay(target("uniform"), log.decisions * 3, [], said.append)
    assert said == [0, 500, 1000]
