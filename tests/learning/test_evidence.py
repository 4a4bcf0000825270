"""Answers that were rated elsewhere come to the same sums as if they had been given here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning.errors import InvalidInteraction, SnapshotSchema
from learning.evidence import CONTEXTS, Answers, Evidence
from learning.interaction import Arm, Choice, Context, Interaction
from learning.policies.base import Policy, PolicySetup, Prior
from learning.policies.registry import build
from learning.quality import Rows
from learning.reward import Reward, RewardScale
from learning.snapshot import freeze, thaw

FEATURES = ("slope", "bend", "constant")
ARMS = (Arm("cheap", 0.1, 0.4), Arm("dear", 10.0, 40.0))
START_S = 1e9


def make(kind: str = "linear", features: tuple[str, ...] = FEATURES, **parameters: float) -> Policy:
    scale = RewardScale(1e12, 1e12)
    return build(kind, PolicySetup(ARMS, features, scale), parameters)


def answers(count: int = 60, seed: int = 1) -> Answers:
    """Both arms on the same prompts; dear is better by 0.3, and writes twice as much."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(size=(count, 2)), np.ones(count)])
    x = np.repeat(x.astype(np.float32), 2, axis=0).astype(np.float64)
    arm = np.tile([0, 1], count)
    quality = np.clip(0.5 + 0.3 * arm + 0.05 * x[:, 0] + 0.02 * rng.normal(size=len(x)), 0, 1)
    tokens = 100.0 * (1.0 + arm) * np.exp(0.2 * x[:, 1])
    return Answers(("cheap", "dear"), FEATURES, arm, x, quality, np.full(len(x), 50.0), tokens)


def told(policy: Policy, of: Answers, at_s: float = START_S) -> Policy:
    assert policy.take_prior(Prior.told(Evidence.of(of, at_s)))
    return policy


def lived(policy: Policy, of: Answers, at_s: float = START_S) -> Policy:
    """The same answers, one by one."""
    for at, x, quality, tokens in zip(of.arm, of.x, of.quality, of.tokens_out, strict=True):
        context = Context(x.astype(np.float32), 50)
        choice = Choice(of.arms[at], 0.5)
        shown = Reward(tokens_out=float(tokens), failed=False)  # type: ignore[arg-type]
        policy.learn(Interaction(context, choice, shown, at_s))
        policy.learn(Interaction(context, choice, Reward(quality=float(quality)), at_s))
    return policy


@pytest.mark.parametrize("kind", ["linear", "linucb", "thompson"])
def test_evidence_comes_to_the_sums_of_the_same_answers(kind: str) -> None:
    one, other = told(make(kind), answers()).state(), lived(make(kind), answers()).state()
    names = ["gram", "moment", "square", "count"]
    names += ["length_gram", "length_moment", "length_sums"] if kind == "linear" else ["tokens"]
    for name in names:
        assert np.allclose(one.arrays[name], other.arrays[name], rtol=1e-9, atol=1e-9), name


def test_a_policy_that_was_told_leads_with_the_better_at_once() -> None:
    context = Context(np.array([0.0, 0.0, 1.0], np.float32), 50)
    cold, warm = make().chooser(START_S), told(make(), answers()).chooser(START_S)
    assert warm.propensities(warm.scores(context, [0, 1]))[1] > 0.99
    assert cold.propensities(cold.scores(context, [0, 1]))[1] < 0.8


def test_what_is_told_twice_from_halves_is_the_whole() -> None:
    whole, policy = answers(), make()
    for part in (slice(None, 60), slice(60, None)):
        parts = ("arm", "x", "quality", "tokens_in", "tokens_out")
        half = replace(whole, **{name: getattr(whole, name)[part] for name in parts})
        told(policy, half)
    one, other = policy.state(), told(make(), whole).state()
    for name in ("gram", "moment", "square", "count"):
        assert np.allclose(one.arrays[name], other.arrays[name])


