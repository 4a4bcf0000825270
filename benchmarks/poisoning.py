"""What false ratings do to the shares of traffic, with caps and without: a simulated service.

    python -m benchmarks.poisoning [--seeds N] [--scene WORDS]

Twenty callers ask one request in three seconds; honest ones rate three answers in ten. From a
quarter of the run on, false ones rate answers of their own requests: the best deployment's as
worthless, the worst one's as perfect. Beside the shares stand the mean of the best deployment's
ratings as the policy holds it, and the evidence that either side has brought of it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

import numpy as np

from learning.influence import greatest_pull
from learning.interaction import Arm, Choice, Context, Interaction
from learning.policies.base import Chooser, Policy, PolicySetup
from learning.policies.registry import build
from learning.reward import Reward, RewardScale
from service.bootstrap.trust import trust_rules
from service.domain.clock import new_id
from service.domain.records import (
    Caller,
    Candidates,
    Decision,
    Feedback,
    Key,
    Mode,
    PolicyMark,
)
from service.feedback.credit import Ratings
from service.feedback.trust import Trust
from service.plan.whole import Plan
from service.storage.cases import Case

ARMS = (Arm("best", 0.1, 0.4), Arm("fair", 0.1, 0.4), Arm("worst", 0.1, 0.4))
TRUE = {"best": 0.85, "fair": 0.75, "worst": 0.5}
NAMES = tuple(TRUE)
START_S, STEP_S, CALLERS, RATED = 1.79e9, 3.0, 20, 0.3
DEPLOYMENT = {"name": "best", "provider": "simulated", "base_url": "http://127.0.0.1:1",
              "model": "m",
              "price": {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}}  # fmt: skip
PLAN = {"deployments": [DEPLOYMENT]}
EVEN = Context(np.array([0.0, 1.0], np.float32), 100)


@dataclass(frozen=True)
class Attack:
    """``keys`` false keys, all of the tenant ``tenant``; each rates ``each`` answers at one request
    in ``every`` from a quarter of the run on, at most ``most`` together. ``turns``: how often it
    turns each round; ``users``: of how many it names one at a time (0: none).
    """

    keys: int = 1
    each: int = 2
    most: int = 10_000
    tenant: str = ""
    turns: int = 0
    users: int = 0
    every: int = 1


@dataclass
class Found:
    """What the run came to, over its last quarter; evidence in answers, by deployment."""

    shares: dict[str, float]
    mean: float  # of the best deployment, as the policy holds it
    given: int
    own: dict[str, float] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)
    rows: list[object] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    alarms: int = 0

    def bound(self, trust: Trust, level: str = "key") -> float:
        """How far the false ratings may have moved the best one's mean."""
        rules = trust.rules
        assert rules is not None
        share = getattr(rules, level).share
        return greatest_pull(share, self.others["best"], CALLERS)


class Service:
    """A policy that learns as the learner does, from ratings weighed as the intake does."""

    def __init__(self, seed: int, capped: bool) -> None:
        setup = PolicySetup(ARMS, ("slope", "constant"), RewardScale(1e9, 60.0))
        self.policy: Policy = build("linear", setup, {})
        trust = {"trust": {"tenant": {"share": 0.1}}} if capped else {}
        plan = Plan.model_validate({**PLAN, "feedback": trust})
        self.trust = Trust(trust_rules(plan), lambda key_id: "")
        self.rng, self.now_s = np.random.default_rng(seed), START_S
        self.chooser: Chooser = self.policy.chooser(START_S)
        self.found = Found({}, 0.0, 0, dict.fromkeys(NAMES, 0.0), dict.fromkeys(NAMES, 0.0))

    def asked(self, key: str, tenant: str = "") -> Case:
        """One request, answered."""
        features = np.array([self.rng.choice([-1.0, 1.0]), 1.0], np.float32)
        context = Context(features, 100)
        choice, weights, _ = self.chooser.choose(context, [0, 1, 2], float(self.rng.random()))
        candidates = Candidates(NAMES, tuple(weights.tolist()))
        made = Decision(
            new_id(), int(self.now_s * 1e6), Caller(key, tenant), "talk", 1.0, "rule", "", features,
            100, 0, 1.0, False, candidates, (), 0.5, choice.arm, choice.propensity, Mode.RANDOMISED,
            "", PolicyMark("linear", "v", "", 0),
        )  # fmt: skip
        return Case(made)

    def rate(
        self, case: Case, key: Key, quality: float, user: str = "", false: bool = False
    ) -> None:
        """One rating, weighed and learned."""
        slot = ("rating", "user", key.id)
        before = case.feedback.get(slot)
        rating = Feedback(
            new_id(), case.decision.id, int(self.now_s * 1e6), "rating", "user", key.id, quality,
            None, quality, case.decision.deployment, before.id if before else None, None, "", (),
        )  # fmt: skip
        made = self.trust.weigh(case, rating, key, user)
        case.rated(rating)
        if made is not None:
            case.weights[rating.id] = made.weight
            self.found.rows += made.records
            reason = made.row.reason or "counts"
            self.found.reasons[reason] = self.found.reasons.get(reason, 0) + 1
        arm = case.decision.deployment
        told = Ratings(case.feedback, case.weights).weighed("rating")
        old, was = case.learned.get(arm), case.weighed.get(arm, 1.0)
        if told.quality is None or (told.quality, told.weight) == (old, was):
            return
        features = Context(case.decision.features, 100)
        self.policy.learn(Interaction(
            features, Choice(arm, 0.5), Reward(quality=told.quality), case.decision.at_us / 1e6,
            None if old is None else Reward(quality=old), told.weight, was,
        ))  # fmt: skip
        case.learned[arm], case.weighed[arm] = told.quality, told.weight
        if old is None:
            side = self.found.own if false else self.found.others
            side[arm] += told.weight


