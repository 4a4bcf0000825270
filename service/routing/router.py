"""The story of one request: from what was asked to a decision, each line one step."""

from __future__ import annotations

import difflib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from learning.features import Featurizer
from learning.interaction import Context
from learning.policies.base import Scores
from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest, keyed_hash
from service.domain.clock import Clock, new_id
from service.domain.errors import CapabilityMissing, HeadgateError, ModelNotFound, NoDeployment
from service.domain.live import LivePolicy, Published
from service.domain.records import Candidates, Decision, Disqualified, Key, Mode, Override
from service.domain.will import Will, will_for
from service.routing.asked import Asked, Reader, RoutingTable
from service.routing.eligibility import ANSWER_RESERVE, Eligibility, only
from service.routing.fleet import Fleet
from service.routing.sessions import Held, Sessions

AUTO = "auto"
LATER_TIER = "later_tier"
UNWELL = {"ejected", "probing", "silent", "cooling", "busy", "filling", "throttled"}


@dataclass(frozen=True, slots=True)
class RouterParts:
    """What the router stands on."""

    live: LivePolicy
    featurizer: Featurizer
    fleet: Fleet
    sessions: Sessions
    holding: Callable[[], Sequence[Override]]
    clock: Clock
    chance: random.Random
    secret: bytes


