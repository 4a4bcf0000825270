"""Published routers at the same table as ours; runs in an environment of their own.

    python -m benchmarks.rivals_play REQUEST.json ANSWER.json      (benchmarks.rivals calls it)

Each rival stands behind the interface of a policy, so that it sees the same streams, features,
list prices, costs and ratings at the same moments, and is measured by the same code.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import joblib
import numpy as np
import vowpalwabbit
from pareto_bandit.budget_pacer import BudgetPacer, PacingMode
from pareto_bandit.config import BEST_K3_HPARAMS, BEST_K3_TABULA_RASA_HPARAMS
from pareto_bandit.costs import log_normalize_cost
from pareto_bandit.feature_service import FeatureService
from pareto_bandit.router import BanditRouter
from pareto_bandit.storage import EphemeralContextStore

from experiments.offline import learning_benchmark as lb
from experiments.offline import outcomes, text_features
from learning.evidence import Evidence
from learning.interaction import Choice, Context, Interaction
from learning.policies import registry
from learning.policies.base import Chooser, Policy, PolicySetup, Prior, Scores
from learning.snapshot import Frozen

BURN_IN = 20  # draws that ParetoBandit's own experiments force on a newcomer
_kept: dict[bytes, Rival] = {}


class _View(Chooser):
    """Asks the rival anew at every request."""

    def __init__(self, rival: Rival) -> None:
        self.arms, self._rival = rival.setup.names, rival

    def scores(self, context: Context, eligible: Sequence[int]) -> Scores:
        raise NotImplementedError

    def propensities(self, scores: Scores) -> np.ndarray:
        raise NotImplementedError

    def choose(self, context: Context, eligible: Sequence[int], number: float) -> Any:
        at = self._rival.select(context.features.astype(np.float64))
        return Choice(self.arms[at], 1.0), None, None


class Rival(Policy):
    """What play() needs of a policy; ``budget_usd`` is the one parameter."""

    takes_budget = True

    def __init__(self, setup: PolicySetup, budget_usd: float | None = None) -> None:
        super().__init__(setup)
        self.budget_usd = budget_usd
        self.prices = np.array(
            [(arm.price_input_usd_mtok, arm.price_output_usd_mtok) for arm in setup.arms]
        )
        self.rng = np.random.default_rng(len(setup.arms))

    @classmethod
    def build(cls, setup: PolicySetup, parameters: Mapping[str, Any]) -> Self:
        return cls(setup, parameters.get("budget_usd"))

    def select(self, x: np.ndarray) -> int:
        """The arm to call."""
        raise NotImplementedError

    def paid(self, at: int, x: np.ndarray, cost_usd: float) -> None:
        """What the call cost."""
        raise NotImplementedError

    def rated(self, at: int, x: np.ndarray, quality: float, at_s: float) -> None:
        """What the answer was worth."""
        raise NotImplementedError

    def take_prior(self, prior: Prior) -> bool:
        if prior.evidence is None or not self.warmed(prior.evidence):
            raise SystemExit(f"{self.kind} has no warm start here: leave it out of --policies")
        return True

    def warmed(self, evidence: Evidence) -> bool:
        """Begin with what other answers told, where the rival can."""
        return False

    def take_over(self, before: Rival) -> None:
        """Go on from the state before the plan changed: new prices, perhaps a new arm."""
        raise NotImplementedError

    def learn(self, interaction: Interaction) -> None:
        at, x = self.index(interaction.choice.arm), interaction.context.features.astype(float)
        if interaction.reward.cost_usd is not None:
            self.paid(at, x, interaction.reward.cost_usd)
        if interaction.reward.quality is not None:
            self.rated(at, x, interaction.reward.quality, interaction.at_s)

    def chooser(self, at_s: float) -> Chooser:
        return _View(self)

    def freeze(self) -> bytes:
        key = str(id(self)).encode()
        _kept[key] = self
        return key

    def thaw(self, data: bytes) -> None:
        self.take_over(_kept.pop(data))

    def state(self) -> Frozen:
        raise NotImplementedError

    def restore(self, frozen: Frozen) -> None:
        raise NotImplementedError


class Pareto(Rival):
    """The package as it is, with the paper's hyperparameters for a cold start or a warm one."""

    kind = "paretobandit"

    def __init__(self, setup: PolicySetup, budget_usd: float | None = None) -> None:
        super().__init__(setup, budget_usd)
        self.pacer = _pacer(budget_usd)
        self.router: Any = None
        self.forced: list[int] = []
        self.open: tuple[Any, float] | None = None
        self.known: Evidence | None = None

    def warmed(self, evidence: Evidence) -> bool:
        self.known = evidence
        return True

    def _start(self, dimension: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self._create(dimension, Path(folder) / "warm.joblib")

    def _create(self, dimension: int, file: Path) -> None:
        tuned, told = BEST_K3_TABULA_RASA_HPARAMS, self.known
        if told is not None:
            tuned, at = BEST_K3_HPARAMS, [told.arms.index(name) for name in self.setup.names]
            whole = {name: told.gram[i] + np.eye(dimension)
                     for name, i in zip(self.setup.names, at, strict=True)}  # fmt: skip
            moments = {name: told.moment[i] for name, i in zip(self.setup.names, at, strict=True)}
            joblib.dump({"A": whole, "b": moments, "pca_whitened": True}, file)
        self.router = BanditRouter.create(
            model_registry={
                name: {"model_id": name, "input_cost_per_m": p[0], "output_cost_per_m": p[1]}
                for name, p in zip(self.setup.names, self.prices.tolist(), strict=True)
            },
            feature_service=FeatureService.for_precomputed(dimension),
            context_store=EphemeralContextStore(), priors="none" if told is None else "warmup",
            warmup_path=None if told is None else str(file),
            prior_n_effective=tuned["prior_n_effective"], alpha=tuned["alpha"], cost_penalty=0.0,
            forgetting_factor=tuned["forgetting_factor"], budget_pacer=self.pacer, bandit_seed=0,
        )  # fmt: skip

    def select(self, x: np.ndarray) -> int:
        if self.router is None:
            self._start(len(x))
        self._settle()
        if self.forced:
            return self.forced.pop()
        name, self.entry = self.router.route(x)
        self.open = (self.entry, -1.0)
        return self.index(name)

    def _settle(self) -> None:
        """A call whose rating did not come at once: its cost alone."""
        if self.open is not None and self.open[1] >= 0.0 and self.pacer is not None:
            self.pacer.observe(self.open[1])
        self.open = None

    def paid(self, at: int, x: np.ndarray, cost_usd: float) -> None:
        if self.open is not None:
            self.open = (self.open[0], cost_usd)
        elif self.pacer is not None:
            self.pacer.observe(cost_usd)

    def rated(self, at: int, x: np.ndarray, quality: float, at_s: float) -> None:
        if self.open is not None and self.open[1] >= 0.0:  # the package's own path
            entry, entry.cost_usd = self.open[0], self.open[1]
            self.router.process_feedback(entry.request_id, reward=quality)
            self.open = None
            return
        self.router.update(self.setup.names[at], x, quality, advance_time=False)

    def take_over(self, before: Rival) -> None:
        assert isinstance(before, Pareto)
        self.router, self.pacer, self.forced = before.router, before.pacer, before.forced
        for at, name in enumerate(self.setup.names):
            price_in, price_out = self.prices[at].tolist()
            if name in before.setup.names:
                self.router.update_model_pricing(
                    name, input_cost_per_m=price_in, output_cost_per_m=price_out
                )
                continue
            self.router.register_model(
                name, speed="fast", input_cost_per_m=price_in, output_cost_per_m=price_out
            )
            self.forced = [at] * BURN_IN


def _pacer(budget_usd: float | None) -> Any:
    if budget_usd is None:
        return None
    return BudgetPacer(
        target_avg_spend_usd=budget_usd, mode=PacingMode.ADAPTIVE, lr=0.05, lambda_max=5.0,
        ema_alpha=0.05,
    )  # fmt: skip


class Paced(Rival):
    """A textbook learner under ParetoBandit's pacer: a penalty and a ceiling on list price."""

    def __init__(self, setup: PolicySetup, budget_usd: float | None = None) -> None:
        super().__init__(setup, budget_usd)
        self.pacer = _pacer(budget_usd)

    @property
    def blended(self) -> np.ndarray:
        """Dollars per thousand tokens, in and out alike."""
        return np.asarray(self.prices.mean(1) / 1000.0)

    def penalty(self) -> np.ndarray:
        if self.pacer is None:
            return np.zeros(len(self.prices))
        priced = [log_normalize_cost(b, floor=1e-4, ceiling=0.1) for b in self.blended]
        return np.asarray(self.pacer.lambda_t * np.array(priced))

    def allowed(self) -> np.ndarray:
        everybody = np.ones(len(self.prices), dtype=bool)
        if self.pacer is None:
            return everybody
        ceiling = self.pacer.get_cost_ceiling_per_1k(self.blended.max())
        under = everybody if ceiling is None else self.blended <= ceiling
        return under if under.any() else everybody

    def paid(self, at: int, x: np.ndarray, cost_usd: float) -> None:
        if self.pacer is not None:
            self.pacer.observe(cost_usd)


class Ridge(Paced):
    """Disjoint ridge regressions; the exploration is the subclass's."""

    scale = 0.1

    def __init__(self, setup: PolicySetup, budget_usd: float | None = None) -> None:
        super().__init__(setup, budget_usd)
        self.inverse: list[np.ndarray] = []
        self.moment: list[np.ndarray] = []

    def bonus(self, deviation: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def warmed(self, evidence: Evidence) -> bool:
        for name in self.setup.names:
            at = evidence.arms.index(name)
            whole = evidence.gram[at] + np.eye(len(evidence.features))
            self.inverse.append(np.linalg.inv(whole))
            self.moment.append(evidence.moment[at].copy())
        return True

    def select(self, x: np.ndarray) -> int:
        while len(self.inverse) < len(self.setup.arms):
            self.inverse.append(np.eye(len(x)))
            self.moment.append(np.zeros(len(x)))
        inverse = np.array(self.inverse)
        seen = inverse @ x
        mean = np.einsum("ki,ki->k", seen, np.array(self.moment))
        score = mean + self.bonus(np.sqrt(np.maximum(seen @ x, 0.0))) - self.penalty()
        return int(np.where(self.allowed(), score, -np.inf).argmax())

    def rated(self, at: int, x: np.ndarray, quality: float, at_s: float) -> None:
        step = self.inverse[at] @ x
        self.inverse[at] = self.inverse[at] - np.outer(step, step) / (1.0 + float(x @ step))
        self.moment[at] = self.moment[at] + quality * x

    def take_over(self, before: Rival) -> None:
        assert isinstance(before, Ridge)
        self.inverse, self.moment, self.pacer = before.inverse, before.moment, before.pacer


class PacedLinUCB(Ridge):
    kind = "linucb+pacer"

    def bonus(self, deviation: np.ndarray) -> np.ndarray:
        return np.asarray(self.scale * deviation)


class PacedThompson(Ridge):
    kind = "thompson+pacer"

    def bonus(self, deviation: np.ndarray) -> np.ndarray:
        return np.asarray(self.scale * deviation * self.rng.standard_normal(len(deviation)))


class VowpalWabbit(Paced):
    """``--cb_explore_adf``; the price's penalty enters the cost that is learned."""

    options = ""

    def __init__(self, setup: PolicySetup, budget_usd: float | None = None) -> None:
        super().__init__(setup, budget_usd)
        self.workspace: Any = None
        self.offers: dict[bytes, tuple[list[int], float]] = {}

    def select(self, x: np.ndarray) -> int:
        if self.workspace is None:
            self.workspace = vowpalwabbit.Workspace(
                f"--cb_explore_adf {self.options} --cb_type mtr -q xa --ignore_linear x "
                "--cb_min_cost 0 --cb_max_cost 1 --quiet --random_seed 7"
            )
        offered = np.flatnonzero(self.allowed()).tolist()
        found = np.maximum(np.array(self.workspace.predict(self._example(x, offered))), 0.0)
        found /= found.sum()
        at = int(self.rng.choice(len(offered), p=found))
        self.offers[x.tobytes()] = (offered, float(found[at]))
        return int(offered[at])

    def _example(self, x: np.ndarray, offered: list[int], label: str = "", of: int = -1) -> Any:
        numbers = " ".join(f"{i}:{value:.4g}" for i, value in enumerate(x[:-1]))
        rows = [f"{label if at == of else ''}|a {self.setup.names[at]}" for at in offered]
        return [f"shared |x {numbers}", *rows]

    def rated(self, at: int, x: np.ndarray, quality: float, at_s: float) -> None:
        offered, chance = self.offers.pop(x.tobytes(), ([], 1.0))
        if at not in offered:
            return
        cost = float(np.clip(1.0 - quality + self.penalty()[at], 0.0, 2.0))
        label = f"0:{cost:.5f}:{chance:.5f} "
        self.workspace.learn(self._example(x, offered, label, at))

    def take_over(self, before: Rival) -> None:
        assert isinstance(before, VowpalWabbit)
        self.workspace, self.offers, self.pacer = before.workspace, before.offers, before.pacer


class SquareCB(VowpalWabbit):
    kind, options = "vw_squarecb", "--squarecb --gamma_scale 1000"


class Cover(VowpalWabbit):
    kind, options = "vw_cover", "--cover 3 --nounif --psi 0.01"


class RegCB(VowpalWabbit):
    kind, options = "vw_regcb", "--regcb --mellowness 0.001"


RIVALS: tuple[type[Rival], ...] = (
    Pareto, PacedLinUCB, PacedThompson, SquareCB, Cover, RegCB,
)  # fmt: skip


def main() -> None:
    """Play every rival and ours; the report goes to the second file."""
    logging.disable(logging.WARNING)
    request = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    policies = registry.POLICIES
    assert isinstance(policies, dict)
    policies.update({rival.kind: rival for rival in RIVALS})
    known = outcomes.read(Path(request["outcomes"]), request["models"])
    report = {}
    features = text_features.build(request["features"], known)
    for scenario in request["scenarios"]:
        for budget in request["budgets"]:
            asked = lb.question(known, scenario, budget, request["features"], request["focus"],
                                request["warm"])  # fmt: skip
            bench = lb.Bench(known, features, asked, {})
            wanted = lb.jobs(request["policies"] or [r.kind for r in RIVALS], request["seeds"])
            found = lb.report(asked, known.names, lb.run_all(bench, wanted))
            report[f"{scenario} {budget}"] = found
            print(f"{scenario}, budget {budget}: done", file=sys.stderr, flush=True)
    Path(sys.argv[2]).write_text(json.dumps(report, indent=1), "utf-8")


if __name__ == "__main__":
    main()
