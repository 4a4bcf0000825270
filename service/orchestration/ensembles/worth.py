"""Whether an ensemble is worth its cost for a request, and who its members are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from service.domain.catalog import Amounts, Deployment, worst_micro_usd
from service.domain.records import Decision
from service.orchestration.ensembles.rules import FUSION, JUDGE, EnsembleRules
from service.routing.eligibility import ANSWER_RESERVE


@dataclass(frozen=True, slots=True)
class Lineup:
    """Who is asked, in order, the single that it is compared with, and what was thought of each."""

    members: tuple[Deployment, ...]
    single: Deployment
    accuracy: dict[str, float]
    usd: dict[str, float]


@dataclass(frozen=True, slots=True)
class Price:
    """What the single is expected to cost, and the ensemble beside it, US dollars a request."""

    single_usd: float
    extra_usd: float


def lineup(
    rules: EnsembleRules, decision: Decision, catalog: Sequence[Deployment], at_us: int
) -> Lineup | str:
    """The members of an ensemble that may serve a request, or why there are not two outputs.

    Members are taken in turn until there are ``most``. Who is believed to lie further than
    ``within`` below the best of them is left out: several outputs of the best alone beat a mixture
    with worse ones (Li, Lin, Xia, Jin, arXiv 2502.00674).
    """
    known = {each.name: each for each in catalog if each.name in decision.candidates.names}
    if not known:
        return "nobody is eligible"
    accuracy = {name: _believed(decision, each) for name, each in known.items()}
    usd = {name: _cost(decision, each, at_us) for name, each in known.items()}
    best = max(known.values(), key=lambda each: (accuracy[each.name], -usd[each.name], each.name))
    if rules.against:
        if rules.against not in known:
            return f"{rules.against}, which it is compared with, is not eligible"
        best = known[rules.against]
    named = [name for name in rules.members if name in known] or (
        [] if rules.members else [best.name]
    )
    bar = max((accuracy[name] for name in named), default=0.0) - rules.within
    held = [known[name] for name in named if accuracy[name] >= bar]
    if not held:
        return "none of its members is eligible"
    most = rules.gathering.most
    members = tuple(held[at % len(held)] for at in range(most))
    if len(set(rules.members)) == len(rules.members) and len(rules.members) >= most:
        members = tuple(held[:most])  # each is named once: nobody is asked twice
    if len(members) < 2:
        return "fewer than two of its members are eligible"
    return Lineup(members, best, accuracy, usd)


def price(rules: EnsembleRules, line: Lineup, multiplier: float | None) -> Price:
    """By the multiplier that was measured; before that, all outputs and the aggregator."""
    single = line.usd[line.single.name]
    if multiplier is not None:
        return Price(single, single * (multiplier - 1.0))
    whole = sum(line.usd[each.name] for each in line.members)
    if rules.by == FUSION:
        fuser = line.usd.get(rules.fuser, single)
        whole += fuser * 2.0  # a prompt of all candidates, and an answer
    if rules.by == JUDGE:
        whole += single * comb(len(line.members), 2)  # two letters after two long prompts
    return Price(single, whole - single)


def _believed(decision: Decision, of: Deployment) -> float:
    """The policy's prediction for this request, where it was asked; else the plan's belief."""
    told = decision.candidates
    if told.quality:
        return min(1.0, max(0.0, told.quality[told.names.index(of.name)]))
    return of.prior_quality


def _cost(decision: Decision, of: Deployment, at_us: int) -> float:
    told = decision.candidates
    if told.cost_usd:
        return max(told.cost_usd[told.names.index(of.name)], 0.0)
    out = decision.tokens_out_limit or ANSWER_RESERVE
    return worst_micro_usd(of.price_at(at_us), Amounts(decision.tokens_in, out)) / 1e6
