"""The story of one request: from what was asked to a decision, each line one step."""

from __future__ import annotations

import difflib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from learning import exploration
from learning.features import Featurizer
from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.clock import Clock, new_id
from service.domain.errors import CapabilityMissing, ModelNotFound
from service.domain.hashing import keyed_hash
from service.domain.live import LivePolicy
from service.domain.records import Candidates, Decision, Key, Mode, Override
from service.domain.will import NO_WILL, Asking, Will
from service.routing.asked import Asked, Reader, RoutingTable
from service.routing.assignments import AssignmentHolder
from service.routing.budgeting import Budgeting
from service.routing.budgets import Budgets
from service.routing.caching import PromptCaches
from service.routing.climbing import Climbing
from service.routing.eligibility import Eligibility, unsaid_param
from service.routing.elsewhere import Elsewhere
from service.routing.fleet import Fleet
from service.routing.leaving import Leaving
from service.routing.narrowing import Draft, Narrowing
from service.routing.overriding import PINNED, Overriding
from service.routing.pinning import pin_stands
from service.routing.placed import placed
from service.routing.predicting import Prediction
from service.routing.scored import candidates
from service.routing.sessions import Held, Sessions
from service.routing.treatments import DEPLOYMENT, TIER, VERSION


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
    assignments: AssignmentHolder = field(default_factory=AssignmentHolder)
    prediction: Prediction | None = None
    budgets: Budgets | None = None
    climbing: Climbing | None = None
    leaving: Leaving | None = None
    caches: PromptCaches | None = None


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
        self.table, self._virtual = table, table.virtual
        self._parts = parts
        self._index = {each.name: i for i, each in enumerate(table.catalog)}
        self._eligibility = Eligibility(table.catalog, parts.fleet, table.kind)
        self._narrowing = Narrowing(table, parts.fleet)
        self._overriding = Overriding(
            table, self._narrowing, self._eligibility, parts.live, parts.clock
        )
        self.prediction, self.climbing = parts.prediction, parts.climbing
        foreseer = None if parts.prediction is None else parts.prediction.foreseer
        self._reader = Reader(table, parts.featurizer, parts.secret, foreseer)
        book = parts.budgets
        self._budgeting = None if book is None else Budgeting(book, self._narrowing)
        self._names = tuple(each.name for each in table.catalog)
        self._elsewhere = Elsewhere(table, parts.live)

    def decide(
        self,
        request: ChatRequest,
        key: Key,
        session_header: str = "",
        dry_run: bool = False,
        asked: Asked | None = None,
    ) -> Decision:
        """The decision for a request; raises the HeadgateError that says why there is none.

        A dry run decides alike but holds no session. ``asked``: the request as it was read before.
        """
        target = self._target(request.model)
        draft = self._draft(asked or self._reader.read(request, key, session_header))
        if target is not None:
            return self._pinned(draft, target)
        if draft.will is not NO_WILL:
            settled = self._overriding.settle(draft)
            if settled is not None:
                return self._settled(draft, settled[0], Mode.OVERRIDE, settled[1])
        self._assign(draft, request, key)
        self._narrowing.rules(draft)
        if self._parts.caches is not None and request.options.max_cost_usd is not None:
            at_us, catalog = self._parts.clock.wall_us(), self.table.catalog
            draft.credit = self._parts.caches.credit(draft, self._held(draft), catalog, at_us)
        self._narrowing.options(draft)
        if draft.asked.unsure and self._held(draft) is None:
            self._narrowing.unsure(draft)
        self._narrowing.variant(draft)
        if draft.will.caps:
            self._overriding.cap(draft)
        if self._budgeting is not None:
            self._budgeting.narrow(draft)
        if self.climbing is not None and self.climbing.act(draft):
            return self._climbs(self.climbing, draft, dry_run)
        self._narrowing.ladder(draft)
        held = self._held(draft)
        if held is not None and not self._leaves(draft, held, dry_run):
            return self._sticky(draft, held)
        decision = self._foretold(draft)
        if draft.asked.caller.session and not dry_run:
            self._hold(draft, decision)
        return decision

    def reading(self, request: ChatRequest, key: Key, session_header: str = "") -> Asked:
        """What is asked, as the router reads it, without a decision."""
        return self._reader.read(request, key, session_header)

    def settled_task(self, asked: Asked, key: Key, task: str, confidence: float) -> Asked:
        """The same with its task as somebody who was asked named it."""
        return self._reader.settled(asked, key, task, confidence)

    def prompt_hash(self, request: ChatRequest) -> str:
        """The keyed hash of the messages."""
        return keyed_hash(self._parts.secret, request.said)

    def _target(self, model: str) -> int | None:
        """The deployment that the caller pinned by name; None to be routed."""
        if model in self._virtual:
            return None
        if model in self._index:
            return self._index[model]
        known = [*self._virtual, *self._names]
        close = difflib.get_close_matches(model[:100], known, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(close)}?" if close else "; see GET /v1/models"
        raise ModelNotFound(f"there is no deployment or virtual model of that name{hint}", close)

    def _draft(self, asked: Asked) -> Draft:
        now_s = self._parts.clock.monotonic_s()
        eligible, out = self._eligibility.split(asked.request, asked.task, now_s, asked.demand)
        draft = Draft(asked.id or new_id(), asked, self._parts.live.current, now_s, eligible, out)
        if holding := self._parts.holding():
            who = asked.caller
            draft.will = self._overriding.will(asked.task, holding, who.tenant, who.tier)
        return draft

    def _assign(self, draft: Draft, request: ChatRequest, key: Key) -> None:
        """The variants of the experiments that run, and of the policies the one they name; in none
        where operators pinned a version, which comes before them.
        """
        assignments = self._parts.assignments.current
        if draft.will.pinned is not None and self._overriding.pin(draft, assignments.shipped):
            return
        if not assignments.active:
            return
        user = ""
        if assignments.by_user and request.user:
            user = keyed_hash(self._parts.secret, "user", key.id, request.user)
        caller, now_us = draft.asked.caller, self._parts.clock.wall_us()
        draft.drawn = assignments.draw(caller, user, draft.id, now_us, draft.will.ended)
        version = draft.drawn.treatment.get(VERSION)
        if version is None:
            return
        wanted = self._parts.live.of(version)
        width = draft.asked.context.features.shape[0]
        if wanted is not None and wanted.width in (0, width):
            draft.version = placed(wanted, self._names)

    def _pinned(self, draft: Draft, index: int) -> Decision:
        deployment = self.table.catalog[index]
        self._overriding.named(draft, index)
        asked = draft.asked
        reason = self._eligibility.incapable(deployment, asked.request, asked.task, asked.demand)
        if reason is not None and reason != "task":
            raise CapabilityMissing(
                f"{deployment.name} cannot serve this request: {asked.demand.told(reason)}",
                param=unsaid_param(deployment, asked.request),
            )
        pin_stands(self._parts.fleet, deployment, draft)
        return self._settled(draft, index, Mode.PINNED, "named_by_caller")

    def _held(self, draft: Draft) -> Held | None:
        if not self.table.sticky or not draft.asked.caller.session:
            return None
        held = self._parts.sessions.held(draft.asked.caller.session, draft.now_s)
        if held is None or self._index.get(held.deployment) not in draft.eligible:
            return None
        if held.override_id is not None:  # drawn by a pinned version: held as long as it is pinned
            return held if held.override_id == draft.pinned else None
        if draft.will.ended and any(each.experiment in draft.will.ended for each in held.assigned):
            return None
        if draft.pinned is not None:
            return held
        if not self._parts.assignments.current.stand(held.assigned, draft.drawn):
            return None  # an experiment that it was drawn in has ended or has moved it
        return held

    def _leaves(self, draft: Draft, held: Held, dry_run: bool) -> bool:
        """Whether the gain of another deployment pays for what the session would lose."""
        leaving = self._parts.leaving
        place = self._index[held.deployment]
        return leaving is not None and leaving.leaves(draft, held, place, dry_run)

    def _hold(self, draft: Draft, drawn: Decision) -> None:
        held = Held(drawn.deployment, drawn.id, draft.now_s, drawn.assigned, draft.pinned)
        self._parts.sessions.hold(draft.asked.caller.session, held)
        if self._parts.leaving is not None:
            self._parts.leaving.began(draft)

    def _climbs(self, climbing: Climbing, draft: Draft, dry_run: bool) -> Decision:
        """The first rung of a climb; a session is held by none."""
        decision = self._foretold(draft)
        if not dry_run:
            climbing.begun(decision)
        return decision

    def _foretold(self, draft: Draft) -> Decision:
        """Drawn, by what is foreseen where the plan wants that."""
        if self.prediction is not None:
            self.prediction.act(draft)
        return self._drawn(draft)

    def _sticky(self, draft: Draft, held: Held) -> Decision:
        """With its session's draw, the variants of that time included: a session that began
        before an experiment takes no part in it.
        """
        index = self._index[held.deployment]
        if held.override_id is not None:
            draft.override_id = held.override_id
            return self._settled(draft, index, Mode.OVERRIDE, PINNED)
        draft.assigned = held.assigned
        return self._settled(draft, index, Mode.STICKY, "held_by_session", held.decision_id)

    def _drawn(self, draft: Draft) -> Decision:
        draft.assigned = draft.drawn.assigned
        named: int | None = None
        if draft.drawn.treatment or draft.version is not None:
            named = self._treated(draft)
            if named is not None:
                draft.note = "holdout" if draft.drawn.held_out else "experiment"
                if not self._overriding.bounds(draft):
                    return self._settled(draft, named, Mode.RANDOMISED, draft.note)
        number = self._parts.chance.random()
        chooser = draft.published.chooser
        choice, probabilities, scores = chooser.choose(draft.asked.context, draft.eligible, number)
        arm, propensity = choice.arm, choice.propensity
        if draft.will.bounds and self._overriding.bounds(draft):
            probabilities = self._overriding.bounded(draft, probabilities, named)
            at = exploration.draw(probabilities, number)
            arm, propensity = self._names[draft.eligible[at]], float(probabilities[at])
        told = candidates(
            tuple(self._names[i] for i in draft.eligible), tuple(probabilities.tolist()), scores
        )
        mode = Mode.RANDOMISED
        if draft.pinned is not None:
            mode, draft.override_id, draft.note = Mode.OVERRIDE, draft.pinned, PINNED
        greatest = max(told.propensities)
        reason = draft.note or ("policy" if propensity == greatest else "exploration")
        return self._decision(draft, _Verdict(told, number, arm, propensity, mode, reason))

    def _treated(self, draft: Draft) -> int | None:
        """Who answers by a variant, if it names one who is eligible; otherwise the policy draws,
        the variant's or the operators' where they name one.
        """
        treatment = draft.drawn.treatment
        of_task = (treatment.get(TIER) or {}).get(draft.asked.task)
        named = self._index.get(treatment.get(DEPLOYMENT) or of_task or "")
        if named is not None and named in draft.eligible:
            return named
        if draft.version is not None:
            known = [i for i in draft.eligible if draft.version.knows(i)]
            if known:
                self._narrowing.unknown_to_version(draft, known)
                draft.published = draft.version.published
            else:
                draft.pinned = None  # the live version decides
        self._narrowing.thresholds(draft)
        return None

    def _settled(
        self, draft: Draft, index: int, mode: Mode, reason: str, first: str | None = None
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
        """Where to go after a failure."""
        return self._elsewhere.after(decision, self._will(decision))

    def allowed(self, decision: Asking, deployment: str) -> bool:
        """Whether no kill or exclusion, laid at whatever moment, keeps a call from a deployment."""
        will = self._will(decision)
        if will.killed is not None:
            return will.killed.deployment == deployment
        return deployment not in will.excluded

    def _will(self, decision: Asking) -> Will:
        """What operators want for such a request at this moment."""
        holding = self._parts.holding()
        if not holding:
            return NO_WILL
        who = decision.caller
        return self._overriding.will(decision.task, holding, who.tenant, who.tier)

    def _decision(self, draft: Draft, verdict: _Verdict) -> Decision:
        asked, at_us = draft.asked, self._parts.clock.wall_us()
        predicted = None if self.prediction is None else self.prediction.record(draft, at_us)
        return Decision(
            id=draft.id,
            at_us=at_us,
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
            assigned=draft.assigned,
            guess=asked.guess,
            predicted=predicted,
            climb=draft.climb,
            stay=draft.stay,
        )