def test_old_evidence_is_worth_less() -> None:
    policy = make(quality_half_life_s=1_000.0)
    lived(policy, answers(1), START_S)
    told(policy, answers(), START_S - 1_000.0)
    assert policy.state().arrays["count"] == pytest.approx([31.0, 31.0])


def test_only_what_both_know_is_taken() -> None:
    of = answers()
    foreign = replace(of, arms=("stranger", "dear"), features=("bend", "strange", "constant"))
    state = told(make(), foreign).state()
    assert state.arrays["count"] == pytest.approx([0.0, 60.0])
    gram = state.arrays["gram"][1]
    mine = of.x[of.arm == 1]
    assert np.allclose(gram[np.ix_([1, 2], [1, 2])], (mine.T @ mine)[np.ix_([0, 2], [0, 2])])
    assert not gram[0].any()  # slope is not known there


def test_under_a_budget_the_first_choice_is_already_priced() -> None:
    warm = told(make(budget_usd=1e-4), answers()).chooser(START_S)
    share = warm.propensities(warm.scores(Context(np.array([0, 0, 1], np.float32), 50), [0, 1]))
    assert share[1] < 0.1  # dear costs eighty times the budget, however good
    blind = replace(answers(), tokens_in=np.zeros(0), x=np.zeros((0, 3)), arm=np.zeros(0, int),
                    quality=np.zeros(0), tokens_out=np.zeros(0))  # fmt: skip
    assert told(make(budget_usd=1e-4), blind).chooser(START_S).dual_price == 0.0  # type: ignore


def test_requests_of_its_own_are_kept_before_those_of_the_evidence() -> None:
    policy = make(budget_usd=1e-4)
    context = Context(np.array([9.0, 9.0, 1.0], np.float32), 50)
    policy.learn(Interaction(context, Choice("cheap", 1.0), Reward(cost_usd=1e-5), START_S))
    kept = told(policy, answers()).state().arrays
    assert kept["pacer_scalars"][1] == 1.0 and kept["pacer_features"][0][0] == 9.0
    many = Evidence.of(answers(1_000), START_S)
    assert len(many.contexts) == len(many.tokens_in) == CONTEXTS


def test_tokens_that_nobody_knows_are_passed_over() -> None:
    of = answers()
    silent = replace(of, tokens_out=np.where(of.arm == 0, np.nan, of.tokens_out))
    found = Evidence.of(silent, START_S)
    assert not found.length[0].any() and found.length[1][2] == 60.0


def test_it_is_frozen_and_thawed() -> None:
    evidence = Evidence.of(answers(), START_S)
    found = Evidence.thawed(thaw(freeze(evidence.state())))
    assert (found.arms, found.features, found.at_s) == (evidence.arms, FEATURES, START_S)
    for name in ("gram", "moment", "square", "count", "length", "contexts", "tokens_in"):
        assert np.array_equal(getattr(found, name), getattr(evidence, name))
    with pytest.raises(SnapshotSchema, match="not of evidence"):
        Evidence.thawed(
            Rows(("a",), FEATURES, *(np.zeros(0),) * 5).state()  # type: ignore[arg-type]
        )


def test_a_frozen_policy_goes_on_with_what_it_was_told() -> None:
    policy, again = told(make(), answers()), make()
    again.thaw(policy.freeze())
    assert again.freeze() == policy.freeze()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("quality", np.full(120, 1.5), r"quality lies in \[0, 1\]"),
        ("quality", np.full(120, np.nan), "must be finite"),
        ("quality", np.zeros(3), "quality has another length"),
        ("x", np.zeros((120, 2)), r"x must be \[n, 3\]"),
    ],
)
def test_what_cannot_be_is_refused(field: str, value: np.ndarray, said: str) -> None:
    with pytest.raises(InvalidInteraction, match=said):
        replace(answers(), **{field: value})


def test_a_textbook_bandit_has_no_use_for_a_belief_alone() -> None:
    prior = Prior(("cheap",), FEATURES, np.zeros((1, 3)))
    assert not make("linucb").take_prior(prior)
    assert not make("uniform").take_prior(Prior.told(Evidence.of(answers(), START_S)))