def run(seed: int, capped: bool, attack: Attack | None = None, steps: int = 6_000) -> Found:
    """A run, and what came of it."""
    service = Service(seed, capped)
    found, seen = service.found, []
    honest = [Key(f"honest-{at}", 0, "", "caller", "", "", "") for at in range(CALLERS)]
    tenant = attack.tenant if attack else ""
    false = [Key(f"false-{at}", 0, "", "caller", tenant, "", "")
             for at in range(attack.keys if attack else 0)]  # fmt: skip
    for step in range(steps):
        service.now_s += STEP_S
        if step % 10 == 0:
            service.chooser = service.policy.chooser(service.now_s)
        key = honest[int(service.rng.integers(CALLERS))]
        case, draw = service.asked(key.id), service.rng.random(2)
        if draw[0] < RATED:
            service.rate(case, key, float(draw[1] < TRUE[case.decision.deployment]))
        if attack is not None and step > steps // 4 and step % attack.every == 0:
            _attack(service, attack, false)
        if step > steps * 3 // 4 and step % 10 == 0:
            seen.append(service.chooser.propensities(service.chooser.scores(EVEN, [0, 1, 2])))
    found.shares = dict(zip(NAMES, np.mean(seen, axis=0).tolist(), strict=True))
    found.mean = float(service.policy.chooser(service.now_s).scores(EVEN, [0]).quality[0])
    found.alarms = service.policy.alarms()["best"]
    return found


def _attack(service: Service, attack: Attack, keys: list[Key]) -> None:
    for key in keys:
        for _ in range(attack.each):
            if service.found.given >= attack.most:
                return
            service.found.given += 1
            case = service.asked(key.id, key.tenant)
            lie = 1.0 if case.decision.deployment == "worst" else 0.0
            user = f"u{service.rng.integers(attack.users)}" if attack.users else ""
            service.rate(case, key, lie, user, false=True)
            for turn in range(attack.turns):
                service.rate(case, key, lie if turn % 2 else 1.0 - lie, user, false=True)


SCENES = {
    "nobody lies": None,
    "one key floods": Attack(),
    "one key floods, naming a new user each time": Attack(users=10**9),
    "five keys of one tenant flood": Attack(keys=5, each=1, tenant="acme"),
    "one key drips: one rating in ten requests": Attack(each=1, every=10),
    "one key floods and turns its ratings round": Attack(each=1, most=2_000, turns=4),
}


def main() -> None:
    """The table."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--seeds", type=int, default=5)
    asked.add_argument("--scene", default="", help="those alone whose name has this in it")
    told = asked.parse_args()
    seeds = range(told.seeds)
    print("scene | caps | share of best | of worst | mean of best | false in best | honest in best")
    for name, attack in SCENES.items():
        if told.scene not in name:
            continue
        for capped in (False, True):
            runs = [run(seed, capped, attack) for seed in seeds]
            figures = [
                np.mean([each.shares["best"] for each in runs]),
                np.mean([each.shares["worst"] for each in runs]),
                np.mean([each.mean for each in runs]),
            ]
            evidence = [np.mean([each.own["best"] for each in runs]),
                        np.mean([each.others["best"] for each in runs])]  # fmt: skip
            row = " | ".join(f"{each:.3f}" for each in figures)
            counts = " | ".join(f"{each:.0f}" for each in evidence)
            print(f"{name} | {'caps' if capped else 'none'} | {row} | {counts}", flush=True)


if __name__ == "__main__":
    main()