@dataclass(slots=True)
class _Draft:
    """A decision in the making."""

    asked: Asked
    published: Published
    now_s: float
    eligible: list[int]
    out: list[Disqualified]
    override_id: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Who was chosen, how surely, and why."""

    candidates: Candidates
    draw: float
    deployment: str
    propensity: float
    mode: Mode
    reason: str
    first: str | None = None


class Router:
    """Turns a request into a Decision. Never waits, never learns, touches no disk."""

    def __init__(self, table: RoutingTable, parts: RouterParts) -> None:
        self.table = table
        self._parts = parts
        self._index = {each.name: i for i, each in enumerate(table.catalog)}
        self._eligibility = Eligibility(table.catalog, parts.fleet)
        self._reader = Reader(table, parts.featurizer, parts.secret)
        self._names = tuple(each.name for each in table.catalog)

    def decide(
        self, request: ChatRequest, key: Key, session_header: str = "", dry_run: bool = False
    ) -> Decision:
        """The decision for a request; raises the HeadgateError that says why there is none.

        A dry run decides alike but holds no session.
        """
        target = self._target(request.model)
        draft = self._draft(self._reader.read(request, key, session_header))
        will = will_for(draft.asked.task, self._parts.holding())
        if target is not None:
            return self._pinned(draft, target, will)
        self._apply_exclusions(draft, will)
        if will.forced is not None:
            decision = self._forced(draft, will.forced)
            if decision is not None:
                return decision
        self._apply_rules(draft)
        self._apply_options(draft)
        self._apply_ladder(draft)
        held = self._held(draft)
        if held is not None:
            return self._sticky(draft, held)
        decision = self._drawn(draft)
        if draft.asked.caller.session and not dry_run:
            self._parts.sessions.hold(
                draft.asked.caller.session, decision.deployment, decision.id, draft.now_s
            )
        return decision

    def prompt_hash(self, request: ChatRequest) -> str:
        """The keyed hash of the messages."""
        return keyed_hash(self._parts.secret, bytes(request.fields["messages"]))

    # what is asked ----------------------------------------------------------------------------

    def _target(self, model: str) -> int | None:
        """The deployment that the caller pinned by name; None to be routed."""
        if model == AUTO or model == f"{AUTO}:{self.table.policy}":
            return None
        if model in self._index:
            return self._index[model]
        known = [AUTO, f"{AUTO}:{self.table.policy}", *self._names]
        close = difflib.get_close_matches(model[:100], known, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(close)}?" if close else "; see GET /v1/models"
        raise ModelNotFound(f"there is no deployment or virtual model of that name{hint}", close)

    def _draft(self, asked: Asked) -> _Draft:
        now_s = self._parts.clock.monotonic_s()
        eligible, out = self._eligibility.split(asked.request, asked.task, now_s)
        return _Draft(asked, self._parts.live.current, now_s, eligible, out)

    # who may answer ---------------------------------------------------------------------------

    def _apply_exclusions(self, draft: _Draft, will: Will) -> None:
        if not will.excluded:
            return
        was = len(draft.eligible)
        self._keep(draft, (), tuple(will.excluded), "override")
        if len(draft.eligible) < was:
            gone = [d.deployment for d in draft.out if d.deployment in will.excluded]
            draft.override_id = will.excluded[gone[-1]]

    def _apply_rules(self, draft: _Draft) -> None:
        if not self.table.rules:
            return
        for rule in self.table.rules:
            if rule.task is not None and rule.task != draft.asked.task:
                continue
            if rule.condition is None or rule.condition(draft.asked.names):
                self._keep(draft, rule.use, rule.exclude, "rule")
                return

    def _apply_options(self, draft: _Draft) -> None:
        options = draft.asked.request.options
        if options.deployments or options.exclude:
            self._keep(draft, options.deployments, options.exclude, "caller")
        if not draft.eligible:
            raise self._nobody(draft)
        if options.max_cost_usd is None and options.min_quality is None:
            return
        scores = draft.published.chooser.scores(draft.asked.context, draft.eligible)
        fits = np.ones(len(draft.eligible), dtype=bool)
        if options.max_cost_usd is not None:
            fits &= scores.cost_usd <= options.max_cost_usd
        if options.min_quality is not None:
            fits &= scores.quality >= options.min_quality
        use = [self._names[i] for i, fit in zip(draft.eligible, fits, strict=True) if fit]
        if not use:
            raise CapabilityMissing(
                "no deployment is predicted to stay within headgate.max_cost_usd and to reach "
                "headgate.min_quality for this request; relax one of them",
                param="headgate",
                code="no_deployment_fits",
            )
        self._keep(draft, use, (), "bounds")

    def _apply_ladder(self, draft: _Draft) -> None:
        """Only the first tier that has anybody left is drawn from; the others wait behind it."""
        ladder = self.table.ladders.of(draft.asked.task)
        if ladder is None:
            return
        first, later = ladder.first([self._names[i] for i in draft.eligible])
        if not first:
            raise self._nobody(draft)
        outside = [self._names[i] for i in draft.eligible if self._names[i] not in first | later]
        if outside:
            self._keep(draft, (), outside, "in_no_tier")
        if later:
            self._keep(draft, (), sorted(later), LATER_TIER)

    def _keep(self, draft: _Draft, use: Sequence[str], exclude: Sequence[str], reason: str) -> None:
        kept, out = only(draft.eligible, self.table.catalog, use, exclude, reason)
        draft.eligible = kept
        draft.out += out

    def _nobody(self, draft: _Draft) -> Exception:
        reasons = {each.reason for each in draft.out}
        if "override" in reasons:
            return NoDeployment(
                "every deployment that could serve this is excluded by an operator now",
                code="excluded_by_operator",
                retry_after_s=60.0,
            )
        if "rate_limit" in reasons:
            return NoDeployment(
                "every deployment that could serve this is at its provider's rate limit",
                code="deployments_rate_limited",
                retry_after_s=self._parts.fleet.windows.free_in_s(draft.now_s),
            )
        if unwell := [each.deployment for each in draft.out if each.reason in UNWELL]:
            return NoDeployment(
                "every deployment that could serve this is out of service or full now",
                code="deployments_unavailable",
                retry_after_s=self._parts.fleet.free_in_s(unwell, draft.now_s),
            )
        told = "; ".join(f"{each.deployment}: {each.reason}" for each in draft.out)
        return CapabilityMissing(f"no deployment can serve this request ({told})")

    # how it is decided ------------------------------------------------------------------------

    def _pinned(self, draft: _Draft, index: int, will: Will) -> Decision:
        deployment = self.table.catalog[index]
        if deployment.name in will.excluded:
            raise NoDeployment(
                f"{deployment.name} is excluded by an operator now; ask for auto to be routed",
                code="excluded_by_operator",
                retry_after_s=60.0,
            )
        reason = self._eligibility.incapable(deployment, draft.asked.request, draft.asked.task)
        if reason is not None and reason != "task":
            raise CapabilityMissing(f"{deployment.name} cannot serve this request: {reason}")
        self._pin_stands(deployment, draft)
        return self._settled(draft, index, Mode.PINNED, "named_by_caller")

    def _pin_stands(self, deployment: Deployment, draft: _Draft) -> None:
        """A pin is served by nobody else: where it cannot be tried now, that is said at once."""
        fleet, shape = self._parts.fleet, draft.asked.request.shape
        tokens = shape.tokens_in + (shape.tokens_out_limit or ANSWER_RESERVE)
        if fleet.windows.exhausted(deployment, tokens, draft.now_s):
            raise NoDeployment(
                f"{deployment.name} is at its provider's rate limit now; try later",
                code="deployments_rate_limited",
                retry_after_s=fleet.windows.free_in_s(draft.now_s),
            )
        bar = fleet.refusal(deployment.name, draft.now_s)
        if bar:
            raise NoDeployment(
                f"{deployment.name} is out of service now ({bar}); try later, or ask for auto",
                code="deployments_unavailable",
                retry_after_s=fleet.free_in_s([deployment.name], draft.now_s),
            )

    def _forced(self, draft: _Draft, override: Override) -> Decision | None:
        index = self._index.get(override.deployment)
        if index is None or index not in draft.eligible:
            draft.note = "force_not_eligible"  # said in the reason: hard limits are not crossed
            return None
        draft.override_id = override.id
        self._narrow(draft, override.deployment)
        return self._settled(draft, index, Mode.OVERRIDE, "forced_by_operator")

    def _narrow(self, draft: _Draft, forced: str) -> None:
        """Rules, options and tiers do not stand against a force; they do against its fallbacks."""
        try:
            self._apply_rules(draft)
            self._apply_options(draft)
            self._apply_ladder(draft)
        except HeadgateError:  # nobody but the forced one is left
            draft.eligible = []
        draft.out = [each for each in draft.out if each.deployment != forced]

    def _held(self, draft: _Draft) -> Held | None:
        if not self.table.sticky or not draft.asked.caller.session:
            return None
        held = self._parts.sessions.held(draft.asked.caller.session, draft.now_s)
        if held is None or self._index.get(held.deployment) not in draft.eligible:
            return None
        return held

    def _sticky(self, draft: _Draft, held: Held) -> Decision:
        index = self._index[held.deployment]
        return self._settled(draft, index, Mode.STICKY, "held_by_session", held.decision_id)

    def _drawn(self, draft: _Draft) -> Decision:
        number = self._parts.chance.random()
        chooser = draft.published.chooser
        choice, probabilities, scores = chooser.choose(draft.asked.context, draft.eligible, number)
        candidates = _candidates(
            tuple(self._names[i] for i in draft.eligible), tuple(probabilities.tolist()), scores
        )
        greatest = max(candidates.propensities)
        reason = draft.note or ("policy" if choice.propensity == greatest else "exploration")
        return self._decision(
            draft,
            _Verdict(candidates, number, choice.arm, choice.propensity, Mode.RANDOMISED, reason),
        )

    def _settled(
        self, draft: _Draft, index: int, mode: Mode, reason: str, first: str | None = None
    ) -> Decision:
        """A decision without a draw: the whole probability lies on one deployment."""
        name = self._names[index]
        names = tuple(self._names[i] for i in draft.eligible) or (name,)
        if name not in names:
            names = (*names, name)
        sure = tuple(1.0 if each == name else 0.0 for each in names)
        return self._decision(
            draft, _Verdict(Candidates(names, sure), 0.0, name, 1.0, mode, reason, first)
        )

    def alternatives(self, decision: Decision) -> list[Deployment]:
        """Where to go after a failure: the others that were eligible, in the order of the tiers,
        the policy's best first within a tier. Whether each may be called is asked at the call.
        """
        will = will_for(decision.task, self._parts.holding())
        names = [*decision.candidates.names]
        names += [each.deployment for each in decision.disqualified if each.reason == LATER_TIER]
        others = [
            self._index[name]
            for name in names
            if name != decision.deployment and name in self._index and name not in will.excluded
        ]
        catalog = self.table.catalog
        if len(others) > 1:
            context = Context(
                decision.features, decision.tokens_in, decision.tokens_out_limit, decision.cost_dial
            )
            utility = self._parts.live.current.chooser.scores(context, others).utility
            others = [others[i] for i in np.argsort(-utility, kind="stable")]
        ladder = self.table.ladders.of(decision.task)
        if ladder is not None:
            tiers = {i: ladder.tier(self._names[i]) for i in others}
            others = [i for i in others if tiers[i] is not None]
            others.sort(key=lambda i: tiers[i] or 0)
        return [catalog[i] for i in others]

    def _decision(self, draft: _Draft, verdict: _Verdict) -> Decision:
        asked = draft.asked
        return Decision(
            id=new_id(),
            at_us=self._parts.clock.wall_us(),
            caller=asked.caller,
            task=asked.task,
            task_confidence=asked.confidence,
            task_source=asked.source,
            prompt_hash=asked.request.prompt_hash or self.prompt_hash(asked.request),
            features=asked.context.features,
            tokens_in=asked.context.tokens_in,
            tokens_out_limit=asked.context.tokens_out_limit,
            cost_dial=asked.context.cost_dial,
            stream=asked.request.stream,
            candidates=verdict.candidates,
            disqualified=tuple(draft.out),
            draw=verdict.draw,
            deployment=verdict.deployment,
            propensity=verdict.propensity,
            mode=verdict.mode,
            reason=verdict.reason,
            policy=draft.published.mark,
            override_id=draft.override_id,
            session_decision_id=verdict.first,
        )


def _candidates(
    names: tuple[str, ...], probabilities: tuple[float, ...], scores: Scores
) -> Candidates:
    return Candidates(
        names,
        probabilities,
        tuple(scores.quality.tolist()),
        tuple(scores.cost_usd.tolist()),
        tuple(scores.latency_s.tolist()),
        tuple(scores.error_rate.tolist()),
        tuple(scores.utility.tolist()),
    )
